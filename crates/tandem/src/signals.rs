//! Signals that end a program which runs on: held back, and waited for.

use std::mem::MaybeUninit;
use std::ptr;

/// SIGTERM, SIGINT and SIGHUP, held back for this thread and those that it starts.
pub(crate) struct Signals(libc::sigset_t);

impl Signals {
    pub(crate) fn block() -> Self {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset(3) makes an empty set of it, whatever it was.
        unsafe { libc::sigemptyset(set.as_mut_ptr()) };
        // SAFETY: it was made just now.
        let mut set = unsafe { set.assume_init() };
        for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP] {
            // SAFETY: a set, and a signal that there is.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: a set; nobody asks for the old one.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, ptr::null_mut()) };
        Self(set)
    }

    /// Waits for one of them.
    pub(crate) fn wait(&self) {
        let mut signal = 0;
        // SAFETY: sigwait(3): the set's signals are blocked in all threads; `signal` lives.
        while unsafe { libc::sigwait(&raw const self.0, &raw mut signal) } != 0 {}
    }
}
