//! What each worker counts. A worker writes its own counters only, so that counting needs neither
//! a lock nor an atomic addition; who reads adds up all workers'.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that one thread writes and all may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds one. Only the counter's own thread may call it: two would lose counts.
    pub(crate) fn count(&self) {
        self.add(1);
    }

    /// Adds `number`. Only the counter's own thread may call it.
    pub(crate) fn add(&self, number: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        /// One worker's counters, named as in `stats`.
        #[derive(Debug, Default)]
        pub(crate) struct Counters { $(pub(crate) $name: Counter),* }

        /// The sum of several workers' counters.
        #[derive(Clone, Copy, Debug, Default)]
        pub(crate) struct Totals { $(pub(crate) $name: u64),* }

        impl Totals {
            pub(crate) fn add(&mut self, counters: &Counters) {
                $(self.$name = self.$name.wrapping_add(counters.$name.get());)*
            }

            /// What has been counted since `then`.
            pub(crate) fn since(self, then: Self) -> Self {
                Self { $($name: self.$name.wrapping_sub(then.$name)),* }
            }
        }
    };
}

counters!(
    cmd_get,
    cmd_set,
    cmd_flush,
    cmd_touch,
    cmd_meta,
    get_hits,
    get_misses,
    delete_misses,
    delete_hits,
    incr_misses,
    incr_hits,
    decr_misses,
    decr_hits,
    cas_misses,
    cas_hits,
    cas_badval,
    touch_hits,
    touch_misses,
    store_too_large,
    store_no_memory,
    bytes_read,
    bytes_written,
    conn_yields,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_the_sum_of_all_workers_since_the_last_reset() {
        let (one, two) = (Counters::default(), Counters::default());
        one.cmd_get.count();
        let mut then = Totals::default();
        then.add(&one);
        two.cmd_get.add(3);
        let mut now = Totals::default();
        now.add(&one);
        now.add(&two);
        assert_eq!((now.cmd_get, now.since(then).cmd_get), (4, 3));
    }
}
