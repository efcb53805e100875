//! The client: many connections in one thread, each with its requests on their way until all are answered.
//!
//! It knows how long each answer must be, so it need not look into them; the first and the last bytes are looked at.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// Items in the cache.
pub(super) const KEYS: usize = 200_000;
/// A value's length in bytes: from here, up to one less than there.
const VALUE_MIN: usize = 32;
const VALUE_END: usize = 101;
/// How long a run takes.
const RUN: Duration = Duration::from_millis(400);
/// Requests that are sent at once while the cache is filled.
const FILL_AT_ONCE: usize = 100;
/// No answer may take longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Command {
    Get,
    Set,
}

/// What a run has measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) requests: f64,
    pub(super) microseconds: f64,
}

/// A client with its connections.
pub(super) struct Load {
    poll: Poll,
    events: Events,
    connections: Vec<Connection>,
    random: Random,
    buffer: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// Bytes of the answer that are still to come.
    awaited: usize,
    /// Requests whose answers are awaited.
    requests: usize,
}

impl Load {
    /// Opens connections.
    ///
    /// # Errors
    ///
    /// If the server does not accept them.
    pub(super) fn connect(address: SocketAddr, connections: usize) -> Result<Self> {
        let poll = Poll::new()?;
        let mut all = Vec::new();
        for number in 0..connections {
            let stream = std::net::TcpStream::connect(address).context("connect to the server")?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            poll.registry().register(&mut stream, Token(number), Interest::READABLE)?;
            all.push(Connection { stream, request: Vec::new(), awaited: 0, requests: 0 });
        }
        let events = Events::with_capacity(connections);
        let buffer = vec![0; 256 * 1024];
        Ok(Self { poll, events, connections: all, random: Random(1), buffer })
    }

    /// Uses every connection once, so that the server has made what it keeps for each.
    ///
    /// # Errors
    ///
    /// If an answer is wrong or late.
    pub(super) fn warm_up(&mut self) -> Result<()> {
        let mut left = self.connections.len();
        self.drive(|connection, _| {
            let more = left > 0;
            if more {
                left -= 1;
                connection.add(b"version\r\n", 0);
                connection.awaited = usize::MAX;
            }
            more
        })
    }

    /// Stores all items.
    ///
    /// # Errors
    ///
    /// If an answer is wrong or late.
    pub(super) fn fill(&mut self) -> Result<()> {
        let mut next = 0;
        self.drive(|connection, _| {
            let end = KEYS.min(next + FILL_AT_ONCE);
            for key in next..end {
                connection.ask(Command::Set, key);
            }
            let more = next < end;
            next = end;
            more
        })
    }

    /// Asks for random items for a while, `at_once` of them on each connection.
    ///
    /// # Errors
    ///
    /// If an answer is wrong or late.
    pub(super) fn run(&mut self, command: Command, at_once: usize) -> Result<Run> {
        let start = Instant::now();
        let mut requests = 0;
        self.drive(|connection, random| {
            if start.elapsed() >= RUN {
                return false;
            }
            for _ in 0..at_once {
                connection.ask(command, random.below(KEYS));
            }
            requests += at_once;
            true
        })?;
        let microseconds = start.elapsed().as_secs_f64() * 1e6;
        Ok(Run { requests: f64::from(u32::try_from(requests)?), microseconds })
    }

    /// Has `refill` give each connection something to send whenever it has all its answers, until it has no more.
    fn drive(
        &mut self,
        mut refill: impl FnMut(&mut Connection, &mut Random) -> bool,
    ) -> Result<()> {
        let mut busy = 0;
        for connection in &mut self.connections {
            if refill(connection, &mut self.random) {
                connection.send()?;
                busy += 1;
            }
        }
        while busy > 0 {
            self.poll.poll(&mut self.events, Some(ANSWER_WITHIN))?;
            ensure!(!self.events.is_empty(), "no answer within {ANSWER_WITHIN:?}");
            for event in &self.events {
                let connection = &mut self.connections[event.token().0];
                if !connection.receive(&mut self.buffer)? {
                    continue;
                }
                if refill(connection, &mut self.random) {
                    connection.send()?;
                } else {
                    busy -= 1;
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    fn add(&mut self, request: &[u8], answer_len: usize) {
        self.request.extend_from_slice(request);
        self.awaited += answer_len;
        self.requests += 1;
    }

    fn ask(&mut self, command: Command, key: usize) {
        let len = value_len(key);
        let name = key_name(key);
        match command {
            Command::Get => {
                self.request.extend_from_slice(b"get ");
                self.request.extend_from_slice(&name);
                // VALUE key 0 len\r\n value \r\nEND\r\n
                let digits = if len < 100 { 2 } else { 3 };
                self.add(b"\r\n", 6 + name.len() + 3 + digits + 2 + len + 7);
            }
            Command::Set => {
                self.request.extend_from_slice(b"set ");
                self.request.extend_from_slice(&name);
                self.request.extend_from_slice(format!(" 0 0 {len}\r\n").as_bytes());
                self.request.extend_from_slice(&[b'v'; VALUE_END][..len]);
                self.add(b"\r\n", b"STORED\r\n".len());
            }
        }
    }

    /// What is asked at once fits into a socket's buffer.
    fn send(&mut self) -> Result<()> {
        let sent = self.stream.write(&self.request).context("write to the server")?;
        ensure!(sent == self.request.len(), "the server does not read");
        self.request.clear();
        Ok(())
    }

    /// Reads; says whether all answers are there.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        let was_waiting = self.awaited > 0;
        loop {
            let len = match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(len) => len,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("read from the server"),
            };
            let read = &buffer[..len];
            if self.awaited == usize::MAX {
                ensure!(read.starts_with(b"VERSION "), "answered: {}", read.escape_ascii());
                self.awaited = 0;
            } else {
                ensure!(len <= self.awaited, "answered more than it should");
                self.awaited -= len;
            }
            if self.awaited == 0 {
                let good = [&b"END\r\n"[..], b"STORED\r\n"].iter().any(|end| read.ends_with(end));
                ensure!(good || read.starts_with(b"VERSION "), "answered: {}", read.escape_ascii());
                self.requests = 0;
                return Ok(was_waiting);
            }
        }
    }
}

/// 20 bytes.
fn key_name(key: usize) -> [u8; 20] {
    let mut name = *b"PEER_000000000000000";
    let mut rest = key;
    for digit in name.iter_mut().rev().take(15) {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    name
}

/// Each key's own, so that a set never changes an item's size.
fn value_len(key: usize) -> usize {
    VALUE_MIN + key * 31 % (VALUE_END - VALUE_MIN)
}

/// Numbers that are the same in every run: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_twenty_bytes_and_values_all_lengths() {
        assert_eq!(&key_name(123), b"PEER_000000000000123");
        let lens: std::collections::BTreeSet<_> = (0..1000).map(value_len).collect();
        assert_eq!((lens.first(), lens.last(), lens.len()), (Some(&32), Some(&100), 69));
    }
}
