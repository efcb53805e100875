//! What a lane carries: a conversation with one cache server, as bytes.
//!
//! Pure. Whoever implements [`Talk`] never sees a socket; whoever drives it (`lane`) never sees
//! what is said.

use std::time::Instant;

use memcache_proto::{Error as FormatError, Response};

/// One side of a conversation: asks in batches, reads the answers of each before the next.
pub(crate) trait Talk {
    /// Appends the next batch to `out`. Nothing appended means that there is nothing more to ask.
    fn ask(&mut self, out: &mut Vec<u8>);

    /// Reads from the front of `buf`; says how many bytes are done with, and what comes next.
    ///
    /// # Errors
    ///
    /// [`TalkError`]: the connection is of no more use.
    fn hear(&mut self, buf: &[u8], now: Instant) -> Result<(usize, Heard), TalkError>;

    /// The batch that was asked last will be asked again, on another connection. Only called
    /// before any byte of its answer was heard.
    fn ask_again(&mut self);
}

/// What comes next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Heard {
    /// Answers are still due.
    More,
    /// The batch is answered; [`Talk::ask`] for the next.
    Answered,
    /// All that was wanted is here, and the connection may be in any state: close it.
    Enough,
}

/// Why a cache server's answer cannot be relied on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum TalkError {
    /// It is not memcached's protocol.
    #[error("not memcached's protocol: {0}")]
    Format(#[from] FormatError),
    /// It is no answer to what was asked.
    #[error("the answer does not fit the question")]
    Unexpected,
    /// The server has as many connections as it may have, and closes this one.
    #[error("it has too many connections: allow it more (-c)")]
    TooManyConnections,
}

impl TalkError {
    /// What an answer means that is none to what was asked.
    pub(crate) fn of(response: &Response<'_>) -> Self {
        match response {
            Response::Error(text) if text.starts_with(b"Too many open connections") => {
                Self::TooManyConnections
            }
            _ => Self::Unexpected,
        }
    }
}
