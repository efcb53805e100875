//! How long a cache server that was started empty takes to be complete again, and what reads are like meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::node::Node;
use super::reads::{Names, Readers, Window};
use super::{Caches, wait};
use crate::Options;
use crate::report::{Goal, Report};

/// What the cluster holds.
const VARIABLES: usize = 10_000;
/// Nodes of the cluster.
const NODES: usize = 3;
/// Threads that read, on each node.
const READERS: usize = 12;
/// How long reads are watched without a fault.
const WATCH: Duration = Duration::from_secs(2);
/// Pairs of runs that one round stands for.
const PAIRS_A_ROUND: usize = 10;

const FIGURES: [&str; 4] =
    ["heal_10k_s", "heal_names_missed", "heal_variables_lost", "heal_read_slow_share"];

/// Measures how long healing takes.
///
/// # Errors
///
/// If a server is not healed in time.
pub(super) fn run(report: &Report, options: &Options) -> Result<()> {
    if !FIGURES.iter().any(|figure| options.wants(figure)) {
        return Ok(());
    }
    let caches = Caches::start(options)?;
    let start = |number| Node::start(&caches.addresses(), &format!("node{number}"), options.client);
    let nodes: Vec<Node> = (1..=NODES).map(start).collect::<Result<_>>()?;
    let all_ready = || nodes.iter().all(Node::is_ready);
    wait("both cache servers are ready", all_ready)?;
    let names = Arc::new(Names::new(VARIABLES)?);
    let written = nodes[0].write(&names.there);
    ensure!(written == VARIABLES, "only {written} of {VARIABLES} variables could be written");
    let readers = Readers::start(nodes.iter().map(Node::store), &names, READERS, options.client);
    let mut table = report.table("heal_10k_s", "round,seconds,missed_so_far,lost_before")?;
    let (mut seconds, mut calm, mut healing) = (Vec::new(), Vec::new(), Vec::new());
    let (mut missed, mut lost) = (0, 0);
    for round in 0..options.rounds(PAIRS_A_ROUND) {
        calm.push(Window::sleep(Instant::now(), WATCH));
        let victim = 1 + round % 2;
        kill(&caches, victim, &nodes)?;
        // The server that the round before healed is all that there is now.
        lost += VARIABLES - nodes[1].read(&names.there);
        let _before = compared(&nodes);
        let from = Instant::now();
        caches.lab.cache(victim).start()?;
        wait("the misses of the server that was empty count again, on every node", all_ready)?;
        let to = Instant::now();
        healing.push(Window { from, to });
        missed += VARIABLES.saturating_sub(compared(&nodes));
        let took = to.duration_since(from).as_secs_f64();
        table.row(&[&round, &took, &missed, &lost])?;
        seconds.push(took);
    }
    kill(&caches, 1 + seconds.len() % 2, &nodes)?;
    lost += VARIABLES - nodes[1].read(&names.there);
    let reads = readers.end()?;
    let (healing, calm) = (reads.tally(&healing), reads.tally(&calm));

    let [figure_s, figure_missed, figure_lost, figure_share] = FIGURES;
    let worst = seconds.iter().copied().fold(0.0, f64::max);
    let list: Vec<String> = seconds.iter().map(|took| format!("{took:.2}")).collect();
    let rounds = seconds.len();
    let note = format!("the longest of {rounds} rounds ({} s), on {NODES} nodes", list.join(", "));
    report.value(figure_s, "s", Goal::AtMost(5.0), worst, &note)?;
    let (none, all) = (Goal::Exactly(0.0), rounds * VARIABLES);
    let note = format!("of {all} that were to be compared with the other copy");
    report.value(figure_missed, "names", none, missed as f64, &note)?;
    let note = format!(
        "of {all} that were read when the other server had been killed; while the server was healed {} of {} reads \
         had a wrong answer and {} none",
        healing.wrong, healing.reads, healing.unreachable
    );
    report.value(figure_lost, "variables", none, lost as f64, &note)?;
    let note = format!("{}; without a fault {}", healing.note(), calm.note());
    report.value(figure_share, "share", Goal::AtMost(0.001), healing.slow_share(), &note)
}

/// How many names were compared since this was last asked, by whichever node it was.
fn compared(nodes: &[Node]) -> usize {
    nodes.iter().map(Node::take_compared).max().unwrap_or_default()
}

/// Kills a cache server, and waits until every node has noticed.
fn kill(caches: &Caches, victim: usize, nodes: &[Node]) -> Result<()> {
    caches.lab.cache(victim).kill();
    wait("every node has noticed that a cache server is dead", || {
        nodes.iter().all(Node::misses_one)
    })
}
