//! Whether there is an order of a name's operations, each between its start and its end, in which
//! every answer is right. A search with memory, after Wing and Gong.

use std::collections::HashSet;

use super::Us;

/// What an operation does to the name, and what was answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Act {
    Read(Option<i64>),
    /// Whether anything is there.
    Life(bool),
    Set(i64),
    Delete(Answer),
    Touch(Answer),
    Add(i64, Answer),
    Increment(Option<i64>),
    /// Of several that count at once, while not all reach the same, two may count as one, or one as
    /// two.
    CountLoosely(i64),
    ReadLoosely(i64),
    Keep(i64, Answer),
    Withdraw(i64, Answer),
    /// The life that the event of this index gave is over.
    End(usize),
}

impl Act {
    /// It changes nothing, whatever is there.
    fn only_looks(self) -> bool {
        match self {
            Self::Read(_) | Self::Life(_) => true,
            Self::Delete(answer)
            | Self::Touch(answer)
            | Self::Add(_, answer)
            | Self::Keep(_, answer)
            | Self::Withdraw(_, answer) => answer == Answer::Left,
            Self::Set(_)
            | Self::Increment(_)
            | Self::CountLoosely(_)
            | Self::ReadLoosely(_)
            | Self::End(_) => false,
        }
    }
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
    /// What may still be found when its life is over.
    pub(crate) ghost: Ghost,
}

/// What may be found though it is gone.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub(crate) enum Ghost {
    #[default]
    None,
    /// Itself, for a moment: its copies end up to a second apart, and not every node reaches both.
    Own,
    Of(i64, Us),
    /// Anything older, for a copy may not know of it; or, from a cache server that stood still,
    /// itself.
    All,
}

/// What a name holds.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
struct State {
    value: Option<i64>,
    /// The event that gave it its life.
    from: usize,
    ghost: Ghost,
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
        if count > self.furthest.0 || count == 0 {
            self.furthest = (count, left.iter().copied().filter(|at| is_due(*at)).collect());
        }
        let reached = (0..self.events.len()).filter(|&at| has(&done, at));
        let reached = reached.map(|at| self.events[at].start).max().unwrap_or(0);
        let until = left.iter().map(|&at| &self.events[at]);
        let until = until.filter(|event| event.is_open && event.end >= reached);
        let until = until.map(|event| event.end).min().unwrap_or(Us::MAX);
        let mut next = Vec::new();
        for at in left {
            let event = &self.events[at];
            let is_late = event.is_open && event.end < reached;
            let is_end = matches!(event.act, Act::End(_));
            if event.start > by || is_late || is_end && !is_due(at) {
                continue;
            }
            let Some(mut then) = apply(event, at, state) else { continue };
            if let Act::End(of) = event.act {
                then.ghost = match self.events[of].ghost {
                    Ghost::Own => Ghost::Of(state.value.unwrap_or_default(), event.end),
                    ghost => ghost,
                };
            }
            if event.act.only_looks() && event.start <= until {
                // Now is as good as later, and keeps nothing open from having happened before.
                next = vec![(at, then)];
                break;
            }
            if then != state || !event.is_open {
                next.push((at, then));
            }
        }
        next.into_iter().any(|(at, then)| self.from(with(done, at), count + 1, then))
    }
}

/// What the name holds then; `None` if the answer would be wrong.
fn apply(event: &Event, at: usize, state: State) -> Option<State> {
    let with = |value: i64| State { value: Some(value), from: at, ghost: Ghost::None };
    let gone = State::default();
    let Some(value) = state.value else { return apply_to_nothing(event, at, state) };
    match event.act {
        Act::Read(read) => (read == Some(value)).then_some(state),
        Act::Life(is_there) => is_there.then_some(state),
        Act::Set(value) => Some(with(value)),
        Act::Delete(answer) => (answer != Answer::Left).then_some(gone),
        Act::Touch(answer) => (answer != Answer::Left).then_some(with(value)),
        Act::Add(_, answer) => (answer != Answer::Done).then_some(state),
        Act::Increment(number) => {
            let then = State { value: Some(value + 1), ..state };
            number.is_none_or(|number| number == value + 1).then_some(then)
        }
        // It counts once, whatever its number: two may have been given the same.
        Act::CountLoosely(number) => {
            let then = State { value: Some(value + 1), ..state };
            (value - 1..=value + 2).contains(&number).then_some(then)
        }
        Act::ReadLoosely(number) => (value - 2..=value + 1).contains(&number).then_some(state),
        Act::Keep(ours, answer) if ours == value => (answer != Answer::Left).then_some(with(value)),
        Act::Withdraw(ours, answer) if ours == value => (answer != Answer::Left).then_some(gone),
        Act::Keep(_, answer) | Act::Withdraw(_, answer) => {
            (answer != Answer::Done).then_some(state)
        }
        Act::End(_) => Some(gone),
    }
}

fn apply_to_nothing(event: &Event, at: usize, state: State) -> Option<State> {
    let with = |value: i64| State { value: Some(value), from: at, ghost: Ghost::None };
    let gone = State::default();
    let haunted = match state.ghost {
        Ghost::None | Ghost::Own => false,
        Ghost::Of(_, until) => event.start <= until,
        Ghost::All => true,
    };
    match event.act {
        Act::Read(Some(read)) if matches!(state.ghost, Ghost::Of(of, _) if of != read) => None,
        Act::Read(read) => (read.is_none() || haunted).then_some(state),
        Act::Life(is_there) => (!is_there || haunted).then_some(state),
        Act::Set(value) => Some(with(value)),
        // It found nothing, and left what another copy may still have for a moment.
        Act::Delete(Answer::Left | Answer::Open) => Some(state),
        Act::Delete(Answer::Done) => haunted.then_some(gone),
        Act::Touch(answer) => (answer != Answer::Done || haunted).then_some(state),
        Act::Add(value, Answer::Done | Answer::Open) => Some(with(value)),
        Act::Add(_, Answer::Left) => haunted.then_some(state),
        Act::Increment(number) => number.is_none_or(|number| number == 1).then_some(with(1)),
        Act::CountLoosely(number) => (1..=2).contains(&number).then_some(with(1)),
        Act::ReadLoosely(number) => (number == 1).then_some(state),
        Act::Keep(value, Answer::Done | Answer::Open) => Some(with(value)),
        Act::Keep(_, Answer::Left) => haunted.then_some(state),
        Act::Withdraw(_, answer) => (answer != Answer::Left || haunted).then_some(state),
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
