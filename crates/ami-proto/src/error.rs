//! Why bytes are not AMI, and why an action cannot be sent.

use crate::{
    ACTION_HEADERS_MAX, ACTION_LINE_MAX_BYTES, BUFFER_MAX_BYTES, GREETING_MAX_BYTES, HEADERS_MAX,
    LINE_MAX_BYTES, MESSAGE_MAX_BYTES,
};

/// Why a byte stream is not AMI.
///
/// Each variant is final: framing is lost, or would take too much memory, so close the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The peer's first line is not Asterisk's greeting: another service listens there.
    #[error("the first line is not the greeting of Asterisk's manager interface")]
    NotAsterisk,
    /// The peer's first line is longer than [`GREETING_MAX_BYTES`]: another service.
    #[error("the first line is longer than {GREETING_MAX_BYTES} bytes")]
    GreetingTooLong,
    /// The peer sent more than [`LINE_MAX_BYTES`] without a line end.
    #[error("line {line} of a message is longer than {LINE_MAX_BYTES} bytes")]
    LineTooLong {
        /// Line within the message, from 1.
        line: usize,
    },
    /// The peer sent more than [`MESSAGE_MAX_BYTES`] without a blank line.
    #[error("a message is longer than {MESSAGE_MAX_BYTES} bytes")]
    MessageTooLong,
    /// The peer sent more than [`HEADERS_MAX`] lines without a blank one.
    #[error("a message has more than {HEADERS_MAX} headers")]
    TooManyHeaders,
    /// The caller fed more than [`BUFFER_MAX_BYTES`] without taking messages out.
    #[error("more than {BUFFER_MAX_BYTES} bytes were fed and not taken out")]
    Overfed,
}

/// Why a name and a value are not a header. The caller's fault, or that of whoever gave it the
/// value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// CR, LF or NUL: it would end the header and begin another.
    #[error("the byte 0x{byte:02x} would end the header, at offset {at}")]
    LineEnd {
        /// The first such byte.
        byte: u8,
        /// Its offset in the name or value, from 0.
        at: usize,
    },
    /// A name has a colon in it, where its value would begin.
    #[error("a header's name has a colon in it")]
    ColonInName,
    /// There is no name.
    #[error("a header has no name")]
    NoName,
    /// A line of text has a name in it, or is blank, and would be read as something else.
    #[error("a line of text is blank, or has a colon in it")]
    NotText,
}

/// Why an action cannot be said to Asterisk as it is. Nothing was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ActionError {
    /// A name or value is none.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Asterisk would throw the action away.
    #[error("a line has {len} bytes, and Asterisk reads at most {ACTION_LINE_MAX_BYTES}")]
    LineTooLong {
        /// Its length, with its end.
        len: usize,
    },
    /// Asterisk would throw the action away.
    #[error("an action has more than {ACTION_HEADERS_MAX} headers, its id included")]
    TooManyHeaders,
    /// Asterisk skips blanks before a value: it would not be what was meant.
    #[error("the value begins with a blank, which Asterisk would drop")]
    LeadingBlank,
    /// [`crate::Session`] gives the ids.
    #[error("an action's id is the session's to give")]
    OwnActionId,
    /// The prefix of action ids is empty, longer than [`crate::ID_PREFIX_MAX_BYTES`], or has a
    /// blank or a control byte in it.
    #[error("not a prefix for action ids")]
    BadIdPrefix,
}
