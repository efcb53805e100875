//! A universal variable that is looked at again and again, in the background, for as long as the story wants.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tandem_lab::{Asterisk, wait_until};

use crate::lookup::{Answer, Lookup};

/// No watch is longer than this.
const LONGEST: Duration = Duration::from_secs(300);
/// Nothing that is shorter than this could be missed by a watch that holds.
pub(crate) const GAP_MAX: Duration = Duration::from_millis(500);

/// A watch that goes on until it is ended. When it is dropped it ends, too, with no opinion.
pub(crate) struct Watch {
    begun: Instant,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Seen>>>,
}

/// What a watch saw.
#[derive(Debug)]
pub(crate) struct Seen {
    /// How long it looked.
    pub(crate) took: Duration,
    /// How often.
    pub(crate) looks: u32,
    /// The longest time between two looks.
    pub(crate) longest_gap: Duration,
    /// How often nobody could tell.
    pub(crate) unreachable: u32,
}

impl Watch {
    /// Looks at `name` through `server`: it must be one of `allowed` each time.
    pub(crate) fn begin(server: &Asterisk, name: &str, allowed: &[Answer]) -> Result<Self> {
        let lookup = Lookup::through(server)?;
        let (name, allowed, log) = (name.to_owned(), allowed.to_vec(), server.log());
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = thread::spawn(move || look(lookup, &name, &allowed, log, &until));
        Ok(Self { begun: Instant::now(), ended, thread: Some(thread) })
    }

    /// How long it has been going on.
    pub(crate) fn took(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether it has ended by itself: it saw what was not allowed.
    pub(crate) fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// If an answer was not allowed, or one that was not might have been missed.
    pub(crate) fn end(mut self) -> Result<Seen> {
        self.ended.store(true, Ordering::Relaxed);
        let thread = self.thread.take().map(JoinHandle::join);
        let Some(Ok(seen)) = thread else { anyhow::bail!("the watch panicked") };
        let seen = seen?;
        ensure!(seen.longest_gap < GAP_MAX, "the watch had a gap of {:?}", seen.longest_gap);
        Ok(seen)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn look(
    mut lookup: Lookup,
    name: &str,
    allowed: &[Answer],
    log: PathBuf,
    ended: &AtomicBool,
) -> Result<Seen> {
    let begun = Instant::now();
    let mut last = begun;
    let mut seen =
        Seen { took: Duration::ZERO, looks: 0, longest_gap: Duration::ZERO, unreachable: 0 };
    let mut wrong = None;
    wait_until("the watch is ended", LONGEST, &log, || {
        match lookup.get(name) {
            Ok(answer) => {
                seen.unreachable += u32::from(answer == Answer::Unreachable);
                if !allowed.contains(&answer) {
                    wrong = Some(anyhow::anyhow!(
                        "{name} was {answer:?} {:.1} s after the watch began",
                        begun.elapsed().as_secs_f64()
                    ));
                }
            }
            Err(error) => wrong = Some(error),
        }
        seen.longest_gap = seen.longest_gap.max(last.elapsed());
        last = Instant::now();
        seen.looks += 1;
        Ok(wrong.is_some() || ended.load(Ordering::Relaxed))
    })?;
    seen.took = begun.elapsed();
    wrong.map_or(Ok(seen), Err)
}
