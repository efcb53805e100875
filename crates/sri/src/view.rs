//! What `universal show registrations` and the tests see of a registration.

use std::time::Instant;

use crate::record::{Record, Wish};
use crate::rules::Unpublishable;
use crate::source::Source;

/// One phone in one section, as it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PeerView<'a> {
    /// The driver that reported it, as it wrote its name first.
    pub driver: &'a str,
    /// The phone's name in Asterisk.
    pub endpoint: &'a str,
    /// The record's key; empty if there can be none.
    pub key: &'a [u8],
    /// The record's value; empty if there can be none.
    pub identity: &'a [u8],
    /// Its contacts; none while it is withdrawn.
    pub contacts: Vec<&'a str>,
    /// The end of the contact that lives longest; `None` if there is no end, or no contact.
    pub expires: Option<Instant>,
    /// How its record stands.
    pub state: PeerState,
    /// When the record was last written, as far as we were told.
    pub written_at: Option<Instant>,
    /// When it will be written next; for a claim under way, when it was to be sent.
    pub next_renewal: Option<Instant>,
}

/// How a registration's record stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PeerState {
    /// To be written, or written without an answer so far.
    Pending,
    /// Written and acknowledged.
    Held,
    /// Another node owns it; nothing is done until the phone registers here.
    StoodBack,
    /// The phone is gone and its record is being deleted.
    Withdrawing,
    /// It has no record.
    Unpublished(Unpublishable),
}

impl<'a> PeerView<'a> {
    pub(crate) fn of(source: &'a Source, record: Result<&'a Record, Unpublishable>) -> Self {
        let view = Self {
            driver: &source.driver,
            endpoint: &source.endpoint,
            key: &[],
            identity: &[],
            contacts: source.contacts.keys().map(String::as_str).collect(),
            expires: source.expires(),
            state: PeerState::Pending,
            written_at: None,
            next_renewal: None,
        };
        match record {
            Ok(record) => view.with(record),
            Err(why) => Self { state: PeerState::Unpublished(why), ..view },
        }
    }

    /// A record whose phone is gone.
    pub(crate) fn leaving(record: &'a Record) -> Self {
        let view = Self {
            driver: &record.last_source.0,
            endpoint: &record.last_source.1,
            key: &[],
            identity: &[],
            contacts: Vec::new(),
            expires: None,
            state: PeerState::Withdrawing,
            written_at: None,
            next_renewal: None,
        };
        view.with(record)
    }

    fn with(self, record: &'a Record) -> Self {
        let state = match record.wish {
            Wish::StandBack => PeerState::StoodBack,
            Wish::Withdraw => PeerState::Withdrawing,
            _ if record.refused => PeerState::Unpublished(Unpublishable::Refused),
            _ if record.held => PeerState::Held,
            _ => PeerState::Pending,
        };
        let next = matches!(record.wish, Wish::Take { .. } | Wish::Keep).then_some(record.due);
        Self {
            key: &record.key,
            identity: &record.value,
            state,
            written_at: record.written_at,
            next_renewal: next,
            ..self
        }
    }
}
