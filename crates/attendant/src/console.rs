//! CLI commands that run in Asterisk, each on a connection to its control socket.
//!
//! Asterisk cannot cancel a command. One that does not end is shown with its age, and can be left:
//! its output is dropped from then on, and it counts with those that were left rather than with
//! those that run. Both are bounded, for each is a thread of Asterisk's.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use httpd::{Context, Interest};
use serde::Serialize;

use crate::control::{self, ControlError, LineError};
use crate::text::Cleaner;

/// What is kept of a command's output; the rest is dropped, and the page says so.
pub const OUTPUT_MAX_BYTES: usize = 1024 * 1024;
/// Commands that were left and have not ended; with so many no other one is begun.
pub const LEFT_MAX: usize = 16;
/// Commands that have ended and whose output is kept.
pub const ENDED_MAX: usize = 32;
/// For how long.
const ENDED_KEPT: Duration = Duration::from_secs(15 * 60);
/// What is read of one command's output before others have their turn.
const READ_A_TURN_BYTES: usize = 64 * 1024;
/// The longest first line (host, process, version).
const GREETING_MAX_BYTES: usize = 1024;

/// Why a command is not begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConsoleError {
    /// The line is none.
    #[error(transparent)]
    Line(#[from] LineError),
    /// As many run as may.
    #[error("{0} commands are running, and no more may at once; wait for one, or leave one")]
    Busy(usize),
    /// As many were left as may be.
    #[error("{LEFT_MAX} commands that were left are still running; Asterisk cannot end them")]
    TooManyLeft,
    /// There is no such one, or it is another user's.
    #[error("there is no such command; it may have ended long ago")]
    Unknown,
    /// Asterisk cannot be reached.
    #[error(transparent)]
    Control(#[from] ControlError),
}

/// A command.
struct Run {
    command: String,
    user: String,
    begun: Instant,
    ended: Option<Instant>,
    /// While it runs; none either while others wait for Asterisk to take their connections.
    socket: Option<UnixStream>,
    cleaner: Cleaner,
    output: String,
    /// Until the greeting is there.
    greeting: Option<Vec<u8>>,
    dropped_bytes: u64,
    is_left: bool,
    failure: Option<&'static str>,
}

/// What changes with a command, but for its output.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct RunState {
    is_running: bool,
    is_left: bool,
}

/// How a command is, without its output.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RunView<'a> {
    id: u64,
    command: &'a str,
    user: &'a str,
    /// Whether it still runs.
    running: bool,
    /// Whether it was left.
    left: bool,
    /// Since it began.
    age_seconds: u64,
    /// How long it took, if it has ended.
    took_ms: Option<u64>,
    output_bytes: usize,
    dropped_bytes: u64,
    failure: Option<&'a str>,
}

/// All commands that run, and some that have ended.
#[derive(Default)]
pub(crate) struct Console {
    runs: BTreeMap<u64, Run>,
    last_id: u64,
}

impl Console {
    /// Begins a command, with `most` at once. Its id is also the key of its socket.
    pub(crate) fn begin(
        &mut self,
        context: &Context<'_>,
        socket: &Path,
        (user, line): (&str, &str),
        most: usize,
    ) -> Result<u64, ConsoleError> {
        let command = control::command(line)?;
        self.forget_old(context.now());
        let running = |left: bool| {
            self.runs.values().filter(|run| run.ended.is_none() && run.is_left == left).count()
        };
        if running(false) >= most {
            return Err(ConsoleError::Busy(most));
        }
        if running(true) >= LEFT_MAX {
            return Err(ConsoleError::TooManyLeft);
        }
        self.last_id += 1;
        let stream = match connect(context, socket, self.last_id, command) {
            Ok(stream) => Some(stream),
            Err(ControlError::Crowded) => None,
            Err(error) => return Err(error.into()),
        };
        let run = Run {
            command: command.into(),
            user: user.into(),
            begun: context.now(),
            ended: None,
            socket: stream,
            cleaner: Cleaner::default(),
            output: String::new(),
            greeting: Some(Vec::new()),
            dropped_bytes: 0,
            is_left: false,
            failure: None,
        };
        self.runs.insert(self.last_id, run);
        Ok(self.last_id)
    }

    /// Its socket can be read.
    pub(crate) fn ready(&mut self, context: &mut Context<'_>, id: u64) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if let Err(end) = run.read() {
            run.end(context, end);
        }
        context.wake_streams();
    }

    /// All, the newest first.
    pub(crate) fn list(&self, now: Instant) -> Vec<RunView<'_>> {
        self.runs.iter().rev().map(|(id, run)| run.view(*id, now)).collect()
    }

    /// One.
    pub(crate) fn view(&self, id: u64, now: Instant) -> Option<RunView<'_>> {
        self.runs.get(&id).map(|run| run.view(id, now))
    }

    /// All in their order, and how each is: whether it runs, whether it was left.
    pub(crate) fn states(&self) -> impl Iterator<Item = (u64, RunState)> {
        self.runs.iter().map(|(id, run)| {
            (*id, RunState { is_running: run.ended.is_none(), is_left: run.is_left })
        })
    }

    /// Its output from `from` on, and whether more may come.
    pub(crate) fn output(&self, id: u64, from: usize) -> Option<(&str, bool)> {
        let run = self.runs.get(&id)?;
        let is_running = run.ended.is_none() && !run.is_left;
        Some((run.output.get(from..).unwrap_or_default(), is_running))
    }

    /// Leaves one that does not end.
    pub(crate) fn leave(&mut self, context: &mut Context<'_>, id: u64) -> Result<(), ConsoleError> {
        let run = self.runs.get_mut(&id).ok_or(ConsoleError::Unknown)?;
        if run.ended.is_none() {
            run.is_left = true;
            if run.socket.is_none() {
                run.end(context, End::NotBegun);
            }
            context.wake_streams();
        }
        Ok(())
    }

    /// Begins those that Asterisk did not take at once, in their order; returns when to go on.
    pub(crate) fn connect(&mut self, context: &mut Context<'_>, socket: &Path) -> Option<Instant> {
        let waiting = |run: &Run| run.ended.is_none() && run.socket.is_none();
        for (id, run) in self.runs.iter_mut().filter(|(_, run)| waiting(run)) {
            let waits = context.now().saturating_duration_since(run.begun);
            match connect(context, socket, *id, &run.command) {
                Ok(stream) => run.socket = Some(stream),
                Err(ControlError::Crowded) if waits < control::CONNECT_WITHIN => {
                    return Some(context.now() + control::CONNECT_AGAIN);
                }
                Err(_) => {
                    run.end(context, End::Unreachable);
                    context.wake_streams();
                }
            }
        }
        None
    }

    /// Forgets what is old; returns when something else will be.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Instant> {
        self.forget_old(now);
        self.runs.values().filter_map(|run| run.ended).min().map(|at| at + ENDED_KEPT)
    }

    /// Those that ended long ago, or before many others, are forgotten.
    fn forget_old(&mut self, now: Instant) {
        self.runs.retain(|_, run| {
            run.ended.is_none_or(|at| now.saturating_duration_since(at) < ENDED_KEPT)
        });
        let ended: Vec<u64> =
            self.runs.iter().filter(|(_, run)| run.ended.is_some()).map(|(id, _)| *id).collect();
        for id in ended.iter().take(ended.len().saturating_sub(ENDED_MAX)) {
            self.runs.remove(id);
        }
    }
}

/// Opens a command's connection.
fn connect(
    context: &Context<'_>,
    socket: &Path,
    id: u64,
    command: &str,
) -> Result<UnixStream, ControlError> {
    let stream = control::connect(socket, &control::once(command))?;
    context.watch(stream.as_fd(), id, Interest { read: true, write: false })?;
    Ok(stream)
}

/// Why a command's connection is over.
enum End {
    Unreachable,
    NotBegun,
    Regular,
    Refused,
    Broken,
}

impl Run {
    /// Reads what there is, as far as it is its turn.
    fn read(&mut self) -> Result<(), End> {
        let mut buffer = [0; 8192];
        for _ in 0..READ_A_TURN_BYTES / buffer.len() {
            let Some(socket) = &mut self.socket else { return Ok(()) };
            match socket.read(&mut buffer) {
                Ok(0) => {
                    return Err(if self.greeting.is_some() { End::Broken } else { End::Regular });
                }
                Ok(read) => self.take(&buffer[..read])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(End::Broken),
            }
        }
        Ok(())
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<(), End> {
        if let Some(mut greeting) = self.greeting.take() {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                greeting.extend_from_slice(bytes);
                let is_long = greeting.len() > GREETING_MAX_BYTES;
                self.greeting = Some(greeting);
                return if is_long { Err(End::Broken) } else { Ok(()) };
            };
            greeting.extend_from_slice(&bytes[..end]);
            if control::is_refusal(&String::from_utf8_lossy(&greeting)) {
                return Err(End::Refused);
            }
            bytes = &bytes[end + 1..];
        }
        let room = OUTPUT_MAX_BYTES.saturating_sub(self.output.len());
        let kept = if self.is_left { 0 } else { room.min(bytes.len()) };
        self.cleaner.clean(&bytes[..kept], &mut self.output);
        self.dropped_bytes += (bytes.len() - kept) as u64;
        Ok(())
    }

    fn end(&mut self, context: &Context<'_>, end: End) {
        if let Some(socket) = self.socket.take() {
            context.unwatch(socket.as_fd());
        }
        self.ended = Some(context.now());
        self.failure = match end {
            End::Regular => None,
            End::Unreachable => Some("Asterisk did not take the connection to its control socket"),
            End::NotBegun => Some("it was left before it began"),
            End::Refused => Some("Asterisk takes no more consoles; see who has them open"),
            End::Broken => Some("Asterisk ended the connection before the command"),
        };
    }

    fn view(&self, id: u64, now: Instant) -> RunView<'_> {
        let took = self.ended.map(|at| at.saturating_duration_since(self.begun));
        RunView {
            id,
            command: &self.command,
            user: &self.user,
            running: self.ended.is_none(),
            left: self.is_left,
            age_seconds: now.saturating_duration_since(self.begun).as_secs(),
            took_ms: took.and_then(|took| u64::try_from(took.as_millis()).ok()),
            output_bytes: self.output.len(),
            dropped_bytes: self.dropped_bytes,
            failure: self.failure,
        }
    }
}

#[cfg(test)]
impl Run {
    /// One that has printed all that is kept.
    fn ended(at: Instant) -> Self {
        Self {
            command: "core show uptime".into(),
            user: "anna".into(),
            begun: at,
            ended: Some(at),
            socket: None,
            cleaner: Cleaner::default(),
            output: "x".repeat(OUTPUT_MAX_BYTES),
            greeting: None,
            dropped_bytes: 0,
            is_left: false,
            failure: None,
        }
    }
}

#[cfg(test)]
impl Console {
    /// With so many that have printed all that is kept.
    pub(crate) fn of_ended(count: usize, at: Instant) -> Self {
        Self { runs: (1..).map(|id| (id, Run::ended(at))).take(count).collect(), last_id: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_long_ago_is_forgotten_though_no_other_one_begins() {
        let (mut console, now) = (Console::default(), Instant::now());
        let later = now + ENDED_KEPT / 2;
        console.runs.extend([(1, Run::ended(now)), (2, Run::ended(later))]);
        assert_eq!(console.tick(later), Some(now + ENDED_KEPT));
        assert_eq!(console.runs.len(), 2);
        assert_eq!(console.tick(now + ENDED_KEPT), Some(later + ENDED_KEPT));
        assert_eq!(console.runs.len(), 1);
        assert_eq!(console.tick(later + ENDED_KEPT), None);
        assert!(console.runs.is_empty());
    }
}
