//! Reads while one of two cache servers is dead, or hangs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tandem_lab::Lab;

use super::node::Node;
use super::reads::{Names, Readers, Tally, Window};
use super::{Caches, wait};
use crate::Options;
use crate::report::{Goal, Report};

/// What happens to a cache server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// SIGKILL.
    Dead,
    /// SIGSTOP: the kernel goes on accepting, and nothing answers.
    Hung,
}

/// Names that are read.
const NAMES: usize = 1000;
/// Threads that read.
const READERS: usize = 32;
/// How long reads are watched, with the fault and without.
const WATCH: Duration = Duration::from_secs(2);
/// So long after the fault began it must not be felt any more.
const FELT: Duration = Duration::from_millis(100);
/// A cluster is well when it has been so for this long: a server that hung is still taken for ready in the moment
/// in which it goes on.
const WELL_FOR: Duration = Duration::from_millis(1200);
/// Pairs of runs that one round stands for.
const PAIRS_A_ROUND: usize = 3;

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Hung => "hung",
        }
    }

    fn begin(self, caches: &Lab, victim: usize) -> Result<()> {
        match self {
            Self::Dead => caches.cache(victim).kill(),
            Self::Hung => caches.cache(victim).freeze()?,
        }
        Ok(())
    }

    fn end(self, caches: &Lab, victim: usize) -> Result<()> {
        match self {
            Self::Dead => caches.cache(victim).start()?,
            Self::Hung => caches.cache(victim).thaw()?,
        }
        Ok(())
    }
}

/// Measures the figures of one fault.
///
/// # Errors
///
/// If a cache server does not start, or is not healed in time.
pub(super) fn run(fault: Fault, report: &Report, options: &Options) -> Result<()> {
    let name = |what: &str| format!("{}_read_{what}", fault.name());
    let figures = ["slow_share", "over_deadline", "wrong"].map(name);
    if !figures.iter().any(|figure| options.wants(figure)) {
        return Ok(());
    }
    let caches = Caches::start(options)?;
    let node = Node::start(&caches.addresses(), "bench", options.client)?;
    wait("both cache servers are ready", || node.is_ready())?;
    let names = Arc::new(Names::new(NAMES)?);
    let written = node.write(&names.there);
    ensure!(written == NAMES, "only {written} of {NAMES} variables could be written");
    let readers = Readers::start([node.store()].into_iter(), &names, READERS, options.client);
    let mut windows: Vec<[Window; 2]> = Vec::new();
    for round in 0..options.rounds(PAIRS_A_ROUND) {
        wait_well(&node)?;
        let calm = Window::sleep(Instant::now(), WATCH);
        let victim = 1 + round % 2;
        let begun = Instant::now();
        fault.begin(&caches.lab, victim)?;
        windows.push([Window::sleep(begun + FELT, WATCH), calm]);
        ensure!(node.misses_one(), "nobody noticed that cache {victim} is {}", fault.name());
        fault.end(&caches.lab, victim)?;
    }
    wait_well(&node)?;
    let reads = readers.end()?;

    let mut table = report.table(
        &name("rounds"),
        "round,side,reads,slow,over_deadline,wrong,unreachable,longest_ms",
    )?;
    for (round, sides) in windows.iter().enumerate() {
        for (side, window) in ["fault", "without"].iter().zip(sides) {
            let tally = reads.tally([window]);
            let Tally { reads, slow, over_deadline, wrong, unreachable, longest } = tally;
            let longest = longest.as_secs_f64() * 1000.0;
            let fields: [&dyn std::fmt::Display; 8] =
                [&round, side, &reads, &slow, &over_deadline, &wrong, &unreachable, &longest];
            table.row(&fields)?;
        }
    }
    let all = |side: usize| reads.tally(windows.iter().map(|sides| &sides[side]));
    print(figures, windows.len(), &all(0), &all(1), report)
}

fn print(
    [share, over_deadline, wrong]: [String; 3],
    rounds: usize,
    fault: &Tally,
    calm: &Tally,
    report: &Report,
) -> Result<()> {
    let note = format!("{}; without a fault {}; {rounds} rounds", fault.note(), calm.note());
    report.value(&share, "share", Goal::AtMost(0.001), fault.slow_share(), &note)?;
    let none = Goal::Exactly(0.0);
    let note = format!("of {} reads; without a fault {}", fault.reads, calm.over_deadline);
    report.value(&over_deadline, "reads", none, fault.over_deadline as f64, &note)?;
    let Tally { reads, wrong: lies, unreachable, .. } = fault;
    let note = format!(
        "of {reads} reads: {lies} had another answer than the right one, {unreachable} had none; \
         without a fault {} and {}",
        calm.wrong, calm.unreachable
    );
    report.value(&wrong, "reads", none, (lies + unreachable) as f64, &note)
}

/// Waits until the cluster is well, and has been for a while.
fn wait_well(node: &Node) -> Result<()> {
    let mut since = Instant::now();
    wait("both cache servers are ready again", || {
        if !node.is_ready() {
            since = Instant::now();
        }
        since.elapsed() >= WELL_FOR
    })
}
