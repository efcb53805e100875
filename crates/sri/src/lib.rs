//! Shared registrations: which key, which value, how long, and who owns it.
//!
//! [`Registrar`] holds the table of the phones that are registered on this node and decides what
//! the cache servers have to be told about them. It does no IO and reads no clock: time is an
//! argument, and what is to be done comes out as [`Claim`]s. The rules are those of
//! `docs/consistency.md`, "Who owns a registration's record, and when".
//!
//! **The loop.** Report events ([`Registrar::registered`], [`Registrar::unregistered`], ...), then
//! drain [`Registrar::poll`], carry each claim out, and give **every** claim its answer with
//! [`Registrar::done`]: a key has at most one claim under way, so a claim that is never answered
//! stops its key. Call again when an event comes, and at [`Registrar::poll_timeout`] at the latest.
//!
//! **What a claim means** is in [`Kind`]; looking at the record and writing it, guarded by CAS, is
//! the work of whoever carries it out (`univar`). Events are found by `app_universal`.
//!
//! **Cost.** An event, a claim and its answer are O(log n) in the number of phones, for everything
//! that waits stands in an ordered queue; [`Registrar::republish`], [`Registrar::set_rules`] and
//! [`Registrar::withdraw_all`] are O(n log n), for they mean every phone. Memory is a few hundred
//! bytes for each phone, whatever happens to it: the queue keeps the latest state of each, not a
//! history. How many phones there are is bounded by the drivers, which hold the same table.

#![forbid(unsafe_code)]

mod lease;
mod record;
mod registrar;
mod rules;
mod source;
mod view;

pub use lease::{GRACE, MIN_RENEWAL, YIELD_STEP};
pub use record::{RETRY_FIRST, RETRY_MAX, TAKE_STALE_AFTER};
pub use registrar::Registrar;
pub use rules::{MAX_KEY_BYTES, RESERVED_PREFIX, Rules, Unpublishable};
pub use source::EXPIRY_SLACK;
pub use view::{PeerState, PeerView};

use std::time::Duration;

/// How a registration came to be known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// The phone sent a REGISTER just now, be it the first or a refresh.
    Register,
    /// Asterisk had it already: restored after a restart, or found when this module was loaded.
    Restored,
}

/// What a claim asks of the cache server that has its key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Write the record, whoever holds it.
    Take,
    /// Ours: write again. Absent: add. Another's: leave it, and answer [`Outcome::Foreign`].
    Keep,
    /// Ours: delete. Another's or absent: nothing.
    Withdraw,
}

/// One thing to be done at a cache server. Answer it with [`Registrar::done`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// Names this claim to [`Registrar::done`].
    pub id: u64,
    /// What to do.
    pub kind: Kind,
    /// The record's key: valid for memcached, with its prefix.
    pub key: Vec<u8>,
    /// The record's value. In a [`Kind::Withdraw`] it only tells what is ours.
    pub value: Vec<u8>,
    /// The record's time to live, in whole seconds; zero in a [`Kind::Withdraw`].
    pub ttl: Duration,
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The cache server did it (a withdrawal of what was not there counts as done).
    Done,
    /// The record is another node's, and was left alone.
    Foreign,
    /// No answer in time: it may have happened or not.
    Unreachable,
    /// It can never be done so: the two sides' configurations do not fit.
    Invalid,
}
