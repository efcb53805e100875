//! Which operations of a name contradict each other: for people who read a violation.
//!
//! [`super::register`] has decided that no order explains an operation. Here the shortest reason is looked for
//! among pairs and threes; where none of them is enough, the operations just before are listed.

use super::{Context, Rule, Violation};
use crate::history::{Fault, Kind, Op, Outcome};

/// How many operations are listed where no short reason was found.
const LISTED: usize = 8;

/// The violation at the operation `at` of `ops`.
pub(crate) fn register(context: &Context<'_>, ops: &[(usize, &Op)], at: usize) -> Violation {
    let (line, op) = ops[at];
    let found = match (op.k, op.o) {
        (Kind::Get, Outcome::Ok) => wrong_value(context, ops, op),
        (Kind::Get | Kind::Del, Outcome::Missing) => wrong_missing(context, ops, op),
        (Kind::Add, Outcome::Ok) => wrong_add(ops, op),
        _ => None,
    };
    let (rule, mut lines, text) = found.unwrap_or_else(|| {
        (
            Rule::NoOrder,
            before(ops, op),
            "no order of these operations explains the last".to_owned(),
        )
    });
    lines.push(line);
    lines.dedup();
    Violation { rule, at: op.e, lines, text: format!("{}: {text}", op.n) }
}

type Reason = (Rule, Vec<usize>, String);

fn wrong_value(context: &Context<'_>, ops: &[(usize, &Op)], read: &Op) -> Option<Reason> {
    let value = read.r.as_deref();
    let Some(&(from, write)) =
        ops.iter().find(|(_, op)| op.v.is_some() && op.v.as_deref() == value)
    else {
        let text = format!("{} was read and never written", value.unwrap_or_default());
        return Some((Rule::NeverWritten, Vec::new(), text));
    };
    if write.b > read.e {
        let text = "it was read before it was written".to_owned();
        return Some((Rule::NeverWritten, vec![from], text));
    }
    let after_write = |op: &Op| op.b > write.e && (is_answered(write) || !context.may_undo(write));
    // A later change that was answered, and then the old value.
    let changed = ops.iter().filter(|(_, op)| is_change(op) && is_answered(op));
    if let Some(&(line, change)) =
        changed.filter(|(_, op)| after_write(op) && op.e < read.b).max_by_key(|(_, op)| op.e)
    {
        let what = if change.k == Kind::Del { "delete" } else { "write" };
        let rule = if change.k == Kind::Del { Rule::LostDelete } else { Rule::LostWrite };
        let text = format!("an older value was read after a {what} that was answered");
        return Some((rule, vec![from, line], text));
    }
    // A later value that was read before, and then the old one.
    for &(line, other) in ops.iter().filter(|(_, op)| op.e < read.b) {
        let newer = match (other.k, other.o) {
            (Kind::Get, Outcome::Ok) if other.r.as_deref() != value => {
                ops.iter().find(|(_, op)| op.v.is_some() && op.v == other.r)
            }
            _ => None,
        };
        if let Some(&(newer, _)) = newer.filter(|(_, newer)| after_write(newer)) {
            let text = "a newer value was read, and then an older one".to_owned();
            return Some((Rule::WentBack, vec![from, newer, line], text));
        }
    }
    None
}

fn wrong_missing(context: &Context<'_>, ops: &[(usize, &Op)], read: &Op) -> Option<Reason> {
    let written = ops.iter().filter(|(_, op)| writes(op) && is_answered(op) && op.e < read.b);
    let &(line, write) = written.max_by_key(|(_, op)| op.b)?;
    let may_be_gone = |op: &Op| deletes(op) && op.e > write.b && op.b < read.e;
    let all_lost = context.history.scenarios.iter().any(|(_, scenario)| {
        scenario.fault == Fault::AllEmptied
            && scenario.begin <= read.e
            && scenario.healed >= write.b
    });
    if all_lost || write.ttl.is_some() || ops.iter().any(|(_, op)| may_be_gone(op)) {
        return None;
    }
    let text = "it was written, not deleted since, and is missing".to_owned();
    Some((Rule::LostWrite, vec![line], text))
}

fn wrong_add(ops: &[(usize, &Op)], add: &Op) -> Option<Reason> {
    let others = ops.iter().filter(|(_, op)| writes(op) && is_answered(op) && op.e < add.e);
    let &(line, other) =
        others.filter(|(_, op)| !std::ptr::eq(*op, add)).max_by_key(|(_, op)| op.b)?;
    if ops.iter().any(|(_, op)| deletes(op) && op.e > other.b && op.b < add.e) {
        return None;
    }
    let text = "two were told that they added it, and it was not deleted in between".to_owned();
    Some((Rule::AddedTwice, vec![line], text))
}

/// The operations of a name before the end of one of them, the last of them.
fn before(ops: &[(usize, &Op)], last: &Op) -> Vec<usize> {
    let mut earlier: Vec<_> =
        ops.iter().filter(|(_, op)| op.b <= last.e && !std::ptr::eq(*op, last)).collect();
    earlier.sort_by_key(|(_, op)| op.b);
    earlier.iter().rev().take(LISTED).rev().map(|(line, _)| *line).collect()
}

fn is_answered(op: &Op) -> bool {
    op.o == Outcome::Ok
}

fn writes(op: &Op) -> bool {
    matches!(op.k, Kind::Set | Kind::Add)
}

/// Whether it may have deleted: one that found nothing has not.
fn deletes(op: &Op) -> bool {
    op.k == Kind::Del && op.o != Outcome::Missing
}

fn is_change(op: &Op) -> bool {
    writes(op) || op.k == Kind::Del
}
