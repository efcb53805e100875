//! How long to wait before another attempt.

use std::time::Duration;

/// Doubles from a second to half a minute.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
}

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Something went well: the next failure is a first one.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }

    /// To be tried again soon would do harm: a wrong password is an alarm at the other end.
    pub(crate) fn slow_down(&mut self) {
        self.next = LONGEST;
    }

    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        let secs: Vec<u64> = (0..7).map(|_| backoff.pause().as_secs()).collect();
        assert_eq!(secs, [1, 2, 4, 8, 16, 30, 30]);
        backoff.reset();
        assert_eq!(backoff.pause(), FIRST);
        backoff.slow_down();
        assert_eq!(backoff.pause(), LONGEST);
    }
}
