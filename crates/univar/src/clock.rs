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

/// So many versions in a row are made over one that is not followed before a step comes again.
const STEPS: u64 = 4093;

/// The newest version that was made or seen here.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    last: AtomicU64,
}

impl Clock {
    /// A version that is newer than all made or followed here, and newer than `seen`.
    pub(crate) fn after(&self, seen: Option<Version>) -> Version {
        self.after_at(unix_now_ms(), seen)
    }

    fn after_at(&self, now_ms: u64, seen: Option<Version>) -> Version {
        let now = now_ms << COUNTER_BITS;
        let next = |last: u64| Some(last.saturating_add(1).max(now));
        if let Some(seen) =
            seen.filter(|seen| seen.0 <= now.saturating_add(AHEAD_MAX_MS << COUNTER_BITS))
        {
            self.last.fetch_max(seen.0, Ordering::Relaxed);
        }
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        let made = last.map_or(now, |last| last.saturating_add(1).max(now));
        // One that was not followed is overtaken by a step of its own each time: two tasks that saw
        // the same one must not make the same version.
        let step = 1 + made % STEPS;
        Version(
            seen.map_or(
                made,
                |seen| if made > seen.0 { made } else { seen.0.saturating_add(step) },
            ),
        )
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
        let first = clock.after_at(NOW_MS, None);
        assert_eq!(first, Version(NOW_MS << COUNTER_BITS));
        assert_eq!(clock.after_at(NOW_MS, None), Version(first.0 + 1));
        assert_eq!(clock.after_at(NOW_MS + 1, None), Version((NOW_MS + 1) << COUNTER_BITS));
        assert!(clock.after_at(NOW_MS - 5000, None) > first, "a clock that was set back");
    }

    #[test]
    fn a_clock_that_is_an_hour_ahead_is_followed() {
        let clock = Clock::default();
        let ahead = Version((NOW_MS + 3_600_000) << COUNTER_BITS);
        assert_eq!(clock.after_at(NOW_MS, Some(ahead)), Version(ahead.0 + 1));
        assert_eq!(clock.after_at(NOW_MS, None), Version(ahead.0 + 2));
    }

    #[test]
    fn an_absurd_version_is_overtaken_and_not_followed() {
        let clock = Clock::default();
        let absurd = Version((NOW_MS + 2 * AHEAD_MAX_MS) << COUNTER_BITS);
        let (one, other) =
            (clock.after_at(NOW_MS, Some(absurd)), clock.after_at(NOW_MS, Some(absurd)));
        assert!(one > absurd && other > absurd && one != other);
        assert!(clock.after_at(NOW_MS, None) < absurd);
    }
}
