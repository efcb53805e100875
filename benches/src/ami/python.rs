//! A client of Python as a process of its own: `benches/python/ami.py`, in the environment of lab/setup.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::child::Running;
use crate::cpu::Core;

/// The program's text.
const SOURCE: &str = include_str!("../../python/ami.py");

/// A running client.
#[derive(Debug)]
pub(super) struct PythonClient {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _running: Running,
}

impl PythonClient {
    /// Starts it on `core`, for the stream in that file.
    ///
    /// # Errors
    ///
    /// If lab/setup has made no environment.
    pub(super) fn start(
        client: &str,
        stream: &Path,
        piece_bytes: usize,
        core: Core,
    ) -> Result<Self> {
        let mut command = Command::new(tandem_lab::cache_folder().join("ami-python/bin/python"));
        command.args(["-c", SOURCE, client]).arg(stream).arg(piece_bytes.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let log = stream.with_file_name(format!("{client}.log"));
        let mut running = Running::start(command, core, libc::SIGTERM, &log)?;
        let stdin = running.child.stdin.take().context("it has no standard input")?;
        let stdout = running.child.stdout.take().context("it has no standard output")?;
        Ok(Self { stdin, stdout: BufReader::new(stdout), _running: running })
    }

    /// Takes the stream once: the nanoseconds, and how many events there were.
    ///
    /// # Errors
    ///
    /// If it has ended: its log says why.
    pub(super) fn pass(&mut self) -> Result<(f64, usize)> {
        writeln!(self.stdin)?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let said = || format!("the Python client says '{}'; its log is kept", line.trim());
        let (nanoseconds, events) = line.trim().split_once(' ').with_context(said)?;
        Ok((nanoseconds.parse().with_context(said)?, events.parse().with_context(said)?))
    }
}
