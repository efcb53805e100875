//! Who looks at the PBX: one worker at most for each thing, and never all workers.
//!
//! A look is over in a moment, unless Asterisk holds a lock for long: the loader's while a module
//! is loaded, or one behind which a database hangs. Whoever wants the same meanwhile waits for
//! that moment and no longer, so that workers are left for all else.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[cfg(test)]
use crate::shared::ASKS_MAX;
use crate::shared::lock;

/// How many things there are to look at.
pub(crate) const THINGS: usize = 5;
/// Looks at once: with those who ask the CLI ([`ASKS_MAX`]), fewer than there are workers ([`httpd::Limits`]).
const LOOKS_MAX: usize = 2;
/// How long a look takes if nothing is in its way, and more.
const MOMENT: Duration = Duration::from_millis(500);

/// When each look that is under way began.
pub(crate) struct Looks {
    begun: Mutex<[Option<Instant>; THINGS]>,
    ended: Condvar,
    moment: Duration,
}

/// A look that is under way.
pub(crate) struct Looking<'a> {
    looks: &'a Looks,
    thing: usize,
}

impl Default for Looks {
    fn default() -> Self {
        Self { begun: Mutex::default(), ended: Condvar::new(), moment: MOMENT }
    }
}

impl Looks {
    /// Begins one, after those that are in its way; `None` if these do not end. For workers.
    pub(crate) fn begin(&self, thing: usize) -> Option<Looking<'_>> {
        let entered = Instant::now();
        let mut begun = lock(&self.begun);
        while let Some(since) = in_the_way(&begun, thing) {
            let left = self.moment.saturating_sub(since.elapsed().max(entered.elapsed()));
            if left.is_zero() {
                return None;
            }
            let waited = self.ended.wait_timeout(begun, left);
            begun = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        begun[thing] = Some(Instant::now());
        Some(Looking { looks: self, thing })
    }
}

/// When that began which is in its way: a look at the same, or as many as may be.
fn in_the_way(begun: &[Option<Instant>; THINGS], thing: usize) -> Option<Instant> {
    let is_full = begun.iter().flatten().count() >= LOOKS_MAX;
    let newest = begun.iter().flatten().max().copied();
    begun[thing].or(newest.filter(|_| is_full))
}

impl Drop for Looking<'_> {
    fn drop(&mut self) {
        lock(&self.looks.begun)[self.thing] = None;
        self.looks.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_that_does_not_end_is_waited_for_once() {
        let moment = Duration::from_millis(20);
        let looks = Looks { moment, ..Looks::default() };
        let hangs = looks.begin(0);
        assert!(hangs.is_some());
        let begun = Instant::now();
        assert!(looks.begin(0).is_none());
        assert!(begun.elapsed() >= moment / 2, "it was waited for");
        assert!((0..100).all(|_| looks.begin(0).is_none()));
        drop(hangs);
        assert!(looks.begin(0).is_some());
    }

    #[test]
    fn who_waits_is_woken_when_it_ends() {
        let looks = Looks { moment: Duration::from_secs(60), ..Looks::default() };
        // In most rounds the second one waits already when the first ends.
        let begun = Instant::now();
        for _ in 0..200 {
            std::thread::scope(|threads| {
                let first = looks.begin(0);
                let second = threads.spawn(|| looks.begin(0).is_some());
                std::thread::yield_now();
                drop(first);
                assert!(second.join().expect("no panic"));
            });
        }
        assert!(begun.elapsed() < looks.moment, "nobody waited for the time to pass");
    }

    #[test]
    fn not_all_workers_look() {
        let looks = Looks::default();
        let all: Vec<_> = (0..THINGS).filter_map(|thing| looks.begin(thing)).collect();
        assert_eq!(all.len(), LOOKS_MAX);
        assert!(LOOKS_MAX + ASKS_MAX < httpd::Limits::default().workers);
    }
}
