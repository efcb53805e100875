//! The lab itself: what every other test stands on.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tandem_lab::{Lab, ServerConfig, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
/// Bound of anything in a call: all of it is loopback.
const SOON: Duration = Duration::from_secs(10);

#[test]
fn three_servers_start_fast_and_without_a_warning() -> Result<()> {
    let begun = Instant::now();
    let lab = Lab::start("lab-start")?;
    let took = begun.elapsed();
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    for server in lab.servers() {
        assert!(server.cli("core show version")?.starts_with("Asterisk 22"));
        assert!(server.rss_bytes()? > 1_000_000);
        assert!(server.cpu_time()? > Duration::ZERO);
        assert!(server.maps_contains("chan_pjsip")?);
        assert!(!server.maps_contains("app_universal")?);
    }
    assert!(took < Duration::from_secs(10), "took {took:?}");
    Ok(())
}

#[test]
fn phones_of_both_kinds_register_and_hear_each_other_over_the_trunk() -> Result<()> {
    let lab = Lab::start("lab-call")?;
    let desk = lab.phone("200").tone_hz(440).start()?;
    desk.register_at(lab.a(), MINUTE)?;
    assert!(desk.is_registered_at(lab.a())?);
    assert!(!desk.is_registered_at(lab.b())?);
    let radio = lab.iax_phone("201")?;
    radio.register_at(lab.b())?;
    assert!(!radio.is_registered_at(lab.a())?);

    let caller = lab.phone("300").tone_hz(660).start()?;
    caller.add_account(lab.gateway())?;
    caller.dial(lab.gateway(), "11200")?;
    caller.wait_established(SOON)?;
    desk.wait_established(SOON)?;
    caller.wait_tone(440, SOON).context("the caller hears the desk phone")?;
    desk.wait_tone(660, SOON).context("the desk phone hears the caller")?;
    assert!(!caller.heard_tone(660)?, "nobody hears itself");
    caller.hang_up()?;
    caller.wait_closed(SOON)?;
    desk.wait_closed(SOON)?;

    caller.dial(lab.gateway(), "12201")?;
    caller.wait_established(SOON)?;
    caller.wait_tone(660, SOON).context("the caller hears its echo from the IAX2 phone")?;
    caller.hang_up()?;
    caller.wait_closed(SOON)?;

    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_phone_is_on_two_servers_at_once_and_leaves_them_one_by_one() -> Result<()> {
    let lab = Lab::builder("lab-register").without_server("gateway").start()?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    desk.register_at(lab.b(), MINUTE)?;
    let radio = lab.iax_phone("201")?;
    radio.register_at(lab.a())?;
    radio.register_at(lab.b())?;

    desk.unregister_at(lab.a())?;
    assert!(desk.is_registered_at(lab.b())?);
    radio.unregister_at(lab.a())?;
    assert!(radio.is_registered_at(lab.b())?);
    assert!(!radio.is_registered_at(lab.a())?);

    // No goodbye: the server goes on believing.
    desk.kill();
    assert!(desk.is_registered_at(lab.b())?);
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_server_that_crashed_starts_again_with_its_database() -> Result<()> {
    let lab = Lab::builder("lab-crash")
        .without_server("B")
        .without_server("gateway")
        .caches(0)
        .start()?;
    let a = lab.a();
    a.cli("database put lab key value")?;
    let pid = a.pid()?;
    a.kill();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(a.cli("core show version").is_err());

    a.start()?;
    assert_ne!(a.pid()?, pid);
    assert!(a.cli("database get lab key")?.contains("value"));
    a.stop()?;
    assert!(a.log_contains("Asterisk cleanly ending (0)")?);
    Ok(())
}

#[test]
fn the_manager_interface_answers_and_tells_what_happens() -> Result<()> {
    let lab = Lab::builder("lab-manager")
        .without_server("B")
        .without_server("gateway")
        .caches(0)
        .server("A", |server| {
            server.extensions("[lab]\nexten => 1,1,UserEvent(Seen,Value: ${VALUE})\n")
        })
        .start()?;
    let mut ami = lab.a().ami()?;
    ami.action(&[
        ("Action", "Originate"),
        ("Channel", "Local/1@lab"),
        ("Application", "Wait"),
        ("Data", "1"),
        ("Variable", "__VALUE=42"),
    ])?;
    let seen = ami.wait_event("the dialplan was run", SOON, |event| event.is_event("UserEvent"))?;
    assert_eq!(seen.value("Value"), "42");
    assert!(ami.action(&[("Action", "Nonsense")]).is_err());
    Ok(())
}

#[test]
fn a_cache_can_be_asked_frozen_and_emptied() -> Result<()> {
    let lab = Lab::builder("lab-cache").without_server("gateway").start()?;
    let cache = lab.cache(1);
    cache.set("name", "value", 0)?;
    assert_eq!(cache.get("name")?.as_deref(), Some("value"));
    assert_eq!(lab.cache(2).get("name")?, None);

    cache.freeze()?;
    assert!(cache.get("name").is_err(), "a frozen cache does not answer");
    cache.thaw()?;
    assert_eq!(cache.get("name")?.as_deref(), Some("value"));

    cache.restart_empty()?;
    assert_eq!(cache.get("name")?, None);
    cache.kill();
    assert!(cache.get("name").is_err());
    Ok(())
}

#[test]
fn two_labs_at_once_do_not_meet() -> Result<()> {
    let (one, other) = (Lab::start("lab-one")?, Lab::start("lab-other")?);
    assert_ne!(one.place().number(), other.place().number());
    let desk = one.phone("200").start()?;
    desk.register_at(one.a(), MINUTE)?;
    one.cache(1).set("name", "one", 0)?;

    assert!(!other.a().cli("pjsip show contacts")?.contains("200/sip"));
    assert_eq!(other.cache(1).get("name")?, None);
    Ok(())
}

#[test]
fn nothing_is_left_of_a_lab_but_its_logs() -> Result<()> {
    let lab = Lab::start("lab-end")?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    let address = format!("127.{}.0.", lab.place().number());
    let (folder, logs) = (lab.place().folder(), lab.logs().to_owned());
    assert!(!processes_that_name(&address)?.is_empty());

    drop(desk);
    drop(lab);

    wait_until("no process names the lab", SOON, &logs, || {
        Ok(processes_that_name(&address).is_ok_and(|left| left.is_empty()))
    })?;
    assert!(!folder.exists());
    let kept = fs::read_to_string(logs.join("A/log/full")).context("the log is kept")?;
    assert!(kept.contains("Asterisk cleanly ending (0)"));
    Ok(())
}

#[test]
fn a_thousand_phones_register_in_seconds() -> Result<()> {
    let lab = Lab::builder("lab-many")
        .without_server("B")
        .without_server("gateway")
        .server("A", |server: ServerConfig| server.pjsip_many(10_000, 1000))
        .start()?;
    lab.register_many(lab.a(), 10_000, 1000).run()?;
    lab.a().wait_cli("pjsip show contacts", "Objects found: 1000", SOON)?;
    // With a password, where the server wants one.
    lab.register_many(lab.a(), 200, 10).run()?;
    lab.a().wait_cli("pjsip show contacts", "Objects found: 1010", SOON)?;
    lab.register_many(lab.a(), 10_000, 1000).expires(Duration::ZERO).run()?;
    lab.a().wait_cli("pjsip show contacts", "Objects found: 10", SOON)?;
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

/// Ids of processes whose command line contains `text`.
fn processes_that_name(text: &str) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // A process may end while we look.
        let line = fs::read(format!("/proc/{name}/cmdline")).unwrap_or_default();
        if name.parse::<u32>().is_ok() && String::from_utf8_lossy(&line).contains(text) {
            found.push(name);
        }
    }
    Ok(found)
}
