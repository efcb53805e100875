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
            What::Get | What::Life | What::Delete | What::Increment => {}
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
    Life,
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
    /// Its memory is full: it refuses most of what is written, and deletes what was there.
    Full,
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

impl FaultKind {
    /// A clock that is so far ahead that nobody follows it.
    pub(crate) fn is_absurd(self) -> bool {
        matches!(self, Self::Clock { by_ms } if by_ms > 24 * 3_600_000)
    }
}

pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    prop_oneof![
        6 => any_scripts(),
        1 => half_writes(),
        1 => overtaken_clocks(),
        1 => contended_locks(),
        1 => locks_in_trouble(),
        1 => moving_records(),
        1 => counters_apart(),
        1 => copied_lives(),
    ]
}

fn any_scripts() -> impl Strategy<Value = Script> {
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
        // Nobody follows such a clock, so what is written next is older than what a copy may have
        // that is away then: no other fault may follow.
        if let Some(absurd) = faults.iter().position(|fault| fault.kind.is_absurd()) {
            faults.truncate(absurd + 1);
        }
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

/// A node dies in the middle of a write, and another reads.
fn half_writes() -> impl Strategy<Value = Script> {
    let writes = prop::collection::vec((0..2_usize, 0..800_u64), 2..5);
    (any::<u64>(), writes, 0..2_usize).prop_map(|(seed, writes, server)| {
        let kind = FaultKind::NodeDies;
        let fault = Fault { after: 2 * S, lasts: S, kind, node: 1, server };
        let set = What::Set { ttl_s: None };
        let first = (0..2).map(|name| step_at(Anchor::Healed(0), 0, 0, name, set));
        let writes =
            writes.into_iter().map(|(name, us)| step_at(Anchor::Before(0), us, 1, name, set));
        let reads = (0..2).map(|name| step_at(Anchor::Begins(0), 5 * MS, 2, name, What::Get));
        let steps = first.chain(writes).chain(reads).collect();
        Script { seed, servers: 2, listing_takes: 0, faults: vec![fault], steps }
    })
}

/// What a clock that was ahead has written is overwritten while a copy is away.
fn overtaken_clocks() -> impl Strategy<Value = Script> {
    (any::<u64>(), 0..2_usize, 0..2_usize).prop_map(|(seed, server, name)| {
        let kind = FaultKind::Clock { by_ms: 3_600_000 };
        let clock = Fault { after: S, lasts: S, kind, node: 1, server };
        let hung = Fault { lasts: 2 * S, kind: FaultKind::Hung, ..clock };
        let set = What::Set { ttl_s: None };
        let steps = vec![
            step_at(Anchor::Begins(0), 10 * MS, 1, name, set),
            step_at(Anchor::Begins(1), S, 0, name, set),
            step_at(Anchor::Ends(1), 10 * MS, 2, name, What::Get),
        ];
        Script { seed, servers: 2, listing_takes: 0, faults: vec![clock, hung], steps }
    })
}

/// Many want a lock at the same moment, and it is given back.
fn contended_locks() -> impl Strategy<Value = Script> {
    let near = prop::collection::vec(0..300_u64, 30);
    (any::<u64>(), near, fault()).prop_map(|(seed, near, fault)| {
        let (add, fault) = (What::Add { ttl_s: None }, Fault { server: 0, ..fault });
        let steps = near.iter().enumerate().map(|(at, &near)| {
            let (round, turn) = (at as Us / 3, at % 3);
            step_at(Anchor::Healed(0), round * 20 * MS + near, turn, 2, add)
        });
        let back = (0..10)
            .map(|round| step_at(Anchor::Healed(0), round * 20 * MS + 15 * MS, 0, 2, What::Delete));
        let steps = steps.chain(back).collect();
        Script { seed, servers: 2, listing_takes: 0, faults: vec![fault], steps }
    })
}

/// Many want a lock while one of them cannot reach the first copy, or has just noticed so.
fn locks_in_trouble() -> impl Strategy<Value = Script> {
    let near = prop::collection::vec(0..4 * MS, 12);
    let kind = prop_oneof![Just(FaultKind::Cut), Just(FaultKind::MuteToOne), Just(FaultKind::Hung)];
    (any::<u64>(), near, kind, 0..3 * MS, 0..2_usize).prop_map(
        |(seed, near, kind, jitter, server)| {
            let fault = Fault { after: 2 * S, lasts: 40 * MS + jitter, kind, node: 1, server };
            let add = What::Add { ttl_s: None };
            let steps = near.iter().enumerate().flat_map(|(at, &near)| {
                let (round, turn) = (at as Us / 3, at % 3);
                let after = 15 * MS + round * 15 * MS;
                [
                    step_at(Anchor::Begins(0), after + near, turn, 2, add),
                    step_at(Anchor::Begins(0), after + near + MS, (turn + 1) % 3, 2, What::Get),
                ]
            });
            let steps = steps.collect();
            Script { seed, servers: 2, listing_takes: 0, faults: vec![fault], steps }
        },
    )
}

/// A phone goes from one node to another, and the one that it left, whose clock is ahead, says so.
fn moving_records() -> impl Strategy<Value = Script> {
    let near = prop::collection::vec((0..400_u64, 0..400_u64, 0..800_u64), 10);
    (any::<u64>(), near, prop::sample::select(vec![1000_i64, 3_600_000])).prop_map(
        |(seed, near, by_ms)| {
            let kind = FaultKind::Clock { by_ms };
            let fault = Fault { after: 2 * S, lasts: 2 * S, kind, node: 1, server: 0 };
            let steps = near.into_iter().enumerate().flat_map(|(round, (leaves, comes, reads))| {
                let at = round as Us * 60 * MS;
                let step =
                    |after, node, what| step_at(Anchor::Begins(0), at + after, node, 4, what);
                [
                    step(0, 1, What::Take { who: 1 }),
                    step(30 * MS + leaves, 1, What::Withdraw { who: 1 }),
                    step(30 * MS + comes, 0, What::Take { who: 0 }),
                    step(30 * MS + reads, 2, What::Get),
                    step(50 * MS, 2, What::Get),
                ]
            });
            let steps = steps.collect();
            Script { seed, servers: 2, listing_takes: 0, faults: vec![fault], steps }
        },
    )
}

/// A counter is counted on both sides of a cut, and looked at in every way when that has ended.
fn counters_apart() -> impl Strategy<Value = Script> {
    let counts = prop::collection::vec((0..NODES, 0..2 * S), 6..12);
    let looks = prop::collection::vec((0..NODES, 0..4_u8, 0..900 * MS), 1..6);
    (any::<u64>(), counts, looks, 0..2_usize).prop_map(|(seed, counts, looks, server)| {
        let kind = FaultKind::Cut;
        let fault = Fault { after: 2 * S, lasts: 3 * S, kind, node: 1, server };
        let first = step_at(Anchor::Healed(0), 0, 0, 3, What::Increment);
        let counts = counts
            .into_iter()
            .map(|(node, after)| step_at(Anchor::Begins(0), after, node, 3, What::Increment));
        let looks = looks.into_iter().map(|(node, pick, after)| {
            let what = match pick {
                0 => What::Get,
                1 => What::Add { ttl_s: None },
                2 => What::Touch { ttl_s: None },
                _ => What::Life,
            };
            step_at(Anchor::Ends(0), after, node, 3, what)
        });
        let last = step_at(Anchor::Ends(0), 4 * S, 2, 3, What::Get);
        let steps = [first, last].into_iter().chain(counts).chain(looks).collect();
        Script { seed, servers: 2, listing_takes: 0, faults: vec![fault], steps }
    })
}

/// A server is lost and filled again with what will soon end.
fn copied_lives() -> impl Strategy<Value = Script> {
    let set = (0..2_usize, 0..NODES, 1..3_u64, 0..S);
    let sets = prop::collection::vec(set, 4..12);
    (any::<u64>(), sets, 0..2_usize).prop_map(|(seed, sets, server)| {
        let kind = FaultKind::Killed;
        let fault = Fault { after: 1500 * MS, lasts: 50 * MS, kind, node: 0, server };
        let sets = sets.into_iter().flat_map(|(name, node, ttl, after)| {
            let set = What::Set { ttl_s: Some(2 * ttl) };
            let after = S / 2 + after;
            let write = step_at(Anchor::Healed(0), after, node, name, set);
            let reads =
                [600, 900].map(|ms| step_at(Anchor::Ends(0), ms * MS, node, name, What::Get));
            [write].into_iter().chain(reads)
        });
        let steps = sets.collect();
        Script { seed, servers: 2, listing_takes: 0, faults: vec![fault], steps }
    })
}

fn step_at(anchor: Anchor, after: Us, node: usize, name: usize, what: What) -> Step {
    Step { anchor, after, node, name, what }
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
        2 => Just(FaultKind::Full),
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
