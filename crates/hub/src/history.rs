//! Writes down what was: every change of a peer's registration, and every call that is over.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fleet::{
    CallState, CallView, Change, Driver, Freshness, Parts, Party, PeerId, Registration, Text, Time,
    What,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, sleep};

use crate::db::{self, CallRow, DbError, PeerRow};
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
    calls: HashMap<(Text, Text), SeenCall>,
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

/// A call that is not over as far as anybody knows.
#[derive(Debug)]
struct SeenCall {
    /// As it was when it had the most legs.
    call: CallView,
    answered: bool,
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
        // When the hub ends nobody writes any more, and nothing is lost that would be missed.
        let is_losing = matches!(self.told.try_send(told), Err(mpsc::error::TrySendError::Full(_)));
        if self.is_losing.swap(is_losing, Ordering::Relaxed) != is_losing && is_losing {
            tracing::error!(
                "history: the database is too slow: a part of what happens is not kept"
            );
        }
    }
}

/// Writes down what is told, until it is `over`, and then what was told until then.
pub(crate) async fn keep(
    hub: Arc<Hub>,
    ToWrite(mut told): ToWrite,
    mut over: oneshot::Receiver<()>,
) {
    let mut historian = Historian::default();
    said(hub.db.run(db::history::begin).await);
    let (mut forget, mut alive) = (interval(FORGET_EVERY), interval(ALIVE_EVERY));
    let mut is_over = false;
    while !is_over {
        tokio::select! {
            news = told.recv() => {
                news.into_iter().for_each(|news| historian.hear(news));
                tokio::select! {
                    () = sleep(GATHER) => {}
                    _ = &mut over => is_over = true,
                }
            }
            _ = alive.tick() => {
                said(hub.db.run(|db| db::history::alive(db, now_ms())).await);
                continue;
            }
            _ = forget.tick() => {
                let before = now_ms() - i64::from(hub.config.history_days) * DAY_MS;
                let forgotten = hub.db.run(move |db| db::history::forget(db, before)).await;
                if said(forgotten).is_some_and(|too_many| too_many > 0) {
                    tracing::warn!("history: so much happens that not all of history_days has room");
                }
            }
            _ = &mut over => is_over = true,
        }
        while let Ok(news) = told.try_recv() {
            historian.hear(news);
        }
        historian.write(&hub).await;
    }
    said(hub.db.run(|db| db::history::alive(db, now_ms())).await);
}

fn said<T>(done: Result<T, DbError>) -> Option<T> {
    done.inspect_err(|error| tracing::error!("history: {error}")).ok()
}

impl Historian {
    fn hear(&mut self, told: Told) {
        match told {
            Told::Changes(at_ms, changes) => {
                // All that one message of a server's has changed. What a list had no more is gone with the list's end,
                // and that makes calls live.
                let is_listed = changes.iter().any(|change| {
                    matches!(&change.what, What::Server(info) if info.parts.calls == Freshness::Live)
                });
                for Change { server, what, .. } in changes {
                    self.change(server, what, at_ms, is_listed);
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

    fn change(&mut self, server: Text, what: What, at_ms: i64, is_listed: bool) {
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
                if let Some(seen) = self.calls.remove(&(server.clone(), id)) {
                    let was_away = match self.parts.get(&server).map(|parts| parts.calls) {
                        Some(Freshness::AsOf(heard)) if is_listed => Some(heard),
                        _ => None,
                    };
                    self.call_rows.push(call_row(&server, seen, at_ms, was_away));
                }
            }
            _ => {}
        }
    }

    /// Its legs go one after the other: what is kept is the call when it had the most.
    fn call(&mut self, server: Text, call: CallView) {
        let is_up = matches!(call.state, CallState::Up | CallState::OnHold);
        let seen = self.calls.entry((server, call.id.clone()));
        let seen = seen.or_insert_with(|| SeenCall { call: call.clone(), answered: false });
        seen.answered |= is_up;
        if call.legs_count >= seen.call.legs_count {
            seen.call = call;
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
        let (is, at_ms) = match part {
            Freshness::Live => (seen.now, at_ms),
            // It was noticed only later that nobody saw it any more.
            Freshness::AsOf(heard) => (Registration::Unknown, at_ms.min(millis(heard))),
            _ => (Registration::Unknown, at_ms),
        };
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
        // While the database refuses, so many wait for it.
        let kept = match said(hub.db.run(move |db| db::history::add(db, &peers, &calls)).await) {
            Some(()) => 0,
            None => WAITING_MAX,
        };
        let over = self.peer_rows.len().saturating_sub(kept);
        self.peer_rows.drain(..over);
        let over = self.call_rows.len().saturating_sub(kept);
        self.call_rows.drain(..over);
    }
}

fn row(
    server: &Text,
    id: &PeerId,
    registration: Registration,
    address: Option<String>,
    at_ms: i64,
) -> PeerRow {
    PeerRow {
        at_ms,
        server: server.to_string(),
        driver: id.driver.word().into(),
        name: id.name.to_string(),
        registration: registration.word().into(),
        address,
    }
}

/// What is written of a call that is gone. One that was found to be when its server was seen again ended nobody
/// knows when: it was there when the server was heard last.
fn call_row(
    server: &Text,
    SeenCall { call, answered }: SeenCall,
    gone_ms: i64,
    was_away: Option<Time>,
) -> CallRow {
    let began_ms = millis(call.since_ms);
    let ended_ms = was_away.map_or(gone_ms, |heard| millis(heard).max(began_ms).min(gone_ms));
    let party = |party: Party| {
        [party.number, party.name, party.peer].map(|text| text.map(|text| text.to_string()))
    };
    CallRow {
        began_ms,
        ended_ms,
        end_seen: was_away.is_none(),
        server: server.to_string(),
        linkedid: call.id.to_string(),
        direction: call.direction.word().into(),
        answered,
        from: party(call.from),
        to: party(call.to),
    }
}

fn millis(time: Time) -> i64 {
    i64::try_from(time.ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use fleet::{Device, Direction, PeerView, ServerInfo};

    use super::*;

    fn change(what: What) -> Change {
        Change { seq: 1, server: "a".into(), what }
    }

    /// The server, as far as its phones may be believed.
    fn server(phones: Freshness) -> Change {
        let parts = Parts { contacts: phones, ..Parts::default() };
        change(What::Server(Box::new(ServerInfo { parts, ..ServerInfo::default() })))
    }

    fn id() -> PeerId {
        PeerId { driver: Driver::Pjsip, name: "200".into() }
    }

    fn peer(registration: Registration) -> Change {
        change(What::Peer(Box::new(PeerView {
            id: id(),
            trunk: false,
            caller_id: None,
            registration,
            since_ms: None,
            device: Device::Unknown,
            address: Some("192.0.2.7:5060".into()),
            contacts: 1,
            user_agent: None,
            round_trip_us: None,
            mailbox: None,
        })))
    }

    fn words(historian: &mut Historian) -> Vec<(i64, String)> {
        historian.peer_rows.drain(..).map(|row| (row.at_ms, row.registration)).collect()
    }

    #[test]
    fn a_peer_is_what_it_was_seen_to_be_while_its_server_could_be_believed() {
        let mut historian = Historian::default();
        let mut hear = |at_ms, change| {
            historian.hear(Told::Changes(at_ms, vec![change]));
            words(&mut historian)
        };
        let row = |at_ms, word: &str| vec![(at_ms, word.to_owned())];
        assert_eq!(hear(1, peer(Registration::Registered)), [], "nobody knows yet");
        assert_eq!(hear(2, server(Freshness::Live)), row(2, "registered"));
        assert_eq!(hear(3, peer(Registration::Registered)), [], "as before");
        assert_eq!(hear(5, server(Freshness::AsOf(Time { ms: 4 }))), row(4, "unknown"));
        assert_eq!(hear(5, peer(Registration::Unregistered)), [], "not seen");
        assert_eq!(hear(6, server(Freshness::Live)), row(6, "unregistered"));
        assert_eq!(hear(7, peer(Registration::Registered)), row(7, "registered"));
        assert_eq!(hear(8, change(What::PeerGone(id()))), row(8, "unknown"));
        assert_eq!(hear(9, peer(Registration::Registered)), row(9, "registered"));
        historian.hear(Told::Removed(10, "a".into()));
        assert_eq!(words(&mut historian), row(10, "unknown"));
        assert!(historian.peers.is_empty());
    }

    fn call(state: CallState, legs_count: usize, to: &str) -> Change {
        let party = |peer: &str| Party { number: None, name: None, peer: Some(peer.into()) };
        change(What::Call(Box::new(CallView {
            id: "1.1".into(),
            direction: Direction::Internal,
            from: party("PJSIP/200"),
            to: party(to),
            state,
            since_ms: Time { ms: 1 },
            legs: Vec::new(),
            legs_count,
        })))
    }

    #[test]
    fn a_call_is_kept_as_it_was_when_it_had_the_most_legs() {
        let mut historian = Historian::default();
        let changes = vec![
            call(CallState::Ringing, 2, "PJSIP/201"),
            call(CallState::Up, 2, "PJSIP/201"),
            call(CallState::Dialling, 1, ""),
            change(What::CallGone("1.1".into())),
            change(What::CallGone("1.1".into())),
        ];
        historian.hear(Told::Changes(9, changes));
        let [row] = &*historian.call_rows else { panic!("{:?}", historian.call_rows) };
        assert!(row.answered);
        assert_eq!((row.began_ms, row.ended_ms, &row.to[2]), (1, 9, &Some("PJSIP/201".into())));
    }

    #[test]
    fn a_call_that_nobody_saw_end_is_kept_as_long_as_it_was_seen() {
        let calls = |fresh| {
            let parts = Parts { calls: fresh, ..Parts::default() };
            change(What::Server(Box::new(ServerInfo { parts, ..ServerInfo::default() })))
        };
        let mut historian = Historian::default();
        let mut hear = |at_ms, changes| historian.hear(Told::Changes(at_ms, changes));
        let gone = || change(What::CallGone("1.1".into()));
        let up = || call(CallState::Up, 2, "PJSIP/201");
        hear(1, vec![calls(Freshness::Live)]);
        hear(2, vec![up()]);
        // The agent is away for an hour, which is noticed late; the list after that has the call no more.
        hear(40, vec![up(), calls(Freshness::AsOf(Time { ms: 10 }))]);
        hear(3_600_000, vec![gone(), calls(Freshness::Live)]);
        // One that was heard to end before the list was whole, and one after that.
        hear(3_700_000, vec![up(), calls(Freshness::AsOf(Time { ms: 3_700_000 }))]);
        hear(3_700_003, vec![gone()]);
        hear(3_700_004, vec![up(), calls(Freshness::Live)]);
        hear(3_700_005, vec![gone()]);
        let ends = historian.call_rows.iter().map(|row| (row.ended_ms, row.end_seen));
        assert_eq!(ends.collect::<Vec<_>>(), [(10, false), (3_700_003, true), (3_700_005, true)]);
    }
}
