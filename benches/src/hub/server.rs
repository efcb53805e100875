//! One simulated server: what is true of it, how it answers, and what it sends.
//!
//! What it says is what a real server said ([`Recording`]), of its own phones and calls. What is true changes with
//! each event in the moment in which it is written, and answers are of that moment too, as with Asterisk.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::recording::{Name, Names, Recording, Template};

/// Servers, as the hub has them.
pub(super) const SERVERS: usize = 20;
/// Peers of each.
pub(super) const PEERS: usize = 500;
/// The first number; a number is of the server that it leaves as remainder, so that those that are shown first are of
/// all servers.
pub(super) const FIRST_NUMBER: usize = 10_000;
/// What `Uniqueid` counts from.
const EPOCH: u32 = 1_796_000_000;

/// Whether a peer can be reached, in the hub's words.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Registration {
    Registered,
    Unreachable,
    Unregistered,
}

impl Registration {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Unreachable => "unreachable",
            Self::Unregistered => "unregistered",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) number: String,
    pub(super) address: String,
    pub(super) registration: Registration,
    pub(super) round_trip_us: u32,
    /// Asterisk's word: `NOT_INUSE`.
    pub(super) device: String,
    /// The channel that it has.
    pub(super) channel: Option<String>,
}

/// A call that both have answered.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) names: Names,
    pub(super) caller: usize,
    pub(super) called: usize,
}

/// A channel that is there.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) names: Names,
    /// Whether it is the caller's.
    pub(super) is_caller: bool,
    /// `ChannelState` and its text.
    pub(super) state: (String, String),
    pub(super) is_in_bridge: bool,
}

/// What is true, and where it is told.
#[derive(Debug)]
pub(super) struct State {
    name: String,
    pub(super) peers: Vec<Peer>,
    /// Those that are up, by the caller's `Uniqueid`.
    pub(super) calls: BTreeMap<String, Call>,
    /// By their `Uniqueid`, those of calls that begin or end among them.
    pub(super) channels: BTreeMap<String, Channel>,
    pub(super) writer: Option<TcpStream>,
    pub(super) details_answered: usize,
    next_channel: u32,
}

#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    state: Mutex<State>,
}

impl Server {
    /// A server whose peers are all registered, but for one of ten, with `calls` calls.
    pub(super) fn new(at: usize, calls: usize) -> Self {
        let peer = |place: usize| {
            let number = FIRST_NUMBER + place * SERVERS + at;
            let is_there = place % 10 != 9;
            Peer {
                number: number.to_string(),
                address: format!("10.{at}.{}.{}", place / 250, 1 + place % 250),
                registration: match is_there {
                    true => Registration::Registered,
                    false => Registration::Unregistered,
                },
                round_trip_us: 1000 + u32::try_from(place).unwrap_or_default(),
                device: if is_there { "NOT_INUSE" } else { "UNAVAILABLE" }.to_owned(),
                channel: None,
            }
        };
        let name = format!("pbx{:02}", at + 1);
        let mut state = State {
            name: name.clone(),
            peers: (0..PEERS).map(peer).collect(),
            calls: BTreeMap::new(),
            channels: BTreeMap::new(),
            writer: None,
            details_answered: 0,
            next_channel: 1,
        };
        let free: Vec<usize> = (1..PEERS).filter(|place| place % 10 != 9).collect();
        for pair in free.chunks_exact(2).take(calls) {
            let call = state.new_call(pair[0], pair[1]);
            let names = call.names.clone();
            state.calls.insert(names[Name::CallerId as usize].clone(), call);
            for (is_caller, id) in [(true, Name::CallerId), (false, Name::CalledId)] {
                let (names, state_of) = (names.clone(), ("6".to_owned(), "Up".to_owned()));
                let channel = Channel { names, is_caller, state: state_of, is_in_bridge: true };
                state.channels.insert(channel.names[id as usize].clone(), channel);
            }
            for (place, channel) in [(pair[0], Name::CallerChannel), (pair[1], Name::CalledChannel)]
            {
                state.peers[place].channel = Some(names[channel as usize].clone());
                state.peers[place].device = "INUSE".to_owned();
            }
        }
        Self { name, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Names for a call of these two; it is not there yet.
    pub(super) fn new_call(&mut self, caller: usize, called: usize) -> Call {
        let mut channel = |peer: &Peer| {
            let at = self.next_channel;
            self.next_channel += 1;
            (format!("PJSIP/{}-{at:08x}", peer.number), format!("{}-{EPOCH}.{at}", self.name))
        };
        let (from, to) = (&self.peers[caller], &self.peers[called]);
        let ((caller_channel, caller_id), (called_channel, called_id)) =
            (channel(from), channel(to));
        let names = [
            caller_channel,
            called_channel,
            caller_id.clone(),
            called_id,
            format!("6c0f5fcd-8d0e-4a36-9c0e-{:0>12x}", self.next_channel),
            from.address.clone(),
            to.address.clone(),
            from.number.clone(),
            to.number.clone(),
            from.number.clone(),
            to.number.clone(),
            self.name.clone(),
        ];
        Call { names, caller, called }
    }

    /// Sends it, if somebody is there.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), |writer| writer.write_all(bytes))
    }

    /// What an action is answered with.
    pub(super) fn answer(
        &mut self,
        recording: &Recording,
        action: &str,
        id: &str,
        endpoint: &str,
    ) -> Vec<u8> {
        let mut nobody = Names::default();
        nobody[Name::System as usize].clone_from(&self.name);
        let mut list = List { recording, action, id, nobody, out: Vec::new(), items: 0 };
        match action {
            "CoreShowChannels" => {
                list.begin();
                let item = |name| {
                    let mut all = recording.messages(action);
                    all.find(|message| message.is("Channel", name)).expect("both were recorded")
                };
                let (caller, called) = (item(Name::CallerChannel), item(Name::CalledChannel));
                for channel in self.channels.values() {
                    let item = if channel.is_caller { caller } else { called };
                    let bridge = match channel.is_in_bridge {
                        true => channel.names[Name::Bridge as usize].as_str(),
                        false => "",
                    };
                    let (state, text) = &channel.state;
                    let set = [("ChannelState", state.as_str()), ("ChannelStateDesc", text)];
                    list.item(item, &channel.names, &[set[0], set[1], ("BridgeId", bridge)]);
                }
                list.end();
            }
            "PJSIPShowEndpoints" => {
                let item = recording.item(action, "EndpointList");
                self.each(&mut list, item, |_| true);
            }
            "PJSIPShowContacts" => {
                let item = recording.item(action, "ContactList");
                self.each(&mut list, item, |peer| peer.registration != Registration::Unregistered);
            }
            "DeviceStateList" => {
                let mut all = recording.messages(action);
                let item = all.find(|message| message.has("Device", Name::Caller));
                self.each(&mut list, item.expect("it was recorded"), |_| true);
            }
            "VoicemailUsersList" => {
                let item = recording.item(action, "VoicemailUserEntry");
                self.each(&mut list, item, |_| true);
            }
            "PJSIPShowEndpoint" => {
                self.details_answered += 1;
                self.detail(&mut list, endpoint);
            }
            // As it was recorded: no list of these has anything to do with this.
            _ => {
                if !recording.has(action) {
                    let text = format!(
                        "Response: Error\r\nActionID: {id}\r\nMessage: Invalid/unknown command: \
                         {action}. Use Action: ListCommands to show available commands.\r\n\r\n"
                    );
                    return text.into_bytes();
                }
                for message in recording.messages(action) {
                    let is_ours = message.event() != "FullyBooted";
                    message.say(&mut list.out, is_ours.then_some(id), &list.nobody, &[]);
                }
            }
        }
        list.out
    }

    fn each(&self, list: &mut List<'_>, item: &Template, is_in: impl Fn(&Peer) -> bool) {
        list.begin();
        for peer in self.peers.iter().filter(|peer| is_in(peer)) {
            say_of_peer(list, item, peer);
        }
        list.end();
    }

    fn detail(&self, list: &mut List<'_>, endpoint: &str) {
        list.begin();
        let recording = list.recording;
        if let Some(peer) = self.peers.iter().find(|peer| peer.number == endpoint) {
            for message in recording.messages("PJSIPShowEndpoint") {
                let is_there = peer.registration != Registration::Unregistered;
                match message.event() {
                    "ContactStatusDetail" if !is_there => {}
                    "" | "EndpointDetailComplete" => {}
                    _ => say_of_peer(list, message, peer),
                }
            }
        }
        list.end();
    }
}

/// A message that is about one peer alone.
fn say_of_peer(list: &mut List<'_>, item: &Template, peer: &Peer) {
    let mut names = list.nobody.clone();
    for name in [Name::Caller, Name::Called, Name::CallerUser, Name::CalledUser] {
        names[name as usize].clone_from(&peer.number);
    }
    for name in [Name::CallerAddress, Name::CalledAddress] {
        names[name as usize].clone_from(&peer.address);
    }
    let round_trip = peer.round_trip_us.to_string();
    let (status, round_trip) = match peer.registration {
        Registration::Registered => ("Reachable", round_trip.as_str()),
        _ => ("Unreachable", "0"),
    };
    let channel = if peer.channel.is_some() { "1" } else { "0" };
    let mut set = vec![("ActiveChannels", channel), ("DeviceState", device_text(&peer.device))];
    set.extend([
        ("State", peer.device.as_str()),
        ("RoundtripUsec", round_trip),
        ("Status", status),
    ]);
    if peer.registration == Registration::Unregistered {
        set.extend([("Contacts", ""), ("TotalContacts", "0"), ("ContactsRegistered", "0")]);
    }
    list.item(item, &names, &set);
}

/// The other column of `devicestate.c`'s table.
fn device_text(word: &str) -> &'static str {
    match word {
        "NOT_INUSE" => "Not in use",
        "INUSE" => "In use",
        "RINGING" => "Ringing",
        "UNAVAILABLE" => "Unavailable",
        _ => "Unknown",
    }
}

/// An answer that is a list.
struct List<'a> {
    recording: &'a Recording,
    action: &'a str,
    id: &'a str,
    nobody: Names,
    out: Vec<u8>,
    items: usize,
}

impl List<'_> {
    fn begin(&mut self) {
        if let Some(response) = self.recording.response(self.action) {
            response.say(&mut self.out, Some(self.id), &self.nobody, &[]);
        }
    }

    fn item(&mut self, item: &Template, names: &Names, set: &[(&str, &str)]) {
        item.say(&mut self.out, Some(self.id), names, set);
        self.items += 1;
    }

    fn end(&mut self) {
        let items = self.items.to_string();
        if let Some(end) = self.recording.end(self.action) {
            end.say(&mut self.out, Some(self.id), &self.nobody, &[("ListItems", &items)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use ami_proto::{Decoder, Frame};

    use super::*;

    /// The events of an answer, and what its end counted.
    fn events(answer: &[u8]) -> (Vec<String>, String) {
        let mut decoder = Decoder::without_greeting();
        decoder.feed(answer).unwrap();
        let (mut all, mut counted) = (Vec::new(), String::new());
        while let Some(Frame::Message(message)) = decoder.poll().unwrap() {
            assert_eq!(message.get("ActionID"), Some(&b"id-1"[..]));
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            all.extend(message.event().map(text));
            counted = message.get("ListItems").map(text).unwrap_or(counted);
        }
        (all, counted)
    }

    #[test]
    fn lists_have_all_that_is_there_and_count_it() {
        let (recording, server) = (Recording::new(), Server::new(0, 3));
        for (action, items) in [
            ("CoreShowChannels", 6),
            ("PJSIPShowEndpoints", PEERS),
            ("PJSIPShowContacts", PEERS * 9 / 10),
            ("DeviceStateList", PEERS),
            ("VoicemailUsersList", PEERS),
            ("IAXpeerlist", 0),
        ] {
            let answer = server.state().answer(&recording, action, "id-1", "");
            let (events, counted) = events(&answer);
            assert_eq!((events.len(), counted), (items + 1, items.to_string()), "{action}");
        }
    }

    #[test]
    fn one_peer_is_told_with_all_that_belongs_to_it() {
        let (recording, server) = (Recording::new(), Server::new(2, 0));
        let answer = |number| {
            let answer = server.state().answer(&recording, "PJSIPShowEndpoint", "id-1", number);
            events(&answer).0
        };
        let whole = ["EndpointDetail", "AuthDetail", "AorDetail", "ContactStatusDetail"];
        assert_eq!(answer("10002")[..4], whole);
        assert_eq!(answer("10182")[..3], whole[..3], "the tenth is not registered");
    }
}
