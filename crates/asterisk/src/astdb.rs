//! Asterisk's own small database (`database show`), a file on this machine.
//!
//! Any thread may call. A read takes AstDB's lock and SQLite's time: keep it off hot paths.

use std::ffi::{CStr, CString};
use std::ptr;

use asterisk_sys as sys;

use crate::text;

/// Reads `family/key`, copying the value out.
///
/// `None` covers both an absent key and a failed read: Asterisk reports them alike.
pub fn get(family: &CStr, key: &CStr) -> Option<CString> {
    let mut value = ptr::null_mut();
    // SAFETY: both names are NUL-terminated and outlive the call; `value` is a live out-pointer.
    // AstDB locks internally.
    let status =
        unsafe { sys::ast_db_get_allocated(family.as_ptr(), key.as_ptr(), &raw mut value) };
    if status != 0 || value.is_null() {
        return None;
    }
    // SAFETY: on success `value` is a NUL-terminated string that we own.
    let copy = unsafe { text::borrow(value) }.to_owned();
    // SAFETY: allocated by Asterisk, freed once with its own allocator, unused hereafter.
    unsafe { sys::__ast_free(value.cast(), c"astdb.rs".as_ptr(), 0, c"".as_ptr()) };
    Some(copy)
}

/// All below `family`, with whole keys (`/IAX/Registry/201`), in order. Empty also if the read
/// failed: Asterisk reports both alike.
pub fn tree(family: &CStr) -> Vec<(CString, CString)> {
    // SAFETY: a NUL-terminated name; no key means the whole family. AstDB locks internally.
    let first = unsafe { sys::ast_db_gettree(family.as_ptr(), ptr::null()) };
    let mut found = Vec::new();
    let mut next: *const sys::ast_db_entry = first;
    // SAFETY: null, or one entry of a list that we own until it is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        // SAFETY: NUL-terminated, inside the entry.
        let key = unsafe { text::borrow(entry.key) };
        // SAFETY: as above: `data` is where the value begins.
        let value = unsafe { text::borrow(entry.data.as_ptr()) };
        found.push((key.to_owned(), value.to_owned()));
        next = entry.next;
    }
    // SAFETY: the list that was returned to us, or null; freed once.
    unsafe { sys::ast_db_freetree(first) };
    found
}
