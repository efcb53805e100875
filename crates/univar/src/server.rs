//! One cache server: its address, its idle connections, its health and its figures.
//!
//! Shared by all sections that name it, and kept over a reload. The hot path takes the pool's
//! lock and no other; the rest is atomics. Probing belongs to `maintain`.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection::{Connection, OpenCount};
use crate::epoch::{EpochId, Marker, Watch};
use crate::status::{ServerState, ServerStatus};
use crate::talk::TalkError;
use crate::{Address, Name, switch_off};

/// Most connections that wait in the pool; more are closed when given back.
pub(crate) const IDLE_MAX: usize = 32;

/// Most open connections to one cache server. memcached itself stops at 1024 by default, for
/// all nodes together.
pub(crate) const OPEN_MAX: usize = 256;

/// Connections that our own threads may open beyond [`OPEN_MAX`]: a server whose connections are
/// all busy must not fail its probe, for it is not down.
const OPEN_RESERVE: usize = 4;

/// An idle connection is closed after this time: a firewall may have forgotten it.
pub(crate) const IDLE_AGE_MAX: Duration = Duration::from_secs(60);

/// Most addresses kept of a host name.
const ADDRESSES_MAX: usize = 8;

/// How much of what a cache server says is shown to people.
const COMPLAINT_MAX_CHARS: usize = 200;

/// Stands for "there is no marker": a server without room for one must not wake the I/O thread
/// with every call.
const NO_ID: u64 = u64::MAX;

/// Why a conversation with a cache server failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// No connection came about.
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    /// The connection broke.
    #[error("connection lost: {0}")]
    Lost(io::Error),
    /// The server closed the connection.
    #[error("the server closed the connection")]
    Closed,
    /// It answers, but not within the deadline of those who would ask.
    #[error("it answers after {} ms, which is too late", .0.as_millis())]
    Slow(Duration),
    /// No answer within the deadline.
    #[error("no answer in time")]
    TimedOut,
    /// The answer was none.
    #[error("{0}")]
    Garbage(#[from] TalkError),
    /// It answers, and cannot do what it was asked: mostly for want of memory.
    #[error("it says: {0}")]
    Refusal(String),
    /// There are too many open connections already.
    #[error("{OPEN_MAX} connections are open already")]
    TooMany,
    /// The host name has no address (yet).
    #[error("the host name is not resolved")]
    Unresolved,
}

impl Trouble {
    /// Whether its memory is full.
    fn means_full(&self) -> bool {
        matches!(self, Self::Refusal(text) if text.starts_with("out of memory"))
    }

    /// Whether the server itself is to blame, so that asking it again is no use for now.
    fn means_down(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Lost(_) | Self::Closed | Self::TimedOut)
    }
}

/// A cache server.
#[derive(Debug)]
pub(crate) struct Server {
    name: Arc<str>,
    address: Address,
    resolved: Mutex<Resolved>,
    idle: Mutex<Vec<Connection>>,
    open: Arc<AtomicUsize>,
    /// Whether it answers.
    up: AtomicBool,
    /// Whether it answers so quickly that a thread that is not ours may ask it.
    quick: AtomicBool,
    /// How quickly that is: the shortest deadline of the sections that use it.
    quick_us: AtomicU64,
    /// Whether it holds copies of what another server has too.
    replicated: AtomicBool,
    /// How often this node had reason to think that it has missed a write ...
    owed: AtomicU64,
    /// ... and how many of those are settled: its content is being compared since.
    settled: AtomicU64,
    /// Whether the I/O thread was told, since it last looked, that something is wrong here.
    alarmed: AtomicBool,
    /// What the last probe found: an identifier, [`NO_ID`], or 0 before the first.
    known_id: AtomicU64,
    gets: AtomicU64,
    sets: AtomicU64,
    errors: AtomicU64,
    refused: AtomicU64,
    last_refused: Mutex<Option<Name>>,
    last_damaged: Mutex<Option<Name>>,
    trouble: Mutex<Option<Trouble>>,
    state: Mutex<(ServerState, Instant)>,
    pub(crate) upkeep: Mutex<Upkeep>,
}

/// What only maintenance needs.
#[derive(Debug, Default)]
pub(crate) struct Upkeep {
    pub(crate) watch: Watch,
    /// Whether it was last reported up or down.
    pub(crate) reported_up: Option<bool>,
    /// When this node last began an epoch for what it owes.
    pub(crate) began_at: Option<Instant>,
    /// Comparing failed, and is not tried again before this.
    pub(crate) compare_after: Option<Instant>,
    /// How many probes in a row were not answered.
    pub(crate) unanswered: u32,
    /// The epoch for which all that it should have was compared with the other servers.
    pub(crate) complete_for: Option<EpochId>,
    /// When healing of the present epoch was first seen.
    pub(crate) healing_since: Option<(EpochId, Instant)>,
    /// How many records were refused when that was last reported, and when.
    pub(crate) refused_reported: Option<(u64, Instant)>,
    /// memcached's count of evictions, when it was last looked at.
    pub(crate) evictions: Option<u64>,
    pub(crate) evictions_at: Option<Instant>,
    /// That it cannot be completed was said since it was last ready.
    pub(crate) said_incomplete: bool,
}

#[derive(Debug)]
struct Resolved {
    addresses: Vec<SocketAddr>,
    /// The one in use; the next is tried when it fails.
    current: usize,
}

/// Locks, whatever a panic elsewhere left: every guarded value here is whole at any time.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    /// A server that nobody has asked yet. It is worth asking until the first failure.
    pub(crate) fn new(address: &Address) -> Self {
        let addresses: Vec<SocketAddr> = address.numeric().into_iter().collect();
        let state = if addresses.is_empty() { ServerState::Unresolved } else { ServerState::Down };
        Self {
            name: address.to_string().into(),
            address: address.clone(),
            up: AtomicBool::new(!addresses.is_empty()),
            quick: AtomicBool::new(true),
            quick_us: AtomicU64::new(0),
            replicated: AtomicBool::new(false),
            owed: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            resolved: Mutex::new(Resolved { addresses, current: 0 }),
            idle: Mutex::new(Vec::new()),
            open: Arc::new(AtomicUsize::new(0)),
            alarmed: AtomicBool::new(false),
            known_id: AtomicU64::new(0),
            gets: AtomicU64::new(0),
            sets: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            last_refused: Mutex::new(None),
            last_damaged: Mutex::new(None),
            trouble: Mutex::new(None),
            state: Mutex::new((state, Instant::now())),
            upkeep: Mutex::new(Upkeep::default()),
        }
    }

    /// `host:port`.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Whether it answers, so that our own threads may ask it.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// Whether it answers so quickly that any thread may ask it.
    pub(crate) fn is_quick(&self) -> bool {
        self.is_up() && self.quick.load(Ordering::Relaxed)
    }

    /// How the sections use it: who waits for it waits `quick` at most, and whether other servers
    /// have copies of what it holds.
    pub(crate) fn serves(&self, quick: Duration, replicated: bool) {
        let us = u64::try_from(quick.as_micros()).unwrap_or(u64::MAX);
        self.quick_us.store(us, Ordering::Relaxed);
        self.replicated.store(replicated, Ordering::Relaxed);
    }

    /// Whether it holds copies of what another server has too.
    pub(crate) fn is_replicated(&self) -> bool {
        self.replicated.load(Ordering::Relaxed)
    }

    /// It may have missed a write, or have been replaced by an older self: its content must be
    /// compared with the other servers'. Says whether the I/O thread should look at once.
    pub(crate) fn owe(&self) -> bool {
        self.owed.fetch_add(1, Ordering::Relaxed);
        self.is_replicated() && self.alarm()
    }

    /// The same, for who is looking already.
    pub(crate) fn owe_quietly(&self) {
        self.owed.fetch_add(1, Ordering::Relaxed);
    }

    /// How quickly it must answer for a thread that is not ours to ask it.
    pub(crate) fn quick_limit(&self) -> Duration {
        Duration::from_micros(self.quick_us.load(Ordering::Relaxed))
    }

    /// How often [`Server::owe`] was said, and whether any of that is not settled.
    pub(crate) fn owed(&self) -> (u64, bool) {
        let owed = self.owed.load(Ordering::Relaxed);
        let replicated = self.is_replicated() && !switch_off::owing();
        (owed, replicated && owed != self.settled.load(Ordering::Relaxed))
    }

    /// All that was owed by then is settled.
    pub(crate) fn settle(&self, owed: u64) {
        self.settled.store(owed, Ordering::Relaxed);
    }

    /// A record of it was refused.
    pub(crate) fn refused(&self, name: &Name) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        *lock(&self.last_refused) = Some(name.clone());
    }

    /// A record of it cannot be read.
    pub(crate) fn damaged(&self, name: &Name) {
        *lock(&self.last_damaged) = Some(name.clone());
    }

    /// Whether that was the last record that could not be read.
    pub(crate) fn has_damaged(&self, name: &Name) -> bool {
        lock(&self.last_damaged).as_ref() == Some(name)
    }

    /// How many records were refused, and which one last.
    pub(crate) fn refusals(&self) -> (u64, Option<Name>) {
        (self.refused.load(Ordering::Relaxed), lock(&self.last_refused).clone())
    }

    /// Counts what is about to be asked.
    pub(crate) fn count(&self, gets: u64, sets: u64) {
        if gets > 0 {
            self.gets.fetch_add(gets, Ordering::Relaxed);
        }
        if sets > 0 {
            self.sets.fetch_add(sets, Ordering::Relaxed);
        }
    }

    /// An idle connection: one that already waits for `blocking`, if there is one.
    pub(crate) fn checkout(&self, blocking: Option<Duration>) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        match blocking.and_then(|limit| idle.iter().rposition(|one| one.blocks_for(limit))) {
            Some(at) => Some(idle.remove(at)),
            None => idle.pop(),
        }
    }

    /// Gives a connection back. What has anything under way is closed instead.
    pub(crate) fn give_back(&self, mut connection: Connection, now: Instant) {
        if !connection.is_quiet() {
            return;
        }
        connection.slim();
        connection.idle_since = now;
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    /// Closes all idle connections: the server is down, or was restarted.
    pub(crate) fn drop_idle(&self) {
        let closed = std::mem::take(&mut *lock(&self.idle));
        drop(closed);
    }

    /// Closes connections that were idle for too long.
    pub(crate) fn drop_old(&self, now: Instant) {
        let mut idle = lock(&self.idle);
        idle.retain(|one| now.duration_since(one.idle_since) < IDLE_AGE_MAX);
    }

    /// Begins to connect to the address in use. `ours`: for a thread of ours.
    ///
    /// # Errors
    ///
    /// [`Trouble`], which is not yet recorded.
    pub(crate) fn connect(&self, ours: bool) -> Result<Connection, Trouble> {
        let address = self.current_address().ok_or(Trouble::Unresolved)?;
        let max = if ours { OPEN_MAX + OPEN_RESERVE } else { OPEN_MAX };
        let open = OpenCount::new(&self.open, max).ok_or(Trouble::TooMany)?;
        Connection::start(address, open).map_err(Trouble::Connect)
    }

    /// Records that a conversation failed. Says whether the I/O thread should look at once.
    pub(crate) fn failed(&self, trouble: Trouble) -> bool {
        if matches!(trouble, Trouble::Unresolved) {
            // What DNS said is recorded already, and says more.
            return false;
        }
        self.errors.fetch_add(1, Ordering::Relaxed);
        let down = trouble.means_down();
        if matches!(trouble, Trouble::Connect(_)) {
            self.try_next_address();
        }
        *lock(&self.trouble) = Some(trouble);
        if down && self.up.swap(false, Ordering::Relaxed) {
            self.drop_idle();
            self.enter(ServerState::Down);
        }
        self.alarm()
    }

    /// It answered that it could not do what it was asked.
    pub(crate) fn complained(&self, text: &[u8]) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let text = String::from_utf8_lossy(text).chars().take(COMPLAINT_MAX_CHARS).collect();
        *lock(&self.trouble) = Some(Trouble::Refusal(text));
    }

    /// Whether it said last that it cannot do what it is asked.
    pub(crate) fn lacks_room(&self) -> bool {
        matches!(*lock(&self.trouble), Some(Trouble::Refusal(_)))
    }

    /// Names may be placed on it that it has never heard of, whatever was compared so far.
    pub(crate) fn has_other_names(&self) {
        let mut upkeep = lock(&self.upkeep);
        (upkeep.complete_for, upkeep.began_at) = (None, None);
        drop(upkeep);
        self.owe_quietly();
    }

    /// Takes note of a marker that a batch saw. Says whether the I/O thread should look at once.
    pub(crate) fn saw(&self, marker: Marker) -> bool {
        let seen = marker.id().map_or(NO_ID, EpochId::get);
        seen != self.known_id.load(Ordering::Relaxed) && self.alarm()
    }

    /// The epoch that the last probe found, and that the I/O thread was told of.
    pub(crate) fn known_epoch(&self) -> Option<EpochId> {
        match self.known_id.load(Ordering::Relaxed) {
            0 | NO_ID => None,
            id => Some(EpochId::new(id)),
        }
    }

    /// Once per look of the I/O thread, so that thousands of calls wake it once.
    fn alarm(&self) -> bool {
        !self.alarmed.swap(true, Ordering::Relaxed)
    }

    /// The I/O thread looks now: what happens from here on is news.
    pub(crate) fn look(&self) {
        self.alarmed.store(false, Ordering::Relaxed);
    }

    /// A probe was answered after `took`.
    pub(crate) fn probed(&self, marker: Marker, known: Option<EpochId>, took: Duration) {
        self.known_id.store(known.map_or(NO_ID, EpochId::get), Ordering::Relaxed);
        let quick = took <= self.quick_limit();
        self.quick.store(quick, Ordering::Relaxed);
        self.up.store(true, Ordering::Relaxed);
        if !quick {
            *lock(&self.trouble) = Some(Trouble::Slow(took));
        }
        self.enter(match marker {
            _ if !quick => ServerState::Slow,
            Marker::Ready(_) => ServerState::Ready,
            Marker::Healing(_) => ServerState::Healing,
            Marker::Absent | Marker::Garbled => ServerState::Lost,
        });
    }

    /// Whether the last trouble was that no answer came in time.
    pub(crate) fn timed_out(&self) -> bool {
        matches!(*lock(&self.trouble), Some(Trouble::TimedOut))
    }

    /// A probe failed, so it is no use to ask.
    pub(crate) fn probe_failed(&self) {
        self.up.store(false, Ordering::Relaxed);
        self.drop_idle();
        if self.current_address().is_some() {
            self.enter(ServerState::Down);
        }
    }

    /// Resolves the host's name, if it is one and no address of it answers. Blocks.
    ///
    /// Says whether there are addresses that were not there before.
    pub(crate) fn resolve(&self) -> bool {
        if self.address.numeric().is_some() || self.current_address().is_some() && self.is_up() {
            return false;
        }
        let host = (self.address.host(), self.address.port());
        let found: Vec<SocketAddr> = match host.to_socket_addrs() {
            Ok(found) => found.take(ADDRESSES_MAX).collect(),
            Err(error) => {
                *lock(&self.trouble) = Some(Trouble::Connect(error));
                return false;
            }
        };
        let mut resolved = lock(&self.resolved);
        if found.is_empty() || found == resolved.addresses {
            return false;
        }
        *resolved = Resolved { addresses: found, current: 0 };
        drop(resolved);
        self.enter(ServerState::Down);
        true
    }

    /// The row of the table.
    pub(crate) fn status(&self, now: Instant) -> ServerStatus {
        let (state, since) = *lock(&self.state);
        let (refused, last_refused) = self.refusals();
        let trouble = lock(&self.trouble);
        ServerStatus {
            name: Arc::clone(&self.name),
            address: self.current_address(),
            state,
            since: now.saturating_duration_since(since),
            connections: self.open.load(Ordering::Relaxed),
            gets: self.gets.load(Ordering::Relaxed),
            sets: self.sets.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            refused,
            last_refused,
            owed: self.owed().1,
            last_error: trouble.as_ref().map(Trouble::to_string),
            out_of_memory: trouble.as_ref().is_some_and(Trouble::means_full),
        }
    }

    fn current_address(&self) -> Option<SocketAddr> {
        let resolved = lock(&self.resolved);
        resolved.addresses.get(resolved.current).copied()
    }

    /// How many addresses its name has.
    pub(crate) fn addresses(&self) -> usize {
        lock(&self.resolved).addresses.len()
    }

    /// The one in use does not do.
    pub(crate) fn try_next_address(&self) {
        let mut resolved = lock(&self.resolved);
        resolved.current = (resolved.current + 1) % resolved.addresses.len().max(1);
    }

    fn enter(&self, state: ServerState) {
        let mut current = lock(&self.state);
        if current.0 != state {
            *current = (state, Instant::now());
        }
    }
}
