//! Asterisk's configuration files, read by Asterisk: includes, templates and `extconfig.conf`
//! are dealt with before anything is seen here.
//!
//! Any thread may load one; it reads files, so not a channel's.

use std::ffi::{CStr, CString, OsStr, c_char, c_int};
use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::ptr::{self, NonNull};
use std::slice;

use asterisk_sys as sys;

use crate::text;

/// A file that was read.
pub struct Config {
    raw: NonNull<sys::ast_config>,
}

// SAFETY: the configuration is a copy of the file that only we have.
unsafe impl Send for Config {}

/// Why a file could not be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such file, or it may not be read.
    #[error("{0:?} is missing, or may not be read")]
    Missing(CString),
    /// It has an error; Asterisk's log says where.
    #[error("{0:?} has an error; the log says where")]
    Invalid(CString),
}

impl Config {
    /// Reads `file`, which is looked for in Asterisk's folder of configurations. `module` is for
    /// `config list` and Asterisk's messages.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn load(file: &CStr, module: &CStr) -> Result<Self, ConfigError> {
        let flags = sys::ast_flags { flags: 0 };
        // SAFETY: both strings are NUL-terminated and copied where they are kept. Thread-safe.
        let raw = unsafe { sys::ast_config_load2(file.as_ptr(), module.as_ptr(), flags) };
        // config.h: CONFIG_STATUS_FILEMISSING is 0, FILEUNCHANGED (never without the flag that
        // asks for it) is -1, FILEINVALID is -2.
        if raw.addr() >= (-2_isize).cast_unsigned() {
            return Err(ConfigError::Invalid(file.to_owned()));
        }
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { raw }),
            None => Err(ConfigError::Missing(file.to_owned())),
        }
    }

    /// The categories (`[name]`) in the file's order, without templates. Several may have one
    /// name.
    pub fn categories(&self) -> impl Iterator<Item = Category<'_>> {
        let mut previous = ptr::null_mut();
        std::iter::from_fn(move || {
            // SAFETY: the configuration is alive; `previous` is one of its categories, or null
            // for the first.
            previous = unsafe {
                sys::ast_category_browse_filtered(
                    self.raw.as_ptr(),
                    ptr::null(),
                    previous,
                    ptr::null(),
                )
            };
            Some(Category { raw: NonNull::new(previous)?, config: PhantomData })
        })
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: ours, destroyed once.
        unsafe { sys::ast_config_destroy(self.raw.as_ptr()) };
    }
}

/// One `[name]` of a file.
#[derive(Clone, Copy)]
pub struct Category<'a> {
    raw: NonNull<sys::ast_category>,
    config: PhantomData<&'a Config>,
}

impl<'a> Category<'a> {
    /// What stands between the brackets.
    pub fn name(&self) -> &'a CStr {
        // SAFETY: the category lives as long as its configuration, and is never changed.
        let name = unsafe { sys::ast_category_get_name(self.raw.as_ptr()) };
        // SAFETY: a NUL-terminated string of the category's.
        unsafe { text::borrow(name) }
    }

    /// `name = value` lines in order, those of its templates first.
    pub fn variables(&self) -> impl Iterator<Item = Variable<'a>> {
        // SAFETY: the category is alive.
        let first = unsafe { sys::ast_category_first(self.raw.as_ptr()) };
        // SAFETY: the list lives as long as the configuration, and is never changed.
        unsafe { variables(first) }
    }
}

/// One `name = value`.
#[derive(Clone, Copy, Debug)]
pub struct Variable<'a> {
    /// What stands before the `=`.
    pub name: &'a CStr,
    /// What stands after it, without comment and surrounding blanks.
    pub value: &'a CStr,
    /// The included file it stands in, for messages; empty for the file that was asked for.
    pub file: &'a CStr,
    /// The line in that file, from 1; 0 if it comes from elsewhere.
    pub line: u32,
    /// Whether it came from a template.
    pub inherited: bool,
}

/// Walks a list of variables.
///
/// # Safety
///
/// `first` is null, or the first of a list that lives unchanged for `'a`.
pub(crate) unsafe fn variables<'a>(
    first: *const sys::ast_variable,
) -> impl Iterator<Item = Variable<'a>> {
    let mut next = first;
    std::iter::from_fn(move || {
        // SAFETY: null, or one of the list.
        let variable: &'a sys::ast_variable = unsafe { next.as_ref() }?;
        next = variable.next;
        // SAFETY: null, or NUL-terminated strings of the variable's; so are the next two.
        let name = unsafe { text::borrow(variable.name) };
        // SAFETY: as above.
        let value = unsafe { text::borrow(variable.value) };
        // SAFETY: as above.
        let file = unsafe { text::borrow(variable.file) };
        let line = variable.lineno.try_into().unwrap_or(0);
        Some(Variable { name, value, file, line, inherited: variable.inherited != 0 })
    })
}

/// The files that `#include` of such a pattern reads, in its order: Asterisk asks C's `glob` in this
/// process, too. No `{a,b}`, which its `GLOB_BRACE` takes for two.
///
/// # Errors
///
/// If there is no memory, or a folder that is there cannot be read: Asterisk leaves that one out.
pub fn matching(pattern: &CStr) -> io::Result<Vec<PathBuf>> {
    extern "C" fn is_error(_path: *const c_char, error: c_int) -> c_int {
        c_int::from(error != libc::ENOENT)
    }
    let mut found = MaybeUninit::zeroed();
    // SAFETY: the pattern is NUL-terminated; without GLOB_APPEND and GLOB_DOOFFS `found` is written
    // alone. `is_error` neither panics nor keeps anything. Thread-safe but for the locale (glob(3)).
    let result = unsafe { libc::glob(pattern.as_ptr(), 0, Some(is_error), found.as_mut_ptr()) };
    // SAFETY: zeroes are an empty one, and C has filled it in.
    let found = Found(unsafe { found.assume_init() });
    match result {
        0 => Ok(found.paths()),
        libc::GLOB_NOMATCH => Ok(Vec::new()),
        libc::GLOB_NOSPACE => Err(io::ErrorKind::OutOfMemory.into()),
        _ => Err(io::Error::other("a folder cannot be read")),
    }
}

/// What `glob` has found.
struct Found(libc::glob_t);

impl Found {
    fn paths(&self) -> Vec<PathBuf> {
        // SAFETY: as many pointers as it says, not null, that live as long as this: there is one at least.
        let paths = unsafe { slice::from_raw_parts(self.0.gl_pathv, self.0.gl_pathc) };
        let path = |path: &*mut c_char| {
            // SAFETY: each is to a NUL-terminated string that lives as long as this.
            let path = unsafe { text::borrow(*path) };
            PathBuf::from(OsStr::from_bytes(path.to_bytes()))
        };
        paths.iter().map(path).collect()
    }
}

impl Drop for Found {
    fn drop(&mut self) {
        // SAFETY: filled in by `glob`, also where it failed, and freed once.
        unsafe { libc::globfree(&raw mut self.0) };
    }
}
