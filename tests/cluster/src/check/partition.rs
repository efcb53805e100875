//! Where each server reaches another cache, both sides go on and old values may be read. What still holds: a value
//! that is read was written; what was there before and was not deleted is not missing; and a while after it has
//! healed all servers read the same, which is the newest.

use std::collections::HashMap;

use super::{Context, Rule, Violation};
use crate::history::{Fault, Kind, MILLISECOND, Nanos, Op, Outcome, SECOND};

/// How long after the partition has healed all must be the same.
pub(crate) const CONVERGED_WITHIN: Nanos = 10 * SECOND;
/// Two writes closer than this may be of one version's time: clocks count milliseconds.
const CLOCK: Nanos = 5 * MILLISECOND;

/// Checks the operations of one name, in the order of their begin.
pub(crate) fn check(context: &Context<'_>, ops: &[(usize, &Op)], found: &mut Vec<Violation>) {
    let mut written: HashMap<&str, (usize, &Op)> = HashMap::new();
    for &(line, op) in ops {
        if let Some(value) = op.v.as_deref() {
            written.insert(value, (line, op));
        }
    }
    for &(line, op) in ops.iter().filter(|(_, op)| op.k == Kind::Get) {
        match op.o {
            Outcome::Ok => check_written(&written, line, op, found),
            Outcome::Missing => check_missing(context, ops, line, op, found),
            _ => {}
        }
    }
    let mut scenarios = context.history.scenarios.iter().map(|(_, scenario)| scenario);
    if let Some(last) = scenarios.rfind(|scenario| scenario.fault == Fault::Partition) {
        check_converged(ops, &written, last.ended + CONVERGED_WITHIN, found);
    }
}

fn check_written(
    written: &HashMap<&str, (usize, &Op)>,
    line: usize,
    read: &Op,
    found: &mut Vec<Violation>,
) {
    let write = read.r.as_deref().and_then(|value| written.get(value));
    if write.is_none_or(|(_, write)| write.b > read.e) {
        let lines = write.map(|(from, _)| *from).into_iter().chain([line]).collect();
        let text = format!("{}: what was read was not written before", read.n);
        found.push(Violation { rule: Rule::NeverWritten, at: read.e, lines, text });
    }
}

/// Missing, though it was there before the partition (or is seen by all, when there is none) and never deleted.
fn check_missing(
    context: &Context<'_>,
    ops: &[(usize, &Op)],
    line: usize,
    read: &Op,
    found: &mut Vec<Violation>,
) {
    if ops.iter().any(|(_, op)| (op.k == Kind::Del && op.b < read.e) || op.ttl.is_some()) {
        return;
    }
    let cut = context.history.scenarios.iter().find(|(_, scenario)| {
        scenario.fault == Fault::Partition
            && read.e >= scenario.begin
            && read.b <= scenario.ended + CONVERGED_WITHIN
    });
    let seen_until = cut.map_or(read.b, |(_, scenario)| scenario.begin.min(read.b));
    let write = ops.iter().find(|(_, op)| is_answered_write(op) && op.e < seen_until);
    if let Some(&(from, _)) = write {
        let text = format!("{}: it was written, never deleted, and is missing", read.n);
        found.push(Violation { rule: Rule::LostWrite, at: read.e, lines: vec![from, line], text });
    }
}

/// All reads after `time` are the same, and no write that was answered is certainly newer.
fn check_converged(
    ops: &[(usize, &Op)],
    written: &HashMap<&str, (usize, &Op)>,
    time: Nanos,
    found: &mut Vec<Violation>,
) {
    let told = |read: &Op, lines, text: &str| Violation {
        rule: Rule::NotConverged,
        at: read.e,
        lines,
        text: format!("{}: {text}", read.n),
    };
    if ops.iter().any(|(_, op)| op.k != Kind::Get && op.e > time) {
        return;
    }
    let mut first: Option<(usize, &Op)> = None;
    for &(line, read) in ops.iter().filter(|(_, op)| op.k == Kind::Get && op.b > time) {
        if !matches!(read.o, Outcome::Ok | Outcome::Missing) {
            continue;
        }
        let (from, other) = *first.get_or_insert((line, read));
        if other.r != read.r {
            found.push(told(read, vec![from, line], "two servers read two values"));
        }
    }
    let Some((line, read)) = first else { return };
    let changes = |op: &Op| matches!(op.k, Kind::Set | Kind::Del) && op.o == Outcome::Ok;
    let newest = ops.iter().filter(|(_, op)| changes(op)).max_by_key(|(_, op)| op.b);
    let Some(&(from, change)) = newest else { return };
    let older = match read.r.as_deref().and_then(|value| written.get(value)) {
        Some((_, write)) => write.e + CLOCK < change.b,
        None => {
            let deletes = ops.iter().filter(|(_, op)| op.k == Kind::Del);
            deletes.map(|(_, op)| op.e).max().is_none_or(|last| last + CLOCK < change.b)
        }
    };
    if older && read.r != change.v {
        found.push(told(read, vec![from, line], "it is not the newest that was written"));
    }
}

fn is_answered_write(op: &Op) -> bool {
    op.k == Kind::Set && op.o == Outcome::Ok
}
