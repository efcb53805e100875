//! Who this Asterisk is. Any thread may ask.

use std::ffi::{CStr, CString, c_char};
use std::io;

use asterisk_sys as sys;

use crate::text;

/// `systemname` of asterisk.conf; `None` if it is not set.
pub fn name() -> Option<CString> {
    let name = &raw const sys::ast_config_AST_SYSTEM_NAME;
    // SAFETY: Asterisk sets the pointer when it starts, before modules, and never after.
    let name = unsafe { name.read() };
    // SAFETY: a NUL-terminated string that is never changed.
    let name = unsafe { text::borrow(name) };
    (!name.is_empty()).then(|| name.to_owned())
}

/// The machine's name, as `hostname` says it.
///
/// # Errors
///
/// What `gethostname` says.
pub fn host_name() -> io::Result<CString> {
    // POSIX allows 255 bytes; one more for the NUL.
    let mut buffer: [c_char; 256] = [0; 256];
    // SAFETY: the buffer is as long as we say, less one byte that stays NUL.
    if unsafe { libc::gethostname(buffer.as_mut_ptr(), buffer.len() - 1) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: NUL-terminated, by the last byte at the latest.
    Ok(unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_owned())
}

/// Asterisk's version, as `core show version` begins with.
pub fn version() -> CString {
    // SAFETY: returns a constant string.
    let version = unsafe { sys::ast_get_version() };
    // SAFETY: NUL-terminated and constant.
    unsafe { text::borrow(version) }.to_owned()
}
