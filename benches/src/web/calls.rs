//! What calls feel of the web server: the time from an INVITE to its answer, while it works and while it rests.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tandem_lab::Lab;

use super::load::{Load, Target};
use super::{CALLER, EXTENSION};
use crate::Options;
use crate::cpu;
use crate::report::{Goal, Report};
use crate::stats;

/// Calls of a run, and how many are begun in a second.
const CALLS: u32 = 200;
const CALLS_PER_SECOND: u32 = 50;
/// Requests a second, of these in turn, beside one page that follows everything: a control room.
const REQUESTS_PER_SECOND: u32 = 200;
const PATHS: [&str; 3] = ["/api/status", "/api/channels", "/api/peers"];
/// With fewer it was not the load that is said.
const KEPT_UP_SHARE: f64 = 0.95;

/// Measures `web_call_setup_delta_ms`.
///
/// # Errors
///
/// If a call fails, or a request.
pub(super) fn run(
    report: &Report,
    options: &Options,
    lab: &Lab,
    web: &dyn Fn(&'static str) -> Target,
) -> Result<()> {
    let name = "web_call_setup_delta_ms";
    let mut table = report.table(name, "pair,place,side,p50_ms,p99_ms,requests_per_s")?;
    let (mut deltas, mut loaded, mut idle) = (Vec::new(), Vec::new(), Vec::new());
    for (pair, order) in stats::abba(options.pairs).enumerate() {
        let mut p99 = [0.0; 2];
        for (place, side) in order.into_iter().enumerate() {
            let is_loaded = side == stats::Side::Ours;
            let run = once(options, lab, web, is_loaded)?;
            p99[usize::from(is_loaded)] = run.p99_ms;
            let side = if is_loaded { "loaded" } else { "idle" };
            table.row(&[&pair, &place, &side, &run.p50_ms, &run.p99_ms, &run.requests_per_s])?;
        }
        let [without, with] = p99;
        deltas.push(with - without);
        loaded.push(with);
        idle.push(without);
    }
    let note = format!(
        "p99 of {CALLS} calls, {CALLS_PER_SECOND} a second, with {REQUESTS_PER_SECOND} requests a second and a \
         follower {:.2} ms, without {:.2} ms",
        stats::median(&loaded).middle,
        stats::median(&idle).middle
    );
    report.median(name, "ms", Goal::AtMost(10.0), stats::median(&deltas), &note)
}

struct Run {
    p50_ms: f64,
    p99_ms: f64,
    requests_per_s: f64,
}

fn once(
    options: &Options,
    lab: &Lab,
    web: &dyn Fn(&'static str) -> Target,
    is_loaded: bool,
) -> Result<Run> {
    let is_over = AtomicBool::new(!is_loaded);
    let answered = AtomicU32::new(0);
    let targets = PATHS.map(web);
    let events = web("/api/events");
    let start = Instant::now();
    let took = thread::scope(|threads| -> Result<_> {
        let load = threads.spawn(|| {
            cpu::pin_thread(0, options.client)?;
            work(&targets, &is_over, &answered)
        });
        let follower = threads.spawn(|| if is_loaded { follow(&events, &is_over) } else { Ok(()) });
        let shape = [CALLER, CALLS, CALLS_PER_SECOND];
        let took = lab.call_many(lab.a(), shape, EXTENSION).run();
        is_over.store(true, Ordering::Relaxed);
        for thread in [load, follower] {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(took?)
    })?;
    let requests_per_s =
        f64::from(answered.load(Ordering::Relaxed)) / start.elapsed().as_secs_f64();
    ensure!(
        !is_loaded || requests_per_s >= f64::from(REQUESTS_PER_SECOND) * KEPT_UP_SHARE,
        "only {requests_per_s:.0} of {REQUESTS_PER_SECOND} requests a second were answered"
    );
    ensure!(took.len() == CALLS as usize, "{} of {CALLS} calls were timed", took.len());
    let took: Vec<f64> = took.iter().map(|took| took.as_secs_f64() * 1e3).collect();
    let [p50_ms, p99_ms] = [0.5, 0.99].map(|share| stats::percentile(&took, share));
    Ok(Run { p50_ms, p99_ms, requests_per_s })
}

/// Asks at a fixed rate, whatever the answers take, until it is over.
fn work(targets: &[Target], is_over: &AtomicBool, answered: &AtomicU32) -> Result<()> {
    let connect = |target| Load::connect(target, 1);
    let mut loads = targets.iter().map(connect).collect::<Result<Vec<_>>>()?;
    let (start, every) = (Instant::now(), Duration::from_secs(1) / REQUESTS_PER_SECOND);
    let mut next = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = start + every * next;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let load = next as usize % loads.len();
        loads[load].once()?;
        answered.fetch_add(1, Ordering::Relaxed);
        next += 1;
    }
    Ok(())
}

/// A page that is open.
fn follow(target: &Target, is_over: &AtomicBool) -> Result<()> {
    let mut stream = TcpStream::connect(target.address)?;
    stream.set_read_timeout(Some(Duration::from_millis(100)))?;
    stream.write_all(&target.request())?;
    let (mut buffer, mut total) = ([0; 64 * 1024], 0);
    while !is_over.load(Ordering::Relaxed) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => total += len,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
    }
    ensure!(total > 1024, "the feed said only {total} bytes");
    Ok(())
}
