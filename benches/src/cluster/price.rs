//! What the second copy costs a read: GetUniVar in a real dialplan, two copies beside one.

use anyhow::{Result, ensure};
use tandem_lab::Lab;

use super::LAB_NUMBER;
use crate::Options;
use crate::cpu;
use crate::dialplan::{self, Loop, Runner, VALUE};
use crate::report::{Goal, Pairs, Report};
use crate::stats::Side;

/// The one Asterisk server.
const SERVER: &str = "bench";
/// With one copy, and with two: sections of `universal.conf` say so.
const ONE_KEY: &str = "ONE_KEY";
const BOTH_KEY: &str = "BOTH_KEY";
const FIGURE: &str = "two_copies_read_ratio";

/// Measures the figure.
///
/// # Errors
///
/// If anything does not start, or a loop does not read what it should.
pub(super) fn run(report: &Report, options: &Options) -> Result<()> {
    if !options.wants(FIGURE) {
        return Ok(());
    }
    let set = Loop::set();
    let one = Loop::new("one", &format!("GetUniVar(X={ONE_KEY})"), 60);
    let both = Loop::new("both", &format!("GetUniVar(X={BOTH_KEY})"), 60);
    let loops = [set.clone(), one.clone(), both.clone()];
    // The deadline is so long that a look-up which lost its time slice to a neighbour is not broken off. Half of that of
    // two copies is what a connection waits: so both sections use the first cache server's connections as they are.
    let conf = "[general]\nservers = @CACHE1@ @CACHE2@\ndeadline = 1000\n\
                [one]\nservers = @CACHE1@\ncopies = 1\nprefixes = ONE_\n\
                [both]\ncopies = 2\ndeadline = 2000\nprefixes = BOTH_\n";
    let lab = Lab::builder("bench-cluster")
        .number(LAB_NUMBER)
        .without_server("A")
        .without_server("B")
        .without_server("gateway")
        .server(SERVER, |config| dialplan::server(config, &loops).universal_conf(conf))
        .module(Lab::built_module()?)
        .documentation(crate::documentation())
        .start()?;
    for cache in [1, 2] {
        let cache = lab.cache(cache);
        // As another client writes them; with two copies, the first read gives them their envelopes.
        cache.set(ONE_KEY, VALUE, 0)?;
        cache.set(BOTH_KEY, VALUE, 0)?;
        cpu::pin_process(cache.pid()?, options.servers)?;
    }
    let server = lab.server(SERVER)?;
    cpu::pin_process(server.pid()?, options.client)?;
    dialplan::wait_ready(server)?;
    let mut runner = Runner::new(server)?;
    let mut table = report.table(FIGURE, "pair,place,side,microseconds")?;
    let pairs = Pairs::run(options.pairs, &mut table, |side| {
        let what = if side == Side::Ours { &both } else { &one };
        Ok(runner.cost(what, &set)? / 1000.0)
    })?;
    let note = pairs.note("us");
    report.median(FIGURE, "ratio", Goal::AtMost(1.5), pairs.ours_over_theirs(), &note)?;
    let warnings = lab.warnings()?;
    ensure!(warnings.is_empty(), "Asterisk complained: {}", warnings.join("\n"));
    Ok(())
}
