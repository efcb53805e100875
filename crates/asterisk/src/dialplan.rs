//! Who is on the way to an application or a switch of ours, so that it can be unregistered. Private.
//!
//! pbx.c (`pbx_extension_helper`) looks an application up under the dialplan's lock, lets go of
//! the lock, replaces variables, logs, publishes a snapshot (`pbx_exec`), and only then counts
//! itself as the module's user. `ast_unregister_application` frees the structure that it holds
//! meanwhile. Measured: two crashes in some 400 unloads while calls ran, in `pbx_exec`, in freed
//! memory. The code is the same for modules in C.
//!
//! But from before the look-up on the channel stands at a priority that calls the application.
//! So the application is unregistered while the dialplan is locked, which keeps others from
//! looking it up, and no channel stands there. A switch is called sooner after its look-up, but
//! with nothing that counts as a use; there it is priority 1 of an extension that it takes.
//!
//! What is not seen, so that a window of some instructions to some microseconds stays open:
//!
//! - who looks an application up without the dialplan: AGI's EXEC, a call that is originated to
//!   an application (AMI, call files), Lua's `app.NAME`;
//! - extensions that are not in Asterisk's memory: what others' switches say (realtime, DUNDi,
//!   Lua); and `overrideswitch` in extensions.conf, where it names a switch of ours;
//! - an `Exec`, `TryExec` or `ExecIf` that has the application's name from a variable, and what
//!   other applications call in their own ways;
//! - a channel that comes in the moment between listing channels and locking the dialplan, if in
//!   the same moment another one goes: only their number is compared.

use std::ffi::{CStr, CString};
use std::thread;
use std::time::{Duration, Instant};

use asterisk_sys as sys;

use crate::ao2::Ref;
use crate::registry::{InDialplan, Registration};
use crate::switch::{self, Takes};
use crate::text;

/// How long to wait for a moment at which nobody is on the way.
const QUIET_WAIT: Duration = Duration::from_secs(2);

/// From when on channels that were there at every look count as standing there: the outgoing half
/// of a Local channel does so for its whole life.
const SETTLED: Duration = Duration::from_secs(1);

/// How long to let channels go on before looking again.
const PAUSE: Duration = Duration::from_millis(2);

/// Applications that run the one which their data names (app_exec.c).
const INDIRECT: [&[u8]; 3] = [b"Exec", b"TryExec", b"ExecIf"];

/// Holds the dialplan's global lock: no channel goes on to its next priority meanwhile.
pub(crate) struct Contexts {
    /// Here so that they are given back after the lock: ours may be a channel's last reference,
    /// and its end runs code of others that take locks. (Fields are dropped after `drop`.)
    channels: Vec<Ref<sys::ast_channel>>,
}

impl Contexts {
    fn lock(channels: Vec<Ref<sys::ast_channel>>) -> Self {
        // SAFETY: a recursive mutex (pbx.c, `conlock`), so that unregistering an application,
        // which locks it too, is fine. The loader's lock, which we hold, comes before it there
        // as well. It cannot fail. The type is not `Send`, so this thread unlocks it.
        unsafe { sys::ast_wrlock_contexts() };
        Self { channels }
    }

    /// Whether there are as many channels now as were listed.
    fn channels_are_all(&self) -> bool {
        // SAFETY: no arguments; reads a number, and with the default storage of channels takes
        // no lock (channelstorage_ao2_legacy.c, `active_channels`).
        usize::try_from(unsafe { sys::ast_active_channels() }) == Ok(self.channels.len())
    }
}

impl Drop for Contexts {
    fn drop(&mut self) {
        // SAFETY: locked by us, on this thread.
        unsafe { sys::ast_unlock_contexts() };
    }
}

/// Locks the dialplan at a moment when no channel is on the way to one of `wanted`.
///
/// `None` if there is no such moment soon. A channel that stands there all the time does not
/// count: it is not on the way, but, say, in a bridge.
pub(crate) fn lock_when_quiet(wanted: &[&dyn Registration]) -> Option<Contexts> {
    if wanted.is_empty() {
        return Some(Contexts::lock(Vec::new()));
    }
    let began = Instant::now();
    let mut always: Option<Vec<usize>> = None;
    loop {
        // Before the dialplan's lock, for this takes the lock of the list of channels. Who holds
        // that may wait for a channel, whose holder may wait for the dialplan.
        let channels = channels();
        let contexts = Contexts::lock(channels);
        let waited = began.elapsed();
        if contexts.channels_are_all() {
            let there = channels_at(&contexts, &places(&contexts, wanted));
            if there.is_empty() {
                return Some(contexts);
            }
            let standing = match always.take() {
                None => there.clone(),
                Some(before) => before.into_iter().filter(|id| there.contains(id)).collect(),
            };
            if waited >= SETTLED && standing.len() == there.len() {
                return Some(contexts);
            }
            always = Some(standing);
        }
        if waited >= QUIET_WAIT {
            return None;
        }
        drop(contexts);
        thread::sleep(PAUSE);
    }
}

/// All channels. Call it without the dialplan's lock.
fn channels() -> Vec<Ref<sys::ast_channel>> {
    let mut found = Vec::new();
    // SAFETY: makes an iterator over all channels, or returns null for lack of memory.
    let iterator = unsafe { sys::ast_channel_iterator_all_new() };
    if iterator.is_null() {
        return found;
    }
    loop {
        // SAFETY: a live iterator; what it returns is null at the end.
        let channel = unsafe { sys::ast_channel_iterator_next(iterator) };
        // SAFETY: a channel with a reference for us (channel.h).
        let Some(channel) = (unsafe { Ref::take(channel) }) else { break };
        found.push(channel);
    }
    // SAFETY: destroyed once.
    unsafe { sys::ast_channel_iterator_destroy(iterator) };
    found
}

/// The addresses of the channels that stand at one of `places`, or may.
fn channels_at(contexts: &Contexts, places: &[Place<'_>]) -> Vec<usize> {
    if places.is_empty() {
        return Vec::new();
    }
    let there = contexts.channels.iter().filter(|channel| stands_at(channel, places));
    there.map(|channel| channel.as_ptr().addr()).collect()
}

/// Drivers lock the dialplan with a channel locked, so here a channel is only tried to lock; one
/// that is busy may be anywhere.
fn stands_at(channel: &Ref<sys::ast_channel>, places: &[Place<'_>]) -> bool {
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
    places.iter().any(|place| place.matches(&extension, priority))
}

/// Where a channel stands that calls something of ours, in whatever context: it may be included.
enum Place<'a> {
    /// A priority that calls an application.
    Priority {
        /// The extension's name, which may be a pattern.
        pattern: CString,
        priority: i32,
    },
    /// A context's `switch =>`.
    Switch {
        switch: &'a dyn Takes,
        /// What is after the `/`; `None` if a variable in it decides.
        data: Option<CString>,
    },
}

impl Place<'_> {
    fn matches(&self, extension: &CStr, priority: i32) -> bool {
        match self {
            Self::Priority { pattern, priority: at } => {
                // SAFETY: two NUL-terminated strings, which are only read.
                *at == priority
                    && unsafe { sys::ast_extension_match(pattern.as_ptr(), extension.as_ptr()) }
                        != 0
            }
            Self::Switch { switch, data } => {
                priority == switch::PRIORITY
                    && data.as_ref().is_none_or(|data| switch.takes(data, extension))
            }
        }
    }
}

/// Where the dialplan calls one of `wanted`.
fn places<'a>(_contexts: &Contexts, wanted: &[&'a dyn Registration]) -> Vec<Place<'a>> {
    let mut found = Vec::new();
    let mut context = std::ptr::null_mut();
    loop {
        // SAFETY: the dialplan is locked, so contexts stay; null begins a walk and ends it.
        context = unsafe { sys::ast_walk_contexts(context) };
        if context.is_null() {
            return found;
        }
        // SAFETY: a live context. Its lock comes after the dialplan's (pbx.c, `dialplan show`).
        // Who changes extensions holds it, but not always the dialplan's
        // (res_pjsip_config_wizard.c).
        if unsafe { sys::ast_rdlock_context(context) } != 0 {
            continue;
        }
        // SAFETY: both locks are held.
        unsafe { priorities_in(context, wanted, &mut found) };
        // SAFETY: as above.
        unsafe { switches_in(context, wanted, &mut found) };
        // SAFETY: locked above, by this thread; the context has stayed.
        unsafe { sys::ast_unlock_context(context) };
    }
}

/// # Safety
///
/// `context` is alive and locked, so its extensions and their priorities stay as they are.
unsafe fn priorities_in(
    context: *mut sys::ast_context,
    wanted: &[&dyn Registration],
    found: &mut Vec<Place<'_>>,
) {
    let is_application =
        |w: &&&dyn Registration| matches!(w.in_dialplan(), InDialplan::Application);
    let applications: Vec<&CStr> = wanted.iter().filter(is_application).map(|w| w.name()).collect();
    let mut root = std::ptr::null_mut();
    loop {
        // SAFETY: the caller promises it; null begins a walk and ends it.
        root = unsafe { sys::ast_walk_context_extensions(context, root) };
        if root.is_null() {
            return;
        }
        let mut step = std::ptr::null_mut();
        loop {
            // SAFETY: as above, of the extension that the walk is at.
            step = unsafe { sys::ast_walk_extension_priorities(root, step) };
            if step.is_null() {
                break;
            }
            // SAFETY: a live priority.
            if !unsafe { calls(step, &applications) } {
                continue;
            }
            // SAFETY: as above.
            let pattern = unsafe { sys::ast_get_extension_name(root) };
            // SAFETY: NUL-terminated or null; copied while the context is locked.
            let pattern = unsafe { text::borrow(pattern) }.to_owned();
            // SAFETY: as above.
            let priority = unsafe { sys::ast_get_extension_priority(step) };
            found.push(Place::Priority { pattern, priority });
        }
    }
}

/// # Safety
///
/// `context` is alive and locked, so its switches stay as they are.
unsafe fn switches_in<'a>(
    context: *mut sys::ast_context,
    wanted: &[&'a dyn Registration],
    found: &mut Vec<Place<'a>>,
) {
    // SAFETY: the caller promises it.
    for index in 0..unsafe { sys::ast_context_switches_count(context) } {
        // SAFETY: as above; the index is below the count.
        let line = unsafe { sys::ast_context_switches_get(context, index) };
        // SAFETY: a live line.
        let name = unsafe { sys::ast_get_switch_name(line) };
        // SAFETY: NUL-terminated or null, and stays.
        let name = unsafe { text::borrow(name) }.to_bytes();
        let of_this_name = wanted.iter().filter(|w| w.name().to_bytes().eq_ignore_ascii_case(name));
        for registration in of_this_name {
            let InDialplan::Switch(switch) = registration.in_dialplan() else { continue };
            // SAFETY: a live line.
            let varies = unsafe { sys::ast_get_switch_eval(line) } != 0;
            // SAFETY: as above.
            let data = unsafe { sys::ast_get_switch_data(line) };
            // SAFETY: NUL-terminated or null; copied while the context is locked.
            let data = unsafe { text::borrow(data) }.to_owned();
            found.push(Place::Switch { switch, data: (!varies).then_some(data) });
        }
    }
}

/// Whether a priority calls one of `applications`.
///
/// # Safety
///
/// `step` stays as it is.
unsafe fn calls(step: *mut sys::ast_exten, applications: &[&CStr]) -> bool {
    // SAFETY: the caller promises it.
    let application = unsafe { sys::ast_get_extension_app(step) };
    // SAFETY: NUL-terminated or null, and stays.
    let application = unsafe { text::borrow(application) }.to_bytes();
    let is = |name: &[u8]| name.eq_ignore_ascii_case(application);
    if applications.iter().any(|ours| is(ours.to_bytes())) {
        return true;
    }
    if !INDIRECT.into_iter().any(is) {
        return false;
    }
    // SAFETY: the caller promises it.
    let data = unsafe { sys::ast_get_extension_app_data(step) };
    // SAFETY: what an application is called with: NUL-terminated or null, and stays.
    let data = unsafe { text::borrow(data.cast_const().cast()) }.to_bytes();
    applications.iter().any(|ours| names(data, ours.to_bytes()))
}

/// Whether a word of `data` is that name; the application may be called without parentheses.
fn names(data: &[u8], application: &[u8]) -> bool {
    data.split(|&byte| !byte.is_ascii_alphanumeric() && byte != b'_')
        .any(|word| word.eq_ignore_ascii_case(application))
}
