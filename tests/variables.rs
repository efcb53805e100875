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

#[test]
fn what_is_left_of_a_life_is_read_and_changed() -> Result<()> {
    let lab = two_servers("variables-life")?;
    let (mut a, mut b) = (Dialplan::on(lab.a())?, Dialplan::on(lab.b())?);
    let left = "${UNIVAR_TTL(v)}/${UNIVARSTATUS}";
    assert_eq!(a.run(&[], left)?, "/MISSING");
    assert_eq!(a.run(&["SetUniVar(v=1)"], left)?, "-1/OK");
    assert_eq!(b.run(&["Set(UNIVAR_TTL(v)=100)"], "${UNIVARSTATUS}")?, "OK");
    let seen = a.run(&[], left)?;
    let seconds: u32 = seen.trim_end_matches("/OK").parse()?;
    assert!((90..=100).contains(&seconds), "{seen}");
    assert_eq!(a.run(&[], "${UNIVAR(v)}")?, "1", "the value stays");
    // What was read can be written.
    assert_eq!(
        a.run(&["Set(UNIVAR_TTL(v)=-1)", "Set(UNIVAR_TTL(v)=${UNIVAR_TTL(v)})"], left)?,
        "-1/OK"
    );
    for bad in ["", "0", "-2", "soon"] {
        let set = format!("Set(UNIVAR_TTL(v)={bad})");
        assert_eq!(a.run(&[&set], "${UNIVARSTATUS} ${UNIVAR_TTL(v)}")?, "INVALID -1", "{bad}");
    }
    assert_eq!(a.run(&["Set(UNIVAR_TTL(none)=5)"], "${UNIVARSTATUS}")?, "MISSING");
    assert_eq!(a.run(&["Set(UNIVAR_TTL(v)=2)"], "${UNIVARSTATUS}")?, "OK");
    lab.a().wait_cli("univar v", "is not set", SOON)?;
    assert_eq!(a.run(&[], left)?, "/MISSING");
    Ok(())
}

#[test]
fn of_two_servers_that_want_a_lock_one_gets_it_and_a_value_may_have_commas() -> Result<()> {
    let lab = two_servers("variables-lock")?;
    let (mut a, mut b) = (Dialplan::on(lab.a())?, Dialplan::on(lab.b())?);
    let seen = "${WON}/${UNIVARSTATUS}";
    assert_eq!(a.run(&["Set(WON=${UNIVAR_ADD(lock,a)})"], seen)?, "1/OK");
    assert_eq!(b.run(&["Set(WON=${UNIVAR_ADD(lock,b)})"], seen)?, "0/OK");
    assert_eq!(b.run(&[], "${UNIVAR(lock)}")?, "a");
    assert_eq!(a.run(&["DelUniVar(lock)", "Set(WON=${UNIVAR_ADD(lock,a,2)})"], seen)?, "1/OK");
    lab.b().wait_cli("univar lock", "is not set", SOON)?;
    assert_eq!(b.run(&["Set(WON=${UNIVAR_ADD(lock,b)})"], seen)?, "1/OK");

    let value = ["Set(WON=${UNIVAR_ADD(list,\"a,b\",100)})"];
    assert_eq!(a.run(&value, "${WON} ${UNIVAR(list)}")?, "1 a,b");
    assert_eq!(
        a.run(&["Set(WON=${UNIVAR_ADD(empty,)})"], "${WON} ${UNIVAR_EXISTS(empty)}")?,
        "1 1"
    );
    for bad in ["", "bad", "bad,a,b", "bad,a,0", "two words,x"] {
        let add = format!("Set(WON=${{UNIVAR_ADD({bad})}})");
        assert_eq!(a.run(&[&add], seen)?, "/INVALID", "{bad}");
    }
    // Asterisk cuts ${...} at 4095 bytes: what is near that is refused.
    let head = format!("Set(H={})", "x".repeat(2000));
    let add =
        |more: usize| format!("Set(WON=${{UNIVAR_ADD(long,${{H}}${{H}}{})}})", "y".repeat(more));
    assert_eq!(a.run(&[&head, &add(200)], seen)?, "/INVALID");
    assert_eq!(a.run(&[&head, &add(80)], seen)?, "/INVALID");
    assert_eq!(a.run(&[&head, &add(50)], "${WON} ${LEN(${UNIVAR(long)})}")?, "1 4050");
    Ok(())
}

#[test]
fn a_counter_is_one_on_all_servers_and_other_values_cannot_be_counted() -> Result<()> {
    let lab = two_servers("variables-counter")?;
    let (mut a, mut b) = (Dialplan::on(lab.a())?, Dialplan::on(lab.b())?);
    let count = |arguments: &str| format!("${{UNIVAR_INC({arguments})}}");
    assert_eq!(a.run(&[], &count("n"))?, "1");
    assert_eq!(b.run(&[], &count("n"))?, "2");
    assert_eq!(a.run(&[], &count("n,10"))?, "12");
    assert_eq!(b.run(&[], &count("n,-20"))?, "-8");
    assert_eq!(a.run(&[], "${UNIVAR(n)} ${UNIVAR_TTL(n)}")?, "-8 -1");
    assert_eq!(a.run(&["Set(UNIVAR(n)=41)"], &count("n"))?, "42");
    // Its own life is a counter's that is there; a new one gets the one that is said.
    assert_eq!(a.run(&[], &format!("{} ${{UNIVAR_TTL(n)}}", count("n,1,100")))?, "43 -1");
    let seen = a.run(&[], &format!("{} ${{UNIVAR_TTL(m)}}", count("m,5,100")))?;
    let life: u32 = seen.trim_start_matches("5 ").parse()?;
    assert!((90..=100).contains(&life), "{seen}");

    a.run(&["SetUniVar(text=hello)"], "")?;
    for bad in ["text", "n,much", "n,1,soon", ""] {
        let line = format!("Set(X={})", count(bad));
        assert_eq!(a.run(&[&line], "${X}/${UNIVARSTATUS}")?, "/INVALID", "{bad}");
    }
    assert_eq!(a.run(&[], "${UNIVAR(text)} ${UNIVAR(n)}")?, "hello 43");

    // Both at once, and none is lost.
    let loops = [
        "Set(I=0)",
        "While($[${I} < 50])",
        "Set(I=$[${I} + 1 + 0 * ${UNIVAR_INC(both)}])",
        "EndWhile()",
    ];
    std::thread::scope(|scope| -> Result<()> {
        let other = scope.spawn(|| b.run(&loops, "${I}"));
        assert_eq!(a.run(&loops, "${I}")?, "50");
        assert_eq!(other.join().map_err(|_| anyhow::anyhow!("it panicked"))??, "50");
        Ok(())
    })?;
    assert_eq!(a.run(&[], "${UNIVAR(both)}")?, "100");
    Ok(())
}

#[test]
fn with_no_cache_nobody_can_tell_and_a_manager_who_may_only_read_cannot_count() -> Result<()> {
    let lab = two_servers("variables-unreachable")?;
    let mut a = Dialplan::on(lab.a())?;
    let mut ami = lab.a().ami()?;
    let asked = ami.ask(&[("Action", "Getvar"), ("Variable", "UNIVAR_INC(n)")])?;
    assert_eq!(asked.value("Value"), "", "{asked:?}");
    assert_eq!(a.run(&[], "${UNIVAR_EXISTS(n)}")?, "0");

    lab.cache(1).kill();
    lab.cache(2).kill();
    for call in ["UNIVAR_TTL(n)", "UNIVAR_ADD(n,1,5)", "UNIVAR_INC(n)"] {
        let seen = a.run(&[&format!("Set(X=${{{call}}})")], "${X}/${UNIVARSTATUS}")?;
        assert_eq!(seen, "/UNREACHABLE", "{call}");
    }
    assert_eq!(a.run(&["Set(UNIVAR_TTL(n)=5)"], "${UNIVARSTATUS}")?, "UNREACHABLE");
    Ok(())
}

#[test]
fn names_that_are_gone_are_neither_shown_nor_offered() -> Result<()> {
    let lab = two_servers("variables-show")?;
    let a = lab.a();
    let mut dialplan = Dialplan::on(a)?;
    // More deleted ones than are ever shown, before and after the one that is there.
    let many = [
        "Set(N=1000)",
        "While($[${N} < 1700])",
        "SetUniVar(gone${N}=1)",
        "DelUniVar(gone${N})",
        "Set(N=$[${N} + 1])",
        "EndWhile()",
        "SetUniVar(gonegirl=here)",
    ];
    assert_eq!(dialplan.run(&many, "${N}")?, "1700");
    let shown = a.cli("univar show gone")?;
    assert!(shown.contains("gonegirl") && !shown.contains("gone1"), "{shown}");
    assert!(shown.contains("1 universal variable(s)") && !shown.contains("more"), "{shown}");
    let offered = a.cli("_command matchesarray \"univar gone11\" \"gone11\"")?;
    assert!(!offered.contains("gone11"), "{offered}");
    Ok(())
}
