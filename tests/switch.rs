//! `switch => Universal/section`: phones of other servers, dialable from a context that has nothing else.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tandem_lab::{AmiMessage, Asterisk, Cache, Lab, Phone, ServerConfig, wait_until};
use tandem_tests::{Dialplan, SOON, lab_with_module, unload, wait_ready};

const HOUR: Duration = Duration::from_secs(3600);

/// A section that serves as a switch, on every server.
const FLEET: &str = "
[fleet]
prefixes = PEERA_ PEERB_
dial = IAX2/tandem:@TRUNK_SECRET@{identity}{peer}
match = _2XX 500
ring = 5
";

/// What happens beside the switch, told to the manager interface.
const CONTEXTS: &str = "
[bare]
switch => Universal/fleet

[cautious]
switch => Universal/fleet
exten => _2XX,2,UserEvent(Next,Result: ${UNIVARSTATUS} ${DIALSTATUS})
exten => e,1,UserEvent(Error,Result: ${UNIVARSTATUS} ${DIALSTATUS})
exten => h,1,UserEvent(Ended,Result: ${UNIVARSTATUS} ${DIALSTATUS} ${HANGUPCAUSE})

[voicemail]
switch => Universal/fleet
exten => _2XX,2,UserEvent(Next,Result: ${UNIVARSTATUS} ${DIALSTATUS})
exten => h,1,UserEvent(Ended,Result: ${UNIVARSTATUS} ${DIALSTATUS} ${HANGUPCAUSE})

; As docs/dialplan.md has it, but that it tells what it would do.
[documented]
switch => Universal/fleet
exten => _2XX,2,GotoIf($[\"${UNIVARSTATUS}\" = \"MISSING\"]?voicemail)
 same => n,GotoIf($[\"${DIALSTATUS}\" = \"NOANSWER\" | \"${DIALSTATUS}\" = \"BUSY\"]?voicemail)
 same => n,UserEvent(Next,Result: congestion)
 same => n,Hangup()
 same => n(voicemail),UserEvent(Next,Result: voicemail)
 same => n,Hangup()
exten => h,1,UserEvent(Ended,Result: nothing)

[others]
switch => Universal/fleet
switch => Universal/no-such-section
include => mine

[mine]
exten => _3XX,1,UserEvent(Next,Result: mine)
exten => h,1,UserEvent(Ended,Result: mine)

[digits]
switch => Universal/fleet
exten => s,1,Answer()
 same => n,WaitExten(20)
exten => _2XX,2,UserEvent(Next,Result: ${EXTEN})
";

fn with_switch(server: ServerConfig) -> ServerConfig {
    server.append("universal.conf", FLEET).append("extensions.conf", CONTEXTS).replace(
        "extensions.conf",
        "exten => _X.,1,Goto(from-tandem,${EXTEN},1)",
        "switch => Universal/fleet",
    )
}

/// Servers A and B, whose phones' context holds nothing but the switch.
fn lab(name: &str) -> Result<Lab> {
    started(lab_with_module(name)?.server("A", with_switch).server("B", with_switch))
}

fn started(builder: tandem_lab::LabBuilder) -> Result<Lab> {
    let lab = builder.without_server("gateway").start()?;
    wait_ready(lab.a())?;
    wait_ready(lab.b())?;
    Ok(lab)
}

fn found(server: &Asterisk, name: &str) -> Result<()> {
    server.wait_cli(&format!("univar {name}"), "has a value", SOON)?;
    Ok(())
}

/// Writes a record as it is left behind by a server that had the phone.
fn stale(lab: &Lab, name: &str, server: &Asterisk) -> Result<()> {
    for number in [1, 2] {
        lab.cache(number).set(name, &format!("@{}/", server.address()), 0)?;
    }
    Ok(())
}

/// Calls from a channel that runs `extension@context`, and gives the first event of this name.
fn told(server: &Asterisk, place: &str, event: &str) -> Result<String> {
    let ami = server.ami()?;
    let mark = ami.mark();
    server.cli(&format!("channel originate Local/{place}/n application Wait 30"))?;
    let what = format!("{place} tells {event}");
    let first = |heard: &AmiMessage| {
        heard.is_event("UserEvent")
            && ["Next", "Error", "Ended"].contains(&heard.value("UserEvent"))
    };
    let told = ami.wait_event_after(mark, &what, SOON, first)?;
    let is_end =
        |heard: &AmiMessage| heard.is_event("UserEvent") && heard.value("UserEvent") == "Ended";
    ami.wait_event_after(mark, &format!("{place} ends"), SOON, is_end)?;
    ensure!(told.value("UserEvent") == event, "{place}: {told:?}");
    Ok(told.value("Result").to_owned())
}

/// Dials, and gives the reason for which the call was refused.
fn refused(caller: &Phone, server: &Asterisk, number: &str) -> Result<String> {
    caller.dial(server, number)?;
    Ok(caller.wait_established(SOON).err().context("the call is refused")?.to_string())
}

fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

#[test]
fn a_phone_is_called_wherever_it_is_from_a_context_with_nothing_but_the_switch() -> Result<()> {
    let lab = lab("switch-calls")?;
    let remote = lab.phone("200").tone_hz(880).start()?;
    remote.register_at(lab.b(), HOUR)?;
    let radio = lab.iax_phone("201")?;
    radio.register_at(lab.b())?;
    let local = lab.phone("203").tone_hz(660).start()?;
    local.register_at(lab.a(), HOUR)?;
    for name in ["PEERB_200", "PEERB_201", "PEERA_203"] {
        found(lab.a(), name)?;
    }
    let caller = lab.phone("202").start()?;
    caller.add_account(lab.a())?;
    for (number, tone) in [("200", 880), ("201", 440), ("203", 660)] {
        caller.dial(lab.a(), number)?;
        caller.wait_established(SOON).with_context(|| format!("calling {number}"))?;
        if tone != 440 {
            caller.wait_tone(tone, SOON).with_context(|| format!("calling {number}"))?;
        }
        caller.hang_up()?;
        caller.wait_closed(SOON)?;
    }
    assert_eq!(lab.warnings()?, Vec::<String>::new());

    // What is registered here is known here: no cache is needed to call it.
    lab.cache(1).kill();
    lab.cache(2).kill();
    caller.dial(lab.a(), "203")?;
    caller.wait_established(SOON)?;
    caller.hang_up()?;
    caller.wait_closed(SOON)?;
    Ok(())
}

#[test]
fn every_contact_of_a_phone_here_rings() -> Result<()> {
    let lab = lab("switch-contacts")?;
    let phones =
        [lab.phone("200").answers(false).start()?, lab.phone("200").answers(false).start()?];
    for phone in &phones {
        phone.register_at(lab.a(), HOUR)?;
    }
    let caller = lab.phone("202").start()?;
    caller.add_account(lab.a())?;
    caller.dial(lab.a(), "200")?;
    for phone in &phones {
        phone.wait_ringing(SOON)?;
    }
    phones[1].answer()?;
    caller.wait_established(SOON)?;
    Ok(())
}

#[test]
fn a_phone_that_nobody_has_is_missing_and_goes_to_the_next_priority_if_there_is_one() -> Result<()>
{
    let lab = lab("switch-missing")?;
    assert_eq!(told(lab.a(), "200@cautious", "Next")?, "MISSING CHANUNAVAIL");
    assert_eq!(told(lab.a(), "200@voicemail", "Next")?, "MISSING CHANUNAVAIL");
    let caller = lab.phone("202").start()?;
    caller.add_account(lab.a())?;
    let reason = refused(&caller, lab.a(), "200")?;
    assert!(reason.contains("480"), "{reason}");
    // 300 is nobody's business.
    let reason = refused(&caller, lab.a(), "300")?;
    assert!(reason.contains("404"), "{reason}");
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn voicemail_is_for_a_phone_that_nobody_has_or_that_does_not_answer_and_for_no_other() -> Result<()>
{
    let lab = lab("switch-noanswer")?;
    let desk = lab.phone("200").answers(false).start()?;
    desk.register_at(lab.b(), HOUR)?;
    found(lab.a(), "PEERB_200")?;
    assert_eq!(told(lab.a(), "200@voicemail", "Next")?, "OK NOANSWER");
    assert_eq!(told(lab.a(), "200@documented", "Next")?, "voicemail");
    assert_eq!(told(lab.a(), "204@documented", "Next")?, "voicemail", "nobody has it");
    // Who has it is known, and does not answer.
    lab.b().kill();
    stale(&lab, "PEERB_200", lab.b())?;
    assert_eq!(told(lab.a(), "200@documented", "Next")?, "congestion");
    Ok(())
}

#[test]
fn a_record_that_leads_back_to_this_server_is_never_dialled() -> Result<()> {
    let lab = lab("switch-own")?;
    stale(&lab, "PEERA_200", lab.a())?;
    let mark = lab.a().log_mark()?;
    assert_eq!(told(lab.a(), "200@voicemail", "Next")?, "MISSING CHANUNAVAIL");
    let log = lab.a().log_since(mark)?;
    assert_eq!(count(&log, "app_dial.c: Called "), 0, "{log}");
    Ok(())
}

#[test]
fn two_servers_that_point_at_each_other_do_not_send_a_call_to_and_fro() -> Result<()> {
    // What a trunk's context should not have: the switch.
    let looped = |server| {
        with_switch(server).replace(
            "extensions.conf",
            "[from-tandem]",
            "[from-tandem]\nswitch => Universal/fleet\n[unused]",
        )
    };
    let builder = lab_with_module("switch-loop")?.server("A", looped).server("B", looped);
    let lab = started(builder)?;
    stale(&lab, "PEERA_200", lab.a())?;
    stale(&lab, "PEERB_200", lab.b())?;
    assert_eq!(told(lab.a(), "200@voicemail", "Next")?, "OK CHANUNAVAIL");
    let (a, b) = (lab.a().log_text()?, lab.b().log_text()?);
    assert_eq!(
        (count(&a, "app_dial.c: Called "), count(&b, "app_dial.c: Called ")),
        (1, 0),
        "{a}\n{b}"
    );

    // The phone is on B after all, and the mark of a call is gone with it.
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.b(), HOUR)?;
    let caller = lab.phone("202").start()?;
    caller.add_account(lab.a())?;
    for _ in 0..2 {
        caller.dial(lab.a(), "200")?;
        caller.wait_established(SOON)?;
        caller.hang_up()?;
        caller.wait_closed(SOON)?;
    }
    Ok(())
}

#[test]
fn dead_caches_are_no_missing_phone_the_call_ends_and_no_voicemail_takes_it() -> Result<()> {
    let lab = lab("switch-unreachable")?;
    for cache in [lab.cache(1), lab.cache(2)] {
        cache.kill();
    }
    let began = Instant::now();
    // 34: Asterisk's congestion.
    assert_eq!(told(lab.a(), "200@voicemail", "Ended")?, "UNREACHABLE CONGESTION 34");
    assert_eq!(told(lab.a(), "200@cautious", "Error")?, "UNREACHABLE CONGESTION");
    assert_eq!(told(lab.a(), "200@documented", "Ended")?, "nothing");
    let caller = lab.phone("202").start()?;
    caller.add_account(lab.a())?;
    let reason = refused(&caller, lab.a(), "200")?;
    assert!(reason.contains("503"), "{reason}");
    assert!(began.elapsed() < SOON, "it took {:?}", began.elapsed());
    lab.a().wait_log("no cache server can say for certain who has the peer", SOON)?;

    // They hang: no longer than the deadline (1 s in the lab) for each call.
    for cache in [lab.cache(1), lab.cache(2)] {
        cache.start()?;
    }
    wait_ready(lab.a())?;
    for cache in [lab.cache(1), lab.cache(2)] {
        cache.freeze()?;
    }
    let began = Instant::now();
    assert_eq!(told(lab.a(), "200@voicemail", "Ended")?, "UNREACHABLE CONGESTION 34");
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    Ok(())
}

#[test]
fn a_record_that_cannot_be_dialled_is_no_missing_phone_and_adds_nothing_to_dial() -> Result<()> {
    let lab = lab("switch-record")?;
    for evil in ["@x/&Local/300@mine/", "@x/200,30,g"] {
        for number in [1, 2] {
            lab.cache(number).set("PEERB_200", evil, 0)?;
        }
        assert_eq!(told(lab.a(), "200@voicemail", "Ended")?, "UNREACHABLE CONGESTION 34", "{evil}");
    }
    assert_eq!(count(&lab.a().log_text()?, "app_dial.c: Called "), 0);
    Ok(())
}

#[test]
fn what_no_pattern_takes_is_left_to_others_and_nothing_is_asked_of_a_cache_for_it() -> Result<()> {
    let lab = lab("switch-patterns")?;
    let a = lab.a();
    for _ in 0..2 {
        assert_eq!(told(a, "300@others", "Next")?, "mine");
    }
    let mut dialplan = Dialplan::on(a)?;
    for (place, exists) in [
        ("bare,200,1", "1"),
        ("bare,500,1", "1"),
        ("bare,200,2", "0"),
        ("bare,20,1", "0"),
        ("bare,2000,1", "0"),
        ("bare,300,1", "0"),
        ("bare,h,1", "0"),
        ("bare,200&SIP/1,1", "0"),
        ("bare,2-0-0,1", "1"),
        ("cautious,200,2", "1"),
    ] {
        let seen = dialplan.run(&[], &format!("${{DIALPLAN_EXISTS({place})}}"))?;
        assert_eq!(seen, exists, "{place}");
    }

    let gets = |cache: &Cache| -> Result<u64> {
        let stats = cache.command("stats")?;
        let line = stats.iter().find_map(|line| line.strip_prefix("STAT cmd_get "));
        Ok(line.context("cmd_get")?.parse()?)
    };
    let before = gets(lab.cache(1))? + gets(lab.cache(2))?;
    let asked = dialplan.run(
        &[
            "Set(N=0)",
            "While($[${N} < 300])",
            "Set(N=$[${N} + ${DIALPLAN_EXISTS(bare,200,1)}])",
            "EndWhile()",
        ],
        "${N}",
    )?;
    assert_eq!(asked, "300");
    let asked = gets(lab.cache(1))? + gets(lab.cache(2))? - before;
    assert!(asked < 100, "the servers' own probes, and no look-ups: {asked}");

    let shown = a.cli("dialplan show 200@bare")?;
    assert!(shown.contains("'Universal/fleet'"), "{shown}");
    let offered = a.cli("_command matchesarray \"dialplan show 2\" \"2\"")?;
    assert!(!offered.contains("Universal"), "{offered}");
    assert!(a.cli("core show switches")?.contains("Universal: Phones that"), "it is listed");
    assert!(a.cli("universal show status")?.contains("Universal/fleet takes _2XX 500, rings 5 s"));
    let said = lab.warnings()?;
    assert_eq!(said.len(), 1, "a line for nothing is told of, once: {said:#?}");
    assert!(said[0].contains("no section [no-such-section] with match="), "{said:#?}");
    Ok(())
}

#[test]
fn digits_are_waited_for_as_long_as_a_pattern_wants_more() -> Result<()> {
    let lab = lab("switch-digits")?;
    let ami = lab.a().ami()?;
    let mark = ami.mark();
    lab.a().cli("channel originate Local/s@digits/n application SendDTMF 204")?;
    let told = ami.wait_event_after(mark, "the digits are taken", SOON, |event| {
        event.is_event("UserEvent") && event.value("UserEvent") == "Next"
    })?;
    assert_eq!(told.value("Result"), "204");
    Ok(())
}

#[test]
fn a_call_that_was_put_through_keeps_the_module_and_a_reload_does_not_mind() -> Result<()> {
    let lab = lab("switch-unload")?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.b(), HOUR)?;
    found(lab.a(), "PEERB_200")?;
    let caller = lab.phone("202").start()?;
    caller.add_account(lab.a())?;
    caller.dial(lab.a(), "200")?;
    caller.wait_established(SOON)?;
    let answer = lab.a().cli("module unload app_universal.so")?;
    assert!(answer.contains("Unable to unload"), "{answer}");
    let answer = lab.a().cli("module reload app_universal.so")?;
    assert!(answer.contains("reloaded"), "{answer}");
    caller.hang_up()?;
    caller.wait_closed(SOON)?;
    unload(lab.a())?;
    assert!(!lab.a().maps_contains("app_universal")?, "a mapping is left");
    let reason = refused(&caller, lab.a(), "200")?;
    assert!(reason.contains("404"), "without the module there is no such number: {reason}");
    Ok(())
}

const CALLS: usize = 100;
const ROUNDS: u32 = 60;

/// A call that is at the switch again and again, whatever becomes of it. Where the module is loaded between
/// two looks of Asterisk's at the same extension (no, then yes), Asterisk waits for more digits, or hangs up.
const AGAIN: &str = "
[general]
autofallthrough = no

[again]
switch => Universal/fleet
exten => s,1,Answer()
 same => n,Goto(200,1)
exten => _2XX,2,Wait(1)
 same => n,Goto(200,1)
exten => i,1,Wait(1)
 same => n,Goto(200,1)
exten => e,1,Wait(1)
 same => n,Goto(200,1)
exten => t,1,Goto(200,1)
";

#[test]
fn a_hundred_calls_at_the_switch_survive_unloads_and_reloads_and_no_mapping_is_left() -> Result<()>
{
    let busy = |server| with_switch(server).append("extensions.conf", AGAIN);
    let lab = lab_with_module("switch-rounds")?.without_server("B").without_server("gateway");
    let lab = lab.server("A", busy).start()?;
    let a = lab.a();
    wait_ready(a)?;
    let pid = a.pid()?;
    for _ in 0..CALLS {
        a.cli("channel originate Local/s@again/n application Wait 600")?;
    }
    let there = || -> Result<usize> {
        let channels = a.cli("core show channels concise")?;
        Ok(channels.lines().filter(|line| line.contains(";2!again!")).count())
    };
    wait_until("all calls are there", SOON, &a.log(), || Ok(there().is_ok_and(|n| n == CALLS)))?;
    for round in 1..=ROUNDS {
        let one = || -> Result<()> {
            unload(a)?;
            ensure!(!a.maps_contains("app_universal")?, "a mapping is left");
            a.cli("dialplan reload")?;
            let answer = a.cli("module load app_universal.so")?;
            ensure!(answer.contains("Loaded"), "{answer}");
            let answer = a.cli("module reload app_universal.so")?;
            ensure!(answer.contains("reloaded"), "{answer}");
            Ok(())
        };
        one().with_context(|| format!("round {round}"))?;
    }
    ensure!(a.pid()? == pid, "Asterisk is the same process");
    assert_eq!(there()?, CALLS, "the calls go on");
    Ok(())
}
