//! Writes down what was: every change of a peer's registration, and every call that is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet::{
    CallState, CallView, Change, Direction, Driver, Freshness, Parts, Party, PeerId, PeerView,
    Registration, Text, What,
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

/// Changes, and when they were.
type Changes = (i64, Vec<Change>);

/// Where changes are told.
#[derive(Debug)]
pub(crate) struct Past {
    changes: mpsc::Sender<Changes>,
    is_losing: AtomicBool,
}

/// What was told, to be written down.
#[derive(Debug)]
pub(crate) struct ToWrite(mpsc::Receiver<Changes>);

#[derive(Debug, Default)]
struct Historian {
    peers: HashMap<(Text, PeerId), Registration>,
    calls: HashMap<(Text, Text), (CallView, bool)>,
    peer_rows: Vec<PeerRow>,
    call_rows: Vec<CallRow>,
}

impl Past {
    pub(crate) fn new() -> (Self, ToWrite) {
        let (changes, to_write) = mpsc::channel(WAITING_MAX);
        (Self { changes, is_losing: AtomicBool::new(false) }, ToWrite(to_write))
    }

    /// Never waits: the fleet is locked meanwhile.
    pub(crate) fn tell(&self, at_ms: i64, changes: Vec<Change>) {
        let is_losing = self.changes.try_send((at_ms, changes)).is_err();
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
            changes = told.recv() => match changes {
                Some((at_ms, changes)) => historian.take(changes, at_ms),
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
        while let Ok((at_ms, changes)) = told.try_recv() {
            historian.take(changes, at_ms);
        }
        historian.write(&hub).await;
    }
}

impl Historian {
    fn take(&mut self, changes: Vec<Change>, at_ms: i64) {
        for Change { server, what, .. } in changes {
            match what {
                What::Server(info) => self.out_of_sight(&server, &info.parts, at_ms),
                What::Peer(peer) => self.peer(server, &peer, at_ms),
                What::PeerGone(id) => self.peer_gone(&server, id, at_ms),
                What::Call(call) => self.call(server, *call),
                What::CallGone(id) => {
                    if let Some((call, answered)) = self.calls.remove(&(server.clone(), id)) {
                        self.call_rows.push(call_row(&server, call, answered, at_ms));
                    }
                }
                _ => {}
            }
        }
    }

    fn peer(&mut self, server: Text, peer: &PeerView, at_ms: i64) {
        let before = self.peers.insert((server.clone(), peer.id.clone()), peer.registration);
        if before.unwrap_or_default() != peer.registration {
            let address = peer.address.as_ref().map(ToString::to_string);
            self.peer_rows.push(row(&server, &peer.id, peer.registration, address, at_ms));
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

    fn peer_gone(&mut self, server: &Text, id: PeerId, at_ms: i64) {
        let key = (server.clone(), id);
        if self.peers.remove(&key).is_some() {
            self.peer_rows.push(row(server, &key.1, Registration::Unknown, None, at_ms));
        }
    }

    /// What nobody sees is not known: the time that follows is no time of being registered.
    fn out_of_sight(&mut self, server: &Text, parts: &Parts, at_ms: i64) {
        let is_gone = |part| matches!(part, Freshness::AsOf(_));
        // A server's counts change with its calls and phones, and this looks at all phones of all servers.
        if ![parts.pjsip, parts.iax2, parts.sip].into_iter().any(is_gone) {
            return;
        }
        let gone = |driver| {
            is_gone(match driver {
                Driver::Pjsip => parts.pjsip,
                Driver::Iax2 => parts.iax2,
                Driver::Sip => parts.sip,
            })
        };
        for ((of, id), registration) in &mut self.peers {
            if of == server && gone(id.driver) && *registration != Registration::Unknown {
                *registration = Registration::Unknown;
                self.peer_rows.push(row(server, id, Registration::Unknown, None, at_ms));
            }
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
