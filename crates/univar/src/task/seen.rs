//! What was found where a name has a copy.

use std::time::Duration;

use crate::batch::Guard;
use crate::envelope::{Kind, Record, TRAIL, Version};

/// Copies of one record may end so far apart.
const SAME_LIFE_S: u64 = 5;

/// Four weeks: memcached takes more than thirty days for a date.
const LONG_LIFE_S: u64 = 28 * 24 * 60 * 60;

/// A copy that was looked at.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) found: Found,
    pub(super) cas: u64,
    pub(super) left_s: Option<u64>,
    pub(super) miss_counts: bool,
    pub(super) published: bool,
}

#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Record(Record),
    /// A value without an envelope. With envelopes: another client wrote it just now.
    Bare(Vec<u8>),
    /// Nothing that may be believed.
    Refused,
}

impl Seen {
    pub(super) fn version(&self) -> Option<Version> {
        match &self.found {
            Found::Record(record) => Some(record.version),
            _ => None,
        }
    }

    /// Whether it is the record that this owner wrote with one of these versions: two nodes may
    /// make the same version.
    pub(super) fn is_of(&self, versions: &[Version], owner: &[u8]) -> bool {
        matches!(&self.found, Found::Record(record)
            if versions.contains(&record.version) && record.owner() == owner)
    }

    /// Whether it says that there is no value: it was deleted, or its life is over.
    pub(super) fn is_tombstone(&self) -> bool {
        let Found::Record(record) = &self.found else { return false };
        let is_over = || self.left_s.is_some_and(|left_s| left_s <= TRAIL.as_secs());
        record.kind == Kind::Tombstone || record.kind.ends() && is_over()
    }

    /// The value, or the bytes of the counter, if there is one.
    pub(super) fn value(&self) -> Option<&[u8]> {
        match &self.found {
            Found::Record(record) if !self.is_tombstone() => Some(record.value()),
            Found::Bare(value) => Some(value),
            _ => None,
        }
    }

    /// Of two copies of one record the one that ends first counts: a life may have been begun anew
    /// by a server that carried out late what it had accepted.
    pub(super) fn ends_before(&self, other: &Self) -> bool {
        self.left_s.unwrap_or(u64::MAX) < other.left_s.unwrap_or(u64::MAX)
    }

    /// Whether two copies of one record end together, but for the second that each copying costs.
    pub(super) fn ends_with(&self, other: &Self) -> bool {
        match (self.left_s, other.left_s) {
            // Long ones are sent as dates of the writer's clock, which is not the server's.
            (Some(LONG_LIFE_S..), Some(LONG_LIFE_S..)) => true,
            (Some(one), Some(other)) => one.abs_diff(other) <= SAME_LIFE_S,
            (one, other) => one == other,
        }
    }

    /// What a guarded write to this copy must find there still.
    pub(super) fn guard(&self) -> Guard {
        match self.found {
            Found::Nothing => Guard::Absent,
            _ => Guard::Cas(self.cas),
        }
    }

    /// What is left of its life; `None` is for ever.
    pub(super) fn left(&self) -> Option<Duration> {
        let left = Duration::from_secs(self.left_s?);
        match &self.found {
            Found::Record(record) if record.kind.ends() => Some(left.saturating_sub(TRAIL)),
            _ => Some(left),
        }
    }
}
