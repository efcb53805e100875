//! Why bytes are not memcached's protocol.

use crate::{DATA_MAX_BYTES, KeyError, LINE_MAX_BYTES};

/// Why bytes are not memcached's protocol.
///
/// Each variant is final: framing is lost, or soon would be, so close the connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The peer sent more than [`LINE_MAX_BYTES`] without a line end.
    #[error("a line is longer than {LINE_MAX_BYTES} bytes")]
    LineTooLong,
    /// The peer ended a line with something else than CR LF.
    #[error("a line does not end with CR LF")]
    BadLineEnd,
    /// The client's command is none that is known here.
    #[error("unknown command")]
    UnknownCommand,
    /// The server's reply is none that is known here.
    #[error("unknown reply")]
    UnknownReply,
    /// The peer's line ends before all that must be in it.
    #[error("the line is not complete")]
    Incomplete,
    /// The peer's line goes on where it should end.
    #[error("the line has more in it than it should")]
    Surplus,
    /// The peer sent a number that is none, or too large.
    #[error("a number is expected")]
    BadNumber,
    /// The peer's key breaks memcached's rules.
    #[error("bad key: {0}")]
    BadKey(#[from] KeyError),
    /// A flag is not a letter, or has a blank or control byte in it.
    #[error("a flag is not a letter with a token")]
    BadFlag,
    /// The peer announced a data block longer than [`DATA_MAX_BYTES`].
    #[error("a data block of {len} bytes is longer than {DATA_MAX_BYTES}")]
    DataTooLong {
        /// The announced length in bytes.
        len: u64,
    },
    /// The peer's data block is not followed by CR LF.
    #[error("a data block does not end with CR LF")]
    BadDataEnd,
    /// The server's URI encoding of a key is broken.
    #[error("a dumped key is not URI-encoded")]
    BadEncoding,
}
