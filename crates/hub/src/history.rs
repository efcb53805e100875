//! Writes down what was: every change of a peer's registration, and every call that is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet::{
    CallState, CallView, Change, Direction, Driver, Freshness, Parts, Party, PeerId, Registration,
    Text, What,
};
use tokio::sync::mpsc;
use tokio::time::{interval, sleep};

use crate::api::registration_word;
use crate::db::{self, CallRow, PeerRow};
use crate::hub::{Hub, now_ms};

/// Rows are gathered for that long.
const GATHER: Duration = Duration::from_millis(500);
/// How often what is too old is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3600);
/// How often it is written down that the hub is there.
const ALIVE_EVERY: Duration = Duration::from_secs(30);
/// Groups of changes that may wait while the database is slow, and rows while it refuses; past that
/// they are lost, and that is said.
const WAITING_MAX: usize = 50_000;
const DAY_MS: i64 = 86_400_000;

/// What happened, and when.
#[derive(Debug)]
enum Told {
    Changes(i64, Vec<Change>),
    Removed(i64, Text),
}

/// Where it is told what happens.
#[derive(Debug)]
pub(crate) struct Past {
    told: mpsc::Sender<Told>,
    is_losing: AtomicBool,
}

/// What was told, to be written down.
#[derive(Debug)]
pub(crate) struct ToWrite(mpsc::Receiver<Told>);

#[derive(Debug, Default)]
struct Historian {
    peers: HashMap<(Text, PeerId), Seen>,
    /// How far servers may be believed.
    parts: HashMap<Text, Parts>,
    calls: HashMap<(Text, Text), (CallView, bool)>,
    peer_rows: Vec<PeerRow>,
    call_rows: Vec<CallRow>,
}

/// What a peer is as far as anybody knows, and what was written of it last.
#[derive(Debug, Default)]
struct Seen {
    now: Registration,
    address: Option<Text>,
    written: Registration,
}

impl Past {
    pub(crate) fn new() -> (Self, ToWrite) {
        let (told, to_write) = mpsc::channel(WAITING_MAX);
        (Self { told, is_losing: AtomicBool::new(false) }, ToWrite(to_write))
    }

    pub(crate) fn tell(&self, at_ms: i64, changes: Vec<Change>) {
        self.say(Told::Changes(at_ms, changes));
    }

    /// A server is watched no more.
    pub(crate) fn tell_removed(&self, at_ms: i64, server: &str) {
        self.say(Told::Removed(at_ms, server.into()));
    }

    /// Never waits: the fleet is locked meanwhile.
    fn say(&self, told: Told) {
        let is_losing = self.told.try_send(told).is_err();
        if self.is_losing.swap(is_losing, Ordering::Relaxed) != is_losing && is_losing {
            tracing::error!(
                "history: the database is too slow: a part of what happens is not kept"
            );
        }
    }
}

/// Writes down what is told, for ever.
pub(crate) async fn keep(hub: Arc<Hub>, ToWrite(mut told): ToWrite) {
    let mut historian = Historian::default();
    if let Err(error) = hub.db.run(db::history::begin).await {
        tracing::error!("history: {error}");
    }
    let (mut forget, mut alive) = (interval(FORGET_EVERY), interval(ALIVE_EVERY));
    loop {
        tokio::select! {
            news = told.recv() => match news {
                Some(news) => historian.hear(news),
                None => return,
            },
            _ = alive.tick() => {
                if let Err(error) = hub.db.run(|db| db::history::alive(db, now_ms())).await {
                    tracing::error!("history: {error}");
                }
                continue;
            }
            _ = forget.tick() => {
                let before = now_ms() - i64::from(hub.config.history_days) * DAY_MS;
                if let Err(error) = hub.db.run(move |db| db::history::forget(db, before)).await {
                    tracing::error!("history: {error}");
                }
            }
        }
        sleep(GATHER).await;
        while let Ok(news) = told.try_recv() {
            historian.hear(news);
        }
        historian.write(&hub).await;
    }
}

impl Historian {
    fn hear(&mut self, told: Told) {
        match told {
            Told::Changes(at_ms, changes) => {
                for Change { server, what, .. } in changes {
                    self.change(server, what, at_ms);
                }
            }
            Told::Removed(at_ms, server) => {
                self.parts.remove(&server);
                self.settle(&server, at_ms);
                self.peers.retain(|(of, _), _| *of != server);
                self.calls.retain(|(of, _), _| *of != server);
            }
        }
    }

    fn change(&mut self, server: Text, what: What, at_ms: i64) {
        match what {
            What::Server(info) => {
                let before = self.parts.insert(server.clone(), info.parts);
                if before != Some(info.parts) {
                    self.settle(&server, at_ms);
                }
            }
            What::Peer(peer) => {
                let peer = *peer;
                let key = (server, peer.id);
                let seen = self.peers.entry(key.clone()).or_default();
                (seen.now, seen.address) = (peer.registration, peer.address);
                self.settle_one(&key, at_ms);
            }
            What::PeerGone(id) => {
                let key = (server, id);
                if let Some(seen) = self.peers.get_mut(&key) {
                    seen.now = Registration::Unknown;
                    self.settle_one(&key, at_ms);
                    self.peers.remove(&key);
                }
            }
            What::Call(call) => self.call(server, *call),
            What::CallGone(id) => {
                if let Some((call, answered)) = self.calls.remove(&(server.clone(), id)) {
                    self.call_rows.push(call_row(&server, call, answered, at_ms));
                }
            }
            _ => {}
        }
    }

    /// Its legs go one after the other: what is kept is the call when it had the most.
    fn call(&mut self, server: Text, call: CallView) {
        let is_up = matches!(call.state, CallState::Up | CallState::OnHold);
        let seen = self.calls.entry((server, call.id.clone()));
        let (kept, was_up) = seen.or_insert_with(|| (call.clone(), false));
        *was_up |= is_up;
        if call.legs_count >= kept.legs_count {
            *kept = call;
        }
    }

    /// It has changed how far a server may be believed.
    fn settle(&mut self, server: &Text, at_ms: i64) {
        let of_it = self.peers.keys().filter(|(of, _)| of == server).cloned();
        for key in of_it.collect::<Vec<_>>() {
            self.settle_one(&key, at_ms);
        }
    }

    /// Writes what a peer is, if that is not what was written last. What nobody sees is not known: the time that
    /// follows is no time of being registered.
    fn settle_one(&mut self, key: &(Text, PeerId), at_ms: i64) {
        let parts = self.parts.get(&key.0).copied().unwrap_or_default();
        let part = match key.1.driver {
            Driver::Pjsip => parts.contacts,
            Driver::Iax2 => parts.iax2,
            Driver::Sip => parts.sip,
        };
        let Some(seen) = self.peers.get_mut(key) else { return };
        let is = if part == Freshness::Live { seen.now } else { Registration::Unknown };
        if is != seen.written {
            seen.written = is;
            let address = seen.address.as_ref().filter(|_| is != Registration::Unknown);
            let address = address.map(ToString::to_string);
            self.peer_rows.push(row(&key.0, &key.1, is, address, at_ms));
        }
    }

    async fn write(&mut self, hub: &Hub) {
        if self.peer_rows.is_empty() && self.call_rows.is_empty() {
            return;
        }
        let (peers, calls) = (self.peer_rows.clone(), self.call_rows.clone());
        match hub.db.run(move |db| db::history::add(db, &peers, &calls)).await {
            Ok(()) => {
                self.peer_rows.clear();
                self.call_rows.clear();
            }
            Err(error) => {
                tracing::error!("history: {error}");
                let over = self.peer_rows.len().saturating_sub(WAITING_MAX);
                self.peer_rows.drain(..over);
                let over = self.call_rows.len().saturating_sub(WAITING_MAX);
                self.call_rows.drain(..over);
            }
        }
    }
}

fn row(
    server: &Text,
    id: &PeerId,
    registration: Registration,
    address: Option<String>,
    at_ms: i64,
) -> PeerRow {
    let driver = match id.driver {
        Driver::Pjsip => "PJSIP",
        Driver::Iax2 => "IAX2",
        Driver::Sip => "SIP",
    };
    PeerRow {
        at_ms,
        server: server.to_string(),
        driver: driver.into(),
        name: id.name.to_string(),
        registration: registration_word(registration).into(),
        address,
    }
}

fn call_row(server: &Text, call: CallView, answered: bool, ended_ms: i64) -> CallRow {
    let direction = match call.direction {
        Direction::In => "in",
        Direction::Out => "out",
        Direction::Through => "through",
        Direction::Internal => "internal",
    };
    let party = |party: Party| {
        [party.number, party.name, party.peer].map(|text| text.map(|text| text.to_string()))
    };
    CallRow {
        began_ms: i64::try_from(call.since_ms.ms).unwrap_or(i64::MAX),
        ended_ms,
        server: server.to_string(),
        linkedid: call.id.to_string(),
        direction: direction.into(),
        answered,
        from: party(call.from),
        to: party(call.to),
    }
}
