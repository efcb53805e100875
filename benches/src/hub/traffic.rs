//! What happens at the simulated servers, and when each event of it was written.
//!
//! Each server sends its share of events in the bursts in which they were recorded: whole calls begin and end, phones
//! go and come back, are found unreachable, and answer when they are asked. A call ends for each that begins, so as
//! many stay up. The first peer of each server is marked: it answers once a second with a round trip that it never
//! had, which a browser shows.

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use super::recording::{Name, Names, Piece, Recording, Template};
use super::server::{Call, Channel, PEERS, Registration, SERVERS, Server, State};

/// Events a second, of all servers together: so many are promised, and a few more are sent, for bursts are not cut
/// where the time that counts begins and ends.
pub(super) const EVENTS_PER_S: f64 = 500.0;
const PACE_PER_S: f64 = EVENTS_PER_S * 1.01;
/// Of them those of the marked peers.
const MARKED_PER_S: f64 = SERVERS as f64;
/// Calls of a server.
pub(super) const CALLS: usize = 50;
/// How long the callee rings: recorded phones answer at once.
const RINGS: Duration = Duration::from_millis(1500);
/// How long a phone is away.
const AWAY: Duration = Duration::from_secs(4);
/// A peer is left alone for so long, so that what is shown of it is of one event only.
const REST: Duration = Duration::from_secs(3);
/// What a server may begin at once.
const BEGIN_MAX: usize = 100;
/// How often is looked at what is due.
const STEP: Duration = Duration::from_millis(1);
/// Bound of what is under way when the load is over.
const DRAIN_WITHIN: Duration = Duration::from_secs(15);

/// An event that changes what is shown.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Milliseconds since 1970, before it was written.
    pub(super) at_ms: f64,
    pub(super) server: usize,
    pub(super) what: What,
}

/// What is shown once it has arrived.
#[derive(Clone, Debug)]
pub(super) enum What {
    RoundTrip {
        number: String,
        us: u32,
        is_marked: bool,
    },
    Registration {
        number: String,
        is: Registration,
    },
    Device {
        number: String,
        is: &'static str,
    },
    /// A leg of a call is that far, or further.
    Leg {
        call: String,
        channel: String,
        rank: u8,
    },
}

/// How far a leg is.
pub(super) const KNOWN: u8 = 1;
pub(super) const RINGING: u8 = 2;
pub(super) const UP: u8 = 3;
pub(super) const BRIDGED: u8 = 4;
pub(super) const LEFT: u8 = 5;
pub(super) const GONE: u8 = 6;

/// A load that was sent.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// Those that change what is shown.
    pub(super) sent: Vec<Sent>,
    /// When each event was written, be it shown or not.
    pub(super) all_ms: Vec<f64>,
    pub(super) kinds: HashMap<String, usize>,
    /// The longest that the simulation itself was late.
    pub(super) late: Duration,
}

/// Something that happens, burst by burst.
#[derive(Debug)]
struct Script<'r> {
    server: usize,
    pieces: &'r [Piece],
    call: Call,
    then: Then,
    at: Instant,
    ranks: [u8; 2],
}

/// What is so when it is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    CallIsUp,
    CallIsOver,
    IsAway,
    IsBack,
}

/// What a server does at the moment.
#[derive(Debug)]
struct Pace {
    written: f64,
    marked: u32,
    /// Until when a peer is to be left alone.
    rests: Vec<Instant>,
    /// Calls that go on until their turn comes, by the caller's `Uniqueid`.
    ends: Vec<String>,
}

pub(super) struct Traffic<'a> {
    recording: &'a Recording,
    servers: &'a [Server],
    scripts: Vec<Script<'a>>,
    paces: Vec<Pace>,
    random: u64,
    load: Load,
    round_trips: u32,
}

pub(super) fn now_ms() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs_f64() * 1e3
}

impl<'a> Traffic<'a> {
    pub(super) fn new(recording: &'a Recording, servers: &'a [Server]) -> Self {
        let now = Instant::now();
        let paces = servers.iter().map(|server| {
            let ends = server.state().calls.keys().cloned().collect();
            Pace { written: 0.0, marked: 0, rests: vec![now; PEERS], ends }
        });
        let (scripts, paces) = (Vec::new(), paces.collect());
        let load = Load::default();
        Self { recording, servers, scripts, paces, random: 0x2545_f491, load, round_trips: 0 }
    }

    /// Sends for so long, and then only what is needed to end what has begun.
    pub(super) fn run(mut self, length: Duration) -> Result<Load> {
        let began = Instant::now();
        let mut before = began;
        while began.elapsed() < length {
            self.load.late = self.load.late.max(before.elapsed());
            before = Instant::now();
            self.step(began.elapsed().as_secs_f64())?;
            thread::sleep(STEP);
        }
        let end = Instant::now() + DRAIN_WITHIN;
        while !self.scripts.is_empty() && Instant::now() < end {
            self.due_scripts(None)?;
            thread::sleep(STEP);
        }
        Ok(self.load)
    }

    fn step(&mut self, elapsed_s: f64) -> Result<()> {
        for at in 0..self.servers.len() {
            // They do not all speak at the same moment.
            let elapsed_s = elapsed_s - at as f64 / SERVERS as f64;
            if f64::from(self.paces[at].marked) < elapsed_s * MARKED_PER_S / SERVERS as f64 {
                self.paces[at].marked += 1;
                self.asked(at, 0)?;
            }
            let due = elapsed_s * PACE_PER_S / SERVERS as f64;
            // When no peer is free, nothing can begin.
            for _ in 0..BEGIN_MAX {
                if self.paces[at].written >= due || self.due_scripts(Some(at))? > 0 {
                    break;
                }
                self.begin(at)?;
            }
        }
        Ok(())
    }

    /// One burst of a script that is due, of this server or of all; says how many there were.
    fn due_scripts(&mut self, server: Option<usize>) -> Result<usize> {
        let now = Instant::now();
        let is_due = |script: &Script<'_>| {
            script.at <= now && server.is_none_or(|server| server == script.server)
        };
        let Some(found) = self.scripts.iter().position(is_due) else { return Ok(0) };
        let mut script = self.scripts.swap_remove(found);
        self.burst(&mut script)?;
        if script.pieces.is_empty() {
            self.over(script);
        } else {
            self.scripts.push(script);
        }
        Ok(1)
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % bound as u64).unwrap_or_default()
    }

    /// Something new.
    fn begin(&mut self, at: usize) -> Result<()> {
        let beginning =
            self.scripts.iter().filter(|it| it.server == at && it.then == Then::CallIsUp).count();
        let calls = self.paces[at].ends.len() + beginning;
        match self.below(10) {
            0..5 if calls > CALLS => self.end_call(at),
            0..5 => self.begin_call(at),
            5 => self.leave(at),
            _ => {
                let Some(peer) = self.free_peer(at) else { return Ok(()) };
                self.asked(at, peer)
            }
        }
    }

    /// A registered peer that does nothing, and has done nothing for a while.
    fn free_peer(&mut self, at: usize) -> Option<usize> {
        let now = Instant::now();
        for _ in 0..20 * PEERS {
            let place = 1 + self.below(PEERS - 1);
            let state = self.servers[at].state();
            let peer = &state.peers[place];
            let is_free = peer.registration != Registration::Unregistered
                && peer.channel.is_none()
                && self.paces[at].rests[place] <= now;
            drop(state);
            if is_free {
                self.paces[at].rests[place] = now + REST;
                return Some(place);
            }
        }
        None
    }

    fn begin_call(&mut self, at: usize) -> Result<()> {
        let (Some(caller), Some(called)) = (self.free_peer(at), self.free_peer(at)) else {
            return Ok(());
        };
        let mut state = self.servers[at].state();
        let call = state.new_call(caller, called);
        for (place, name) in [(caller, Name::CallerChannel), (called, Name::CalledChannel)] {
            state.peers[place].channel = Some(call.names[name as usize].clone());
        }
        drop(state);
        self.start(at, "call begins", call, Then::CallIsUp)
    }

    fn end_call(&mut self, at: usize) -> Result<()> {
        let some = self.below(self.paces[at].ends.len());
        let id = self.paces[at].ends.swap_remove(some);
        let call = self.servers[at].state().calls.get(&id).cloned();
        let call = call.context("a call that goes on")?;
        self.start(at, "call ends", call, Then::CallIsOver)
    }

    /// A phone goes.
    fn leave(&mut self, at: usize) -> Result<()> {
        let Some(place) = self.free_peer(at) else { return Ok(()) };
        let call = self.servers[at].state().new_call(place, place);
        self.start(at, "unregistration", call, Then::IsAway)
    }

    fn start(&mut self, server: usize, section: &str, call: Call, then: Then) -> Result<()> {
        let recording = self.recording;
        let pieces = recording.section(section);
        let ranks = if then == Then::CallIsOver { [BRIDGED; 2] } else { [0; 2] };
        let mut script = Script { server, pieces, call, then, at: Instant::now(), ranks };
        self.burst(&mut script)?;
        if script.pieces.is_empty() {
            self.over(script);
        } else {
            self.scripts.push(script);
        }
        Ok(())
    }

    fn over(&mut self, script: Script<'a>) {
        let Script { server, call, then, .. } = script;
        let id = call.names[Name::CallerId as usize].clone();
        let mut state = self.servers[server].state();
        match then {
            Then::CallIsUp => {
                self.paces[server].ends.push(id.clone());
                state.calls.insert(id, call);
            }
            Then::CallIsOver => {
                state.calls.remove(&id);
                for place in [call.caller, call.called] {
                    state.peers[place].channel = None;
                    self.paces[server].rests[place] = Instant::now() + REST;
                }
            }
            Then::IsAway => {
                drop(state);
                let pieces = self.recording.section("registration");
                let at = Instant::now() + AWAY;
                let then = Then::IsBack;
                self.paces[server].rests[call.caller] = at + REST;
                self.scripts.push(Script { server, pieces, call, then, at, ranks: [0; 2] });
            }
            Then::IsBack => self.paces[server].rests[call.caller] = Instant::now() + REST,
        }
    }

    /// A phone has answered when it was asked whether it is there, or now and then has not.
    fn asked(&mut self, at: usize, place: usize) -> Result<()> {
        let recording = self.recording;
        let said = recording.messages("registration");
        let template = said.filter(|message| message.event() == "ContactStatus").last();
        let template = template.context("a ContactStatus was recorded")?;
        let is_missing = place != 0 && self.below(10) == 0;
        let call = self.servers[at].state().new_call(place, place);
        let mut script = Script {
            server: at,
            pieces: &[],
            call,
            then: Then::IsBack,
            at: Instant::now(),
            ranks: [0; 2],
        };
        let mut state = self.servers[at].state();
        let status = if is_missing { "Unreachable" } else { "Reachable" };
        self.say(&mut state, &mut script, template, Some(status))
    }

    /// All up to the next pause.
    fn burst(&mut self, script: &mut Script<'a>) -> Result<()> {
        let servers = self.servers;
        let mut state = servers[script.server].state();
        while let Some((piece, rest)) = script.pieces.split_first() {
            script.pieces = rest;
            let Piece::Said(template) = piece else {
                if script.then == Then::CallIsUp && script.ranks.contains(&RINGING) {
                    script.at = Instant::now() + RINGS;
                }
                return Ok(());
            };
            self.say(&mut state, script, template, None)?;
        }
        Ok(())
    }

    /// Says one event: makes it true, and notes what is to be seen of it.
    fn say(
        &mut self,
        state: &mut State,
        script: &mut Script<'_>,
        template: &Template,
        status: Option<&str>,
    ) -> Result<()> {
        let call = &script.call;
        let mut round_trip = String::new();
        let what = match template.event() {
            "ContactStatus" => {
                let status = status.or(template.plain("ContactStatus")).unwrap_or_default();
                let place = call.caller;
                let (what, us) = self.contact(state, place, status);
                round_trip = us;
                what
            }
            "DeviceStateChange" => device(state, call, template),
            _ => leg(state, call, &mut script.ranks, template),
        };
        let mut set: Vec<(&str, &str)> = Vec::new();
        if !round_trip.is_empty() {
            set.push(("RoundtripUsec", &round_trip));
        }
        if let Some(status) = status {
            set.push(("ContactStatus", status));
        }
        let mut bytes = Vec::with_capacity(1024);
        template.say(&mut bytes, None, &call.names, &set);
        let at_ms = now_ms();
        state.write(&bytes).context("the hub has hung up")?;
        self.load.all_ms.push(at_ms);
        *self.load.kinds.entry(template.event().to_owned()).or_default() += 1;
        self.paces[script.server].written += 1.0;
        if let Some(what) = what {
            self.load.sent.push(Sent { at_ms, server: script.server, what });
        }
        Ok(())
    }

    /// What a `ContactStatus` makes of a peer, and the round trip that it tells.
    fn contact(&mut self, state: &mut State, place: usize, status: &str) -> (Option<What>, String) {
        let peer = &mut state.peers[place];
        let number = peer.number.clone();
        match status {
            "Reachable" => {
                self.round_trips += 1;
                // A browser shows three digits of it, a marked peer has its own.
                let is_marked = place == 0;
                let us = match is_marked {
                    true => 1000 * (10 + (peer.round_trip_us / 1000) % 980),
                    false => 10_000 + self.round_trips * 7 % 900_000,
                };
                (peer.registration, peer.round_trip_us) = (Registration::Registered, us);
                (Some(What::RoundTrip { number, us, is_marked }), us.to_string())
            }
            "Removed" | "Unreachable" => {
                let is = match status {
                    "Removed" => Registration::Unregistered,
                    _ => Registration::Unreachable,
                };
                // One that is still unreachable is nothing new to anybody.
                let is_news = std::mem::replace(&mut peer.registration, is) != is;
                (is_news.then_some(What::Registration { number, is }), "0".to_owned())
            }
            _ => (None, String::new()),
        }
    }
}

fn device(state: &mut State, call: &Call, template: &Template) -> Option<What> {
    let place = match () {
        () if template.has("Device", Name::Caller) => call.caller,
        () if template.has("Device", Name::Called) => call.called,
        () => return None,
    };
    let word = template.plain("State")?;
    let is = match word {
        "NOT_INUSE" => "idle",
        "INUSE" => "in_use",
        "RINGING" => "ringing",
        "UNAVAILABLE" => "unavailable",
        _ => "unknown",
    };
    let peer = &mut state.peers[place];
    let is_news = peer.device != word;
    word.clone_into(&mut peer.device);
    is_news.then(|| What::Device { number: peer.number.clone(), is })
}

/// What an event makes of the channel that it is about.
fn make_true(state: &mut State, names: &Names, id: Name, template: &Template) {
    let value = |header| template.plain(header).unwrap_or_default().to_owned();
    let told = (value("ChannelState"), value("ChannelStateDesc"));
    let (key, is_caller) = (names[id as usize].clone(), id == Name::CallerId);
    match template.event() {
        "Newchannel" => {
            let names = names.clone();
            let channel = Channel { names, is_caller, state: told, is_in_bridge: false };
            state.channels.insert(key, channel);
        }
        "Hangup" => {
            state.channels.remove(&key);
        }
        event => {
            let Some(channel) = state.channels.get_mut(&key) else { return };
            match event {
                "Newstate" => channel.state = told,
                "BridgeEnter" => channel.is_in_bridge = true,
                "BridgeLeave" => channel.is_in_bridge = false,
                _ => {}
            }
        }
    }
}

fn leg(state: &mut State, call: &Call, ranks: &mut [u8; 2], template: &Template) -> Option<What> {
    let (at, channel, id) = match () {
        () if template.is("Uniqueid", Name::CallerId) => (0, Name::CallerChannel, Name::CallerId),
        () if template.is("Uniqueid", Name::CalledId) => (1, Name::CalledChannel, Name::CalledId),
        () => return None,
    };
    make_true(state, &call.names, id, template);
    let rank = match (template.event(), template.plain("ChannelState")) {
        ("Newchannel", _) => KNOWN,
        ("Newstate", Some("5")) => RINGING,
        ("Newstate", Some("6")) => UP,
        ("BridgeEnter", _) => BRIDGED,
        ("BridgeLeave", _) => LEFT,
        ("Hangup", _) => GONE,
        _ => return None,
    };
    if rank <= ranks[at] {
        return None;
    }
    ranks[at] = rank;
    let name = |name: Name| call.names[name as usize].clone();
    Some(What::Leg { call: name(Name::CallerId), channel: name(channel), rank })
}
