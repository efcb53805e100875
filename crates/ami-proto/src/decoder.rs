//! Bytes in, greeting and messages out.

use std::mem;

use memchr::memchr;

use crate::error::FrameError;
use crate::message::Message;
use crate::scan::Scan;
use crate::{BUFFER_MAX_BYTES, GREETING_MAX_BYTES};

/// How Asterisk's greeting begins; its version follows.
const GREETING: &[u8] = b"Asterisk Call Manager";

/// What a server says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Frame<'a> {
    /// The first line, less `Asterisk Call Manager/`: the protocol's version, `5.0.4` for Asterisk
    /// 16 and `11.0.0` for 22. No blank line follows it.
    Greeting(&'a [u8]),
    /// A message.
    Message(Message<'a>),
}

/// Decodes a stream that arrives in pieces of any size.
///
/// Feed it, then [`poll`](Self::poll) until it says `None`. Blank lines between messages are
/// skipped: some actions print two. A line may end with LF alone, and headers may lack the blank
/// after the colon. A value with a line end in it cannot be told from another header, and Asterisk
/// prints callers' numbers and dialled extensions as they came
/// (`ast_manager_build_channel_state_string_prefix`); names it escapes.
///
/// # Examples
///
/// ```
/// use ami_proto::{Decoder, Frame};
///
/// let mut decoder = Decoder::new();
/// decoder.feed(b"Asterisk Call Manager/11.0.0\r\nEvent: Hangup\r\nCau")?;
/// assert_eq!(decoder.poll()?, Some(Frame::Greeting(b"11.0.0")));
/// assert_eq!(decoder.poll()?, None);
///
/// decoder.feed(b"se: 16\r\n\r\n")?;
/// let Some(Frame::Message(message)) = decoder.poll()? else { panic!("a whole message") };
/// assert_eq!(message.get("cause"), Some(&b"16"[..]));
/// # Ok::<(), ami_proto::FrameError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Decoder {
    buf: Vec<u8>,
    /// Where the message under way, or the one that is lent, begins in `buf`.
    start: usize,
    greeted: bool,
    scan: Scan,
    current: Current,
    failed: Option<FrameError>,
}

/// What was found last, and is dropped when the next is looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Current {
    Nothing,
    /// The version is `from..to` of the line; the line has `len` bytes.
    Greeting {
        from: usize,
        to: usize,
        len: usize,
    },
    Message {
        len: usize,
    },
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// For a new connection: the greeting comes first.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buf: Vec::new(),
            start: 0,
            greeted: false,
            scan: Scan::new(),
            current: Current::Nothing,
            failed: None,
        }
    }

    /// For a stream whose greeting has been taken already.
    #[must_use]
    pub fn without_greeting() -> Self {
        Self { greeted: true, ..Self::new() }
    }

    /// Takes more bytes of the stream.
    ///
    /// # Errors
    ///
    /// [`FrameError::Overfed`] if more than [`BUFFER_MAX_BYTES`] have not been taken out, and what
    /// a [`poll`](Self::poll) before has said.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.drop_current();
        if self.buf.len() - self.start + bytes.len() > BUFFER_MAX_BYTES {
            return Err(self.fail(FrameError::Overfed));
        }
        // Moved only when there is as much to drop as to move: each byte once on average.
        if self.start > 0 && self.start >= self.buf.len() - self.start {
            self.buf.drain(..self.start);
            self.start = 0;
        }
        self.buf.extend_from_slice(bytes);
        Ok(())
    }

    /// The next frame, or `None`: feed more.
    ///
    /// # Errors
    ///
    /// Any [`FrameError`]: no further input can mend it, and every call says so from then on.
    pub fn poll(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        Ok(if self.advance()? { self.current() } else { None })
    }

    /// Looks for the next frame; [`current`](Self::current) has it then.
    pub(crate) fn advance(&mut self) -> Result<bool, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.drop_current();
        let found = if self.greeted { self.next_message() } else { self.next_greeting() };
        self.current = found.map_err(|error| self.fail(error))?;
        Ok(self.current != Current::Nothing)
    }

    /// What was found last.
    pub(crate) fn current(&self) -> Option<Frame<'_>> {
        let bytes = &self.buf[self.start..];
        match self.current {
            Current::Nothing => None,
            Current::Greeting { from, to, .. } => Some(Frame::Greeting(&bytes[from..to])),
            Current::Message { len } => {
                Some(Frame::Message(Message::new(&bytes[..len], self.scan.index())))
            }
        }
    }

    fn next_message(&mut self) -> Result<Current, FrameError> {
        loop {
            let found = self.scan.go_on(&self.buf[self.start..])?;
            let Some(len) = found else { return Ok(Current::Nothing) };
            if !self.scan.index().is_empty() {
                return Ok(Current::Message { len });
            }
            // A blank line alone.
            self.start += len;
            self.scan.restart();
        }
    }

    fn next_greeting(&mut self) -> Result<Current, FrameError> {
        let line = &self.buf[self.start..];
        let line = &line[..line.len().min(GREETING_MAX_BYTES)];
        // Another service is told by its first bytes, whether it ends its line or not.
        let begin = line.len().min(GREETING.len());
        if line[..begin] != GREETING[..begin] {
            return Err(FrameError::NotAsterisk);
        }
        let Some(end) = memchr(b'\n', line) else {
            let too_long = line.len() == GREETING_MAX_BYTES;
            return if too_long { Err(FrameError::GreetingTooLong) } else { Ok(Current::Nothing) };
        };
        let to = end - usize::from(line[..end].ends_with(b"\r"));
        if to < GREETING.len() {
            return Err(FrameError::NotAsterisk);
        }
        // A proxy may have a name of its own before the slash.
        let from = memchr(b'/', &line[..to]).map_or(to, |slash| slash + 1);
        self.greeted = true;
        Ok(Current::Greeting { from, to, len: end + 1 })
    }

    fn drop_current(&mut self) {
        match mem::replace(&mut self.current, Current::Nothing) {
            Current::Nothing => {}
            Current::Greeting { len, .. } => self.start += len,
            Current::Message { len } => {
                self.start += len;
                self.scan.restart();
            }
        }
        if self.start == self.buf.len() {
            self.buf.clear();
            self.start = 0;
        }
    }

    /// Nothing is kept of what is not AMI.
    #[cold]
    fn fail(&mut self, error: FrameError) -> FrameError {
        (self.buf, self.start, self.scan) = (Vec::new(), 0, Scan::new());
        self.current = Current::Nothing;
        self.failed = Some(error);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_drained_stays_small() {
        let mut decoder = Decoder::without_greeting();
        let message = b"Event: VarSet\r\nVariable: A\r\nValue: 1\r\n\r\n";
        // Always the same piece, so that a message is cut everywhere.
        let stream = message.repeat(1000);
        let mut found = 0;
        for piece in stream.chunks(61) {
            decoder.feed(piece).unwrap();
            while decoder.poll().unwrap().is_some() {
                found += 1;
            }
            assert!(decoder.buf.len() < 200, "{}", decoder.buf.len());
        }
        assert_eq!(found, 1000);
        assert!(decoder.buf.capacity() < 1000, "{}", decoder.buf.capacity());
    }
}
