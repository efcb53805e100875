//! Processor time of Asterisk for each registration, with the module and without it.
//!
//! A run is a fixed number of registrations at a fixed rate, nine of ten refreshes and one new, as a fleet has
//! where phones come and go; the new ones leave again between the runs. All that Asterisk does until shortly
//! after the last answer counts, so publishing does too.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::{Bench, PER_SECOND, REFRESHED, leave, register};
use crate::cpu;
use crate::report::{Goal, Pairs, Report};
use crate::stats;

/// Registrations in one run.
const STEPS: usize = 900;
/// One in so many is new.
const NEW_EVERY: usize = 10;
/// What is left of a run after its last registration: publishing is over by then.
const TAIL: Duration = Duration::from_millis(300);
/// Of so many requests one may be sent again; with more of them it was not the rate that is said.
const RESENT_ONE_IN: u64 = 1_000;

/// Measures `register_cpu_ratio`, and the time for each registration on both sides.
///
/// # Errors
///
/// If a phone is refused.
pub(super) fn run(bench: &mut Bench, report: &Report, pairs: usize) -> Result<()> {
    let (resent_before, sent) = (bench.fleet.resent, 2 * 2 * (pairs * STEPS) as u64);
    let mut table = report.table("register_cpu_ratio", "pair,place,side,microseconds_each")?;
    let mut next = 0;
    let pairs = Pairs::run(pairs, &mut table, |side| {
        bench.set_side(side)?;
        bench.wait_published(REFRESHED)?;
        let cost = once(bench, &mut next)?;
        bench.fleet.take_all(new_phones().map(leave))?;
        Ok(cost)
    })?;
    let name = "register_cpu_ratio";
    let goal = Goal::AtMost(1.05);
    report.median(name, "ratio", goal, pairs.ours_over_theirs(), &pairs.note("us"))?;
    for (name, values) in
        [("register_cpu_loaded", pairs.ours()), ("register_cpu_not_loaded", pairs.theirs())]
    {
        let note = "Asterisk's processor time for one registration (two requests)";
        report.median(name, "us", Goal::None, stats::median(values), note)?;
    }
    let resent = bench.fleet.resent - resent_before;
    ensure!(
        resent <= sent / RESENT_ONE_IN,
        "{resent} of {sent} requests had to be sent again: the machine is too busy for this figure"
    );
    Ok(())
}

fn new_phones() -> impl Iterator<Item = usize> {
    REFRESHED..REFRESHED + STEPS / NEW_EVERY
}

/// Microseconds of processor time for each registration of one run.
fn once(bench: &mut Bench, next: &mut usize) -> Result<f64> {
    let mut new = new_phones();
    let steps = (0..STEPS).map(|step| {
        if step % NEW_EVERY == NEW_EVERY - 1
            && let Some(phone) = new.next()
        {
            return register(phone);
        }
        *next = (*next + 1) % REFRESHED;
        register(*next)
    });
    let pid = bench.lab.a().pid()?;
    let start = Instant::now();
    let end = start + Duration::from_secs(1) * STEPS as u32 / PER_SECOND + TAIL;
    let before = cpu::time_used(pid)?;
    bench.fleet.take_at_rate(start, PER_SECOND, steps, |_, _| Ok(()))?;
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    let used = cpu::time_used(pid)? - before;
    Ok(used.as_secs_f64() * 1e6 / STEPS as f64)
}
