//! Dialplan applications.
//!
//! An application runs on the channel's own thread, which does nothing else meanwhile; Asterisk
//! holds a module reference around it (pbx_app.c, `pbx_exec`: `__ast_module_user_add`). Help
//! comes from the XML documentation (`<astdatadir>/documentation/thirdparty/`), which must be in
//! place before the module is loaded.

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::num::NonZero;
use std::ptr;

use asterisk_sys as sys;

use crate::channel::Channel;
use crate::guard::guard;
use crate::module::Instance;
use crate::registry::{InDialplan, Registration};
use crate::text;

/// The longest argument that can reach an application. A longer one was cut before anybody could
/// see it (pbx.c: `EXT_DATA_SIZE` less the NUL), so one of this length may be a part only.
pub const MAX_ARGUMENT_BYTES: usize = 8191;

/// A dialplan application.
pub trait Application: 'static {
    /// The module it belongs to.
    type Module: Instance;
    /// Its name in the dialplan; Asterisk ignores case.
    const NAME: &'static CStr;

    /// Runs it with what stands between the parentheses, variables replaced; empty if nothing
    /// does. After a panic, or while the module is being unloaded, the call goes on.
    fn run(module: &Self::Module, channel: &mut Channel<'_>, data: &CStr) -> Then;
}

/// What the dialplan does after an application or a switch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Then {
    /// Go on with the next priority.
    Continue,
    /// Hang the channel up. Only if the user asked for it.
    HangUp,
    /// Go to the context's extension `e`; hang up if it has none (pbx.c, `__ast_pbx_run`).
    Fail,
    /// As an application that was [run](execute) says: a digit to jump out with, or
    /// `AST_PBX_INCOMPLETE`.
    Pass(NonZero<c_int>),
}

impl Then {
    pub(crate) fn raw(self) -> c_int {
        match self {
            Self::Continue => 0,
            Self::HangUp => -1,
            Self::Fail => sys::AST_PBX_ERROR as c_int,
            Self::Pass(code) => code.get(),
        }
    }
}

/// There is no application of this name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("Asterisk has no such application")]
pub struct NoSuchApplication;

/// Whether there is an application of this name. Any thread may ask: it takes the lock of their list for a moment.
pub fn is_registered(name: &CStr) -> bool {
    // SAFETY: a NUL-terminated name; Asterisk locks its list. What it finds is not looked into.
    let found = unsafe { sys::pbx_findapp(name.as_ptr()) };
    !found.is_null()
}

/// Runs another application on the channel with these arguments, as they are: no `${...}` in them is
/// replaced. Returns when it is done, which for `Dial` is the end of the call.
///
/// Only on the channel's own thread, which is where applications and switches run.
///
/// # Errors
///
/// [`NoSuchApplication`], say because its module is not loaded.
pub fn execute(
    channel: &mut Channel<'_>,
    application: &CStr,
    data: &CStr,
) -> Result<Then, NoSuchApplication> {
    // SAFETY: a NUL-terminated name; Asterisk locks its list. What it finds stays as long as its
    // module does, which a soft unload cannot end between here and `pbx_exec`'s own reference but
    // in a moment that Asterisk leaves open to all who call it.
    let found = unsafe { sys::pbx_findapp(application.as_ptr()) };
    if found.is_null() {
        return Err(NoSuchApplication);
    }
    // SAFETY: a live channel on its own thread, unlocked; the application was just found; the data
    // are NUL-terminated and outlive the call.
    let status = unsafe { sys::pbx_exec(channel.as_ptr(), found, data.as_ptr()) };
    Ok(match NonZero::new(status) {
        None => Then::Continue,
        Some(code) if code.get() == Then::HangUp.raw() => Then::HangUp,
        Some(code) => Then::Pass(code),
    })
}

pub(crate) struct Registered<A>(PhantomData<fn(A)>);

impl<A: Application> Registered<A> {
    pub(crate) fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A: Application> Registration for Registered<A> {
    fn kind(&self) -> &'static str {
        "application"
    }

    fn name(&self) -> &'static CStr {
        A::NAME
    }

    fn in_dialplan(&self) -> InDialplan<'_> {
        InDialplan::Application
    }

    fn register(&mut self, module: *mut sys::ast_module) -> bool {
        // SAFETY: the name is copied; no synopsis and no description means XML help; the handle
        // is this module's own. The callback stays mapped until it has been unregistered.
        let status = unsafe {
            sys::ast_register_application2(
                A::NAME.as_ptr(),
                Some(called::<A>),
                ptr::null(),
                ptr::null(),
                module.cast(),
            )
        };
        status == 0
    }

    fn unregister(&mut self) -> bool {
        // SAFETY: a NUL-terminated name. It fails only if there is no such application, say
        // because somebody else has removed it; then there is nothing left to do.
        unsafe { sys::ast_unregister_application(A::NAME.as_ptr()) };
        true
    }
}

unsafe extern "C" fn called<A: Application>(
    channel: *mut sys::ast_channel,
    data: *const c_char,
) -> c_int {
    let name = A::NAME.to_string_lossy();
    guard(format_args!("{name}()"), Then::Continue, || {
        let Some(lent) = A::Module::slot().enter() else {
            crate::warning!("{name}() is gone: its module is being unloaded");
            return Then::Continue;
        };
        // SAFETY: pbx_app.c calls with a channel that it keeps alive until we return, on the
        // thread that owns the channel.
        let Some(mut channel) = (unsafe { Channel::lent(channel) }) else { return Then::Continue };
        // SAFETY: a NUL-terminated string, or null, that lives as long as this call.
        let data = unsafe { text::borrow(data) };
        A::run(lent.state, &mut channel, data)
    })
    .raw()
}
