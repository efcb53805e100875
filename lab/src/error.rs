//! Why the lab could not do what it was asked.
//!
//! Whoever reads one of these is in the middle of a failed test or demo: each says what was being done and
//! which file to read next.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// What went wrong in the lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The machine has not been made ready.
    #[error("{missing} is not there: run ./test, ./demo or lab/setup first")]
    NotSetUp {
        /// The file that was looked for.
        missing: PathBuf,
    },
    /// A root folder can only be entered by root.
    #[error("the lab must run as root: it starts Asterisk in a root folder of its own")]
    NotRoot,
    /// The lab with this number is in use by another process.
    #[error("lab {number} is in use by another process: end that one first")]
    NumberTaken {
        /// The number that was asked for.
        number: u8,
    },
    /// Every number is in use.
    #[error("all lab numbers are in use")]
    NoFreeNumber,
    /// The operating system refused.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done, as in "write".
        doing: &'static str,
        /// To which file, program or address.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A condition did not come true in time.
    #[error("waited {within:?} in vain until {what}; see {log}")]
    TimedOut {
        /// What was waited for, as "phone 200 is registered".
        what: String,
        /// The bound that was given.
        within: Duration,
        /// The log that should tell why.
        log: PathBuf,
    },
    /// A program ended by itself.
    #[error("{program} ended ({status}) while it was needed; see {log}")]
    Ended {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The log that should tell why.
        log: PathBuf,
    },
    /// A program that has been stopped or killed was asked to do something.
    #[error("{program} is not running")]
    NotRunning {
        /// The program.
        program: String,
    },
    /// A program answered, and the answer was no.
    #[error("{program} refused {request}: {answer}; see {log}")]
    Refused {
        /// Who was asked.
        program: String,
        /// What it was asked for.
        request: String,
        /// What it said.
        answer: String,
        /// The log that should tell why.
        log: PathBuf,
    },
    /// The harness was asked for a thing that this lab does not have.
    #[error("this lab has no {thing} called '{name}'")]
    NoSuch {
        /// The kind of thing, as "server".
        thing: &'static str,
        /// The name asked for.
        name: String,
    },
}

/// The result of anything in the lab.
pub type Result<T> = std::result::Result<T, LabError>;

/// Gives an I/O error its place.
pub(crate) trait At<T> {
    /// Says what was being done to `path`.
    fn at(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| LabError::Io { doing, path: path.into(), source })
    }
}
