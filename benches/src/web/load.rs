//! A client of HTTP: connections that are kept, each with one GET on its way.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// How long a run takes.
const RUN: Duration = Duration::from_millis(400);
/// No answer may take longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Longest answer.
const ANSWER_MAX_BYTES: usize = 1024 * 1024;

/// What is asked, of whom, and as whom.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) path: &'static str,
    /// What follows `Authorization: `.
    pub(super) authorization: String,
}

/// A client with its connections.
pub(super) struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    address: SocketAddr,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Target {
    pub(super) fn request(&self) -> Vec<u8> {
        let Self { address, path, authorization } = self;
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\n\
             Accept: application/json\r\n\r\n"
        );
        text.into_bytes()
    }
}

impl Load {
    /// Opens connections.
    ///
    /// # Errors
    ///
    /// If the server does not accept them.
    pub(super) fn connect(target: &Target, connections: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let mut all = Vec::new();
        for number in 0..connections {
            let stream = open(&poll, target.address, number)?;
            all.push(Connection { stream, request: target.request(), answer: Vec::new() });
        }
        let events = Events::with_capacity(connections);
        Ok(Self { poll, events, connections: all, address: target.address })
    }

    /// Asks for a while on all connections, again and again, and gives microseconds for each request.
    ///
    /// # Errors
    ///
    /// If an answer is not good, or late.
    pub(super) fn run(&mut self) -> Result<f64> {
        let start = Instant::now();
        let requests = self.drive(|| start.elapsed() < RUN)?;
        Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(requests))
    }

    /// Asks once on each connection.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub(super) fn once(&mut self) -> Result<()> {
        self.drive(|| false).map(drop)
    }

    /// Asks on all connections, and again on each that was answered while there is `more`; says how often.
    fn drive(&mut self, more: impl Fn() -> bool) -> Result<u32> {
        let (mut requests, mut busy) = (0_u32, self.connections.len());
        self.connections.iter_mut().try_for_each(Connection::ask)?;
        while busy > 0 {
            self.poll.poll(&mut self.events, Some(ANSWER_WITHIN))?;
            ensure!(!self.events.is_empty(), "no answer within {ANSWER_WITHIN:?}");
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if !connection.is_answered()? {
                    continue;
                }
                requests += 1;
                if says_close(&connection.answer) {
                    // A server may bound the requests of a connection.
                    connection.stream = open(&self.poll, self.address, event.token().0)?;
                }
                if more() {
                    connection.ask()?;
                } else {
                    busy -= 1;
                }
            }
        }
        Ok(requests)
    }
}

impl Connection {
    fn ask(&mut self) -> Result<()> {
        self.answer.clear();
        let sent = self.stream.write(&self.request).context("write to the server")?;
        ensure!(sent == self.request.len(), "the server does not read");
        Ok(())
    }

    /// Reads; says whether all of the answer is there.
    fn is_answered(&mut self) -> Result<bool> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) if is_whole(&self.answer)? => return Ok(true),
                Ok(0) => bail!("the server closed the connection"),
                Ok(len) => self.answer.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("read from the server"),
            }
            ensure!(self.answer.len() <= ANSWER_MAX_BYTES, "the answer has no end");
        }
        is_whole(&self.answer)
    }
}

fn open(poll: &Poll, address: SocketAddr, number: usize) -> Result<TcpStream> {
    let stream = std::net::TcpStream::connect(address);
    let stream = stream.with_context(|| format!("connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
    Ok(stream)
}

fn says_close(answer: &[u8]) -> bool {
    let head = answer.split(|byte| *byte == b'{').next().unwrap_or_default();
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    head.lines().any(|line| line.trim() == "connection: close")
}

/// Whether an answer is whole: a good one, with a length.
fn is_whole(answer: &[u8]) -> Result<bool> {
    let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return Ok(false) };
    let text = std::str::from_utf8(&answer[..head]).context("the head is no text")?;
    ensure!(text.starts_with("HTTP/1.1 200 "), "answered: {text}");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let whole = head + 4 + length.context("an answer without a length")??;
    ensure!(answer.len() <= whole, "answered more than it said");
    Ok(answer.len() == whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_length_is_there_and_only_a_good_one_is() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n{ } ";
        for len in 0..answer.len() {
            assert!(!is_whole(&answer[..len]).unwrap(), "{len}");
        }
        assert!(is_whole(answer).unwrap());
        assert!(is_whole(b"HTTP/1.1 401 no\r\nContent-Length: 0\r\n\r\n").is_err());
        assert!(is_whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
