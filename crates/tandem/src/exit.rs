//! Exit codes. Scripts go by them, so they are promised in `--help`, the man page and `docs/tandem.md`.

use std::process::ExitCode;

use universal::Status;

/// How a run ended, from best to worst.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Exit {
    /// Everything was done.
    Done,
    /// Certainly not there; or, where something was to be added, certainly there already.
    Missing,
    /// Some of it was done, and some could not be.
    Partly,
    /// Cannot tell.
    Unreachable,
    /// Wrong as asked, or a file of this machine cannot be used.
    Invalid,
}

/// What `--help` says of them.
pub const HELP: &str = "\
Exit codes:
  0  done
  1  missing: certainly not there (with --add: there already)
  2  wrong as asked: usage, a name, a value, universal.conf, a file
  3  unreachable: a cache server cannot tell, or a list is incomplete
  4  partly done: export or import is incomplete
Of several names the worst counts: 2, then 3, then 1.";

impl Exit {
    /// The number that the shell sees.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Missing => 1,
            Self::Invalid => 2,
            Self::Unreachable => 3,
            Self::Partly => 4,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

impl From<Status> for Exit {
    fn from(status: Status) -> Self {
        match status {
            Status::Ok => Self::Done,
            Status::Missing => Self::Missing,
            Status::Unreachable => Self::Unreachable,
            Status::Invalid => Self::Invalid,
        }
    }
}
