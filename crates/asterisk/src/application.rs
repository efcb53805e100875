//! Dialplan applications.
//!
//! An application runs on the channel's own thread, which does nothing else meanwhile; Asterisk
//! holds a module reference around it (pbx_app.c, `pbx_exec`: `__ast_module_user_add`). Help
//! comes from the XML documentation (`<astdatadir>/documentation/thirdparty/`), which must be in
//! place before the module is loaded.

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::ptr;

use asterisk_sys as sys;

use crate::channel::Channel;
use crate::guard::guard;
use crate::module::Instance;
use crate::registry::Registration;
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

/// What the dialplan does after an application.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Then {
    /// Go on with the next priority.
    Continue,
    /// Hang the channel up. Only if the user asked for it.
    HangUp,
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

    fn in_dialplan(&self) -> bool {
        true
    }

    fn register(&mut self, module: *mut sys::ast_module) -> bool {
        // SAFETY: the name is copied; no synopsis and no description means XML help; the handle
        // is this module's own. The callback stays mapped until it has been unregistered.
        let status = unsafe {
            sys::ast_register_application2(
                A::NAME.as_ptr(),
                Some(execute::<A>),
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

unsafe extern "C" fn execute<A: Application>(
    channel: *mut sys::ast_channel,
    data: *const c_char,
) -> c_int {
    let name = A::NAME.to_string_lossy();
    let then = guard(format_args!("{name}()"), Then::Continue, || {
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
    });
    match then {
        Then::Continue => 0,
        Then::HangUp => -1,
    }
}
