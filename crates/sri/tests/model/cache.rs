//! One simulated memcached: get, set, add and delete, guarded by CAS or not, and its clock, which
//! counts whole seconds from a moment of its own.

use std::collections::BTreeMap;

use super::{S, Us};

pub(crate) const MARKER: &str = "tandem:epoch";

#[derive(Clone, Debug)]
pub(crate) enum Command {
    Get { key: String },
    Set { key: String, value: String, ttl_s: Option<u64>, guard: Guard },
    Delete { key: String, guard: Guard },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Guard {
    Free,
    Absent,
    Cas(u64),
}

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Value(String, u64),
    Absent,
    Done,
    Refused,
}

impl Reply {
    /// The value of a get, with its CAS.
    pub(crate) fn found(&self) -> Option<(&str, u64)> {
        match self {
            Self::Value(value, cas) => Some((value, *cas)),
            _ => None,
        }
    }
}

/// What a command changed: the item's value before and after.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

#[derive(Debug)]
struct Item {
    value: String,
    cas: u64,
    /// Gone when the clock shows this.
    ends_s: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Cache {
    items: BTreeMap<String, Item>,
    last_cas: u64,
    /// When in a second its clock ticks.
    phase: Us,
}

impl Cache {
    pub(crate) fn new(phase: Us) -> Self {
        Self { items: BTreeMap::new(), last_cas: 0, phase: phase % S }
    }

    pub(crate) fn lose_everything(&mut self) {
        self.items.clear();
    }

    pub(crate) fn run(&mut self, now: Us, command: &Command) -> (Reply, Option<Change>) {
        let clock_s = (now + S - self.phase) / S;
        self.items.retain(|_, item| item.ends_s.is_none_or(|end| end > clock_s));
        match command {
            Command::Get { key } => match self.items.get(key) {
                Some(item) => (Reply::Value(item.value.clone(), item.cas), None),
                None => (Reply::Absent, None),
            },
            Command::Set { key, value, ttl_s, guard } => {
                if !self.allows(key, *guard) {
                    return (Reply::Refused, None);
                }
                self.last_cas += 1;
                let ends_s = ttl_s.map(|ttl| clock_s + ttl);
                let item = Item { value: value.clone(), cas: self.last_cas, ends_s };
                let before = self.items.insert(key.clone(), item).map(|old| old.value);
                let after = Some(value.clone());
                (Reply::Done, Some(Change { key: key.clone(), before, after }))
            }
            Command::Delete { key, guard } => {
                if !self.allows(key, *guard) {
                    return (Reply::Refused, None);
                }
                let Some(old) = self.items.remove(key) else { return (Reply::Absent, None) };
                let before = Some(old.value);
                (Reply::Done, Some(Change { key: key.clone(), before, after: None }))
            }
        }
    }

    fn allows(&self, key: &str, guard: Guard) -> bool {
        match guard {
            Guard::Free => true,
            Guard::Absent => !self.items.contains_key(key),
            Guard::Cas(cas) => self.items.get(key).is_some_and(|item| item.cas == cas),
        }
    }
}
