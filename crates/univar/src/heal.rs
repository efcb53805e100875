//! Healing: what a cache server lost or missed is copied to it again from the other one.
//!
//! A server whose marker says `H` is compared with the servers that share names with it: their
//! names are listed, and each one that has a copy here is read from both copies, which mends the
//! older (see `task`). Only then does `maintain` make the marker `R`. One node at a time does it
//! for a server: the one that holds the item `tandem:healer` there, for a few seconds at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memcache_proto::{FlagBuf, Flags, Key, LineReply, Request, Response, SetMode};

use crate::dump::{Dump, DumpEnd};
use crate::epoch::EpochId;
use crate::lane::{Lane, drive};
use crate::server::{Server, lock};
use crate::status::{Event, EventKind};
use crate::talk::{Heard, Talk, TalkError};
use crate::{Name, Store, switch_off};

/// Who heals a server says so in an item of this name.
const HEALER_KEY: &[u8] = b"tandem:healer";

/// How long a healer may be silent before another node takes over.
const HEALER_LEASE_S: u64 = 4;

/// Comparing begins this long after healing was first seen: until then every node has said that
/// it owes the server a write, and has begun a new epoch for it.
const SETTLE: Duration = Duration::from_secs(1);

/// How many names are compared at a time. Between two such batches the healer pauses for as long
/// as the last one took, so that it takes no more than half of what it could.
const BATCH_NAMES: usize = 100;

/// How long one batch may take, or one small question.
const BATCH_LIMIT: Duration = Duration::from_secs(1);

/// How long listing one server's names may take: of a million, a second and a half.
const LIST_LIMIT: Duration = Duration::from_secs(4);

/// How long to wait before asking for a dump again while another one is under way.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// After comparing that could not be completed, the next try waits for this.
const GIVEN_UP_PAUSE: Duration = Duration::from_secs(1);

/// How often memcached is asked how much it threw away.
const EVICTIONS_INTERVAL: Duration = Duration::from_secs(5);

/// How much a thread that heals steps back (nice(1)).
const NICENESS: libc::c_int = 10;

/// What came of [`Store::compare_copies`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Comparison {
    /// Names of which not all copies could be compared: an older one may stand still.
    pub pending: Vec<Name>,
    /// Cache servers that could not be listed, so that names may be missing.
    pub unlisted: Vec<Arc<str>>,
}

impl Comparison {
    /// Whether the copies of all names are the same.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty() && self.unlisted.is_empty()
    }
}

/// Makes the calling thread one that lets others go first: healing shall keep no call waiting for a
/// processor. Under a real-time policy (`asterisk -p`) it changes nothing.
pub fn step_back() {
    // SAFETY: setpriority(2) takes plain numbers; on Linux 0 is the calling thread. What it refuses
    // leaves the thread as it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

impl Store {
    /// Heals every server that needs it, as far as this node is the one to do it; says what
    /// happened. For one thread of ours, a few times a second; [`step_back`] is for it.
    ///
    /// `pause` waits, or says that there is no more time: then it returns soon.
    #[must_use]
    pub fn heal(&self, pause: &dyn Fn(Duration) -> bool) -> Vec<Event> {
        let mut events = Vec::new();
        for at in 0..self.servers.len() {
            let Some(id) = due(&self.servers[at], Instant::now()) else { continue };
            if !self.is_healer(at) {
                continue;
            }
            if let Some(kind) = self.compare(at, id, pause) {
                events.push(Event { server: Arc::clone(self.servers[at].name()), kind });
            }
        }
        events
    }

    /// Compares the copies of all names that have two, until `end`, and writes the newer over the
    /// older, whatever the markers say: for who cannot know what a server has missed.
    ///
    /// No marker is changed. Takes as much of the servers' time as healing.
    #[must_use]
    pub fn compare_copies(&self, end: Instant) -> Comparison {
        // What is over by its own server's clock is for that one to leave out: ours may be wrong.
        let found = self.names_at(0, b"", usize::MAX, end);
        let replicated = |name: &Arc<str>| {
            self.servers.iter().any(|server| server.name() == name && server.is_replicated())
        };
        let unlisted = found.unlisted.into_iter().filter(replicated).collect();
        let names: Vec<Name> =
            found.names.into_iter().filter(|name| self.has_two_copies(name)).collect();
        let mut pending = Vec::new();
        for batch in names.chunks(BATCH_NAMES) {
            let start = Instant::now();
            let mended = self.mend(batch, end.min(start + BATCH_LIMIT));
            let failed = batch.iter().zip(mended).filter(|(_, mended)| !mended);
            pending.extend(failed.map(|(name, _)| name.clone()));
            let left = end.saturating_duration_since(Instant::now());
            std::thread::sleep(start.elapsed().min(left));
        }
        Comparison { pending, unlisted }
    }

    /// Looks whether servers have thrown values away since the last look.
    #[must_use]
    pub fn evictions(&self) -> Vec<Event> {
        let now = Instant::now();
        let due = |server: &&Arc<Server>| {
            let mut upkeep = lock(&server.upkeep);
            let due =
                upkeep.evictions_at.is_none_or(|at| now.duration_since(at) >= EVICTIONS_INTERVAL);
            if due && server.is_up() {
                upkeep.evictions_at = Some(now);
            }
            due && server.is_up()
        };
        let servers: Vec<_> = self.servers.iter().filter(due).collect();
        let mut lanes: Vec<_> = servers
            .iter()
            .map(|server| Lane::patient(server, Evictions::default(), now + BATCH_LIMIT))
            .collect();
        drive(&mut lanes);
        let mut events = Vec::new();
        for (server, lane) in servers.into_iter().zip(lanes) {
            let Some(count) = lane.talk.count.filter(|_| lane.talk.ended) else { continue };
            let before = lock(&server.upkeep).evictions.replace(count);
            // A count that fell is that of a server that was started again.
            if let Some(items) = before.and_then(|before| count.checked_sub(before))
                && items > 0
            {
                let kind = EventKind::Evicted { items };
                events.push(Event { server: Arc::clone(server.name()), kind });
            }
        }
        events
    }

    /// Compares all names that the server should have. `None`: not worth a word.
    fn compare(
        &self,
        at: usize,
        id: EpochId,
        pause: &dyn Fn(Duration) -> bool,
    ) -> Option<EventKind> {
        let server = &*self.servers[at];
        let Some(names) = self.names_of(at, pause) else { return self.give_up(at, 0) };
        let names: Vec<Name> = names.into_iter().collect();
        let mut failed = 0;
        // Listing may have taken longer than the healer's lease.
        if !self.is_healer(at) {
            return None;
        }
        let mut renewed = Instant::now();
        for batch in names.chunks(BATCH_NAMES) {
            let start = Instant::now();
            if due(server, start) != Some(id) {
                // Another epoch has begun, or another node was quicker.
                return None;
            }
            if start.duration_since(renewed) >= Duration::from_secs(HEALER_LEASE_S) / 4 {
                if !self.is_healer(at) {
                    return None;
                }
                renewed = start;
            }
            if !switch_off::repair() {
                let mended = self.mend(batch, start + BATCH_LIMIT);
                failed += mended.into_iter().filter(|mended| !mended).count();
            }
            if pause(start.elapsed()) {
                return None;
            }
        }
        if failed > 0 {
            return self.give_up(at, failed);
        }
        lock(&server.upkeep).complete_for = Some(id);
        Some(EventKind::Compared { names: names.len() })
    }

    /// Leaves it to whoever tries next, and says so once until it is healed.
    fn give_up(&self, at: usize, names: usize) -> Option<EventKind> {
        let mut upkeep = lock(&self.servers[at].upkeep);
        upkeep.compare_after = Some(Instant::now() + GIVEN_UP_PAUSE);
        let first = !std::mem::replace(&mut upkeep.said_incomplete, true);
        first.then_some(EventKind::Incomplete { names })
    }

    /// The names of which the server should have a copy, from all servers that may have the
    /// other; `None` if one of them could not be listed.
    fn names_of(&self, at: usize, pause: &dyn Fn(Duration) -> bool) -> Option<BTreeSet<Name>> {
        let mut names = BTreeSet::new();
        for partner in self.partners(at) {
            let end = Instant::now() + LIST_LIMIT;
            let all = loop {
                // What is over by its own server's clock is for that one to leave out: ours may be wrong.
                let dump = Dump::new(b"", usize::MAX, 0);
                let mut lanes = [Lane::patient(&self.servers[partner], dump, end)];
                drive(&mut lanes);
                let [lane] = lanes;
                match lane.talk.end {
                    Some(DumpEnd::Complete) => break lane.talk.names,
                    Some(DumpEnd::Busy) if !pause(BUSY_PAUSE) && Instant::now() < end => {}
                    _ => return None,
                }
            };
            names.extend(all.into_iter().filter(|name| self.replicates(name, at)));
        }
        Some(names)
    }

    /// Whether this node is the one to heal the server: then it is for another while.
    fn is_healer(&self, at: usize) -> bool {
        // What is another's by now is not renewed.
        self.ask_to_heal(at, false) && self.ask_to_heal(at, true)
    }

    /// Asks for the item that says who heals; `again` if it is this node's.
    fn ask_to_heal(&self, at: usize, again: bool) -> bool {
        let healer = Healer { node: self.node.to_string(), again, asked: false, won: false };
        let end = Instant::now() + BATCH_LIMIT;
        let mut lanes = [Lane::patient(&self.servers[at], healer, end)];
        drive(&mut lanes);
        let [lane] = lanes;
        lane.talk.won
    }
}

/// The epoch in which the server is to be compared at `now`, if it is.
pub(crate) fn due(server: &Server, now: Instant) -> Option<EpochId> {
    let upkeep = lock(&server.upkeep);
    let (id, since) = upkeep.healing_since?;
    let due = server.is_replicated()
        && server.is_up()
        && now.saturating_duration_since(since) >= SETTLE
        && upkeep.complete_for != Some(id)
        && upkeep.compare_after.is_none_or(|at| Instant::now() >= at);
    due.then_some(id)
}

/// Asks to be the one that heals a server.
#[derive(Debug)]
struct Healer {
    node: String,
    again: bool,
    asked: bool,
    won: bool,
}

impl Talk for Healer {
    fn ask(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.asked, true) {
            return;
        }
        let key = Key::new(HEALER_KEY).expect("the key is a constant");
        let mut flags = FlagBuf::new();
        if !self.again {
            flags.mode(SetMode::Add);
        }
        flags.number(b'T', HEALER_LEASE_S);
        let data = self.node.as_bytes();
        Request::Set { key, flags: flags.as_flags(), data }.encode(out);
        Request::Get { key, flags: Flags::VALUE }.encode(out);
    }

    fn hear(&mut self, buf: &[u8], _now: Instant) -> Result<(usize, Heard), TalkError> {
        let Some((_, first)) = Response::decode(buf)? else { return Ok((0, Heard::More)) };
        let Some((response, second)) = Response::decode(&buf[first..])? else {
            return Ok((0, Heard::More));
        };
        self.won = matches!(response, Response::Value { data, .. } if data == self.node.as_bytes());
        Ok((first + second, Heard::Answered))
    }

    fn ask_again(&mut self) {
        self.asked = false;
    }
}

/// Asks how many items were thrown away.
#[derive(Debug, Default)]
struct Evictions {
    asked: bool,
    ended: bool,
    count: Option<u64>,
}

impl Talk for Evictions {
    fn ask(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.asked, true) {
            Request::Stats.encode(out);
        }
    }

    fn hear(&mut self, buf: &[u8], _now: Instant) -> Result<(usize, Heard), TalkError> {
        let mut used = 0;
        while let Some((line, len)) = LineReply::decode(&buf[used..])? {
            used += len;
            match line {
                LineReply::Stat { name: b"evictions", value } => {
                    let text = std::str::from_utf8(value).ok();
                    self.count = text.and_then(|text| text.parse().ok());
                }
                LineReply::Stat { .. } => {}
                LineReply::End => {
                    self.ended = true;
                    return Ok((used, Heard::Answered));
                }
                _ => return Err(TalkError::Unexpected),
            }
        }
        Ok((used, Heard::More))
    }

    fn ask_again(&mut self) {
        self.asked = false;
    }
}
