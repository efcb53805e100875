//! How other threads get the I/O thread's attention.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes a server's I/O thread. Any thread may; it never waits.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    event: OwnedFd,
    /// Not to write again while nobody has looked.
    is_woken: AtomicBool,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self(Arc::new(Inner { event, is_woken: AtomicBool::new(false) })))
    }

    /// Has the service ticked, and streams asked.
    pub fn wake(&self) {
        if !self.0.is_woken.swap(true, Ordering::SeqCst) {
            // It fails only if it is at its maximum, and then it is woken.
            let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }

    /// Whoever wakes from here on is heard in the next turn.
    pub(super) fn reset(&self) {
        let _ = rustix::io::read(&self.0.event, &mut [0_u8; 8]);
        self.0.is_woken.store(false, Ordering::SeqCst);
    }
}
