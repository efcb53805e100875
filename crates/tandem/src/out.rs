//! Standard output and error: nothing raw to a terminal, and a closed pipe is no error.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use serde::Serialize;

use crate::text;

/// Standard output.
pub(crate) struct Out {
    to: BufWriter<StdoutLock<'static>>,
    terminal: bool,
}

/// Nobody reads our output any more: the program ends, and has done what it was to do.
#[derive(Debug, thiserror::Error)]
#[error("the reader of the output has gone")]
pub(crate) struct Gone;

/// Writing to standard output failed for a reason.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to the standard output")]
pub(crate) struct WriteError(#[source] io::Error);

type Result<T> = anyhow::Result<T>;

impl Out {
    pub(crate) fn new() -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        Self { to: BufWriter::new(stdout.lock()), terminal }
    }

    /// A line of text that holds nothing from elsewhere.
    pub(crate) fn line(&mut self, line: fmt::Arguments<'_>) -> Result<()> {
        self.bytes(format!("{line}\n").as_bytes())
    }

    /// Pieces that may hold anything: escaped for a terminal, raw for everything else.
    pub(crate) fn raw(&mut self, pieces: &[&[u8]]) -> Result<()> {
        for piece in pieces {
            if self.terminal {
                self.bytes(text::escaped(piece).as_bytes())?;
            } else {
                self.bytes(piece)?;
            }
        }
        Ok(())
    }

    pub(crate) fn end_line(&mut self) -> Result<()> {
        self.bytes(b"\n")
    }

    /// A value as a line of JSON.
    pub(crate) fn json(&mut self, row: &impl Serialize) -> Result<()> {
        let json = serde_json::to_string(row)?;
        self.bytes(text::escaped_json(&json).as_bytes())?;
        self.end_line()
    }

    /// Hands over what is gathered. Must be called before the end.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.to.flush().map_err(told)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.to.write_all(bytes).map_err(told)
    }
}

fn told(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Gone.into(),
        _ => WriteError(error).into(),
    }
}

/// What [`complain!`] does: a line on standard error, or several, with nothing raw in them for a terminal.
pub(crate) fn to_stderr(line: fmt::Arguments<'_>) {
    let text = line.to_string();
    let lines: Vec<String> = text.split('\n').map(|line| text::escaped(line.as_bytes())).collect();
    // Nobody to tell if this fails.
    let _ = writeln!(io::stderr(), "tandem: {}", lines.join("\n"));
}

macro_rules! complain {
    ($($argument:tt)*) => { $crate::out::to_stderr(format_args!($($argument)*)) };
}
pub(crate) use complain;
