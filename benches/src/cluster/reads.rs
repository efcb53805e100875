//! Threads that read as calls do: each one its own, a read now and then, and the time that it took.
//!
//! There are many, so that a read which takes long keeps nobody else from reading meanwhile: as in Asterisk, where
//! each call has a thread. What they did is looked at only when they have ended, window by window.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use univar::{Name, NameError, Op, Outcome, Store};

use super::node::DEADLINE;
use crate::cpu::{self, Core};

/// How often each thread reads.
const EVERY: Duration = Duration::from_millis(8);
/// What takes longer is slow.
const SLOW: Duration = Duration::from_millis(5);
/// Of so many reads one asks for what is not there.
const ONE_MISS_IN: u64 = 4;

/// What is there, and what is not.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) there: Vec<(Name, Vec<u8>)>,
    absent: Vec<Name>,
}

impl Names {
    /// `count` names that are to be written, each with a value of its own, and as many that are not.
    ///
    /// # Errors
    ///
    /// None: the names are good ones.
    pub(crate) fn new(count: usize) -> Result<Self, NameError> {
        let there = |number| {
            let name = format!("PEERA_{number}");
            Ok((Name::new(&name)?, format!("@127.0.0.11/{number}").into_bytes()))
        };
        let absent = |number| Name::new(format!("ABSENT_{number}"));
        Ok(Self {
            there: (0..count).map(there).collect::<Result<_, _>>()?,
            absent: (0..count).map(absent).collect::<Result<_, _>>()?,
        })
    }

    /// One of them, and its value if it is there.
    fn pick(&self, random: u64) -> (&Name, Option<&[u8]>) {
        let at = (random / ONE_MISS_IN) as usize % self.there.len();
        if random.is_multiple_of(ONE_MISS_IN) {
            return (&self.absent[at], None);
        }
        let (name, value) = &self.there[at];
        (name, Some(value))
    }
}

/// One read.
#[derive(Clone, Copy, Debug)]
struct Read {
    from: Instant,
    took: Duration,
    answer: Answer,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Answer {
    Right,
    /// Another value, or none where there is one, or one where there is none.
    Wrong,
    Unreachable,
}

/// The threads. Dropping them ends them.
#[derive(Debug)]
pub(crate) struct Readers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<Vec<Read>>>>,
}

impl Readers {
    /// Starts `count` threads on `core` for each of the stores.
    pub(crate) fn start<'s>(
        stores: impl Iterator<Item = &'s Arc<Store>>,
        names: &Arc<Names>,
        count: usize,
        core: Core,
    ) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let from = Instant::now();
        let each = |(number, store): (usize, &Arc<Store>)| {
            let (store, names, stop) = (Arc::clone(store), Arc::clone(names), Arc::clone(&stop));
            // Each a little later than the one before.
            let first = from + EVERY * number as u32 / count as u32;
            cpu::spawn(core, move || read(&store, &names, number as u64, first, &stop))
        };
        let stores = stores.flat_map(|store| std::iter::repeat_n(store, count));
        let threads = stores.enumerate().map(each).collect();
        Self { stop, threads }
    }

    /// Ends them, and says what they read.
    ///
    /// # Errors
    ///
    /// If one of them could not be pinned, or panicked.
    pub(crate) fn end(mut self) -> Result<Reads> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for thread in self.threads.drain(..) {
            let reads = thread.join().ok().context("a thread that reads has panicked")?;
            all.extend(reads.context("pin a thread that reads")?);
        }
        Ok(Reads { all })
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ended = thread.join();
        }
    }
}

fn read(store: &Store, names: &Names, seed: u64, first: Instant, stop: &AtomicBool) -> Vec<Read> {
    let mut reads = Vec::new();
    // xorshift64* of Vigna; never 0.
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = first;
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        let (name, value) = names.pick(random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16);
        let from = Instant::now();
        let outcome = store.run(&[Op::Get { name }]).pop();
        let took = from.elapsed();
        let answer = match (outcome, value) {
            (Some(Outcome::Value(found)), Some(value)) if found == value => Answer::Right,
            (Some(Outcome::Missing), None) => Answer::Right,
            (Some(Outcome::Unreachable) | None, _) => Answer::Unreachable,
            _ => Answer::Wrong,
        };
        reads.push(Read { from, took, answer });
        // A call makes no other look-up while it waits for one.
        next = (next + EVERY).max(from + took);
    }
    reads
}

/// All that was read.
#[derive(Debug)]
pub(crate) struct Reads {
    all: Vec<Read>,
}

/// A time in which reads count; they belong to when they began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) to: Instant,
}

impl Window {
    /// From `from` on for this long: returns at its end.
    pub(crate) fn sleep(from: Instant, long: Duration) -> Self {
        let to = from + long;
        thread::sleep(to.saturating_duration_since(Instant::now()));
        Self { from, to }
    }
}

/// What the reads of windows were like.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) reads: usize,
    pub(crate) slow: usize,
    pub(crate) over_deadline: usize,
    /// Wrong answers, and those that were none.
    pub(crate) wrong: usize,
    pub(crate) unreachable: usize,
    pub(crate) longest: Duration,
}

impl Reads {
    /// Those of these windows.
    pub(crate) fn tally<'w>(&self, windows: impl IntoIterator<Item = &'w Window>) -> Tally {
        let mut tally = Tally::default();
        for Window { from, to } in windows {
            for read in self.all.iter().filter(|read| (*from..*to).contains(&read.from)) {
                tally.add(read);
            }
        }
        tally
    }
}

impl Tally {
    fn add(&mut self, read: &Read) {
        self.reads += 1;
        self.slow += usize::from(read.took > SLOW);
        self.over_deadline += usize::from(read.took > DEADLINE);
        self.wrong += usize::from(read.answer == Answer::Wrong);
        self.unreachable += usize::from(read.answer == Answer::Unreachable);
        self.longest = self.longest.max(read.took);
    }

    /// How much of all is slow.
    pub(crate) fn slow_share(&self) -> f64 {
        self.slow as f64 / self.reads.max(1) as f64
    }

    /// "3 of 20000 reads over 5 ms (share 0.00015), longest 7.1 ms".
    pub(crate) fn note(&self) -> String {
        let Self { reads, slow, longest, .. } = self;
        format!(
            "{slow} of {reads} reads over {} ms (share {:.5}), longest {:.1} ms",
            SLOW.as_millis(),
            self.slow_share(),
            longest.as_secs_f64() * 1000.0
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_belongs_to_the_window_in_which_it_began() {
        let from = Instant::now();
        let ms = Duration::from_millis;
        let read = |at, took, answer| Read { from: from + ms(at), took: ms(took), answer };
        let all = vec![
            read(0, 1, Answer::Right),
            read(99, 60, Answer::Unreachable),
            read(100, 70, Answer::Right),
            read(150, 6, Answer::Wrong),
            read(200, 1, Answer::Right),
        ];
        let window = Window { from: from + ms(100), to: from + ms(200) };
        let tally = Reads { all }.tally([&window]);
        let longest = ms(70);
        let wanted =
            Tally { reads: 2, slow: 2, over_deadline: 1, wrong: 1, unreachable: 0, longest };
        assert_eq!(tally, wanted);
        assert_eq!(tally.slow_share(), 1.0);
    }

    #[test]
    fn no_reads_are_no_share() {
        assert_eq!(Tally::default().slow_share(), 0.0);
    }

    #[test]
    fn one_pick_in_four_is_of_what_is_not_there() {
        let names = Names::new(10).unwrap();
        let absent = (0..400).filter(|random| names.pick(*random).1.is_none()).count();
        assert_eq!(absent, 100);
    }
}
