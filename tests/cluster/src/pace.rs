//! Going on at a pace until told to stop.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Told once, heard by all.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    stopped: Mutex<bool>,
    told: Condvar,
}

impl Stop {
    pub(crate) fn stop(&self) {
        *self.lock() = true;
        self.told.notify_all();
    }

    /// Waits until `due`; true if it is to go on.
    pub(crate) fn goes_on_at(&self, due: Instant) -> bool {
        let mut stopped = self.lock();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if *stopped || left.is_zero() {
                return !*stopped;
            }
            stopped =
                self.told.wait_timeout(stopped, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for so long; true if it is to go on.
    pub(crate) fn goes_on_after(&self, time: Duration) -> bool {
        self.goes_on_at(Instant::now() + time)
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A beat that is kept on the whole: who was late hurries, but not for more than [`BEHIND_MAX`].
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    due: Instant,
}

/// What is missed beyond this is not made up for.
const BEHIND_MAX: Duration = Duration::from_millis(200);

impl Pace {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, due: Instant::now() + every }
    }

    /// When the next one is due.
    pub(crate) fn next(&mut self) -> Instant {
        let due = self.due;
        let now = Instant::now();
        self.due = (due + self.every).max(now.checked_sub(BEHIND_MAX).unwrap_or(now));
        due
    }
}
