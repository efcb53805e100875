//! The one state that everything shares.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use acl::Acl;
use fleet::{Fleet, Time};
use rusqlite::Connection;
use tokio::sync::{Semaphore, watch};

use crate::config::Config;
use crate::db::{Db, DbError, Entry, Outcome, audit};
use crate::history::Past;
use crate::line::Line;
use crate::throttle::{Refusals, Throttle};
use crate::variables::Variables;

/// Passwords that are hashed at once: each takes 19 MiB.
const HASHED_AT_ONCE: usize = 2;
/// And so many more may wait for it.
const HASHES_WAIT_MAX: usize = 30;

/// Questions to the caches at once: each may hold 256 values of 1 MB.
const ASKED_AT_ONCE: usize = 4;

#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) config: Config,
    pub(crate) acl: Acl,
    /// Of the certificate that we made ourselves: agents believe it and no other.
    pub(crate) fingerprint: Option<agent::tls::Fingerprint>,
    pub(crate) db: Db,
    pub(crate) variables: Option<Arc<Variables>>,
    pub(crate) throttle: Mutex<Throttle>,
    pub(crate) refusals: Mutex<Refusals>,
    pub(crate) hashing: Arc<Semaphore>,
    /// Who waits to hash, or does.
    pub(crate) to_hash: Arc<Semaphore>,
    /// Questions to the caches.
    pub(crate) asking: Arc<Semaphore>,
    /// Secrets of one-time codes that were offered, by user: they count once a code was shown.
    pub(crate) offered: Mutex<HashMap<String, String>>,
    pub(crate) lines: Mutex<HashMap<String, Line>>,
    /// Live pages and programs that follow, by who.
    pub(crate) followers: Mutex<HashMap<String, usize>>,
    pub(crate) past: Past,
    fleet: Mutex<Fleet>,
    changed: watch::Sender<u64>,
}

impl Hub {
    pub(crate) fn new(
        config: Config,
        acl: Acl,
        fingerprint: Option<agent::tls::Fingerprint>,
        db: Db,
        variables: Option<Arc<Variables>>,
        past: Past,
    ) -> Self {
        // Larger than any sequence of an earlier life, so that its pages are told of a gap.
        let fleet = Fleet::new(now().ms.saturating_mul(1000));
        Self {
            config,
            acl,
            fingerprint,
            db,
            variables,
            throttle: Mutex::default(),
            refusals: Mutex::default(),
            hashing: Arc::new(Semaphore::new(HASHED_AT_ONCE)),
            to_hash: Arc::new(Semaphore::new(HASHED_AT_ONCE + HASHES_WAIT_MAX)),
            asking: Arc::new(Semaphore::new(ASKED_AT_ONCE)),
            offered: Mutex::default(),
            lines: Mutex::default(),
            followers: Mutex::default(),
            past,
            changed: watch::Sender::new(fleet.seq()),
            fleet: Mutex::new(fleet),
        }
    }

    /// The fleet, for a moment. Whoever follows is told if it changed.
    pub(crate) fn fleet<R>(&self, act: impl FnOnce(&mut Fleet) -> R) -> R {
        let mut fleet = lock(&self.fleet);
        let before = fleet.seq();
        let result = act(&mut fleet);
        let seq = fleet.seq();
        if seq != before {
            // A gap is a server that was removed: its past stays as it is.
            let changes = fleet.changes_since(before, usize::MAX).unwrap_or_default();
            self.past.tell(now_ms(), changes);
        }
        drop(fleet);
        // Another thread may have told a later one already.
        self.changed.send_if_modified(|last| seq > *last && std::mem::replace(last, seq) != seq);
        result
    }

    /// Wakes at changes.
    pub(crate) fn follow(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Adds a server that is not there yet.
    pub(crate) fn add_server(&self, name: &str) {
        let configured = self.config.servers.iter().find(|server| server.name == name);
        let trunks = configured.map(|server| server.trunks.clone()).unwrap_or_default();
        let config = fleet::Config { trunks, ..fleet::Config::default() };
        let added = self.fleet(|fleet| fleet.add(name, config));
        if let Err(error @ fleet::AddError::TooMany) = added {
            tracing::error!("the server {name} is not watched: {error:?}");
        }
    }

    /// Ends the line to a server's agent, if there is one.
    pub(crate) fn hang_up(&self, server: &str) {
        // Its place is free when it has ended, and not before.
        if let Some(line) = lock(&self.lines).get_mut(server).filter(|line| line.is_agents) {
            line.acts = None;
        }
    }

    /// Whether it is watched from here, through AMI, and has no agent.
    pub(crate) fn watches(&self, server: &str) -> bool {
        self.config.servers.iter().any(|it| it.name == server && it.ami.is_some())
    }

    /// Writes down what happened, before it is answered.
    pub(crate) async fn note(&self, entry: Entry) -> Result<i64, DbError> {
        self.db.run(move |db| audit::add(db, &entry)).await
    }

    /// Changes something in the database and writes it down: both, or neither.
    pub(crate) async fn change<T: Send + 'static, E: Send + 'static>(
        &self,
        entry: Entry,
        act: impl FnOnce(&Connection, &mut Entry) -> rusqlite::Result<Result<T, E>> + Send + 'static,
    ) -> Result<Result<T, E>, DbError> {
        self.db.run(move |db| audit::change(db, entry, act)).await
    }

    /// Has something done elsewhere: it is written down before, and what came of it afterwards.
    pub(crate) async fn written_down<T, E>(
        &self,
        entry: Entry,
        act: impl Future<Output = Result<T, E>>,
        outcome: impl FnOnce(&Result<T, E>) -> (Outcome, Option<String>),
    ) -> Result<Result<T, E>, DbError> {
        let detail = Some("no outcome was heard".into());
        let line = self.note(Entry { outcome: Outcome::Failed, detail, ..entry }).await?;
        let done = act.await;
        let (outcome, detail) = outcome(&done);
        let set = move |db: &mut Connection| audit::conclude(db, line, outcome, detail.as_deref());
        // It is done, whatever the database says.
        if let Err(error) = self.db.run(set).await {
            tracing::error!("audit line {line}, {outcome:?}: {error}");
        }
        Ok(done)
    }
}

/// What a panic left behind is as whole as what it found: all that is locked here is changed by
/// calls that do not stop half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX) }
}

/// The same, as the database has it.
pub(crate) fn now_ms() -> i64 {
    i64::try_from(now().ms).unwrap_or(i64::MAX)
}
