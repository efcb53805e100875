//! Remote control of a baresip: its `ctrl_tcp` module takes commands and sends events, as JSON in netstrings.
//!
//! A thread reads; answers and events are kept apart. What a phone is, is in [`crate::phone`].

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::error::{At as _, LabError, Result};

/// How long baresip may take to answer a command.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longest message believed: its help text has 1 kB.
const MESSAGE_MAX_BYTES: usize = 1024 * 1024;

/// Something that happened to a phone.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Event {
    /// As `REGISTER_OK` or `CALL_ESTABLISHED`.
    pub(crate) kind: String,
    /// As `sip:200@127.0.0.11`.
    pub(crate) account: String,
    /// More, as the reason of an end.
    pub(crate) detail: String,
}

#[derive(Debug, Default)]
struct Inbox {
    answers: Vec<(String, bool, String)>,
    events: Vec<Event>,
    closed: bool,
}

/// A connection to a baresip.
#[derive(Debug)]
pub(crate) struct Control {
    stream: TcpStream,
    name: String,
    log: PathBuf,
    inbox: Arc<(Mutex<Inbox>, Condvar)>,
    next_token: u64,
    reader: Option<JoinHandle<()>>,
}

impl Control {
    pub(crate) fn connect(name: &str, address: SocketAddr, log: &Path) -> Result<Self> {
        let place = address.to_string();
        let stream =
            TcpStream::connect_timeout(&address, ANSWER_WITHIN).at("connect to", &place)?;
        let readable = stream.try_clone().at("set up", &place)?;
        let inbox = Arc::new((Mutex::new(Inbox::default()), Condvar::new()));
        let filled = Arc::clone(&inbox);
        let reader = Some(thread::spawn(move || read_all(readable, &filled)));
        Ok(Self {
            stream,
            name: name.to_owned(),
            log: log.to_owned(),
            inbox,
            next_token: 0,
            reader,
        })
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn command(&mut self, command: &str, params: &str) -> Result<String> {
        self.next_token += 1;
        let token = self.next_token.to_string();
        let json = serde_json::json!({ "command": command, "params": params, "token": token });
        self.stream.write_all(&to_netstring(&json.to_string())).at("write to", &self.name)?;
        let what = format!("{} answers '{command} {params}'", self.name);
        let (_, ok, data) = self.wait(&what, ANSWER_WITHIN, |inbox| {
            let at = inbox.answers.iter().position(|(answered, ..)| *answered == token)?;
            Some(inbox.answers.swap_remove(at))
        })?;
        if ok { Ok(data) } else { Err(self.refused(&format!("{command} {params}"), data)) }
    }

    /// How many events there have been: for [`Control::wait_event`].
    pub(crate) fn mark(&self) -> usize {
        lock(&self.inbox.0).events.len()
    }

    /// Goes through the events after `mark` until `judge` has an opinion of one, waiting for more. Gives that
    /// opinion, and the mark behind that event.
    pub(crate) fn wait_event<T>(
        &self,
        mark: usize,
        what: &str,
        within: Duration,
        judge: impl Fn(&Event) -> Option<T>,
    ) -> Result<(T, usize)> {
        self.wait(what, within, |inbox| {
            let mut events = inbox.events.iter().enumerate().skip(mark);
            events.find_map(|(at, event)| judge(event).map(|opinion| (opinion, at + 1)))
        })
    }

    pub(crate) fn refused(&self, request: &str, answer: String) -> LabError {
        LabError::Refused {
            program: self.name.clone(),
            request: request.to_owned(),
            answer,
            log: self.log.clone(),
        }
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
                return Err(LabError::NotRunning { program: self.name.clone() });
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (what, log) = (what.to_owned(), self.log.clone());
                return Err(LabError::TimedOut { what, within, log });
            }
            let waited = self.inbox.1.wait_timeout(inbox, left);
            inbox = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // It may be closed already; then the reader has ended by itself.
        let _closed = self.stream.shutdown(Shutdown::Both);
        if let Some(reader) = self.reader.take() {
            let _ended = reader.join();
        }
    }
}

fn lock(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_all(mut stream: TcpStream, inbox: &(Mutex<Inbox>, Condvar)) {
    let mut buffer = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut chunk) {
        buffer.extend_from_slice(&chunk[..read]);
        while let Some((message, len)) = from_netstring(&buffer) {
            if let Ok(json) = serde_json::from_slice(message) {
                lock(&inbox.0).take_in(&json);
            }
            buffer.drain(..len);
        }
        inbox.1.notify_all();
        if buffer.len() > MESSAGE_MAX_BYTES {
            break;
        }
    }
    lock(&inbox.0).closed = true;
    inbox.1.notify_all();
}

impl Inbox {
    fn take_in(&mut self, json: &Value) {
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        if json["response"] == true {
            self.answers.push((text("token"), json["ok"] == true, text("data")));
        } else if json["event"] == true {
            self.events.push(Event {
                kind: text("type"),
                account: text("accountaor"),
                detail: text("param"),
            });
        }
    }
}

fn to_netstring(text: &str) -> Vec<u8> {
    format!("{}:{text},", text.len()).into_bytes()
}

/// The first netstring in `buffer` and its length with all that belongs to it; `None` if it is not whole.
fn from_netstring(buffer: &[u8]) -> Option<(&[u8], usize)> {
    let colon = buffer.iter().position(|&byte| byte == b':')?;
    let len: usize = std::str::from_utf8(&buffer[..colon]).ok()?.parse().ok()?;
    let end = colon.checked_add(1)?.checked_add(len)?;
    (buffer.get(end) == Some(&b',')).then(|| (&buffer[colon + 1..end], end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netstring_that_is_not_whole_is_waited_for() {
        let whole = to_netstring("{\"a\":1}");
        assert_eq!(whole, b"7:{\"a\":1},");
        for len in 0..whole.len() {
            assert_eq!(from_netstring(&whole[..len]), None, "{len} bytes");
        }
        assert_eq!(from_netstring(&whole), Some((&b"{\"a\":1}"[..], 10)));
    }

    #[test]
    fn answers_and_events_are_kept_apart() {
        let mut inbox = Inbox::default();
        for json in [
            r#"{"event":true,"type":"REGISTER_OK","class":"register","accountaor":"sip:1@x"}"#,
            r#"{"response":true,"ok":false,"data":"no","token":"7"}"#,
        ] {
            inbox.take_in(&serde_json::from_str(json).unwrap());
        }
        assert_eq!(inbox.answers, [("7".to_owned(), false, "no".to_owned())]);
        assert_eq!(inbox.events.len(), 1);
        assert_eq!(inbox.events[0].kind, "REGISTER_OK");
        assert_eq!(inbox.events[0].account, "sip:1@x");
    }
}
