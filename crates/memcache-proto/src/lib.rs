//! memcached's meta protocol, sans-IO, both sides.
//!
//! [`Request`] and [`Response`] are what a client and a server say; [`LineReply`] is what the few
//! older commands answer that a client still needs (`version`, `stats`, `lru_crawler metadump`).
//! Each has `encode`, which appends to a buffer, and `decode`, which reads one message from the
//! front of one and says how long it was, or `None`: read more and call again. Nothing here owns
//! a buffer, and decoding copies nothing (a dumped key that was URI-encoded is the exception).
//!
//! A [`Key`] and the [`Flags`] cannot be built with a blank or a line end in them, so what is
//! encoded is always one command. Sockets, retries and meaning belong to the caller.

#![forbid(unsafe_code)]

mod error;
mod flags;
mod key;
mod line;
mod lines;
mod request;
mod response;

pub use error::Error;
pub use flags::{ArithmeticMode, Flag, FlagBuf, Flags, SetMode};
pub use key::{KEY_MAX_BYTES, Key, KeyError};
pub use lines::LineReply;
pub use request::Request;
pub use response::Response;

/// Longest line, its end included: memcached itself closes a connection whose line is longer.
pub const LINE_MAX_BYTES: usize = 2048;

/// Longest data block of a value: memcached's default limit (`-I`).
pub const DATA_MAX_BYTES: usize = 1024 * 1024;
