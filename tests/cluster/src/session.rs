//! A session with Asterisk's manager that asks one thing at a time, on the thread that asks: light enough for many.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use tandem_lab::{AMI_SECRET, Asterisk};

/// How long a connection may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long an answer may take: far over every deadline, so that who has none has gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// The headers of one message.
#[derive(Debug, Default)]
pub(crate) struct Message(Vec<(String, String)>);

impl Message {
    /// The first header of this name, or the empty text.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.values(name).next().unwrap_or_default()
    }

    pub(crate) fn values<'m>(&'m self, name: &str) -> impl Iterator<Item = &'m str> {
        let found = self.0.iter().filter(move |(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Logged in. An error means that it is of no use any more.
#[derive(Debug)]
pub(crate) struct Session {
    stream: BufReader<TcpStream>,
    next: u64,
}

impl Session {
    /// Logs in at a server; `events` is a list of classes, or `off`.
    pub(crate) fn open(server: &Asterisk, events: &str) -> io::Result<Self> {
        let stream = server.ami_stream(CONNECT_WITHIN).map_err(io::Error::other)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.set_write_timeout(Some(ANSWER_WITHIN))?;
        let mut session = Self { stream: BufReader::new(stream), next: 0 };
        let login = [("Username", "lab"), ("Secret", AMI_SECRET), ("Events", events)];
        let answer = session.ask("Login", &login)?;
        if answer.value("Response") == "Success" {
            return Ok(session);
        }
        Err(io::ErrorKind::PermissionDenied.into())
    }

    /// Sends an action and gives its answer.
    pub(crate) fn ask(&mut self, action: &str, headers: &[(&str, &str)]) -> io::Result<Message> {
        self.next += 1;
        let id = self.next.to_string();
        let mut text = format!("Action: {action}\r\nActionID: {id}\r\n");
        for (name, value) in headers {
            text.push_str(name);
            text.push_str(": ");
            text.push_str(value);
            text.push_str("\r\n");
        }
        text.push_str("\r\n");
        self.stream.get_ref().write_all(text.as_bytes())?;
        self.wait(|message| {
            !message.value("Response").is_empty() && message.value("ActionID") == id
        })
    }

    /// Runs a console command and gives what it prints.
    pub(crate) fn command(&mut self, command: &str) -> io::Result<String> {
        let answer = self.ask("Command", &[("Command", command)])?;
        Ok(answer.values("Output").collect::<Vec<_>>().join("\n"))
    }

    /// Waits for a message; others are dropped.
    pub(crate) fn wait(&mut self, wanted: impl Fn(&Message) -> bool) -> io::Result<Message> {
        let end = Instant::now() + ANSWER_WITHIN;
        loop {
            let message = self.read()?;
            if wanted(&message) {
                return Ok(message);
            }
            if Instant::now() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    fn read(&mut self) -> io::Result<Message> {
        let mut message = Message::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            if self.stream.read_until(b'\n', &mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\r', '\n']);
            if text.is_empty() {
                return Ok(message);
            }
            // The greeting is the one line without a colon.
            if let Some((key, value)) = text.split_once(':') {
                let value = value.strip_prefix(' ').unwrap_or(value);
                message.0.push((key.to_owned(), value.to_owned()));
            }
        }
    }
}
