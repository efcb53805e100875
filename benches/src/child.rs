//! A program that a bench starts beside the lab's: pinned from its first instruction, and ended with the bench.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::cpu::{self, Core};

/// How long an orderly end may take before SIGKILL.
const END_WITHIN: Duration = Duration::from_secs(5);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Programs that refuse to run as root run as nobody; Debian's and Ubuntu's number.
pub(crate) const NOBODY: u32 = 65534;

/// A running program. Dropping it ends it, with the signal that it takes for an orderly end.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    name: String,
    end_signal: libc::c_int,
}

impl Running {
    /// Starts `command` on `core`. Its standard input and output are as `command` says; errors go to `log`.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub(crate) fn start(
        mut command: Command,
        core: Core,
        end_signal: libc::c_int,
        log: &Path,
    ) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let log = File::create(log).with_context(|| format!("make {}", log.display()))?;
        command.stderr(Stdio::from(log)).process_group(0);
        let hook = move || {
            cpu::pin_thread(0, core)?;
            // SAFETY: prctl(2) with PR_SET_PDEATHSIG takes a signal, and is async-signal-safe.
            match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        // SAFETY: between fork and exec the hook makes two system calls and allocates nothing.
        unsafe { command.pre_exec(hook) };
        let child = command.spawn().with_context(|| format!("start {name}"))?;
        Ok(Self { child, name, end_signal })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `ready`, while the program runs.
    ///
    /// # Errors
    ///
    /// If it ends, or is not ready in time.
    pub(crate) fn wait_ready(&mut self, within: Duration, ready: impl Fn() -> bool) -> Result<()> {
        let end = Instant::now() + within;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended ({status}) while it was needed", self.name);
            }
            if Instant::now() > end {
                bail!("{} was not ready within {within:?}", self.name);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// If it goes on for longer than `within`.
    pub(crate) fn wait_end(&mut self, within: Duration) -> Result<()> {
        let end = Instant::now() + within;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                bail!("{} did not end within {within:?}", self.name);
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Sends it a signal; nothing happens if it has ended.
    pub(crate) fn signal(&mut self, signal: libc::c_int) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // SAFETY: kill(2) takes plain numbers; the child has not been waited for, so its id is its own.
            unsafe { libc::kill(self.pid().cast_signed(), signal) };
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(self.end_signal);
        if self.wait_end(END_WITHIN).is_err() {
            eprintln!("{} takes its time to end: killed", self.name);
        }
        // For what has ended these do nothing.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Runs a program to its end, with `input` as its standard input.
///
/// # Errors
///
/// What it wrote to standard error if it failed.
pub(crate) fn run(mut command: Command, input: &str) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        io::Write::write_all(&mut stdin, input.as_bytes())?;
    }
    let out = child.wait_with_output()?;
    if !out.status.success() {
        bail!("{name} failed ({}): {}", out.status, String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}
