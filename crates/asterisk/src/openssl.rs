//! The functions of the OpenSSL that Asterisk is linked with, found in the process. Private.
//!
//! They are looked for by their names (`dlsym`), so that a module links no cryptography of its
//! own, loads into an Asterisk that was built without OpenSSL, and says so when TLS is wanted. All of
//! them have the same names and arguments in OpenSSL 1.1 and 3 on machines of 64 bits.

use std::ffi::{CStr, c_char, c_int, c_long, c_uchar, c_ulong, c_void};
use std::{mem, ptr};

use asterisk_sys as sys;

/// `SSL_get_error`'s answers (ssl.h).
pub(crate) const SSL_ERROR_SSL: c_int = 1;
pub(crate) const SSL_ERROR_WANT_READ: c_int = 2;
pub(crate) const SSL_ERROR_WANT_WRITE: c_int = 3;
pub(crate) const SSL_ERROR_SYSCALL: c_int = 5;
pub(crate) const SSL_ERROR_ZERO_RETURN: c_int = 6;

/// `SSL_CTX_ctrl`'s commands (ssl.h).
pub(crate) const SSL_CTRL_MODE: c_int = 33;
pub(crate) const SSL_CTRL_SET_SESS_CACHE_MODE: c_int = 44;

/// `SSL_CTRL_MODE`: a write may take a part, may be tried again from another place in memory,
/// and an idle connection has no buffers.
pub(crate) const SSL_MODES: c_long = 0x1 | 0x2 | 0x10;
/// `SSL_CTRL_SET_SESS_CACHE_MODE`: no memory for clients that may come again.
pub(crate) const SSL_SESS_CACHE_OFF: c_long = 0;

/// `SSL_OP_NO_RENEGOTIATION`: handshakes cost us more than a client.
pub(crate) const SSL_OP_NO_RENEGOTIATION: u64 = 1 << 30;
/// `SSL_OP_IGNORE_UNEXPECTED_EOF`: an end without a farewell is an end, as it is before
/// OpenSSL 3, which has no such option. Whoever reads knows where a message ends.
pub(crate) const SSL_OP_IGNORE_UNEXPECTED_EOF: u64 = 1 << 7;

/// Asterisk was built without OpenSSL, or with one that lacks this function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Missing(pub(crate) &'static CStr);

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// All that is needed of OpenSSL.
        #[derive(Clone, Copy)]
        #[expect(non_snake_case, reason = "OpenSSL's names")]
        pub(crate) struct OpenSsl {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl OpenSsl {
            /// Finds them in the process. Any thread may call.
            pub(crate) fn find() -> Result<Self, Missing> {
                Ok(Self {
                    $($name: {
                        let found = find(crate::__cstr!(stringify!($name)))?;
                        // SAFETY: OpenSSL's own function of that name, which has this type in
                        // every release that Asterisk can be built with.
                        unsafe {
                            mem::transmute::<
                                *mut c_void,
                                unsafe extern "C" fn($($argument),*) $(-> $result)?,
                            >(found)
                        }
                    },)*
                })
            }
        }
    };
}

functions! {
    SSL_CTX_ctrl: fn(*mut sys::SSL_CTX, c_int, c_long, *mut c_void) -> c_long;
    SSL_CTX_set_options: fn(*mut sys::SSL_CTX, u64) -> u64;
    SSL_new: fn(*mut sys::SSL_CTX) -> *mut sys::SSL;
    SSL_free: fn(*mut sys::SSL);
    SSL_set_fd: fn(*mut sys::SSL, c_int) -> c_int;
    SSL_set_accept_state: fn(*mut sys::SSL);
    SSL_do_handshake: fn(*mut sys::SSL) -> c_int;
    SSL_read: fn(*mut sys::SSL, *mut c_void, c_int) -> c_int;
    SSL_write: fn(*mut sys::SSL, *const c_void, c_int) -> c_int;
    SSL_shutdown: fn(*mut sys::SSL) -> c_int;
    SSL_get_error: fn(*const sys::SSL, c_int) -> c_int;
    ERR_clear_error: fn();
    ERR_get_error: fn() -> c_ulong;
    ERR_error_string_n: fn(c_ulong, *mut c_char, usize);
}

fn find(name: &'static CStr) -> Result<*mut c_void, Missing> {
    // SAFETY: a NUL-terminated name. Nothing is loaded and no code runs.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    if found.is_null() { Err(Missing(name)) } else { Ok(found) }
}

impl OpenSsl {
    /// What this thread's queue of errors says first, and empties it.
    pub(crate) fn words(&self) -> String {
        // SAFETY: takes the oldest error out of this thread's queue; 0 is none.
        let first = unsafe { (self.ERR_get_error)() };
        // SAFETY: as above.
        unsafe { (self.ERR_clear_error)() };
        if first == 0 {
            return "OpenSSL does not say why".to_owned();
        }
        // "error:0A00009C:SSL routines::http request" (ERR_error_string_n(3): 256 are enough).
        let mut buffer: [c_uchar; 256] = [0; 256];
        // SAFETY: the buffer is as long as we say, and is NUL-terminated by the callee.
        unsafe { (self.ERR_error_string_n)(first, buffer.as_mut_ptr().cast(), buffer.len()) };
        let text = CStr::from_bytes_until_nul(&buffer).unwrap_or_default().to_string_lossy();
        text.splitn(5, ':').nth(4).filter(|reason| !reason.is_empty()).unwrap_or(&text).to_owned()
    }
}

/// What a command of `SSL_CTX_ctrl` that needs no pointer is given.
pub(crate) const NOTHING: *mut c_void = ptr::null_mut();
