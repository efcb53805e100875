//! This node's clock for versions: a hybrid logical clock.
//!
//! It never runs behind the newest version that it was shown, so that a node whose clock is slow
//! still writes newer versions than those that it has read. A version that is absurdly far ahead
//! is not followed: one broken clock must not carry all others away. (A write over such a record
//! is newer than it all the same, for that name alone: [`Clock::after`].)

use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(test))]
use std::time::{SystemTime, UNIX_EPOCH};

use crate::envelope::Version;

/// A version that is further ahead than this is not followed: a day.
const AHEAD_MAX_MS: u64 = 24 * 60 * 60 * 1000;

const COUNTER_BITS: u32 = 16;

/// Writes that saw the same version take one of so many steps from it each, by their rank: two
/// tasks must not make the same version.
const STEPS: u64 = 4093;

/// How much older than now a write is that follows from one copy of two. It must give way to one
/// that asks for nothing and was made at the same time, by a clock that is as right as ours.
const PARTIAL_MS: u64 = 1000;

/// The same where it follows from nothing being there. Whatever was there before is remembered for
/// longer, so that this is newer all the same.
const DERIVED_MS: u64 = 10 * 60 * 1000;

/// What a write stands on: of two that were made at the same time, the higher one counts. So what
/// follows from what was there never goes over what has taken its place meanwhile.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Rank {
    /// It follows from what all copies said.
    Derived,
    /// It follows from what one copy said; the other was silent.
    Partial,
    /// It asks for nothing.
    Free,
}

/// The newest version that was made or seen here.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: AtomicU64,
}

impl Clock {
    /// A version that is newer than `seen`, for a write of that rank.
    pub(crate) fn after(&self, seen: Option<Version>, rank: Rank) -> Version {
        self.after_at(unix_now_ms(), seen, rank)
    }

    fn after_at(&self, now_ms: u64, seen: Option<Version>, rank: Rank) -> Version {
        let made = self.tick(now_ms, seen);
        let earlier = |ms: u64| made.saturating_sub(ms << COUNTER_BITS);
        let (steps, from_clock) = match (rank, seen) {
            (Rank::Derived, Some(_)) => (0, 0),
            (Rank::Derived, None) => (0, earlier(DERIVED_MS)),
            (Rank::Partial, _) => (STEPS, earlier(PARTIAL_MS)),
            (Rank::Free, _) => (2 * STEPS, made),
        };
        let step = steps + 1 + made % STEPS;
        Version(seen.map_or(0, |seen| seen.0.saturating_add(step)).max(from_clock))
    }

    /// A number that is never made here again, nor behind what was followed.
    fn tick(&self, now_ms: u64, seen: Option<Version>) -> u64 {
        let now = now_ms << COUNTER_BITS;
        let next = |last: u64| last.saturating_add(1).max(now);
        if let Some(seen) =
            seen.filter(|seen| seen.0 <= now.saturating_add(AHEAD_MAX_MS << COUNTER_BITS))
        {
            self.last.fetch_max(seen.0, Ordering::Relaxed);
        }
        let last =
            self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
        last.map_or(now, next)
    }
}

#[cfg(not(test))]
fn unix_now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
pub(crate) use simulated::{set_unix_now_ms, unix_now_ms};

/// The model's time, for it simulates the nodes' clocks too.
#[cfg(test)]
mod simulated {
    use std::cell::Cell;

    thread_local! {
        static NOW_MS: Cell<u64> = const { Cell::new(1_700_000_000_000) };
    }

    pub(crate) fn unix_now_ms() -> u64 {
        NOW_MS.get()
    }

    pub(crate) fn set_unix_now_ms(now_ms: u64) {
        NOW_MS.set(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;

    #[test]
    fn versions_rise_within_a_millisecond_and_with_time() {
        let clock = Clock::default();
        let free = |now_ms| clock.after_at(now_ms, None, Rank::Free);
        let first = free(NOW_MS);
        assert_eq!(first, Version(NOW_MS << COUNTER_BITS));
        assert_eq!(free(NOW_MS), Version(first.0 + 1));
        assert_eq!(free(NOW_MS + 1), Version((NOW_MS + 1) << COUNTER_BITS));
        assert!(free(NOW_MS - 5000) > first, "a clock that was set back");
    }

    #[test]
    fn a_clock_that_is_an_hour_ahead_is_followed() {
        let clock = Clock::default();
        let ahead = Version((NOW_MS + 3_600_000) << COUNTER_BITS);
        assert!(clock.after_at(NOW_MS, Some(ahead), Rank::Free) > ahead);
        assert!(clock.after_at(NOW_MS, None, Rank::Free) > ahead);
    }

    #[test]
    fn an_absurd_version_is_overtaken_and_not_followed() {
        let clock = Clock::default();
        let absurd = Version((NOW_MS + 2 * AHEAD_MAX_MS) << COUNTER_BITS);
        let over = || clock.after_at(NOW_MS, Some(absurd), Rank::Free);
        let (one, other) = (over(), over());
        assert!(one > absurd && other > absurd && one != other);
        assert!(clock.after_at(NOW_MS, None, Rank::Free) < absurd);
    }

    #[test]
    fn what_follows_from_what_was_there_gives_way_to_what_replaces_it() {
        // Whatever the nodes' clocks say: the first one's is an hour ahead.
        let (ahead, right) = (Clock::default(), Clock::default());
        let then = NOW_MS + 3_600_000;
        for seen in [None, Some(Version(1)), Some(Version((NOW_MS - 10) << COUNTER_BITS))] {
            let free = right.after_at(NOW_MS, seen, Rank::Free);
            if seen.is_some() {
                assert!(ahead.after_at(then, seen, Rank::Derived) < free, "{seen:?}");
            }
            let partial = right.after_at(NOW_MS, seen, Rank::Partial);
            let derived = right.after_at(NOW_MS, seen, Rank::Derived);
            assert!(seen < Some(derived) && derived < partial && partial < free, "{seen:?}");
        }
    }
}
