//! Judges a history: each promise that it broke, with what was seen.
//!
//! Variables are judged in `check_variables`, who owns a record in `ownership`.

use std::fmt;

use sri::{EXPIRY_SLACK, GRACE, Kind};

use super::history::{Answer, Ended, History, Op, Stay, What};
use super::ownership::{Owner, owner};
use super::script::{Fault, FaultKind};
use super::wire::node_of;
use super::{MS, S, Us, WITHIN_DEADLINE, check_variables};

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Rule {
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    P7,
    /// A clean end of a registration is told at once.
    Withdrawal,
}

pub(crate) struct Violation {
    pub(crate) rule: Rule,
    text: String,
}

impl Violation {
    pub(crate) fn new(rule: Rule, text: String) -> Self {
        Self { rule, text }
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}] {}", self.rule, self.text)
    }
}

/// A record that nothing hinders is written, or gone, this long after its event.
pub(crate) const AT_ONCE: Us = 300 * MS;
/// A node that was started, or reached again, has said everything this long after.
pub(crate) const SETTLES: Us = 4 * S;
/// The same for content that was lost: [P4].
const FOUND_AGAIN: Us = 5 * S;
/// Misses of a cache server that lost its content do not count earlier.
const HEALS: Us = 3 * S;

pub(crate) fn violations(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let check = Check::new(history);
    // What had no time to end is not judged.
    let ended = |op: &&Op| op.start + WITHIN_DEADLINE < history.script.end;
    for op in history.ops.iter().filter(ended) {
        check.availability(op, &mut found);
        if op.what == What::Locate {
            check.location(op, &mut found);
        }
    }
    check.claims(&mut found);
    check_variables::check(history, &mut found);
    found
}

/// Of the look-ups of registered phones that were answered: for how many it is certain whose they
/// are, and how many there are.
pub(crate) fn certainty(history: &History) -> (usize, usize) {
    let check = Check::new(history);
    let answered = |o: &&Op| o.what == What::Locate && o.answer != Answer::Unreachable;
    let owners =
        history.ops.iter().filter(answered).map(|o| owner(&check, &o.key, o.cache, o.start));
    owners.fold((0, 0), |(certain, all), owner| match owner {
        Owner::Nobody => (certain, all),
        Owner::Certain(_) => (certain + 1, all + 1),
        Owner::Open => (certain, all + 1),
    })
}

pub(crate) struct Check<'a> {
    pub(crate) history: &'a History,
    pub(crate) lease: Us,
}

impl<'a> Check<'a> {
    fn new(history: &'a History) -> Self {
        Self { history, lease: history.script.lease_s * S }
    }
}

impl Check<'_> {
    pub(crate) fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.history.script.faults.iter()
    }

    /// A fault that hinders the two at some time in this interval.
    pub(crate) fn trouble(&self, node: usize, cache: usize, from: Us, to: Us) -> Option<&Fault> {
        self.faults().find(|f| f.hinders(node, cache) && f.from <= to && f.to >= from)
    }

    /// [P4]: nothing is `UNREACHABLE` without a reason, and a loss is one for five seconds only.
    fn availability(&self, op: &Op, found: &mut Vec<Violation>) {
        if op.answer != Answer::Unreachable {
            return;
        }
        let lost = self.history.losses.iter().any(|(at, cache)| {
            *cache == op.cache && *at <= op.end && *at + FOUND_AGAIN >= op.start
        });
        let died = self.faults().any(|f| {
            f.kind.stops_node() && f.node == op.node && f.from <= op.end && f.to + 2 * S >= op.start
        });
        if !lost && !died && self.trouble(op.node, op.cache, op.start, op.end).is_none() {
            found.push(Violation::new(Rule::P4, format!("no reason not to know: {op:?}")));
        }
    }

    fn location(&self, op: &Op, found: &mut Vec<Violation>) {
        match &op.answer {
            Answer::Value(value) => match node_of(value, self.history.script.nodes) {
                Some(node) => self.hit(op, node, found),
                None => found.push(Violation::new(Rule::P1, format!("nobody wrote it: {op:?}"))),
            },
            Answer::Missing => self.miss(op, found),
            Answer::Unreachable | Answer::Done => {}
        }
    }

    /// The phone was found at `node`.
    fn hit(&self, op: &Op, node: usize, found: &mut Vec<Violation>) {
        let stay = self.last_stay(&op.key, node, op.end);
        let Some(stay) = stay else {
            let text = format!("it never was there: {op:?}");
            return found.push(Violation::new(Rule::P7, text));
        };
        let gone_by = self.history.latest(op.cache, stay.to) - WITHIN_DEADLINE;
        if op.start > gone_by + self.lease + us(GRACE) {
            let text = format!("older than its lease: {op:?}, {stay:?}");
            found.push(Violation::new(Rule::P5, text));
        }
        let slack = if stay.ended == Ended::Stop { 0 } else { us(EXPIRY_SLACK) };
        let cleanly = matches!(stay.ended, Ended::ByPhone | Ended::Stop)
            && self.trouble(node, op.cache, stay.to.saturating_sub(S), op.start).is_none();
        let owner = owner(self, &op.key, op.cache, op.start);
        if cleanly && op.start > stay.to + slack + AT_ONCE && !self.stays_again(stay, op) {
            let text = format!("withdrawn before: {op:?}, {stay:?}");
            found.push(Violation::new(Rule::Withdrawal, text));
        }
        if let Owner::Certain(newest) = owner
            && newest.node != node
            && !self.moves(op)
        {
            let text = format!("overtaken: {op:?}, by {newest:?}");
            found.push(Violation::new(Rule::P7, text));
        }
    }

    /// The phone was found nowhere.
    fn miss(&self, op: &Op, found: &mut Vec<Violation>) {
        let Owner::Certain(newest) = owner(self, &op.key, op.cache, op.start) else { return };
        let stay = self.last_stay(&op.key, newest.node, op.start);
        let Some(stay) = stay else { return };
        if self.moves(op) || stay.to < op.end + AT_ONCE {
            return;
        }
        let said_by = if stay.restored && newest.at < stay.from {
            stay.from + SETTLES
        } else {
            newest.at + AT_ONCE
        };
        if said_by > op.start || self.may_have_lapsed(op, newest.node) {
            return;
        }
        let lost_within = |window: Us| {
            self.history.losses.iter().any(|(at, cache)| {
                *at > 0 && *cache == op.cache && *at <= op.end && *at + window > op.start
            })
        };
        let rule = if lost_within(HEALS) {
            Rule::P2
        } else if lost_within(HEALS + self.lease) {
            Rule::P4
        } else {
            Rule::P6
        };
        found.push(Violation::new(rule, format!("it is there: {op:?}, {newest:?}, {stay:?}")));
    }

    /// Whether the node was cut off so long, or at such a moment, that its record could lapse.
    fn may_have_lapsed(&self, op: &Op, node: usize) -> bool {
        let registers =
            || self.history.registers.iter().filter(|r| r.node == node && r.key == op.key);
        let shortest = registers().map(|r| r.expires_s * S).min().unwrap_or(self.lease);
        let margin = shortest.min(self.lease) * 2 / 3;
        self.faults().any(|f| {
            let lossless = !f.kind.loses_content();
            let near = f.hinders(node, op.cache) && f.from <= op.end && f.to + SETTLES >= op.start;
            let registered = registers().any(|r| r.at + AT_ONCE >= f.from && r.at <= f.to);
            near && (registered || lossless && f.to - f.from + SETTLES > margin)
        })
    }

    /// What a claim did to the record itself: [P7].
    fn claims(&self, found: &mut Vec<Violation>) {
        for claim in &self.history.claims {
            let nodes = self.history.script.nodes;
            let Some(before) = claim.change.before.as_deref().and_then(|v| node_of(v, nodes))
            else {
                continue;
            };
            if before == claim.node {
                continue;
            }
            let fresh = self.history.registers.iter().any(|r| {
                let window = self.lease.min(10 * S) + AT_ONCE;
                r.node == claim.node
                    && r.key == claim.change.key
                    && r.at <= claim.at
                    && self.history.latest(claim.cache, r.at + window) >= claim.at
            });
            if claim.kind == Kind::Withdraw || claim.change.after.is_none() || !fresh {
                let text = format!("another's record: {claim:?}");
                found.push(Violation::new(Rule::P7, text));
            }
        }
    }

    /// The last stay of a phone at a node that began by then.
    pub(crate) fn last_stay(&self, key: &str, node: usize, by: Us) -> Option<&Stay> {
        let stays = self.history.stays.iter();
        stays.filter(|s| s.node == node && s.key == key && s.from <= by).max_by_key(|s| s.from)
    }

    fn stays_again(&self, stay: &Stay, op: &Op) -> bool {
        self.last_stay(&op.key, stay.node, op.end).is_some_and(|s| s.from > stay.from)
    }

    /// Whether the phone registers somewhere while the read is under way, or did just before.
    fn moves(&self, op: &Op) -> bool {
        self.history
            .registers
            .iter()
            .any(|r| r.key == op.key && r.at <= op.end && r.at + AT_ONCE >= op.start)
    }
}

/// Whether a fault makes everybody's records lapse or vanish.
pub(crate) fn empties(fault: &Fault, lease: Us) -> bool {
    let long = fault.to - fault.from + SETTLES > lease / 2;
    match fault.kind {
        FaultKind::CacheCrash | FaultKind::Flush | FaultKind::Reboot => true,
        FaultKind::CutAll | FaultKind::Freeze | FaultKind::CutOne | FaultKind::AnswersLost => long,
        FaultKind::NodeCrash | FaultKind::NodeStop => false,
    }
}

pub(crate) fn us(duration: std::time::Duration) -> Us {
    duration.as_micros() as Us
}
