//! `./bench hub`: the hub beside 20 servers with 10,000 peers and 1,000 calls, and 500 events a second.
//!
//! The servers are simulated: they speak from what a real one said (`recording.ami`, made by `record`). All else is
//! real: the hub is `tandem serve` on a core of its own, watches them through AMI, and is followed by a script and by
//! a browser with the console's page of peers, which share the other core with the simulation.

mod page;
mod record;
mod recording;
mod server;
mod sessions;
mod traffic;
mod watch;

use std::collections::HashSet;
use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tandem_lab::{AMI_PORT, AMI_SECRET, Api, Browser, Hub, Lab};

use crate::Options;
use crate::cpu::{self, CoreTime};
use crate::report::{Goal, Report};
use crate::stats;
pub(crate) use record::{RECORD, record};
use recording::Name;
use server::{PEERS, Registration, SERVERS};
use sessions::Simulation;
use traffic::{CALLS, EVENTS_PER_S, Load, Sent, Traffic};
use watch::Watch;

/// The last part of the first server's address.
const FIRST_HOST: u8 = 101;
/// The load lasts so long for each pair of `--pairs`: a minute if nothing is said.
const LOAD_A_PAIR: Duration = Duration::from_secs(2);
/// Before it counts.
const WARM_UP: Duration = Duration::from_secs(5);
/// Bound of the time until all is listed, and asked one by one.
const LISTED_WITHIN: Duration = Duration::from_secs(120);
/// The last event is on its way for less.
const SETTLE: Duration = Duration::from_secs(2);
const PASSWORD: &str = "correct horse battery";

const GOAL_DELAY: Goal = Goal::AtMost(250.0);
const GOAL_MEMORY: Goal = Goal::AtMost(150.0);
const GOAL_CORES: Goal = Goal::AtMost(1.0);

/// Measures all figures of the bench; one load gives them all.
///
/// # Errors
///
/// If the hub or the browser does not start, or does not list what there is.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = Report::new("hub")?;
    cpu::pin_thread(0, options.client)?;
    let lab = ["A", "B", "gateway"]
        .into_iter()
        .fold(Lab::builder("bench-hub"), |lab, server| lab.without_server(server));
    let lab = lab.caches(0).start()?;
    let place = lab.place();
    let host = |at: usize| place.address(FIRST_HOST + u8::try_from(at).unwrap_or(u8::MAX));
    let simulation = Simulation::start(host, AMI_PORT)?;
    let mut builder = lab.hub();
    for (at, server) in simulation.servers.iter().enumerate() {
        builder = builder.section(&format!(
            "[[server]]\nname = \"{}\"\nami = {{ address = \"{}:{AMI_PORT}\", user = \"tandem\", \
             secret = \"{AMI_SECRET}\" }}\n",
            server.name,
            host(at)
        ));
    }
    let hub = builder.start()?;
    cpu::pin_process(hub.pid()?, options.servers)?;
    hub.add_user("ann", "viewer", PASSWORD)?;
    let api = hub.log_in("ann", PASSWORD)?;
    let seq = api.get("/api/state")?["seq"].as_u64().context("a sequence")?;
    let watch = Watch::start(api.event_stream(seq)?);

    let start = start_up(&simulation, &watch, hub.pid()?)?;
    let browser = lab.browser()?;
    browser.log_in(&hub.url(), "ann", PASSWORD)?;
    browser.see("grid", "Peers")?;
    browser.see_text(&format!("{}", server::FIRST_NUMBER))?;
    thread::sleep(SETTLE);
    page::observe(&browser)?;
    let measured = measure(options, &simulation, &hub, &watch, &browser, &api)?;
    tell(&report, options, &start, &measured)
}

/// Seconds from the first connection.
struct Start {
    listed_s: f64,
    asked_s: f64,
    /// The hub's processor time until then.
    listed_cpu_s: f64,
    asked_cpu_s: f64,
}

/// Lets the servers speak, and waits until the hub knows all.
fn start_up(simulation: &Simulation, watch: &Watch, pid: u32) -> Result<Start> {
    let used = || cpu::time_used(pid).unwrap_or_default().as_secs_f64();
    let (before, mut listed_cpu) = (used(), 0.0);
    let opened_ms = traffic::now_ms();
    let opened = simulation.open();
    let (mut listed, mut known) = (HashSet::new(), HashSet::new());
    let mut listed_ms = 0.0;
    let mut last_ms = 0.0;
    let what = format!("{SERVERS} servers are listed, and {} peers asked", SERVERS * PEERS);
    let is_whole = |at_ms: f64, change: &Value| {
        let value = &change["value"];
        match change["what"].as_str() {
            Some("server") => {
                let is_listed = !value["reconciled_ms"].is_null()
                    && value["peers"] == PEERS
                    && value["calls"] == CALLS;
                if is_listed && listed.insert(change["server"].to_string()) {
                    (listed_ms, listed_cpu) = (at_ms, used());
                }
            }
            // Only the question about one peer tells it.
            Some("peer") if !value["caller_id"].is_null() => {
                known.insert(value["name"].to_string());
                last_ms = at_ms;
            }
            _ => {}
        }
        listed.len() == SERVERS && known.len() == SERVERS * PEERS
    };
    watch.until(&what, LISTED_WITHIN, is_whole).with_context(|| {
        let asked: usize =
            simulation.servers.iter().map(|server| server.state().details_answered).sum();
        format!("{} s after the first connection {asked} were asked", opened.elapsed().as_secs())
    })?;
    Ok(Start {
        listed_s: (listed_ms - opened_ms) / 1e3,
        asked_s: (last_ms - opened_ms) / 1e3,
        listed_cpu_s: listed_cpu - before,
        asked_cpu_s: used() - before,
    })
}

/// What came of the load.
struct Measured {
    load: Load,
    from_ms: f64,
    to_ms: f64,
    cores: f64,
    resident_mb: f64,
    highest_mb: f64,
    told: Vec<(f64, Value)>,
    noted: Vec<page::Noted>,
    wrong: Vec<String>,
    /// The share of time in which anybody used the client's and the hub's core.
    busy: Vec<f64>,
}

fn measure(
    options: &Options,
    simulation: &Arc<Simulation>,
    hub: &Hub,
    watch: &Watch,
    browser: &Browser,
    api: &Api,
) -> Result<Measured> {
    let length = LOAD_A_PAIR * u32::try_from(options.pairs).unwrap_or(u32::MAX);
    watch.take();
    let sending = Arc::clone(simulation);
    let traffic = cpu::spawn(options.client, move || {
        Traffic::new(&sending.recording, &sending.servers).run(WARM_UP + length)
    });
    thread::sleep(WARM_UP);
    let (from, from_ms) = (Instant::now(), traffic::now_ms());
    let before = cpu::time_used(hub.pid()?)?;
    let cores_before = [options.client, options.servers].map(CoreTime::of);
    thread::sleep(length);
    let used = cpu::time_used(hub.pid()?)? - before;
    let cores = used.as_secs_f64() / from.elapsed().as_secs_f64();
    let to_ms = traffic::now_ms();
    let busy = [options.client, options.servers].into_iter().zip(cores_before);
    let busy: Result<Vec<f64>> =
        busy.map(|(core, before)| Ok(CoreTime::of(core)?.busy_since(before?))).collect();
    let busy = busy?;
    let (resident_mb, highest_mb) = memory(hub.pid()?)?;
    let load = traffic.join().map_err(|_| anyhow::anyhow!("the load panicked"))???;
    thread::sleep(SETTLE);
    let noted = page::noted(browser)?;
    let complaints = browser.complaints()?;
    ensure!(complaints.is_empty(), "the page complains: {}", complaints.join("; "));
    let told = watch.take();
    let wrong = wrong(simulation, &api.get("/api/state")?);
    Ok(Measured { load, from_ms, to_ms, cores, resident_mb, highest_mb, told, noted, wrong, busy })
}

fn tell(report: &Report, options: &Options, start: &Start, measured: &Measured) -> Result<()> {
    let Measured { load, from_ms, to_ms, cores, resident_mb, highest_mb, .. } = measured;
    let is_counted = |at_ms: f64| (*from_ms..*to_ms).contains(&at_ms);
    let seconds = (to_ms - from_ms) / 1e3;
    let sent = load.all_ms.iter().filter(|&&at_ms| is_counted(at_ms)).count();
    let rate = sent as f64 / seconds;
    let names: Vec<String> = (0..SERVERS).map(|at| format!("pbx{:02}", at + 1)).collect();
    let counted: Vec<Sent> = load.sent.iter().filter(|it| is_counted(it.at_ms)).cloned().collect();
    // All of them are looked for, so that none is taken for another.
    let all = watch::arrivals(&load.sent, &measured.told, &names);
    let sse = watch::arrivals(&counted, &measured.told, &names);
    let page = page::arrivals(&counted, &measured.noted);
    let is_there = !page.delays.is_empty() && !sse.delays.is_empty();
    ensure!(
        is_there,
        "nothing has arrived: {} at the script, {} in the browser; {} of {} events are shown",
        sse.delays.len(),
        page.delays.len(),
        counted.len(),
        load.all_ms.len()
    );
    let mut table = report.table("delays", "where,at_s,milliseconds")?;
    let mut milliseconds = [Vec::new(), Vec::new()];
    for ((place, arrived), all) in
        [("browser", &page), ("script", &sse)].into_iter().zip(&mut milliseconds)
    {
        for (at_ms, delay) in &arrived.delays {
            table.row(&[&place, &((at_ms - from_ms) / 1e3), delay])?;
            all.push(*delay);
        }
    }
    let [page_ms, sse_ms] = milliseconds;
    let calls = SERVERS * CALLS;
    let under =
        format!("{SERVERS} servers, {} peers, {calls} calls, {seconds:.0} s", SERVERS * PEERS);
    let told = |delays: &[f64]| {
        let [half, most, worst] = [0.5, 0.99, 1.0].map(|share| stats::percentile(delays, share));
        format!("p50 {half:.0}, p99 {most:.0}, longest {worst:.0} ms of {} events", delays.len())
    };
    let figure = |name: &str, unit: &str, goal: Goal, value: f64, note: &str| {
        if options.wants(name) { report.value(name, unit, goal, value, note) } else { Ok(()) }
    };
    let mut kinds: Vec<_> = load.kinds.iter().collect();
    kinds.sort_by(|one, other| other.1.cmp(one.1));
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    println!("  sent in all: {}", kinds.join(", "));
    let busy: Vec<_> =
        measured.busy.iter().map(|share| format!("{:.0} %", share * 100.0)).collect();
    println!(
        "  cores in use, by whatever ran: the browser's and the simulation's {}, the hub's {}; load average {}",
        busy[0],
        busy[1],
        fs::read_to_string("/proc/loadavg")?.split_whitespace().next().unwrap_or_default()
    );
    let late = load.late.as_millis();
    let note =
        format!("{sent} in {seconds:.1} s; the simulation itself was late by {late} ms at most");
    figure("hub_events_per_s", "events/s", Goal::AtLeast(EVENTS_PER_S), rate, &note)?;
    if rate < EVENTS_PER_S {
        println!("  that is less than is promised: the other figures are void");
    }
    let bound = |delays: &[f64]| stats::percentile_bound(delays, 0.99);
    let note = format!("{}; {under}", told(&page_ms));
    figure("hub_event_p99_ms", "ms", GOAL_DELAY, bound(&page_ms), &note)?;
    let note = format!("{}, beside the browser", told(&sse_ms));
    figure("hub_sse_p99_ms", "ms", Goal::None, bound(&sse_ms), &note)?;
    let note = format!("{highest_mb:.0} MB at most since its start; {under}");
    figure("hub_rss_mb", "MB", GOAL_MEMORY, *resident_mb, &note)?;
    figure("hub_cpu_cores", "cores", GOAL_CORES, *cores, &under)?;
    let note = format!(
        "from the first connection until all lists are whole, {:.2} s of it the hub's processor time",
        start.listed_cpu_s
    );
    figure("hub_snapshot_s", "s", Goal::None, start.listed_s, &note)?;
    let note = format!(
        "until each of {} peers was asked one by one, too; {:.2} s of processor time in all",
        SERVERS * PEERS,
        start.asked_cpu_s
    );
    figure("hub_details_s", "s", Goal::None, start.asked_s, &note)?;
    let lost = (all.lost + page.lost) as f64;
    let note = format!("{} at the script, {} in the browser", all.lost, page.lost);
    figure("hub_events_lost", "events", Goal::Exactly(0.0), lost, &note)?;
    let wrong = &measured.wrong;
    let first: Vec<&str> = wrong.iter().take(3).map(String::as_str).collect();
    let note = format!("peers and calls that the hub shows otherwise; {}", first.join("; "));
    figure("hub_wrong", "things", Goal::Exactly(0.0), wrong.len() as f64, &note)?;
    println!("  runs: {}", report.folder().display());
    Ok(())
}

/// What a process has in memory, and the most that it had, in megabytes (1,000,000 bytes).
fn memory(pid: u32) -> Result<(f64, f64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read its status")?;
    let value = |name: &str| -> Result<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
        Ok(kib.with_context(|| format!("no {name} in its status"))? * 1024.0 / 1e6)
    };
    Ok((value("VmRSS:")?, value("VmHWM:")?))
}

/// Peers and calls that the hub shows otherwise than they are.
fn wrong(simulation: &Simulation, state: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for server in &simulation.servers {
        let truth = server.state();
        let all = state["servers"].as_array().into_iter().flatten();
        let shown = all.into_iter().find(|shown| shown["name"] == server.name.as_str());
        let (peers, calls) = match shown {
            Some(shown) => (&shown["peers"], &shown["calls"]),
            None => (&Value::Null, &Value::Null),
        };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let (peers, calls) = (list(peers), list(calls));
        if peers.len() != truth.peers.len() {
            wrong.push(format!("{}: {} peers", server.name, peers.len()));
        }
        for peer in &truth.peers {
            let shown = peers.iter().find(|shown| shown["name"] == peer.number.as_str());
            if !shown.is_some_and(|shown| is_as_shown(peer, shown)) {
                wrong.push(format!("{}: {peer:?} is shown as {shown:?}", server.name));
            }
        }
        if calls.len() != truth.calls.len() {
            wrong.push(format!("{}: {} calls of {}", server.name, calls.len(), truth.calls.len()));
        }
        for (id, call) in &truth.calls {
            let shown = calls.iter().find(|shown| shown["id"] == id.as_str());
            if !shown.is_some_and(|shown| is_call(call, shown)) {
                wrong.push(format!("{}: {call:?} is shown as {shown:?}", server.name));
            }
        }
    }
    wrong
}

fn is_as_shown(peer: &server::Peer, shown: &Value) -> bool {
    let device = match peer.device.as_str() {
        "NOT_INUSE" => "idle",
        "INUSE" => "in_use",
        "RINGING" => "ringing",
        "UNAVAILABLE" => "unavailable",
        _ => "unknown",
    };
    let is_there = peer.registration != Registration::Unregistered;
    let address = shown["address"].as_str().unwrap_or_default();
    let is_trip_right = peer.registration != Registration::Registered
        || shown["round_trip_us"] == peer.round_trip_us;
    shown["registration"] == peer.registration.word()
        && shown["device"] == device
        && shown["contacts"] == usize::from(is_there)
        && (!is_there || address.starts_with(&format!("{}:", peer.address)))
        && is_trip_right
        && shown["mailbox"] == format!("{}@default", peer.number)
        && shown["caller_id"].as_str().is_some_and(|it| it.contains(&peer.number))
}

fn is_call(call: &server::Call, shown: &Value) -> bool {
    let name = |name: Name| call.names[name as usize].as_str();
    let legs = [(Name::CallerChannel, Name::CallerId), (Name::CalledChannel, Name::CalledId)];
    shown["state"] == "up"
        && shown["legs_count"] == 2
        && shown["from"]["number"] == name(Name::Caller)
        && legs.into_iter().zip(shown["legs"].as_array().into_iter().flatten()).all(
            |((channel, id), leg)| {
                leg["channel"] == name(channel)
                    && leg["id"] == name(id)
                    && leg["state"] == 6
                    && leg["bridge"] == name(Name::Bridge)
            },
        )
}
