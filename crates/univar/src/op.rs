//! What may be asked of the cache servers, and what they may answer.
//!
//! These are the words of `docs/consistency.md`. How an operation becomes commands belongs to
//! `task`.

use std::time::Duration;

use crate::Name;

/// Longest value, in bytes. memcached's items end at 1 MiB with its own header, the key, the
/// line end and our envelope counted in; what it refuses as too large it also *deletes*, so a value that cannot
/// fit is refused here, before the old one is lost.
pub const VALUE_MAX_BYTES: usize = 1024 * 1024 - 512;

/// One operation on one name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Op<'a> {
    /// Reads: [`Outcome::Value`], or [`Outcome::Missing`].
    Get {
        /// Of what.
        name: &'a Name,
    },
    /// Writes, whatever was there: [`Outcome::Done`].
    Set {
        /// Of what.
        name: &'a Name,
        /// Any bytes, at most [`VALUE_MAX_BYTES`].
        value: &'a [u8],
        /// How long it lives, rounded up to whole seconds; `None` is for ever. Zero is a
        /// value that is gone at once.
        ttl: Option<Duration>,
    },
    /// Deletes, whatever was there: [`Outcome::Done`], or [`Outcome::Missing`].
    Delete {
        /// Of what.
        name: &'a Name,
    },
    /// Writes if nothing is there: [`Outcome::Done`], or [`Outcome::Exists`]. At most one of
    /// several that add is told `Done`: a lock.
    Add {
        /// To what.
        name: &'a Name,
        /// Any bytes, at most [`VALUE_MAX_BYTES`].
        value: &'a [u8],
        /// As in [`Op::Set`].
        ttl: Option<Duration>,
    },
    /// Adds to a decimal number, beginning with 0 where nothing is: [`Outcome::Number`], or
    /// [`Invalid::NotANumber`].
    Increment {
        /// Of what.
        name: &'a Name,
        /// How much; may be negative.
        by: i64,
        /// The life of a number that is made; one that is there keeps its own.
        ttl: Option<Duration>,
    },
    /// How long it will live: [`Outcome::Life`], or [`Outcome::Missing`].
    Life {
        /// Of what.
        name: &'a Name,
    },
    /// Gives it another time to live: [`Outcome::Done`], or [`Outcome::Missing`].
    Touch {
        /// Of what.
        name: &'a Name,
        /// As in [`Op::Set`].
        ttl: Option<Duration>,
    },
    /// Writes a registration's record, whoever held it: [`Outcome::Done`].
    Take {
        /// Of what.
        name: &'a Name,
        /// The identity, which is also the owner.
        value: &'a [u8],
        /// The lease, rounded up to whole seconds.
        ttl: Duration,
    },
    /// Renews our record or fills a gap: [`Outcome::Done`], or [`Outcome::Foreign`] if another's
    /// record stands.
    Keep {
        /// Of what.
        name: &'a Name,
        /// The identity, which is also the owner.
        value: &'a [u8],
        /// The lease, rounded up to whole seconds.
        ttl: Duration,
    },
    /// Removes our record: [`Outcome::Done`], also where there is none any more (what was asked
    /// for holds, whatever the cache server lost), or [`Outcome::Foreign`] if another's stands.
    Withdraw {
        /// Of what.
        name: &'a Name,
        /// The identity, which is also the owner.
        value: &'a [u8],
    },
}

impl<'a> Op<'a> {
    /// The name that it is about.
    #[must_use]
    pub fn name(&self) -> &'a Name {
        match *self {
            Self::Get { name }
            | Self::Set { name, .. }
            | Self::Delete { name }
            | Self::Add { name, .. }
            | Self::Increment { name, .. }
            | Self::Life { name }
            | Self::Touch { name, .. }
            | Self::Take { name, .. }
            | Self::Keep { name, .. }
            | Self::Withdraw { name, .. } => name,
        }
    }

    /// The value that it carries.
    #[must_use]
    pub fn value(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Get { .. }
            | Self::Delete { .. }
            | Self::Increment { .. }
            | Self::Life { .. }
            | Self::Touch { .. } => None,
            Self::Set { value, .. }
            | Self::Add { value, .. }
            | Self::Take { value, .. }
            | Self::Keep { value, .. }
            | Self::Withdraw { value, .. } => Some(value),
        }
    }
}

/// What became of an [`Op`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The value, as it was written.
    Value(Vec<u8>),
    /// It is done.
    Done,
    /// It is certainly not there.
    Missing,
    /// Add: something is there already, and was left alone.
    Exists,
    /// Increment: the number that it is now.
    Number(i64),
    /// Life: what is left of it, in whole seconds; `None` is for ever.
    Life(Option<Duration>),
    /// Keep, Withdraw: another's record stands, and was left alone.
    Foreign,
    /// Cannot tell. A write may or may not have happened.
    Unreachable,
    /// It can never work as asked. Nothing was changed, unless the reason says otherwise.
    Invalid(Invalid),
}

/// Why an [`Op`] can never work as asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// The caller's value is longer than [`VALUE_MAX_BYTES`].
    #[error("the value has {len} bytes; at most {VALUE_MAX_BYTES} fit")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The cache server takes smaller values than memcached's default (its `-I`). memcached
    /// deletes the old value when it refuses a new one so; with two copies both are deleted.
    #[error(
        "a cache server refused the value as too large, and has deleted the old one: give all of them the same limit (memcached -I)"
    )]
    Refused,
    /// Increment: what stands there is no decimal number.
    #[error("the value is not a whole number that can be counted up")]
    NotANumber,
    /// Increment: what it would be does not fit.
    #[error("the sum would not fit into 64 bits")]
    Overflow,
    /// A Tandem envelope stands there: another node is configured for two copies or a secret.
    #[error("the cache holds an envelope: not all servers have the same configuration")]
    Envelope,
}
