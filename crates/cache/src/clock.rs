//! Time as the engine counts it: whole seconds since the cache was started, from a clock that
//! never goes back.
//!
//! A time to live is turned into such a second once, when a command brings it. The wall clock is
//! read for dates only, and at that moment: a clock that is set right later does not move what is
//! stored already. memcached adds dates to the wall clock's reading at its start instead.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A number of seconds up to this is from now on; a greater one is a date. memcached's limit.
pub(crate) const RELATIVE_MAX_SECONDS: i64 = 30 * 24 * 60 * 60;

/// The second in which a clock starts; [`PAST`] lies before it.
const FIRST_SECOND: u32 = 2;

/// An expiry that has passed whatever the time is.
pub(crate) const PAST: u32 = 1;

/// An expiry that never comes.
pub(crate) const NEVER: u32 = 0;

/// The time at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Now {
    /// Seconds of the cache's own clock.
    pub(crate) second: u32,
    /// Seconds since 1970, by the wall clock.
    pub(crate) unix: i64,
}

impl Now {
    /// The second at which an item with this `exptime` is gone: 0 is never, a negative one has
    /// passed, up to 30 days count from now, more is a date.
    pub(crate) fn expiry(self, exptime: i64) -> u32 {
        let left = match exptime {
            0 => return NEVER,
            ..0 => return PAST,
            1..=RELATIVE_MAX_SECONDS => exptime,
            date if date <= self.unix => return PAST,
            date => date - self.unix,
        };
        u32::try_from(i64::from(self.second) + left).unwrap_or(u32::MAX)
    }

    /// The date of a second of the cache's clock.
    pub(crate) fn date(self, second: u32) -> i64 {
        self.unix + i64::from(second) - i64::from(self.second)
    }

    /// The second of a date, for an expiry that was kept in a file.
    pub(crate) fn expiry_of_date(self, date: i64) -> u32 {
        if date <= self.unix {
            return PAST;
        }
        u32::try_from(i64::from(self.second) + date - self.unix).unwrap_or(u32::MAX)
    }
}

/// Where [`Now`] comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn now(self) -> Now {
        let passed = u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX);
        // A wall clock before 1970 makes every date one of the future: nothing is lost.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Now {
            second: passed.saturating_add(FIRST_SECOND),
            unix: i64::try_from(unix).unwrap_or(i64::MAX),
        }
    }

    /// How long until [`Now::second`] is another.
    pub(crate) fn until_next_second(self) -> Duration {
        const SECOND: Duration = Duration::from_secs(1);
        SECOND - Duration::from_nanos(u64::from(self.started.elapsed().subsec_nanos()))
    }

    /// Whole seconds since the start.
    pub(crate) fn uptime_seconds(self) -> u64 {
        self.started.elapsed().as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { second: 100, unix: 1_700_000_000 };

    #[test]
    fn thirty_days_are_relative_and_a_second_more_is_a_date() {
        assert_eq!(NOW.expiry(RELATIVE_MAX_SECONDS), 100 + 2_592_000);
        assert_eq!(NOW.expiry(RELATIVE_MAX_SECONDS + 1), PAST);
        assert_eq!(NOW.expiry(1_700_000_060), 160);
        assert_eq!(NOW.expiry(1_700_000_000), PAST);
    }

    #[test]
    fn zero_is_never_and_a_negative_time_has_passed() {
        assert_eq!(NOW.expiry(0), NEVER);
        assert_eq!(NOW.expiry(-1), PAST);
        assert_eq!(NOW.expiry(i64::MIN), PAST);
        assert_eq!(NOW.expiry(i64::MAX), u32::MAX);
    }

    #[test]
    fn a_date_is_read_back_as_the_second_that_it_came_from() {
        assert_eq!(NOW.expiry_of_date(NOW.date(160)), 160);
        assert_eq!(NOW.expiry_of_date(NOW.date(100)), PAST);
    }
}
