//! `./bench cache`: the embedded cache beside memcached, with the same client and as many threads.
//!
//! Both servers are processes of their own on the servers' core, the client is this program on its own core. It
//! has many connections with one request each on its way, as a fleet of Asterisk servers has; and, told beside it,
//! with many requests each, where system calls count less and the cache itself more.

mod load;
mod servers;

use anyhow::Result;

use crate::Options;
use crate::cpu;
use crate::report::{Goal, Pairs, Report};
use crate::stats::Side;
use load::{Command, KEYS, Load};
pub(crate) use servers::{SERVE, serve};
use servers::{Which, start};

/// As memcached has without `-t`.
const THREADS: usize = 4;
/// Both may take this much, so that nothing is evicted.
const MEMORY_MIB: usize = 1024;
/// Connections with a request on its way.
const CONNECTIONS: usize = 64;
/// Requests of a connection that are sent at once, where it is many.
const MANY: usize = 32;
/// Pairs for the memory, which hardly varies.
const MEMORY_PAIRS_MAX: usize = 7;

/// Measures all figures of the bench.
///
/// # Errors
///
/// If a server does not start, or answers something else than it should.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = Report::new("cache")?;
    cpu::pin_thread(0, options.client)?;
    for (name, command, at_once, goal) in [
        ("cache_get_ratio", Command::Get, 1, Goal::AtLeast(0.9)),
        ("cache_set_ratio", Command::Set, 1, Goal::AtLeast(0.9)),
        ("cache_get_many_ratio", Command::Get, MANY, Goal::None),
        ("cache_set_many_ratio", Command::Set, MANY, Goal::None),
    ] {
        if options.wants(name) {
            rate(&report, options, name, command, at_once, goal)?;
        }
    }
    if options.wants("cache_bytes_per_item_ratio") {
        memory(&report, options)?;
    }
    println!("  runs: {}", report.folder().display());
    Ok(())
}

/// Requests a second, ours over memcached's.
fn rate(
    report: &Report,
    options: &Options,
    name: &str,
    command: Command,
    at_once: usize,
    goal: Goal,
) -> Result<()> {
    let server = |which| -> Result<_> {
        let server = start(which, options.servers, report.folder())?;
        let mut load = Load::connect(server.address, CONNECTIONS)?;
        load.fill()?;
        Ok((server, load))
    };
    let (mut ours, mut theirs) = (server(Which::Ours)?, server(Which::Memcached)?);
    let mut table = report.table(name, "pair,place,side,microseconds")?;
    let mut processor = [0.0_f64; 2];
    let pairs = Pairs::run(options.pairs, &mut table, |side| {
        let (server, load) = match side {
            Side::Ours => &mut ours,
            Side::Theirs => &mut theirs,
        };
        let before = cpu::time_used(server.pid())?;
        let run = load.run(command, at_once)?;
        let used = cpu::time_used(server.pid())? - before;
        processor[usize::from(side == Side::Theirs)] += used.as_secs_f64() * 1e6 / run.requests;
        Ok(run.microseconds / run.requests)
    })?;
    let [ours, theirs] = processor.map(|sum| sum / options.pairs as f64);
    let note = format!(
        "{CONNECTIONS} connections, {at_once} on its way on each; {}; processor time of the server for each: \
         ours {ours:.2} us, theirs {theirs:.2} us",
        pairs.note("us")
    );
    report.median(name, "ratio", goal, pairs.theirs_over_ours(), &note)
}

/// How much each server grows by an item.
fn memory(report: &Report, options: &Options) -> Result<()> {
    let name = "cache_bytes_per_item_ratio";
    let mut table = report.table(name, "pair,place,side,bytes")?;
    let pairs = Pairs::run(options.pairs.min(MEMORY_PAIRS_MAX), &mut table, |side| {
        let which = if side == Side::Ours { Which::Ours } else { Which::Memcached };
        let server = start(which, options.servers, report.folder())?;
        let mut load = Load::connect(server.address, CONNECTIONS)?;
        load.warm_up()?;
        let before = server.resident_bytes()?;
        load.fill()?;
        Ok((server.resident_bytes()? - before) / KEYS as f64)
    })?;
    let goal = Goal::AtMost(1.2);
    report.median(name, "ratio", goal, pairs.ours_over_theirs(), &pairs.note("bytes"))
}
