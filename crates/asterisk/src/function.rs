//! Dialplan functions: `${NAME(args)}` reads, `Set(NAME(args)=value)` writes.
//!
//! A function may be called with no channel (AMI's Getvar, `dialplan eval`, ARI), so it may run
//! on any thread of Asterisk's. A module reference is held around it (pbx_functions.c,
//! `ast_func_read`, `ast_func_read2`, `ast_func_write`: `__ast_module_user_add`). Help comes from
//! the XML documentation.
//!
//! Asterisk has two ways to read: into a buffer of fixed length (`${}` in the dialplan: 4095
//! bytes) and into a string that grows. Both are served from one [`Function::read`]. Only the
//! first has a limit that Asterisk would cut at without a word, so both ways are registered, and
//! a value that is too long for its reader is an error in the log and reads as empty.

use std::error::Error;
use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::{fmt, mem};

use asterisk_sys as sys;

use crate::channel::Channel;
use crate::guard::guard;
use crate::module::Instance;
use crate::registry::Registration;
use crate::text;

/// A dialplan function.
pub trait Function: 'static {
    /// The module it belongs to.
    type Module: Instance;
    /// Its name in the dialplan: capital letters; Asterisk minds case.
    const NAME: &'static CStr;
    /// What it can do.
    const ACCESS: Access;
    /// Uses that would let whoever may only look do more; Asterisk then refuses them to AMI and
    /// ARI, unless `live_dangerously` is set.
    const DANGEROUS: Option<Access> = None;

    /// Reads. `channel` is `None` where there is none; `args` is what stands between the
    /// parentheses, empty if nothing does. What is not [`set`](Value::set) reads as empty.
    ///
    /// # Errors
    ///
    /// [`FunctionError`], which is logged with the place in the dialplan; the reader gets an
    /// empty string.
    fn read(
        module: &Self::Module,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &mut Value<'_>,
    ) -> Result<(), FunctionError> {
        let _ = (module, channel, args, value);
        Err(FunctionError::WriteOnly)
    }

    /// Writes `value`.
    ///
    /// # Errors
    ///
    /// [`FunctionError`], which is logged with the place in the dialplan.
    fn write(
        module: &Self::Module,
        channel: Option<&mut Channel<'_>>,
        args: &CStr,
        value: &CStr,
    ) -> Result<(), FunctionError> {
        let _ = (module, channel, args, value);
        Err(FunctionError::ReadOnly)
    }
}

/// What can be done with a function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Only read.
    Read,
    /// Only written.
    Write,
    /// Both.
    ReadWrite,
}

impl Access {
    const fn reads(self) -> bool {
        matches!(self, Self::Read | Self::ReadWrite)
    }

    const fn writes(self) -> bool {
        matches!(self, Self::Write | Self::ReadWrite)
    }
}

/// Why a function did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FunctionError {
    /// The value does not fit its reader.
    #[error(transparent)]
    Value(#[from] ValueError),
    /// The dialplan wrote to a function that can only be read.
    #[error("it cannot be written to")]
    ReadOnly,
    /// The dialplan read a function that can only be written to.
    #[error("it cannot be read")]
    WriteOnly,
    /// Anything else.
    #[error("{0}")]
    Failed(Box<dyn Error + Send + Sync>),
}

impl FunctionError {
    /// Fails for `reason`, which is an error or a message.
    pub fn failed(reason: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(reason.into())
    }
}

/// Why a value cannot be handed to its reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// The reader's buffer is shorter than the value.
    #[error("the value has {len} bytes, and its reader has room for {limit}: nothing is returned")]
    TooLong {
        /// Length of the value in bytes.
        len: usize,
        /// What the reader has room for, in bytes.
        limit: usize,
    },
    /// The dialplan's strings end at a NUL.
    #[error("the value contains a NUL byte: nothing is returned")]
    ContainsNul,
    /// Asterisk is out of memory.
    #[error("no memory for the value")]
    NoMemory,
}

/// Where a function's value goes.
pub struct Value<'a>(Sink<'a>);

enum Sink<'a> {
    /// A buffer of the reader's, at least one byte long.
    Fixed(&'a mut [mem::MaybeUninit<u8>]),
    /// A string that grows, up to a limit.
    Growing { string: *mut *mut sys::ast_str, limit: Option<usize> },
}

impl Value<'_> {
    /// How many bytes the reader has room for; `None` if there is no limit.
    pub fn limit(&self) -> Option<usize> {
        match &self.0 {
            Sink::Fixed(buffer) => Some(buffer.len() - 1),
            Sink::Growing { limit, .. } => *limit,
        }
    }

    /// Hands the whole value to the reader, in place of what was set before.
    ///
    /// # Errors
    ///
    /// [`ValueError`]; then the reader has what it had before.
    pub fn set(&mut self, value: &[u8]) -> Result<(), ValueError> {
        if value.contains(&0) {
            return Err(ValueError::ContainsNul);
        }
        if let Some(limit) = self.limit()
            && value.len() > limit
        {
            return Err(ValueError::TooLong { len: value.len(), limit });
        }
        match &mut self.0 {
            Sink::Fixed(buffer) => {
                for (to, from) in buffer.iter_mut().zip(value.iter().chain([&0])) {
                    to.write(*from);
                }
                Ok(())
            }
            Sink::Growing { string, .. } => set_string(*string, value),
        }
    }
}

/// Puts `value` into an `ast_str`, which Asterisk may move to make room.
fn set_string(string: *mut *mut sys::ast_str, value: &[u8]) -> Result<(), ValueError> {
    let terminated = text::lossy(value);
    // SAFETY: `string` is the live in-and-out pointer that Asterisk called us with.
    let before = unsafe { *string };
    // SAFETY: a live string. `ast_str_reset` is an inline function that sets `used` to nothing;
    // the helper counts up from there.
    unsafe { (*before).used = 0 };
    // SAFETY: as above; a limit of 0 lets the string grow; the source is NUL-terminated and
    // as long as we say.
    unsafe { sys::__ast_str_helper2(string, 0, terminated.as_ptr(), value.len(), 0, 0) };
    // SAFETY: as above; the helper may have moved the string.
    let after = unsafe { *string };
    // SAFETY: a live string. The helper stops short when there is no memory.
    let used = unsafe { (*after).used };
    if used == value.len() { Ok(()) } else { Err(ValueError::NoMemory) }
}

pub(crate) struct Registered<F> {
    /// Asterisk links this very structure into its list: it stays where it is while registered.
    raw: *mut sys::ast_custom_function,
    function: PhantomData<fn(F)>,
}

// SAFETY: the structure is owned; between register and unregister only Asterisk uses it, under
// its own lock.
unsafe impl<F> Send for Registered<F> {}

impl<F: Function> Registered<F> {
    pub(crate) fn new() -> Self {
        // SAFETY: zero is a valid value of every field: pointers, options of functions, flags.
        let mut raw: Box<sys::ast_custom_function> = Box::new(unsafe { mem::zeroed() });
        raw.name = F::NAME.as_ptr();
        if F::ACCESS.reads() {
            raw.read = Some(read::<F>);
            raw.read2 = Some(read2::<F>);
        }
        if F::ACCESS.writes() {
            raw.write = Some(write::<F>);
        }
        Self { raw: Box::into_raw(raw), function: PhantomData }
    }
}

impl<F> Drop for Registered<F> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; not registered any more, or never was.
        drop(unsafe { Box::from_raw(self.raw) });
    }
}

impl<F: Function> Registration for Registered<F> {
    fn kind(&self) -> &'static str {
        "function"
    }

    fn name(&self) -> &'static CStr {
        F::NAME
    }

    fn register(&mut self, module: *mut sys::ast_module) -> bool {
        let escalation = match F::DANGEROUS {
            None => sys::AST_CFE_NONE,
            Some(Access::Read) => sys::AST_CFE_READ,
            Some(Access::Write) => sys::AST_CFE_WRITE,
            Some(Access::ReadWrite) => sys::AST_CFE_BOTH,
        };
        // SAFETY: the structure lives until it has been unregistered; so do name and callbacks,
        // which are the module's own.
        let status =
            unsafe { sys::__ast_custom_function_register_escalating(self.raw, escalation, module) };
        status == 0
    }

    fn unregister(&mut self) -> bool {
        // SAFETY: the structure that was registered. Fails only if it is not in the list.
        unsafe { sys::ast_custom_function_unregister(self.raw) };
        true
    }
}

/// Reads into a buffer of fixed length.
unsafe extern "C" fn read<F: Function>(
    channel: *mut sys::ast_channel,
    _function: *const c_char,
    args: *mut c_char,
    buffer: *mut c_char,
    len: usize,
) -> c_int {
    if buffer.is_null() || len == 0 {
        return -1;
    }
    // SAFETY: Asterisk's buffer of `len` bytes, ours until we return; it may be uninitialised.
    let buffer: &mut [mem::MaybeUninit<u8>] =
        unsafe { std::slice::from_raw_parts_mut(buffer.cast(), len) };
    buffer[0].write(0);
    // SAFETY: channel and arguments are as `call` wants them: pbx_functions.c passes them on.
    unsafe { call_read::<F>(channel, args, &mut Value(Sink::Fixed(buffer))) }
}

/// Reads into a string that grows: `max` is 0 for no limit, below that for what is there.
unsafe extern "C" fn read2<F: Function>(
    channel: *mut sys::ast_channel,
    _function: *const c_char,
    args: *mut c_char,
    string: *mut *mut sys::ast_str,
    max: isize,
) -> c_int {
    // SAFETY: a live in-and-out pointer of the caller's.
    let current = unsafe { *string };
    let limit = match max {
        0 => None,
        // SAFETY: a live string of the caller's.
        ..0 => Some(unsafe { (*current).len }.saturating_sub(1)),
        1.. => Some(max.unsigned_abs() - 1),
    };
    // SAFETY: as in `read`.
    unsafe { call_read::<F>(channel, args, &mut Value(Sink::Growing { string, limit })) }
}

/// # Safety
///
/// `channel` is null, or alive and ours to use until we return; `args` is null or
/// NUL-terminated.
unsafe fn call_read<F: Function>(
    channel: *mut sys::ast_channel,
    args: *mut c_char,
    value: &mut Value<'_>,
) -> c_int {
    // SAFETY: passed on.
    unsafe {
        call::<F>(channel, args, |module, channel, args| {
            let result = F::read(module, channel, args, value);
            if result.is_err() {
                // Empty, and it fits everywhere.
                let _ = value.set(b"");
            }
            result
        })
    }
}

unsafe extern "C" fn write<F: Function>(
    channel: *mut sys::ast_channel,
    _function: *const c_char,
    args: *mut c_char,
    value: *const c_char,
) -> c_int {
    // SAFETY: NUL-terminated or null, and alive until we return.
    let value = unsafe { text::borrow(value) };
    // SAFETY: as in `read`.
    unsafe {
        call::<F>(channel, args, |module, channel, args| F::write(module, channel, args, value))
    }
}

/// # Safety
///
/// As [`call_read`].
unsafe fn call<F: Function>(
    channel: *mut sys::ast_channel,
    args: *mut c_char,
    body: impl FnOnce(&F::Module, Option<&mut Channel<'_>>, &CStr) -> Result<(), FunctionError>,
) -> c_int {
    let name = F::NAME.to_string_lossy();
    guard(format_args!("{name}()"), -1, || {
        let Some(lent) = F::Module::slot().enter() else {
            crate::warning!("{name}() is gone: its module is being unloaded");
            return -1;
        };
        // SAFETY: the caller promises it.
        let mut channel = unsafe { Channel::lent(channel) };
        // SAFETY: the caller promises it.
        let args = unsafe { text::borrow(args) };
        match body(lent.state, channel.as_mut(), args) {
            Ok(()) => 0,
            Err(error) => {
                let args = args.to_string_lossy();
                crate::warning!("{name}({args}) {}: {error}", At(channel.as_ref()));
                -1
            }
        }
    })
}

/// `at 100@phones:2`, or `with no channel`.
struct At<'a, 'c>(Option<&'a Channel<'c>>);

impl fmt::Display for At<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Asterisk passes a dummy channel, which is nowhere, where variables need one.
        match self.0.map(Channel::spot) {
            Some(spot) if !spot.context.is_empty() => write!(f, "at {spot}"),
            _ => f.write_str("with no channel"),
        }
    }
}
