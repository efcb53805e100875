//! What happens in a history: phones, faults and the seed of everything else.

use std::fmt;

use proptest::prelude::*;

use super::{MS, S, Us};

pub(crate) const PHONES: usize = 2;
pub(crate) const CACHES: usize = 2;
/// Between the end of one fault and the next: healing, and every retry, is over by then.
const FAULT_GAP: Us = 14 * S;

/// A history is its script: running it twice gives the same.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    /// All nodes publish under one prefix; else each has its own.
    pub(crate) shared: bool,
    pub(crate) lease_s: u64,
    pub(crate) phones: Vec<(Us, PhoneAct)>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) end: Us,
}

/// What a phone does. It refreshes what it registered by itself.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PhoneAct {
    /// Registers at a node and forgets the others; some phones tell them afterwards.
    Move { phone: usize, node: usize, expires_s: u64, farewell: bool },
    /// Registers at a node beside the others.
    Also { phone: usize, node: usize, expires_s: u64 },
    /// Unregisters everywhere.
    Leave { phone: usize },
    /// Loses its power.
    Vanish { phone: usize },
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) from: Us,
    pub(crate) to: Us,
    pub(crate) kind: FaultKind,
    pub(crate) node: usize,
    pub(crate) cache: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FaultKind {
    /// The node dies, and is started again at the end.
    NodeCrash,
    /// The node is stopped by its operator, and started again at the end.
    NodeStop,
    /// The cache server dies, and is started again, empty, at the end.
    CacheCrash,
    /// The cache server loses its content and goes on.
    Flush,
    /// The node and the cache server stand on one machine, and that is switched off.
    Reboot,
    /// The node does not reach the cache server.
    CutOne,
    /// Nobody reaches the cache server.
    CutAll,
    /// The cache server stands still, and then does all that it has received.
    Freeze,
    /// The cache server does what the node says, but its answers are lost.
    AnswersLost,
}

impl FaultKind {
    pub(crate) fn stops_node(self) -> bool {
        matches!(self, Self::NodeCrash | Self::NodeStop | Self::Reboot)
    }

    /// Content is lost when it begins, and again when it ends.
    pub(crate) fn loses_content(self) -> bool {
        matches!(self, Self::CacheCrash | Self::Reboot | Self::Flush)
    }
}

impl Fault {
    /// Whether it hinders what `node` says to `cache`.
    pub(crate) fn hinders(&self, node: usize, cache: usize) -> bool {
        use FaultKind::{AnswersLost, CacheCrash, CutAll, CutOne, Flush, Freeze, Reboot};
        match self.kind {
            CacheCrash | Reboot | CutAll | Freeze => self.cache == cache,
            CutOne | AnswersLost => self.cache == cache && self.node == node,
            FaultKind::NodeCrash | FaultKind::NodeStop | Flush => false,
        }
    }
}

pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    let shape = (
        any::<u64>(),
        2..=3_usize,
        prop::bool::weighted(0.75),
        prop_oneof![2 => Just(12_u64), 1 => Just(30), 1 => Just(60)],
    );
    let phones = prop::collection::vec((100..20_000_u64, when(), phone_act()), 3..12);
    let faults = prop::collection::vec((0..15_000_u64, fault()), 0..6);
    let handovers = prop::collection::vec(handover(), 0..4);
    (shape, phones, faults, handovers).prop_map(|(shape, phones, faults, handovers)| {
        let (seed, nodes, shared, lease_s) = shape;
        let faults = lay_out(faults, nodes);
        let mut phones = place(phones, &faults, nodes, shared);
        phones.extend(handovers.iter().flat_map(|h| h.acts(&faults, nodes)));
        phones.sort_by_key(|(at, _)| *at);
        let last_act = phones.last().map_or(0, |(at, _)| *at);
        let last_fault = faults.last().map_or(0, |f| f.to);
        let end = last_act.max(last_fault) + (lease_s + 8) * S;
        Script { seed, nodes, shared, lease_s, phones, faults, end }
    })
}

/// One fault after the other, each with time to heal.
fn lay_out(faults: Vec<(u64, AnyFault)>, nodes: usize) -> Vec<Fault> {
    let mut free = 10 * S;
    let faults = faults.into_iter().map(|(gap_ms, (kind, node, cache, len_ms))| {
        let from = free + gap_ms * MS;
        let to = if kind == FaultKind::Flush { from } else { from + len_ms * MS };
        free = to + FAULT_GAP;
        Fault { from, to, kind, node: node % nodes, cache }
    });
    faults.collect()
}

/// Much of what phones do is done shortly before a fault begins, or before or after it ends.
fn place(
    acts: Vec<(u64, When, PhoneAct)>,
    faults: &[Fault],
    nodes: usize,
    shared: bool,
) -> Vec<(Us, PhoneAct)> {
    let mut last = 0;
    let acts = acts.into_iter().map(|(gap_ms, when, act)| {
        let act = act.at_nodes(nodes, shared);
        let fault = faults.get(gap_ms as usize % faults.len().max(1));
        let at = match (when, fault) {
            (When::BeforeItBegins, Some(fault)) => fault.from.checked_sub(gap_ms * MS / 4),
            (When::NearItsEnd, Some(fault)) => (fault.to + 2 * S).checked_sub(gap_ms * MS / 2),
            (When::AnyTime, _) | (_, None) => None,
        };
        last = at.unwrap_or(last + gap_ms * MS);
        (last, act)
    });
    acts.collect()
}

/// A phone that has been at one node for long and moves to another just before a fault: this is
/// when two nodes have it in their tables.
#[derive(Clone, Copy, Debug)]
struct Handover {
    fault: usize,
    phone: usize,
    node: usize,
    before_ms: u64,
}

fn handover() -> impl Strategy<Value = Handover> {
    (0..6_usize, 0..PHONES, 0..6_usize, 0..5_000_u64)
        .prop_map(|(fault, phone, node, before_ms)| Handover { fault, phone, node, before_ms })
}

impl Handover {
    fn acts(&self, faults: &[Fault], nodes: usize) -> Vec<(Us, PhoneAct)> {
        let Some(fault) = faults.get(self.fault % faults.len().max(1)) else { return Vec::new() };
        let (phone, expires_s, farewell) = (self.phone, 600, false);
        let (from, to) = (self.node % nodes, (self.node + 1) % nodes);
        let times = [(FAULT_GAP + 4 * S, from), (self.before_ms * MS, to)];
        let acts = times.map(|(before, node)| {
            let act = PhoneAct::Move { phone, node, expires_s, farewell };
            (fault.from.saturating_sub(before), act)
        });
        acts.to_vec()
    }
}

/// When a phone does something: with regard to some fault, or to what was done before.
#[derive(Clone, Copy, Debug)]
enum When {
    AnyTime,
    BeforeItBegins,
    NearItsEnd,
}

fn when() -> impl Strategy<Value = When> {
    let all = [When::AnyTime, When::AnyTime, When::BeforeItBegins, When::NearItsEnd];
    prop::sample::select(all.to_vec())
}

fn phone_act() -> impl Strategy<Value = PhoneAct> {
    let expires = prop_oneof![1 => Just(20_u64), 1 => Just(60), 3 => Just(600)];
    (0..PHONES, 0..3_usize, expires, 0..10_u8).prop_map(|(phone, node, expires_s, what)| match what
    {
        0..6 => PhoneAct::Move { phone, node, expires_s, farewell: what < 2 },
        6..8 => PhoneAct::Also { phone, node, expires_s },
        8 => PhoneAct::Leave { phone },
        _ => PhoneAct::Vanish { phone },
    })
}

/// Kind, node, cache server and length in milliseconds.
type AnyFault = (FaultKind, usize, usize, u64);

fn fault() -> impl Strategy<Value = AnyFault> {
    use FaultKind::{
        AnswersLost, CacheCrash, CutAll, CutOne, Flush, Freeze, NodeCrash, NodeStop, Reboot,
    };
    let kinds = [
        NodeCrash,
        NodeStop,
        CacheCrash,
        Flush,
        Flush,
        Reboot,
        CutOne,
        CutOne,
        CutAll,
        Freeze,
        AnswersLost,
    ];
    let len_ms = prop_oneof![20..400_u64, 400..12_000_u64, 12_000..40_000_u64];
    (prop::sample::select(kinds.to_vec()), 0..3_usize, 0..CACHES, len_ms)
}

impl PhoneAct {
    fn at_nodes(self, nodes: usize, shared: bool) -> Self {
        match self {
            Self::Move { phone, node, expires_s, farewell } => {
                Self::Move { phone, node: node % nodes, expires_s, farewell }
            }
            // With a shared prefix a phone registers in one place at a time.
            Self::Also { phone, node, expires_s } if shared => {
                Self::Move { phone, node: node % nodes, expires_s, farewell: false }
            }
            Self::Also { phone, node, expires_s } => {
                Self::Also { phone, node: node % nodes, expires_s }
            }
            Self::Leave { .. } | Self::Vanish { .. } => self,
        }
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, nodes, shared, lease_s, end, .. } = self;
        writeln!(f, "seed {seed}, {nodes} nodes, shared {shared}, lease {lease_s} s, end {end}")?;
        for (at, act) in &self.phones {
            writeln!(f, "  {at:>11} {act:?}")?;
        }
        for fault in &self.faults {
            writeln!(f, "  {fault:?}")?;
        }
        Ok(())
    }
}
