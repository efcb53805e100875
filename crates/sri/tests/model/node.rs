//! One simulated node: the real `Registrar`, the real epoch `Watch`es, and what Asterisk keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use sri::{Registrar, Rules};
use univar::epoch::{EpochId, Watch};

use super::script::{CACHES, Script};
use super::{Off, Us};

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) up: bool,
    /// Counts the starts; what belongs to an earlier life is ignored.
    pub(crate) life: u32,
    pub(crate) registrar: Registrar,
    pub(crate) links: Vec<Link>,
    /// AstDB: each registered phone with the end of its registration. Outlives the process.
    pub(crate) astdb: BTreeMap<usize, Us>,
    /// When the I/O thread has set its alarm.
    pub(crate) alarm: Option<Us>,
    /// Keys whose last claim was a Take that was not answered.
    pub(crate) untold: BTreeSet<String>,
}

/// What a node knows about a cache server.
#[derive(Debug, Default)]
pub(crate) struct Link {
    pub(crate) watch: Watch,
    /// The content for which this node has published, in unbroken contact.
    pub(crate) published: Option<EpochId>,
    /// It was reached in this life.
    pub(crate) met: bool,
}

impl Node {
    pub(crate) fn new(id: usize, script: &Script) -> Self {
        Self {
            up: true,
            life: 0,
            registrar: Registrar::new(rules(id, script)),
            links: (0..CACHES).map(|_| Link::default()).collect(),
            astdb: BTreeMap::new(),
            alarm: None,
            untold: BTreeSet::new(),
        }
    }

    /// The process ends, however it ends.
    pub(crate) fn end(&mut self) {
        self.up = false;
        self.life += 1;
    }

    /// A new process, with an empty table.
    pub(crate) fn start(&mut self, id: usize, script: &Script) {
        let (astdb, life) = (std::mem::take(&mut self.astdb), self.life);
        *self = Self { astdb, life, ..Self::new(id, script) };
    }

    /// A cache server lost its content or is there again: says all that is placed on it.
    pub(crate) fn publish(&mut self, id: usize, now: Instant, cache: usize, off: Off, s: &Script) {
        match off {
            Off::Republication => {}
            Off::Yielding => self.registrar.set_rules(now, rules(id, s)),
            _ => self.registrar.republish(now, |key| {
                cache_of(std::str::from_utf8(key).expect("keys are text")) == cache
            }),
        }
    }
}

pub(crate) fn rules(node: usize, script: &Script) -> Vec<Rules> {
    let prefix = if script.shared { "PEER_".to_owned() } else { format!("PEER{node}_") };
    vec![Rules {
        section: "phones".into(),
        prefix,
        identity: identity(node).into_bytes(),
        lease: Duration::from_secs(script.lease_s),
        drivers: vec!["PJSIP".into()],
    }]
}

pub(crate) fn identity(node: usize) -> String {
    format!("server{node}")
}

pub(crate) fn key(script: &Script, node: usize, phone: usize) -> String {
    if script.shared { format!("PEER_{phone}") } else { format!("PEER{node}_{phone}") }
}

/// Where a name is placed: any fixed way will do here.
pub(crate) fn cache_of(key: &str) -> usize {
    key.bytes().map(usize::from).sum::<usize>() % CACHES
}
