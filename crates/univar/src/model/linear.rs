//! Whether there is an order of a name's operations, each between its start and its end, in which
//! every answer is right. A search with memory, after Wing and Gong.

use std::collections::HashSet;

use super::Us;

/// What an operation does to the name, and what was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Act {
    Read(Option<i64>),
    Set(i64),
    Delete(Answer),
    Touch(Answer),
    Add(i64, Answer),
    Increment(Option<i64>),
    Keep(i64, Answer),
    Withdraw(i64, Answer),
    /// The life that the event of this index gave is over.
    End(usize),
}

/// Whether it was done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Done,
    /// There was nothing, or there was something, or another's: it was left.
    Left,
    /// Nobody can tell.
    Open,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) start: Us,
    pub(crate) end: Us,
    /// It may have happened or not.
    pub(crate) is_open: bool,
    pub(crate) act: Act,
}

/// What a name holds.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct State {
    value: Option<i64>,
    /// The event that gave it its life.
    from: usize,
}

const EVENTS_MAX: usize = 256;

/// The events that are done, a bit each.
type Bits = [u64; EVENTS_MAX / 64];

/// `Err`: the events that no order could get past.
pub(crate) fn in_some_order(events: &[Event]) -> Result<(), Vec<usize>> {
    assert!(events.len() <= EVENTS_MAX, "{} events", events.len());
    let mut search = Search { events, seen: HashSet::new(), furthest: (0, Vec::new()) };
    match search.from([0; EVENTS_MAX / 64], 0, State::default()) {
        true => Ok(()),
        false => Err(search.furthest.1),
    }
}

struct Search<'e> {
    events: &'e [Event],
    seen: HashSet<(Bits, State)>,
    furthest: (usize, Vec<usize>),
}

impl Search<'_> {
    fn from(&mut self, done: Bits, count: usize, state: State) -> bool {
        let is_due = |at: usize| match self.events[at].act {
            Act::End(of) => state.value.is_some() && state.from == of,
            _ => !self.events[at].is_open,
        };
        let left: Vec<usize> = (0..self.events.len()).filter(|&at| !has(&done, at)).collect();
        let Some(by) = left.iter().filter(|at| is_due(**at)).map(|at| self.events[*at].end).min()
        else {
            return true;
        };
        if !self.seen.insert((done, state)) {
            return false;
        }
        if count >= self.furthest.0 {
            self.furthest = (count, left.iter().copied().filter(|at| is_due(*at)).collect());
        }
        let reached = (0..self.events.len()).filter(|&at| has(&done, at));
        let reached = reached.map(|at| self.events[at].start).max().unwrap_or(0);
        let mut next = Vec::new();
        for at in left {
            let event = &self.events[at];
            let is_late = event.is_open && event.end < reached;
            let is_end = matches!(event.act, Act::End(_));
            if event.start > by || is_late || is_end && !is_due(at) {
                continue;
            }
            let Some(then) = apply(event.act, at, state) else { continue };
            if then == state && !event.is_open {
                // What changes nothing may as well be now.
                next = vec![(at, then)];
                break;
            }
            if then != state {
                next.push((at, then));
            }
        }
        next.into_iter().any(|(at, then)| self.from(with(done, at), count + 1, then))
    }
}

/// What the name holds then; `None` if the answer would be wrong.
fn apply(act: Act, at: usize, state: State) -> Option<State> {
    let with = |value: i64| State { value: Some(value), from: at };
    let gone = State::default();
    match act {
        Act::Read(value) => (state.value == value).then_some(state),
        Act::Set(value) => Some(with(value)),
        Act::Delete(Answer::Done) => state.value.map(|_| gone),
        Act::Delete(Answer::Left) => state.value.is_none().then_some(state),
        Act::Delete(Answer::Open) => Some(gone),
        Act::Touch(answer) => match (state.value, answer) {
            (Some(value), Answer::Done | Answer::Open) => Some(with(value)),
            (None, Answer::Left | Answer::Open) => Some(state),
            _ => None,
        },
        Act::Add(value, answer) => match (state.value, answer) {
            (None, Answer::Done | Answer::Open) => Some(with(value)),
            (Some(_), Answer::Left | Answer::Open) => Some(state),
            _ => None,
        },
        Act::Increment(number) => {
            let next = state.value.unwrap_or(0) + 1;
            let then = State { value: Some(next), from: state.from };
            number.is_none_or(|number| number == next).then_some(then)
        }
        Act::Keep(value, answer) => match (state.value == Some(value), state.value, answer) {
            (true, _, Answer::Done | Answer::Open) => Some(with(value)),
            (_, None, Answer::Done | Answer::Open) => Some(with(value)),
            (false, Some(_), Answer::Left | Answer::Open) => Some(state),
            _ => None,
        },
        Act::Withdraw(value, answer) => match (state.value, answer) {
            (None, Answer::Done | Answer::Open) => Some(state),
            (Some(theirs), Answer::Left | Answer::Open) if theirs != value => Some(state),
            (Some(ours), Answer::Done | Answer::Open) if ours == value => Some(gone),
            _ => None,
        },
        Act::End(_) => Some(gone),
    }
}

fn has(bits: &Bits, at: usize) -> bool {
    bits[at / 64] & 1 << (at % 64) != 0
}

fn with(mut bits: Bits, at: usize) -> Bits {
    bits[at / 64] |= 1 << (at % 64);
    bits
}
