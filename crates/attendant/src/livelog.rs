//! The live log: one console of Asterisk's for all who follow it, opened while somebody does.
//!
//! Lines are kept in a ring, also when nobody follows any more, each with a number: whoever reads too slowly misses some, and is told
//! how many. Which kinds of lines come is said by `console =>` in logger.conf.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use httpd::{Context, Interest};
use serde::Serialize;

use crate::control::{self, ControlError};
use crate::text::Cleaner;

/// The key of its socket. Commands have others.
pub(crate) const KEY: u64 = 0;
/// How many lines are kept.
pub const LINES_MAX: usize = 2000;
/// How long one may be; the rest of it is cut.
const LINE_MAX_BYTES: usize = 2048;
/// After how long a connection that broke is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// What is read before others have their turn.
const READS_A_TURN: usize = 16;

/// A line of the log.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub(crate) struct Line {
    /// Its number; they have no gaps.
    pub(crate) seq: u64,
    /// When it came, in milliseconds since 1970.
    pub(crate) at_ms: u64,
    pub(crate) text: String,
}

/// The log's end, and who follows it.
#[derive(Default)]
pub(crate) struct LiveLog {
    lines: VecDeque<Line>,
    next_seq: u64,
    followers: usize,
    socket: Option<UnixStream>,
    cleaner: Cleaner,
    /// What has come of a line that has not ended.
    partial: String,
    /// Whether the first line is still to come.
    is_greeted: bool,
    retry_at: Option<Instant>,
    /// Since when Asterisk does not take the connection, for others wait there, too.
    crowded_since: Option<Instant>,
    /// Whether it was said that there is no connection.
    is_told: bool,
}

impl LiveLog {
    /// One more follows.
    pub(crate) fn follow(&mut self, context: &mut Context<'_>, path: &Path, verbose: u8) {
        self.followers += 1;
        if self.followers == 1 && self.next_seq > 0 {
            self.push("(nobody followed the log until here)".into());
        }
        if self.socket.is_none() && self.retry_at.is_none() {
            self.open(context, path, verbose);
        }
    }

    /// One follows no longer.
    pub(crate) fn unfollow(&mut self, context: &Context<'_>) {
        self.followers = self.followers.saturating_sub(1);
        if self.followers == 0 {
            self.close(context);
            (self.retry_at, self.crowded_since, self.is_told) = (None, None, false);
        }
    }

    /// When to call [`Self::tick`].
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Tries again, if it is time.
    pub(crate) fn tick(&mut self, context: &mut Context<'_>, path: &Path, verbose: u8) {
        if self.retry_at.is_some_and(|at| at <= context.now()) {
            self.open(context, path, verbose);
        }
    }

    /// Its socket can be read.
    pub(crate) fn ready(&mut self, context: &mut Context<'_>) {
        let mut buffer = [0; 8192];
        for _ in 0..READS_A_TURN {
            let Some(socket) = &mut self.socket else { return };
            match socket.read(&mut buffer) {
                Ok(read @ 1..) => self.take(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    self.close(context);
                    self.push("[the connection to Asterisk's log ended; trying again]".into());
                    self.is_told = true;
                    self.retry_at = Some(context.now() + RETRY_AFTER);
                    break;
                }
            }
        }
        context.wake_streams();
    }

    /// The lines from number `from` on, at most `most`, and how many before them are gone.
    pub(crate) fn since(&self, from: u64, most: usize) -> (impl Iterator<Item = &Line>, u64) {
        let first = self.next_seq - self.lines.len() as u64;
        let missed = first.saturating_sub(from);
        let skipped = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        (self.lines.iter().skip(skipped).take(most), missed)
    }

    /// The number that the next line gets.
    pub(crate) fn next_seq(&self) -> u64 {
        self.next_seq
    }

    fn open(&mut self, context: &mut Context<'_>, path: &Path, verbose: u8) {
        // As `send_rasterisk_connect_commands` does. "mute" is a toggle, and a console begins mute.
        let first = format!("core set verbose atleast {verbose} silent\0logger mute silent\0");
        let interest = Interest { read: true, write: false };
        let opened = control::connect(path, first.as_bytes()).and_then(|socket| {
            context.watch(socket.as_fd(), KEY, interest)?;
            Ok(socket)
        });
        (self.cleaner, self.is_greeted) = (Cleaner::default(), false);
        self.partial.clear();
        match opened {
            Ok(socket) => {
                self.socket = Some(socket);
                (self.retry_at, self.crowded_since, self.is_told) = (None, None, false);
            }
            Err(ControlError::Crowded) if self.is_patient(context.now()) => {
                self.retry_at = Some(context.now() + control::CONNECT_AGAIN);
            }
            Err(error) => {
                // Said once, and not with every try.
                if !std::mem::replace(&mut self.is_told, true) {
                    self.push(format!("[{error}; trying again]"));
                }
                self.retry_at = Some(context.now() + RETRY_AFTER);
                context.wake_streams();
            }
        }
    }

    /// Whether it may still be a moment until Asterisk takes the connection.
    fn is_patient(&mut self, now: Instant) -> bool {
        let since = *self.crowded_since.get_or_insert(now);
        now.saturating_duration_since(since) < control::CONNECT_WITHIN
    }

    fn close(&mut self, context: &Context<'_>) {
        if let Some(socket) = self.socket.take() {
            context.unwatch(socket.as_fd());
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let mut text = std::mem::take(&mut self.partial);
        self.cleaner.clean(bytes, &mut text);
        while let Some(end) = text.find('\n') {
            let rest = text.split_off(end + 1);
            text.pop();
            let line = std::mem::replace(&mut text, rest);
            if !std::mem::replace(&mut self.is_greeted, true) {
                if control::is_refusal(&line) {
                    self.push(format!("[{line}]"));
                }
            } else if !line.is_empty() {
                self.push(line);
            }
        }
        cut(&mut text);
        self.partial = text;
    }

    fn push(&mut self, mut text: String) {
        cut(&mut text);
        if self.lines.len() >= LINES_MAX {
            self.lines.pop_front();
        }
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        self.lines.push_back(Line { seq: self.next_seq, at_ms, text });
        self.next_seq += 1;
    }
}

fn cut(text: &mut String) {
    if text.len() > LINE_MAX_BYTES {
        text.truncate(text.floor_char_boundary(LINE_MAX_BYTES));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_the_greeting_is_none() {
        let mut log = LiveLog::default();
        log.take(b"host/1/22.10.1\nfir");
        log.take(b"st\n\n\xfdsecond\n");
        let (lines, missed) = log.since(0, 10);
        let lines: Vec<_> = lines.map(|line| (line.seq, line.text.clone())).collect();
        assert_eq!(lines, [(0, "first".to_owned()), (1, "second".to_owned())]);
        assert_eq!(missed, 0);
        assert_eq!(log.since(2, 10).0.count(), 0);
        assert_eq!(log.since(1, 10).0.count(), 1);
    }

    #[test]
    fn whoever_is_too_slow_is_told_how_much_they_missed() {
        let mut log = LiveLog::default();
        log.take(b"host/1/22.10.1\n");
        for number in 0..LINES_MAX + 5 {
            log.take(format!("{number}\n").as_bytes());
        }
        let (mut lines, missed) = log.since(2, 1);
        assert_eq!(missed, 3);
        assert_eq!(lines.next().map(|line| line.seq), Some(5));
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut log = LiveLog::default();
        log.take(b"host/1/22.10.1\n");
        for _ in 0..100 {
            log.take(&[b'x'; 1000]);
        }
        assert!(log.partial.len() <= LINE_MAX_BYTES);
        log.take(b"\n");
        assert_eq!(log.since(0, 1).0.next().map(|line| line.text.len()), Some(LINE_MAX_BYTES));
    }
}
