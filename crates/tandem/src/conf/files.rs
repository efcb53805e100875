//! Real files: a configuration folder, with `glob(3)` for patterns as Asterisk has it.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{File, Files};

/// Asterisk's configuration folder, or another.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Relative names are looked for here.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self(folder.to_owned())
    }
}

impl Files for Folder {
    fn open(&mut self, pattern: &str) -> io::Result<Vec<File>> {
        let mut files = Vec::new();
        for path in glob(&self.0.join(pattern))? {
            // Asterisk passes over what is no file.
            match std::fs::metadata(&path) {
                Ok(meta) if meta.is_file() => {}
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            let bytes = std::fs::read(&path)?;
            files.push(File { name: path.to_string_lossy().into_owned(), bytes });
        }
        Ok(files)
    }
}

/// The paths that `pattern` means, sorted. One without wildcards means itself, be it there or not.
fn glob(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let pattern = CString::new(pattern.as_os_str().as_bytes())?;
    // SAFETY: glob_t is a plain C struct, for which all zeros is the value before the first use.
    let mut found: libc::glob_t = unsafe { std::mem::zeroed() };
    let flags = libc::GLOB_NOMAGIC | libc::GLOB_BRACE;
    // SAFETY: `pattern` is NUL-terminated and `found` lives; there is no error callback.
    let status = unsafe { libc::glob(pattern.as_ptr(), flags, None, &raw mut found) };
    let paths = if status == 0 { paths_of(&found) } else { Vec::new() };
    // SAFETY: glob(3): freed once, after the last use; also after a failure.
    unsafe { libc::globfree(&raw mut found) };
    match status {
        0 | libc::GLOB_NOMATCH => Ok(paths),
        libc::GLOB_NOSPACE => Err(io::ErrorKind::OutOfMemory.into()),
        _ => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn paths_of(found: &libc::glob_t) -> Vec<PathBuf> {
    if found.gl_pathc == 0 {
        return Vec::new();
    }
    // SAFETY: glob(3): gl_pathv has gl_pathc entries, which live until globfree.
    let paths = unsafe { std::slice::from_raw_parts(found.gl_pathv, found.gl_pathc) };
    let path = |&path: &*mut libc::c_char| {
        // SAFETY: each entry is a NUL-terminated string that lives until globfree.
        let path = unsafe { CStr::from_ptr(path) };
        OsStr::from_bytes(path.to_bytes()).into()
    };
    paths.iter().map(path).collect()
}
