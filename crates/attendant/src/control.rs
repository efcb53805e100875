//! Asterisk's control socket, as `asterisk -r` and `asterisk -rx` use it (`main/asterisk.c`).
//!
//! Each connection is served by a thread of Asterisk's (`netconsole`): it sends a line
//! `HOST/PID/VERSION`, then runs commands, each ended by NUL. `cli quit after COMMAND` as the first
//! one ends the connection with the command's output. So a command that never ends holds none of
//! our threads. Asterisk reads at most [`LINE_MAX_BYTES`] of a command, has at most 128
//! connections, and a connection is mute (no log) until told otherwise. Three at most may wait to be
//! taken (`listen(ast_socket, 2)`), which a few at once are: then it is tried again in a moment.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// What goes before a command whose output is to end with the connection.
const ONCE: &str = "cli quit after ";
/// `netconsole` reads into 512 bytes, with [`ONCE`] before and NUL behind.
pub(crate) const LINE_MAX_BYTES: usize = 512 - ONCE.len() - 1;

/// Why there is no connection, or no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ControlError {
    /// The file, or who listens there.
    #[error("Asterisk's control socket cannot be reached: {0}")]
    Socket(#[from] std::io::Error),
    /// Others wait there to be taken: try again.
    #[error("Asterisk does not take connections to its control socket")]
    Crowded,
    /// All of them are taken.
    #[error("Asterisk takes no more consoles; see who has them open")]
    Full,
    /// It took too long.
    #[error("the CLI did not answer in time")]
    Late,
    /// Others of ours wait for it already.
    #[error("Asterisk's CLI is slow, and others wait for it already; try again")]
    Busy,
    /// We are ending.
    #[error("the server is being stopped")]
    Stopped,
    /// The answer is longer than anything that was expected.
    #[error("the CLI's answer is too long")]
    TooLong,
}

/// Why a line is no command.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LineError {
    /// Nothing.
    #[error("write a command")]
    Empty,
    /// Asterisk would cut it.
    #[error("a command has at most {LINE_MAX_BYTES} bytes: Asterisk cuts longer ones")]
    TooLong,
    /// A line's end or NUL would make two of it.
    #[error("a command is one line without control characters")]
    Control,
    /// For the shell's console only.
    #[error("there is no console to leave here: close the page, or end the session")]
    Quit,
    /// For the shell's console only.
    #[error("shell commands are not run from here")]
    Shell,
}

/// The command in a line, if it is one to run.
pub(crate) fn command(line: &str) -> Result<&str, LineError> {
    let line = line.trim();
    let first = line.split_ascii_whitespace().next().unwrap_or_default();
    match () {
        () if line.is_empty() => Err(LineError::Empty),
        () if line.len() > LINE_MAX_BYTES => Err(LineError::TooLong),
        () if line.chars().any(char::is_control) => Err(LineError::Control),
        () if line.starts_with('!') => Err(LineError::Shell),
        () if ["quit", "exit"].iter().any(|word| first.eq_ignore_ascii_case(word)) => {
            Err(LineError::Quit)
        }
        () => Ok(line),
    }
}

/// The bytes that run `command` and end.
pub(crate) fn once(command: &str) -> Vec<u8> {
    format!("{ONCE}{command}\0").into_bytes()
}

/// The command that completes the last word of `line`, or `None` if it would be too long.
pub(crate) fn completion(line: &str) -> Option<String> {
    let word = line.rsplit([' ', '\t']).next().unwrap_or_default();
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
    let command = format!("_command matchesarray \"{}\" \"{}\"", quoted(line), quoted(word));
    let is_good = command.len() <= LINE_MAX_BYTES && !line.chars().any(char::is_control);
    is_good.then_some(command)
}

/// The candidates in what that printed: the part that all have in common, and then each, with
/// blanks between and `_EOF_` at the end (`ast_el_strtoarr`).
pub(crate) fn candidates(output: &str) -> Vec<String> {
    let Some((words, _)) = output.split_once("_EOF_") else { return Vec::new() };
    // The common part goes first: it may be empty, and is there all the same.
    let each = words.split(' ').skip(1).filter(|word| !word.is_empty());
    let mut all: Vec<String> = each.map(str::to_owned).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether a first line is no greeting but a refusal.
pub(crate) fn is_refusal(first_line: &str) -> bool {
    // `listener` in main/asterisk.c.
    first_line.starts_with("No more connections") || first_line.starts_with("Server failed")
}

/// After how long it is tried again while it is [`ControlError::Crowded`].
pub(crate) const CONNECT_AGAIN: Duration = Duration::from_millis(20);
/// For how long.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Connects without waiting and sends `first`, which a new socket has room for.
pub(crate) fn connect(path: &Path, first: &[u8]) -> Result<UnixStream, ControlError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = rustix::net::socket_with(family, kind, flags, None);
    let socket = socket.map_err(std::io::Error::from)?;
    let address = SocketAddrUnix::new(path).map_err(std::io::Error::from)?;
    // On a Unix socket this never waits: it is done or refused.
    rustix::net::connect(&socket, &address).map_err(|error| match error {
        Errno::AGAIN => ControlError::Crowded,
        other => std::io::Error::from(other).into(),
    })?;
    let mut stream = UnixStream::from(socket);
    match stream.write_all(first) {
        // Refused at once; what there is to read says why.
        Err(error) if is_gone(&error) => Ok(stream),
        written => Ok(written.map(|()| stream)?),
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset)
}

/// How long a worker waits before it looks whether it is to stop.
const LOOK_AFTER: Duration = Duration::from_millis(50);

/// Where to ask, and when not to wait any more: what is asked may wait for the unload that waits
/// for us.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) socket: &'a Path,
    pub(crate) is_stopped: &'a AtomicBool,
}

/// Runs a short command and waits for its output: for workers only.
pub(crate) fn ask(
    asking: Asking<'_>,
    command: &str,
    most_bytes: usize,
    within: Duration,
) -> Result<String, ControlError> {
    let deadline = Instant::now() + within;
    let mut stream = connect_soon(asking, command, deadline)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(LOOK_AFTER))?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        if asking.is_stopped.load(Ordering::SeqCst) {
            return Err(ControlError::Stopped);
        }
        if Instant::now() >= deadline {
            return Err(ControlError::Late);
        }
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) if is_gone(&error) => break,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error.into()),
        }
        if bytes.len() > most_bytes {
            return Err(ControlError::TooLong);
        }
    }
    let text = crate::text::clean(&bytes);
    let (greeting, output) = text.split_once('\n').unwrap_or((&text, ""));
    if is_refusal(greeting) { Err(ControlError::Full) } else { Ok(output.to_owned()) }
}

/// Connects, after a pause or some if others wait there to be taken.
fn connect_soon(
    asking: Asking<'_>,
    command: &str,
    deadline: Instant,
) -> Result<UnixStream, ControlError> {
    loop {
        match connect(asking.socket, &once(command)) {
            Err(ControlError::Crowded) if asking.is_stopped.load(Ordering::SeqCst) => {
                return Err(ControlError::Stopped);
            }
            Err(ControlError::Crowded) if Instant::now() < deadline => {
                std::thread::sleep(CONNECT_AGAIN);
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_line_that_asterisk_does_not_cut() {
        assert_eq!(command(" core show uptime "), Ok("core show uptime"));
        assert_eq!(command("  "), Err(LineError::Empty));
        assert_eq!(command("a\nb"), Err(LineError::Control));
        assert_eq!(command("a\0b"), Err(LineError::Control));
        assert_eq!(command("QUIT now"), Err(LineError::Quit));
        assert_eq!(command("exit"), Err(LineError::Quit));
        assert_eq!(command("!ls"), Err(LineError::Shell));
        assert_eq!(command("quite another"), Ok("quite another"));
        let longest = "x".repeat(LINE_MAX_BYTES);
        assert_eq!(once(command(&longest).expect("it fits")).len(), 512);
        assert_eq!(command(&format!("{longest}x")), Err(LineError::TooLong));
    }

    #[test]
    fn a_line_is_completed_as_asterisks_own_console_has_it_completed() {
        assert_eq!(
            completion("core show cha").as_deref(),
            Some("_command matchesarray \"core show cha\" \"cha\"")
        );
        assert_eq!(completion("core ").as_deref(), Some("_command matchesarray \"core \" \"\""));
        assert_eq!(
            completion("say \"x\\").as_deref(),
            Some(r#"_command matchesarray "say \"x\\" "\"x\\""#)
        );
        assert_eq!(completion(&"x".repeat(300)), None, "twice in one command is too long");
    }

    #[test]
    fn candidates_are_what_stands_behind_the_common_part() {
        let output = "channe channeltype channel channels channels _EOF_";
        assert_eq!(candidates(output), ["channel", "channels", "channeltype"]);
        assert_eq!(candidates("show show _EOF_"), ["show"]);
        assert_eq!(candidates(" passwd show _EOF_"), ["passwd", "show"], "nothing in common");
        assert!(candidates("_EOF_").is_empty());
        assert!(candidates("Usage: _command ...").is_empty(), "it did not understand");
    }
}
