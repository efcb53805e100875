//! Threads of a module's own.
//!
//! Made through Asterisk's `ast_pthread_create_stack`, so `core show threads` names them, and
//! not through `std::thread::spawn`: that touches a `thread_local` with a destructor on the
//! thread that calls it, which would keep the module mapped after its unload if that thread is
//! Asterisk's. On a thread from here anything goes, `std::thread::current()` too, for it is
//! joined before the module is unmapped.

use std::ffi::{CStr, c_void};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{io, mem, ptr};

use asterisk_sys as sys;

use crate::guard::guard;

/// Threads get the stack that threads of the standard library have; Asterisk's own have 496 KiB.
const STACK_BYTES: usize = 2 * 1024 * 1024;

/// Linux cuts thread names here, and refuses longer ones.
const MAX_NAME_BYTES: usize = 15;

/// A running thread. Dropping it tells it to stop and waits until it has.
///
/// Do not drop it on itself, and not while you hold a lock that it may be waiting for.
pub struct Thread {
    id: libc::pthread_t,
    stop: Stop,
}

/// How a thread learns that it shall end.
#[derive(Clone)]
pub struct Stop(Arc<Signal>);

struct Signal {
    stopped: Mutex<bool>,
    changed: Condvar,
}

struct Start {
    name: &'static CStr,
    stop: Stop,
    body: Box<dyn FnOnce(&Stop) + Send>,
}

impl Thread {
    /// Starts a thread. `name` is for `top -H` (15 bytes are shown) and `core show threads`.
    ///
    /// `body` must return soon after [`Stop::is_set`]; a panic in it is logged and ends it.
    /// Any thread may call.
    ///
    /// # Errors
    ///
    /// What `pthread_create` says, mostly that there are too many threads.
    pub fn spawn(
        name: &'static CStr,
        body: impl FnOnce(&Stop) + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Stop(Arc::new(Signal { stopped: Mutex::new(false), changed: Condvar::new() }));
        let start = Box::new(Start { name, stop: stop.clone(), body: Box::new(body) });
        let start = Box::into_raw(start);
        let mut id: libc::pthread_t = 0;

        // SAFETY: `id` is a live out-pointer; `run` takes what it is given, once; the strings
        // are copied. Threads inherit this one's signal mask, as all of Asterisk's do.
        let status = unsafe {
            sys::ast_pthread_create_stack(
                &raw mut id,
                ptr::null_mut(),
                Some(run),
                start.cast(),
                STACK_BYTES,
                c"thread.rs".as_ptr(),
                c"spawn".as_ptr(),
                0,
                name.as_ptr(),
            )
        };
        if status != 0 {
            // SAFETY: made by `Box::into_raw`; no thread was made to take it.
            drop(unsafe { Box::from_raw(start) });
            return Err(io::Error::from_raw_os_error(status));
        }
        Ok(Self { id, stop })
    }

    /// Tells the thread to stop, and does not wait.
    pub fn stop(&self) {
        self.stop.set();
    }

    /// Tells it to stop, waits for that long at most, and then leaves it; says whether it has ended.
    ///
    /// Only where the process ends: a thread that was left must not run on when its module is unmapped.
    pub fn stop_or_leave(self, within: Duration) -> bool {
        let this = mem::ManuallyDrop::new(self);
        this.stop.set();
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: a live out-pointer. With a clock that there is it cannot fail.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut now) };
        let seconds = libc::time_t::try_from(within.as_secs()).unwrap_or(libc::time_t::MAX);
        let until = libc::timespec { tv_sec: now.tv_sec.saturating_add(seconds), ..now };
        // SAFETY: the thread was made joinable and is joined here only, for it is not dropped.
        let status =
            unsafe { libc::pthread_timedjoin_np(this.id, ptr::null_mut(), &raw const until) };
        status == 0
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.stop.set();
        // SAFETY: the thread was made joinable and is joined here only. From itself this fails.
        let status = unsafe { libc::pthread_join(self.id, ptr::null_mut()) };
        if status != 0 {
            let error = io::Error::from_raw_os_error(status);
            crate::error!("a thread of this module's could not be joined: {error}");
        }
    }
}

/// Takes from the calling thread, which must be one of the module's own, the real-time scheduling
/// that threads inherit where Asterisk has it (`asterisk -p`): for work that nobody on the phone
/// waits for.
///
/// It is not made nicer than others beyond that: it holds locks of Asterisk's now and then, and who
/// waits for them needs it to go on.
pub fn give_up_real_time() {
    // SAFETY: takes a number; about the calling thread alone, as sched_setscheduler(2) is with 0.
    // With 0 it cannot fail (asterisk.c, `ast_set_priority`).
    unsafe { sys::ast_set_priority(0) };
}

impl Stop {
    /// Whether the thread shall end.
    pub fn is_set(&self) -> bool {
        *self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the thread shall end, at most for `timeout`; says whether it shall.
    pub fn wait(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut stopped = self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        while !*stopped {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.0.changed.wait_timeout(stopped, left);
            (stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        true
    }

    fn set(&self) {
        *self.0.stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.changed.notify_all();
    }
}

unsafe extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` made it with `Box::into_raw` and gave it to this thread alone.
    let start: Box<Start> = unsafe { Box::from_raw(start.cast()) };
    let Start { name, stop, body } = *start;
    let shown = name.to_string_lossy();
    guard(format_args!("thread {shown}"), (), || {
        set_name(name);
        body(&stop);
    });
    ptr::null_mut()
}

fn set_name(name: &CStr) {
    let mut short = [0_u8; MAX_NAME_BYTES + 1];
    for (to, from) in short.iter_mut().take(MAX_NAME_BYTES).zip(name.to_bytes()) {
        *to = *from;
    }
    // SAFETY: cannot fail.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: a live thread; the name is NUL-terminated and short enough.
    unsafe { libc::pthread_setname_np(this, short.as_ptr().cast()) };
}

const _: () = assert!(mem::size_of::<libc::pthread_t>() == mem::size_of::<sys::pthread_t>());
