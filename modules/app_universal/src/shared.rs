//! What the callbacks, the drivers and the publisher look at together.
//!
//! Locks are held for a moment only, and never over I/O: the store is used through its own `Arc`.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sri::{Claim, Registrar, Rules};
use univar::Store;
use universal::settings::Settings;

/// The module's state.
pub(crate) struct Shared {
    current: Mutex<Arc<Current>>,
    registrar: Mutex<Registrar>,
    pub(crate) bell: Arc<Bell>,
}

/// What one reading of `universal.conf` made; a reload replaces it whole.
pub(crate) struct Current {
    pub(crate) settings: Arc<Settings>,
    pub(crate) store: Store,
}

impl Shared {
    pub(crate) fn new(current: Current, registrar: Registrar, bell: Arc<Bell>) -> Self {
        Self { current: Mutex::new(Arc::new(current)), registrar: Mutex::new(registrar), bell }
    }

    /// The settings and the store in force; a reload does not touch who already has them.
    pub(crate) fn current(&self) -> Arc<Current> {
        Arc::clone(&lock(&self.current))
    }

    /// The settings alone: for who must not be the last owner of a store, which closes connections.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&lock(&self.current).settings)
    }

    /// Puts new settings in force. The rules and the store change under one lock, so that no claim
    /// goes by the new rules to the old store; see [`Shared::claims`].
    pub(crate) fn replace(&self, now: Instant, rules: Vec<Rules>, current: Current) {
        let mut registrar = self.registrar();
        registrar.set_rules(now, rules);
        let old = std::mem::replace(&mut *lock(&self.current), Arc::new(current));
        drop(registrar);
        // Outside the locks: the last owner of a store closes its connections.
        drop(old);
    }

    /// The claims that are due, at most `max`, and where they are to go.
    pub(crate) fn claims(&self, max: usize, claims: &mut Vec<Claim>) -> Arc<Current> {
        claims.clear();
        let mut registrar = self.registrar();
        registrar.poll(Instant::now(), max, claims);
        self.current()
    }

    /// The table of what is registered here.
    pub(crate) fn registrar(&self) -> MutexGuard<'_, Registrar> {
        lock(&self.registrar)
    }
}

/// A panic under one of our locks was logged; what the lock guards is still whole, for it changes
/// in single steps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long what can wait is gathered, so that it goes to the cache servers in one batch: a round
/// trip costs the processor as much as twenty records in it.
pub(crate) const GATHER: Duration = Duration::from_millis(50);

/// How the publisher is woken.
#[derive(Default)]
pub(crate) struct Bell {
    calls: Mutex<Calls>,
    rung: Condvar,
    stopped: Mutex<bool>,
    has_stopped: Condvar,
}

/// What the publisher is to look at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Calls {
    /// The registrar has something new.
    pub(crate) registrations: bool,
    /// The first registration that was refreshed and has not been looked at.
    pub(crate) refreshed_at: Option<Instant>,
    /// A cache server behaved oddly: probe now.
    pub(crate) servers: bool,
    /// The module is unloaded.
    pub(crate) stop: bool,
}

impl Calls {
    fn any(self) -> bool {
        self.registrations || self.servers || self.stop
    }
}

impl Bell {
    /// A registration changed.
    pub(crate) fn registrations(&self) {
        self.ring(|calls| &mut calls.registrations);
    }

    /// A registration was refreshed: its record is there, so [`GATHER`] later is soon enough.
    pub(crate) fn refreshes(&self) {
        let mut calls = lock(&self.calls);
        let was_quiet = !calls.any() && calls.refreshed_at.is_none();
        calls.refreshed_at.get_or_insert_with(Instant::now);
        drop(calls);
        if was_quiet {
            self.rung.notify_one();
        }
    }

    /// A cache server wants to be looked at.
    pub(crate) fn servers(&self) {
        self.ring(|calls| &mut calls.servers);
    }

    /// End.
    pub(crate) fn stop(&self) {
        self.ring(|calls| &mut calls.stop);
    }

    fn ring(&self, which: impl Fn(&mut Calls) -> &mut bool) {
        let mut calls = lock(&self.calls);
        let was_quiet = !calls.any();
        *which(&mut calls) = true;
        drop(calls);
        if was_quiet {
            self.rung.notify_one();
        }
    }

    /// Waits until somebody rings, or refreshes are gathered, at most until `until`; `stop` stays
    /// set.
    pub(crate) fn wait(&self, until: Instant) -> Calls {
        let mut calls = lock(&self.calls);
        loop {
            let gathered = calls.refreshed_at.map_or(until, |at| until.min(at + GATHER));
            let left = gathered.saturating_duration_since(Instant::now());
            if calls.any() || left == Duration::ZERO {
                let answer = *calls;
                *calls = Calls { stop: answer.stop, ..Calls::default() };
                return answer;
            }
            calls = self.rung.wait_timeout(calls, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The publisher has done its last.
    pub(crate) fn stopped(&self) {
        *lock(&self.stopped) = true;
        self.has_stopped.notify_all();
    }

    /// Waits for [`Bell::stopped`], at most until `until`.
    pub(crate) fn wait_stopped(&self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now());
        let stopped = lock(&self.stopped);
        drop(self.has_stopped.wait_timeout_while(stopped, left, |stopped| !*stopped));
    }
}
