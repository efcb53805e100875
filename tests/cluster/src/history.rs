//! What happened: every operation, fault and registration with its times, one JSON object a line.
//!
//! The first line is the [`Header`]. All times are nanoseconds of one monotonic clock, that of the process that
//! wrote the file; `b` is when something began and `e` when it ended. Lines are in no order: the times say what
//! came first. The last line is the [`End`]: a file without it was cut off, and is not judged; nor is one that is not
//! what it says it is ([`HistoryError`]). `docs/cluster.md` describes the format for other readers. What it all means
//! belongs to [`crate::check`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The version of this format.
pub const VERSION: u32 = 3;

/// Nanoseconds since the history began.
pub type Nanos = u64;

/// One second.
pub const SECOND: Nanos = 1_000_000_000;
/// One millisecond.
pub const MILLISECOND: Nanos = 1_000_000;

/// One line of a history.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "t", rename_all = "lowercase")]
pub enum Record {
    /// The first line.
    Header(Header),
    /// An operation on a name.
    Op(Op),
    /// A scenario, written when it is over.
    Scenario(Scenario),
    /// A phone said REGISTER.
    Register(Register),
    /// An Asterisk server was not running, or was being started.
    Down(Down),
    /// A node had trouble with a cache: errors, or it did not hold it for ready.
    Trouble(Trouble),
    /// The recording process itself was not run for a while: the machine was busy.
    Stall(Stall),
    /// The last line.
    End(End),
}

impl Record {
    /// The server that it is about.
    fn server(&self) -> Option<&str> {
        match self {
            Self::Op(Op { s, .. })
            | Self::Register(Register { s, .. })
            | Self::Down(Down { s, .. })
            | Self::Trouble(Trouble { s, .. }) => Some(s),
            Self::Header(_) | Self::Scenario(_) | Self::Stall(_) | Self::End(_) => None,
        }
    }

    /// Its times, in the order that they must have.
    fn times(&self) -> Vec<Nanos> {
        match self {
            Self::Header(_) | Self::End(_) => Vec::new(),
            Self::Op(Op { b, e, .. })
            | Self::Register(Register { b, e, .. })
            | Self::Down(Down { b, e, .. })
            | Self::Trouble(Trouble { b, e, .. })
            | Self::Stall(Stall { b, e }) => vec![*b, *e],
            Self::Scenario(Scenario { b, begin, begun, end, ended, healed, e, .. }) => {
                vec![*b, *begin, *begun, *end, *ended, *healed, *e]
            }
        }
    }
}

/// How the history was made.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The format: [`VERSION`].
    pub version: u32,
    /// Which group of scenarios this is.
    pub group: String,
    /// When it began, in milliseconds since 1970: to find a moment in the servers' logs.
    pub began_unix_ms: u64,
    /// What all random choices were made from.
    pub seed: u64,
    /// `copies` in `universal.conf`.
    pub copies: u8,
    /// `deadline` in `universal.conf`.
    pub deadline_ms: u64,
    /// `lease` in `universal.conf`.
    pub lease_s: u64,
    /// The rule of the code that was switched off, if one was.
    pub switched_off: Option<String>,
    /// The servers that operations went through.
    pub servers: Vec<String>,
    /// Under which prefix which server publishes its phones, and as what.
    pub publishers: Vec<Publisher>,
    /// The scenarios that were going to be run.
    pub plan: Vec<String>,
}

/// A server that phones register on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Publisher {
    /// Its name.
    pub server: String,
    /// What comes before the phone's number in the record's name.
    pub prefix: String,
    /// The record's value.
    pub identity: String,
}

/// An operation on a name, through one server.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Op {
    /// The server.
    pub s: String,
    /// How it was asked for.
    #[serde(default, skip_serializing_if = "Via::is_ami")]
    pub via: Via,
    /// What.
    pub k: Kind,
    /// The name.
    pub n: String,
    /// The value that was to be written. No two operations write the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v: Option<String>,
    /// Its time to live in seconds; none is for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// Begin.
    pub b: Nanos,
    /// End.
    pub e: Nanos,
    /// What was answered.
    pub o: Outcome,
    /// The value or number that was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<String>,
}

/// How an operation was asked for.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// An AMI action of ours.
    #[default]
    Ami,
    /// A dialplan function, by AMI's Getvar.
    Function,
    /// An application, on a channel.
    Dialplan,
}

impl Via {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    fn is_ami(&self) -> bool {
        *self == Self::Ami
    }
}

/// The kinds of operations.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Read.
    Get,
    /// Write.
    Set,
    /// Delete.
    Del,
    /// Write if nothing is there.
    Add,
    /// Count up by one.
    Inc,
}

/// What was answered.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Set, del, add, inc: done. Get: the value is in `r`.
    Ok,
    /// Certainly not there.
    Missing,
    /// Add: there is one already.
    Exists,
    /// Cannot tell.
    Unreachable,
    /// Refused as impossible; nothing in this workload is.
    Invalid,
    /// No answer at all: the Asterisk server went away.
    Gone,
}

/// A fault and what was around it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// What kind of fault it is.
    pub fault: Fault,
    /// What it befell, as `cache1`.
    pub on: String,
    /// Begin of the scenario; operations until `end` count to it.
    pub b: Nanos,
    /// The fault was begun; that took until `begun`.
    pub begin: Nanos,
    /// It was there.
    pub begun: Nanos,
    /// It was ended; that took until `ended`.
    pub end: Nanos,
    /// It was over.
    pub ended: Nanos,
    /// All cache servers were ready again on all servers.
    pub healed: Nanos,
    /// End of the scenario.
    pub e: Nanos,
    /// Whether every server told its operator, where it has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<bool>,
}

impl Scenario {
    /// Whether what ended then counts to it.
    #[must_use]
    pub fn has(&self, end: Nanos) -> bool {
        self.b < end && end <= self.e
    }
}

/// The kinds of faults.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// None.
    None,
    /// SIGKILL; it comes back empty.
    Killed,
    /// SIGSTOP, and SIGCONT later. What it had accepted is carried out then.
    Stopped,
    /// Started again with nothing in it.
    Emptied,
    /// All caches at once were started again with nothing in them: what was only there is gone.
    AllEmptied,
    /// Started again with what it held some time ago.
    OldContent,
    /// Answers come late.
    Slow,
    /// Half an answer, then nothing.
    HalfReply,
    /// Answers are garbage.
    Garbage,
    /// Connections are refused.
    Refused,
    /// Each of two servers reaches another cache.
    Partition,
    /// Its memory is full and it evicts.
    Evicting,
    /// One server's clock is wrong.
    Clock,
}

/// A REGISTER and its answer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// The server.
    pub s: String,
    /// The phone's number.
    pub n: String,
    /// For how long, in seconds; 0 takes the registration back.
    pub expires: u64,
    /// Begin.
    pub b: Nanos,
    /// End.
    pub e: Nanos,
    /// Whether it was accepted; if not, it may have been.
    pub ok: bool,
}

/// When an Asterisk server was not there.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Down {
    /// The server.
    pub s: String,
    /// Begin.
    pub b: Nanos,
    /// End.
    pub e: Nanos,
}

/// When a node had trouble with a cache.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Trouble {
    /// The node's server.
    pub s: String,
    /// The cache, as the node calls it.
    pub c: String,
    /// Begin.
    pub b: Nanos,
    /// End.
    pub e: Nanos,
}

/// When the recording process, or a cache that nothing had befallen, was not run.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// Begin.
    pub b: Nanos,
    /// End.
    pub e: Nanos,
}

/// That the history is whole.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// How many lines stand before this one.
    pub lines: usize,
    /// How many operations ended in each scenario.
    pub ops: BTreeMap<String, usize>,
}

/// Why a history could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line is no record; the file is not a history, or was cut off in the middle of a line.
    #[error("{path}, line {line}: {source}")]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// Something ended before it began.
    #[error("{path}, line {line}: its times go back")]
    Backwards {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// The last line, which says how many there are, is missing or says something else.
    #[error(
        "{path} is not whole: its last line should be {{\"t\":\"end\",\"lines\":{lines},...}}. What wrote it was ended before its time, or lines were lost"
    )]
    Cut {
        /// Which file.
        path: PathBuf,
        /// How many lines there are before it.
        lines: usize,
    },
    /// A scenario that was going to be run is not in it, or not all that was done in it, or another one is.
    #[error("{path} does not hold what it was made for: {what}")]
    Unplanned {
        /// Which file.
        path: PathBuf,
        /// What is not there, or should not be.
        what: String,
    },
    /// A line is about a server that the header does not name.
    #[error("{path}, line {line}: there is no server '{server}'")]
    UnknownServer {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// The server.
        server: String,
    },
    /// There is a second header.
    #[error("{path}, line {line}: a second header; give each history a file of its own")]
    TwoHeaders {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
    /// The first line is not a header of this version.
    #[error("{path} does not begin with a header of version {VERSION}")]
    NoHeader {
        /// Which file.
        path: PathBuf,
    },
}

/// A history that was read, or made by a test. Each record goes with the number of its line.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// How it was made.
    pub header: Header,
    /// Operations.
    pub ops: Vec<(usize, Op)>,
    /// Scenarios.
    pub scenarios: Vec<(usize, Scenario)>,
    /// Registrations.
    pub registers: Vec<(usize, Register)>,
    /// Servers that were away.
    pub downs: Vec<Down>,
    /// What nodes thought of caches.
    pub troubles: Vec<Trouble>,
    /// Times at which the machine was too busy to judge by.
    pub stalls: Vec<Stall>,
}

impl History {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// Any [`HistoryError`]; that a file was cut off is one.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let io = |source| HistoryError::Io { path: path.to_owned(), source };
        let reader = BufReader::new(File::open(path).map_err(io)?);
        let mut history = Self::default();
        let (mut lines, mut end) = (0, None);
        for (at, line) in reader.lines().enumerate() {
            let (line, text) = (at + 1, line.map_err(io)?);
            let record: Record = serde_json::from_str(&text)
                .map_err(|source| HistoryError::Line { path: path.to_owned(), line, source })?;
            if line == 1 && !matches!(&record, Record::Header(Header { version: VERSION, .. })) {
                return Err(HistoryError::NoHeader { path: path.to_owned() });
            }
            if line > 1 && matches!(record, Record::Header(_)) {
                return Err(HistoryError::TwoHeaders { path: path.to_owned(), line });
            }
            if !record.times().is_sorted() {
                return Err(HistoryError::Backwards { path: path.to_owned(), line });
            }
            let unknown = |server: &&str| history.header.servers.iter().all(|one| one != server);
            if let Some(server) = record.server().filter(unknown) {
                let (path, server) = (path.to_owned(), server.to_owned());
                return Err(HistoryError::UnknownServer { path, line, server });
            }
            (lines, end) = match &record {
                Record::End(end) => (lines, Some(end.clone())),
                _ => (line, None),
            };
            history.add(line, record);
        }
        match (lines, end) {
            (0, _) => Err(HistoryError::NoHeader { path: path.to_owned() }),
            (_, Some(end)) if end.lines == lines => match history.differs_from_plan(&end) {
                None => Ok(history),
                Some(what) => Err(HistoryError::Unplanned { path: path.to_owned(), what }),
            },
            _ => Err(HistoryError::Cut { path: path.to_owned(), lines }),
        }
    }

    /// A history of nothing keeps every promise, and proves none: what is missing in it, or too much.
    fn differs_from_plan(&self, end: &End) -> Option<String> {
        let plan = &self.header.plan;
        if plan.is_empty() {
            return Some("its plan is empty".to_owned());
        }
        let mut seen = BTreeSet::new();
        for (_, Scenario { name, .. }) in &self.scenarios {
            if !plan.contains(name) {
                return Some(format!("the scenario '{name}' is not in its plan"));
            }
            if !seen.insert(name) {
                return Some(format!("the scenario '{name}' is there twice"));
            }
        }
        if let Some(name) = plan.iter().find(|name| !seen.contains(name)) {
            return Some(format!("the scenario '{name}' was not run"));
        }
        self.scenarios.iter().find_map(|(_, scenario)| {
            let name = &scenario.name;
            let ops = || self.ops.iter().map(|(_, op)| op).filter(|op| scenario.has(op.e));
            let (count, said) = (ops().count(), end.ops.get(name).copied().unwrap_or_default());
            match () {
                () if count != said => Some(format!(
                    "the scenario '{name}' has {count} operations, and the last line says {said}"
                )),
                () if !ops().any(|op| op.k == Kind::Get && op.o != Outcome::Gone) => {
                    Some(format!("in the scenario '{name}' nothing was read"))
                }
                () => None,
            }
        })
    }

    /// Adds what stands in a line.
    pub fn add(&mut self, line: usize, record: Record) {
        match record {
            Record::Header(header) => self.header = header,
            Record::Op(op) => self.ops.push((line, op)),
            Record::Scenario(scenario) => self.scenarios.push((line, scenario)),
            Record::Register(register) => self.registers.push((line, register)),
            Record::Down(down) => self.downs.push(down),
            Record::Trouble(trouble) => self.troubles.push(trouble),
            Record::Stall(stall) => self.stalls.push(stall),
            Record::End(_) => {}
        }
    }
}

/// Writes a history while it happens. Shared by all who record.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    began: Instant,
    file: Mutex<Writing>,
}

#[derive(Debug)]
struct Writing {
    out: BufWriter<File>,
    lines: usize,
    /// When each operation ended, and the scenarios: to say at the end how many there were in each.
    ends: Vec<Nanos>,
    scenarios: Vec<Scenario>,
    failed: Option<io::Error>,
}

impl Writing {
    fn write(&mut self, record: &Record) {
        if self.failed.is_some() {
            return;
        }
        match record {
            Record::Op(op) => self.ends.push(op.e),
            Record::Scenario(scenario) => self.scenarios.push(scenario.clone()),
            _ => {}
        }
        let written = serde_json::to_writer(&mut self.out, record)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        match written {
            Ok(()) => self.lines += 1,
            Err(error) => self.failed = Some(error),
        }
    }

    fn end(&self) -> End {
        let count =
            |scenario: &Scenario| self.ends.iter().filter(|&&end| scenario.has(end)).count();
        let ops = self.scenarios.iter().map(|one| (one.name.clone(), count(one))).collect();
        End { lines: self.lines, ops }
    }
}

impl Recorder {
    /// Begins a file, and its clock.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn create(path: &Path, header: Header) -> Result<Self, HistoryError> {
        let io = |source| HistoryError::Io { path: path.to_owned(), source };
        let out = BufWriter::new(File::create(path).map_err(io)?);
        let recorder = Self {
            path: path.to_owned(),
            began: Instant::now(),
            file: Mutex::new(Writing {
                out,
                lines: 0,
                ends: Vec::new(),
                scenarios: Vec::new(),
                failed: None,
            }),
        };
        recorder.write(&Record::Header(header));
        Ok(recorder)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Nanos {
        // 584 years fit.
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Adds a line. An error is kept for [`Recorder::finish`].
    pub fn write(&self, record: &Record) {
        self.lock().write(record);
    }

    fn lock(&self) -> MutexGuard<'_, Writing> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many lines there are.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.lock().lines
    }

    /// Writes the last line, and out what is left.
    ///
    /// # Errors
    ///
    /// If any line could not be written: such a history is not to be judged.
    pub fn finish(&self) -> Result<(), HistoryError> {
        let mut file = self.lock();
        let end = Record::End(file.end());
        file.write(&end);
        let done = match file.failed.take() {
            Some(error) => Err(error),
            None => file.out.flush(),
        };
        done.map_err(|source| HistoryError::Io { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests;
