//! Commands of Asterisk's console, `asterisk -r`.
//!
//! A command runs on the thread that reads the console (or AMI's Command action); Asterisk holds
//! a module reference around it (cli.c, `ast_cli_command_full`: `ast_module_running_ref`).
//! Completion runs under the lock of the list of commands (cli.c, `__ast_cli_generator`): no
//! I/O in it. A line is cut at 512 bytes before anybody sees it (cli.c,
//! `ast_cli_command_multiple_full`).

use std::ffi::{CStr, CString, c_char, c_int};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, Ordering};
use std::{fmt, mem, ptr};

use asterisk_sys as sys;

use crate::guard::guard;
use crate::module::Instance;
use crate::registry::Registration;
use crate::text;

/// A CLI command.
pub trait Command: 'static {
    /// The module it belongs to.
    type Module: Instance;
    /// Its words, with blanks between: `c"univar show"`.
    const WORDS: &'static CStr;
    /// One line, for `core show help`.
    const SUMMARY: &'static CStr;
    /// What `core show help WORDS` prints: `Usage: ...` and an indented description, each line
    /// ended.
    const USAGE: &'static CStr;

    /// Runs it with the words that follow its own.
    fn run(module: &Self::Module, args: Args<'_>, out: &mut Output) -> Outcome;

    /// What the word that is being typed may become. `args` are the words after the command's
    /// own, up to it; `word` is its beginning. What does not begin so is left out; case is
    /// ignored.
    fn complete(module: &Self::Module, args: Args<'_>, word: &CStr) -> Vec<CString> {
        let _ = (module, args, word);
        Vec::new()
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It was done.
    Success,
    /// The arguments are wrong: Asterisk prints the usage.
    ShowUsage,
    /// It failed; Asterisk says so, the command has said why.
    Failure,
}

/// The words after a command's own.
#[derive(Clone, Copy)]
pub struct Args<'a>(&'a [*const c_char]);

impl<'a> Args<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The word at `index`, from 0.
    pub fn get(&self, index: usize) -> Option<&'a CStr> {
        let word = *self.0.get(index)?;
        // SAFETY: words of cli.c's `parse_args`, NUL-terminated, which live as long as the call.
        Some(unsafe { text::borrow(word) })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a CStr> {
        let args = *self;
        (0..args.len()).filter_map(move |index| args.get(index))
    }
}

/// Where a command's output goes. `write!` and `writeln!` work on it and never fail: who does
/// not read is not waited for longer than a moment.
pub struct Output {
    fd: c_int,
}

impl Output {
    /// Prints bytes as they are, but for NUL, which becomes `?`. What comes from outside may
    /// hold escape sequences: see [`Output::untrusted`].
    pub fn bytes(&mut self, bytes: &[u8]) {
        let line = text::lossy(bytes);
        // SAFETY: the descriptor is the console's for as long as the command runs; the format
        // takes one NUL-terminated string.
        unsafe { sys::ast_cli(self.fd, c"%s".as_ptr(), line.as_ptr()) };
    }

    /// Prints bytes with control characters and what is no UTF-8 written as `\x1b`, `\u{9b}`, so
    /// that they cannot drive a terminal.
    pub fn untrusted(&mut self, bytes: &[u8]) {
        self.bytes(text::escape(bytes).as_bytes());
    }
}

impl fmt::Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }

    /// One call to Asterisk for all of it.
    fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> fmt::Result {
        self.bytes(args.to_string().as_bytes());
        Ok(())
    }
}

pub(crate) struct Registered<C> {
    /// Asterisk links this very structure into its list: it stays where it is while registered.
    raw: *mut sys::ast_cli_entry,
    command: PhantomData<fn(C)>,
}

// SAFETY: the structure is owned; between register and unregister only Asterisk changes it,
// under its own lock.
unsafe impl<C> Send for Registered<C> {}

impl<C: Command> Registered<C> {
    pub(crate) fn new() -> Self {
        // SAFETY: zero is a valid value of every field: pointers, options of functions, numbers.
        let mut raw: Box<sys::ast_cli_entry> = Box::new(unsafe { mem::zeroed() });
        raw.handler = Some(handle::<C>);
        raw.summary = C::SUMMARY.as_ptr();
        Self { raw: Box::into_raw(raw), command: PhantomData }
    }
}

impl<C> Drop for Registered<C> {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw`; not registered any more, or never was.
        drop(unsafe { Box::from_raw(self.raw) });
    }
}

impl<C: Command> Registration for Registered<C> {
    fn kind(&self) -> &'static str {
        "CLI command"
    }

    fn name(&self) -> &'static CStr {
        C::WORDS
    }

    fn register(&mut self, module: *mut sys::ast_module) -> bool {
        // SAFETY: the structure lives until it has been unregistered; Asterisk calls the handler
        // with CLI_INIT now.
        unsafe { sys::__ast_cli_register(self.raw, module) == 0 }
    }

    /// Asterisk keeps a command that is in use in its list, and says so only in the log
    /// (cli.c, `ast_cli_unregister`); so look first.
    fn unregister(&mut self) -> bool {
        // SAFETY: the structure is alive.
        let in_use = unsafe { &raw mut (*self.raw).inuse };
        // SAFETY: cli.c changes this number atomically only (`ast_atomic_fetchadd_int`).
        let in_use = unsafe { AtomicI32::from_ptr(in_use) };
        if in_use.load(Ordering::Acquire) != 0 {
            return false;
        }
        // SAFETY: the structure that was registered.
        unsafe { sys::ast_cli_unregister(self.raw) };
        // SAFETY: the structure is alive. Asterisk forgets the command when it lets go of it.
        unsafe { (*self.raw).command.is_null() }
    }
}

unsafe extern "C" fn handle<C: Command>(
    entry: *mut sys::ast_cli_entry,
    what: c_int,
    args: *mut sys::ast_cli_args,
) -> *mut c_char {
    if what == sys::CLI_INIT {
        // SAFETY: the entry is ours, and Asterisk holds the lock of its list. It copies the
        // command and keeps the usage, both of which are static.
        let entry = unsafe { &mut *entry };
        entry.command = C::WORDS.as_ptr().cast_mut();
        entry.usage = C::USAGE.as_ptr();
        return ptr::null_mut();
    }
    // SAFETY: cli.c calls with our entry, which is registered and so alive.
    let own_words = usize::try_from(unsafe { (*entry).args }).unwrap_or(0);
    // SAFETY: cli.c calls with arguments that live until we return.
    let args = unsafe { &*args };
    if what == sys::CLI_GENERATE {
        complete::<C>(own_words, args)
    } else {
        run::<C>(own_words, args)
    }
}

fn run<C: Command>(own_words: usize, args: &sys::ast_cli_args) -> *mut c_char {
    let name = C::WORDS.to_string_lossy();
    let outcome = guard(format_args!("CLI command \"{name}\""), Outcome::Failure, || {
        let Some(lent) = C::Module::slot().enter() else { return Outcome::Failure };
        let count = usize::try_from(args.argc).unwrap_or(0);
        C::run(lent.state, words(args, own_words, count), &mut Output { fd: args.fd })
    });
    let result = match outcome {
        Outcome::Success => sys::RESULT_SUCCESS,
        Outcome::ShowUsage => sys::RESULT_SHOWUSAGE,
        Outcome::Failure => sys::RESULT_FAILURE,
    };
    ptr::without_provenance_mut(result as usize)
}

/// Asterisk asks for the first, the second, ... completion, until there is none.
fn complete<C: Command>(own_words: usize, args: &sys::ast_cli_args) -> *mut c_char {
    let found = guard("CLI completion", None, || {
        let lent = C::Module::slot().enter()?;
        // SAFETY: NUL-terminated, and alive until we return.
        let word = unsafe { text::borrow(args.word) };
        let before = usize::try_from(args.pos).unwrap_or(0);
        let nth = usize::try_from(args.n).ok()?;
        C::complete(lent.state, words(args, own_words, before), word)
            .into_iter()
            .filter(|candidate| begins_with(candidate, word))
            .nth(nth)
    });
    let Some(found) = found else { return ptr::null_mut() };
    // SAFETY: NUL-terminated. The core frees the copy with its own allocator.
    unsafe { sys::__ast_strdup(found.as_ptr(), c"cli.rs".as_ptr(), 0, c"".as_ptr()) }
}

fn begins_with(candidate: &CStr, word: &CStr) -> bool {
    let (candidate, word) = (candidate.to_bytes(), word.to_bytes());
    candidate.len() >= word.len() && candidate[..word.len()].eq_ignore_ascii_case(word)
}

fn words(args: &sys::ast_cli_args, from: usize, to: usize) -> Args<'_> {
    let count = usize::try_from(args.argc).unwrap_or(0);
    let to = to.min(count);
    if args.argv.is_null() || from >= to {
        return Args(&[]);
    }
    // SAFETY: cli.c passes `argc` words.
    let all = unsafe { std::slice::from_raw_parts(args.argv, count) };
    Args(&all[from..to])
}
