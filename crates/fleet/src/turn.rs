//! One message's turn: when, whether it is an event or an item of a list, and what it leads to.
//!
//! This is where "nothing lost or doubled" is decided. A server's messages are counted. A thing
//! keeps the count of the last event that touched it; a request keeps the count at which it was
//! asked. Asterisk changes what it lists before it tells the event (`stasis_channels.c` updates the
//! cache and then publishes), so an item is at least as new as every event that came before the
//! question. Hence:
//!
//! - an event always counts, in the order of events;
//! - an item counts for what no event has touched since the question;
//! - what a whole list lacks is gone, unless an event has touched it since the question;
//! - what an event ended since the question, no item brings back ([`Ended`]).

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use crate::limits::ENDED_MAX;
use crate::log::Key;
use crate::text::Text;
use crate::view::Time;

/// A place in the stream of a server's messages.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Mark(pub(crate) u64);

#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Event {
        /// A request is under way.
        is_listing: bool,
    },
    List {
        /// When it was asked.
        began: Mark,
        /// The state was held to be true then.
        was_live: bool,
    },
}

/// What follows from messages, for the server to act on.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// What changed, and whether it is gone.
    pub(crate) changed: Vec<(Key, bool)>,
    pub(crate) drift: u64,
    pub(crate) left_out: u64,
    /// Something that no list had.
    pub(crate) is_reconciliation_wanted: bool,
    /// Endpoints to ask about one by one.
    pub(crate) details_wanted: Vec<Text>,
}

#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pub(crate) now: Time,
    pub(crate) mark: Mark,
    pub(crate) source: Source,
    pub(crate) out: &'a mut Outcome,
}

impl Turn<'_> {
    /// Whether this message is to be believed about what was last touched at `touched`.
    pub(crate) fn wins(&self, touched: Mark) -> bool {
        match self.source {
            Source::Event { .. } => true,
            Source::List { began, .. } => touched <= began,
        }
    }

    /// Notes that an event touched it.
    pub(crate) fn touch(&self, touched: &mut Mark) {
        if self.is_event() {
            *touched = self.mark;
        }
    }

    pub(crate) fn is_event(&self) -> bool {
        matches!(self.source, Source::Event { .. })
    }

    /// Whether it is an event, and a request is under way.
    pub(crate) fn is_listing(&self) -> bool {
        matches!(self.source, Source::Event { is_listing: true })
    }

    /// The list that this is about; an event is about none.
    pub(crate) fn list(&self) -> Option<Mark> {
        match self.source {
            Source::Event { .. } => None,
            Source::List { began, .. } => Some(began),
        }
    }

    /// Counts what events should have told.
    pub(crate) fn compare(&mut self, is_same: bool) {
        if let Source::List { was_live: true, .. } = self.source {
            self.out.drift += u64::from(!is_same);
        }
    }

    pub(crate) fn changed(&mut self, key: Key) {
        self.out.changed.push((key, false));
    }

    pub(crate) fn gone(&mut self, key: Key) {
        self.out.changed.push((key, true));
    }
}

/// What events ended while a request is under way.
#[derive(Debug)]
pub(crate) struct Ended<K>(HashMap<K, Mark>);

impl<K> Default for Ended<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Ended<K> {
    pub(crate) fn note(&mut self, key: K, turn: &mut Turn<'_>) {
        match turn.source {
            Source::Event { is_listing: true } if self.0.len() < ENDED_MAX => {
                self.0.insert(key, turn.mark);
            }
            Source::Event { is_listing: true } => turn.out.is_reconciliation_wanted = true,
            _ => {}
        }
    }

    pub(crate) fn may_be<Q: Eq + Hash + ?Sized>(&self, key: &Q, turn: &Turn<'_>) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.get(key).is_none_or(|&ended| !turn.is_event() && turn.wins(ended))
    }

    /// A request begins: none of this matters to it.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }
}
