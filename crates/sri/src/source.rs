//! One phone of one driver, with its contacts.
//!
//! A phone is registered for as long as one of its contacts is. A contact whose time is over counts
//! as removed even if the driver never says so.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::rules::Unpublishable;

/// How long a contact outlives its end here. The driver's own event normally comes first.
pub const EXPIRY_SLACK: Duration = Duration::from_secs(1);

pub(crate) type SourceId = u64;
pub(crate) type RecordId = u64;

#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) driver: String,
    pub(crate) endpoint: String,
    pub(crate) contacts: BTreeMap<String, Contact>,
    /// For each section that covers the driver, by its index: the record, or why there is none.
    pub(crate) records: Vec<(usize, Result<RecordId, Unpublishable>)>,
    /// Where this phone stands in the queue of expiries.
    pub(crate) queued: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Contact {
    /// `None`: until the driver says that it is gone.
    pub(crate) expires: Option<Instant>,
    /// When the driver last spoke of it.
    pub(crate) seen: Instant,
}

impl Source {
    pub(crate) fn new(driver: &str, endpoint: &str) -> Self {
        Self {
            driver: driver.to_owned(),
            endpoint: endpoint.to_owned(),
            contacts: BTreeMap::new(),
            records: Vec::new(),
            queued: None,
        }
    }

    /// Notes a contact, and says whether it is new.
    pub(crate) fn note(&mut self, now: Instant, contact: &str, expires: Option<Instant>) -> bool {
        match self.contacts.get_mut(contact) {
            Some(known) => {
                known.expires = expires;
                known.seen = known.seen.max(now);
                false
            }
            None => {
                self.contacts.insert(contact.to_owned(), Contact { expires, seen: now });
                true
            }
        }
    }

    /// The end of the contact that lives longest; `None` if one has no end.
    pub(crate) fn expires(&self) -> Option<Instant> {
        latest(self.contacts.values().map(|c| c.expires))
    }

    /// When the next contact is to be given up.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.contacts.values().filter_map(|c| c.expires).min().map(|end| end + EXPIRY_SLACK)
    }

    pub(crate) fn drop_expired(&mut self, now: Instant) {
        self.contacts.retain(|_, c| c.expires.is_none_or(|end| end + EXPIRY_SLACK > now));
    }
}

/// The latest of several ends, where `None` is later than all.
pub(crate) fn latest(ends: impl Iterator<Item = Option<Instant>>) -> Option<Instant> {
    ends.reduce(|a, b| Some(a?.max(b?))).flatten()
}
