//! Panics end here. A panic that left an `extern "C"` function would abort Asterisk and with it
//! every call, so each callback from C runs in [`guard()`].
//!
//! The message and the place are logged by a panic hook of our own. The default hook asks for
//! the thread's name, which is a `thread_local` with a destructor: touched on a thread of
//! Asterisk's it would keep the module mapped until that thread ends, long after `module unload`.
//! The hook belongs to this module's own copy of the standard library; others are not affected.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::{fmt, mem};

use crate::log::{self, Level};
use crate::text;

/// Runs `body`; if it panics, logs an error and returns `fallback`.
///
/// `callback` names what was running, for the log. Any thread may call.
pub fn guard<T>(callback: impl fmt::Display, fallback: T, body: impl FnOnce() -> T) -> T {
    // What `body` captured may be half changed after a panic. Modules get it as `&Self` and
    // guard their own state with locks, which remember a panic by being poisoned.
    match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(payload) => {
            // Dropping what was thrown runs foreign code, which may panic again.
            if let Err(again) = panic::catch_unwind(AssertUnwindSafe(|| drop(payload))) {
                mem::forget(again);
            }
            crate::error!("{callback}: a panic was caught; Asterisk goes on");
            fallback
        }
    }
}

/// Makes panics of this module go to Asterisk's log. Called when the module is loaded.
pub(crate) fn install_hook() {
    panic::set_hook(Box::new(report));
}

/// Gives the hook back. Called when the module is unloaded, with none of its code running.
pub(crate) fn remove_hook() {
    drop(panic::take_hook());
}

/// Must not panic itself and must not touch a `thread_local` with a destructor.
fn report(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("(no message)");
    let (file, line) =
        info.location().map_or(("?", 0), |location| (location.file(), location.line()));
    let file = text::lossy(file);
    log::write_text(Level::Error, &file, line, c"panic", &format!("panicked: {message}"));
}
