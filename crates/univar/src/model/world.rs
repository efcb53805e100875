//! The event loop: time, the cache servers, faults, and who does what next. Everything random comes
//! from the seed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::cache::Cache;
use super::history::History;
use super::node::Node;
use super::run::Run;
use super::script::{Anchor, CLASSES, Fault, FaultKind, NODES, Script, Step, What};
use super::wire::{Lane, Message};
use super::{MS, Off, S, Us};
use crate::epoch::{MARKER_KEY, Marker};

/// How often it is looked whether everything is healed, and what old content is taken from.
const LOOK_INTERVAL: Us = 100 * MS;
/// A fault may be over before a probe that it spoilt is.
const STAYS_HEALED: Us = S;
/// Healing takes no longer than this after a fault.
const HEALS_WITHIN: Us = 30 * S;
/// So long ago is the oldest content that comes back.
const SNAPSHOTS_MAX: usize = 120;

#[derive(Debug)]
pub(crate) enum Event {
    Arrive(Message),
    Execute(Message),
    Reply { lane: usize, attempt: u32, bytes: Vec<u8> },
    Break { lane: usize, attempt: u32 },
    Round { run: usize },
    Hurry { run: usize, round: u32 },
    Deadline { run: usize, round: u32 },
    Maintain { node: usize },
    ProbeEnds { node: usize, turn: u32 },
    Heal { node: usize },
    Listed { node: usize, partner: usize },
    FaultBegins(usize),
    FaultEnds(usize),
    Step(Step),
    Look,
    End,
}

/// A machine with a cache server.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) cache: Cache,
    pub(crate) up: bool,
    /// How often it was started.
    pub(crate) life: u32,
    /// What it has accepted while it hangs.
    pub(crate) stuck: Vec<Message>,
    snapshots: VecDeque<Cache>,
    /// Who heals it, and until when.
    pub(crate) healer: Option<(usize, Us)>,
}

pub(crate) struct World {
    pub(crate) off: Off,
    pub(crate) now: Us,
    base: Instant,
    seed: u64,
    queue: BTreeMap<(Us, u64), Event>,
    sequence: u64,
    faults: Vec<Fault>,
    /// What is wrong now, and until when.
    pub(crate) active: Option<(Us, Fault)>,
    /// The fault that waits until everything is healed; and since when.
    waiting: Option<(usize, Us)>,
    /// How long everything has been healed.
    content_for: Us,
    pub(crate) hosts: Vec<Host>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) lanes: Vec<Lane>,
    pub(crate) runs: Vec<Run>,
    pub(crate) history: History,
    /// Between two faults that are one too many, what is written may be lost.
    pub(crate) only_reads: bool,
    ended: bool,
}

/// Runs a script to its end.
pub(crate) fn run(script: &Script, off: Off) -> History {
    let mut world = World {
        off,
        now: 0,
        base: Instant::now(),
        seed: script.seed,
        queue: BTreeMap::new(),
        sequence: 0,
        faults: script.faults.clone(),
        active: None,
        waiting: Some((0, 0)),
        content_for: 0,
        hosts: Vec::new(),
        nodes: Vec::new(),
        lanes: Vec::new(),
        runs: Vec::new(),
        history: History {
            script: script.clone(),
            ops: Vec::new(),
            faults: Vec::new(),
            never_healed: None,
        },
        only_reads: false,
        ended: false,
    };
    // At last each cache server is lost once: what they hold must be there twice.
    for server in 0..script.servers {
        let kind = FaultKind::Killed;
        world.faults.push(Fault { after: S, lasts: 3 * S, kind, node: 0, server });
    }
    for _ in 0..script.servers {
        let cache = Cache::new(world.random(S));
        let (stuck, snapshots) = (Vec::new(), VecDeque::new());
        world.hosts.push(Host { cache, up: true, life: 0, stuck, snapshots, healer: None });
    }
    for node in 0..NODES {
        let skew_ms = world.random(7) as i64 - 3;
        world.nodes.push(Node::new(script.servers, skew_ms));
        let first = world.random(500 * MS);
        world.at(first, Event::Maintain { node });
        world.at(first, Event::Heal { node });
    }
    world.at(LOOK_INTERVAL, Event::Look);
    while let Some(((at, _), event)) = world.queue.pop_first() {
        world.now = at;
        world.happen(event);
        if world.ended {
            break;
        }
    }
    world.history
}

impl World {
    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive(message) => self.arrive(message),
            Event::Execute(message) => self.execute(message),
            Event::Reply { lane, attempt, bytes } => self.reply(lane, attempt, &bytes),
            Event::Break { lane, attempt } => self.break_off(lane, attempt),
            Event::Round { run } => self.begin_round(run),
            Event::Hurry { run, round } => self.hurry(run, round),
            Event::Deadline { run, round } => self.time_out(run, round),
            Event::Maintain { node } => self.maintain(node),
            Event::ProbeEnds { node, turn } => self.probe_ends(node, turn),
            Event::Heal { node } => self.heal(node),
            Event::Listed { node, partner } => self.listed(node, partner),
            Event::FaultBegins(index) => self.fault_begins(index),
            Event::FaultEnds(index) => self.fault_ends(index),
            Event::Step(step) => self.step(step),
            Event::Look => self.look(),
            Event::End => self.ended = true,
        }
    }

    fn look(&mut self) {
        for host in self.hosts.iter_mut().filter(|host| host.up) {
            host.snapshots.push_front(host.cache.clone());
            host.snapshots.truncate(SNAPSHOTS_MAX);
        }
        self.after(LOOK_INTERVAL, Event::Look);
        let Some((index, since)) = self.waiting else { return };
        self.content_for = if self.is_healed() { self.content_for + LOOK_INTERVAL } else { 0 };
        if self.content_for >= STAYS_HEALED {
            self.waiting = None;
            self.healed(index);
        } else if self.now > since + HEALS_WITHIN {
            self.history.never_healed = Some(self.now);
            self.ended = true;
        }
    }

    /// Every node sees `R` everywhere, and owes nothing.
    fn is_healed(&mut self) -> bool {
        let now = self.now;
        let markers: Vec<Marker> = self.hosts.iter_mut().map(|host| host.marker(now)).collect();
        self.active.is_none()
            && markers.iter().all(|marker| marker.a_miss_counts())
            && self.nodes.iter().all(|node| node.is_content(&markers))
    }

    fn healed(&mut self, index: usize) {
        self.only_reads = false;
        self.plan(Anchor::Healed(index));
        match self.faults.get(index) {
            Some(fault) => {
                let after = fault.after;
                self.after(after, Event::FaultBegins(index));
                let steps = self.history.script.steps.clone();
                for step in steps.into_iter().filter(|s| s.anchor == Anchor::Before(index)) {
                    self.after(after - step.after % (2 * MS), Event::Step(step));
                }
            }
            None => {
                self.everybody_reads(0);
                self.after(S, Event::End);
            }
        }
    }

    fn fault_begins(&mut self, index: usize) {
        let fault = self.faults[index];
        let to = self.now + fault.lasts;
        self.active = Some((to, fault));
        self.history.faults.push((self.now, to, fault));
        self.only_reads |= fault.kind == FaultKind::EmptyAlone;
        match fault.kind {
            FaultKind::Killed | FaultKind::EmptyAlone | FaultKind::OldContent { .. } => {
                self.kill(fault.server);
            }
            FaultKind::NodeDies => self.node_dies(fault.node),
            FaultKind::Clock { by_ms } => self.nodes[fault.node].skew_ms += by_ms,
            _ => {}
        }
        self.at(to, Event::FaultEnds(index));
        self.plan(Anchor::Begins(index));
        if index >= self.history.script.faults.len() {
            self.everybody_reads(S);
        }
    }

    fn kill(&mut self, server: usize) {
        let host = &mut self.hosts[server];
        host.up = false;
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].is_open && self.lanes[lane].server == server {
                let (attempt, wait) = (self.lanes[lane].attempt, self.latency());
                self.after(wait, Event::Break { lane, attempt });
            }
        }
    }

    fn fault_ends(&mut self, index: usize) {
        let fault = self.faults[index];
        self.active = None;
        let host = &mut self.hosts[fault.server];
        match fault.kind {
            FaultKind::EmptyAlone => {
                host.cache.lose_everything();
                host.start();
                let server = (fault.server + 1) % self.hosts.len();
                self.faults[index] = Fault { kind: FaultKind::Hung, server, ..fault };
                // Every node knows that it is back, and nobody has begun to heal it.
                return self.after(700 * MS, Event::FaultBegins(index));
            }
            FaultKind::NodeDies => {
                self.nodes[fault.node].is_up = true;
                self.after(1, Event::Maintain { node: fault.node });
            }
            FaultKind::Killed => {
                host.cache.lose_everything();
                host.start();
            }
            FaultKind::OldContent { age } => {
                let at = ((age / LOOK_INTERVAL) as usize).min(host.snapshots.len() - 1);
                host.cache = host.snapshots[at].clone();
                host.snapshots.drain(..at);
                host.start();
            }
            FaultKind::Clock { by_ms } => self.nodes[fault.node].skew_ms -= by_ms,
            FaultKind::Hung => self.go_on(fault.server),
            _ => {}
        }
        self.plan(Anchor::Ends(index));
        (self.waiting, self.content_for) = (Some((index + 1, self.now)), 0);
    }

    /// It carries out what it has accepted: each connection's in order, the connections' anyhow.
    fn go_on(&mut self, server: usize) {
        let mut from = BTreeMap::new();
        for message in std::mem::take(&mut self.hosts[server].stuck) {
            let wait = self.random(3 * MS);
            let at = *from.entry(message.lane).or_insert(self.now + wait);
            self.execute_later(message, at);
        }
    }

    fn plan(&mut self, anchor: Anchor) {
        let steps = self.history.script.steps.clone();
        for step in steps.into_iter().filter(|step| step.anchor == anchor) {
            self.after(step.after, Event::Step(step));
        }
    }

    fn everybody_reads(&mut self, after: Us) {
        for name in 0..CLASSES.len() {
            for node in 0..NODES {
                let after = after + self.random(100 * MS);
                self.read_later(after, node, name);
            }
        }
    }

    pub(crate) fn read_later(&mut self, after: Us, node: usize, name: usize) {
        let (anchor, what) = (Anchor::Healed(0), What::Get);
        self.after(after, Event::Step(Step { anchor, after, node, name, what }));
    }

    /// Whether what is wrong now is such a thing, and concerns these two.
    pub(crate) fn suffers(&self, node: usize, server: usize, kinds: &[FaultKind]) -> bool {
        self.active.is_some_and(|(_, fault)| {
            let for_all = !matches!(fault.kind, FaultKind::Cut | FaultKind::MuteToOne);
            fault.server == server && (for_all || fault.node == node) && kinds.contains(&fault.kind)
        })
    }

    /// How much later the server does what it is told.
    pub(crate) fn slowness(&self, server: usize) -> Option<(Us, Us)> {
        match self.active? {
            (to, Fault { kind: FaultKind::Slow { by }, server: slow, .. }) if slow == server => {
                Some((by, to))
            }
            _ => None,
        }
    }

    pub(crate) fn latency(&mut self) -> Us {
        match self.random(30) {
            0 => self.random(4 * MS),
            _ => 50 + self.random(400),
        }
    }

    pub(crate) fn at(&mut self, at: Us, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    pub(crate) fn after(&mut self, wait: Us, event: Event) {
        self.at(self.now + wait, event);
    }

    pub(crate) fn instant(&self) -> Instant {
        self.instant_at(self.now)
    }

    pub(crate) fn instant_at(&self, at: Us) -> Instant {
        self.base + Duration::from_micros(at)
    }

    /// A number below `bound` (splitmix64).
    pub(crate) fn random(&mut self, bound: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

impl Host {
    pub(crate) fn marker(&mut self, now: Us) -> Marker {
        self.cache.data(now, MARKER_KEY).map_or(Marker::Absent, Marker::parse)
    }

    fn start(&mut self) {
        self.up = true;
        self.life += 1;
        self.healer = None;
    }
}
