//! What is recorded while a history runs, for the checker to judge.

use super::cache::Change;
use super::script::Script;
use super::{Us, WITHIN_DEADLINE};
use sri::Kind;

#[derive(Debug)]
pub(crate) struct History {
    pub(crate) script: Script,
    /// Reads, writes and deletes, as their callers saw them.
    pub(crate) ops: Vec<Op>,
    /// Every REGISTER that a node answered.
    pub(crate) registers: Vec<Register>,
    /// When a node had a phone registered, as far as the phone and the node's life go.
    pub(crate) stays: Vec<Stay>,
    /// What the cache servers did for a claim.
    pub(crate) claims: Vec<ClaimDone>,
    /// When a node began to run, but for the first time.
    pub(crate) restarts: Vec<(Us, usize)>,
    /// When a cache server stood empty and went on (they all do at 0).
    pub(crate) losses: Vec<(Us, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub(crate) key: String,
    pub(crate) cache: usize,
    pub(crate) node: usize,
    pub(crate) what: What,
    pub(crate) start: Us,
    /// When the caller had its answer; for one that never had, the end of its deadline.
    pub(crate) end: Us,
    pub(crate) answer: Answer,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum What {
    /// Of a registration.
    Locate,
    Read,
    Write {
        value: String,
        ttl_s: Option<u64>,
    },
    Delete,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    Value(String),
    Missing,
    Unreachable,
    Done,
}

#[derive(Clone, Debug)]
pub(crate) struct Register {
    pub(crate) key: String,
    pub(crate) node: usize,
    pub(crate) at: Us,
    pub(crate) expires_s: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Stay {
    pub(crate) key: String,
    pub(crate) node: usize,
    pub(crate) from: Us,
    /// It began with a start of the node, not with a REGISTER.
    pub(crate) restored: bool,
    pub(crate) to: Us,
    pub(crate) ended: Ended,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ended {
    NotYet,
    /// The phone unregistered, or its time was over.
    ByPhone,
    Crash,
    Stop,
}

#[derive(Clone, Debug)]
pub(crate) struct ClaimDone {
    pub(crate) at: Us,
    pub(crate) node: usize,
    pub(crate) cache: usize,
    pub(crate) kind: Kind,
    pub(crate) change: Change,
}

impl History {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            script,
            ops: Vec::new(),
            registers: Vec::new(),
            stays: Vec::new(),
            claims: Vec::new(),
            restarts: Vec::new(),
            losses: Vec::new(),
        }
    }

    pub(crate) fn open_stay(&mut self, key: &str, node: usize, from: Us, restored: bool) {
        if self.stay(key, node).is_some() {
            return;
        }
        let to = self.script.end;
        let key = key.to_owned();
        self.stays.push(Stay { key, node, from, restored, to, ended: Ended::NotYet });
    }

    pub(crate) fn close_stay(&mut self, key: &str, node: usize, to: Us, ended: Ended) {
        if let Some(stay) = self.stay(key, node) {
            (stay.to, stay.ended) = (to, ended);
        }
    }

    fn stay(&mut self, key: &str, node: usize) -> Option<&mut Stay> {
        let open = |s: &&mut Stay| s.ended == Ended::NotYet && s.node == node && s.key == key;
        self.stays.iter_mut().find(open)
    }

    /// Until when an operation that began at `start` may still happen: its deadline, but a cache
    /// server that stood still then does it when it goes on.
    pub(crate) fn latest(&self, cache: usize, start: Us) -> Us {
        let by = start + WITHIN_DEADLINE;
        let frozen = self.script.faults.iter().filter(|f| {
            f.kind == super::script::FaultKind::Freeze
                && f.cache == cache
                && f.from <= by
                && f.to >= start
        });
        frozen.map(|f| f.to).max().unwrap_or(by).max(by)
    }
}
