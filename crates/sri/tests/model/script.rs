//! What happens in a history: phones, faults and the seed of everything else.

use std::fmt;

use proptest::prelude::*;

use super::{MS, S, Us};

pub(crate) const PHONES: usize = 3;
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
    /// Registers at a node and forgets the others, without telling them.
    Move { phone: usize, node: usize, expires_s: u64 },
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
        prop_oneof![Just(12_u64), Just(30), Just(60)],
    );
    let phones = prop::collection::vec((100..20_000_u64, phone_act()), 4..24);
    let faults = prop::collection::vec((0..15_000_u64, fault()), 0..6);
    (shape, phones, faults).prop_map(|((seed, nodes, shared, lease_s), phones, faults)| {
        let mut at = 0;
        let phones = phones.into_iter().map(|(gap_ms, act)| {
            at += gap_ms * MS;
            (at, act.at_nodes(nodes, shared))
        });
        let phones: Vec<_> = phones.collect();
        let mut free = 10 * S;
        let faults = faults.into_iter().map(|(gap_ms, (kind, node, cache, len_ms))| {
            let from = free + gap_ms * MS;
            let to = if kind == FaultKind::Flush { from } else { from + len_ms * MS };
            free = to + FAULT_GAP;
            Fault { from, to, kind, node: node % nodes, cache }
        });
        let faults: Vec<_> = faults.collect();
        let end = at.max(free) + lease_s * S + 5 * S;
        Script { seed, nodes, shared, lease_s, phones, faults, end }
    })
}

fn phone_act() -> impl Strategy<Value = PhoneAct> {
    let expires = prop_oneof![Just(20_u64), Just(60), Just(600)];
    (0..PHONES, 0..3_usize, expires, 0..10_u8).prop_map(|(phone, node, expires_s, what)| match what
    {
        0..6 => PhoneAct::Move { phone, node, expires_s },
        6..8 => PhoneAct::Also { phone, node, expires_s },
        8 => PhoneAct::Leave { phone },
        _ => PhoneAct::Vanish { phone },
    })
}

fn fault() -> impl Strategy<Value = (FaultKind, usize, usize, u64)> {
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
            Self::Move { phone, node, expires_s } => {
                Self::Move { phone, node: node % nodes, expires_s }
            }
            // With a shared prefix a phone registers in one place at a time.
            Self::Also { phone, node, expires_s } if shared => {
                Self::Move { phone, node: node % nodes, expires_s }
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
