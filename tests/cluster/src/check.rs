//! Whether a history keeps what `docs/consistency.md` promises.
//!
//! What is promised is promised for one cache fault at a time. A machine that is too busy is a fault too: where the
//! nodes' own tables say that two caches had trouble at once, a contradiction is not a violation. Such are counted
//! and shown as "excused"; on a quiet machine there are none.
//!
//! A [`Rule`] is a sentence of the promise; each has a file below this one. The checker knows nothing of the code
//! that it judges, nor of the workload: it reads operations, faults and registrations with their times. It is the
//! same for a history that was just made and for a saved one.

mod availability;
mod counter;
mod explain;
mod partition;
mod register;
mod registration;
mod report;

use std::collections::{BTreeMap, HashMap};
use std::fmt;

pub use report::{Report, Row};

use crate::history::{Fault, History, Kind, Nanos, Op, SECOND, Scenario, Stall};

/// A sentence of the promise.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Rule {
    /// An acknowledged write is never lost.
    LostWrite,
    /// An acknowledged delete is never lost.
    LostDelete,
    /// Reads do not go back.
    WentBack,
    /// What is read was written, and before.
    NeverWritten,
    /// Each name is one register: there is an order of all operations.
    NoOrder,
    /// A value is gone after its time.
    Outlived,
    /// Of several who add, one is told that it did.
    AddedTwice,
    /// A counter counts each increment once, and gives each number once.
    Counter,
    /// A phone that is registered is found.
    PhoneMissing,
    /// A record is its node's, and gone with the registration.
    PhoneGhost,
    /// With one fault, operations are answered.
    Unavailable,
    /// Nothing in the workload is invalid.
    Invalid,
    /// The operator is told of what cannot be mended.
    NotTold,
    /// After a partition all servers read the same, the newest.
    NotConverged,
    /// The history is too tangled to be decided: nothing is assumed then.
    Undecided,
}

impl Rule {
    /// Whether it is promised for one fault at a time, and not whatever happens.
    fn is_for_one_fault(self) -> bool {
        matches!(
            self,
            Self::LostWrite
                | Self::LostDelete
                | Self::WentBack
                | Self::NoOrder
                | Self::AddedTwice
                | Self::Counter
                | Self::Unavailable
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LostWrite => "an acknowledged write was lost",
            Self::LostDelete => "an acknowledged delete was lost",
            Self::WentBack => "reads went back",
            Self::NeverWritten => "what was read was not written",
            Self::NoOrder => "no order of the operations",
            Self::Outlived => "a value outlived its time",
            Self::AddedTwice => "added twice",
            Self::Counter => "a counter miscounted",
            Self::PhoneMissing => "a registered phone was missing",
            Self::PhoneGhost => "a record without its phone",
            Self::Unavailable => "not answered without need",
            Self::Invalid => "answered INVALID",
            Self::NotTold => "the operator was not told",
            Self::NotConverged => "not the same after a partition",
            Self::Undecided => "could not be decided",
        })
    }
}

/// A promise that was not kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// When it could be seen.
    pub at: Nanos,
    /// The lines of the history that contradict each other, the last one being where it was seen.
    pub lines: Vec<usize>,
    /// What happened.
    pub text: String,
}

/// What rules look at beside a name's operations.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    history: &'a History,
}

/// What ends so much before or begins so much after a time at which the machine was too busy may be unanswered for
/// that reason: a node that got no answer asks again with its next probe.
const STALL_AROUND: Nanos = SECOND * 6 / 10;

/// Within this all nodes have noticed a fault, or its end.
const NOTICED_WITHIN: Nanos = 2 * SECOND;

/// Troubles that are nearer to each other than this are at once: less than there is between two faults of a plan.
const TOGETHER: Nanos = SECOND;
/// Of the operations that contradict each other, so many before the last are those that the fault has to be near.
const LAST_OPS: usize = 3;

impl Context<'_> {
    /// The end of the time in which the only copy's cache accepted this change and may not have carried it out: one
    /// that was stopped, or whose line was slow. It may then undo what came after it. (With two copies what came
    /// after it stands on the other, and is newer.)
    fn carried_out_late(&self, op: &Op) -> Option<Nanos> {
        let late = |scenario: &Scenario| {
            matches!(scenario.fault, Fault::Stopped | Fault::Slow)
                && op.b <= scenario.ended + SECOND
                && op.e + SECOND >= scenario.begin
        };
        let scenarios = self.history.scenarios.iter().map(|(_, scenario)| scenario);
        let ends =
            scenarios.filter(|scenario| late(scenario)).map(|scenario| scenario.ended + SECOND);
        ends.max().filter(|_| self.history.header.copies < 2)
    }

    /// Whether a change that was not answered may still undo one that began when it had ended.
    fn may_undo(&self, op: &Op) -> bool {
        self.carried_out_late(op).is_some()
    }

    /// Whether more than one cache had trouble at once, in the time between: then nothing is promised.
    fn had_two_faults(&self, from: Nanos, to: Nanos) -> bool {
        let troubles = || {
            self.history
                .troubles
                .iter()
                .filter(|trouble| trouble.b <= to && trouble.e + TOGETHER >= from)
        };
        troubles().any(|one| {
            troubles().any(|other| {
                one.c != other.c && one.b <= other.e + TOGETHER && other.b <= one.e + TOGETHER
            })
        })
    }

    /// Whether some nodes may just have noticed a fault, or its end, and others not.
    fn is_being_noticed(&self, op: &Op) -> bool {
        self.history.scenarios.iter().any(|(_, scenario)| {
            let near = |from: Nanos, to: Nanos| op.e >= from && op.b <= to + NOTICED_WITHIN;
            near(scenario.begin, scenario.begun) || near(scenario.end, scenario.ended)
        })
    }

    /// Whether the machine was too busy then to blame anybody for being late.
    fn stalled(&self, begin: Nanos, end: Nanos) -> bool {
        let near = |stall: &Stall| begin <= stall.e + STALL_AROUND && end + STALL_AROUND >= stall.b;
        self.history.stalls.iter().any(near)
    }

    /// The prefix and phone that a name is the record of.
    fn phone_of<'n>(&self, name: &'n str) -> Option<(usize, &'n str)> {
        self.history.header.publishers.iter().enumerate().find_map(|(index, publisher)| {
            Some((index, name.strip_prefix(publisher.prefix.as_str())?))
        })
    }

    fn is_partitioned(&self) -> bool {
        self.history.scenarios.iter().any(|(_, scenario)| scenario.fault == Fault::Partition)
    }
}

/// Checks everything.
#[must_use]
pub fn check(history: &History) -> Report {
    let context = Context { history };
    let mut found = Vec::new();
    let mut names: BTreeMap<&str, Vec<(usize, &Op)>> = BTreeMap::new();
    for (line, op) in &history.ops {
        names.entry(&op.n).or_default().push((*line, op));
    }
    for (name, ops) in &mut names {
        ops.sort_by_key(|(line, op)| (op.b, *line));
        if context.phone_of(name).is_some() {
            registration::check(&context, name, ops, &mut found);
        } else if ops.iter().any(|(_, op)| op.k == Kind::Inc) {
            counter::check(&context, ops, &mut found);
        } else if context.is_partitioned() {
            partition::check(&context, ops, &mut found);
        } else {
            register::check(&context, ops, &mut found);
        }
    }
    availability::check(&context, &mut found);
    found.sort_by_key(|violation| violation.at);
    let begins: HashMap<usize, Nanos> =
        history.ops.iter().map(|(line, op)| (*line, op.b)).collect();
    let (excused, found) = found.into_iter().partition(|violation| {
        let near = violation.lines.iter().rev().take(LAST_OPS);
        let from = near.filter_map(|line| begins.get(line)).min();
        violation.rule.is_for_one_fault()
            && from.is_some_and(|&from| context.had_two_faults(from, violation.at))
    });
    report::report(history, found, excused)
}

#[cfg(test)]
mod tests;
