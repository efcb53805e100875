//! Our own threads: the publisher, which tells the cache servers what is registered here and
//! watches over them, the healer, which copies to them what they lost, and the resolver, which
//! asks the DNS.
//!
//! The publisher is the only one that carries out the registrar's claims, and the only one that
//! probes. A slow cache server delays it, and nobody else.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use asterisk::thread::Thread;
use sri::Claim;
use univar::{Event, EventKind, Name, Op, Outcome, Store, epoch::PROBE_INTERVAL};

use crate::{
    drivers::{Drivers, SYNC_INTERVAL_MAX},
    shared::{Current, GATHER, Shared},
};

/// The most claims in one batch.
const BATCH: usize = 500;
/// How long one batch may take. Only the publisher waits.
const BATCH_DEADLINE: Duration = Duration::from_millis(500);
/// How long an unload or a clean stop waits for the records to be withdrawn.
const WITHDRAW_LIMIT: Duration = Duration::from_secs(2);
/// The least time between two probes, however loud somebody calls for one.
const PROBE_SPACING: Duration = Duration::from_millis(50);
/// How often the healer looks whether a cache server needs it.
const HEAL_INTERVAL: Duration = Duration::from_millis(200);
/// How often host names without an address are asked for.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(1);

/// The running publisher. Dropping it withdraws all records and ends it.
pub(crate) struct Publisher {
    shared: Arc<Shared>,
    _thread: Thread,
}

impl Publisher {
    pub(crate) fn start(shared: &Arc<Shared>, drivers: &Arc<Drivers>) -> io::Result<Self> {
        let (inside, drivers) = (Arc::clone(shared), Arc::clone(drivers));
        let thread = Thread::spawn(c"universal", move |_| Rounds::new(&inside, &drivers).run())?;
        Ok(Self { shared: Arc::clone(shared), _thread: thread })
    }

    /// Withdraws all records, and waits until it is done or [`WITHDRAW_LIMIT`] is over.
    pub(crate) fn withdraw(&self) {
        self.shared.bell.stop();
        self.shared.bell.wait_stopped(Instant::now() + WITHDRAW_LIMIT);
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.shared.bell.stop();
        // The thread is joined when it is dropped, right after this.
    }
}

/// The thread that waits for the DNS, so that no other does.
pub(crate) struct Resolver {
    _thread: Thread,
}

impl Resolver {
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let shared = Arc::clone(shared);
        let thread = Thread::spawn(c"universal-dns", move |stop| {
            loop {
                shared.current().store.resolve();
                if stop.wait(RESOLVE_INTERVAL) {
                    break;
                }
            }
        })?;
        Ok(Self { _thread: thread })
    }
}

/// The thread that copies to a cache server what it lost or missed, so that this delays neither
/// publishing nor probing.
pub(crate) struct Healer {
    _thread: Thread,
}

impl Healer {
    pub(crate) fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let shared = Arc::clone(shared);
        let thread = Thread::spawn(c"universal-heal", move |stop| {
            univar::step_back();
            loop {
                let current = shared.current();
                let store = &current.store;
                for event in
                    store.heal(&|time| stop.wait(time)).into_iter().chain(store.evictions())
                {
                    announce(&event, &current);
                    // It may be complete now: that is for the publisher to see.
                    shared.bell.servers();
                }
                drop(current);
                if stop.wait(HEAL_INTERVAL) {
                    break;
                }
            }
        })?;
        Ok(Self { _thread: thread })
    }
}

/// The publisher's life, round by round.
struct Rounds<'a> {
    shared: &'a Shared,
    drivers: &'a Drivers,
    last_probe: Instant,
    next_probe: Instant,
    next_sync: Instant,
}

impl<'a> Rounds<'a> {
    fn new(shared: &'a Shared, drivers: &'a Drivers) -> Self {
        let now = Instant::now();
        Self { shared, drivers, last_probe: now, next_probe: now, next_sync: now }
    }

    fn run(mut self) {
        loop {
            let current = self.shared.current();
            self.probe(&current);
            self.sync(&current);
            drop(current);
            publish(self.shared, self.next_probe);

            let calls = self.shared.bell.wait(self.wake_at());
            if calls.stop {
                break;
            }
            if calls.servers {
                // Somebody may ring with every call.
                self.next_probe = self.next_probe.min(self.last_probe + PROBE_SPACING);
            }
        }
        withdraw(self.shared);
        self.shared.bell.stopped();
    }

    fn wake_at(&self) -> Instant {
        let claim = self.shared.registrar().poll_timeout();
        let fixed = self.next_probe.min(self.next_sync);
        // Renewals are gathered; what cannot wait rings the bell.
        claim.map_or(fixed, |claim| claim.max(Instant::now() + GATHER).min(fixed))
    }

    /// Asks every cache server for its marker, and publishes again where content was lost.
    fn probe(&mut self, current: &Current) {
        let now = Instant::now();
        if now < self.next_probe {
            return;
        }
        for event in current.store.maintain() {
            announce(&event, current);
            if matches!(event.kind, EventKind::Lost | EventKind::Up) {
                republish(self.shared, |name| current.store.is_placed_on(name, &event.server));
            }
        }
        self.last_probe = Instant::now();
        self.next_probe = self.last_probe + PROBE_INTERVAL;
    }

    /// Compares with the drivers that do not tell everything.
    fn sync(&mut self, current: &Current) {
        if Instant::now() < self.next_sync {
            return;
        }
        self.drivers.sync();
        let published = current.settings.sections.iter().filter_map(|s| s.publish.as_ref());
        let lease = published.map(|publish| publish.lease).min();
        self.next_sync = Instant::now() + lease.unwrap_or(SYNC_INTERVAL_MAX) / 3;
    }
}

/// Publishes again those records whose names `which` accepts.
pub(crate) fn republish(shared: &Shared, which: impl Fn(&Name) -> bool) {
    shared
        .registrar()
        .republish(Instant::now(), |key| Name::new(key).is_ok_and(|name| which(&name)));
}

/// Carries out the claims that are due, batch by batch, until `until`; at least one batch.
fn publish(shared: &Shared, until: Instant) {
    let mut claims = Vec::new();
    loop {
        let current = shared.claims(BATCH, &mut claims);
        if claims.is_empty() {
            return;
        }
        let outcomes = carry_out(&current, &claims);
        let now = Instant::now();
        let mut registrar = shared.registrar();
        for (claim, outcome) in claims.iter().zip(outcomes) {
            registrar.done(now, claim.id, outcome);
        }
        if now >= until {
            return;
        }
    }
}

fn carry_out(current: &Current, claims: &[Claim]) -> Vec<sri::Outcome> {
    let names: Vec<_> = claims.iter().map(|claim| Name::new(&claim.key)).collect();
    let ops: Vec<_> = claims
        .iter()
        .zip(&names)
        .filter_map(|(claim, name)| Some(op(claim, name.as_ref().ok()?)))
        .collect();
    let mut answers = current.store.run_within(&ops, BATCH_DEADLINE).into_iter();
    let outcome = |name: &Result<Name, _>| match name {
        Ok(_) => answer(answers.next()),
        // The registrar makes no such key.
        Err(_) => sri::Outcome::Invalid,
    };
    names.iter().map(outcome).collect()
}

fn op<'a>(claim: &'a Claim, name: &'a Name) -> Op<'a> {
    let (value, ttl) = (claim.value.as_slice(), claim.ttl);
    match claim.kind {
        sri::Kind::Take => Op::Take { name, value, ttl },
        sri::Kind::Keep => Op::Keep { name, value, ttl },
        sri::Kind::Withdraw => Op::Withdraw { name, value },
    }
}

fn answer(outcome: Option<Outcome>) -> sri::Outcome {
    match outcome {
        Some(Outcome::Done) => sri::Outcome::Done,
        Some(Outcome::Foreign) => sri::Outcome::Foreign,
        Some(Outcome::Invalid(_)) => sri::Outcome::Invalid,
        _ => sri::Outcome::Unreachable,
    }
}

fn withdraw(shared: &Shared) {
    let until = Instant::now() + WITHDRAW_LIMIT;
    shared.registrar().withdraw_all(Instant::now());
    loop {
        publish(shared, until);
        let next = shared.registrar().poll_timeout();
        let now = Instant::now();
        // Only what a cache server did not answer is still due, and it has a lease.
        let Some(next) = next.filter(|next| *next < until && now < until) else { break };
        std::thread::sleep(next.saturating_duration_since(now));
    }
    settle(&shared.current().store);
}

/// What a cache server has missed nobody knows when this node is gone: it is told with a new epoch,
/// if it answers.
fn settle(store: &Store) {
    if store.servers().iter().any(|server| server.owed) {
        let _events = store.maintain();
    }
    for server in store.servers().into_iter().filter(|server| server.owed) {
        asterisk::warning!(
            "cache server {} has missed what was written last, and does not answer; the other copy has it. Where no other server runs app_universal meanwhile, empty it (flush_all) when it is back",
            server.name
        );
    }
}

fn announce(event: &Event, current: &Current) {
    let server = &event.server;
    let table = || current.store.servers().into_iter().find(|row| row.name == *server);
    match event.kind {
        EventKind::Down => {
            let why = table().and_then(|row| row.last_error).unwrap_or_else(|| "no answer".into());
            asterisk::warning!(
                "cache server {server} cannot be used: {why}; what only it has is UNREACHABLE until it can"
            );
        }
        EventKind::Up => asterisk::notice!("cache server {server} answers"),
        EventKind::Lost => asterisk::notice!(
            "cache server {server} is new, or may have lost content; publishing again what is registered here"
        ),
        EventKind::Healed => {
            asterisk::notice!("cache server {server} is complete again; its misses count");
        }
        EventKind::Compared { names } => asterisk::notice!(
            "cache server {server}: {names} names compared with the other copies, and copied where it had none or older ones"
        ),
        EventKind::Incomplete { names: 0 } => asterisk::warning!(
            "cache server {server} cannot be completed yet: a server that has the other copies cannot be listed; its misses do not count until then"
        ),
        EventKind::Incomplete { names } => asterisk::warning!(
            "cache server {server} cannot be completed yet: {names} names could not be copied to it{}; its misses do not count until then",
            table()
                .and_then(|row| row.last_error)
                .map(|why| format!(" ({why})"))
                .unwrap_or_default()
        ),
        EventKind::Evicted { items } => asterisk::warning!(
            "cache server {server} has evicted {items} items for want of memory: they read as MISSING there; give it more (memcached -m), or run it with -M"
        ),
        EventKind::Refused { records } => asterisk::warning!(
            "cache server {server}: {records} records refused, for they do not carry the proof that 'secret' asks for{}",
            table()
                .and_then(|row| row.last_refused)
                .map(|name| format!("; the last was {name}"))
                .unwrap_or_default()
        ),
    }
}
