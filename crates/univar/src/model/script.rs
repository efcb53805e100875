//! What happens in a history: operations, faults, and the seed of everything else.

use std::fmt;

use proptest::prelude::*;

use super::{MS, S, Us};

pub(crate) const NODES: usize = 3;

/// A history is its script: running it twice gives the same.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    /// Two or three cache servers.
    pub(crate) servers: usize,
    /// How long it takes to list names: there may be a million others.
    pub(crate) listing_takes: Us,
    pub(crate) faults: Vec<Fault>,
    pub(crate) steps: Vec<Step>,
}

/// One operation by one node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) anchor: Anchor,
    pub(crate) after: Us,
    pub(crate) node: usize,
    pub(crate) name: usize,
    pub(crate) what: What,
}

impl Step {
    fn live_for_ever(&mut self) {
        match &mut self.what {
            What::Set { ttl_s } | What::Touch { ttl_s } | What::Add { ttl_s } => *ttl_s = None,
            what @ (What::Take { .. } | What::Keep { .. } | What::Withdraw { .. }) => {
                *what = What::Get;
            }
            What::Get | What::Delete | What::Increment => {}
        }
    }
}

/// What a step's time is counted from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Anchor {
    /// Everything is healed, before this fault begins.
    Healed(usize),
    /// Only a moment before this fault begins.
    Before(usize),
    Begins(usize),
    Ends(usize),
}

/// What is done. Values are given by the world, each once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum What {
    Get,
    Set { ttl_s: Option<u64> },
    Delete,
    Touch { ttl_s: Option<u64> },
    Add { ttl_s: Option<u64> },
    Increment,
    Take { who: usize },
    Keep { who: usize },
    Withdraw { who: usize },
}

/// What a name is used for.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Class {
    Variable,
    Lock,
    Counter,
    Record,
}

/// The names, by index: what each is used for.
pub(crate) const CLASSES: [Class; 5] =
    [Class::Variable, Class::Variable, Class::Lock, Class::Counter, Class::Record];

#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// How long after everything was healed it begins.
    pub(crate) after: Us,
    pub(crate) lasts: Us,
    pub(crate) kind: FaultKind,
    pub(crate) node: usize,
    pub(crate) server: usize,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FaultKind {
    /// The cache server dies, and is started again, empty, at the end.
    Killed,
    /// It dies, and is started again with what it held so long before it died.
    OldContent { age: Us },
    /// It accepts everything and does nothing, until the end.
    Hung,
    /// It does everything so much later.
    Slow { by: Us },
    /// It does everything, but nobody hears it.
    Mute,
    /// The node does not hear it.
    MuteToOne,
    /// The node does not reach it.
    Cut,
    /// It dies and is started again, empty; and before it is healed, the next server hangs for as
    /// long as it was away. These are two faults: not everything can be known then.
    EmptyAlone,
    /// The node dies, in the middle of whatever it does, and is started again at the end.
    NodeDies,
    /// The node's clock is wrong.
    Clock { by_ms: i64 },
}

pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    let shape = (
        any::<u64>(),
        prop_oneof![3 => Just(2_usize), 1 => Just(3)],
        prop_oneof![3 => Just(0), 1 => 0..4 * S],
    );
    let faults = prop_oneof![
        4 => prop::collection::vec(fault(), 1..3),
        1 => (clock_fault(), fault()).prop_map(|(one, other)| vec![one, other]),
    ];
    let steps = prop::collection::vec((0..3_usize, 0..10_u8, when(), step()), 10..70);
    (shape, faults, steps).prop_map(|((seed, servers, listing_takes), mut faults, steps)| {
        faults.iter_mut().for_each(|fault| fault.server %= servers);
        let steps = steps.into_iter().map(|(fault, edge, after, (mut node, (name, what)))| {
            let fault = fault % faults.len();
            let anchor = match edge {
                0..3 => Anchor::Healed(fault),
                3..6 => Anchor::Begins(fault),
                6..9 => Anchor::Ends(fault),
                _ => {
                    node = faults[fault].node;
                    Anchor::Before(fault)
                }
            };
            Step { anchor, after, node, name, what }
        });
        let mut steps: Vec<Step> = steps.collect();
        // Versions of a clock that was ahead stay ahead. Where a life has ended, nothing tells of
        // them, and what is written then is older than what a copy may have that was away.
        let ahead = |fault: &Fault| matches!(fault.kind, FaultKind::Clock { by_ms } if by_ms > 0);
        if faults.iter().any(ahead) {
            steps.iter_mut().for_each(Step::live_for_ever);
        }
        Script { seed, servers, listing_takes, faults, steps }
    })
}

/// Much is done at nearly the same time, and near the moments when a fault is noticed.
fn when() -> impl Strategy<Value = Us> {
    let bases = [0, 0, 20 * MS, 60 * MS, 300 * MS, 550 * MS, S, 2 * S, 3 * S, 4 * S, 6 * S];
    let near = prop_oneof![2 => 0..2 * MS, 1 => 0..20 * MS, 1 => 0..S];
    (prop::sample::select(bases.to_vec()), near).prop_map(|(base, near)| base + near)
}

fn step() -> impl Strategy<Value = (usize, (usize, What))> {
    (
        0..NODES,
        (0..CLASSES.len(), 0..12_u8, 0..8_u64).prop_map(|(name, pick, ttl)| {
            let ttl_s = (ttl < 3).then_some(2 + 2 * ttl);
            let who = usize::from(pick % 2 == 0);
            let what = match (CLASSES[name], pick) {
                (Class::Counter, 0..3) => What::Get,
                (Class::Counter, _) => What::Increment,
                (_, 0..4) => What::Get,
                (Class::Variable, 4..9) => What::Set { ttl_s },
                (Class::Variable, 9..11) => What::Delete,
                (Class::Variable, _) => What::Touch { ttl_s },
                (Class::Lock, 4..10) => What::Add { ttl_s },
                (Class::Lock, _) => What::Delete,
                (Class::Record, 4..8) => What::Take { who },
                (Class::Record, 8..10) => What::Keep { who },
                (Class::Record, _) => What::Withdraw { who },
            };
            (name, what)
        }),
    )
}

fn fault() -> BoxedStrategy<Fault> {
    let kind = prop_oneof![
        3 => Just(FaultKind::Killed),
        3 => (100 * MS..12 * S).prop_map(|age| FaultKind::OldContent { age }),
        3 => Just(FaultKind::Hung),
        1 => Just(FaultKind::Slow { by: 100 * MS }),
        1 => Just(FaultKind::Slow { by: 2 * S }),
        1 => Just(FaultKind::Mute),
        1 => Just(FaultKind::MuteToOne),
        3 => Just(FaultKind::Cut),
        1 => Just(FaultKind::EmptyAlone),
        2 => Just(FaultKind::NodeDies),
        2 => wrong_clock(),
    ];
    fault_of(kind).boxed()
}

fn clock_fault() -> BoxedStrategy<Fault> {
    fault_of(wrong_clock()).boxed()
}

fn wrong_clock() -> impl Strategy<Value = FaultKind> {
    let hour = 3_600_000;
    let by_ms = prop::sample::select(vec![hour, -hour, 48 * hour, -48 * hour]);
    by_ms.prop_map(|by_ms| FaultKind::Clock { by_ms })
}

fn fault_of(kind: impl Strategy<Value = FaultKind>) -> impl Strategy<Value = Fault> {
    let lasts = prop_oneof![10 * MS..400 * MS, 400 * MS..4 * S, 4 * S..12 * S];
    (kind, 200 * MS..4 * S, lasts, 0..NODES, 0..3_usize)
        .prop_map(|(kind, after, lasts, node, server)| Fault { after, lasts, kind, node, server })
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}, {} cache servers, lists in {}",
            self.seed, self.servers, self.listing_takes
        )?;
        for fault in &self.faults {
            writeln!(f, "  {fault:?}")?;
        }
        for step in &self.steps {
            let Step { anchor, after, node, name, what } = step;
            writeln!(f, "  {anchor:?} + {after}: node {node}, name {name}: {what:?}")?;
        }
        Ok(())
    }
}
