//! Finds the end of a message and where its headers are, going on where it stopped.
//!
//! No byte is looked at twice, however small the pieces are that a message arrives in; the limits
//! are checked as bytes come, not when a message is whole.

use memchr::{memchr, memchr2};

use crate::error::FrameError;
use crate::message::Span;
use crate::owned::END_COMMAND;
use crate::{HEADERS_MAX, LINE_MAX_BYTES, MESSAGE_MAX_BYTES};

/// How the next line is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// As a header; a blank line ends the message.
    Headers,
    /// As a header if it is `Privilege` or `ActionID`, else as the first of the console's output.
    FollowsHead,
    /// As the console's output, until `--END COMMAND--`.
    FollowsBody,
}

/// A message under way. All offsets are from its first byte.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    mode: Mode,
    /// Where the current line begins.
    line: usize,
    /// Up to here the current line has been looked at.
    seen: usize,
    /// Its first colon.
    colon: Option<usize>,
    index: Vec<Span>,
}

impl Scan {
    pub(crate) fn new() -> Self {
        Self { mode: Mode::Headers, line: 0, seen: 0, colon: None, index: Vec::new() }
    }

    /// Begins with the next message; what was indexed is forgotten, its memory kept.
    pub(crate) fn restart(&mut self) {
        self.mode = Mode::Headers;
        (self.line, self.seen, self.colon) = (0, 0, None);
        self.index.clear();
    }

    /// Where the headers are, once the message is whole.
    pub(crate) fn index(&self) -> &[Span] {
        &self.index
    }

    /// Looks at what `bytes`, the message so far, has more than at the last call. The length of
    /// the message if it is whole; one without a header is a blank line too many.
    pub(crate) fn go_on(&mut self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        // What lies behind the longest message is not this one's.
        let bytes = &bytes[..bytes.len().min(MESSAGE_MAX_BYTES)];
        while let Some(end) = self.line_end(bytes) {
            let next = end + 1;
            if next - self.line > LINE_MAX_BYTES {
                return Err(self.line_too_long());
            }
            let text_end = if bytes[self.line..end].last() == Some(&b'\r') { end - 1 } else { end };
            let is_end = self.take_line(bytes, text_end)?;
            (self.line, self.seen, self.colon) = (next, next, None);
            if is_end {
                return Ok(Some(next));
            }
        }
        if bytes.len() - self.line >= LINE_MAX_BYTES {
            return Err(self.line_too_long());
        }
        if bytes.len() == MESSAGE_MAX_BYTES {
            return Err(FrameError::MessageTooLong);
        }
        Ok(None)
    }

    /// The line feed that ends the current line. Remembers its first colon on the way.
    #[inline]
    fn line_end(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.colon.is_none() && self.mode != Mode::FollowsBody {
            let Some(at) = memchr2(b':', b'\n', &bytes[self.seen..]) else {
                self.seen = bytes.len();
                return None;
            };
            let at = self.seen + at;
            if bytes[at] == b'\n' {
                return Some(at);
            }
            self.colon = Some(at);
            self.seen = at + 1;
        }
        let found = memchr(b'\n', &bytes[self.seen..]).map(|at| self.seen + at);
        if found.is_none() {
            self.seen = bytes.len();
        }
        found
    }

    /// Takes the line that ends before `end`. Whether it ends the message.
    #[inline]
    fn take_line(&mut self, bytes: &[u8], end: usize) -> Result<bool, FrameError> {
        let start = self.line;
        match self.mode {
            Mode::Headers => {
                if start == end {
                    return Ok(true);
                }
                self.add_header(bytes, start, end)?;
                if self.index.len() == 1 && says_follows(&bytes[start..end]) {
                    self.mode = Mode::FollowsHead;
                }
            }
            Mode::FollowsHead if is_follows_head(&bytes[start..end]) => {
                self.add_header(bytes, start, end)?;
            }
            Mode::FollowsHead | Mode::FollowsBody => {
                self.mode = Mode::FollowsBody;
                self.take_output(bytes, start, end)?;
            }
        }
        Ok(false)
    }

    /// Takes a line of the console's output. The mark is on the last line if that has no end.
    fn take_output(&mut self, bytes: &[u8], start: usize, end: usize) -> Result<(), FrameError> {
        let Some(rest) = bytes[start..end].strip_suffix(END_COMMAND) else {
            return self.add(start, start, start, end);
        };
        self.mode = Mode::Headers;
        if rest.is_empty() { Ok(()) } else { self.add(start, start, start, start + rest.len()) }
    }

    #[inline]
    fn add_header(&mut self, bytes: &[u8], start: usize, end: usize) -> Result<(), FrameError> {
        match self.colon {
            Some(colon) if colon > start => {
                let blank = usize::from(bytes.get(colon + 1) == Some(&b' '));
                self.add(start, colon, (colon + 1 + blank).min(end), end)
            }
            _ => self.add(start, start, start, end),
        }
    }

    #[inline]
    fn add(
        &mut self,
        start: usize,
        name_end: usize,
        value: usize,
        end: usize,
    ) -> Result<(), FrameError> {
        if self.index.len() == HEADERS_MAX {
            return Err(FrameError::TooManyHeaders);
        }
        // Nothing is cut: a message has at most MESSAGE_MAX_BYTES.
        let [start, name_end, value, end] = [start, name_end, value, end].map(|at| at as u32);
        self.index.push(Span { start, name_end, value, end });
        Ok(())
    }

    #[cold]
    fn line_too_long(&self) -> FrameError {
        FrameError::LineTooLong { line: self.index.len() + 1 }
    }
}

const _: () = assert!(MESSAGE_MAX_BYTES <= u32::MAX as usize, "offsets are of 32 bits");

/// `Response: Follows`: what Asterisk before 14 says to `Command`.
fn says_follows(line: &[u8]) -> bool {
    split(line).is_some_and(|(name, value)| {
        name.eq_ignore_ascii_case(b"Response")
            && value.trim_ascii().eq_ignore_ascii_case(b"Follows")
    })
}

/// The headers that it puts before the output.
fn is_follows_head(line: &[u8]) -> bool {
    split(line).is_some_and(|(name, _)| {
        name.eq_ignore_ascii_case(b"Privilege") || name.eq_ignore_ascii_case(b"ActionID")
    })
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    Some((&line[..colon], &line[colon + 1..]))
}
