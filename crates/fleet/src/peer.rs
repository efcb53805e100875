//! One peer: what is known of it, and how that is shown.

use std::collections::BTreeMap;

use crate::text::Text;
use crate::turn::{Mark, Turn};
use crate::view::{Device, Driver, PeerId, PeerView, Registration};
use crate::words::{self, Line};

/// Where a phone of `chan_pjsip` is registered.
#[derive(Clone, Debug)]
pub(crate) struct Contact {
    pub(crate) is_unreachable: bool,
    pub(crate) round_trip_us: Option<u64>,
    pub(crate) user_agent: Option<Text>,
    pub(crate) touched: Mark,
    /// The last list that had it.
    pub(crate) listed: Option<Mark>,
}

/// Each part has its own mark, for events tell parts.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The last list that had it, and the event that brought it before any list did.
    pub(crate) listed: Option<Mark>,
    pub(crate) found: Mark,
    /// By their URIs.
    pub(crate) contacts: BTreeMap<Text, Contact>,
    /// All URIs that the list of endpoints names: those of registrations and of its configuration.
    pub(crate) addresses: Vec<Text>,
    /// Those of the configuration: what the list of contacts did not have.
    pub(crate) statics: Vec<Text>,
    /// Of `chan_iax2` and `chan_sip`.
    pub(crate) line: Line,
    pub(crate) line_touched: Mark,
    /// Of the line's address, which not every event tells.
    pub(crate) address_touched: Mark,
    pub(crate) device: Device,
    pub(crate) device_touched: Mark,
    pub(crate) device_listed: Option<Mark>,
    /// What the list of endpoints says, if no list of devices does.
    pub(crate) endpoint_device: Device,
    pub(crate) caller_id: Option<Text>,
    pub(crate) mailbox: Option<Text>,
    pub(crate) shown: PeerView,
}

impl Peer {
    pub(crate) fn new(id: PeerId, trunk: bool, found: Mark) -> Self {
        let shown = PeerView {
            id,
            trunk,
            caller_id: None,
            registration: Registration::Unknown,
            since_ms: None,
            device: Device::Unknown,
            address: None,
            contacts: 0,
            user_agent: None,
            round_trip_us: None,
            mailbox: None,
        };
        Self {
            listed: None,
            found,
            contacts: BTreeMap::new(),
            addresses: Vec::new(),
            statics: Vec::new(),
            line: Line::default(),
            line_touched: Mark::default(),
            address_touched: Mark::default(),
            device: Device::Unknown,
            device_touched: Mark::default(),
            device_listed: None,
            endpoint_device: Device::Unknown,
            caller_id: None,
            mailbox: None,
            shown,
        }
    }

    /// Brings what is shown up to date, and says whether it changed.
    pub(crate) fn show(&mut self, is_contacts_known: bool, turn: &Turn<'_>) -> bool {
        let mut view = match self.shown.id.driver {
            Driver::Pjsip => self.with_contacts(is_contacts_known),
            Driver::Iax2 | Driver::Sip => self.with_line(),
        };
        view.device = self.device;
        view.caller_id.clone_from(&self.caller_id);
        view.mailbox.clone_from(&self.mailbox);
        if view.registration != self.shown.registration {
            // A list says what is so, and not since when.
            view.since_ms = turn.is_event().then_some(turn.now);
        }
        let is_changed = view != self.shown;
        self.shown = view;
        is_changed
    }

    fn with_line(&self) -> PeerView {
        let line = self.line.clone();
        PeerView {
            registration: line.registration,
            contacts: usize::from(line.address.is_some()),
            address: line.address,
            round_trip_us: line.round_trip_us,
            ..self.shown.clone()
        }
    }

    fn with_contacts(&self, is_contacts_known: bool) -> PeerView {
        let best = self.contacts.iter().min_by_key(|(_, contact)| contact.is_unreachable);
        let registration = match best {
            Some((_, contact)) if contact.is_unreachable => Registration::Unreachable,
            Some((uri, _)) if self.statics.contains(uri) => Registration::Static,
            Some(_) => Registration::Registered,
            None if !is_contacts_known => Registration::Unknown,
            None if self.statics.is_empty() => Registration::Unregistered,
            None => Registration::Static,
        };
        let uri = best.map(|(uri, _)| uri).or(self.statics.first());
        let silent = self.statics.iter().filter(|&uri| !self.contacts.contains_key(uri)).count();
        PeerView {
            registration,
            address: uri.and_then(|uri| words::uri_address(uri)),
            contacts: self.contacts.len() + silent,
            user_agent: best.and_then(|(_, contact)| contact.user_agent.clone()),
            round_trip_us: best.and_then(|(_, contact)| contact.round_trip_us),
            ..self.shown.clone()
        }
    }
}
