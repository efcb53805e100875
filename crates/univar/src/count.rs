//! A counter that two copies can each count up and that loses nothing when they meet again.
//!
//! Its value is what was there before anybody counted, and one entry for each writer: how much
//! that one has counted in all, and how often. Only the writer itself changes its entry, so of two
//! entries of one writer the later one is known, and two counters that were counted apart are
//! put together entry by entry. Who counts at a time is a writer of its own ([`Writers`]).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::envelope::Version;

const HEAD_BYTES: usize = 16;
const ENTRY_BYTES: usize = 24;

/// Most calls of a node that count at the same time; more wait for one another.
const WRITERS_MAX: usize = 64;

/// Bits of a writer's name that say which copies it saw when it counted, one each. What was counted
/// from one copy and what was counted from the other are different entries: neither knew the other.
pub(crate) const VIEW_BITS: u32 = 2;

/// How long a call waits before it looks again for a writer that is free.
const WRITER_PAUSE: Duration = Duration::from_micros(200);

/// Entries of writers that are long gone are put into the base above this number.
const ENTRIES_MAX: usize = 4096;

/// A counter's state.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Count {
    /// The number that was there, and the version of its record; 0 if nothing was there.
    base: i64,
    pub(crate) from: Version,
    /// By writer, ascending.
    entries: Vec<Entry>,
}

/// What one writer has counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) writer: u64,
    /// How often.
    times: u64,
    /// How much in all.
    sum: i64,
}

impl Count {
    /// A counter that begins with `base`, which the record `from` held.
    pub(crate) fn new(base: i64, from: Option<Version>) -> Self {
        Self { base, from: from.unwrap_or_default(), entries: Vec::new() }
    }

    /// Reads a value; `None` if it is no counter.
    pub(crate) fn read(value: &[u8]) -> Option<Self> {
        let (head, rest) = value.split_at_checked(HEAD_BYTES)?;
        let word = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
        let (base, from) = head.split_at(8);
        let (chunks, rest) = rest.as_chunks::<ENTRY_BYTES>();
        let mut count =
            Self { base: word(base)? as i64, from: Version(word(from)?), entries: vec![] };
        for chunk in chunks {
            let (writer, times, sum) =
                (word(&chunk[..8])?, word(&chunk[8..16])?, word(&chunk[16..])?);
            count.entries.push(Entry { writer, times, sum: sum as i64 });
        }
        let is_sorted = count.entries.is_sorted_by(|one, other| one.writer < other.writer);
        (rest.is_empty() && is_sorted).then_some(count)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(HEAD_BYTES + self.entries.len() * ENTRY_BYTES);
        value.extend_from_slice(&self.base.to_be_bytes());
        value.extend_from_slice(&self.from.0.to_be_bytes());
        for entry in &self.entries {
            value.extend_from_slice(&entry.writer.to_be_bytes());
            value.extend_from_slice(&entry.times.to_be_bytes());
            value.extend_from_slice(&entry.sum.to_be_bytes());
        }
        value
    }

    /// Where it stands; `None` if that does not fit 64 bits.
    pub(crate) fn number(&self) -> Option<i64> {
        let sums = self.entries.iter().map(|entry| i128::from(entry.sum));
        i64::try_from(i128::from(self.base) + sums.sum::<i128>()).ok()
    }

    /// Takes over what the other has that this one has not. `false` if they do not belong
    /// together: one of them began after the name was set or deleted.
    pub(crate) fn merge(&mut self, other: &Self) -> bool {
        if (self.base, self.from) != (other.base, other.from) {
            return false;
        }
        for entry in &other.entries {
            self.put(*entry);
        }
        true
    }

    /// The entry with which `writer` counts `by` more; `None` if that does not fit 64 bits.
    pub(crate) fn next(&self, writer: u64, by: i64) -> Option<Entry> {
        let known = self.entry(writer);
        let times = known.map_or(0, |entry| entry.times) + 1;
        Some(Entry { writer, times, sum: known.map_or(0, |entry| entry.sum).checked_add(by)? })
    }

    /// Puts the entry in, unless there is a later one.
    pub(crate) fn put(&mut self, entry: Entry) {
        match self.entries.binary_search_by_key(&entry.writer, |known| known.writer) {
            Ok(at) if self.entries[at].times < entry.times => self.entries[at] = entry,
            Ok(_) => {}
            Err(at) => self.entries.insert(at, entry),
        }
    }

    /// A counter with so many entries begins anew where it stands.
    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= ENTRIES_MAX
    }

    fn entry(&self, writer: u64) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&writer, |known| known.writer).ok()?;
        Some(&self.entries[at])
    }
}

/// The writers of one node.
#[derive(Debug)]
pub(crate) struct Writers {
    /// A bit for each that is in use.
    busy: AtomicU64,
    /// Their names, by which no other node calls a writer of its own. The lowest bits are left for
    /// whoever counts to say which copies it counts from ([`VIEW_BITS`]).
    names: [AtomicU64; WRITERS_MAX],
}

/// A writer that is in use by one call.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    writers: &'a Writers,
    at: usize,
}

impl Writers {
    /// Writers named after a random number.
    pub(crate) fn new(node: u64) -> Self {
        let all = (WRITERS_MAX as u64) << VIEW_BITS;
        let name = |at: usize| {
            let first = node.rotate_left(all.trailing_zeros()) & !(all - 1);
            AtomicU64::new(first | (at as u64) << VIEW_BITS)
        };
        Self { busy: AtomicU64::new(0), names: std::array::from_fn(name) }
    }

    /// One that is free; waits for one at most until `end`.
    pub(crate) fn take(&self, end: Instant) -> Option<Writer<'_>> {
        loop {
            let busy = self.busy.load(Ordering::Relaxed);
            let at = busy.trailing_ones() as usize;
            if at < WRITERS_MAX {
                let taken = self.busy.fetch_or(1 << at, Ordering::Acquire) & (1 << at) != 0;
                if !taken {
                    return Some(Writer { writers: self, at });
                }
            } else if Instant::now() >= end {
                return None;
            } else {
                std::thread::sleep(WRITER_PAUSE);
            }
        }
    }
}

impl Writer<'_> {
    pub(crate) fn name(&self) -> u64 {
        self.writers.names[self.at].load(Ordering::Relaxed)
    }

    /// Nobody can tell whether it has counted: it is never heard of again under this name.
    pub(crate) fn retire(&self) {
        let step = (WRITERS_MAX as u64) << VIEW_BITS;
        self.writers.names[self.at].fetch_add(step, Ordering::Relaxed);
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.writers.busy.fetch_and(!(1 << self.at), Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn count(entries: &[(u64, u64, i64)]) -> Count {
        let mut count = Count::new(10, Some(Version(7)));
        entries.iter().for_each(|&(writer, times, sum)| count.put(Entry { writer, times, sum }));
        count
    }

    #[test]
    fn counts_made_apart_are_all_there_when_they_meet() {
        let (mut one, other) = (count(&[(1, 2, 5), (2, 1, 1)]), count(&[(1, 1, 4), (3, 1, -2)]));
        assert!(one.merge(&other));
        assert_eq!(one.number(), Some(10 + 5 + 1 - 2));
        assert!(!one.merge(&Count::new(10, Some(Version(8)))), "it was set anew");
    }

    #[test]
    fn the_same_count_counts_once() {
        let mut one = count(&[]);
        let entry = one.next(1, 5).unwrap();
        one.put(entry);
        let again = one.clone();
        assert!(one.merge(&again));
        assert_eq!(one.number(), Some(15));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut one = count(&[(1, 1, i64::MAX)]);
        assert_eq!(one.number(), None);
        assert_eq!(one.next(1, 1), None);
        one.put(Entry { writer: 2, times: 1, sum: -10 });
        assert_eq!(one.number(), Some(i64::MAX));
    }

    #[test]
    fn writers_are_used_by_one_call_at_a_time() {
        let writers = Writers::new(1);
        let now = Instant::now();
        let all: Vec<_> = (0..WRITERS_MAX).map(|_| writers.take(now).unwrap()).collect();
        let names: std::collections::BTreeSet<_> = all.iter().map(Writer::name).collect();
        assert_eq!(names.len(), WRITERS_MAX);
        assert!(writers.take(now).is_none());
        all[5].retire();
        assert!(!names.contains(&all[5].name()));
        drop(all);
        assert!(writers.take(now).is_some());
    }

    proptest! {
        #[test]
        fn merging_goes_in_any_order(
            one in proptest::collection::vec((0_u64..5, 0_u64..4), 0..6),
            other in proptest::collection::vec((0_u64..5, 0_u64..4), 0..6),
        ) {
            // A writer's sum follows from how often it counted.
            let of = |entries: &[(u64, u64)]| {
                count(&entries.iter().map(|&(w, t)| (w, t, (w * 7 + t) as i64)).collect::<Vec<_>>())
            };
            let (mut left, mut right) = (of(&one), of(&other));
            left.merge(&of(&other));
            right.merge(&of(&one));
            prop_assert_eq!(&left, &right);
            prop_assert_eq!(Count::read(&left.write()), Some(left));
        }

        #[test]
        fn no_bytes_are_misread(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(count) = Count::read(&value) {
                prop_assert_eq!(count.write(), value);
            }
        }
    }
}
