//! Operations to bytes and back, for one cache server.
//!
//! Pure: the ops for one server go in, [`Talk`] says what to send and takes what came, outcomes
//! come out. Each batch ends with the epoch marker, so that its misses can be judged: memcached
//! answers in order, hence content that was lost before a miss is a marker lost before it was
//! read. What owns a record is judged by its value; CAS only guards the moment between looking
//! and writing. The rules are those of `docs/consistency.md`.
//!
//! With two copies, one exchange would run against each of a name's two servers; choosing the
//! newest is for whoever runs them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use memcache_proto::{FlagBuf, Flags, Key, Request, Response, SetMode};

use crate::epoch::{EpochId, MARKER_KEY, Marker};
use crate::talk::{Heard, Talk, TalkError};
use crate::{ENVELOPE_MAGIC, Invalid, Name, Op, Outcome, VALUE_MAX_BYTES};

/// Most operations in one batch, so that neither side's buffers grow without bound.
pub(crate) const BATCH_OPS_MAX: usize = 1000;

/// A batch is closed when it has this many bytes; one operation may go over it.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// How often an operation looks anew because somebody wrote between looking and writing.
const ROUNDS_MAX: u8 = 4;

/// memcached reads a larger number of seconds as a date.
const RELATIVE_TTL_MAX_S: u64 = 30 * 24 * 60 * 60;

/// memcached keeps a date in 31 bits; what would end later never ends.
const DATE_MAX_S: u64 = i32::MAX as u64;

/// One server's share of a batch of operations.
#[derive(Debug)]
pub(crate) struct Exchange<'a> {
    outcomes: Vec<Outcome>,
    todo: VecDeque<Turn<'a>>,
    /// Asked, and not yet answered; the marker comes behind them.
    asked: VecDeque<Turn<'a>>,
    /// Slots of this batch's misses, to be judged by the marker.
    misses: Vec<usize>,
    /// This batch's Keeps that found nothing, to be judged likewise.
    gaps: Vec<Turn<'a>>,
    marker: Option<Marker>,
    /// The epoch for which this node has published what it holds.
    known: Option<EpochId>,
    unix_now_s: u64,
    flags: FlagBuf,
}

#[derive(Clone, Copy, Debug)]
struct Turn<'a> {
    slot: usize,
    op: Op<'a>,
    step: Step,
    round: u8,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Step {
    /// What the operation begins with; all there is to most.
    First,
    /// Keep: nothing was there.
    Add,
    /// Keep: ours was there.
    Rewrite { cas: u64 },
    /// Withdraw: ours was there.
    Remove { cas: u64 },
}

impl<'a> Exchange<'a> {
    /// An exchange without operations. `unix_now_s` is for times to live that memcached would
    /// read as a date; `known` is the epoch that the last probe found: only there a Keep fills gaps.
    pub(crate) fn new(unix_now_s: u64, known: Option<EpochId>) -> Self {
        Self {
            outcomes: Vec::new(),
            todo: VecDeque::new(),
            asked: VecDeque::new(),
            misses: Vec::new(),
            gaps: Vec::new(),
            marker: None,
            known,
            unix_now_s,
            flags: FlagBuf::new(),
        }
    }

    /// Adds an operation. Its outcome stands at the same place in [`Exchange::into_outcomes`],
    /// and is [`Outcome::Unreachable`] until an answer says otherwise.
    pub(crate) fn push(&mut self, op: Op<'a>) {
        let slot = self.outcomes.len();
        match op.value() {
            Some(value) if value.len() > VALUE_MAX_BYTES => {
                let reason = Invalid::TooLong { len: value.len() };
                self.outcomes.push(Outcome::Invalid(reason));
            }
            _ if !is_known(&op) => self.outcomes.push(Outcome::Unreachable),
            _ => {
                self.outcomes.push(Outcome::Unreachable);
                self.todo.push_back(Turn { slot, op, step: Step::First, round: 0 });
            }
        }
    }

    /// What became of the operations, in the order in which they were added.
    pub(crate) fn into_outcomes(self) -> Vec<Outcome> {
        self.outcomes
    }

    /// The marker that was read last.
    pub(crate) fn marker(&self) -> Option<Marker> {
        self.marker
    }

    fn encode(&mut self, turn: &Turn<'a>, out: &mut Vec<u8>) {
        let key = key_of(turn.op.name());
        let flags = &mut self.flags;
        flags.clear();
        let request = match (turn.step, turn.op) {
            (Step::First, Op::Get { .. }) => Request::Get { key, flags: Flags::VALUE },
            (Step::First, Op::Delete { .. }) => Request::Delete { key, flags: Flags::NONE },
            (Step::First, Op::Set { value, ttl, .. }) => {
                let flags = push_ttl(flags, ttl, self.unix_now_s).as_flags();
                Request::Set { key, flags, data: value }
            }
            (Step::First, Op::Take { value, ttl, .. }) => {
                let flags = push_ttl(flags, Some(ttl), self.unix_now_s).as_flags();
                Request::Set { key, flags, data: value }
            }
            (Step::First, Op::Keep { .. } | Op::Withdraw { .. }) => {
                Request::Get { key, flags: Flags::VALUE_AND_CAS }
            }
            (Step::First, _) => return,
            (Step::Add, op) => {
                let flags = push_ttl(flags.mode(SetMode::Add), lease(op), self.unix_now_s);
                Request::Set { key, flags: flags.as_flags(), data: op.value().unwrap_or_default() }
            }
            (Step::Rewrite { cas }, op) => {
                let flags = push_ttl(flags.number(b'C', cas), lease(op), self.unix_now_s);
                Request::Set { key, flags: flags.as_flags(), data: op.value().unwrap_or_default() }
            }
            (Step::Remove { cas }, _) => {
                Request::Delete { key, flags: flags.number(b'C', cas).as_flags() }
            }
        };
        request.encode(out);
    }

    /// Takes the answer to the operation that was asked first.
    fn answer(&mut self, turn: Turn<'a>, response: &Response<'_>) -> Result<(), TalkError> {
        if let Response::ServerError(text) = response {
            // The value's size is the caller's fault; everything else leaves it unreachable.
            if text.starts_with(b"object too large") {
                self.outcomes[turn.slot] = Outcome::Invalid(Invalid::Refused);
            }
            return Ok(());
        }
        let verdict = match turn.step {
            Step::First => first_verdict(&turn.op, response),
            Step::Add | Step::Rewrite { .. } | Step::Remove { .. } => {
                second_verdict(turn.step, response)
            }
        };
        match verdict.ok_or(TalkError::Unexpected)? {
            Verdict::Is(outcome) => self.outcomes[turn.slot] = outcome,
            Verdict::Missed => self.misses.push(turn.slot),
            Verdict::Gap => self.gaps.push(turn),
            Verdict::Go(step) => self.todo.push_front(Turn { step, ..turn }),
            Verdict::LookAgain if turn.round < ROUNDS_MAX => {
                self.todo.push_front(Turn { step: Step::First, round: turn.round + 1, ..turn });
            }
            // Somebody else writes this name all the time: it stays Unreachable.
            Verdict::LookAgain => {}
        }
        Ok(())
    }

    /// Takes the marker, which judges the batch's misses and gaps.
    ///
    /// In an epoch for which this node has not published yet, a gap may be another's: it stays
    /// Unreachable until the probe has seen to it (`docs/consistency.md`, "Gaps").
    fn judge(&mut self, marker: Marker) {
        let published = marker.id().is_some() && marker.id() == self.known;
        while let Some(turn) = self.gaps.pop() {
            if published {
                self.todo.push_front(Turn { step: Step::Add, ..turn });
            }
        }
        if marker.a_miss_counts() {
            for &slot in &self.misses {
                self.outcomes[slot] = Outcome::Missing;
            }
        }
        self.misses.clear();
        self.marker = Some(marker);
    }
}

impl Talk for Exchange<'_> {
    fn ask(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        while self.asked.len() < BATCH_OPS_MAX && out.len() - start < BATCH_BYTES {
            let Some(turn) = self.todo.pop_front() else { break };
            self.encode(&turn, out);
            self.asked.push_back(turn);
        }
        if !self.asked.is_empty() {
            ask_marker(out, false);
        }
    }

    fn hear(&mut self, buf: &[u8], _now: Instant) -> Result<(usize, Heard), TalkError> {
        let mut used = 0;
        while let Some((response, len)) = Response::decode(&buf[used..])? {
            used += len;
            match self.asked.pop_front() {
                Some(turn) => self.answer(turn, &response)?,
                None => {
                    self.judge(read_marker(&response)?.0);
                    return Ok((used, Heard::Answered));
                }
            }
        }
        Ok((used, Heard::More))
    }

    fn ask_again(&mut self) {
        while let Some(turn) = self.asked.pop_back() {
            self.todo.push_front(turn);
        }
    }
}

/// Appends the question for the marker. Its key comes back with it: that proves that question
/// and answer are still in step.
pub(crate) fn ask_marker(out: &mut Vec<u8>, with_cas: bool) {
    out.extend_from_slice(b"mg ");
    out.extend_from_slice(MARKER_KEY);
    out.extend_from_slice(if with_cas { b" k v c\r\n" } else { b" k v\r\n" });
}

/// Reads the answer to [`ask_marker`]: the marker, and its CAS number if that was asked for.
pub(crate) fn read_marker(response: &Response<'_>) -> Result<(Marker, Option<u64>), TalkError> {
    match response {
        Response::Value { flags, data } if flags.token(b'k') == Some(MARKER_KEY) => {
            Ok((Marker::parse(data), flags.number(b'c')))
        }
        // Some releases of memcached say nothing but EN for a miss.
        Response::Miss { flags } if matches!(flags.token(b'k'), None | Some(MARKER_KEY)) => {
            Ok((Marker::Absent, None))
        }
        _ => Err(TalkError::Unexpected),
    }
}

/// What an answer means for its operation.
enum Verdict {
    Is(Outcome),
    /// Not there; whether that counts is for the marker to say.
    Missed,
    /// Not there to be kept; whether it may be filled is for the marker to say.
    Gap,
    Go(Step),
    /// Somebody wrote between looking and writing.
    LookAgain,
}

/// `None`: no answer to this operation.
fn first_verdict(op: &Op<'_>, response: &Response<'_>) -> Option<Verdict> {
    Some(match (op, response) {
        (Op::Get { .. } | Op::Keep { .. } | Op::Withdraw { .. }, Response::Value { data, .. })
            if data.starts_with(&ENVELOPE_MAGIC) =>
        {
            Verdict::Is(Outcome::Invalid(Invalid::Envelope))
        }
        (Op::Get { .. }, Response::Value { data, .. }) => {
            Verdict::Is(Outcome::Value(data.to_vec()))
        }
        (Op::Get { .. }, Response::Miss { .. }) => Verdict::Missed,
        (Op::Set { .. } | Op::Take { .. } | Op::Delete { .. }, Response::Done { .. }) => {
            Verdict::Is(Outcome::Done)
        }
        (Op::Delete { .. }, Response::NotFound { .. }) => Verdict::Missed,
        (Op::Keep { value, .. }, Response::Value { flags, data }) if data == value => {
            Verdict::Go(Step::Rewrite { cas: flags.number(b'c')? })
        }
        (Op::Withdraw { value, .. }, Response::Value { flags, data }) if data == value => {
            Verdict::Go(Step::Remove { cas: flags.number(b'c')? })
        }
        (Op::Keep { .. } | Op::Withdraw { .. }, Response::Value { .. }) => {
            Verdict::Is(Outcome::Foreign)
        }
        (Op::Keep { .. }, Response::Miss { .. }) => Verdict::Gap,
        (Op::Withdraw { .. }, Response::Miss { .. }) => Verdict::Is(Outcome::Done),
        _ => return None,
    })
}

/// `None`: no answer to this step.
fn second_verdict(step: Step, response: &Response<'_>) -> Option<Verdict> {
    Some(match (step, response) {
        (_, Response::Done { .. }) => Verdict::Is(Outcome::Done),
        (Step::Remove { .. }, Response::NotFound { .. }) => Verdict::Is(Outcome::Done),
        (Step::Add, Response::NotStored { .. })
        | (Step::Rewrite { .. }, Response::Exists { .. } | Response::NotFound { .. })
        | (Step::Remove { .. }, Response::Exists { .. }) => Verdict::LookAgain,
        _ => return None,
    })
}

fn is_known(op: &Op<'_>) -> bool {
    !matches!(op, Op::Add { .. } | Op::Increment { .. } | Op::Life { .. } | Op::Touch { .. })
}

fn key_of(name: &Name) -> Key<'_> {
    Key::new(name.as_bytes()).expect("a name keeps memcached's rules for keys")
}

fn lease(op: Op<'_>) -> Option<Duration> {
    match op {
        Op::Set { ttl, .. } => ttl,
        Op::Take { ttl, .. } | Op::Keep { ttl, .. } => Some(ttl),
        _ => None,
    }
}

/// Adds `T`, so that memcached does what was asked, though it knows only whole seconds, reads 0
/// as for ever, and a large number as a date.
fn push_ttl(flags: &mut FlagBuf, ttl: Option<Duration>, unix_now_s: u64) -> &mut FlagBuf {
    let Some(ttl) = ttl else { return flags };
    let seconds = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    match seconds {
        0 => flags.text(b'T', b"-1").expect("a number has no blank in it"),
        1..=RELATIVE_TTL_MAX_S => flags.number(b'T', seconds),
        _ => match unix_now_s.saturating_add(seconds) {
            date @ ..=DATE_MAX_S => flags.number(b'T', date),
            _ => flags,
        },
    }
}

#[cfg(test)]
mod tests;
