//! One operation on one name, from what its copies answer to its outcome.
//!
//! Pure: [`Task::commands`] says what to ask each copy in a round, [`Task::hear`] takes the
//! answers, [`Task::end_round`] decides. Rounds end when [`Task::is_over`]. Whoever drives it asks
//! both copies at once, so a round costs one round trip. The rules are `docs/consistency.md`'s:
//!
//! - **Reads** look at both copies. The newest record is the answer; a copy that is older is
//!   written again before the answer is given, so that no later read can go back.
//! - **Set, Take and Delete** look, and then write to both copies at once, newer than what they saw
//!   and guarded by it. If somebody wrote meanwhile they look again. (Writing blindly would save a
//!   round trip, and lose: what is written over something newer may be undone by who reads it, and
//!   writing it twice may undo what another was told is done.) A single copy is written blindly.
//! - **All others** look first, and then write what they decided, guarded by what they saw, to one
//!   copy after the other, always in the ring's order: so of two that race the first copy knows
//!   one winner. What they write gives way to what was written meanwhile ([`Rank`]).

use std::time::Duration;

use crate::batch::{Answer, Command, Guard, Reply, Verb};
use crate::clock::{Clock, Rank};
use crate::count::Entry;
use crate::envelope::{Kind, Record, Refusal, TRAIL, Version, seal};
use crate::{Invalid, Name, Op, Outcome, Secret, VALUE_MAX_BYTES, switch_off};

mod decide;
mod increment;
mod seen;

use seen::{Found, Seen};

/// Most copies of a name.
pub(crate) const COPIES_MAX: usize = 2;

/// How often an operation looks anew because somebody wrote between looking and writing.
/// The deadline ends it long before, unless the cache servers are very quick.
const ROUNDS_MAX: u8 = 64;

/// How a section keeps its records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Keeping {
    /// 1 or 2.
    pub(crate) copies: usize,
    pub(crate) secret: Option<Secret>,
    /// This node's name in what it writes.
    pub(crate) owner: Box<[u8]>,
}

impl Keeping {
    fn has_envelopes(&self) -> bool {
        self.copies > 1 || self.secret.is_some()
    }
}

/// One operation under way.
#[derive(Debug)]
pub(crate) struct Task<'a> {
    op: Op<'a>,
    keeping: &'a Keeping,
    stage: Stage,
    copies: [Copy; COPIES_MAX],
    round: u8,
    /// The version of what this task has written to one copy, if the other was not as expected.
    mine: Option<Version>,
    /// All versions that this task has tried to write in turn: what was not answered may have
    /// happened, and readers pass on what they find.
    tried: Vec<Version>,
    /// What a write is answered, from the first look.
    answer: Option<Outcome>,
    /// Under which name it counts, and what it has counted.
    writer: Option<u64>,
    counted: Option<Counted>,
    /// Nobody wants the value: both copies shall be the same.
    only_mends: bool,
    /// A copy takes no value of this size, and has thrown the old one away: the other one shall
    /// have neither.
    too_large: bool,
    /// Which copies fell silent when they should have been made like the newest.
    unmended: [bool; COPIES_MAX],
    /// Which copies held a record that is none: forged, or without the proof, or damaged.
    refused: [bool; COPIES_MAX],
}

/// What a copy said in this round, and whether it is worth asking.
#[derive(Debug, Default)]
struct Copy {
    /// It did not answer. It is not asked again by this task.
    silent: bool,
    seen: Option<Seen>,
    written: Option<Reply>,
}

#[derive(Debug)]
enum Stage {
    /// Look at all copies.
    Look,
    /// Write to the only copy, whatever is there.
    Blind {
        write: Write,
    },
    /// Write to all copies that have a guard here; one that takes it is enough.
    Everywhere {
        write: Write,
        guards: [Option<Guard>; COPIES_MAX],
        answer: Outcome,
    },
    /// The same, where the answer does not depend on it.
    Mend {
        write: Write,
        guards: [Option<Guard>; COPIES_MAX],
        answer: Outcome,
    },
    /// Write to the copy `at`, then to the next.
    InTurn {
        at: usize,
        write: Write,
        guards: [Option<Guard>; COPIES_MAX],
        answer: Outcome,
    },
    Over(Outcome),
}

/// What is to be written.
#[derive(Debug)]
struct Write {
    /// `None`: the item is removed.
    data: Option<Vec<u8>>,
    ttl: Option<Duration>,
    version: Version,
}

/// What a task has counted, or is about to.
#[derive(Clone, Copy, Debug)]
struct Counted {
    entry: Entry,
    /// In the counter that began so.
    from: Version,
    /// Which copies it had seen, a bit each.
    view: u64,
    /// The number that it made, once it stands at one copy.
    number: Option<i64>,
}

impl<'a> Task<'a> {
    /// A task for `op`.
    pub(crate) fn new(op: Op<'a>, keeping: &'a Keeping, clock: &Clock) -> Self {
        let mut task = Self {
            op,
            keeping,
            stage: Stage::Look,
            copies: Default::default(),
            round: 0,
            mine: None,
            writer: None,
            counted: None,
            tried: Vec::new(),
            answer: None,
            only_mends: false,
            too_large: false,
            unmended: [false; COPIES_MAX],
            refused: [false; COPIES_MAX],
        };
        task.stage = match op.value() {
            Some(value) if value.len() > VALUE_MAX_BYTES => {
                Stage::Over(Outcome::Invalid(Invalid::TooLong { len: value.len() }))
            }
            _ => match op {
                Op::Set { .. } | Op::Take { .. } | Op::Delete { .. } if keeping.copies == 1 => {
                    Stage::Blind { write: task.new_write(clock) }
                }
                _ => Stage::Look,
            },
        };
        task
    }

    /// A task that only makes the copies of `name` the same. [`Outcome::Done`] if all of them
    /// answered, and are.
    pub(crate) fn mend(name: &'a Name, keeping: &'a Keeping, clock: &Clock) -> Self {
        Self { only_mends: true, ..Self::new(Op::Get { name }, keeping, clock) }
    }

    /// The same, to count under this name. Needed with two copies.
    pub(crate) fn counting_as(self, writer: u64) -> Self {
        Self { writer: Some(writer), ..self }
    }

    /// The same, over before it began.
    pub(crate) fn given_up(self) -> Self {
        Self { stage: Stage::Over(Outcome::Unreachable), ..self }
    }

    pub(crate) fn name(&self) -> &'a Name {
        self.op.name()
    }

    pub(crate) fn copies(&self) -> usize {
        self.keeping.copies
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over(_))
    }

    /// Whether the caller was or will be told what the copy `at` has not: a write that is done, or a
    /// value that this read should have passed on.
    pub(crate) fn owes(&self, at: usize) -> bool {
        let told = !self.only_mends && !matches!(self.stage, Stage::Over(Outcome::Unreachable));
        told && self.copies[at].silent && (!self.is_read() || self.unmended[at])
    }

    /// Whether nobody may count under its writer's name again: what it has counted may stand at one
    /// copy, and whoever sees the other one must not take it for not counted.
    pub(crate) fn spoils_its_writer(&self) -> bool {
        let counted = matches!(self.stage, Stage::Over(Outcome::Number(_)));
        !counted || self.counted.is_some_and(|counted| counted.view != self.view())
    }

    /// The copies that are not silent, a bit each.
    fn view(&self) -> u64 {
        let copies = self.copies[..self.keeping.copies].iter().enumerate();
        copies.filter(|(_, copy)| !copy.silent).map(|(at, _)| 1 << at).sum()
    }

    /// Whether the copy `at` held a record that does not carry the proof that our secret asks for.
    pub(crate) fn refused(&self, at: usize) -> bool {
        self.refused[at] && self.keeping.secret.is_some()
    }

    /// Whether the copy `at` held a record that cannot be read, where no secret is asked for.
    pub(crate) fn damaged(&self, at: usize) -> bool {
        self.refused[at] && self.keeping.secret.is_none()
    }

    /// Whether it counts under a writer's name.
    pub(crate) fn counts(&self) -> bool {
        self.writer.is_some()
    }

    pub(crate) fn is_read(&self) -> bool {
        matches!(self.op, Op::Get { .. } | Op::Life { .. })
    }

    /// The outcome, once it is over.
    pub(crate) fn into_outcome(self) -> Outcome {
        match self.stage {
            Stage::Over(outcome) => outcome,
            _ => Outcome::Unreachable,
        }
    }

    /// The copy `at` cannot be asked.
    pub(crate) fn is_silent(&mut self, at: usize) {
        self.copies[at].silent = true;
    }

    /// Whether more may follow when the copy `at` has answered, or has not: who waits for it must
    /// leave time for that.
    pub(crate) fn leaves_time(&self, at: usize) -> bool {
        match &self.stage {
            Stage::InTurn { at: turn, .. } => *turn == at,
            Stage::Mend { guards, .. } => guards[at].is_some(),
            Stage::Look | Stage::Blind { .. } | Stage::Everywhere { .. } | Stage::Over(_) => false,
        }
    }

    /// What to ask the copy `at` in this round, in order.
    pub(crate) fn commands(&self, at: usize) -> impl Iterator<Item = Command<'_>> {
        let ask = !self.copies[at].silent;
        let (look, write) = match &self.stage {
            _ if !ask => (None, None),
            Stage::Over(_) => (None, None),
            Stage::Look if self.reads_bare() => (Some(Verb::Read), None),
            Stage::Look => (Some(Verb::Look), None),
            Stage::Blind { write } => (None, Some(write.verb(Guard::Free))),
            Stage::Mend { write, guards, .. } | Stage::Everywhere { write, guards, .. } => {
                (None, guards[at].map(|guard| write.verb(guard)))
            }
            Stage::InTurn { at: turn, write, guards, .. } => {
                (None, guards[at].filter(|_| *turn == at).map(|guard| write.verb(guard)))
            }
        };
        let name = self.op.name();
        look.into_iter().chain(write).map(move |verb| Command { name, verb })
    }

    /// Takes an answer to one of the commands, in their order.
    pub(crate) fn hear(&mut self, at: usize, answer: Answer) {
        let copy = &self.copies[at];
        let looks = match self.stage {
            Stage::Look => true,
            Stage::Blind { .. }
            | Stage::Everywhere { .. }
            | Stage::Mend { .. }
            | Stage::InTurn { .. }
            | Stage::Over(_) => false,
        };
        let Answer { reply, miss_counts, published } = answer;
        if copy.silent || reply == Reply::Silence {
            self.copies[at].silent = true;
            return;
        }
        let nothing = Seen { found: Found::Nothing, cas: 0, left_s: None, miss_counts, published };
        let copy = &mut self.copies[at];
        if !looks {
            // A bare delete's miss is judged as a read's.
            if reply == Reply::Miss {
                copy.seen.get_or_insert(nothing);
            }
            copy.written = Some(reply);
            return;
        }
        let Reply::Hit { data, cas, left_s } = reply else {
            copy.seen = Some(nothing);
            return;
        };
        let found = self.open(data);
        self.refused[at] |= self.keeping.has_envelopes() && matches!(found, Found::Refused);
        self.copies[at].seen = Some(Seen { found, cas, left_s, ..nothing });
    }

    /// All copies have answered, or will not: decides what comes next.
    pub(crate) fn end_round(&mut self, clock: &Clock) {
        let stage = std::mem::replace(&mut self.stage, Stage::Look);
        self.stage = match stage {
            Stage::Look if self.all_silent() => Stage::Over(Outcome::Unreachable),
            Stage::Look if self.too_large => self.decide_removal(clock),
            Stage::Look => self.decide(clock),
            Stage::Blind { .. } => Stage::Over(self.after_blind()),
            Stage::Everywhere { write, answer, .. } => self.after_everywhere(&write, answer),
            Stage::Mend { guards, answer, .. } => self.after_mend(&guards, answer),
            Stage::InTurn { at, write, guards, answer } => {
                self.after_turn(at, write, guards, answer)
            }
            Stage::Over(outcome) => Stage::Over(outcome),
        };
        if matches!(self.stage, Stage::Look) {
            for copy in &mut self.copies {
                (copy.seen, copy.written) = (None, None);
            }
        }
    }

    fn reads_bare(&self) -> bool {
        matches!(self.op, Op::Get { .. }) && !self.keeping.has_envelopes()
    }

    fn open(&self, data: Vec<u8>) -> Found {
        let secret = self.keeping.secret.as_ref();
        match Record::open(data, self.op.name(), secret) {
            Ok(record) if self.keeping.has_envelopes() => Found::Record(record),
            Err((Refusal::Bare, data)) if secret.is_none() => Found::Bare(data),
            Ok(_) | Err(_) => Found::Refused,
        }
    }

    fn all_silent(&self) -> bool {
        self.copies[..self.keeping.copies].iter().all(|copy| copy.silent)
    }

    /// Looks again, if that was not done too often: else nobody can tell.
    fn again(&mut self, stage: Stage) -> Stage {
        self.round += 1;
        if self.round < ROUNDS_MAX { stage } else { Stage::Over(Outcome::Unreachable) }
    }

    /// What a Set, a Take or a Delete writes: newer than all that was seen.
    fn new_write(&self, clock: &Clock) -> Write {
        let seen = self.newest_version();
        match self.op {
            Op::Set { value, ttl, .. } => self.value(clock, seen, value, ttl),
            Op::Take { value, ttl, .. } => self.value(clock, seen, value, Some(ttl)),
            _ => self.tombstone(clock, seen),
        }
    }

    fn value(
        &self,
        clock: &Clock,
        seen: Option<Version>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Write {
        if !self.keeping.has_envelopes() {
            return Write { data: Some(value.to_vec()), ttl, version: Version::default() };
        }
        self.payload(clock, seen, false, value, ttl)
    }

    /// A write of a value or of a counter.
    fn payload(
        &self,
        clock: &Clock,
        seen: Option<Version>,
        counts: bool,
        payload: &[u8],
        ttl: Option<Duration>,
    ) -> Write {
        let version = clock.after(seen, self.rank());
        // A single copy can miss nothing, and needs no trail.
        let trail = if self.keeping.copies > 1 { TRAIL } else { Duration::ZERO };
        let kind = match (counts, ttl.filter(|_| trail > Duration::ZERO)) {
            (false, None) => Kind::Value,
            (false, Some(_)) => Kind::Ending,
            (true, None) => Kind::Count,
            (true, Some(_)) => Kind::EndingCount,
        };
        let ttl = ttl.map(|ttl| ttl.saturating_add(trail));
        Write { data: Some(self.seal(kind, version, payload)), ttl, version }
    }

    /// What this task's writes stand on.
    fn rank(&self) -> Rank {
        match self.op {
            Op::Set { .. } | Op::Take { .. } | Op::Delete { .. } => Rank::Free,
            _ if switch_off::ranks() => Rank::Free,
            _ if self.some_silent() => Rank::Partial,
            _ => Rank::Derived,
        }
    }

    fn tombstone(&self, clock: &Clock, seen: Option<Version>) -> Write {
        let version = clock.after(seen, self.rank());
        // A single copy can miss no delete.
        let keeps_one = self.keeping.copies > 1 && !switch_off::tombstones();
        let data = keeps_one.then(|| self.seal(Kind::Tombstone, version, b""));
        Write { data, ttl: Some(TRAIL), version }
    }

    fn seal(&self, kind: Kind, version: Version, value: &[u8]) -> Vec<u8> {
        let Keeping { secret, owner, .. } = self.keeping;
        seal(kind, version, owner, value, self.op.name(), secret.as_ref())
    }

    fn after_blind(&self) -> Outcome {
        let copy = &self.copies[0];
        match (&copy.written, &copy.seen) {
            (Some(Reply::TooLarge), _) => Outcome::Invalid(Invalid::Refused),
            (Some(Reply::Done), _) => Outcome::Done,
            (Some(Reply::Miss), Some(seen)) if seen.miss_counts => Outcome::Missing,
            _ => Outcome::Unreachable,
        }
    }

    fn after_everywhere(&mut self, write: &Write, answer: Outcome) -> Stage {
        let copies = &self.copies[..self.keeping.copies];
        let some = |reply: &Reply| copies.iter().any(|copy| copy.written.as_ref() == Some(reply));
        if some(&Reply::TooLarge) {
            return self.remove();
        }
        let done = some(&Reply::Done) || some(&Reply::Miss);
        if done {
            self.mine = Some(write.version);
        }
        match () {
            () if some(&Reply::Conflict) => self.again(Stage::Look),
            () if done => Stage::Over(answer),
            () => Stage::Over(Outcome::Unreachable),
        }
    }

    /// A copy has refused a value for its size. What the other one has goes too, so that both are
    /// the same.
    fn remove(&mut self) -> Stage {
        if !self.keeping.has_envelopes() {
            return Stage::Over(Outcome::Invalid(Invalid::Refused));
        }
        self.too_large = true;
        self.again(Stage::Look)
    }

    fn after_mend(&mut self, guards: &[Option<Guard>; COPIES_MAX], answer: Outcome) -> Stage {
        for (at, guard) in guards.iter().enumerate() {
            self.unmended[at] |= guard.is_some() && self.copies[at].silent;
        }
        let copies = &self.copies[..self.keeping.copies];
        if copies.iter().any(|copy| copy.written == Some(Reply::Conflict)) {
            // Somebody writes this name just now: what stands there then is for the next look.
            let again = self.again(Stage::Look);
            return if matches!(again, Stage::Over(_)) && !self.only_mends {
                Stage::Over(answer)
            } else {
                again
            };
        }
        let complete =
            copies.iter().all(|copy| !copy.silent && copy.written != Some(Reply::TooLarge));
        match self.only_mends {
            true if complete => Stage::Over(Outcome::Done),
            true => Stage::Over(Outcome::Unreachable),
            false => Stage::Over(answer),
        }
    }

    /// One copy of several was written, or could not be.
    fn after_turn(
        &mut self,
        at: usize,
        write: Write,
        mut guards: [Option<Guard>; COPIES_MAX],
        answer: Outcome,
    ) -> Stage {
        let reply = self.copies[at].written.take();
        match reply {
            Some(Reply::TooLarge) => return self.remove(),
            Some(Reply::Conflict) => return self.again(Stage::Look),
            Some(_) => {
                self.mine = Some(write.version);
                if let (Some(counted), Outcome::Number(number)) = (&mut self.counted, &answer) {
                    counted.number.get_or_insert(*number);
                }
            }
            None if self.mine == Some(write.version) => return Stage::Over(answer),
            // It fell silent: what is written without it is written in its own right.
            None => return self.again(Stage::Look),
        }
        guards[at] = None;
        let next =
            (0..self.keeping.copies).find(|&at| guards[at].is_some() && !self.copies[at].silent);
        match next {
            Some(at) => Stage::InTurn { at, write, guards, answer },
            None => Stage::Over(answer),
        }
    }

    /// The copy with the record that counts.
    fn newest(&self) -> Option<usize> {
        let mut newest: Option<(&Seen, &Found)> = None;
        let mut counts_at = None;
        for (at, copy) in self.copies[..self.keeping.copies].iter().enumerate() {
            let Some(seen) = &copy.seen else { continue };
            let counts = match (newest, &seen.found) {
                (_, Found::Nothing | Found::Refused) => false,
                (None, _) => true,
                _ if switch_off::newest() => false,
                // Of two bare ones, the first copy's: other clients know no second.
                (Some((_, Found::Bare(_))), _) => false,
                (_, Found::Bare(_)) => true,
                (Some((one, Found::Record(first))), Found::Record(other)) => {
                    other.is_newer_than(first)
                        || other.as_bytes() == first.as_bytes() && seen.ends_before(one)
                }
                (Some(_), _) => true,
            };
            if counts {
                newest = Some((seen, &seen.found));
                counts_at = Some(at);
            }
        }
        counts_at
    }

    /// Whether the name is certainly not there: no copy has it, and one that has lost nothing says
    /// so.
    fn is_certainly_absent(&self) -> bool {
        let seen =
            || self.copies[..self.keeping.copies].iter().filter_map(|copy| copy.seen.as_ref());
        seen().all(|seen| matches!(seen.found, Found::Nothing))
            && seen().any(|seen| seen.miss_counts)
    }
}

impl Write {
    fn verb(&self, guard: Guard) -> Verb<'_> {
        match &self.data {
            Some(data) => Verb::Write { data, ttl: self.ttl, guard },
            None => Verb::Remove { guard },
        }
    }
}

#[cfg(test)]
mod tests;
