//! Dialplan switches: `switch => NAME/data` in a context asks a module for the extensions that
//! the context does not have itself.
//!
//! pbx.c (`pbx_find_extension`) calls the match callbacks with the dialplan's global lock held: no
//! call on the server goes on to its next priority meanwhile. So [`Switch::matches`] does no I/O
//! and takes no lock that anybody holds over I/O. There may be no channel; if there is one, it is
//! in autoservice. `run` (`exec` in C) is called after the lock is given back, on the channel's own
//! thread, and may take its time.
//!
//! A switch of this crate has priority 1 only. The priorities after it are the dialplan's: pbx.c
//! looks for each priority anew, in the context before its switches.
//!
//! How it is unregistered under calls. Asterisk keeps no reference for a switch. It finds ours and
//! calls the match callbacks in one go under the dialplan's lock, so whoever unregisters it under
//! that lock, as `registry.rs` does, finds nobody inside them and nobody comes after. What is left
//! is `exec`: between giving the lock back and our first instruction pbx.c reads a pointer out of
//! our structure and jumps to it, with nothing to show for it. But the channel stands at priority 1
//! of an extension that the switch takes, so `dialplan.rs` waits for a moment when no channel does;
//! the structure and the code stay for a while longer (`GRACE` in `registry.rs`). Inside, `exec`
//! counts as the module's user, as an application does, so that a soft unload is refused.

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::mem;

use asterisk_sys as sys;

use crate::application::Then;
use crate::channel::Channel;
use crate::guard::guard;
use crate::module::Instance;
use crate::registry::{InDialplan, Registration};
use crate::text;

/// The one priority that a switch has.
pub(crate) const PRIORITY: c_int = 1;

/// A dialplan switch.
pub trait Switch: 'static {
    /// The module it belongs to.
    type Module: Instance;
    /// What stands after `switch =>`, before the `/`; Asterisk ignores case.
    const NAME: &'static CStr;
    /// One line, for `core show switches`.
    const DESCRIPTION: &'static CStr;

    /// Whether it takes this extension. Holds up the whole dialplan: see above. `data` is what
    /// stands after the `/`, empty if nothing does. After a panic, or while the module is being
    /// unloaded, it does not.
    fn matches(module: &Self::Module, data: &CStr, extension: &CStr, how: Match) -> bool;

    /// Does what priority 1 of the extension does. After a panic, or while the module is being
    /// unloaded, the channel goes to the context's extension `e` or is hung up.
    fn run(module: &Self::Module, channel: &mut Channel<'_>, call: &Call) -> Then;
}

/// What a switch is run for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// What stands after the `/`, as in [`Switch::matches`].
    pub data: CString,
    /// The extension that was asked for.
    pub extension: CString,
    /// The caller's number, if it is known.
    pub caller_id: Option<CString>,
}

/// How an extension is looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Match {
    /// As it is.
    Exactly,
    /// As it is, or with more digits to come.
    MaybeWithMore,
    /// Only with more digits to come.
    OnlyWithMore,
}

/// Whether one of `patterns`, as they stand in `extensions.conf`, is for this extension: `_2XX`,
/// `_9.`, `500`. Any thread may call.
pub fn any_matches<'p>(
    patterns: impl IntoIterator<Item = &'p CStr>,
    extension: &CStr,
    how: Match,
) -> bool {
    let mut found = false;
    for pattern in patterns {
        match matches(pattern, extension, how) {
            0 => {}
            // A pattern that ends in `!` is never worth waiting for (pbx.c, `pbx_find_extension`).
            EARLY if how == Match::OnlyWithMore => return false,
            _ => found = true,
        }
    }
    found
}

/// What pbx.c's `_extension_match_core` returns for a pattern that ends in `!`.
const EARLY: c_int = 2;

fn matches(pattern: &CStr, extension: &CStr, how: Match) -> c_int {
    let (pattern, extension) = (pattern.as_ptr(), extension.as_ptr());
    let more = match how {
        // SAFETY: two NUL-terminated strings, which are only read.
        Match::Exactly => return unsafe { sys::ast_extension_match(pattern, extension) },
        Match::MaybeWithMore => sys::E_CANMATCH,
        Match::OnlyWithMore => sys::E_MATCHMORE,
    };
    // SAFETY: as above; the number is one of the two that it takes.
    unsafe { sys::ast_extension_close(pattern, extension, more as c_int) }
}

/// What of a switch `dialplan.rs` needs to find out who is on the way to it.
pub(crate) trait Takes {
    /// Whether priority 1 of this extension leads to `run`.
    fn takes(&self, data: &CStr, extension: &CStr) -> bool;
}

pub(crate) struct Registered<S> {
    /// Asterisk links this very structure into its list: it stays where it is while registered.
    raw: *mut sys::ast_switch,
    switch: PhantomData<fn(S)>,
}

// SAFETY: the structure is owned; between register and unregister only Asterisk uses it, under
// its own lock.
unsafe impl<S> Send for Registered<S> {}

impl<S: Switch> Registered<S> {
    pub(crate) fn new() -> Self {
        // SAFETY: zero is a valid value of every field: pointers, and options of functions.
        let mut raw: Box<sys::ast_switch> = Box::new(unsafe { mem::zeroed() });
        raw.name = S::NAME.as_ptr();
        raw.description = S::DESCRIPTION.as_ptr();
        raw.exists = Some(exists::<S>);
        raw.canmatch = Some(can_match::<S>);
        raw.matchmore = Some(match_more::<S>);
        raw.exec = Some(execute::<S>);
        Self { raw: Box::into_raw(raw), switch: PhantomData }
    }
}

impl<S> Drop for Registered<S> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; not registered any more, or never was.
        drop(unsafe { Box::from_raw(self.raw) });
    }
}

impl<S: Switch> Takes for Registered<S> {
    fn takes(&self, data: &CStr, extension: &CStr) -> bool {
        asked::<S>(data, extension, PRIORITY, Match::Exactly)
    }
}

impl<S: Switch> Registration for Registered<S> {
    fn kind(&self) -> &'static str {
        "switch"
    }

    fn name(&self) -> &'static CStr {
        S::NAME
    }

    fn in_dialplan(&self) -> InDialplan<'_> {
        InDialplan::Switch(self)
    }

    fn register(&mut self, _module: *mut sys::ast_module) -> bool {
        // SAFETY: the structure lives until it has been unregistered, and a while longer; so do
        // names and callbacks, which are the module's own. Asterisk does not ask for the module.
        unsafe { sys::ast_register_switch(self.raw) == 0 }
    }

    fn unregister(&mut self) -> bool {
        // SAFETY: the structure that was registered; it is not touched any more once this returns,
        // but by who has just looked it up (see above).
        unsafe { sys::ast_unregister_switch(self.raw) };
        true
    }
}

fn asked<S: Switch>(data: &CStr, extension: &CStr, priority: c_int, how: Match) -> bool {
    // 0 is what a label is looked for by, -1 a hint.
    if priority != PRIORITY {
        return false;
    }
    let name = S::NAME.to_string_lossy();
    guard(format_args!("switch {name}"), false, || {
        let lent = S::Module::slot().enter();
        lent.is_some_and(|lent| S::matches(lent.state, data, extension, how))
    })
}

/// A match callback's arguments as Rust has them.
///
/// # Safety
///
/// Both are NUL-terminated, or null (`data` is, without a `/`, where pbx.c overrides switches),
/// and stay until the callback returns: the dialplan is locked.
unsafe fn asked_by_c<S: Switch>(
    extension: *const c_char,
    priority: c_int,
    data: *const c_char,
    how: Match,
) -> c_int {
    // SAFETY: the caller promises it.
    let extension = unsafe { text::borrow(extension) };
    // SAFETY: the caller promises it.
    let data = unsafe { text::borrow(data) };
    asked::<S>(data, extension, priority, how).into()
}

unsafe extern "C" fn exists<S: Switch>(
    _channel: *mut sys::ast_channel,
    _context: *const c_char,
    extension: *const c_char,
    priority: c_int,
    _caller_id: *const c_char,
    data: *const c_char,
) -> c_int {
    // SAFETY: pbx.c's own strings, under the dialplan's lock.
    unsafe { asked_by_c::<S>(extension, priority, data, Match::Exactly) }
}

unsafe extern "C" fn can_match<S: Switch>(
    _channel: *mut sys::ast_channel,
    _context: *const c_char,
    extension: *const c_char,
    priority: c_int,
    _caller_id: *const c_char,
    data: *const c_char,
) -> c_int {
    // SAFETY: as in `exists`.
    unsafe { asked_by_c::<S>(extension, priority, data, Match::MaybeWithMore) }
}

unsafe extern "C" fn match_more<S: Switch>(
    _channel: *mut sys::ast_channel,
    _context: *const c_char,
    extension: *const c_char,
    priority: c_int,
    _caller_id: *const c_char,
    data: *const c_char,
) -> c_int {
    // SAFETY: as in `exists`.
    unsafe { asked_by_c::<S>(extension, priority, data, Match::OnlyWithMore) }
}

/// The dialplan is not locked any more. So the strings are copied first thing: `data` belongs to
/// the dialplan, which a reload may free from now on (that pbx.c hands it over so is the same for
/// all switches), the others to the channel, which a transfer may change.
unsafe extern "C" fn execute<S: Switch>(
    channel: *mut sys::ast_channel,
    _context: *const c_char,
    extension: *const c_char,
    _priority: c_int,
    caller_id: *const c_char,
    data: *const c_char,
) -> c_int {
    let name = S::NAME.to_string_lossy();
    guard(format_args!("switch {name}"), Then::Fail, || {
        // SAFETY: NUL-terminated or null; see above.
        let data = unsafe { text::borrow(data) }.to_owned();
        // SAFETY: as above.
        let extension = unsafe { text::borrow(extension) }.to_owned();
        // SAFETY: as above; it is the channel's too.
        let number = unsafe { text::borrow(caller_id) }.to_owned();
        let caller_id = (!caller_id.is_null()).then_some(number);
        let call = Call { data, extension, caller_id };
        let Some(lent) = S::Module::slot().enter() else {
            crate::warning!("switch {name} is gone: its module is being unloaded");
            return Then::Fail;
        };
        let _user = User::of::<S::Module>(channel);
        // SAFETY: pbx.c calls with a channel that it keeps alive until we return, on the thread
        // that owns the channel.
        let Some(mut channel) = (unsafe { Channel::lent(channel) }) else { return Then::Fail };
        S::run(lent.state, &mut channel, &call)
    })
    .raw()
}

/// Counts a channel as a user of the module, as `pbx_exec` does around an application: a soft
/// unload is refused, a forced one asks the channel to hang up.
struct User {
    module: *mut sys::ast_module,
    raw: *mut sys::ast_module_user,
}

impl User {
    fn of<M: Instance>(channel: *mut sys::ast_channel) -> Self {
        let module = M::handle();
        // SAFETY: the loader's handle of this module, which is loaded, for we are inside of its
        // gate; the channel lives longer than this. Null for lack of memory.
        let raw = unsafe { sys::__ast_module_user_add(module, channel) };
        Self { module, raw }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: added to the same module, and removed once; null is ignored.
        unsafe { sys::__ast_module_user_remove(self.module, self.raw) };
    }
}
