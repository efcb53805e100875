//! What keeping 10,000 leases alive costs: Asterisk's share of a core while nobody registers, above that of the
//! same server with the same registrations and the module unloaded.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Bench, PHONES};
use crate::cpu;
use crate::report::{Goal, Report};
use crate::stats::{Median, Side, abba};

/// The default lease's third, twice: each record is renewed twice in a window.
const WINDOW: Duration = Duration::from_secs(40);
/// A pair takes so much longer than in other figures that there is one for each so many of them; two at least.
const PAIRS_FOR_ONE: usize = 15;
const PAIRS_MIN: usize = 2;

/// Measures `renewal_core_share`.
///
/// # Errors
///
/// If the module cannot be loaded or unloaded.
pub(super) fn run(bench: &mut Bench, report: &Report, pairs: usize) -> Result<()> {
    let mut table = report.table("renewal_core_share", "pair,place,side,core_share")?;
    let (mut loaded, mut unloaded) = (Vec::new(), Vec::new());
    for (pair, order) in abba((pairs / PAIRS_FOR_ONE).max(PAIRS_MIN)).enumerate() {
        for (place, side) in order.into_iter().enumerate() {
            bench.set_side(side)?;
            bench.wait_published(PHONES as usize)?;
            let share = share_of_core(bench)?;
            let (list, name) = match side {
                Side::Ours => (&mut loaded, "ours"),
                Side::Theirs => (&mut unloaded, "theirs"),
            };
            list.push(share);
            table.row(&[&pair, &place, &name, &share])?;
        }
    }
    // Few windows bound no median; so the bounds are the worst and the best of all differences.
    let mut differences: Vec<f64> =
        loaded.iter().flat_map(|ours| unloaded.iter().map(move |theirs| ours - theirs)).collect();
    differences.sort_by(f64::total_cmp);
    let (low, high) = (differences[0], differences[differences.len() - 1]);
    let all = Median { low, middle: differences[differences.len() / 2], high };
    let note = format!(
        "of a core, the worst of {} windows of {} s each; with the module {loaded:.4?}, without {unloaded:.4?}",
        loaded.len() + unloaded.len(),
        WINDOW.as_secs(),
    );
    report.median("renewal_core_share", "core", Goal::AtMost(0.02), all, &note)
}

fn share_of_core(bench: &Bench) -> Result<f64> {
    let pid = bench.lab.a().pid()?;
    let (from, before) = (Instant::now(), cpu::time_used(pid)?);
    std::thread::sleep(WINDOW);
    let used = cpu::time_used(pid)? - before;
    Ok(used.as_secs_f64() / from.elapsed().as_secs_f64())
}
