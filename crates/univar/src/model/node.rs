//! A node: its clock, what it knows of the cache servers, and the two threads that look after them.
//! This is the shell that `maintain` and `heal` are in the product, and who calls them.

use std::collections::BTreeSet;

use super::run::name_of;
use super::script::FaultKind;
use super::wire::{Connection, User};
use super::world::{Event, World};
use super::{MS, S, Us};
use crate::Address;
use crate::clock::Clock;
use crate::epoch::{EpochId, Marker};
use crate::heal;
use crate::maintain::{begin, conclude};
use crate::probe::Probe;
use crate::server::{Server, Trouble, lock};
use crate::talk::{Heard, Talk};

const PROBE_INTERVAL: Us = 500 * MS;
const PROBE_SPACING: Us = 50 * MS;
const PROBE_DEADLINE: Us = 200 * MS;
const HEAL_INTERVAL: Us = 200 * MS;
const HEALER_LEASE: Us = 4 * S;

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) clock: Clock,
    pub(crate) skew_ms: i64,
    pub(crate) servers: Vec<Server>,
    /// The life of the cache server to which idle connections lead.
    pub(crate) pools: Vec<Option<u32>>,
    next_probe: Us,
    last_probe: Us,
    look: Option<Look>,
    turn: u32,
    heal: Option<Heal>,
    pub(crate) is_up: bool,
}

/// All servers are being probed.
#[derive(Debug)]
struct Look {
    start: Us,
    probes: Vec<(Option<Probe>, u64)>,
    lanes: Vec<usize>,
    succeeded: Vec<Option<bool>>,
}

/// A server is being compared with the others.
#[derive(Debug)]
struct Heal {
    server: usize,
    id: EpochId,
    names: BTreeSet<usize>,
    pending: usize,
    failed: bool,
}

impl Node {
    pub(crate) fn new(servers: usize, skew_ms: i64) -> Self {
        let server = |at| {
            let address = Address::parse(&format!("127.0.0.1:{}", 21_000 + at)).unwrap();
            let server = Server::new(&address);
            server.serves(std::time::Duration::from_millis(25), true);
            server
        };
        Self {
            clock: Clock::default(),
            skew_ms,
            servers: (0..servers).map(server).collect(),
            pools: vec![None; servers],
            next_probe: 0,
            last_probe: 0,
            look: None,
            turn: 0,
            heal: None,
            is_up: true,
        }
    }

    /// It is as new, but not up.
    pub(crate) fn die(&mut self) {
        let turn = self.turn + 1;
        *self = Self { turn, is_up: false, ..Self::new(self.servers.len(), self.skew_ms) };
    }

    /// It sees that everything is healed, and has nothing to say against it.
    pub(crate) fn is_content(&self, markers: &[Marker]) -> bool {
        self.servers.iter().zip(markers).all(|(server, marker)| {
            let upkeep = lock(&server.upkeep);
            server.is_quick()
                && upkeep.reported_up == Some(true)
                && upkeep.watch.is_ready()
                && upkeep.watch.known_id() == marker.id()
                && !server.owed().1
        })
    }
}

impl World {
    /// Something is wrong: the I/O thread shall look.
    pub(crate) fn wake(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        let at = (node.last_probe + PROBE_SPACING).max(self.now);
        if node.look.is_none() && at < node.next_probe {
            node.next_probe = at;
            self.at(at, Event::Maintain { node: id });
        } else if node.look.is_some() {
            node.next_probe = 0;
        }
    }

    pub(crate) fn maintain(&mut self, id: usize) {
        if !self.nodes[id].is_up
            || self.nodes[id].look.is_some()
            || self.now < self.nodes[id].next_probe
        {
            return;
        }
        self.enter(id, false);
        self.nodes[id].next_probe = Us::MAX;
        self.nodes[id].turn += 1;
        let turn = self.nodes[id].turn;
        let count = self.nodes[id].servers.len();
        let mut probes = Vec::new();
        let mut batches = Vec::new();
        for server in 0..count {
            let new_id = EpochId::new(self.random(u64::MAX));
            let start = self.instant();
            let (mut probe, owed) = begin(&self.nodes[id].servers[server], new_id, start);
            let mut batch = Vec::new();
            probe.ask(&mut batch);
            batches.push(batch);
            probes.push((Some(probe), owed));
        }
        let succeeded = vec![None; count];
        let look = Look { start: self.now, probes, lanes: Vec::new(), succeeded };
        self.nodes[id].look = Some(look);
        for (server, batch) in batches.iter().enumerate() {
            let user = User::Probe { node: id, server };
            let lane = self.talk((id, server), user, batch, Connection::Pooled);
            if let Some(look) = &mut self.nodes[id].look {
                look.lanes.push(lane);
            }
        }
        self.after(PROBE_DEADLINE, Event::ProbeEnds { node: id, turn });
    }

    pub(crate) fn probe_answered(&mut self, id: usize, server: usize, lane: usize) {
        self.enter(id, false);
        let now = self.instant();
        let Some(look) = &mut self.nodes[id].look else { return };
        let talk = &self.lanes[lane];
        if !talk.succeeded {
            look.succeeded[server] = Some(false);
            return self.look_over(id);
        }
        let Some(probe) = &mut look.probes[server].0 else { return };
        let (_, heard) = probe.hear(&talk.heard, now).unwrap();
        assert_eq!(heard, Heard::Answered);
        let mut batch = Vec::new();
        probe.ask(&mut batch);
        if batch.is_empty() {
            look.succeeded[server] = Some(true);
            return self.look_over(id);
        }
        let user = User::Probe { node: id, server };
        let next = self.talk((id, server), user, &batch, Connection::Of(lane));
        if let Some(look) = &mut self.nodes[id].look {
            look.lanes[server] = next;
        }
    }

    pub(crate) fn probe_ends(&mut self, id: usize, turn: u32) {
        let node = &self.nodes[id];
        let Some(look) = node.look.as_ref().filter(|_| node.turn == turn) else { return };
        for lane in look.lanes.clone() {
            self.fail(lane, Trouble::TimedOut);
        }
    }

    fn look_over(&mut self, id: usize) {
        let (now, at) = (self.now, self.instant());
        let node = &mut self.nodes[id];
        let Some(look) = node.look.take_if(|look| look.succeeded.iter().all(Option::is_some))
        else {
            return;
        };
        let woken = node.next_probe == 0;
        let mut events = Vec::new();
        let start = self.instant_at(look.start);
        let node = &mut self.nodes[id];
        for (server, (probe, owed)) in look.probes.into_iter().enumerate() {
            let answered = look.succeeded[server] == Some(true);
            let found = probe.filter(|_| answered).map(Probe::found);
            if found.is_none() {
                node.pools[server] = None;
            }
            conclude(&node.servers[server], found, (start, at), owed, &mut events);
        }
        node.last_probe = now;
        node.next_probe = now + if woken { PROBE_SPACING } else { PROBE_INTERVAL };
        let next = node.next_probe;
        self.at(next, Event::Maintain { node: id });
    }

    // Healing.

    pub(crate) fn heal(&mut self, id: usize) {
        self.after(HEAL_INTERVAL, Event::Heal { node: id });
        if self.nodes[id].heal.is_some() || !self.nodes[id].is_up {
            return;
        }
        let now = self.instant();
        let due = |world: &Self, server| heal::due(&world.nodes[id].servers[server], now);
        for server in 0..self.hosts.len() {
            let Some(epoch) = due(self, server) else { continue };
            if !self.is_healer(id, server) {
                continue;
            }
            let names = BTreeSet::new();
            self.nodes[id].heal =
                Some(Heal { server, id: epoch, names, pending: 0, failed: false });
            let wait = self.latency() + self.history.script.listing_takes;
            return self.after(wait, Event::Listed { node: id, partner: 0 });
        }
    }

    fn is_healer(&mut self, id: usize, server: usize) -> bool {
        if !self.reaches(id, server) {
            return false;
        }
        let until = self.now + HEALER_LEASE;
        let healer = &mut self.hosts[server].healer;
        match *healer {
            Some((other, until)) if other != id && until > self.now => false,
            _ => {
                *healer = Some((id, until));
                true
            }
        }
    }

    /// One server's names were listed; at last, they are compared.
    pub(crate) fn listed(&mut self, id: usize, partner: usize) {
        let (now, at) = (self.now, self.instant());
        let Some(mut heal) = self.nodes[id].heal.take() else { return };
        if !self.reaches(id, partner) {
            return;
        }
        for (key, _) in self.hosts[partner].cache.keys(now) {
            let name = name_of(&key).filter(|name| self.places(*name).contains(&heal.server));
            heal.names.extend(name);
        }
        if partner + 1 < self.hosts.len() {
            self.nodes[id].heal = Some(heal);
            let wait = self.latency() + self.latency();
            return self.after(wait, Event::Listed { node: id, partner: partner + 1 });
        }
        if heal::due(&self.nodes[id].servers[heal.server], at) != Some(heal.id) {
            return;
        }
        let names = std::mem::take(&mut heal.names);
        heal.pending = names.len();
        self.nodes[id].heal = Some(heal);
        for &name in &names {
            self.mend(id, name);
        }
        if names.is_empty() {
            self.compared(id);
        }
    }

    pub(crate) fn mended(&mut self, id: usize, done: bool) {
        let Some(heal) = &mut self.nodes[id].heal else { return };
        heal.pending -= 1;
        heal.failed |= !done;
        if heal.pending == 0 {
            self.compared(id);
        }
    }

    fn compared(&mut self, id: usize) {
        let Some(heal) = self.nodes[id].heal.take() else { return };
        if !heal.failed {
            lock(&self.nodes[id].servers[heal.server].upkeep).complete_for = Some(heal.id);
        }
    }

    fn reaches(&self, node: usize, server: usize) -> bool {
        let kinds = [FaultKind::Hung, FaultKind::Mute, FaultKind::MuteToOne, FaultKind::Cut];
        self.hosts[server].up
            && !self.suffers(node, server, &kinds)
            && self.slowness(server).is_none_or(|(by, _)| by < S)
    }
}
