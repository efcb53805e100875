//! Text that crosses the boundary: C strings are bytes, end at the first NUL and have no
//! encoding. Private helpers; nothing here calls Asterisk.

use std::ffi::{CStr, CString, c_char};

/// Turns any bytes into a C string; a NUL, which C could not show, becomes `?`.
pub(crate) fn lossy(bytes: impl Into<Vec<u8>>) -> CString {
    let mut bytes = bytes.into();
    for byte in &mut bytes {
        if *byte == 0 {
            *byte = b'?';
        }
    }
    CString::new(bytes).unwrap_or_default()
}

/// Borrows a C string that may be null; null reads as empty.
///
/// # Safety
///
/// `text` is null, or points to a NUL-terminated string that stays unchanged for `'a`.
pub(crate) unsafe fn borrow<'a>(text: *const c_char) -> &'a CStr {
    if text.is_null() {
        return c"";
    }
    // SAFETY: not null; the caller promises the rest.
    unsafe { CStr::from_ptr(text) }
}

/// The last part of a source file's path, as Asterisk's own log lines have it.
pub(crate) fn base_name(path: &CStr) -> &CStr {
    let bytes = path.to_bytes_with_nul();
    let start = bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    CStr::from_bytes_with_nul(&bytes[start..]).unwrap_or(path)
}
