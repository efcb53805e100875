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

/// Measures how long healing takes.
///
/// # Errors
///
/// If a server is not healed in time, or its copies are not there afterwards.
pub(super) fn run(report: &Report, options: &Options) -> Result<()> {
    let (figure, share) = ("heal_10k_s", "heal_read_slow_share");
    if !options.wants(figure) && !options.wants(share) {
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
    let mut table = report.table("heal_10k_s", "round,seconds")?;
    let (mut seconds, mut calm, mut healing) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds(PAIRS_A_ROUND) {
        calm.push(Window::sleep(Instant::now(), WATCH));
        let victim = 1 + round % 2;
        kill(&caches, victim, &nodes)?;
        // What the round before healed has all that there is now.
        prove(&nodes[1], &names)?;
        let from = Instant::now();
        caches.lab.cache(victim).start()?;
        wait("the misses of the server that was empty count again, on every node", all_ready)?;
        let to = Instant::now();
        healing.push(Window { from, to });
        let took = to.duration_since(from).as_secs_f64();
        table.row(&[&round, &took])?;
        seconds.push(took);
    }
    let last = seconds.len() % 2;
    kill(&caches, 1 + last, &nodes)?;
    prove(&nodes[1], &names)?;
    let reads = readers.end()?;
    let (healing, calm) = (reads.tally(&healing), reads.tally(&calm));

    let worst = seconds.iter().copied().fold(0.0, f64::max);
    let list: Vec<String> = seconds.iter().map(|took| format!("{took:.2}")).collect();
    let note = format!(
        "the longest of {} rounds ({} s), on {NODES} nodes; each time the other server was killed then and all {VARIABLES} \
         variables were read; meanwhile {} of {} reads had a wrong answer and {} none",
        seconds.len(),
        list.join(", "),
        healing.wrong,
        healing.reads,
        healing.unreachable
    );
    report.value(figure, "s", Goal::AtMost(5.0), worst, &note)?;
    let note = format!("{}; without a fault {}", healing.note(), calm.note());
    report.value(share, "share", Goal::AtMost(0.001), healing.slow_share(), &note)
}

/// Kills a cache server, and waits until every node has noticed.
fn kill(caches: &Caches, victim: usize, nodes: &[Node]) -> Result<()> {
    caches.lab.cache(victim).kill();
    wait("every node has noticed that a cache server is dead", || {
        nodes.iter().all(Node::misses_one)
    })
}

fn prove(node: &Node, names: &Names) -> Result<()> {
    let right = node.read(&names.there);
    ensure!(right == VARIABLES, "only {right} of {VARIABLES} variables are on the other server");
    Ok(())
}
