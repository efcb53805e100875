//! Load, unload and reload under running calls and registrations.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tandem_lab::{Asterisk, Lab, ServerConfig};
use tandem_tests::{SOON, lab_with_module, unload, wait_ready};

const ROUNDS: u32 = 200;
const CALLS: usize = 4;
/// Asterisk keeps each SIP transaction for 32 s (RFC 3261, timer J) and its memory for the next one. So
/// its own growth under a steady rate of REGISTERs is over after this.
const WARM: Duration = Duration::from_secs(40);
const REGISTERS_PER_SECOND: u32 = 10;
/// The rounds are looked at in so many parts: what is lost in each round is lost in each part, and an allocator that
/// takes a piece for a thread of its own does so in one.
const PARTS: u32 = 4;
/// What the allocators' moods explain in a part: 10 kB lost in each round would be as much.
const GROWTH_BOUND_BYTES: i64 = 500_000;

/// Calls that stand at an application of ours again and again; without it they are hung up, so each round
/// begins new ones.
const DIRECT_CALLS: &str = "
[direct]
exten => d,1,Answer()
 same => n(again),GetUniVar(X=direct)
 same => n,Wait(0.01)
 same => n,Goto(again)
";

/// Calls that use everything the module has, for as long as the channel lives. An application that is
/// not there hangs a channel up, so they ask for it by `TryExec`. They pause, for Asterisk drops REGISTERs
/// while any of its queues is 500 tasks long (`taskprocessor_overload_trigger`), and that is not the matter.
const BUSY_CALLS: &str = "
[busy]
exten => s,1,Answer()
 same => n,Set(N=0)
 same => n(again),TryExec(GetUniVar(X=busy,Y=other))
 same => n,TryExec(SetUniVar(busy=${N}))
 same => n,Set(Z=${UNIVAR(busy)}${UNIVAR_EXISTS(other)})
 same => n,TryExec(DelUniVar(other))
 same => n,Set(N=$[${N} + 1])
 same => n,Wait(0.02)
 same => n,Goto(again)
";

fn busy(server: ServerConfig) -> ServerConfig {
    let calls = [BUSY_CALLS, DIRECT_CALLS].concat();
    server.load("app_exec").append("extensions.conf", &calls)
}

fn start_calls(server: &Asterisk, count: usize, place: &str) -> Result<()> {
    for _ in 0..count {
        server.cli(&format!("channel originate Local/{place}/n application Wait 600"))?;
    }
    Ok(())
}

#[test]
fn two_hundred_unloads_under_calls_and_registrations_leave_no_mapping_and_no_growth() -> Result<()>
{
    let lab = lab_with_module("reload-rounds")?
        .without_server("B")
        .without_server("gateway")
        .server("A", |server| busy(server).pjsip_many(5000, 50))
        .start()?;
    let a = lab.a();
    wait_ready(a)?;
    let pid = a.pid()?;
    start_calls(a, CALLS, "s@busy")?;

    let done = AtomicBool::new(false);
    let growth = thread::scope(|scope| -> Result<Vec<i64>> {
        let registrations = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                lab.register_many(a, 5000, 50).rate_per_second(REGISTERS_PER_SECOND).run()?;
            }
            Ok(())
        });
        let growth = growth(a);
        done.store(true, Ordering::Relaxed);
        let registrations = registrations.join();
        registrations.map_err(|_| anyhow::anyhow!("the registering thread panicked"))??;
        growth
    })?;
    ensure!(a.pid()? == pid, "Asterisk is the same process");
    // Two parts may have had a mood.
    assert!(
        growth[1] < GROWTH_BOUND_BYTES,
        "bytes more in each part of {ROUNDS} rounds: {growth:?}"
    );
    let channels = a.cli("core show channels concise")?;
    let busy = channels.lines().filter(|line| line.contains(";2!busy!s!")).count();
    assert_eq!(busy, CALLS, "the calls go on: {channels}");
    a.wait_cli("universal show status", "50 published", SOON)?;
    Ok(())
}

/// How much the resident memory grows in each part of the rounds, the least first, once Asterisk's own growth is over.
fn growth(a: &Asterisk) -> Result<Vec<i64>> {
    let warm_until = Instant::now() + WARM;
    while Instant::now() < warm_until {
        one_round(a).context("warming up")?;
    }
    let mut growth = Vec::new();
    let mut before = i64::try_from(a.rss_bytes()?)?;
    for round in 1..=ROUNDS {
        one_round(a).with_context(|| format!("round {round}"))?;
        if round % (ROUNDS / PARTS) == 0 {
            let now = i64::try_from(a.rss_bytes()?)?;
            growth.push(now - before);
            before = now;
        }
    }
    growth.sort_unstable();
    eprintln!("bytes more in each part: {growth:?}");
    Ok(growth)
}

/// Unload, look for what is left of the module, load, reload.
fn one_round(a: &Asterisk) -> Result<()> {
    start_calls(a, 1, "d@direct")?;
    unload(a)?;
    ensure!(!a.maps_contains("app_universal")?, "a mapping is left");
    let answer = a.cli("module load app_universal.so")?;
    ensure!(answer.contains("Loaded"), "{answer}");
    let answer = a.cli("module reload app_universal.so")?;
    ensure!(answer.contains("reloaded"), "{answer}");
    Ok(())
}

#[test]
fn a_configuration_with_mistakes_is_refused_as_a_whole_and_the_old_one_stays() -> Result<()> {
    let lab: Lab = lab_with_module("reload-mistakes")?
        .without_server("B")
        .without_server("gateway")
        .start()?;
    let a = lab.a();
    wait_ready(a)?;
    a.cli("univar set kept yes")?;
    let good = a.read_file("universal.conf")?;
    let mistakes = [
        ("servers = 127.0.0.1:99999\n", "is not host:port"),
        ("no_such_option = 1\n", "unknown option 'no_such_option'"),
        ("deadline = soon\n", "must be a whole number"),
        ("copies = 3\n", "'copies = 3' is not possible with 2 cache server(s)"),
        ("[x]\nprefix = PEERA_\nidentity = @x/\n", "prefix 'PEERA_' is already used in section"),
    ];
    for (mistake, message) in mistakes {
        a.write_file("universal.conf", &good.replace("deadline = 1000\n", mistake))?;
        a.cli("module reload app_universal.so")?;
        a.wait_log(message, SOON)?;
        let trouble = a.warnings()?;
        let said = trouble.iter().find(|line| line.contains(message)).context(message)?;
        assert!(said.contains("universal.conf, section ["), "{said}");
        assert!(said.contains(", line "), "{said}");
        assert!(a.cli("univar kept")?.contains("a value of yes"), "the old settings go on");
    }
    a.write_file("universal.conf", &good)?;
    a.cli("module reload app_universal.so")?;
    assert!(a.cli("univar kept")?.contains("a value of yes"));
    Ok(())
}

#[test]
fn without_a_configuration_file_the_module_says_so_once_and_asterisk_goes_on() -> Result<()> {
    let lab =
        lab_with_module("reload-no-file")?.without_server("B").without_server("gateway").start()?;
    let a = lab.a();
    wait_ready(a)?;
    unload(a)?;
    let conf = a.read_file("universal.conf")?;
    std::fs::remove_file(a.home().join("etc/universal.conf"))?;
    let before = a.warnings()?.len();
    let answer = a.cli("module load app_universal.so")?;
    assert!(answer.contains("Unable to load"), "{answer}");
    let said = a.warnings()?.split_off(before);
    let ours: Vec<_> = said.iter().filter(|line| line.contains("universal.conf")).collect();
    assert_eq!(ours.len(), 1, "{said:#?}");
    assert!(ours[0].contains("samples/universal.conf.sample"), "it names the cure: {}", ours[0]);
    // Asterisk keeps a module that declined in its list, and lets it try again.
    a.write_file("universal.conf", &conf)?;
    let answer = a.cli("module load app_universal.so")?;
    assert!(answer.contains("Loaded"), "{answer}");
    Ok(())
}
