//! One connection: its socket, what was read and is not done with, what was answered and is not
//! sent.
//!
//! A connection that waits for nothing keeps no buffers: input is read into its worker's, and only
//! what is left of it is kept.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use mio::net::TcpStream;

use crate::feed::{Bell, Watcher};
use crate::protocol::{Env, Session, Step};
use crate::stats::Shared;

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    session: Session,
    /// What was read and is not done with.
    input: Vec<u8>,
    /// Nothing can be done with less input than this.
    need: usize,
    /// Answers that the socket has not taken.
    output: Vec<u8>,
    sent: usize,
    /// There is, or may be, something to read.
    readable: bool,
    /// The other side will send no more.
    ended: bool,
    /// To be closed when all is sent.
    closing: bool,
    watcher: Option<Arc<Watcher>>,
}

/// A worker's buffers, which its connections share.
#[derive(Debug)]
pub(super) struct Buffers {
    pub(super) input: Box<[u8]>,
    pub(super) output: Vec<u8>,
}

/// What to do with a connection next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// Wait for an event.
    Wait,
    /// Serve it again, when others have had their turn.
    Again,
    Close,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            session: Session::default(),
            input: Vec::new(),
            need: 1,
            output: Vec::new(),
            sent: 0,
            readable: true,
            ended: false,
            closing: false,
            watcher: None,
        }
    }

    /// An event says that there is something to read, or that the other side has ended.
    pub(super) fn may_read(&mut self, ended: bool) {
        self.readable = true;
        self.ended |= ended;
    }

    pub(super) fn watches(&self) -> bool {
        self.watcher.is_some()
    }

    /// Gives back all that the connection holds of what is shared.
    pub(super) fn end(&mut self, shared: &Shared) {
        self.session.end(shared);
        if let Some(watcher) = self.watcher.take() {
            shared.cache.feed.unwatch(&watcher);
        }
    }

    /// Sends what waits, reads once, and carries out what was read.
    pub(super) fn serve(&mut self, env: Env<'_>, bell: &Bell, buffers: &mut Buffers) -> Next {
        match self.try_serve(env, bell, buffers) {
            Ok(next) => next,
            // The other side is gone, and with it all who could learn of it.
            Err(_) => Next::Close,
        }
    }

    fn try_serve(&mut self, env: Env<'_>, bell: &Bell, buffers: &mut Buffers) -> io::Result<Next> {
        if !self.flush(env)? {
            return Ok(Next::Wait);
        }
        if self.closing {
            return Ok(Next::Close);
        }
        if self.watches() {
            return self.serve_watcher(env, buffers);
        }
        // What was kept when the answers had become too many.
        if self.input.len() >= self.need {
            let mut input = std::mem::take(&mut self.input);
            let done = self.carry_out(env, bell, &input, &mut buffers.output)?;
            input.drain(..done);
            self.keep_back(input);
            return self.next();
        }
        if !self.readable {
            return Ok(Next::Wait);
        }
        let Some(len) = self.read(env, &mut buffers.input)? else { return Ok(Next::Wait) };
        if len == 0 {
            return Ok(Next::Close);
        }
        let read = &buffers.input[..len];
        if self.input.is_empty() {
            let done = self.carry_out(env, bell, read, &mut buffers.output)?;
            self.input.extend_from_slice(&read[done..]);
        } else {
            // For a large value: room for all of it at once.
            self.input.reserve_exact(self.need.saturating_sub(self.input.len()));
            self.input.extend_from_slice(read);
            if self.input.len() >= self.need {
                let mut input = std::mem::take(&mut self.input);
                let done = self.carry_out(env, bell, &input, &mut buffers.output)?;
                input.drain(..done);
                self.keep_back(input);
            }
        }
        self.next()
    }

    fn keep_back(&mut self, input: Vec<u8>) {
        if !input.is_empty() {
            self.input = input;
        }
    }

    fn next(&self) -> io::Result<Next> {
        Ok(match () {
            () if !self.output.is_empty() => Next::Wait,
            () if self.closing => Next::Close,
            () if self.readable || self.input.len() >= self.need => Next::Again,
            () => Next::Wait,
        })
    }

    /// Reads once. `None` if there is nothing yet.
    fn read(&mut self, env: Env<'_>, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        loop {
            match self.stream.read(buffer) {
                Ok(len) => {
                    // epoll tells of more when more comes; of an end that it has told already it
                    // does not tell again.
                    self.readable = len == buffer.len() || self.ended;
                    env.counters.bytes_read.add(len as u64);
                    return Ok(Some(len));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.readable = false;
                    return Ok(None);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Carries out the commands in `input` and sends the answers. Says how much is done with.
    fn carry_out(
        &mut self,
        env: Env<'_>,
        bell: &Bell,
        input: &[u8],
        answers: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let mut done = 0;
        loop {
            answers.clear();
            let (bytes, step) = self.session.run(env, &input[done..], answers);
            done += bytes;
            let all_sent = self.send(env, answers)?;
            match step {
                Step::More { need } => {
                    self.need = need.max(input.len() - done + 1);
                    return Ok(done);
                }
                Step::Full if all_sent => {}
                Step::Full => {
                    // Whatever is kept is to be looked at again when all is sent.
                    self.need = 0;
                    return Ok(done);
                }
                Step::Close => {
                    self.closing = true;
                    return Ok(input.len());
                }
                Step::Watch { prefix } => {
                    if self.start_watching(env, bell, &prefix)? {
                        return Ok(input.len());
                    }
                }
            }
        }
    }

    /// Says whether it watches from now on.
    fn start_watching(&mut self, env: Env<'_>, bell: &Bell, prefix: &[u8]) -> io::Result<bool> {
        self.watcher = env.shared.cache.feed.watch(prefix, bell.clone());
        let answer: &[u8] = match self.watcher {
            Some(_) => b"OK\r\n",
            None => b"WATCHER_TOO_MANY log watcher limit reached\r\n",
        };
        self.send(env, answer)?;
        Ok(self.watches())
    }

    /// What a watcher sends is not looked at, only whether it is still there.
    fn serve_watcher(&mut self, env: Env<'_>, buffers: &mut Buffers) -> io::Result<Next> {
        while self.readable {
            match self.read(env, &mut buffers.input)? {
                Some(0) => return Ok(Next::Close),
                Some(_) => {}
                None => break,
            }
        }
        while let Some(watcher) = &self.watcher {
            let events = watcher.take();
            if events.is_empty() || !self.send(env, &events)? {
                break;
            }
        }
        Ok(Next::Wait)
    }

    /// Sends what waits; says whether nothing waits any longer.
    fn flush(&mut self, env: Env<'_>) -> io::Result<bool> {
        if self.output.is_empty() {
            return Ok(true);
        }
        let output = std::mem::take(&mut self.output);
        let sent = self.sent + self.write(env, &output[self.sent..])?;
        if sent < output.len() {
            (self.output, self.sent) = (output, sent);
            return Ok(false);
        }
        self.sent = 0;
        Ok(true)
    }

    /// Sends `bytes`, and keeps what the socket does not take. Says whether it took all.
    fn send(&mut self, env: Env<'_>, bytes: &[u8]) -> io::Result<bool> {
        if bytes.is_empty() {
            return Ok(self.output.is_empty());
        }
        if !self.output.is_empty() {
            self.output.extend_from_slice(bytes);
            return Ok(false);
        }
        let sent = self.write(env, bytes)?;
        if sent < bytes.len() {
            self.output = bytes[sent..].to_vec();
            self.sent = 0;
        }
        Ok(self.output.is_empty())
    }

    /// Writes until all is written or the socket takes no more; epoll tells when it does again.
    fn write(&mut self, env: Env<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        env.counters.bytes_written.add(sent as u64);
        Ok(sent)
    }
}
