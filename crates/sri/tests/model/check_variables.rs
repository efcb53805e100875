//! Variables: a read returns the newest value, and a miss is certain ([P1], [P2], [P3]).
//!
//! Every write has its own value, so a read names the write that it saw. That write, or one cause
//! of absence, must not be overtaken by another that had certainly happened before the read began.

use super::check::{Rule, Violation};
use super::history::{Answer, History, Op, What};
use super::{S, Us};

/// Something that set a variable's content, at some moment of an interval.
#[derive(Clone, Debug)]
struct Cause {
    /// `None`: made it absent.
    value: Option<String>,
    from: Us,
    to: Us,
    certain: bool,
    /// The content was lost: not to be seen as a miss before healing.
    loss: bool,
}

/// Misses count again at the earliest this long after a loss.
const HEALS: Us = 3 * S;
/// memcached's clock: a life of whole seconds may be shorter by one.
const CLOCK: Us = S;

pub(crate) fn check(history: &History, found: &mut Vec<Violation>) {
    let mut keys: Vec<_> =
        history.ops.iter().filter(|o| o.what != What::Locate).map(|o| &o.key).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let ops: Vec<_> = history.ops.iter().filter(|o| o.key == *key).collect();
        let causes = causes(history, &ops);
        for read in ops.iter().filter(|o| o.what == What::Read) {
            judge(read, &causes, &ops, found);
        }
    }
}

fn causes(history: &History, ops: &[&Op]) -> Vec<Cause> {
    let mut causes = vec![Cause { value: None, from: 0, to: 0, certain: true, loss: false }];
    for op in ops {
        let certain = op.answer == Answer::Done;
        let to = if certain { op.end } else { history.latest(op.cache, op.start) };
        match &op.what {
            What::Write { value, ttl_s } => {
                let value = Some(value.clone());
                causes.push(Cause { value, from: op.start, to, certain, loss: false });
                if let Some(ttl) = ttl_s {
                    let (from, to) = (op.start + ttl * S - CLOCK, to + ttl * S);
                    // It ends only what it wrote; so it overtakes nothing else.
                    causes.push(Cause { value: None, from, to, certain: false, loss: false });
                }
            }
            What::Delete => {
                causes.push(Cause { value: None, from: op.start, to, certain, loss: false });
            }
            What::Locate | What::Read => {}
        }
    }
    if let Some(first) = ops.first() {
        for fault in history.script.faults.iter().filter(|f| f.kind.loses_content()) {
            if fault.cache == first.cache {
                let (from, to) = (fault.from, fault.to);
                causes.push(Cause { value: None, from, to, certain: true, loss: true });
            }
        }
    }
    causes
}

fn judge(read: &Op, causes: &[Cause], ops: &[&Op], found: &mut Vec<Violation>) {
    let value = match &read.answer {
        Answer::Value(value) => Some(value.clone()),
        Answer::Missing => None,
        Answer::Unreachable | Answer::Done => return,
    };
    let overtaken = |cause: &Cause| {
        causes.iter().any(|other| other.certain && cause.to < other.from && other.to < read.start)
    };
    let possible = |cause: &&Cause| {
        let from = if cause.loss { cause.to + HEALS } else { cause.from };
        cause.value == value && from <= read.end && !overtaken(cause)
    };
    let Some(cause) = causes.iter().find(possible) else {
        let late = causes.iter().any(|c| c.value == value && !c.certain && c.value.is_some());
        let rule = match (&value, late) {
            (None, _) => Rule::P2,
            (Some(_), true) => Rule::P3,
            (Some(_), false) => Rule::P1,
        };
        return found.push(Violation::new(rule, format!("nothing explains it: {read:?}")));
    };
    // What an earlier read has seen has happened, acknowledged or not.
    let Some(value) = &cause.value else { return };
    for earlier in ops.iter().filter(|o| o.what == What::Read && o.end < read.start) {
        let Answer::Value(seen) = &earlier.answer else { continue };
        let newer = causes.iter().find(|c| c.value.as_ref() == Some(seen));
        if seen != value && newer.is_some_and(|n| cause.to < n.from) {
            let text = format!("went back: {read:?} after {earlier:?}");
            found.push(Violation::new(Rule::P1, text));
        }
    }
}
