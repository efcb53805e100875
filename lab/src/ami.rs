//! A small client of the Asterisk Manager Interface, for tests: it is not the product's.
//!
//! A thread reads all that comes. Answers are found by their `ActionID`; all else is an event and is kept, the
//! last [`EVENTS_MAX`] of them, so that waiting for an event that has already come succeeds.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{At as _, LabError, Result};

/// How many events are kept.
const EVENTS_MAX: usize = 10_000;
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One message: headers in their order, repeated ones too.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct AmiMessage {
    headers: Vec<(String, String)>,
}

impl AmiMessage {
    /// The first header of this name, or the empty text.
    #[must_use]
    pub fn value(&self, name: &str) -> &str {
        self.values(name).next().unwrap_or_default()
    }

    /// All headers of this name.
    pub fn values<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.headers
            .iter()
            .filter(move |(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// Whether it is an event of this name.
    #[must_use]
    pub fn is_event(&self, name: &str) -> bool {
        self.value("Event") == name
    }

    fn add_line(&mut self, line: &str) {
        // The greeting is the one line without a colon.
        if let Some((key, value)) = line.split_once(':') {
            let value = value.strip_prefix(' ').unwrap_or(value);
            self.headers.push((key.to_owned(), value.to_owned()));
        }
    }
}

#[derive(Debug, Default)]
struct Inbox {
    answers: Vec<AmiMessage>,
    events: VecDeque<AmiMessage>,
    /// How many events have come in all; the newest one's number.
    events_seen: usize,
    closed: bool,
}

/// A logged-in session.
#[derive(Debug)]
pub struct Ami {
    stream: TcpStream,
    server: String,
    log: PathBuf,
    inbox: Arc<(Mutex<Inbox>, Condvar)>,
    next_id: u64,
    reader: Option<JoinHandle<()>>,
}

impl Ami {
    /// Logs in over a connection.
    pub(crate) fn log_in(
        server: &str,
        stream: TcpStream,
        user: &str,
        secret: &str,
        log: &Path,
    ) -> Result<Self> {
        let readable = stream.try_clone().at("set up", server)?;
        let inbox = Arc::new((Mutex::new(Inbox::default()), Condvar::new()));
        let filled = Arc::clone(&inbox);
        let reader = thread::spawn(move || read_all(readable, &filled));
        let mut ami = Self {
            stream,
            server: server.to_owned(),
            log: log.to_owned(),
            inbox,
            next_id: 0,
            reader: Some(reader),
        };
        ami.action(&[("Action", "Login"), ("Username", user), ("Secret", secret)])?;
        Ok(ami)
    }

    /// Sends an action (its first pair is `("Action", NAME)`) and gives its answer.
    ///
    /// # Errors
    ///
    /// [`LabError::Refused`] if the answer is an error, [`LabError::TimedOut`] if there is none.
    pub fn action(&mut self, headers: &[(&str, &str)]) -> Result<AmiMessage> {
        let answer = self.ask(headers)?;
        if answer.value("Response") != "Error" {
            return Ok(answer);
        }
        Err(LabError::Refused {
            program: self.server.clone(),
            request: headers.first().map_or_else(String::new, |(_, name)| (*name).to_owned()),
            answer: answer.value("Message").to_owned(),
            log: self.log.clone(),
        })
    }

    /// As [`Ami::action`], but an answer that is an error is given back too.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`] if there is no answer.
    pub fn ask(&mut self, headers: &[(&str, &str)]) -> Result<AmiMessage> {
        self.next_id += 1;
        let id = self.next_id.to_string();
        let mut text = String::new();
        for (key, value) in headers {
            text.push_str(&format!("{key}: {value}\r\n"));
        }
        text.push_str(&format!("ActionID: {id}\r\n\r\n"));
        self.stream.write_all(text.as_bytes()).at("write to", self.server.as_str())?;
        let what = format!("{} answers {:?}", self.server, headers.first());
        self.wait(&what, ANSWER_WITHIN, |inbox| {
            let at = inbox.answers.iter().position(|answer| answer.value("ActionID") == id)?;
            Some(inbox.answers.swap_remove(at))
        })
    }

    /// Where in the stream of events we are, for [`Ami::wait_event_after`].
    #[must_use]
    pub fn mark(&self) -> usize {
        lock(&self.inbox.0).events_seen
    }

    /// Waits for an event for which `wanted` holds; one that has come since log-in counts.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`]; `what` completes "waited in vain until ...".
    pub fn wait_event(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&AmiMessage) -> bool,
    ) -> Result<AmiMessage> {
        self.wait_event_after(0, what, within, wanted)
    }

    /// As [`Ami::wait_event`] for events that came after `mark`.
    ///
    /// # Errors
    ///
    /// As [`Ami::wait_event`].
    pub fn wait_event_after(
        &self,
        mark: usize,
        what: &str,
        within: Duration,
        wanted: impl Fn(&AmiMessage) -> bool,
    ) -> Result<AmiMessage> {
        self.wait(what, within, |inbox| {
            let first = inbox.events_seen - inbox.events.len();
            let skip = mark.saturating_sub(first);
            inbox.events.iter().skip(skip).find(|event| wanted(event)).cloned()
        })
    }

    fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        mut find: impl FnMut(&mut Inbox) -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + within;
        let mut inbox = lock(&self.inbox.0);
        loop {
            if let Some(found) = find(&mut inbox) {
                return Ok(found);
            }
            if inbox.closed {
                return Err(LabError::NotRunning { program: self.server.clone() });
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LabError::TimedOut {
                    what: what.to_owned(),
                    within,
                    log: self.log.clone(),
                });
            }
            let waited = self.inbox.1.wait_timeout(inbox, left);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Ami {
    fn drop(&mut self) {
        // It may be closed already; then the reader has ended by itself.
        let _closed = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ended = reader.join();
        }
    }
}

fn read_all(stream: TcpStream, inbox: &(Mutex<Inbox>, Condvar)) {
    let mut reader = BufReader::new(stream);
    let mut message = AmiMessage::default();
    let mut line = Vec::new();
    while read_line(&mut reader, &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end_matches(['\r', '\n']);
        if !text.is_empty() {
            message.add_line(text);
            continue;
        }
        let message = std::mem::take(&mut message);
        let mut inbox_now = lock(&inbox.0);
        if message.value("Response").is_empty() {
            inbox_now.events.push_back(message);
            inbox_now.events_seen += 1;
            if inbox_now.events.len() > EVENTS_MAX {
                inbox_now.events.pop_front();
            }
        } else {
            inbox_now.answers.push(message);
        }
        inbox.1.notify_all();
    }
    lock(&inbox.0).closed = true;
    inbox.1.notify_all();
}

fn read_line(reader: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> io::Result<usize> {
    line.clear();
    reader.read_until(b'\n', line)
}

fn lock(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_headers_are_kept_in_order_and_names_ignore_case() {
        let mut message = AmiMessage::default();
        for line in ["Asterisk Call Manager/1", "Output: one: 1", "Event: X", "output: two", "V:"] {
            message.add_line(line);
        }
        assert_eq!(message.values("Output").collect::<Vec<_>>(), ["one: 1", "two"]);
        assert!(message.is_event("X"));
        assert_eq!(message.value("V"), "");
    }
}
