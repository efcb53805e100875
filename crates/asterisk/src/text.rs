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

/// Makes text of bytes from outside that stays one line and cannot drive a terminal: control
/// characters become `\x1b`, those beyond ASCII (such as CSI) `\u{9b}`, and bytes that are no
/// UTF-8 `\xff`. A tab stays.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut escaped = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii_control() && byte != b'\t' => {
                    escaped.extend(byte.escape_ascii().map(char::from));
                }
                _ if character.is_control() && character != '\t' => {
                    escaped.extend(character.escape_unicode());
                }
                _ => escaped.push(character),
            }
        }
        escaped.extend(chunk.invalid().escape_ascii().map(char::from));
    }
    escaped
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
