//! The lab itself: what every other test stands on.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tandem_lab::{Lab, Release, ServerConfig, wait_until};

const MINUTE: Duration = Duration::from_secs(60);
/// Bound of anything in a call: all of it is loopback.
const SOON: Duration = Duration::from_secs(10);
/// Numbers that no lab takes by itself, for tests that look for what is left of one.
const END_NUMBER: u8 = 200;
const VICTIM_NUMBER: u8 = 201;

#[test]
fn three_servers_start_without_a_warning() -> Result<()> {
    let lab = Lab::start("lab-start")?;
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    for server in lab.servers() {
        assert!(server.cli("core show version")?.starts_with("Asterisk 22"));
        assert!(server.rss_bytes()? > 1_000_000);
        assert!(server.cpu_time()? > Duration::ZERO);
        assert!(server.maps_contains("chan_pjsip")?);
        assert!(!server.maps_contains("app_universal")?);
    }
    Ok(())
}

#[test]
fn an_asterisk_16_runs_beside_another_and_leaves_nothing_but_its_logs() -> Result<()> {
    let lab = Lab::builder("lab-old")
        .without_server("gateway")
        .server("B", |config| config.release(Release::Asterisk16))
        .start()?;
    for server in lab.servers() {
        let version = format!("Asterisk {}.", server.release().version());
        assert!(server.cli("core show version")?.starts_with(&version), "{version}");
    }
    let others = lab.warnings()?.into_iter().filter(|line| !line.contains("will be deprecated"));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<String>::new());
    assert!(lab.b().maps_contains("chan_sip")?);
    let (home, kept) = (lab.b().home().to_owned(), lab.logs().join("B/log/full"));
    drop(lab);
    assert!(!home.exists(), "{}", home.display());
    assert!(fs::symlink_metadata(&kept)?.is_file(), "{}", kept.display());
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
fn a_registration_is_refreshed_until_the_phone_is_gone_and_ends_then() -> Result<()> {
    const SHORT: Duration = Duration::from_secs(4);
    let lab = Lab::builder("lab-expiry").without_server("B").without_server("gateway").start()?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), SHORT)?;
    desk.wait_refreshed(lab.a(), 2 * SHORT)?;
    assert!(desk.is_registered_at(lab.a())?);

    desk.kill();

    wait_until("the registration has ended", 3 * SHORT, &lab.a().log(), || {
        Ok(!desk.is_registered_at(lab.a())?)
    })?;
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

#[test]
fn a_phone_rings_until_it_is_answered_and_an_iax_phone_calls_too() -> Result<()> {
    let lab = Lab::builder("lab-ring").without_server("B").without_server("gateway").start()?;
    let desk = lab.phone("200").tone_hz(880).answers(false).start()?;
    desk.register_at(lab.a(), MINUTE)?;
    let caller = lab.phone("202").start()?;
    caller.register_at(lab.a(), MINUTE)?;

    caller.dial(lab.a(), "200")?;
    desk.wait_ringing(SOON)?;
    desk.answer()?;
    caller.wait_established(SOON)?;
    caller.wait_tone(880, SOON)?;
    desk.hang_up()?;
    caller.wait_closed(SOON)?;
    desk.wait_closed(SOON)?;

    caller.dial(lab.a(), "nobody")?;
    let refused = caller.wait_established(SOON).expect_err("there is no such number");
    assert!(refused.to_string().contains("404"), "{refused}");

    let radio = lab.iax_phone("201")?;
    radio.dial(lab.a(), "202")?;
    caller.wait_established(SOON)?;
    caller.wait_tone(440, SOON).context("the echo of its own tone")?;
    radio.kill();
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
    a.wait_database_saved("/lab/key", SOON)?;
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
        ("Async", "true"),
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
    let lab = Lab::builder("lab-end").number(END_NUMBER).start()?;
    let desk = lab.phone("200").start()?;
    desk.register_at(lab.a(), MINUTE)?;
    let (folder, logs) = (lab.place().folder(), lab.logs().to_owned());
    assert_eq!(processes_of(END_NUMBER)?.len(), 6, "three servers, two caches and a phone");

    drop(desk);
    drop(lab);

    assert_eq!(processes_of(END_NUMBER)?, Vec::<String>::new());
    assert!(!folder.exists());
    let kept = fs::read_to_string(logs.join("A/log/full")).context("the log is kept")?;
    assert!(kept.contains("Asterisk cleanly ending (0)"));
    Ok(())
}

#[test]
fn a_lab_whose_process_is_killed_leaves_nothing_running() -> Result<()> {
    const PLAY_THE_VICTIM: &str = "TANDEM_LAB_VICTIM";
    const READY: &str = "the victim's lab is ready";
    if env::var_os(PLAY_THE_VICTIM).is_some() {
        let lab = Lab::builder("lab-victim").number(VICTIM_NUMBER).start()?;
        let radio = lab.iax_phone("201")?;
        radio.register_at(lab.a())?;
        println!("\n{READY}");
        // Until we are killed: nothing ever comes.
        io::stdin().read_line(&mut String::new())?;
        return Ok(());
    }
    let mut victim = Command::new(env::current_exe()?)
        .args(["--exact", "a_lab_whose_process_is_killed_leaves_nothing_running", "--nocapture"])
        .env(PLAY_THE_VICTIM, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = BufReader::new(victim.stdout.take().context("the victim's output is ours")?);
    let ready = output.lines().map_while(Result::ok).any(|line| line == READY);
    assert!(ready, "the victim has started its lab");
    assert_eq!(processes_of(VICTIM_NUMBER)?.len(), 6, "three servers, two caches and a phone");

    victim.kill()?;
    victim.wait()?;

    wait_until("no process of the lab is left", SOON, Path::new("target/lab/lab-victim"), || {
        Ok(processes_of(VICTIM_NUMBER).is_ok_and(|left| left.is_empty()))
    })?;
    // Its folder, its number and its log's place are there for the next.
    let next = Lab::builder("lab-victim").number(VICTIM_NUMBER).start()?;
    assert_eq!(next.warnings()?, Vec::<String>::new());
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
    lab.a().wait_cli("pjsip show contacts", "Objects found: 1000\n", SOON)?;
    // With a password, where the server wants one.
    lab.register_many(lab.a(), 200, 10).run()?;
    lab.a().wait_cli("pjsip show contacts", "Objects found: 1010\n", SOON)?;
    lab.register_many(lab.a(), 10_000, 1000).expires(Duration::ZERO).run()?;
    lab.a().wait_cli("pjsip show contacts", "Objects found: 10\n", SOON)?;
    // Asterisk says so when 500 device states wait; all else is a fault.
    let mut warnings = lab.warnings()?;
    warnings.retain(|line| !line.contains("taskprocessor.c"));
    assert_eq!(warnings, Vec::<String>::new());
    Ok(())
}

#[test]
fn many_calls_are_made_and_each_is_timed() -> Result<()> {
    let answers = "exten => 960,1,Answer()\n same => n,Wait(5)\n same => n,Hangup()\n";
    let lab = Lab::builder("lab-calls")
        .without_server("B")
        .without_server("gateway")
        .server("A", |server| server.pjsip_many(10_000, 1).append("extensions.conf", answers))
        .start()?;
    let took = lab.call_many(lab.a(), [10_000, 100, 50], "960").run()?;
    assert_eq!(took.len(), 100);
    ensure!(took.iter().all(|took| !took.is_zero() && *took < SOON), "{took:?}");
    lab.a().wait_no_channels(SOON)?;
    let refused = lab.call_many(lab.a(), [10_000, 1, 1], "nobody").run();
    ensure!(refused.is_err(), "{refused:?}");
    assert_eq!(lab.warnings()?, Vec::<String>::new());
    Ok(())
}

/// Command lines of the running processes that name an address or a folder of this lab.
fn processes_of(number: u8) -> Result<Vec<String>> {
    let (address, folder) = (format!("127.{number}.0."), format!("/lab/{number}/"));
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        // A process may end while we look.
        let line = fs::read(entry?.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&address) || line.contains(&folder) {
            found.push(line);
        }
    }
    Ok(found)
}
