//! A node without Asterisk: a real `univar::Store` with two copies, and the two threads that look after it.
//!
//! They do what the module's do (`modules/app_universal/src/publisher.rs`): one probes the cache servers every half
//! second and when it is woken, the other copies what a server has lost. Nobody registers here, so nothing is
//! published. The cache servers' addresses are numeric, so nothing is resolved.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Result;
use univar::epoch::PROBE_INTERVAL;
use univar::{Config, EventKind, Name, Op, Outcome, SectionConfig, ServerState, Store};

use crate::cpu::{self, Core};

/// The deadline that the sample configuration has, and the default.
pub(crate) const DEADLINE: Duration = Duration::from_millis(50);
/// The module's numbers, which are its own: the least time between two probes, and how often the healer looks.
const PROBE_SPACING: Duration = Duration::from_millis(50);
const HEAL_INTERVAL: Duration = Duration::from_millis(200);
/// How many operations go in one batch, and how long it may take, where nobody waits.
const BATCH: usize = 500;
const BATCH_LIMIT: Duration = Duration::from_secs(1);

/// A node. Dropping it ends its threads.
#[derive(Debug)]
pub(crate) struct Node {
    store: Arc<Store>,
    bell: Arc<Bell>,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Node {
    /// A node called `owner` whose threads are on `core`.
    ///
    /// # Errors
    ///
    /// If the configuration is refused.
    pub(crate) fn start(caches: &[SocketAddr], owner: &str, core: Core) -> Result<Self> {
        let section = SectionConfig {
            name: "general".to_owned(),
            prefixes: Vec::new(),
            servers: caches.iter().map(ToString::to_string).collect(),
            deadline: DEADLINE,
            copies: 2,
            secret: None,
        };
        let config = Config { sections: vec![section], owner: owner.to_owned() };
        let bell = Arc::<Bell>::default();
        let rung = Arc::clone(&bell);
        let store = Arc::new(Store::new(&config, None, Arc::new(move || rung.ring()))?);
        let start = |work: fn(&Store, &Bell)| {
            let (store, bell) = (Arc::clone(&store), Arc::clone(&bell));
            cpu::spawn(core, move || work(&store, &bell))
        };
        let threads = vec![start(probe), start(heal)];
        Ok(Self { store, bell, threads })
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether the misses of all cache servers count.
    pub(crate) fn is_ready(&self) -> bool {
        self.store.servers().iter().all(|server| server.state == ServerState::Ready)
    }

    /// Whether it has noticed that a cache server cannot be used.
    pub(crate) fn misses_one(&self) -> bool {
        self.store.servers().iter().any(|server| server.state == ServerState::Down)
    }

    /// How many names this node has compared where it healed a server since it was last asked.
    pub(crate) fn take_compared(&self) -> usize {
        std::mem::take(&mut self.bell.lock().compared)
    }

    /// Writes all of `values`; says how many were written.
    pub(crate) fn write(&self, values: &[(Name, Vec<u8>)]) -> usize {
        let set = |name, value| Op::Set { name, value, ttl: None };
        self.count(values, set, |outcome, _| *outcome == Outcome::Done)
    }

    /// Reads all of `values`; says how many are there as they were written.
    pub(crate) fn read(&self, values: &[(Name, Vec<u8>)]) -> usize {
        let get = |name, _| Op::Get { name };
        self.count(values, get, |outcome, value| *outcome == Outcome::Value(value.to_vec()))
    }

    fn count<'v>(
        &self,
        values: &'v [(Name, Vec<u8>)],
        op: impl Fn(&'v Name, &'v [u8]) -> Op<'v>,
        good: impl Fn(&Outcome, &[u8]) -> bool,
    ) -> usize {
        let batch = |batch: &'v [(Name, Vec<u8>)]| {
            let ops: Vec<Op<'v>> = batch.iter().map(|(name, value)| op(name, value)).collect();
            let outcomes = self.store.run_within(&ops, BATCH_LIMIT);
            outcomes.iter().zip(batch).filter(|(outcome, (_, value))| good(outcome, value)).count()
        };
        values.chunks(BATCH).map(batch).sum()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.bell.stop();
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ended = thread.join();
        }
    }
}

fn probe(store: &Store, bell: &Bell) {
    loop {
        let _events = store.maintain();
        let probed = Instant::now();
        // Somebody may ring with every read.
        if bell.wait_ring(probed + PROBE_INTERVAL) && bell.pause(probed + PROBE_SPACING) {
            return;
        }
        if bell.pause(Instant::now()) {
            return;
        }
    }
}

fn heal(store: &Store, bell: &Bell) {
    univar::step_back();
    loop {
        let pause = |time| bell.pause(Instant::now() + time);
        for event in store.heal(&pause).into_iter().chain(store.evictions()) {
            if let EventKind::Compared { names } = event.kind {
                bell.lock().compared += names;
            }
            // A server may be complete now: that is for the next probe to see.
            bell.ring();
        }
        if bell.pause(Instant::now() + HEAL_INTERVAL) {
            return;
        }
    }
}

/// Wakes the thread that probes, and ends both.
#[derive(Debug, Default)]
struct Bell {
    calls: Mutex<Calls>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Calls {
    rung: bool,
    stop: bool,
    /// Not a call, but of the same threads: the names that were compared.
    compared: usize,
}

impl Bell {
    fn ring(&self) {
        self.lock().rung = true;
        self.changed.notify_all();
    }

    fn stop(&self) {
        self.lock().stop = true;
        self.changed.notify_all();
    }

    /// Waits until somebody rings, at most until `until`. Says whether anybody did.
    fn wait_ring(&self, until: Instant) -> bool {
        let mut calls = self.wait(until, |calls| calls.rung || calls.stop);
        std::mem::take(&mut calls.rung)
    }

    /// Waits until `until`, or until all is to end: then it says so.
    fn pause(&self, until: Instant) -> bool {
        self.wait(until, |calls| calls.stop).stop
    }

    fn wait(&self, until: Instant, enough: impl Fn(&Calls) -> bool) -> MutexGuard<'_, Calls> {
        let left = until.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.lock(), left, |calls| !enough(calls));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_heard_once_and_also_by_who_was_not_waiting_yet() {
        let bell = Bell::default();
        bell.ring();
        assert!(bell.wait_ring(Instant::now() + Duration::from_secs(60)));
        assert!(!bell.wait_ring(Instant::now()));
    }

    #[test]
    fn a_pause_ends_when_all_ends_and_not_when_somebody_rings() {
        let bell = Bell::default();
        bell.ring();
        assert!(!bell.pause(Instant::now() + Duration::from_millis(1)));
        bell.stop();
        assert!(bell.pause(Instant::now() + Duration::from_secs(60)));
    }
}
