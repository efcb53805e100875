//! What follows from looking: the answer, or what is to be written where.

use std::time::Duration;

use super::{Found, Guard, Seen, Stage, Task, Write};
use crate::clock::Clock;
use crate::count::Count;
use crate::envelope::Version;
use crate::{Invalid, OWNER_MAX_BYTES, Op, Outcome, switch_off};

impl<'a> Task<'a> {
    /// Decides after a look that at least one copy has answered.
    pub(super) fn decide(&mut self, clock: &Clock) -> Stage {
        match self.op {
            Op::Keep { value, ttl, .. } => self.decide_keep(clock, value, ttl),
            Op::Withdraw { value, .. } => self.decide_withdraw(clock, value),
            Op::Add { value, ttl, .. } => self.decide_add(clock, value, ttl),
            Op::Increment { by, ttl, .. } => self.decide_increment(clock, by, ttl),
            Op::Touch { ttl, .. } => self.decide_touch(clock, ttl),
            Op::Get { .. } | Op::Life { .. } => self.decide_read(clock),
            Op::Set { .. } | Op::Take { .. } | Op::Delete { .. } => self.decide_write(clock),
        }
    }

    /// Set, Take and Delete.
    fn decide_write(&mut self, clock: &Clock) -> Stage {
        let before = match self.newest_seen() {
            Some(newest) if newest.is_tombstone() => Outcome::Missing,
            None if self.is_certainly_absent() => Outcome::Missing,
            _ => Outcome::Done,
        };
        let is_gone = before == Outcome::Missing && !self.some_silent();
        let is_delete = matches!(self.op, Op::Delete { .. });
        let answer = if is_delete { before } else { Outcome::Done };
        let first_look = self.answer.is_none();
        let answer = self.answer.get_or_insert(answer).clone();
        if first_look && is_delete && is_gone {
            return self.leave(clock, answer);
        }
        // Nothing was there to be deleted; what somebody has written since is not ours to delete.
        if !first_look && is_delete && answer == Outcome::Missing {
            return self.leave(clock, answer);
        }
        if self.newest_seen().is_some_and(|newest| self.is_ours(newest, &self.tried)) {
            return self.leave(clock, answer);
        }
        // Ours stood at one copy, and was overtaken: what is newer was not made from what was there
        // before ours, or its version would be older.
        let overtaken = |mine| !self.some_silent() || self.newest_version() > Some(mine);
        if self.mine.is_some_and(overtaken) {
            return self.leave(clock, answer);
        }
        let write = self.new_write(clock);
        self.tried.push(write.version);
        Stage::Everywhere { write, guards: self.guards(|_| true), answer }
    }

    /// After a value that a copy refuses for its size: it is deleted, unless somebody has written
    /// another one since.
    pub(super) fn decide_removal(&mut self, clock: &Clock) -> Stage {
        let answer = Outcome::Invalid(Invalid::Refused);
        let tried = self.tried.iter().max().copied();
        if let Some(newest) = self.newest_seen() {
            let is_others = newest.version() > tried && !self.is_ours(newest, &self.tried);
            if is_others
                || newest.is_tombstone() && self.seen().all(|(_, seen)| seen.is_tombstone())
            {
                return self.leave(clock, answer);
            }
        }
        let write = self.tombstone(clock, self.newest_version().max(tried));
        self.tried.push(write.version);
        Stage::Everywhere { write, guards: self.guards(|_| true), answer }
    }

    fn decide_read(&mut self, clock: &Clock) -> Stage {
        let Some(at) = self.newest() else { return Stage::Over(self.nothing()) };
        if let Some(count) = self.counted_apart() {
            let answer = match self.op {
                Op::Life { .. } => Outcome::Life(self.newest_seen().and_then(Seen::left)),
                _ => count.number().map_or(Outcome::Invalid(Invalid::NotANumber), |number| {
                    Outcome::Value(number.to_string().into_bytes())
                }),
            };
            return self.put_together(clock, &count, answer);
        }
        if !self.keeping.has_envelopes() || switch_off::repair() {
            return Stage::Over(self.take_answer(at));
        }
        let Some((write, guards)) = self.mending(clock, at) else {
            return Stage::Over(match self.only_mends {
                true if self.some_silent() => Outcome::Unreachable,
                true => Outcome::Done,
                false => self.take_answer(at),
            });
        };
        Stage::Mend { write, guards, answer: self.take_answer(at) }
    }

    /// What a read is answered that has found no record.
    fn nothing(&self) -> Outcome {
        let envelope_in_the_way = !self.keeping.has_envelopes()
            && self.seen().any(|(_, seen)| matches!(seen.found, Found::Refused));
        match () {
            () if envelope_in_the_way => Outcome::Invalid(Invalid::Envelope),
            // Nothing to mend with: what is not there is the same everywhere.
            () if self.only_mends && self.some_silent() => Outcome::Unreachable,
            () if self.only_mends => Outcome::Done,
            () if self.is_certainly_absent() => Outcome::Missing,
            () => Outcome::Unreachable,
        }
    }

    /// What a read is answered, from the newest copy.
    fn take_answer(&mut self, at: usize) -> Outcome {
        let Some(seen) = self.copies[at].seen.take() else { return Outcome::Unreachable };
        if seen.value().is_none() {
            return Outcome::Missing;
        }
        let left = seen.left();
        match (self.op, seen.found) {
            (Op::Life { .. }, _) => Outcome::Life(left),
            (_, Found::Record(record)) if record.kind.counts() => number_of(record.value()),
            (_, Found::Record(record)) => Outcome::Value(record.into_value()),
            (_, Found::Bare(value)) => Outcome::Value(value),
            (_, Found::Nothing | Found::Refused) => Outcome::Missing,
        }
    }

    /// What makes the other copies like the one `at`; `None` if they are.
    fn mending(&self, clock: &Clock, at: usize) -> Option<(Write, [Option<Guard>; 2])> {
        let newest = self.copies[at].seen.as_ref()?;
        // Counted in whole seconds, and each server begins its second when it likes: a life is
        // passed on shorter by one, so that no copy outlives the one that it is made from.
        let ttl = match newest.left_s {
            Some(..=1) => return None,
            Some(left_s) => Some(Duration::from_secs(left_s - 1)),
            None => None,
        };
        let mut guards = [None; 2];
        for (other, seen) in self.seen().filter(|(other, _)| *other != at) {
            let is_same = match (&seen.found, &newest.found) {
                (Found::Record(one), Found::Record(other)) => {
                    one.as_bytes() == other.as_bytes() && seen.ends_with(newest)
                }
                // That something was deleted need not be told by readers to who knows nothing of it.
                // Healing tells it: the copy that knows may come back with older content.
                (Found::Nothing, _) => newest.is_tombstone() && !self.only_mends,
                _ => false,
            };
            if !is_same {
                guards[other] = Some(seen.guard());
            }
        }
        let write = match &newest.found {
            Found::Record(record) => {
                Write { data: Some(record.as_bytes().to_vec()), ttl, version: record.version }
            }
            Found::Bare(value) => {
                // Another client wrote it: it gets its envelope now, newer than all there is.
                guards[at] = Some(newest.guard());
                self.value(clock, self.newest_version(), value, newest.left())
            }
            Found::Nothing | Found::Refused => return None,
        };
        guards.iter().any(Option::is_some).then_some((write, guards))
    }

    fn decide_keep(&mut self, clock: &Clock, value: &[u8], ttl: Duration) -> Stage {
        let write = |task: &mut Self| {
            let write = task.value(clock, task.newest_version(), value, Some(ttl));
            task.write_in_turn(write, Outcome::Done)
        };
        match self.newest_seen().map(Seen::value) {
            Some(Some(theirs)) if theirs == value => write(self),
            Some(Some(_)) => self.leave(clock, Outcome::Foreign),
            Some(None) => write(self),
            None if self.envelope_in_the_way() => Stage::Over(Outcome::Invalid(Invalid::Envelope)),
            // In an epoch for which this node has not published yet, a gap may be another's: it
            // waits until the probe has seen to it (`docs/consistency.md`, "Gaps").
            None if self.seen().all(|(_, seen)| seen.published) => write(self),
            None => Stage::Over(Outcome::Unreachable),
        }
    }

    fn decide_withdraw(&mut self, clock: &Clock, value: &[u8]) -> Stage {
        match self.newest_seen().map(Seen::value) {
            Some(Some(theirs)) if theirs == value => {
                let write = self.tombstone(clock, self.newest_version());
                self.write_in_turn(write, Outcome::Done)
            }
            Some(Some(_)) => self.leave(clock, Outcome::Foreign),
            None if self.envelope_in_the_way() => Stage::Over(Outcome::Invalid(Invalid::Envelope)),
            Some(None) => self.leave(clock, Outcome::Done),
            None => Stage::Over(Outcome::Done),
        }
    }

    fn decide_add(&mut self, clock: &Clock, value: &[u8], ttl: Option<Duration>) -> Stage {
        match self.newest_seen() {
            Some(newest) if self.is_ours(newest, &self.tried) => self.leave(clock, Outcome::Done),
            Some(newest) if newest.value().is_some() => self.leave(clock, Outcome::Exists),
            None if !self.is_certainly_absent() => self.cannot_tell(),
            _ => {
                let write = self.value(clock, self.newest_version(), value, ttl);
                self.write_in_turn(write, Outcome::Done)
            }
        }
    }

    fn decide_touch(&mut self, clock: &Clock, ttl: Option<Duration>) -> Stage {
        match self.newest_seen() {
            Some(seen) if seen.value().is_some() => {
                self.write_in_turn(self.anew(clock, seen, ttl), Outcome::Done)
            }
            Some(_) => self.leave(clock, Outcome::Missing),
            None if self.is_certainly_absent() => Stage::Over(Outcome::Missing),
            None => self.cannot_tell(),
        }
    }

    /// Answers from what was found, and leaves it: like a read, it is passed on first to the copy
    /// that has not got it.
    ///
    /// A copy that is silent now may have taken a write of this task's that was given up since. So
    /// that this does not count when it is there again, what is left gets a newer version.
    fn leave(&self, clock: &Clock, answer: Outcome) -> Stage {
        let Some(newest) = self.newest_seen() else { return Stage::Over(answer) };
        if let Some(count) = self.counted_apart() {
            return self.put_together(clock, &count, answer);
        }
        let tried = self.tried.iter().max().copied();
        if self.some_silent() && newest.version() < tried && !self.is_ours(newest, &self.tried) {
            let write = match newest.value() {
                Some(_) => self.anew(clock, newest, newest.left()),
                None => self.tombstone(clock, tried),
            };
            return Stage::Mend { write, guards: self.guards(|_| true), answer };
        }
        let mending = self.newest().and_then(|at| self.mending(clock, at));
        match mending.filter(|_| self.keeping.has_envelopes() && !switch_off::repair()) {
            Some((write, guards)) => Stage::Mend { write, guards, answer },
            None => Stage::Over(answer),
        }
    }

    /// What was seen, in a newer version than all that there is or was tried, with another life.
    fn anew(&self, clock: &Clock, seen: &Seen, ttl: Option<Duration>) -> Write {
        let version = self.newest_version().max(self.tried.iter().max().copied());
        match self.counted_together() {
            Some(count) => self.payload(clock, version, true, &count.write(), ttl),
            None => self.value(clock, version, seen.value().unwrap_or_default(), ttl),
        }
    }

    /// Writes to every copy that answered, one after the other, if it is still as it was seen.
    pub(super) fn write_in_turn(&mut self, write: Write, answer: Outcome) -> Stage {
        self.write_where(|_| true, write, answer)
    }

    /// The same to those copies only that `which` names.
    pub(super) fn write_where(
        &mut self,
        which: impl Fn(&Seen) -> bool,
        write: Write,
        answer: Outcome,
    ) -> Stage {
        self.tried.push(write.version);
        let guards = self.guards(which);
        // A copy that is being healed comes last: not everybody knows yet that it is there again,
        // and all must begin with the same one.
        let is_sound =
            |at: &usize| self.seen().any(|(seen_at, seen)| seen_at == *at && seen.miss_counts);
        let mut with_guards = (0..guards.len()).filter(|&at| guards[at].is_some());
        let first = with_guards.clone().find(is_sound).or_else(|| with_guards.next());
        match first {
            Some(_) if switch_off::turns() => Stage::Mend { write, guards, answer },
            Some(at) => Stage::InTurn { at, write, guards, answer },
            None => Stage::Over(Outcome::Unreachable),
        }
    }

    /// That those copies are still as they were seen.
    pub(super) fn guards(&self, which: impl Fn(&Seen) -> bool) -> [Option<Guard>; 2] {
        let mut guards = [None; 2];
        for (at, seen) in self.seen().filter(|(_, seen)| which(seen)) {
            guards[at] = Some(seen.guard());
        }
        guards
    }

    /// Whether this is what we have written with one of these versions.
    pub(super) fn is_ours(&self, seen: &Seen, versions: &[Version]) -> bool {
        seen.is_of(versions, &self.keeping.owner[..self.keeping.owner.len().min(OWNER_MAX_BYTES)])
    }

    pub(super) fn cannot_tell(&self) -> Stage {
        Stage::Over(if self.envelope_in_the_way() {
            Outcome::Invalid(Invalid::Envelope)
        } else {
            Outcome::Unreachable
        })
    }

    pub(super) fn envelope_in_the_way(&self) -> bool {
        !self.keeping.has_envelopes()
            && self.seen().any(|(_, seen)| matches!(seen.found, Found::Refused))
    }

    pub(super) fn newest_seen(&self) -> Option<&Seen> {
        self.copies[self.newest()?].seen.as_ref()
    }

    /// The newest version that any copy has.
    pub(super) fn newest_version(&self) -> Option<Version> {
        self.seen().filter_map(|(_, seen)| seen.version()).max()
    }

    pub(super) fn some_silent(&self) -> bool {
        self.copies[..self.keeping.copies].iter().any(|copy| copy.silent)
    }

    /// The copies that answered, in the ring's order.
    pub(super) fn seen(&self) -> impl Iterator<Item = (usize, &Seen)> {
        let copies = self.copies[..self.keeping.copies].iter().enumerate();
        copies
            .filter(|(_, copy)| !copy.silent)
            .filter_map(|(at, copy)| Some((at, copy.seen.as_ref()?)))
    }
}

/// What a read of a counter is answered.
fn number_of(counter: &[u8]) -> Outcome {
    match Count::read(counter).and_then(|count| count.number()) {
        Some(number) => Outcome::Value(number.to_string().into_bytes()),
        None => Outcome::Invalid(Invalid::NotANumber),
    }
}
