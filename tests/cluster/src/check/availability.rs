//! With one fault, operations are answered: `UNREACHABLE` only for a moment after a fault begins or ends.
//!
//! The machine that this runs on is busy, and a deadline is a deadline: so operations near a time at which the
//! recording process itself was not run are left out, and of the others a small share is forgiven.

use super::{Context, Rule, Violation};
use crate::history::{Fault, MILLISECOND, Nanos, Op, Outcome, SECOND, Scenario, Stall};

/// How long after a fault began or ended variables may be `UNREACHABLE`. A node notices within 100 ms and a
/// deadline; the rest is for a busy machine.
const VARIABLES_AFTER: Nanos = SECOND;
/// The same for registrations' records.
const REGISTRATIONS_AFTER: Nanos = 5 * SECOND;
/// If the machine was too busy for more than so much of a scenario, nothing can be said of it.
const BUSY_MAX_PERCENT: u64 = 90;
/// Of the operations that should have been answered, one in so many may be not.
const FORGIVEN_ONE_IN: usize = 500;

pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Violation>) {
    for (line, op) in &context.history.ops {
        if op.o == Outcome::Invalid {
            let text = format!("{}: nothing is wrong with what was asked", op.n);
            found.push(Violation { rule: Rule::Invalid, at: op.e, lines: vec![*line], text });
        }
    }
    for (line, scenario) in &context.history.scenarios {
        check_scenario(context, scenario, found);
        let busy = busy(context, scenario);
        if busy > (scenario.e - scenario.b) / 100 * BUSY_MAX_PERCENT {
            let text = format!(
                "{}: the machine was too busy for {} of {} ms to judge",
                scenario.name,
                busy / MILLISECOND,
                (scenario.e - scenario.b) / MILLISECOND
            );
            let (rule, at) = (Rule::Undecided, scenario.e);
            found.push(Violation { rule, at, lines: vec![*line], text });
        }
        if scenario.told == Some(false) {
            let text = format!("{}: a server's log says nothing of it", scenario.name);
            let (rule, at) = (Rule::NotTold, scenario.e);
            found.push(Violation { rule, at, lines: vec![*line], text });
        }
    }
}

fn check_scenario(context: &Context<'_>, scenario: &Scenario, found: &mut Vec<Violation>) {
    let (mut all, mut lines, mut last) = (0_usize, Vec::new(), 0);
    for (line, op) in &context.history.ops {
        if op.e < scenario.b || op.e > scenario.e || excused(context, scenario, op) {
            continue;
        }
        all += 1;
        if op.o == Outcome::Unreachable && !context.stalled(op.b, op.e) {
            lines.push(*line);
            last = last.max(op.e);
        }
    }
    if lines.len() > all / FORGIVEN_ONE_IN {
        let text = format!(
            "{}: {} of {all} operations were not answered, long after the fault began or ended",
            scenario.name,
            lines.len()
        );
        found.push(Violation { rule: Rule::Unavailable, at: last, lines, text });
    }
}

/// For how long of a scenario the recording process, or a cache that nothing had befallen, was not run.
fn busy(context: &Context<'_>, scenario: &Scenario) -> Nanos {
    let clip = |stall: &Stall| (stall.b.max(scenario.b), stall.e.min(scenario.e));
    let mut stalls: Vec<_> = context.history.stalls.iter().map(clip).collect();
    stalls.sort_unstable();
    let (mut busy, mut seen) = (0, 0);
    for (begin, end) in stalls {
        // Several may have been seen at once.
        busy += end.saturating_sub(begin.max(seen));
        seen = seen.max(end);
    }
    busy
}

/// Whether it may be unanswered.
fn excused(context: &Context<'_>, scenario: &Scenario, op: &Op) -> bool {
    let after =
        if context.phone_of(&op.n).is_some() { REGISTRATIONS_AFTER } else { VARIABLES_AFTER };
    // Of what only the caches had, nobody can tell before they are complete again.
    let is_lost = scenario.fault == Fault::AllEmptied && context.phone_of(&op.n).is_none();
    if is_lost && op.e >= scenario.begin && op.b <= scenario.healed + VARIABLES_AFTER {
        return true;
    }
    let near = |from: Nanos, to: Nanos| op.e >= from && op.b <= to + after;
    scenario.fault != Fault::None
        && (near(scenario.begin, scenario.begun) || near(scenario.end, scenario.ended))
}
