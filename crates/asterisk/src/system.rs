//! Who this Asterisk is, since when it runs, and where it is spoken to. Any thread may ask.

use std::ffi::{CStr, CString, OsStr, c_char};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// When Asterisk was started, by the wall clock as it was then.
pub fn started() -> SystemTime {
    let at = &raw const sys::ast_startuptime;
    // SAFETY: Asterisk sets it when it starts, before modules, and never after.
    wall_clock(unsafe { at.read() })
}

/// When modules were reloaded last; when Asterisk was started, if they never were.
pub fn last_reload() -> SystemTime {
    let at = &raw const sys::ast_lastreloadtime;
    // SAFETY: two plain words of Asterisk's, which C reads without a lock too (cli.c,
    // `handle_showuptime`): in the moment of a reload the seconds may be the new ones and the
    // microseconds the old.
    wall_clock(unsafe { at.read_volatile() })
}

/// What C keeps as seconds and microseconds since 1970.
pub(crate) fn wall_clock(time: sys::timeval) -> SystemTime {
    let seconds = Duration::from_secs(time.tv_sec.try_into().unwrap_or(0));
    UNIX_EPOCH + seconds + Duration::from_micros(time.tv_usec.try_into().unwrap_or(0))
}

/// Whether all modules of the start are loaded (`core waitfullybooted`).
pub fn is_fully_booted() -> bool {
    let options = &raw const sys::ast_options;
    // SAFETY: one 64-bit word of Asterisk's, which C reads without a lock too (options.h,
    // `ast_fully_booted`).
    let options = unsafe { options.read_volatile() };
    options.flags & sys::AST_OPT_FLAG_FULLY_BOOTED as u64 != 0
}

/// Whether `#exec` is done in configuration files (`execincludes` of asterisk.conf); else it is skipped.
pub fn does_exec_includes() -> bool {
    let options = &raw const sys::ast_options;
    // SAFETY: as above (options.h, `ast_opt_exec_includes`).
    let options = unsafe { options.read_volatile() };
    options.flags & sys::AST_OPT_FLAG_EXEC_INCLUDES as u64 != 0
}

/// Whether Asterisk is ending, or about to (`core stop gracefully`).
pub fn is_shutting_down() -> bool {
    // SAFETY: reads a number.
    unsafe { sys::ast_shutting_down() != 0 }
}

/// Where `asterisk -r` connects to: a Unix socket (asterisk.c, `ast_makesocket`).
pub fn control_socket() -> PathBuf {
    let path = &raw const sys::ast_config_AST_SOCKET;
    // SAFETY: Asterisk sets the pointer when it starts, before modules, and never after.
    path_of(unsafe { path.read() })
}

/// Where the configuration files are (`astetcdir`).
pub fn config_folder() -> PathBuf {
    let path = &raw const sys::ast_config_AST_CONFIG_DIR;
    // SAFETY: as above.
    path_of(unsafe { path.read() })
}

fn path_of(path: *const c_char) -> PathBuf {
    // SAFETY: a NUL-terminated string that is never changed once modules are loaded.
    let path = unsafe { text::borrow(path) };
    PathBuf::from(OsStr::from_bytes(path.to_bytes()))
}
