//! Counting, and putting together what was counted apart.

use std::time::Duration;

use super::{Counted, Found, Seen, Stage, Task};
use crate::clock::Clock;
use crate::count::Count;
use crate::{Invalid, Outcome, VALUE_MAX_BYTES};

impl Task<'_> {
    pub(super) fn decide_increment(
        &mut self,
        clock: &Clock,
        by: i64,
        ttl: Option<Duration>,
    ) -> Stage {
        let (count, life) = match self.newest_seen() {
            None if !self.is_certainly_absent() => return self.cannot_tell(),
            None => (Some(Count::default()), ttl),
            Some(seen) if seen.value().is_none() => (Some(Count::new(0, seen.version())), ttl),
            Some(seen) => (self.counted_together().or_else(|| begin(seen)), seen.left()),
        };
        let Some(count) = count else { return Stage::Over(Outcome::Invalid(Invalid::NotANumber)) };
        match self.writer {
            Some(writer) => self.count_as(clock, writer, by, count, life),
            None => self.count_alone(clock, by, &count, life),
        }
    }

    /// With one copy the number stands there bare, and its server orders all who count.
    fn count_alone(
        &mut self,
        clock: &Clock,
        by: i64,
        count: &Count,
        life: Option<Duration>,
    ) -> Stage {
        let Some(number) = count.number().and_then(|number| number.checked_add(by)) else {
            return Stage::Over(Outcome::Invalid(Invalid::Overflow));
        };
        let text = number.to_string();
        let write = self.value(clock, self.newest_version(), text.as_bytes(), life);
        self.write_in_turn(write, Outcome::Number(number))
    }

    /// With two, each who counts has an entry, so that nothing is lost or doubled when copies that
    /// were counted apart meet.
    fn count_as(
        &mut self,
        clock: &Clock,
        writer: u64,
        by: i64,
        mut count: Count,
        life: Option<Duration>,
    ) -> Stage {
        // Not while anybody's count may be missing in it.
        if count.is_full()
            && self.counted.is_none()
            && !self.some_silent()
            && let Some(number) = count.number()
        {
            count = Count::new(number, self.newest_version());
        }
        let counted = self.counted.filter(|counted| counted.from == count.from);
        let view = self.view();
        let next = || {
            let entry = count.next(writer | view, by)?;
            Some(Counted { entry, from: count.from, view, number: None })
        };
        let Some(counted) = counted.or_else(next) else {
            return Stage::Over(Outcome::Invalid(Invalid::Overflow));
        };
        self.counted = Some(counted);
        count.put(counted.entry);
        let Some(number) = count.number() else {
            return Stage::Over(Outcome::Invalid(Invalid::Overflow));
        };
        let len = count.write().len();
        if len > VALUE_MAX_BYTES {
            return Stage::Over(Outcome::Invalid(Invalid::TooLong { len }));
        }
        let answer = Outcome::Number(counted.number.unwrap_or(number));
        let differs = |seen: &Seen| seen.counter().as_ref() != Some(&count);
        if !self.seen().any(|(_, seen)| differs(seen)) {
            // Somebody has read it, and put it everywhere.
            return Stage::Over(answer);
        }
        let write = self.payload(clock, self.newest_version(), true, &count.write(), life);
        self.write_where(differs, write, answer)
    }

    /// The newest counter with all that other copies of it have; `None` if the newest is none.
    pub(super) fn counted_together(&self) -> Option<Count> {
        let mut together = self.newest_seen()?.counter()?;
        for (_, seen) in self.seen() {
            if let Some(count) = seen.counter() {
                together.merge(&count);
            }
        }
        Some(together)
    }

    /// The same, if no copy has it all.
    pub(super) fn counted_apart(&self) -> Option<Count> {
        let together = self.counted_together()?;
        let has_it_all = self.newest_seen()?.counter().as_ref() == Some(&together);
        (!has_it_all).then_some(together)
    }

    /// Writes to all copies what they have counted together.
    pub(super) fn put_together(&self, clock: &Clock, count: &Count, answer: Outcome) -> Stage {
        let life = self.newest_seen().and_then(Seen::left);
        let write = self.payload(clock, self.newest_version(), true, &count.write(), life);
        Stage::Mend { write, guards: self.guards(|_| true), answer }
    }
}

impl Seen {
    /// The counter that it holds, if it is one and lives.
    fn counter(&self) -> Option<Count> {
        match &self.found {
            Found::Record(record) if record.kind.counts() && !self.is_tombstone() => {
                Count::read(record.value())
            }
            _ => None,
        }
    }
}

/// A counter that begins with the number that is there.
fn begin(seen: &Seen) -> Option<Count> {
    let text = std::str::from_utf8(seen.value()?).ok()?;
    Some(Count::new(text.trim_ascii().parse().ok()?, seen.version()))
}
