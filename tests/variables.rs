//! Universal variables: set on one server, read, changed and deleted on another; what survives,
//! and what is refused.

use std::time::Duration;

use anyhow::Result;
use tandem_lab::{Lab, wait_until};
use tandem_tests::{Dialplan, SOON, lab_with_module, wait_ready};

/// A lab of two servers whose caches are ready.
fn two_servers(name: &str) -> Result<Lab> {
    let lab = lab_with_module(name)?.without_server("gateway").start()?;
    wait_ready(lab.a())?;
    wait_ready(lab.b())?;
    Ok(lab)
}

#[test]
fn a_variable_set_on_a_is_read_changed_and_deleted_on_b_and_a_sees_each_step() -> Result<()> {
    let lab = two_servers("variables-steps")?;
    let (mut a, mut b) = (Dialplan::on(lab.a())?, Dialplan::on(lab.b())?);
    let get = ["GetUniVar(X=greeting)"];
    let seen = "${X}/${UNIVARSTATUS}";

    assert_eq!(a.run(&get, seen)?, "/MISSING");
    assert_eq!(a.run(&["SetUniVar(greeting=hello)"], "${UNIVARSTATUS}")?, "OK");
    assert_eq!(b.run(&get, seen)?, "hello/OK");
    assert_eq!(b.run(&["Set(UNIVAR(greeting)=hi)"], "${UNIVARSTATUS}")?, "OK");
    assert_eq!(a.run(&get, seen)?, "hi/OK");
    assert_eq!(a.run(&[], "${UNIVAR(greeting)}")?, "hi");
    assert_eq!(a.run(&[], "${UNIVAR_EXISTS(greeting)}")?, "1");
    assert_eq!(b.run(&["DelUniVar(greeting)"], "${UNIVARSTATUS}")?, "OK");
    assert_eq!(b.run(&["DelUniVar(greeting)"], "${UNIVARSTATUS}")?, "MISSING");
    assert_eq!(a.run(&get, seen)?, "/MISSING");
    assert_eq!(a.run(&[], "${UNIVAR_EXISTS(greeting)}")?, "0");
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn commas_quotes_equals_signs_and_utf8_survive() -> Result<()> {
    let lab = two_servers("variables-values")?;
    let (mut a, mut b) = (Dialplan::on(lab.a())?, Dialplan::on(lab.b())?);
    for value in
        ["a,b,,c", "say \"hi\"", "a=b==c", "Grüße, 世界 😀", " blanks ", "$1 (x) 100% #&|'", ""]
    {
        a.run(&[&format!("SetUniVar(odd={value})")], "${UNIVARSTATUS}")?;
        assert_eq!(b.run(&["GetUniVar(X=odd)"], "${X}")?, value);
        assert_eq!(b.run(&[], "${UNIVAR(odd)}")?, value);
    }
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn several_names_in_one_call_and_the_worst_status_counts() -> Result<()> {
    let lab = two_servers("variables-several")?;
    let mut a = Dialplan::on(lab.a())?;
    let seen = "${X}/${Y}/${Z}/${UNIVARSTATUS}";
    a.run(&["SetUniVar(one=1)", "SetUniVar(two=2)"], "${UNIVARSTATUS}")?;
    assert_eq!(a.run(&["GetUniVar(X=one,Y=two,Z=one)"], seen)?, "1/2/1/OK");
    assert_eq!(a.run(&["GetUniVar(X=one,Y=none,Z=two)"], seen)?, "1//2/MISSING");
    assert_eq!(a.run(&["Set(Y=old)", "GetUniVar(X=one,Y=,Z=none)"], seen)?, "1///INVALID");
    assert_eq!(a.run(&["DelUniVar(one,none,two)"], "${UNIVARSTATUS}")?, "MISSING");
    assert_eq!(a.run(&["GetUniVar(X=one,Y=two,Z=one)"], seen)?, "///MISSING");
    Ok(())
}

#[test]
fn the_longest_value_survives_and_one_byte_more_is_invalid_and_changes_nothing() -> Result<()> {
    let lab = two_servers("variables-long")?;
    let (mut a, mut b) = (Dialplan::on(lab.a())?, Dialplan::on(lab.b())?);
    // `${H}` carries 4000 bytes, and the rest makes the length wanted.
    let head = "x".repeat(4000);
    let set_head = format!("Set(H={head})");
    let value = |bytes: usize| format!("${{H}}{}", "y".repeat(bytes - 4000));
    let status = "${UNIVARSTATUS}";

    assert_eq!(a.run(&[&set_head, &format!("SetUniVar(m={})", value(4094))], status)?, "OK");
    let stored = [head.as_str(), &"y".repeat(94)].concat();
    assert_whole(&value_in_caches(&lab, "m")?, &stored);
    assert_eq!(b.run(&["GetUniVar(X=m)", "SetUniVar(n=${X})"], status)?, "OK");
    assert_whole(&value_in_caches(&lab, "n")?, &stored);
    assert_eq!(b.run(&["Set(UNIVAR(o)=${UNIVAR(m)})"], status)?, "OK");
    assert_whole(&value_in_caches(&lab, "o")?, &stored);

    for bytes in [4095, 5000] {
        for write in ["SetUniVar(m=", "Set(UNIVAR(m)="] {
            let line = format!("{write}{})", value(bytes));
            assert_eq!(a.run(&[&set_head, &line], status)?, "INVALID", "{write} {bytes}");
        }
    }
    // Asterisk itself cuts ${L} to 4095 bytes.
    let set_long = format!("Set(L={})", value(4500));
    assert_eq!(a.run(&[&set_head, &set_long, "SetUniVar(m=${L})"], status)?, "INVALID");
    assert_whole(&value_in_caches(&lab, "m")?, &stored);

    // What another client wrote is read whole, or not at all.
    for (bytes, read) in [(4095, "OK"), (4096, "INVALID")] {
        for number in [1, 2] {
            lab.cache(number).set("f", &"z".repeat(bytes), 0)?;
        }
        assert_eq!(a.run(&["GetUniVar(X=f)"], status)?, read);
        assert_eq!(a.run(&["Set(X=${UNIVAR(f)})"], status)?, read);
    }
    Ok(())
}

/// As `assert_eq`, without printing thousands of bytes.
fn assert_whole(found: &str, wanted: &str) {
    let same = found.bytes().zip(wanted.bytes()).take_while(|(a, b)| a == b).count();
    assert!(found == wanted, "{} bytes, not {}; equal up to {same}", found.len(), wanted.len());
}

fn value_in_caches(lab: &Lab, key: &str) -> Result<String> {
    let found = [lab.cache(1).get(key)?, lab.cache(2).get(key)?];
    Ok(found.into_iter().flatten().next().unwrap_or_default())
}

#[test]
fn bad_input_is_invalid_names_the_spot_and_hangs_nothing_up() -> Result<()> {
    let lab = two_servers("variables-bad")?;
    let mut a = Dialplan::on(lab.a())?;
    let long = "n".repeat(251);
    let cases = [
        "SetUniVar(nothing)".to_owned(),
        "SetUniVar()".to_owned(),
        "SetUniVar(=value)".to_owned(),
        "SetUniVar(two words=value)".to_owned(),
        "SetUniVar(tandem:epoch=R 0000000000000001)".to_owned(),
        format!("SetUniVar({long}=value)"),
        "GetUniVar()".to_owned(),
        "GetUniVar(X)".to_owned(),
        "GetUniVar(X=a,,,,,,Y=b)".to_owned(),
        "DelUniVar(,,,)".to_owned(),
        "GetUniVar(X=)".to_owned(),
        "GetUniVar(X=two words)".to_owned(),
        format!("GetUniVar(X={long})"),
        "GetUniVar(CALLERID(num)=x)".to_owned(),
        "DelUniVar()".to_owned(),
        "DelUniVar(two words)".to_owned(),
        "Set(UNIVAR(x,never)=1)".to_owned(),
        "Set(UNIVAR()=1)".to_owned(),
        "Set(X=${UNIVAR(two words)})".to_owned(),
        "Set(X=${UNIVAR_EXISTS()})".to_owned(),
        "Set(X=${LOCATE(200)})".to_owned(),
    ];
    for case in &cases {
        let before = lab.a().warnings()?.len();
        assert_eq!(a.run(&["Set(X=old)", case], "${UNIVARSTATUS}")?, "INVALID", "{case}");
        // Asterisk writes its log on a thread of its own.
        let what = format!("there is a message about {case}");
        wait_until(&what, SOON, &lab.a().log(), || Ok(lab.a().warnings()?.len() > before))?;
        let after = lab.a().warnings()?;
        assert!(after[before].contains("s@run:"), "it names the spot: {}", after[before]);
    }
    let all = lab.a().warnings()?;
    assert_eq!(all.len(), cases.len(), "one message for each: {all:#?}");
    // No input reaches memcached as a command.
    let injected = ["Set(CRLF=${URIDECODE(a%0D%0Aset%20pwned%200%200%201%0D%0A1)})"];
    for attempt in ["SetUniVar(${CRLF}=1)", "GetUniVar(X=${CRLF})", "DelUniVar(${CRLF})"] {
        assert_eq!(a.run(&[injected[0], attempt], "${UNIVARSTATUS}")?, "INVALID", "{attempt}");
    }
    a.run(&[injected[0], "SetUniVar(v=${CRLF})"], "${UNIVARSTATUS}")?;
    assert_eq!(lab.cache(1).get("pwned")?.or(lab.cache(2).get("pwned")?), None);
    assert_eq!(a.run(&[], "${UNIVAR(v)}")?, "a\r\nset pwned 0 0 1\r\n1", "a value may be anything");
    Ok(())
}

#[test]
fn a_time_to_live_ends_and_more_than_thirty_days_is_no_date() -> Result<()> {
    let lab = two_servers("variables-ttl")?;
    let mut a = Dialplan::on(lab.a())?;
    assert_eq!(a.run(&["Set(UNIVAR(short,2)=1)"], "${UNIVAR_EXISTS(short)}")?, "1");
    assert_eq!(a.run(&["Set(UNIVAR(long,2592001)=1)"], "${UNIVAR_EXISTS(long)}")?, "1");
    wait_until("the variable ends", Duration::from_secs(5), &lab.a().log(), || {
        Ok(lab.a().cli("univar short")?.contains("is not set"))
    })?;
    assert_eq!(a.run(&[], "${UNIVAR_EXISTS(long)}")?, "1");
    Ok(())
}
