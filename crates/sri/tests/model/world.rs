//! The event loop: time, faults, and who does what next. Everything random comes from the seed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::cache::Cache;
use super::history::{Ended, History};
use super::node::{self, Node};
use super::phones::Phone;
use super::script::{CACHES, FaultKind, PHONES, PhoneAct, Script};
use super::wire::{Message, Task};
use super::{MS, Off, S, Us};

/// How long a node that is stopped by its operator goes on to withdraw.
const STOP_TAKES: Us = 300 * MS;

#[derive(Debug)]
pub(crate) enum Event {
    Arrive(Message),
    Answer { task: u64, step: u32, index: usize, reply: super::cache::Reply },
    Deadline { task: u64 },
    Poll { node: usize, life: u32 },
    Probe { node: usize, life: u32, cache: usize },
    Act(PhoneAct),
    Register { phone: usize, node: usize, expires_s: u64, turn: u32 },
    Expire { node: usize, phone: usize, end: Us },
    FaultBegins(usize),
    FaultEnds(usize),
    NodeEnds { node: usize, life: u32 },
    NodeStarts { node: usize },
    Client,
    RacingRead,
}

pub(crate) struct World {
    pub(crate) script: Script,
    pub(crate) off: Off,
    pub(crate) now: Us,
    base: Instant,
    seed: u64,
    queue: BTreeMap<(Us, u64), Event>,
    sequence: u64,
    pub(crate) sequence_task: u64,
    pub(crate) caches: Vec<Cache>,
    /// What waits in a cache server that stands still.
    pub(crate) stuck: Vec<Vec<Message>>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) tasks: BTreeMap<u64, Task>,
    pub(crate) phones: Vec<Phone>,
    pub(crate) history: History,
}

/// Runs a script to its end.
pub(crate) fn run(script: &Script, off: Off) -> History {
    let mut world = World {
        script: script.clone(),
        off,
        now: 0,
        base: Instant::now(),
        seed: script.seed,
        queue: BTreeMap::new(),
        sequence: 0,
        sequence_task: 0,
        caches: Vec::new(),
        stuck: vec![Vec::new(); CACHES],
        nodes: (0..script.nodes).map(|id| Node::new(id, script)).collect(),
        tasks: BTreeMap::new(),
        phones: vec![Phone::default(); PHONES],
        history: History::new(script.clone()),
    };
    for cache in 0..CACHES {
        let phase = world.random(S);
        world.caches.push(Cache::new(phase));
        world.history.losses.push((0, cache));
    }
    world.plan();
    while let Some(((at, _), event)) = world.queue.pop_first() {
        if at > script.end {
            break;
        }
        world.now = at;
        world.happen(event);
    }
    world.history
}

impl World {
    fn plan(&mut self) {
        for node in 0..self.script.nodes {
            self.start_probing(node, 500 * MS);
        }
        for (at, act) in self.script.phones.clone() {
            self.at(at, Event::Act(act));
        }
        for (index, fault) in self.script.faults.clone().into_iter().enumerate() {
            self.at(fault.from, Event::FaultBegins(index));
            self.at(fault.to, Event::FaultEnds(index));
            // Readers race every fault.
            for edge in [fault.from, fault.to] {
                for n in 0..40 {
                    let at = (edge + n * MS).saturating_sub(20 * MS) + self.random(MS);
                    self.at(at, Event::RacingRead);
                }
            }
        }
        self.at(0, Event::Client);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(message) => self.arrive(message),
            Event::Answer { task, step, index, reply } => self.answered(task, step, index, reply),
            Event::Deadline { task } => self.fail(task),
            Event::Poll { node, life } => self.poll(node, life),
            Event::Probe { node, life, cache } => self.probe(node, life, cache),
            Event::Act(act) => self.act(act),
            Event::Register { phone, node, expires_s, turn } => {
                self.register(phone, node, expires_s, turn);
            }
            Event::Expire { node, phone, end } => self.expire(node, phone, end),
            Event::FaultBegins(index) => self.fault_begins(index),
            Event::FaultEnds(index) => self.fault_ends(index),
            Event::NodeEnds { node, life } => {
                if self.nodes[node].life == life {
                    self.nodes[node].end();
                }
            }
            Event::NodeStarts { node } => self.start(node),
            Event::Client => self.client(),
            Event::RacingRead => self.locate(),
        }
    }

    fn fault_begins(&mut self, index: usize) {
        let fault = self.script.faults[index];
        if fault.kind.loses_content() {
            self.caches[fault.cache].lose_everything();
        }
        match fault.kind {
            FaultKind::NodeCrash | FaultKind::Reboot => {
                self.close_stays(fault.node, Ended::Crash);
                self.nodes[fault.node].end();
            }
            FaultKind::NodeStop => {
                self.close_stays(fault.node, Ended::Stop);
                let now = self.instant();
                let node = &mut self.nodes[fault.node];
                node.up = false;
                node.registrar.withdraw_all(now);
                let life = node.life;
                self.wake(fault.node);
                self.after(STOP_TAKES, Event::NodeEnds { node: fault.node, life });
            }
            _ => {}
        }
    }

    fn fault_ends(&mut self, index: usize) {
        let fault = self.script.faults[index];
        if fault.kind.loses_content() {
            self.history.losses.push((self.now, fault.cache));
        }
        if fault.kind.stops_node() {
            let at = fault.to.max(fault.from + STOP_TAKES + MS) + self.random(S);
            self.at(at, Event::NodeStarts { node: fault.node });
        }
        if fault.kind == FaultKind::Freeze {
            for message in std::mem::take(&mut self.stuck[fault.cache]) {
                self.arrive(message);
            }
        }
    }

    fn start(&mut self, id: usize) {
        self.nodes[id].start(id, &self.script);
        self.history.restarts.push((self.now, id));
        self.restore(id);
        self.start_probing(id, 5 * MS);
        self.wake(id);
    }

    fn start_probing(&mut self, node: usize, within: Us) {
        let life = self.nodes[node].life;
        for cache in 0..CACHES {
            let first = self.random(within);
            self.after(first, Event::Probe { node, life, cache });
        }
    }

    /// Sets the I/O thread's alarm to when its registrar wants it.
    pub(crate) fn wake(&mut self, id: usize) {
        let Some(due) = self.nodes[id].registrar.poll_timeout() else { return };
        let at = self.us(due).max(self.now);
        let node = &mut self.nodes[id];
        if node.alarm.is_none_or(|alarm| alarm > at) {
            node.alarm = Some(at);
            let life = node.life;
            self.at(at, Event::Poll { node: id, life });
        }
    }

    fn poll(&mut self, id: usize, life: u32) {
        let now = self.instant();
        let node = &mut self.nodes[id];
        if node.life != life || node.alarm != Some(self.now) {
            return;
        }
        node.alarm = None;
        let mut claims = Vec::new();
        node.registrar.poll(now, 64, &mut claims);
        for claim in claims {
            self.carry_out(id, claim);
        }
        self.wake(id);
    }

    fn close_stays(&mut self, node: usize, ended: Ended) {
        for phone in 0..PHONES {
            let key = node::key(&self.script, node, phone);
            self.history.close_stay(&key, node, self.now, ended);
        }
    }

    /// Whether such a fault hinders this pair now.
    pub(crate) fn hindered(&self, kinds: &[FaultKind], node: usize, cache: usize) -> bool {
        self.script.faults.iter().any(|f| {
            kinds.contains(&f.kind)
                && f.from <= self.now
                && self.now < f.to
                && f.hinders(node, cache)
        })
    }

    pub(crate) fn at(&mut self, at: Us, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    pub(crate) fn after(&mut self, wait: Us, event: Event) {
        self.at(self.now + wait, event);
    }

    pub(crate) fn instant(&self) -> Instant {
        self.base + Duration::from_micros(self.now)
    }

    pub(crate) fn instant_at(&self, at: Us) -> Instant {
        self.base + Duration::from_micros(at)
    }

    fn us(&self, at: Instant) -> Us {
        (at - self.base).as_nanos().div_ceil(1000) as Us
    }

    /// A number below `bound` (splitmix64).
    pub(crate) fn random(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}
