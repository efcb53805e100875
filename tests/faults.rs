//! Cache servers that die, hang or were never there; AMI clients that send what they should not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tandem_lab::{AMI_PORT, Asterisk, Lab, wait_until};
use tandem_tests::{Dialplan, SOON, lab_with_module, wait_ready};

/// The deadline of the tests that ask a cache which does not answer, in ms.
const DEADLINE: &str = "200";
/// What that may become on a busy machine: far from the seconds that a client without a deadline waits.
const HELD_BOUND: Duration = Duration::from_secs(1);

fn one_server(name: &str) -> Result<Lab> {
    let lab = lab_with_module(name)?
        .without_server("B")
        .without_server("gateway")
        .server("A", |server| {
            server.replace("universal.conf", "deadline = 1000", &format!("deadline = {DEADLINE}"))
        })
        .start()?;
    wait_ready(lab.a())?;
    Ok(lab)
}

/// Runs `GetUniVar(X=NAME)` and says what it answered and how long the channel was held, by
/// Asterisk's own log.
fn timed_get(server: &Asterisk, name: &str) -> Result<(String, Duration)> {
    let mut dialplan = Dialplan::on(server)?;
    let clock = "${STRFTIME(,,%s%3q)}";
    let seen = dialplan.run(
        &[
            &format!("Set(FROM={clock})"),
            &format!("GetUniVar(X={name})"),
            &format!("Set(TO={clock})"),
        ],
        "${UNIVARSTATUS} ${FROM} ${TO} ${X}",
    )?;
    let mut words = seen.split(' ');
    let status = words.next().context("a status")?.to_owned();
    let from: u64 = words.next().context("a time")?.parse()?;
    let to: u64 = words.next().context("a time")?.parse()?;
    Ok((format!("{status}/{}", words.next().unwrap_or_default()), Duration::from_millis(to - from)))
}

#[test]
fn a_hung_cache_holds_no_channel_longer_than_the_deadline_and_never_says_missing() -> Result<()> {
    let lab = one_server("faults-hung")?;
    lab.a().cli("univar set greeting hello")?;
    assert_eq!(timed_get(lab.a(), "greeting")?.0, "OK/hello");
    lab.cache(1).freeze()?;
    lab.cache(2).freeze()?;
    for _ in 0..5 {
        let (answer, held) = timed_get(lab.a(), "greeting")?;
        assert_eq!(answer, "UNREACHABLE/");
        assert!(held < HELD_BOUND, "held for {held:?}");
    }
    lab.cache(1).thaw()?;
    lab.cache(2).thaw()?;
    wait_ready(lab.a())?;
    assert_eq!(timed_get(lab.a(), "greeting")?.0, "OK/hello");
    Ok(())
}

#[test]
fn a_dead_cache_is_unreachable_at_once_and_a_new_one_is_not_believed_before_it_is_healed()
-> Result<()> {
    let lab = one_server("faults-dead")?;
    lab.cache(1).kill();
    lab.cache(2).kill();
    let (answer, held) = timed_get(lab.a(), "nothing")?;
    assert_eq!(answer, "UNREACHABLE/");
    assert!(held < HELD_BOUND, "held for {held:?}");
    lab.a().wait_log("what only it has is UNREACHABLE", SOON)?;
    lab.cache(1).start()?;
    lab.cache(2).start()?;
    let begun = Instant::now();
    let mut answers = vec![];
    wait_until("misses count again", SOON, &lab.a().log(), || {
        answers.push(lab.a().cli("univar nothing")?);
        Ok(answers.last().is_some_and(|answer| answer.contains("is not set")))
    })?;
    let unsure = answers.iter().filter(|answer| answer.contains("cannot be read")).count();
    assert!(unsure > 0, "it was not believed at once: {answers:?}");
    assert!(begun.elapsed() >= Duration::from_secs(3), "healing takes a window");
    Ok(())
}

#[test]
fn a_cache_that_does_not_resolve_is_named_and_holds_nothing_up() -> Result<()> {
    let lab = lab_with_module("faults-dns")?
        .without_server("B")
        .without_server("gateway")
        .server("A", |server| {
            server.universal_conf("[general]\nservers = no-such-host.invalid:11211\n")
        })
        .start()?;
    lab.a().wait_cli("universal show servers", "unresolved", SOON)?;
    let (answer, held) = timed_get(lab.a(), "greeting")?;
    assert_eq!(answer, "UNREACHABLE/");
    assert!(held < HELD_BOUND, "held for {held:?}");
    let trouble = lab.a().warnings()?;
    let named: Vec<_> =
        trouble.iter().filter(|line| line.contains("no-such-host.invalid")).collect();
    assert_eq!(named.len(), 1, "one clear message: {trouble:#?}");
    Ok(())
}

#[test]
fn ami_gets_sets_and_deletes_and_no_value_becomes_a_header() -> Result<()> {
    let lab = one_server("faults-ami")?;
    let mut ami = lab.a().ami()?;
    let set =
        ami.action(&[("Action", "UniVarSet"), ("Name", "v"), ("Value", "plain, \"value\"")])?;
    assert_eq!(set.value("Status"), "OK");
    let get = ami.action(&[("Action", "UniVarGet"), ("Name", "v")])?;
    assert_eq!(get.value("Value"), "plain, \"value\"");
    assert_eq!(get.value("ValueEncoded"), "plain%2C%20%22value%22");

    let evil = "1%0D%0AAction%3A%20Originate%0D%0A%0D%0AResponse%3A%20Success";
    ami.action(&[("Action", "UniVarSet"), ("Name", "evil"), ("ValueEncoded", evil)])?;
    let get = ami.action(&[("Action", "UniVarGet"), ("Name", "evil")])?;
    assert_eq!(get.value("ValueEncoded"), evil);
    assert_eq!(get.values("Value").count(), 0, "it cannot stand as it is: {get:?}");
    assert_eq!(get.values("Action").count(), 0);

    let ttl = [("Action", "UniVarSet"), ("Name", "v"), ("Value", "x"), ("TTL", "soon")];
    assert!(ami.ask(&ttl)?.value("Message").contains("whole number of seconds"));
    let bad = ami.ask(&[("Action", "UniVarGet"), ("Name", "two words")])?;
    assert_eq!(bad.value("Response"), "Error");
    let nul = [("Action", "UniVarSet"), ("Name", "v"), ("ValueEncoded", "%00TD1x")];
    assert!(ami.ask(&nul)?.value("Message").contains("NUL"));
    let none = ami.ask(&[("Action", "UniVarGet")])?;
    assert!(none.value("Message").contains("Name"), "{none:?}");
    let del = ami.action(&[("Action", "UniVarDel"), ("Name", "v")])?;
    assert_eq!(del.value("Status"), "OK");
    let get = ami.action(&[("Action", "UniVarGet"), ("Name", "v")])?;
    assert_eq!(get.value("Status"), "MISSING");
    Ok(())
}

/// One request of an AMI user of its own, and the whole answer.
fn as_user(server: &Asterisk, user: &str, request: &str) -> Result<String> {
    let mut stream = TcpStream::connect((server.address(), AMI_PORT))?;
    stream.set_read_timeout(Some(SOON))?;
    let login = format!("Action: Login\r\nUsername: {user}\r\nSecret: {user}-secret\r\n\r\n");
    let logoff = "Action: Logoff\r\n\r\n";
    stream.write_all(format!("{login}{request}\r\n{logoff}").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn reading_needs_reporting_or_system_and_writing_needs_system() -> Result<()> {
    let users = ["reporting", "system", "call"];
    let lab = lab_with_module("faults-privileges")?
        .without_server("B")
        .without_server("gateway")
        .server("A", |server| {
            users.iter().fold(server, |server, user| {
                let text = format!("\n[{user}]\nsecret = {user}-secret\nwrite = {user}\n");
                server.append("manager.conf", &text)
            })
        })
        .start()?;
    let a = lab.a();
    wait_ready(a)?;
    a.cli("univar set v 1")?;
    let get = "Action: UniVarGet\r\nName: v\r\n";
    let set = "Action: UniVarSet\r\nName: v\r\nValue: 2\r\n";
    let del = "Action: UniVarDel\r\nName: v\r\n";
    for (user, request, allowed) in [
        ("reporting", get, true),
        ("system", get, true),
        ("call", get, false),
        ("reporting", set, false),
        ("call", set, false),
        ("reporting", del, false),
        ("system", set, true),
        ("system", del, true),
    ] {
        let answer = as_user(a, user, request)?;
        assert_eq!(answer.contains("Status: OK"), allowed, "{user}: {request}: {answer}");
        assert_eq!(answer.contains("Permission denied"), !allowed, "{user}: {request}: {answer}");
    }
    Ok(())
}

#[test]
fn help_answers_in_full_and_names_are_completed() -> Result<()> {
    let lab = one_server("faults-help")?;
    let a = lab.a();
    for (command, wanted) in [
        ("core show application GetUniVar", "UNIVARSTATUS"),
        ("core show application SetUniVar", "Set a universal variable"),
        ("core show application DelUniVar", "Delete universal variables"),
        ("core show function UNIVAR", "Read or write a universal variable"),
        ("core show function UNIVAR_EXISTS", "Whether a universal variable is there"),
        ("core show function UNIVAR_TTL", "How long a universal variable will live"),
        ("core show function UNIVAR_ADD", "Set a universal variable if there is none"),
        ("core show function UNIVAR_INC", "Count with all servers together"),
        ("core show function LOCATE", "Where a peer is registered"),
        ("manager show command UniVarGet", "Get a universal variable"),
        ("manager show command UniVarSet", "ValueEncoded"),
        ("manager show command UniVarDel", "Delete a universal variable"),
        ("core show help univar set", "Usage: univar set NAME VALUE [TTL]"),
        ("core show help universal republish", "Usage: universal republish"),
    ] {
        let help = a.cli(command)?;
        assert!(help.contains(wanted), "{command}: {help}");
        assert!(!help.contains("Not available"), "{command}: {help}");
    }
    a.cli("univar set completed-name 1")?;
    for command in ["univar", "univar set", "univar del"] {
        let offered =
            a.cli(&format!("_command matchesarray \"{command} completed\" \"completed\""))?;
        assert!(offered.contains("completed-name"), "{command}: {offered}");
    }
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}
