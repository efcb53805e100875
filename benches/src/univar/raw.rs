//! The plainest client there is, in C: `benches/c/raw_mg.c`, compiled here and run beside Asterisk.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};

use crate::child::{self, Running};
use crate::cpu::Core;

/// The program's text.
const SOURCE: &str = include_str!("../../c/raw_mg.c");

/// A running client with one connection.
#[derive(Debug)]
pub(crate) struct RawClient {
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    _running: Running,
}

impl RawClient {
    /// Compiles it into `folder` and starts it on `core`.
    ///
    /// # Errors
    ///
    /// If there is no compiler, or no connection.
    pub(crate) fn start(folder: &Path, cache: SocketAddr, key: &str, core: Core) -> Result<Self> {
        let program = folder.join("raw_mg");
        let mut cc = Command::new("cc");
        cc.args(["-O2", "-Wall", "-Werror", "-x", "c", "-", "-o"]).arg(&program);
        child::run(cc, SOURCE)?;
        let mut command = Command::new(&program);
        command.args([&cache.ip().to_string(), &cache.port().to_string(), key]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(command, core, libc::SIGTERM, &folder.join("raw_mg.log"))?;
        let stdin = running.child.stdin.take().context("raw_mg has no standard input")?;
        let stdout = running.child.stdout.take().context("raw_mg has no standard output")?;
        Ok(Self { stdin, stdout: BufReader::new(stdout), _running: running })
    }

    /// Nanoseconds of one round trip, over `count` of them.
    ///
    /// # Errors
    ///
    /// If the client has ended.
    pub(crate) fn nanoseconds(&mut self, count: u32) -> Result<f64> {
        writeln!(self.stdin, "{count}")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let total: u64 = line.trim().parse().with_context(|| format!("raw_mg says '{line}'"))?;
        Ok(total as f64 / f64::from(count))
    }
}
