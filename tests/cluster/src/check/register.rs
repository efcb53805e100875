//! One name is one register: is there an order of its operations in which each took effect at one moment between
//! its begin and its end, and each read saw the last write before it?
//!
//! The search is exact: it finds an order if and only if there is one. It goes through the begins and ends in the
//! order of time and keeps every state that the register can be in: its value, and which of the operations now
//! under way have taken effect already. When an operation ends, states are kept in which it has taken effect, or
//! can do so after others that are under way. If none is left, no order explains that operation: it is a
//! violation. Written values are unique, so few operations are under way on one name, and the states are few.
//!
//! - A change that was not answered (`unreachable`) may take effect at any time after its begin, or never, but not
//!   after another change that began when it had ended: "it does not happen later than its deadline". The
//!   exception is, with one copy, a server that was stopped and carries out later what it had accepted
//!   ([`Context::may_undo`]).
//! - A delete that says `missing` saw that there was nothing; or, if another delete was under way, has deleted
//!   what both of them found.
//! - A value with a time to live may go by itself from [`EARLY`] before its time, and must be gone [`LATE`] after
//!   it ([`check_outlived`]). With one copy, one that a stopped server carries out late may be there again, for as
//!   long again.
//!
//! Which operations contradict each other is found by [`super::explain`].

use std::collections::{HashMap, HashSet};

use super::{Context, Rule, Violation, explain};
use crate::history::{Fault, Kind, Nanos, Op, Outcome, SECOND};

/// A value may go by so much before its time. memcached counts whole seconds, which costs up to one; a copy that was
/// mended has one less than was left of the other, and begins its first second when it likes: up to two more.
pub(crate) const EARLY: Nanos = 3 * SECOND;
/// It may be read for so much after its time.
pub(crate) const LATE: Nanos = 2 * SECOND;
/// Changes under way on one name, unanswered ones counted in, which the search can tell apart.
const SLOTS: usize = u128::BITS as usize;
/// States of one name at one moment.
const STATES_MAX: usize = 50_000;

/// A value by its number; [`NULL`] is "not there".
type Value = u32;
const NULL: Value = 0;
/// The value of a write that nobody has read.
const UNREAD: Value = 1;

/// What an operation does to the register, or says of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Act {
    /// Saw this value, or none.
    Read(Value),
    /// Saw that there is one.
    Exists,
    Set(Value),
    Delete,
    /// Saw none, and set it.
    Add(Value),
}

impl Act {
    /// What becomes of `value`, if the operation can take effect now.
    fn apply(self, value: Value) -> Option<Value> {
        match self {
            Self::Read(seen) => (seen == value).then_some(value),
            Self::Exists => (value != NULL).then_some(value),
            Self::Set(new) => Some(new),
            Self::Delete => Some(NULL),
            Self::Add(new) => (value == NULL).then_some(new),
        }
    }

    fn is_read(self) -> bool {
        matches!(self, Self::Read(_) | Self::Exists)
    }
}

#[derive(Clone, Copy, Debug)]
struct Action {
    /// Where it stands in the list of operations.
    at: usize,
    act: Act,
    begin: Nanos,
    end: Nanos,
    certain: bool,
    /// It may take effect after changes that began when it had ended.
    late: bool,
    /// When it is of no use any more: nobody reads it later, or it cannot happen any more.
    useless: Nanos,
}

/// A register's value and which of the actions under way (by slot) have taken effect.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
struct State {
    value: Value,
    done: u128,
}

/// Checks the operations of one name, which are in no order.
pub(crate) fn check(context: &Context<'_>, ops: &[(usize, &Op)], found: &mut Vec<Violation>) {
    check_outlived(context, ops, found);
    let (actions, expiry) = actions(context, ops);
    for at in Search::new(&actions, &expiry).run() {
        match at {
            Stuck::At(at) => found.push(explain::register(context, ops, at)),
            Stuck::TooMuch(at) => {
                let (line, op) = ops[at];
                found.push(Violation {
                    rule: Rule::Undecided,
                    at: op.e,
                    lines: vec![line],
                    text: format!("{}: too many operations at once to decide from here on", op.n),
                });
            }
        }
    }
}

/// A read must not see a value long after its time.
fn check_outlived(context: &Context<'_>, ops: &[(usize, &Op)], found: &mut Vec<Violation>) {
    let written: HashMap<&str, (usize, &Op)> = ops
        .iter()
        .filter(|(_, op)| op.ttl.is_some())
        .filter_map(|&(line, op)| Some((op.v.as_deref()?, (line, op))))
        .collect();
    for &(line, op) in ops {
        let Some(&(from, write)) = op.r.as_deref().and_then(|value| written.get(value)) else {
            continue;
        };
        let ttl = write.ttl.unwrap_or_default();
        let carried_out = context.carried_out_late(write).unwrap_or(write.e).max(write.e);
        if op.b > carried_out + ttl * SECOND + LATE {
            found.push(Violation {
                rule: Rule::Outlived,
                at: op.e,
                lines: vec![from, line],
                text: format!("{}: written for {ttl} s and still read later", op.n),
            });
        }
    }
}

/// What the operations did, and from when on each value may have gone by itself.
fn actions(context: &Context<'_>, ops: &[(usize, &Op)]) -> (Vec<Action>, HashMap<Value, Nanos>) {
    let mut numbers: HashMap<&str, Value> = HashMap::new();
    for (_, op) in ops {
        // Values that nobody read are alike, but for when they may have gone by themselves.
        let told_apart = match op.k {
            Kind::Get => op.r.as_deref().filter(|_| op.o == Outcome::Ok),
            _ => op.v.as_deref().filter(|_| op.ttl.is_some()),
        };
        if let Some(value) = told_apart {
            let next = UNREAD + 1 + u32::try_from(numbers.len()).unwrap_or(u32::MAX);
            numbers.entry(value).or_insert(next);
        }
    }
    let number = |value: &Option<String>| {
        value.as_deref().and_then(|value| numbers.get(value)).copied().unwrap_or(UNREAD)
    };
    let mut reads: HashMap<Value, Nanos> = HashMap::new();
    let deletes = Deletes::of(ops);
    let mut presence_matters = false;
    let mut actions = Vec::with_capacity(ops.len());
    let mut agains = Vec::new();
    let mut expiry: HashMap<Value, Nanos> = HashMap::new();
    for (at, (_, op)) in ops.iter().enumerate() {
        let certain = op.o == Outcome::Ok;
        let act = match (op.k, op.o) {
            (Kind::Get, Outcome::Ok) => Act::Read(number(&op.r)),
            // Of two deletes at once each may have found what the other left, and both say that it is gone.
            (Kind::Del, Outcome::Missing) if deletes.overlap(op) => Act::Delete,
            (Kind::Get | Kind::Del, Outcome::Missing) => Act::Read(NULL),
            (Kind::Add, Outcome::Exists) => Act::Exists,
            (Kind::Get | Kind::Inc, _) => continue,
            (Kind::Set, _) => Act::Set(number(&op.v)),
            (Kind::Del, _) => Act::Delete,
            (Kind::Add, _) => Act::Add(number(&op.v)),
        };
        if let Act::Read(value) = act {
            reads.entry(value).and_modify(|last| *last = op.e.max(*last)).or_insert(op.e);
        }
        presence_matters |= act == Act::Exists;
        if let (Act::Set(value) | Act::Add(value), Some(ttl)) = (act, op.ttl) {
            let from = (op.b + ttl * SECOND).saturating_sub(EARLY);
            expiry.entry(value).and_modify(|at| *at = from.min(*at)).or_insert(from);
        }
        let (begin, end) = (op.b, op.e);
        let certain = certain || act.is_read() || op.o == Outcome::Missing;
        let late = !certain && context.may_undo(op);
        actions.push(Action { at, act, begin, end, certain, late, useless: Nanos::MAX });
        let again = context.carried_out_late(op).filter(|_| op.ttl.is_some());
        if let (Act::Set(value) | Act::Add(value), Some(end)) = (act, again) {
            let act = Act::Set(value);
            let (certain, late) = (false, true);
            agains.push(Action { at, act, begin, end, certain, late, useless: Nanos::MAX });
        }
    }
    // Where all caches lose everything, each name may be gone from then on.
    for (_, scenario) in &context.history.scenarios {
        if scenario.fault == Fault::AllEmptied {
            let (act, certain, late) = (Act::Delete, false, false);
            let (begin, end) = (scenario.begin, scenario.healed);
            actions.push(Action { at: 0, act, begin, end, certain, late, useless: Nanos::MAX });
        }
    }
    // What a cache carries out late is there again, if it is read when its time was over.
    actions.extend(agains.into_iter().filter(|again| match again.act {
        Act::Set(value) => reads.get(&value) > expiry.get(&value),
        _ => false,
    }));
    for action in actions.iter_mut().filter(|action| !action.certain) {
        action.useless = match action.act {
            Act::Set(_) | Act::Add(_) if presence_matters => Nanos::MAX,
            Act::Set(value) | Act::Add(value) => reads.get(&value).map_or(0, |&last| last),
            _ => Nanos::MAX,
        };
    }
    // Neither can one be of use that had ended when a change began which is over.
    let changes: Vec<(Nanos, Nanos)> = actions
        .iter()
        .filter(|action| action.certain && !action.act.is_read())
        .map(|action| (action.begin, action.end))
        .collect();
    let first_over = FirstOver::new(changes);
    for action in actions.iter_mut().filter(|action| !action.certain && !action.late) {
        action.useless = action.useless.min(first_over.after(action.end));
    }
    actions.retain(|action| action.certain || action.useless >= action.begin);
    (actions, expiry)
}

/// The deletes of a name, by their begin.
struct Deletes(Vec<(Nanos, Nanos)>);

impl Deletes {
    fn of(ops: &[(usize, &Op)]) -> Self {
        let deletes = ops.iter().filter(|(_, op)| op.k == Kind::Del);
        let mut spans: Vec<_> = deletes.map(|(_, op)| (op.b, op.e)).collect();
        spans.sort_unstable();
        Self(spans)
    }

    /// Whether another one than `op` was under way at the same time.
    fn overlap(&self, op: &Op) -> bool {
        let begun = self.0.partition_point(|&(begin, _)| begin <= op.e);
        self.0[..begun].iter().filter(|&&(_, end)| end >= op.b).count() > 1
    }
}

/// Of all that begins after a time, the first end.
struct FirstOver {
    /// Begins in order, each with the first end of all from there on.
    ends: Vec<(Nanos, Nanos)>,
}

impl FirstOver {
    fn new(mut spans: Vec<(Nanos, Nanos)>) -> Self {
        spans.sort_unstable();
        let mut first = Nanos::MAX;
        for span in spans.iter_mut().rev() {
            first = first.min(span.1);
            span.1 = first;
        }
        Self { ends: spans }
    }

    fn after(&self, time: Nanos) -> Nanos {
        let at = self.ends.partition_point(|&(begin, _)| begin <= time);
        self.ends.get(at).map_or(Nanos::MAX, |&(_, end)| end)
    }
}

/// Where no order was found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stuck {
    /// This operation cannot be explained.
    At(usize),
    /// Too much is under way to go on.
    TooMuch(usize),
}

/// In the order in which they are looked at if they are at the same time.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum What {
    Begins,
    Ends,
    Useless,
}

struct Search<'a> {
    actions: &'a [Action],
    /// From when on a value may have gone by itself.
    expiry: &'a HashMap<Value, Nanos>,
    /// What is under way: its slot, and which action it is.
    under_way: Vec<(usize, usize)>,
    /// The slots that are taken.
    taken: u128,
    states: HashSet<State>,
}

impl<'a> Search<'a> {
    fn new(actions: &'a [Action], expiry: &'a HashMap<Value, Nanos>) -> Self {
        let states = HashSet::from([State { value: NULL, done: 0 }]);
        Self { actions, expiry, under_way: Vec::new(), taken: 0, states }
    }

    fn run(mut self) -> Vec<Stuck> {
        let mut events = Vec::with_capacity(self.actions.len() * 2);
        for (index, action) in self.actions.iter().enumerate() {
            events.push((action.begin, What::Begins, index));
            if action.certain {
                events.push((action.end, What::Ends, index));
            } else if action.useless < Nanos::MAX {
                events.push((action.useless, What::Useless, index));
            }
        }
        events.sort_unstable();
        let mut stuck = Vec::new();
        for (now, what, index) in events {
            let at = self.actions[index].at;
            if what == What::Begins {
                let slot = self.taken.trailing_ones() as usize;
                if slot >= SLOTS {
                    stuck.push(Stuck::TooMuch(at));
                    return stuck;
                }
                self.taken |= 1 << slot;
                self.under_way.push((slot, index));
                continue;
            }
            let Some(&(slot, _)) = self.under_way.iter().find(|(_, held)| *held == index) else {
                continue;
            };
            if what == What::Ends {
                let after = self.states_after(slot, now);
                if after.len() > STATES_MAX {
                    stuck.push(Stuck::TooMuch(at));
                    return stuck;
                }
                if after.is_empty() {
                    stuck.push(Stuck::At(at));
                    self.believe(index);
                } else {
                    self.states = after;
                }
            }
            self.free(slot);
        }
        stuck
    }

    /// All states at `now` in which the action in `slot` has taken effect.
    fn states_after(&self, slot: usize, now: Nanos) -> HashSet<State> {
        let wanted = 1_u128 << slot;
        let mut reached = HashSet::new();
        let mut seen: HashSet<State> = HashSet::with_capacity(self.states.len() * 2);
        let mut open: Vec<State> = self.states.iter().copied().collect();
        while let Some(state) = open.pop() {
            let state = self.with_reads(state);
            if state.done & wanted != 0 {
                reached.insert(state);
                continue;
            }
            if !seen.insert(state) || seen.len() > STATES_MAX * 2 {
                continue;
            }
            self.next(state, now, &mut open);
        }
        if seen.len() > STATES_MAX * 2 {
            // Too many to tell; the caller sees that by their number.
            reached.extend(seen);
        }
        reached
    }

    /// Reads under way that fit take effect at once: that can only help.
    fn with_reads(&self, mut state: State) -> State {
        for (slot, action) in self.under_way() {
            if action.act.is_read() && action.act.apply(state.value).is_some() {
                state.done |= 1 << slot;
            }
        }
        state
    }

    /// What one more change can make of a state.
    fn next(&self, state: State, now: Nanos, open: &mut Vec<State>) {
        if self.expiry.get(&state.value).is_some_and(|&from| now >= from) {
            open.push(State { value: NULL, ..state });
        }
        let mut unanswered_delete: Option<(usize, &Action)> = None;
        for (slot, action) in self.under_way() {
            if state.done & (1 << slot) != 0 || action.act.is_read() {
                continue;
            }
            if action.act == Act::Delete && !action.certain {
                // They are all alike but for when they are of no use any more: the first such one will do.
                if unanswered_delete.is_none_or(|(_, other)| action.useless < other.useless) {
                    unanswered_delete = Some((slot, action));
                }
                continue;
            }
            self.apply(state, slot, action, open);
        }
        if let Some((slot, action)) = unanswered_delete.filter(|_| state.value != NULL) {
            self.apply(state, slot, action, open);
        }
    }

    fn apply(&self, state: State, slot: usize, action: &Action, open: &mut Vec<State>) {
        let Some(value) = action.act.apply(state.value) else { return };
        let mut done = state.done | 1 << slot;
        if action.certain {
            for (slot, other) in self.under_way() {
                if !other.certain && !other.late && other.end < action.begin {
                    done |= 1 << slot;
                }
            }
        }
        open.push(State { value, done });
    }

    fn under_way(&self) -> impl Iterator<Item = (usize, &'a Action)> {
        self.under_way.iter().map(|&(slot, index)| (slot, &self.actions[index]))
    }

    /// After an operation that cannot be explained: what it saw is from now on possible too, so that one mistake
    /// is told once.
    fn believe(&mut self, index: usize) {
        let value = match self.actions[index].act {
            Act::Read(value) | Act::Set(value) | Act::Add(value) => value,
            Act::Exists => UNREAD,
            Act::Delete => NULL,
        };
        let seen: Vec<State> =
            self.states.iter().map(|&State { done, .. }| State { value, done }).collect();
        self.states.extend(seen);
    }

    fn free(&mut self, slot: usize) {
        self.under_way.retain(|(held, _)| *held != slot);
        self.taken &= !(1 << slot);
        let bit = !(1_u128 << slot);
        self.states = self
            .states
            .drain()
            .map(|State { value, done }| State { value, done: done & bit })
            .collect();
    }
}

#[cfg(test)]
mod tests;
