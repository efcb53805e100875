//! Ctrl-C and its kin become an [`Event`], so that servers can be ended in order.

use std::mem::MaybeUninit;
use std::sync::mpsc::Sender;
use std::thread;

use crate::Event;

/// What a shell makes of a program that Ctrl-C ended.
pub(crate) const EXIT_CODE: u8 = 130;

const WATCHED: [libc::c_int; 3] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP];

/// Sends [`Event::Stopped`] when one of these signals comes. Call it before any thread begins; programs that are
/// started get the signals as ever, for the standard library unblocks them.
pub(crate) fn watch(happens: Sender<Event>) {
    let set = watched();
    // SAFETY: pthread_sigmask(3) reads the set, which is whole, and wants no old one.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) };
    thread::spawn(move || {
        let mut signal = 0;
        // SAFETY: sigwait(3) reads the set and writes to `signal`, both live.
        while unsafe { libc::sigwait(&raw const set, &raw mut signal) } == 0 {
            if happens.send(Event::Stopped).is_err() {
                return;
            }
        }
    });
}

fn watched() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset(3) makes a whole set of what the pointer leads to.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in WATCHED {
        // SAFETY: the set was made above; the signal is a real one.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: made above.
    unsafe { set.assume_init() }
}
