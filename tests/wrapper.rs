//! The wrapper that others may write modules with: its example loads, and a panic in it is logged.

use anyhow::{Context as _, Result};
use tandem_lab::Lab;
use tandem_tests::{Dialplan, SOON};

const DOORS: &str = r#"
[door]
switch => Hello/world
exten => hello,2,UserEvent(Greeted,"Result: ${GREETING}")

[broken]
switch => Hello/panic
exten => hello,2,UserEvent(Greeted,Result: it went on)
exten => e,1,UserEvent(Greeted,Result: e)
"#;

#[test]
fn a_panic_is_logged_with_its_place_and_the_call_goes_on() -> Result<()> {
    let lab = Lab::builder("wrapper-panic")
        .without_server("B")
        .without_server("gateway")
        .caches(0)
        .server("A", |server| server.append("extensions.conf", DOORS))
        .start()?;
    let a = lab.a();
    // ./test builds the example before.
    let hello = Lab::built_module()?.with_file_name("examples").join("libhello.so");
    a.install_module("hello.so", &hello)?;
    let answer = a.cli("module load hello.so")?;
    assert!(answer.contains("Loaded"), "{answer}");
    let mut dialplan = Dialplan::on(a)?;
    assert_eq!(dialplan.run(&["Hello(world)"], "${GREETING}")?, "Hello, world");
    assert_eq!(
        dialplan.run(&["Set(GREETING=as before)", "Hello(panic)"], "${GREETING}")?,
        "as before"
    );
    a.wait_log("somebody wanted to see a panic", SOON)?;
    let trouble = a.warnings()?;
    let panic = trouble.iter().find(|line| line.contains("wanted to see")).context("an error")?;
    assert!(panic.contains("ERROR") && panic.contains("hello.rs:"), "{panic}");
    assert_eq!(dialplan.run(&["Hello(again)"], "${GREETING}")?, "Hello, again");

    // So is one under the lock of the whole dialplan, and one on the way to a call.
    let exists = |name: &str| format!("${{DIALPLAN_EXISTS(door,{name},1)}}");
    assert_eq!(dialplan.run(&[], &exists("panic"))?, "0");
    assert_eq!(dialplan.run(&[], &exists("hello"))?, "1");
    a.wait_log("a panic under the dialplan's lock", SOON)?;
    for (context, wanted) in [("door", "Hello, world"), ("broken", "e")] {
        let ami = a.ami()?;
        let mark = ami.mark();
        a.cli(&format!("channel originate Local/hello@{context}/n application Wait 5"))?;
        let greeted = ami.wait_event_after(mark, "a call is greeted", SOON, |event| {
            event.is_event("UserEvent") && event.value("UserEvent") == "Greeted"
        })?;
        assert_eq!(greeted.value("Result"), wanted);
    }
    a.wait_log("somebody wanted to see a switch panic", SOON)?;
    let answer = a.cli("module unload hello.so")?;
    assert!(answer.contains("Unloaded"), "{answer}");
    assert!(!a.maps_contains("hello.so")?, "a panic leaves nothing mapped");
    Ok(())
}
