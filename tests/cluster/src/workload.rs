//! What is read and written while faults come and go.
//!
//! Names are of a few kinds, and their kind is the first part of the name: `hot` (few, so that many are at one of
//! them at once), `reg` (many), `keep` (seldom written and never deleted, so that what is lost early is found
//! late), `ttl` (with a time to live), `lock` (added and deleted), `count` (counted up), and the records of
//! phones. Each value is written once. Names that end in `race` are for what is done through all servers at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::client::{Client, Order};
use crate::history::Kind;
use crate::pace::{Pace, Stop};
use crate::random::Random;

/// Names of each kind.
const HOT: u64 = 8;
const REG: u64 = 150;
const KEEP: u64 = 300;
const TTL: u64 = 20;
const LOCK: u64 = 8;
const COUNT: u64 = 6;
/// The time to live of `ttl` names, in seconds.
const TTL_SECONDS: u64 = 8;
/// How often several servers are asked for the same at once, and how many kinds of that there are.
const RACE_EVERY: Duration = Duration::from_millis(50);
const RACES: u32 = 4;
/// Who has no session tries again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// What may be done.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    /// Names of phones' records that are looked up.
    pub(crate) records: Vec<String>,
    /// Whether there are `ttl`, `lock` and `count` names.
    pub(crate) whole: bool,
    /// Whether `UNIVAR_ADD` and `UNIVAR_INC` are there.
    pub(crate) functions: bool,
}

impl Workload {
    /// Does something by chance, at a pace, until told to stop.
    pub(crate) fn run(
        &self,
        mut client: Client<'_>,
        mut random: Random,
        mut pace: Pace,
        stop: &Stop,
    ) {
        while stop.goes_on_at(pace.next()) {
            let order = self.order(&mut random);
            if client.perform(&order).is_none() && !stop.goes_on_after(AGAIN_AFTER) {
                return;
            }
        }
    }

    /// Does the same as others do at the same moment through other servers: `number` tells who of `all` this is.
    pub(crate) fn race(
        &self,
        mut client: Client<'_>,
        number: u32,
        all: u32,
        from: Instant,
        stop: &Stop,
    ) {
        for round in 0_u32.. {
            if !stop.goes_on_at(from + RACE_EVERY * round) {
                return;
            }
            let is_first = round / RACES % all == number;
            let order = match round % RACES {
                0 => set("hot-race".to_owned(), None),
                1 if self.functions => {
                    Order { kind: Kind::Inc, ..Order::get("count-race".to_owned()) }
                }
                2 if self.functions => add("lock-race".to_owned()),
                3 if self.functions && is_first => delete("lock-race".to_owned()),
                _ if is_first => delete("hot-race".to_owned()),
                _ => Order::get("hot-race".to_owned()),
            };
            if client.perform(&order).is_none() && !stop.goes_on_after(AGAIN_AFTER) {
                return;
            }
        }
    }

    fn order(&self, random: &mut Random) -> Order {
        let kind = if self.whole { random.below(100) } else { random.below(75) };
        match kind {
            0..10 => change_or_get("hot", HOT, [35, 15], None, random),
            10..50 => change_or_get("reg", REG, [30, 10], None, random),
            50..70 => change_or_get("keep", KEEP, [4, 0], None, random),
            70..85 => self.look_up(random),
            85..90 => change_or_get("ttl", TTL, [30, 0], Some(TTL_SECONDS), random),
            _ if !self.functions => change_or_get("reg", REG, [30, 10], None, random),
            90..95 => lock(random),
            _ => count(random),
        }
    }

    fn look_up(&self, random: &mut Random) -> Order {
        let count = self.records.len() as u64;
        if count == 0 {
            return change_or_get("reg", REG, [30, 10], None, random);
        }
        let at = usize::try_from(random.below(count)).unwrap_or_default();
        Order::get(self.records[at].clone())
    }

    /// A first write of each name that is seldom written.
    pub(crate) fn first_writes() -> impl Iterator<Item = Order> {
        (0..KEEP).map(|number| set(format!("keep-{number}"), None))
    }

    /// All names, once each.
    pub(crate) fn all_names(&self) -> Vec<String> {
        let kinds: &[(&str, u64)] = match (self.whole, self.functions) {
            (false, _) => &[("hot", HOT), ("reg", REG), ("keep", KEEP)],
            (true, false) => &[("hot", HOT), ("reg", REG), ("keep", KEEP), ("ttl", TTL)],
            (true, true) => &[
                ("hot", HOT),
                ("reg", REG),
                ("keep", KEEP),
                ("ttl", TTL),
                ("lock", LOCK),
                ("count", COUNT),
            ],
        };
        let names = |&(kind, count): &(&str, u64)| {
            (0..count).map(move |number| format!("{kind}-{number}")).collect::<Vec<_>>()
        };
        let races = ["hot-race", "lock-race", "count-race"].map(str::to_owned);
        let races = races.into_iter().take(if self.functions { 3 } else { 1 });
        kinds.iter().flat_map(names).chain(races).chain(self.records.iter().cloned()).collect()
    }
}

/// Small values under many names, so that a small memory is full soon.
pub(crate) fn filler(number: u64) -> Order {
    set(format!("fill-{number}"), None)
}

/// Sets in so many of a hundred, deletes in so many, and gets else.
fn change_or_get(
    kind: &str,
    names: u64,
    [sets, deletes]: [u64; 2],
    ttl: Option<u64>,
    random: &mut Random,
) -> Order {
    let name = format!("{kind}-{}", random.below(names));
    match random.below(100) {
        what if what < sets => set(name, ttl),
        what if what < sets + deletes => delete(name),
        _ => Order::get(name),
    }
}

fn set(name: String, ttl: Option<u64>) -> Order {
    Order { kind: Kind::Set, name, value: Some(new_value()), ttl }
}

fn add(name: String) -> Order {
    Order { kind: Kind::Add, name, value: Some(new_value()), ttl: None }
}

fn delete(name: String) -> Order {
    Order { kind: Kind::Del, ..Order::get(name) }
}

fn lock(random: &mut Random) -> Order {
    let name = format!("lock-{}", random.below(LOCK));
    match random.below(10) {
        0..6 => add(name),
        6..9 => delete(name),
        _ => Order::get(name),
    }
}

fn count(random: &mut Random) -> Order {
    let name = format!("count-{}", random.below(COUNT));
    let kind = if random.below(4) == 0 { Kind::Get } else { Kind::Inc };
    Order { kind, ..Order::get(name) }
}

/// A value that was not written before.
fn new_value() -> String {
    static VALUES: AtomicU64 = AtomicU64::new(0);
    format!("v{}", VALUES.fetch_add(1, Ordering::Relaxed))
}
