//! A few threads for what may wait, and the queue before them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::service::{Again, Job};
use super::waker::Waker;

/// Whose answer a worker makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Asker {
    pub(super) slot: u32,
    pub(super) turn: u32,
    /// Which of the connection's requests.
    pub(super) request: u32,
    pub(super) attempt: u32,
}

/// Something to do.
pub(super) enum Task {
    Answer(Asker, Job),
    Background(Box<dyn FnOnce() + Send>),
}

/// What waits for workers, and what they have done.
pub(super) struct Queue {
    limit: usize,
    inner: Mutex<Inner>,
    changed: Condvar,
    waker: Waker,
}

#[derive(Default)]
struct Inner {
    tasks: VecDeque<Task>,
    /// Nothing came of a job that panicked.
    done: Vec<(Asker, Option<Again>)>,
    is_stopped: bool,
}

impl Queue {
    pub(super) fn new(limit: usize, waker: Waker) -> Self {
        Self { limit, inner: Mutex::default(), changed: Condvar::new(), waker }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts it behind the others, or gives it back if too many wait.
    pub(super) fn push(&self, task: Task) -> Result<(), Task> {
        let mut inner = self.lock();
        if inner.tasks.len() >= self.limit || inner.is_stopped {
            return Err(task);
        }
        inner.tasks.push_back(task);
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    /// What has been done since.
    pub(super) fn take_done(&self) -> Vec<(Asker, Option<Again>)> {
        std::mem::take(&mut self.lock().done)
    }

    /// What waits is dropped, workers end when they have done what they are at.
    pub(super) fn stop(&self) {
        let mut inner = self.lock();
        inner.is_stopped = true;
        let dropped = std::mem::take(&mut inner.tasks);
        drop(inner);
        self.changed.notify_all();
        drop(dropped);
        self.waker.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }

    /// A worker's life.
    pub(super) fn work(&self) {
        while let Some(task) = self.next() {
            match task {
                Task::Answer(asker, job) => {
                    let again = catch_unwind(AssertUnwindSafe(job)).ok();
                    self.lock().done.push((asker, again));
                    self.waker.wake();
                }
                Task::Background(job) => {
                    let _ = catch_unwind(AssertUnwindSafe(job));
                }
            }
        }
    }

    fn next(&self) -> Option<Task> {
        let mut inner = self.lock();
        loop {
            if inner.is_stopped {
                return None;
            }
            if let Some(task) = inner.tasks.pop_front() {
                return Some(task);
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
