//! However a snapshot and events interleave, the state is what the events alone give.
//!
//! The server here does things one after the other. Events are told later than things happen, in
//! their order; a list is what is so when each item is printed, as `CoreShowChannels` iterates over
//! a container that others change meanwhile, and what is printed may be read after later events.

mod server;

use std::collections::{BTreeMap, VecDeque};

use ami_proto::OwnedMessage;
use fleet::{Answer, CallView, Config, Fleet, PeerView, Request, Time};
use proptest::prelude::*;
use server::{A, NOON, Script, fleet_of, message, tell, view};

const PEERS: u8 = 3;

#[derive(Clone, Debug)]
enum Do {
    /// A new channel of a peer; in the call of another if there is one.
    New {
        peer: u8,
        with: Option<u8>,
    },
    State {
        channel: u8,
        state: u8,
    },
    Enter {
        channel: u8,
        bridge: u8,
    },
    Leave {
        channel: u8,
    },
    Hangup {
        channel: u8,
    },
    Contact {
        peer: u8,
        status: u8,
    },
    Device {
        peer: u8,
        state: u8,
    },
}

#[derive(Clone, Debug)]
struct Channel {
    peer: u8,
    state: u8,
    linkedid: u64,
    bridge: Option<u8>,
}

/// The truth, and what is yet to be told of it.
#[derive(Debug, Default)]
struct Truth {
    last: u64,
    channels: BTreeMap<u64, Channel>,
    contacts: BTreeMap<u8, u8>,
    devices: BTreeMap<u8, u8>,
    untold: VecDeque<OwnedMessage>,
}

const CONTACT: [&str; 4] = ["Removed", "Reachable", "Unreachable", "NonQualified"];
const DEVICE: [&str; 4] = ["NOT_INUSE", "INUSE", "RINGING", "ONHOLD"];

impl Truth {
    fn act(&mut self, what: &Do) {
        match *what {
            Do::New { peer, with } => {
                self.last += 1;
                let with = with.and_then(|with| self.pick(with));
                let linkedid = with.map_or(self.last, |with| self.channels[&with].linkedid);
                let channel = Channel { peer, state: 0, linkedid, bridge: None };
                self.channels.insert(self.last, channel);
                self.tell("Newchannel", self.last, "");
            }
            Do::State { channel, state } => self.with(channel, |it, id| {
                it.channels.get_mut(&id).expect("picked").state = state;
                it.tell("Newstate", id, "");
            }),
            Do::Enter { channel, bridge } => self.with(channel, |it, id| it.enter(id, bridge)),
            Do::Leave { channel } => self.with(channel, |it, id| {
                it.channels.get_mut(&id).expect("picked").bridge = None;
                it.tell("BridgeLeave", id, "");
            }),
            Do::Hangup { channel } => self.with(channel, |it, id| {
                it.tell("Hangup", id, "Cause: 16");
                it.channels.remove(&id);
            }),
            Do::Contact { peer, status } => {
                if status == 0 && self.contacts.remove(&peer).is_none() {
                    return;
                }
                if status > 0 {
                    self.contacts.insert(peer, status);
                }
                let status = CONTACT[usize::from(status)];
                self.untold.push_back(message(&format!(
                    "Event: ContactStatus\nURI: sip:{peer}@10.0.0.{peer}:5060\n\
                     ContactStatus: {status}\nAOR: {peer}\nEndpointName: {peer}\nRoundtripUsec: 0"
                )));
            }
            Do::Device { peer, state } => {
                self.devices.insert(peer, state);
                self.untold.push_back(message(&self.device(peer)));
            }
        }
    }

    /// All in a basic bridge take over the oldest `Linkedid`; only the one that enters is told.
    fn enter(&mut self, id: u64, bridge: u8) {
        if self.channels[&id].bridge.is_some() {
            return;
        }
        self.channels.get_mut(&id).expect("picked").bridge = Some(bridge);
        let inside = |channel: &&mut Channel| channel.bridge == Some(bridge);
        let oldest = self.channels.values_mut().filter(inside).map(|it| it.linkedid).min();
        for channel in self.channels.values_mut().filter(inside) {
            channel.linkedid = oldest.expect("it is in it");
        }
        self.tell("BridgeEnter", id, &format!("BridgeUniqueid: b{bridge}\nBridgeType: basic"));
    }

    fn with(&mut self, channel: u8, act: impl FnOnce(&mut Self, u64)) {
        if let Some(id) = self.pick(channel) {
            act(self, id);
        }
    }

    fn pick(&self, channel: u8) -> Option<u64> {
        let count = self.channels.len();
        (count > 0).then(|| *self.channels.keys().nth(usize::from(channel) % count).expect("one"))
    }

    fn tell(&mut self, event: &str, id: u64, more: &str) {
        let lines = format!("Event: {event}\n{}\n{more}", self.channel(id));
        self.untold.push_back(message(&lines));
    }

    fn channel(&self, id: u64) -> String {
        let Channel { peer, state, linkedid, .. } = self.channels[&id];
        format!(
            "Channel: PJSIP/{peer}-{id:08x}\nChannelState: {state}\nCallerIDNum: {peer}\n\
             CallerIDName: <unknown>\nExten: 200\nUniqueid: 1765000000.{id}\n\
             Linkedid: 1765000000.{linkedid}"
        )
    }

    fn device(&self, peer: u8) -> String {
        let state = DEVICE[usize::from(self.devices[&peer])];
        format!("Event: DeviceStateChange\nDevice: PJSIP/{peer}\nState: {state}")
    }

    /// The item of a list after that one, as it is now.
    fn item_after(&self, action: &str, last: Option<u64>) -> Option<(u64, OwnedMessage)> {
        let next = last.map_or(0, |last| last + 1);
        let of_peer =
            |map: &BTreeMap<u8, u8>| map.keys().copied().find(|&it| u64::from(it) >= next);
        let (id, lines) = match action {
            "CoreShowChannels" => {
                let (&id, channel) = self.channels.range(next..).next()?;
                let bridge = channel.bridge.map(|it| format!("b{it}")).unwrap_or_default();
                let end = format!("Duration: 00:00:00\nBridgeId: {bridge}");
                (id, format!("Event: CoreShowChannel\n{}\n{end}", self.channel(id)))
            }
            "PJSIPShowContacts" => {
                let peer = of_peer(&self.contacts)?;
                let status = CONTACT[usize::from(self.contacts[&peer])];
                let lines = format!(
                    "Event: ContactList\nEndpoint: {peer}\nUri: sip:{peer}@10.0.0.{peer}:5060\n\
                     Status: {status}\nRoundtripUsec: N/A"
                );
                (u64::from(peer), lines)
            }
            "DeviceStateList" => {
                let peer = of_peer(&self.devices)?;
                (u64::from(peer), self.device(peer))
            }
            "PJSIPShowEndpoints" => {
                let peer = (1..=PEERS).find(|&peer| u64::from(peer) >= next)?;
                let contact = self.contacts.get(&peer);
                let contact = contact.map(|_| format!("{peer}/sip:{peer}@10.0.0.{peer}:5060,"));
                let contact = contact.unwrap_or_default();
                let lines = format!("Event: EndpointList\nObjectName: {peer}\nContacts: {contact}");
                (u64::from(peer), lines)
            }
            _ => return None,
        };
        Some((id, message(&lines)))
    }
}

/// What is asked, and what has been printed of the answer and not yet read.
#[derive(Debug, Default)]
struct Asked {
    request: Option<Request>,
    last: Option<u64>,
    is_whole: bool,
    printed: VecDeque<OwnedMessage>,
}

impl Asked {
    /// Asks, or prints one item more.
    fn print(&mut self, fleet: &mut Fleet, truth: &Truth) {
        let Some(request) = &self.request else {
            *self = Self { request: fleet.poll_request(NOON, A), ..Self::default() };
            return;
        };
        match truth.item_after(request.action, self.last) {
            Some((id, item)) if !self.is_whole => {
                self.last = Some(id);
                self.printed.push_back(item);
            }
            _ => self.is_whole = true,
        }
    }

    /// Reads one item, or the list's end.
    fn read(&mut self, fleet: &mut Fleet) {
        let Some(request) = &self.request else { return };
        if let Some(item) = self.printed.pop_front() {
            fleet.answer(NOON, A, request.id, Answer::Item(item.as_message()));
        } else if self.is_whole {
            match request.action {
                "ListCommands" => commands().answer(fleet, NOON, request),
                _ => server::done(fleet, request.id),
            }
            self.request = None;
        }
    }

    /// Until nothing more is asked.
    fn settle(&mut self, fleet: &mut Fleet, truth: &Truth) {
        loop {
            self.print(fleet, truth);
            if self.request.is_none() {
                return;
            }
            self.read(fleet);
        }
    }
}

fn commands() -> Script {
    let mut script = Script::default();
    for action in ["CoreShowChannels", "PJSIPShowEndpoints", "PJSIPShowContacts", "DeviceStateList"]
    {
        script.set(action);
    }
    script
}

fn tell_one(fleet: &mut Fleet, truth: &mut Truth) {
    if let Some(event) = truth.untold.pop_front() {
        fleet.event(NOON, A, event.as_message());
    }
}

/// What is so, without since when, and who is on hold, for lists do not tell.
fn state(fleet: &Fleet) -> (Vec<PeerView>, Vec<CallView>) {
    let peers = view(fleet).peers().cloned();
    let peers = peers.map(|peer| PeerView { since_ms: None, ..peer }).collect();
    let mut calls: Vec<_> = view(fleet).calls().cloned().collect();
    for call in &mut calls {
        call.legs.iter_mut().for_each(|leg| leg.on_hold = None);
    }
    (peers, calls)
}

fn connect(fleet: &mut Fleet) {
    fleet.connected(NOON, A, b"11.0.0");
    tell(fleet, NOON, "Event: FullyBooted\nUptime: 60\nLastReload: 60");
}

fn deeds() -> impl Strategy<Value = Vec<Do>> {
    let peer = || 1..=PEERS;
    let deed = prop_oneof![
        3 => (peer(), any::<Option<u8>>()).prop_map(|(peer, with)| Do::New { peer, with }),
        2 => (any::<u8>(), 4..7_u8).prop_map(|(channel, state)| Do::State { channel, state }),
        3 => (any::<u8>(), 0..2_u8).prop_map(|(channel, bridge)| Do::Enter { channel, bridge }),
        1 => any::<u8>().prop_map(|channel| Do::Leave { channel }),
        2 => any::<u8>().prop_map(|channel| Do::Hangup { channel }),
        2 => (peer(), 0..4_u8).prop_map(|(peer, status)| Do::Contact { peer, status }),
        2 => (peer(), 0..4_u8).prop_map(|(peer, state)| Do::Device { peer, state }),
    ];
    proptest::collection::vec(deed, 0..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_interleaving_gives_the_state_that_events_alone_give(
        deeds in deeds(),
        // What comes next: a deed, an event, a piece of an answer, or rarely a lost connection.
        order in proptest::collection::vec(0..40_u8, 0..300),
    ) {
        // A device whose state was never told is in no list.
        let begin: Vec<_> = (1..=PEERS).map(|peer| Do::Device { peer, state: 0 }).collect();
        let mut by_events = (fleet_of(Config::default()), Truth::default(), Asked::default());
        let mut by_both = (fleet_of(Config::default()), Truth::default(), Asked::default());
        for (fleet, truth, asked) in [&mut by_events, &mut by_both] {
            begin.iter().for_each(|deed| truth.act(deed));
            truth.untold.clear();
            connect(fleet);
            if deeds.len() % 2 == 0 {
                asked.settle(fleet, truth);
            }
        }
        let (fleet, truth, asked) = &mut by_events;
        asked.settle(fleet, truth);
        for deed in &deeds {
            truth.act(deed);
            tell_one(fleet, truth);
        }
        asked.settle(fleet, truth);

        let (fleet, truth, asked) = &mut by_both;
        let mut rest = deeds.iter();
        for next in order {
            match next {
                0..12 => if let Some(deed) = rest.next() { truth.act(deed) },
                12..24 => tell_one(fleet, truth),
                24..32 => asked.print(fleet, truth),
                32..39 => asked.read(fleet),
                _ => {
                    fleet.disconnected(NOON, A);
                    // A new session is not told what was on its way to the old one, or only the end.
                    truth.untold.drain(..truth.untold.len() / 2);
                    *asked = Asked::default();
                    connect(fleet);
                }
            }
        }
        rest.for_each(|deed| truth.act(deed));
        while !truth.untold.is_empty() {
            tell_one(fleet, truth);
        }
        asked.settle(fleet, truth);
        prop_assert_eq!(state(&by_both.0), state(&by_events.0));

        // A reconciliation finds nothing otherwise.
        let (fleet, truth, asked) = &mut by_both;
        let drift = view(fleet).info().drift;
        fleet.handle_timeout(Time { ms: u64::MAX }, A);
        asked.settle(fleet, truth);
        prop_assert_eq!(view(fleet).info().drift, drift);
    }
}
