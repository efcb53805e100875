//! Who is on the way to an application of ours, so that it can be unregistered. Private.
//!
//! pbx.c (`pbx_extension_helper`) looks an application up under the dialplan's lock, lets go of
//! the lock, replaces variables, logs, publishes a snapshot (`pbx_exec`), and only then counts
//! itself as the module's user. `ast_unregister_application` frees the structure that it holds
//! meanwhile. Measured: two crashes in some 400 unloads while calls ran, in `pbx_exec`, in freed
//! memory. The code is the same for modules in C.
//!
//! But from before the look-up on the channel stands at a priority that calls the application.
//! So the application is unregistered while the dialplan is locked, which keeps others from
//! looking it up, and no channel stands there. What is not seen: an application that another one
//! calls (`Exec`, AGI's EXEC); there the way is a few instructions long.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::thread;
use std::time::{Duration, Instant};

use asterisk_sys as sys;

use crate::ao2::Ref;
use crate::text;

/// How long to wait for a moment at which nobody is on the way.
const QUIET_WAIT: Duration = Duration::from_secs(2);

/// How long to let channels go on before looking again.
const PAUSE: Duration = Duration::from_millis(2);

/// Holds the dialplan's global lock: no channel goes on to its next priority meanwhile.
pub(crate) struct Contexts(PhantomData<*const ()>);

impl Contexts {
    fn lock() -> Self {
        // SAFETY: a recursive mutex (pbx.c, `conlock`), so that unregistering an application,
        // which locks it too, is fine. The loader's lock, which we hold, comes before it there
        // as well. It cannot fail.
        unsafe { sys::ast_wrlock_contexts() };
        Self(PhantomData)
    }
}

impl Drop for Contexts {
    fn drop(&mut self) {
        // SAFETY: locked by us, on this thread.
        unsafe { sys::ast_unlock_contexts() };
    }
}

/// Locks the dialplan at a moment when no channel is on the way to one of `applications`.
///
/// `None` if there is no such moment soon. A channel that stands there all the time does not
/// count: it is not on the way, but, say, in a bridge.
pub(crate) fn lock_when_quiet(applications: &[&CStr]) -> Option<Contexts> {
    let deadline = Instant::now() + QUIET_WAIT;
    let mut always: Option<Vec<usize>> = None;
    loop {
        let contexts = Contexts::lock();
        if applications.is_empty() {
            return Some(contexts);
        }
        let there = channels_at(&contexts, applications);
        if there.is_empty() {
            return Some(contexts);
        }
        let standing = match always.take() {
            None => there.clone(),
            Some(before) => before.into_iter().filter(|id| there.contains(id)).collect(),
        };
        if Instant::now() >= deadline {
            return (standing.len() == there.len()).then_some(contexts);
        }
        always = Some(standing);
        drop(contexts);
        thread::sleep(PAUSE);
    }
}

/// The addresses of the channels that stand at a priority which calls one of `applications`.
fn channels_at(contexts: &Contexts, applications: &[&CStr]) -> Vec<usize> {
    // SAFETY: makes an iterator over all channels, or returns null for lack of memory.
    let iterator = unsafe { sys::ast_channel_iterator_all_new() };
    let mut found = Vec::new();
    if iterator.is_null() {
        return found;
    }
    loop {
        // SAFETY: a live iterator; what it returns is null at the end.
        let channel = unsafe { sys::ast_channel_iterator_next(iterator) };
        // SAFETY: a channel with a reference for us (channel.h).
        let Some(channel) = (unsafe { Ref::take(channel) }) else { break };
        if stands_at(contexts, &channel, applications) {
            found.push(channel.as_ptr().addr());
        }
    }
    // SAFETY: destroyed once.
    unsafe { sys::ast_channel_iterator_destroy(iterator) };
    found
}

/// Drivers lock the dialplan with a channel locked, so here a channel is only tried to lock; one
/// that is busy may be anywhere.
fn stands_at(contexts: &Contexts, channel: &Ref<sys::ast_channel>, applications: &[&CStr]) -> bool {
    let raw = channel.as_ptr();
    let (file, none) = (c"dialplan.rs".as_ptr(), c"".as_ptr());
    // SAFETY: a channel is an ao2 object with a mutex, and we have a reference.
    let busy = unsafe {
        sys::__ao2_trylock(raw.cast(), sys::AO2_LOCK_REQ_MUTEX, file, none, 0, none) != 0
    };
    if busy {
        return true;
    }
    // SAFETY: locked, so the string stays until it is copied; so does the number.
    let extension = unsafe { sys::ast_channel_exten(raw) };
    // SAFETY: as above.
    let extension = unsafe { text::borrow(extension) }.to_owned();
    // SAFETY: as above.
    let priority = unsafe { sys::ast_channel_priority(raw) };
    // SAFETY: locked above, by this thread.
    unsafe { sys::__ao2_unlock(raw.cast(), file, none, 0, none) };
    calls(contexts, &extension, priority, applications)
}

/// Whether in any context an extension of that name calls one of `applications` at that
/// priority. Any context, for it may be included.
fn calls(_contexts: &Contexts, extension: &CStr, priority: i32, applications: &[&CStr]) -> bool {
    // For all of this: the dialplan is locked, so contexts, extensions and priorities
    // stay; null begins a walk and ends it.
    let mut context = std::ptr::null_mut();
    loop {
        // SAFETY: see above.
        context = unsafe { sys::ast_walk_contexts(context) };
        if context.is_null() {
            return false;
        }
        let mut root = std::ptr::null_mut();
        loop {
            // SAFETY: see above.
            root = unsafe { sys::ast_walk_context_extensions(context, root) };
            if root.is_null() {
                break;
            }
            // SAFETY: see above.
            let pattern = unsafe { sys::ast_get_extension_name(root) };
            // SAFETY: two NUL-terminated strings.
            let matches = unsafe { sys::ast_extension_match(pattern, extension.as_ptr()) } != 0;
            if matches && priority_calls(root, priority, applications) {
                return true;
            }
        }
    }
}

fn priority_calls(root: *mut sys::ast_exten, priority: i32, applications: &[&CStr]) -> bool {
    let mut step = std::ptr::null_mut();
    loop {
        // SAFETY: as in `calls`, which holds the lock.
        step = unsafe { sys::ast_walk_extension_priorities(root, step) };
        if step.is_null() {
            return false;
        }
        // SAFETY: as above.
        if unsafe { sys::ast_get_extension_priority(step) } != priority {
            continue;
        }
        // SAFETY: as above.
        let application = unsafe { sys::ast_get_extension_app(step) };
        // SAFETY: NUL-terminated or null, and stays.
        let application = unsafe { text::borrow(application) }.to_bytes();
        return applications.iter().any(|ours| ours.to_bytes().eq_ignore_ascii_case(application));
    }
}
