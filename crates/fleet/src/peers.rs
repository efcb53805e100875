//! The peers of a server: which message says what of which peer.
//!
//! `chan_pjsip` has endpoints, whose registrations are contacts, told apart from them
//! (`res_pjsip/pjsip_configuration.c`, `pjsip_options.c`); `chan_iax2` and `chan_sip` have peers.
//! Device states are Asterisk's own (`devicestate.c`). A device that is no peer is nothing to us.

use std::collections::{BTreeMap, BTreeSet};

use ami_proto::Message;

use crate::limits::{CONTACTS_MAX, PEERS_MAX};
use crate::log::Key;
use crate::mailboxes;
use crate::peer::{Contact, Peer};
use crate::text::{Text, key, number, text};
use crate::turn::{Ended, Mark, Turn};
use crate::view::{Device, Driver, PeerId, PeerView, Registration};
use crate::words::{self, Line};

#[derive(Debug, Default)]
pub(crate) struct Peers {
    peers: BTreeMap<PeerId, Peer>,
    ended: Ended<(Text, Text)>,
    pub(crate) registered: usize,
    is_contacts_known: bool,
    /// Whose list was whole in this session: another peer of theirs is news.
    listed: BTreeSet<Driver>,
}

impl Peers {
    pub(crate) fn len(&self) -> usize {
        self.peers.len()
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = &PeerView> {
        self.peers.values().map(|peer| &peer.shown)
    }

    pub(crate) fn view(&self, id: &PeerId) -> Option<&PeerView> {
        self.peers.get(id).map(|peer| &peer.shown)
    }

    pub(crate) fn session_ended(&mut self) {
        self.listed.clear();
    }

    pub(crate) fn request_begins(&mut self) {
        self.ended.clear();
    }

    /// Endpoints that may be asked about one by one.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = Text> {
        let ids = self.peers.keys().filter(|id| id.driver == Driver::Pjsip);
        ids.map(|id| id.name.clone())
    }

    /// `EndpointList`.
    pub(crate) fn endpoint(
        &mut self,
        message: Message<'_>,
        trunk: impl Fn(&PeerId) -> bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(name) = key(message, "ObjectName") else {
            turn.out.left_out += 1;
            return;
        };
        let id = PeerId { driver: Driver::Pjsip, name };
        let mut contacts = text_list(message.get("Contacts").unwrap_or_default());
        contacts.retain(|uri| self.ended.may_be(&(id.name.clone(), uri.clone()), turn));
        contacts.truncate(CONTACTS_MAX);
        let Some(peer) = self.enter(&id, trunk, turn) else { return };
        peer.listed = turn.list();
        peer.addresses = contacts;
        peer.statics.retain(|uri| peer.addresses.contains(uri));
        peer.endpoint_device = words::device(message.get("DeviceState").unwrap_or_default());
        self.show(&id, turn);
    }

    /// `PeerEntry` of `IAXpeerlist` and `SIPpeers`.
    pub(crate) fn entry(
        &mut self,
        message: Message<'_>,
        trunk: impl Fn(&PeerId) -> bool,
        turn: &mut Turn<'_>,
    ) {
        let driver =
            message.get("Channeltype").map(Text::new).and_then(|word| words::driver_of(&word));
        let (Some(driver), Some(name)) = (driver, key(message, "ObjectName")) else {
            turn.out.left_out += 1;
            return;
        };
        let id = PeerId { driver, name };
        let Some(peer) = self.enter(&id, trunk, turn) else { return };
        let (was_listed, before) = (peer.listed.is_some(), peer.line.clone());
        peer.listed = turn.list();
        let Line { registration, address, round_trip_us, is_static } = Line::of_entry(message);
        peer.line.is_static = is_static;
        if turn.wins(peer.line_touched) {
            (peer.line.registration, peer.line.round_trip_us) = (registration, round_trip_us);
        }
        let is_same_host = words::is_same_host(before.address.as_deref(), address.as_deref());
        let is_same = is_same_host && before.registration == peer.line.registration;
        // The event of chan_iax2 has no port.
        let may_fill_in = is_same_host && id.driver == Driver::Iax2;
        if may_fill_in || turn.wins(peer.address_touched) {
            peer.line.address = address;
        }
        turn.compare(is_same || !was_listed);
        self.show(&id, turn);
    }

    /// The list of a driver's peers is whole.
    pub(crate) fn end_of_peers(&mut self, driver: Driver, turn: &mut Turn<'_>) {
        let Some(began) = turn.list() else { return };
        self.listed.insert(driver);
        let lacking = self.peers.iter().filter(|(id, peer)| {
            id.driver == driver && peer.listed != Some(began) && turn.wins(peer.found)
        });
        for id in lacking.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            turn.compare(false);
            self.remove(&id, turn);
        }
    }

    /// `PeerStatus`. Of `chan_pjsip` it says less than `ContactStatus` does.
    pub(crate) fn status(
        &mut self,
        message: Message<'_>,
        trunk: impl Fn(&PeerId) -> bool,
        turn: &mut Turn<'_>,
    ) {
        let Some(id) = key(message, "Peer").and_then(|name| words::peer_id(&name)) else { return };
        let Some(peer) = self.enter(&id, trunk, turn) else { return };
        if id.driver != Driver::Pjsip {
            peer.line = peer.line.after_status(message);
            turn.touch(&mut peer.line_touched);
            if matches!(message.get("PeerStatus"), Some(b"Registered" | b"Unregistered")) {
                turn.touch(&mut peer.address_touched);
            }
        }
        self.show(&id, turn);
    }

    /// `DeviceStateChange`, as an event or as an item of `DeviceStateList`.
    pub(crate) fn device(&mut self, message: Message<'_>, turn: &mut Turn<'_>) {
        let Some(id) = key(message, "Device").and_then(|name| words::peer_id(&name)) else {
            return;
        };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.device_listed = turn.list().or(peer.device_listed);
        if turn.wins(peer.device_touched) {
            let device = words::device(message.get("State").unwrap_or_default());
            turn.compare(peer.device == device || peer.device == Device::Unknown);
            peer.device = device;
            turn.touch(&mut peer.device_touched);
            self.show(&id, turn);
        }
    }

    /// The list of device states is whole; it lacks devices that have not changed since the start.
    pub(crate) fn end_of_devices(&mut self, turn: &mut Turn<'_>) {
        for id in self.peers.keys().cloned().collect::<Vec<_>>() {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            if peer.device_listed != turn.list() && turn.wins(peer.device_touched) {
                peer.device = peer.endpoint_device;
                self.show(&id, turn);
            }
        }
    }

    /// Without `res_manager_devicestate` there are neither events nor a list, and what the list of
    /// endpoints says would be shown long after.
    pub(crate) fn no_devices(&mut self, turn: &mut Turn<'_>) {
        for id in self.peers.keys().cloned().collect::<Vec<_>>() {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.device = Device::Unknown;
            self.show(&id, turn);
        }
    }

    /// `ContactStatus` (`stasis_endpoints.c`).
    pub(crate) fn contact_status(
        &mut self,
        message: Message<'_>,
        trunk: impl Fn(&PeerId) -> bool,
        turn: &mut Turn<'_>,
    ) {
        let (Some(name), Some(uri)) = (key(message, "EndpointName"), key(message, "URI")) else {
            return;
        };
        let id = PeerId { driver: Driver::Pjsip, name };
        let is_removed = is_removed(message, "ContactStatus");
        let Some(peer) = self.enter(&id, trunk, turn) else { return };
        if is_removed {
            peer.contacts.remove(&uri);
            peer.addresses.retain(|address| *address != uri);
            peer.statics.retain(|address| *address != uri);
            self.ended.note((id.name.clone(), uri), turn);
        } else {
            let is_new = !peer.contacts.contains_key(&uri);
            if let Some(contact) = enter_contact(peer, uri, turn) {
                contact.set(message, "ContactStatus");
                contact.touched = turn.mark;
            }
            if is_new {
                turn.out.details_wanted.push(id.name.clone());
            }
        }
        self.show(&id, turn);
    }

    /// `ContactList`, and the `ContactStatusDetail` of `PJSIPShowEndpoint`.
    pub(crate) fn contact(&mut self, message: Message<'_>, turn: &mut Turn<'_>) {
        let name = key(message, "Endpoint").or_else(|| key(message, "EndpointName"));
        let (Some(name), Some(uri)) = (name, key(message, "Uri")) else {
            turn.out.left_out += 1;
            return;
        };
        let entry = (name, uri);
        let may_be = self.ended.may_be(&entry, turn);
        let (name, uri) = entry;
        let id = PeerId { driver: Driver::Pjsip, name };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        if !may_be || is_removed(message, "Status") {
            return;
        }
        turn.compare(peer.contacts.contains_key(&uri));
        let Some(contact) = enter_contact(peer, uri, turn) else { return };
        // Of a detail it says nothing on whether the configuration has it.
        if message.event() == Some(b"ContactList") {
            contact.listed = turn.list();
        }
        // No event tells it.
        contact.user_agent = text(message, "UserAgent").or(contact.user_agent.take());
        if turn.wins(contact.touched) {
            let before = contact.is_unreachable;
            contact.set(message, "Status");
            turn.compare(before == contact.is_unreachable || contact.listed.is_none());
        }
        self.show(&id, turn);
    }

    /// The list of contacts is whole: a peer without one is not registered.
    pub(crate) fn end_of_contacts(&mut self, turn: &mut Turn<'_>) {
        let Some(began) = turn.list() else { return };
        self.is_contacts_known = true;
        for id in
            self.endpoints().map(|name| PeerId { driver: Driver::Pjsip, name }).collect::<Vec<_>>()
        {
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let before = peer.contacts.len();
            let addresses = &peer.addresses;
            peer.contacts.retain(|uri, contact| {
                let is_there = contact.listed == Some(began) || addresses.contains(uri);
                is_there || !turn.wins(contact.touched)
            });
            for _ in peer.contacts.len()..before {
                turn.compare(false);
            }
            let contacts = &peer.contacts;
            let is_static = |uri: &&Text| contacts.get(*uri).is_none_or(|it| it.listed.is_none());
            peer.statics = peer.addresses.iter().filter(is_static).cloned().collect();
            self.show(&id, turn);
        }
    }

    /// `EndpointDetail` of `PJSIPShowEndpoint`.
    pub(crate) fn detail(&mut self, message: Message<'_>, turn: &mut Turn<'_>) {
        let Some(name) = key(message, "ObjectName") else { return };
        let id = PeerId { driver: Driver::Pjsip, name };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        peer.caller_id = text(message, "Callerid");
        let mailbox =
            message.get("Mailboxes").and_then(|all| all.split(|&byte| byte == b',').next());
        set_mailbox(peer, mailbox);
        self.show(&id, turn);
    }

    /// `AorDetail` of it: a mailbox is set at the one or the other.
    pub(crate) fn aor_detail(&mut self, message: Message<'_>, turn: &mut Turn<'_>) {
        let Some(name) = key(message, "EndpointName") else { return };
        let id = PeerId { driver: Driver::Pjsip, name };
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let mailbox =
            message.get("Mailboxes").and_then(|all| all.split(|&byte| byte == b',').next());
        if mailbox.is_some_and(|mailbox| !mailbox.is_empty()) {
            set_mailbox(peer, mailbox);
        }
        self.show(&id, turn);
    }

    /// The peer, which is new if need be.
    fn enter(
        &mut self,
        id: &PeerId,
        trunk: impl Fn(&PeerId) -> bool,
        turn: &mut Turn<'_>,
    ) -> Option<&mut Peer> {
        if !self.peers.contains_key(id) {
            if self.peers.len() >= PEERS_MAX {
                turn.out.left_out += 1;
                return None;
            }
            let found = if turn.is_event() { turn.mark } else { Mark::default() };
            self.peers.insert(id.clone(), Peer::new(id.clone(), trunk(id), found));
            turn.changed(Key::Peer(id.clone()));
            if id.driver == Driver::Pjsip {
                turn.out.details_wanted.push(id.name.clone());
            }
            turn.out.is_reconciliation_wanted |=
                turn.is_event() && self.listed.contains(&id.driver);
        }
        self.peers.get_mut(id)
    }

    fn show(&mut self, id: &PeerId, turn: &mut Turn<'_>) {
        let Some(peer) = self.peers.get_mut(id) else { return };
        let was = is_registered(&peer.shown);
        if peer.show(self.is_contacts_known, turn) {
            turn.changed(Key::Peer(id.clone()));
        }
        let is = is_registered(&peer.shown);
        self.registered = self.registered + usize::from(is) - usize::from(was);
    }

    fn remove(&mut self, id: &PeerId, turn: &mut Turn<'_>) {
        let Some(peer) = self.peers.remove(id) else { return };
        self.registered -= usize::from(is_registered(&peer.shown));
        turn.gone(Key::Peer(id.clone()));
    }
}

impl Contact {
    fn set(&mut self, message: Message<'_>, status: &str) {
        let status = message.get(status).unwrap_or_default();
        self.is_unreachable = words::contact(status) == words::Contact::Unreachable;
        // Printed as 0 or N/A where it is not asked.
        self.round_trip_us = number(message, "RoundtripUsec").filter(|&us| us > 0);
    }
}

fn enter_contact<'p>(
    peer: &'p mut Peer,
    uri: Text,
    turn: &mut Turn<'_>,
) -> Option<&'p mut Contact> {
    if peer.contacts.len() >= CONTACTS_MAX && !peer.contacts.contains_key(&uri) {
        turn.out.left_out += 1;
        return None;
    }
    Some(peer.contacts.entry(uri).or_insert_with(|| Contact {
        is_unreachable: false,
        round_trip_us: None,
        user_agent: None,
        touched: Mark::default(),
        listed: None,
    }))
}

fn is_removed(message: Message<'_>, status: &str) -> bool {
    words::contact(message.get(status).unwrap_or_default()) == words::Contact::Removed
}

fn is_registered(view: &PeerView) -> bool {
    matches!(view.registration, Registration::Registered | Registration::Lagged)
}

fn set_mailbox(peer: &mut Peer, mailbox: Option<&[u8]>) {
    peer.mailbox = mailbox.filter(|name| !name.is_empty()).map(mailboxes::name);
}

/// The URIs of `200/sip:200@10.0.0.1:5060,200/sip:...,` (`ast_sip_contact_to_str`).
fn text_list(contacts: &[u8]) -> Vec<Text> {
    let each = contacts.split(|&byte| byte == b',');
    let uris = each.filter_map(|contact| {
        let slash = contact.iter().position(|&byte| byte == b'/')?;
        Some(Text::new(&contact[slash + 1..]))
    });
    uris.collect()
}
