//! A channel, as far as applications and functions need it: who it is, where in the dialplan it
//! is, and its variables. All text is bytes; Asterisk promises no encoding.
//!
//! A [`Channel`] is lent by Asterisk for one callback and cannot be kept. Names and places are
//! copied under the channel's lock, for a transfer may change them meanwhile.

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::{fmt, mem};

use asterisk_sys as sys;

use crate::text;

/// A channel that Asterisk has lent to a callback.
///
/// It stays on the callback's thread.
pub struct Channel<'a> {
    raw: NonNull<sys::ast_channel>,
    lent: PhantomData<&'a mut sys::ast_channel>,
}

/// A variable cannot have this name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VariableError {
    /// A variable needs a name.
    #[error("the variable's name is empty")]
    NoName,
    /// Asterisk or the function that the name calls refused it; the log says why.
    #[error("Asterisk did not set the variable")]
    Refused,
}

impl<'a> Channel<'a> {
    /// # Safety
    ///
    /// `raw` is null, or a channel that stays alive for `'a`, on the thread that may use it.
    pub(crate) unsafe fn lent(raw: *mut sys::ast_channel) -> Option<Self> {
        Some(Self { raw: NonNull::new(raw)?, lent: PhantomData })
    }

    /// The channel's name, as in `core show channels`.
    pub fn name(&self) -> CString {
        // SAFETY: reads a string of the channel's; `copied` holds its lock.
        self.copied(|channel| unsafe { sys::ast_channel_name(channel) })
    }

    /// The channel's `UNIQUEID`.
    pub fn unique_id(&self) -> CString {
        // SAFETY: as above.
        self.copied(|channel| unsafe { sys::ast_channel_uniqueid(channel) })
    }

    /// Where in the dialplan the channel is: for messages that name the line to look at.
    pub fn spot(&self) -> Spot {
        // SAFETY: as above.
        let context = self.copied(|channel| unsafe { sys::ast_channel_context(channel) });
        // SAFETY: as above.
        let extension = self.copied(|channel| unsafe { sys::ast_channel_exten(channel) });
        let priority = {
            let _lock = Lock::of(self.raw);
            // SAFETY: the channel is alive, and locked.
            unsafe { sys::ast_channel_priority(self.raw.as_ptr()) }
        };
        Spot { context, extension, priority }
    }

    /// The value of a variable of the channel's or of a global one; also of those that Asterisk
    /// makes up, such as `EXTEN`. `None` if there is none.
    pub fn variable(&self, name: &CStr) -> Option<CString> {
        retrieve_variable(self.raw.as_ptr(), name)
    }

    /// Sets a variable. A name with `_` or `__` in front is inherited by channels that this one
    /// makes; a name that ends in `)` calls a function, as in `CALLERID(name)`.
    ///
    /// # Errors
    ///
    /// [`VariableError`].
    pub fn set_variable(&mut self, name: &CStr, value: &CStr) -> Result<(), VariableError> {
        set_variable(self.raw.as_ptr(), name, value.as_ptr())
    }

    /// Reads a dialplan function, as `PJSIP_DIAL_CONTACTS(200)`; `None` if there is no such
    /// function or it refuses, which it logs.
    pub fn function(&mut self, call: &CStr) -> Option<CString> {
        let name = call.to_bytes().split(|&byte| byte == b'(').next()?;
        let name = CString::new(name).ok()?;
        // SAFETY: a NUL-terminated name; Asterisk locks its list.
        if unsafe { sys::ast_custom_function_find(name.as_ptr()) }.is_null() {
            return None;
        }
        let mut buffer = DynamicString::new()?;
        // SAFETY: a live channel on its own thread, unlocked; the call is copied before it is
        // parsed; the buffer is an `ast_str` on the heap, which the callee may move; a limit of 0
        // lets it grow.
        let status =
            unsafe { sys::ast_func_read2(self.as_ptr(), call.as_ptr(), &raw mut buffer.raw, 0) };
        (status == 0).then(|| buffer.text())
    }

    /// Whether the dialplan has this place for the channel: an extension, a pattern, or what a
    /// switch says, for calls from `caller_id` (`None`: not known). Asterisk locks the dialplan
    /// for it, and switches may take their time.
    pub fn finds(&mut self, spot: &Spot, caller_id: Option<&CStr>) -> bool {
        // SAFETY: a live channel, unlocked; NUL-terminated strings, which are only read; the
        // caller id may be null.
        let found = unsafe {
            sys::ast_exists_extension(
                self.as_ptr(),
                spot.context.as_ptr(),
                spot.extension.as_ptr(),
                spot.priority,
                caller_id.map_or(ptr::null(), CStr::as_ptr),
            )
        };
        found != 0
    }

    /// Says why the call will have ended: what the caller's side is told.
    pub fn set_hangup_cause(&mut self, cause: Cause) {
        let _lock = Lock::of(self.raw);
        // SAFETY: the channel is alive, and locked.
        unsafe { sys::ast_channel_hangupcause_set(self.as_ptr(), cause.raw()) };
    }

    pub(crate) fn as_ptr(&self) -> *mut sys::ast_channel {
        self.raw.as_ptr()
    }

    /// Deletes a variable of the channel's, if there is one.
    ///
    /// # Errors
    ///
    /// [`VariableError`].
    pub fn delete_variable(&mut self, name: &CStr) -> Result<(), VariableError> {
        set_variable(self.raw.as_ptr(), name, ptr::null())
    }

    /// Copies a string that belongs to the channel.
    fn copied(&self, read: impl FnOnce(*const sys::ast_channel) -> *const c_char) -> CString {
        let _lock = Lock::of(self.raw);
        let string = read(self.raw.as_ptr());
        // SAFETY: the channel is locked, so its strings stay as they are until we have copied.
        unsafe { text::borrow(string) }.to_owned()
    }
}

/// Why a call ended (causes.h, after ITU-T Q.850).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Cause {
    /// 34: nothing can be done at the moment. SIP: 503.
    Congestion,
    /// 20: the phone is not registered. SIP: 480.
    SubscriberAbsent,
}

impl Cause {
    fn raw(self) -> c_int {
        let cause = match self {
            Self::Congestion => sys::AST_CAUSE_NORMAL_CIRCUIT_CONGESTION,
            Self::SubscriberAbsent => sys::AST_CAUSE_SUBSCRIBER_ABSENT,
        };
        cause as c_int
    }
}

/// Sets a global variable. Any thread may call.
///
/// # Errors
///
/// [`VariableError`].
pub fn set_global_variable(name: &CStr, value: &CStr) -> Result<(), VariableError> {
    set_variable(ptr::null_mut(), name, value.as_ptr())
}

/// The value of a global variable. Any thread may call.
pub fn global_variable(name: &CStr) -> Option<CString> {
    retrieve_variable(ptr::null_mut(), name)
}

/// A place in the dialplan: `extension@context:priority`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Spot {
    /// `[context]` in extensions.conf.
    pub context: CString,
    /// Extension.
    pub extension: CString,
    /// Priority, from 1.
    pub priority: i32,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (context, extension) =
            (self.context.to_string_lossy(), self.extension.to_string_lossy());
        write!(f, "{extension}@{context}:{}", self.priority)
    }
}

fn set_variable(
    channel: *mut sys::ast_channel,
    name: &CStr,
    value: *const c_char,
) -> Result<(), VariableError> {
    // Asterisk looks at the name's last byte, so there must be one.
    if name.is_empty() {
        return Err(VariableError::NoName);
    }
    // SAFETY: the channel is null (global variables) or alive; Asterisk locks it. Both strings
    // are NUL-terminated and copied; a null value deletes the variable.
    let status = unsafe { sys::pbx_builtin_setvar_helper(channel, name.as_ptr(), value) };
    if status == 0 { Ok(()) } else { Err(VariableError::Refused) }
}

/// `pbx_builtin_getvar_helper` returns a pointer into the variable, which another thread may
/// delete; this copies under the locks.
fn retrieve_variable(channel: *mut sys::ast_channel, name: &CStr) -> Option<CString> {
    let mut buffer = DynamicString::new()?;
    // SAFETY: the channel is null or alive and gets locked by the callee; the buffer is an
    // `ast_str` on the heap, which the callee may move; the name is copied before it is parsed.
    let value = unsafe {
        sys::ast_str_retrieve_variable(
            &raw mut buffer.raw,
            0,
            channel,
            ptr::null_mut(),
            name.as_ptr(),
        )
    };
    if value.is_null() {
        return None;
    }
    // SAFETY: a NUL-terminated string inside the buffer, which is ours and lives on.
    Some(unsafe { text::borrow(value) }.to_owned())
}

/// An `ast_str` on the heap: what `ast_str_create`, an inline function, makes.
struct DynamicString {
    raw: *mut sys::ast_str,
}

impl DynamicString {
    /// Room for a short value; Asterisk makes more when needed.
    const START_BYTES: usize = 64;

    fn new() -> Option<Self> {
        let size = mem::size_of::<sys::ast_str>() + Self::START_BYTES;
        // SAFETY: allocates zeroed memory, or returns null. The strings are for MALLOC_DEBUG.
        let raw = unsafe { sys::__ast_calloc(1, size, c"channel.rs".as_ptr(), 0, c"".as_ptr()) };
        let raw: *mut sys::ast_str = raw.cast();
        if raw.is_null() {
            return None;
        }
        // SAFETY: the allocation is large enough, and zero is a valid value for every field.
        let string = unsafe { &mut *raw };
        string.len = Self::START_BYTES;
        string.ts = DS_MALLOC;
        Some(Self { raw })
    }

    fn text(&self) -> CString {
        // SAFETY: a live string of ours.
        let start = unsafe { &raw const (*self.raw).str_ };
        // SAFETY: what Asterisk keeps in it is NUL-terminated.
        unsafe { text::borrow(start.cast()) }.to_owned()
    }
}

/// `DS_MALLOC` in strings.h: this string lives on the heap.
const DS_MALLOC: *mut sys::ast_threadstorage = ptr::without_provenance_mut(1);

impl Drop for DynamicString {
    fn drop(&mut self) {
        // SAFETY: allocated by Asterisk's allocator, and freed once.
        unsafe { sys::__ast_free(self.raw.cast(), c"channel.rs".as_ptr(), 0, c"".as_ptr()) };
    }
}

/// Holds a channel's lock, as `ast_channel_lock` does.
struct Lock(NonNull<sys::ast_channel>);

impl Lock {
    fn of(channel: NonNull<sys::ast_channel>) -> Self {
        // SAFETY: a channel is an ao2 object with a recursive mutex, and alive. The strings are
        // for DEBUG_THREADS.
        unsafe {
            sys::__ao2_lock(
                channel.as_ptr().cast(),
                sys::AO2_LOCK_REQ_MUTEX,
                c"channel.rs".as_ptr(),
                c"".as_ptr(),
                0,
                c"channel".as_ptr(),
            );
        }
        Self(channel)
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: locked by us, on this thread: `Lock` is not `Send`.
        unsafe {
            sys::__ao2_unlock(
                self.0.as_ptr().cast(),
                c"channel.rs".as_ptr(),
                c"".as_ptr(),
                0,
                c"channel".as_ptr(),
            );
        }
    }
}
