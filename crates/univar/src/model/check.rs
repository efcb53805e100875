//! Judges a history: each promise that it broke, with what was seen.

use std::fmt;

use super::history::{Done, History};
use super::linear::{Act, Answer, Event, Ghost, in_some_order};
use super::script::{CLASSES, Class, Fault, FaultKind, What};
use super::{DEADLINE, MS, S, Us};
use crate::Outcome;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Rule {
    /// There is an order of all that was done to a name in which every answer is right.
    Order(Class),
    /// What can be known is known.
    Available,
    /// Nobody waits for longer than the deadline.
    InTime,
    /// Healing ends.
    Heals,
}

pub(crate) struct Violation {
    pub(crate) rule: Rule,
    text: String,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{:?}] {}", self.rule, self.text)
    }
}

/// A thread may be kept from its work for a moment.
const SLACK: Us = 12 * MS;
/// Copying a value shortens its life: by a second, for it is told so, and by one that its new
/// server's clock may already have counted.
const COPYING_COSTS: Us = 2 * S;

/// Long enough for a window, a probe or two, and listing.
const HEALS_WITHIN: Us = 15 * S;
/// Every node knows of a fault, or of its end, this long after.
const NOTICED_WITHIN: Us = 2 * S;

pub(crate) fn violations(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    if let Some(at) = history.never_healed {
        let text = format!("not healed at {at}: {:?}", history.faults.last());
        found.push(Violation { rule: Rule::Heals, text });
    }
    for op in &history.ops {
        if op.outcome == Outcome::Unreachable
            && !op.died
            && !keep_waits(history, op)
            && !is_hopeless(history, op)
        {
            let text = format!("no reason not to know: {op:?} {:?}", history.faults);
            found.push(Violation { rule: Rule::Available, text });
        }
        if op.end > op.start + DEADLINE + SLACK {
            let text = format!("too late: {op:?} {:?}", history.faults);
            found.push(Violation { rule: Rule::InTime, text });
        }
    }
    for (name, class) in CLASSES.into_iter().enumerate() {
        let mut ops: Vec<&Done> = history.ops.iter().filter(|op| op.name == name).collect();
        ops.sort_by_key(|op| op.start);
        let events = events_of(history, &ops);
        if let Err(stuck) = in_some_order(&events) {
            let mut text = format!("name {name}, {:?}:\n", history.faults);
            let latest = stuck.iter().map(|&at| events[at].start).min().unwrap_or(0);
            for (at, event) in events.iter().enumerate().filter(|(_, e)| e.start < latest + 90 * S)
            {
                let mark = if stuck.contains(&at) { '!' } else { ' ' };
                let op = ops.get(at).map(|op| format!("node {} {:?}", op.node, op.outcome));
                let Event { start, end, is_open, act, .. } = event;
                let open = if *is_open { "open" } else { "" };
                text += &format!("{mark} {at}: {start}-{end} {open} {act:?} {op:?}\n");
            }
            found.push(Violation { rule: Rule::Order(class), text });
        }
    }
    found
}

/// Whether a clock was so far ahead that nobody follows it: then its node may make a version twice,
/// and a delete take an earlier one's tombstone for its own.
fn is_absurd(history: &History) -> bool {
    history.faults.iter().any(|(_, _, fault)| fault.kind.is_absurd())
}

/// After two faults at once neither cache server can say that something is not there, until one is
/// healed.
fn is_hopeless(history: &History, op: &Done) -> bool {
    let two = |(from, to, fault): &(Us, Us, Fault)| {
        let again = Us::from(fault.kind == FaultKind::EmptyAlone) * fault.lasts;
        matches!(fault.kind, FaultKind::EmptyAlone)
            && *from <= op.end
            && op.start <= *to + again + HEALS_WITHIN
    };
    history.faults.iter().any(two)
}

/// A Keep that finds a gap waits until the probe has seen to a new epoch.
fn keep_waits(history: &History, op: &Done) -> bool {
    let near =
        |(from, to, _): &(Us, Us, Fault)| *from <= op.end && op.start <= *to + NOTICED_WITHIN;
    matches!(op.what, What::Keep { .. }) && history.faults.iter().any(near)
}

fn events_of(history: &History, ops: &[&Done]) -> Vec<Event> {
    let mut events: Vec<Event> = ops.iter().map(|op| event_of(history, op)).collect();
    for (at, op) in ops.iter().enumerate().filter(|(_, op)| removes(op)) {
        let writes = |other: &&Done| !reads(other) && !std::ptr::eq(*other, *op);
        let overlaps = |other: &&Done| other.start <= op.end && op.start <= other.end;
        // It may have seen, and undone, half of what another was about to do.
        let may_be_either = is_hopeless(history, op)
            || is_absurd(history)
            || ops.iter().copied().filter(writes).any(|op| overlaps(&op));
        if !events[at].is_open && may_be_either {
            events[at].act = match events[at].act {
                Act::Withdraw(value, _) => Act::Withdraw(value, Answer::Open),
                _ => Act::Delete(Answer::Open),
            };
        }
    }
    for (at, op) in ops.iter().enumerate() {
        let reaches = |op: &Done| {
            history
                .faults
                .iter()
                .any(|(from, to, _)| *from <= op.end && op.start <= *to + NOTICED_WITHIN)
        };
        let races = |other: &&Done| {
            let counts = other.what == What::Increment && !std::ptr::eq(*other, *op);
            counts
                && other.start <= op.end
                && op.start <= other.end
                && (reaches(op) || reaches(other))
        };
        if !ops.iter().any(races) {
            continue;
        }
        events[at].act = match events[at].act {
            Act::Increment(Some(number)) => Act::CountLoosely(number),
            Act::Read(Some(number)) => Act::ReadLoosely(number),
            act => act,
        };
    }
    // Who adds and loses what he added to a delete at once is told that there is another's. And who
    // could not reach a copy passes on what another was about to add in a version of his own, and that
    // one does not know it again: of several that add at once just then, none may be told that he won.
    for (at, op) in ops.iter().enumerate() {
        let troubled = |(from, to, _): &(Us, Us, Fault)| {
            [*from, *to].iter().any(|edge| *edge <= op.end && op.start <= *edge + NOTICED_WITHIN)
        };
        let is_troubled = history.faults.iter().any(troubled);
        let rival = |other: &&&Done| {
            let adds = matches!(other.what, What::Add { .. }) && other.value != op.value;
            let overlaps = other.start <= op.end && op.start <= other.end;
            overlaps && (removes(other) || adds && is_troubled)
        };
        if let Act::Add(value, Answer::Left) = events[at].act
            && ops.iter().any(|other| rival(&other))
        {
            events[at].act = Act::Add(value, Answer::Open);
            events[at].is_open = true;
        }
    }
    // Of writes that overlap either may stand in the end, and one be seen before and after the
    // other: for each copy has an order of its own.
    let mut written: Vec<(usize, &Done)> = ops.iter().copied().enumerate().collect();
    let clock_is_wrong =
        history.faults.iter().any(|(_, _, fault)| matches!(fault.kind, FaultKind::Clock { .. }));
    for (at, op) in ops.iter().enumerate() {
        let act = match events[at].act {
            Act::Set(value) | Act::Add(value, Answer::Done | Answer::Open) => Act::Set(value),
            Act::Delete(_) if clock_is_wrong => Act::Delete(Answer::Open),
            _ => continue,
        };
        let overwrites = |other: &&&Done| {
            let writes = match act {
                Act::Delete(_) => !reads(other),
                _ => matches!(other.what, What::Set { .. } | What::Take { .. }) || removes(other),
            };
            writes && other.start <= op.end && op.start <= other.end && !std::ptr::eq(**other, *op)
        };
        let Some(end) = ops.iter().filter(overwrites).map(|other| other.end).max() else {
            continue;
        };
        // Nor do the copies agree before somebody has read both.
        let apart = |(from, to, _): &(Us, Us, Fault)| {
            (*from <= end + HEALS_WITHIN && *to >= op.start).then_some(*to + NOTICED_WITHIN)
        };
        let end = history.faults.iter().filter_map(apart).fold(end.max(events[at].end), Us::max);
        written.push((events.len(), op));
        events.push(Event { end, is_open: true, act, ..events[at] });
    }
    for (at, op) in written {
        let Some(life) = life_of(op) else { continue };
        // Each fault by then may have cost a copying, be it over or not.
        let begun = |(from, _, _): &&(Us, Us, Fault)| *from < op.start + life;
        let faults = history.faults.iter().filter(begun).count();
        // So may whoever sees half of it, and passes it on.
        let overlaps = |other: &&&Done| {
            other.start <= op.end && op.start <= other.end && !std::ptr::eq(**other, op)
        };
        let copyings = (faults + ops.iter().filter(overlaps).count().min(1)) as Us;
        let start = (op.start + life).saturating_sub(S + COPYING_COSTS * copyings).max(op.start);
        let end = events[at].end + life;
        let act = Act::End(at);
        events.push(Event { start, end, is_open: false, act, ghost: Ghost::None });
    }
    events
}

fn reads(op: &Done) -> bool {
    matches!(op.what, What::Get | What::Life)
}

fn removes(op: &Done) -> bool {
    matches!(op.what, What::Delete | What::Withdraw { .. })
}

fn life_of(op: &Done) -> Option<Us> {
    let ttl_s = match op.what {
        What::Set { ttl_s } | What::Add { ttl_s } | What::Touch { ttl_s } => ttl_s?,
        What::Take { .. } | What::Keep { .. } => 5,
        _ => return None,
    };
    Some(ttl_s * S)
}

fn event_of(history: &History, op: &Done) -> Event {
    let answer = match op.outcome {
        Outcome::Done => Answer::Done,
        Outcome::Unreachable => Answer::Open,
        _ => Answer::Left,
    };
    let act = match op.what {
        What::Get => Act::Read(match &op.outcome {
            Outcome::Value(value) => std::str::from_utf8(value).unwrap().parse().ok(),
            _ => None,
        }),
        What::Life => Act::Life(matches!(op.outcome, Outcome::Life(_))),
        What::Set { .. } | What::Take { .. } => Act::Set(op.value),
        What::Delete => Act::Delete(answer),
        What::Touch { .. } => Act::Touch(answer),
        What::Add { .. } => Act::Add(op.value, answer),
        What::Increment => Act::Increment(match op.outcome {
            Outcome::Number(number) => Some(number),
            _ => None,
        }),
        What::Keep { .. } => Act::Keep(op.value, answer),
        What::Withdraw { .. } => Act::Withdraw(op.value, answer),
    };
    let is_open = answer == Answer::Open;
    let end = match is_open {
        // Half of it may stand, and be found later.
        true if op.died => Us::MAX / 2,
        true => latest(history, op.start),
        false => op.end,
    };
    Event { start: op.start, end, is_open, act, ghost: ghost(history, op, end) }
}

/// What may be found though its life is over. If a copy was away at some time in that life, or comes
/// back from before it, then it knows what was there before, and not that this has come and gone.
fn ghost(history: &History, op: &Done, end: Us) -> Ghost {
    let Some(life) = life_of(op) else { return Ghost::None };
    let meets = |from: Us, to: Us| from <= end + life && to + NOTICED_WITHIN >= op.start;
    let knows_less = |(from, to, fault): &(Us, Us, Fault)| match fault.kind {
        FaultKind::NodeDies | FaultKind::Clock { .. } => false,
        // Not every node knows yet that it is back.
        FaultKind::Killed => *from <= end && op.start <= *to + NOTICED_WITHIN,
        FaultKind::OldContent { age } => from.saturating_sub(age) <= end && meets(0, *to),
        _ => meets(*from, *to),
    };
    match history.faults.iter().any(knows_less) {
        true => Ghost::All,
        false if history.faults.iter().any(|(from, to, _)| meets(*from, *to)) => Ghost::Own,
        false => Ghost::None,
    }
}

/// Until when what was begun then may still happen: its deadline, but a cache server that stood
/// still then does it when it goes on.
fn latest(history: &History, start: Us) -> Us {
    let by = start + DEADLINE + SLACK;
    let stood_still = |(from, to, fault): &(Us, Us, Fault)| {
        let kind = matches!(fault.kind, FaultKind::Hung | FaultKind::Slow { .. });
        (kind && *from <= by && *to >= start).then_some(*to + SLACK)
    };
    history.faults.iter().filter_map(stood_still).max().unwrap_or(by).max(by)
}
