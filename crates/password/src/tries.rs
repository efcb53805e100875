//! Wrong passwords make the next try wait.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Wrong tries that cost nothing. Each one after them makes the next wait, twice as long as the one before.
pub const FREE: u32 = 5;
/// Longest wait.
pub const LONGEST: Duration = Duration::from_secs(300);
/// After how long without a wrong try it begins anew.
pub const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// Tries of late by `K`: who is tried, or where they come from.
///
/// ```
/// use std::time::{Duration, Instant};
/// let (mut tries, now) = (password::Tries::new(1000), Instant::now());
/// for _ in 0..password::FREE {
///     assert_eq!(tries.next(&"ann"), None, "at once");
///     tries.begin("ann", now);
/// }
/// assert_eq!(tries.next(&"ann"), Some(now + Duration::from_secs(1)));
/// assert_eq!(tries.next(&"bob"), None);
/// ```
#[derive(Debug)]
pub struct Tries<K> {
    of: HashMap<K, Count>,
    kept_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    wrong: u32,
    last: Instant,
    /// When the one before that was: a right one leaves no trace.
    before: Instant,
}

impl<K: Eq + Hash> Tries<K> {
    /// None yet. So many of `K` are remembered; past that the oldest are not, so that nobody fills
    /// the memory.
    #[must_use]
    pub fn new(kept_max: usize) -> Self {
        Self { of: HashMap::new(), kept_max }
    }

    /// From when on its next try is heard, if not at once: tries that are under way may come here
    /// in another order than they came in.
    #[must_use]
    pub fn next(&self, of: &K) -> Option<Instant> {
        let count = self.of.get(of)?;
        let over = count.wrong.checked_sub(FREE)?;
        Some(count.last + Duration::from_secs(1 << over.min(9)).min(LONGEST))
    }

    /// A try is heard. It counts as wrong until it is taken back, so that many at once are no way
    /// around.
    pub fn begin(&mut self, of: K, now: Instant) {
        if self.of.len() >= self.kept_max && !self.of.contains_key(&of) {
            self.drop_oldest(now);
        }
        let count = self.of.entry(of).or_insert(Count { wrong: 0, last: now, before: now });
        if now.saturating_duration_since(count.last) > FORGET_AFTER {
            count.wrong = 0;
        }
        count.before = count.last;
        (count.wrong, count.last) = (count.wrong.saturating_add(1), now);
    }

    /// The last try was not wrong. Those before it may have been.
    pub fn take_back(&mut self, of: &K) {
        let Some(count) = self.of.get_mut(of) else { return };
        (count.wrong, count.last) = (count.wrong.saturating_sub(1), count.before);
        if count.wrong == 0 {
            self.of.remove(of);
        }
    }

    /// As if there had been none.
    pub fn forget(&mut self, of: &K) {
        self.of.remove(of);
    }

    /// Those of an hour ago, and if that is not enough, half of the others.
    fn drop_oldest(&mut self, now: Instant) {
        self.of.retain(|_, count| now.saturating_duration_since(count.last) <= FORGET_AFTER);
        if self.of.len() >= self.kept_max {
            let mut last: Vec<Instant> = self.of.values().map(|count| count.last).collect();
            last.sort_unstable();
            let middle = last.get(last.len() / 2).copied();
            self.of.retain(|_, count| Some(count.last) > middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wait(tries: &mut Tries<u32>, of: u32, now: Instant) -> u64 {
        let wait = tries.next(&of).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        if wait.is_zero() {
            tries.begin(of, now);
        }
        wait.as_secs()
    }

    #[test]
    fn the_sixth_wrong_try_waits_and_each_further_one_twice_as_long() {
        let (mut tries, mut now) = (Tries::new(10), Instant::now());
        for _ in 0..FREE {
            assert_eq!(wait(&mut tries, 1, now), 0);
        }
        for wanted in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(wait(&mut tries, 1, now), wanted);
            now += SECOND * u32::try_from(wanted).expect("small");
            assert_eq!(wait(&mut tries, 1, now), 0);
        }
        assert_eq!(wait(&mut tries, 2, now), 0, "others do not wait");
        now += FORGET_AFTER + SECOND;
        for _ in 0..FREE {
            assert_eq!(wait(&mut tries, 1, now), 0, "it began anew");
        }
        assert_eq!(wait(&mut tries, 1, now), 1);
    }

    #[test]
    fn tries_under_way_do_not_wait_for_one_that_came_in_later() {
        let (mut tries, now) = (Tries::new(10), Instant::now());
        tries.begin(1, now + SECOND);
        tries.begin(1, now);
        assert_eq!(tries.next(&1), None);
    }

    #[test]
    fn what_is_taken_back_leaves_no_trace() {
        let (mut tries, now) = (Tries::new(10), Instant::now());
        for _ in 0..FREE {
            tries.begin(1, now);
        }
        let waits_until = tries.next(&1);
        tries.begin(1, now + SECOND);
        tries.take_back(&1);
        assert_eq!(tries.next(&1), waits_until);
        tries.begin(2, now);
        tries.take_back(&2);
        assert!(!tries.of.contains_key(&2));
    }

    #[test]
    fn the_oldest_are_forgotten_before_memory_is_full() {
        let (mut tries, mut now) = (Tries::new(100), Instant::now());
        for of in 0..1000 {
            now += SECOND;
            tries.begin(of, now);
            assert!(tries.of.len() <= 100 && tries.of.contains_key(&of));
        }
        for _ in 0..200 {
            tries.begin(1, now);
        }
        assert!(tries.of.len() > 50, "who is known makes no room");
    }
}
