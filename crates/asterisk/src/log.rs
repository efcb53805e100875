//! Asterisk's log: `logger.conf` says where each level goes.
//!
//! Use the macros [`error!`](crate::error), [`warning!`](crate::warning),
//! [`notice!`](crate::notice), [`verbose!`](crate::verbose) and [`debug!`](crate::debug); they add
//! the place. A message is always an argument of `"%s"`, never a format, and its control
//! characters are escaped, so that nothing a caller or a phone sends can forge a line or drive a terminal.
//!
//! Any thread may log. Logging takes a lock and may write to a slow console: keep it off paths
//! that run for each call in good health.

use std::ffi::{CStr, c_int};
use std::fmt;

use asterisk_sys as sys;

use crate::text;

/// How bad it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// Something failed and stays so until somebody acts.
    Error,
    /// Something is wrong, and was dealt with.
    Warning,
    /// Worth knowing, and nothing is wrong.
    Notice,
    /// For who follows calls on the console, from this verbosity on (1 to 10).
    Verbose(u8),
    /// For who looks for a fault, from this level on (1 to 10).
    Debug(u8),
}

impl Level {
    /// Whether anybody would see it. Ask before you build a costly message.
    pub fn enabled(self, module: &CStr) -> bool {
        match self {
            Level::Error | Level::Warning | Level::Notice => true,
            Level::Verbose(level) => {
                let system = &raw const sys::ast_verb_sys_level;
                // SAFETY: a plain `int` of Asterisk's, which C reads without a lock too
                // (`VERBOSITY_ATLEAST`, logger.h).
                c_int::from(level) <= unsafe { system.read_volatile() }
            }
            Level::Debug(level) => debug_enabled(c_int::from(level), module),
        }
    }
}

/// What `DEBUG_ATLEAST` in logger.h does.
fn debug_enabled(level: c_int, module: &CStr) -> bool {
    let system = &raw const sys::option_debug;
    // SAFETY: a plain `int` of Asterisk's, which C reads without a lock too.
    if unsafe { system.read_volatile() } >= level {
        return true;
    }
    let options = &raw const sys::ast_options;
    // SAFETY: as above; the flags are one 64-bit word.
    let options = unsafe { options.read_volatile() };
    if options.flags & sys::AST_OPT_FLAG_DEBUG_MODULE as u64 == 0 {
        return false;
    }
    // SAFETY: takes a NUL-terminated name, which lives as long as the call; locks internally.
    let of_module = unsafe { sys::ast_debug_get_by_module(module.as_ptr()) };
    c_int::try_from(of_module).is_ok_and(|of_module| of_module >= level)
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Source file.
    pub file: &'static CStr,
    /// Line in it, from 1.
    pub line: u32,
    /// Where Asterisk's C code names the function: the Rust module.
    pub function: &'static CStr,
}

/// Writes one message, whatever the level that is enabled. The macros ask first.
pub fn write(level: Level, place: Place, message: fmt::Arguments<'_>) {
    write_text(level, place.file, place.line, place.function, &message.to_string());
}

/// As [`write()`], for a place that is only known at run time.
pub(crate) fn write_text(level: Level, file: &CStr, line: u32, function: &CStr, message: &str) {
    let message = text::lossy(text::escape(message.as_bytes()));
    let file = text::base_name(file);
    let line = c_int::try_from(line).unwrap_or(0);
    let severity = match level {
        Level::Error => sys::__LOG_ERROR,
        Level::Warning => sys::__LOG_WARNING,
        Level::Notice => sys::__LOG_NOTICE,
        Level::Debug(_) => sys::__LOG_DEBUG,
        Level::Verbose(level) => {
            // SAFETY: all strings are NUL-terminated and outlive the call; the format takes one
            // string. Any thread may log.
            unsafe {
                sys::__ast_verbose(
                    file.as_ptr(),
                    line,
                    function.as_ptr(),
                    c_int::from(level),
                    c"%s\n".as_ptr(),
                    message.as_ptr(),
                );
            }
            return;
        }
    };
    // SAFETY: as above.
    unsafe {
        sys::ast_log(
            severity as c_int,
            file.as_ptr(),
            line,
            function.as_ptr(),
            c"%s\n".as_ptr(),
            message.as_ptr(),
        );
    }
}

/// Where the macro is used.
#[doc(hidden)]
#[macro_export]
macro_rules! __place {
    () => {
        $crate::log::Place {
            file: $crate::__cstr!(file!()),
            line: line!(),
            function: $crate::__cstr!(module_path!()),
        }
    };
}

/// A C string of a literal that has no NUL.
#[doc(hidden)]
#[macro_export]
macro_rules! __cstr {
    ($text:expr) => {
        const {
            match ::core::ffi::CStr::from_bytes_with_nul(concat!($text, "\0").as_bytes()) {
                Ok(text) => text,
                Err(_) => c"",
            }
        }
    };
}

/// Logs at [`Level::Error`].
#[macro_export]
macro_rules! error {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Error, $crate::__place!(), format_args!($($message)+))
    };
}

/// Logs at [`Level::Warning`].
#[macro_export]
macro_rules! warning {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Warning, $crate::__place!(), format_args!($($message)+))
    };
}

/// Logs at [`Level::Notice`].
#[macro_export]
macro_rules! notice {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Notice, $crate::__place!(), format_args!($($message)+))
    };
}

/// `verbose!(3, "...")` logs at [`Level::Verbose`], if anybody looks.
#[macro_export]
macro_rules! verbose {
    ($level:expr, $($message:tt)+) => {{
        let level = $crate::log::Level::Verbose($level);
        if level.enabled(c"") {
            $crate::log::write(level, $crate::__place!(), format_args!($($message)+));
        }
    }};
}

/// `debug!(1, "...")` logs at [`Level::Debug`], if `core set debug` asks for it; for one module
/// alone by the name of its crate.
#[macro_export]
macro_rules! debug {
    ($level:expr, $($message:tt)+) => {{
        let level = $crate::log::Level::Debug($level);
        if level.enabled($crate::__cstr!(env!("CARGO_CRATE_NAME"))) {
            $crate::log::write(level, $crate::__place!(), format_args!($($message)+));
        }
    }};
}
