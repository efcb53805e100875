//! Talking to the cache servers once: opened, probed, asked, and told from what they could not tell.
//!
//! A [`Session`] probes all cache servers when it is opened, as every node does each half second: an absent epoch
//! marker is begun then (`H`), which is harmless, for nothing counts as missing until somebody has watched it for
//! 3 seconds and ends it. What the probe does not do is to begin a new epoch on a server that has one: so a server
//! that did not answer is asked again by a [`Store`] that does not remember it. [`Tender`] does the rest of a node's
//! work, for those who stay.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use univar::epoch::PROBE_INTERVAL;
use univar::{
    Address, Comparison, Config, DEADLINE_MAX, Name, Op, Outcome, ServerState, ServerStatus, Store,
};
use universal::settings::{Section, Settings};

use crate::out::complain;
use crate::source::Source;
use crate::text::escaped;

/// Most operations at once: a value has up to 1 MB, and all answers are held.
pub(crate) const BATCH_OPS: usize = 256;

/// Most operations at once when a batch is tried again.
const RETRY_OPS: usize = 16;

/// How often in a session something is tried again.
const RETRIES_MAX: u8 = 8;

/// A server that does not answer is probed again within this time: the first probe may have come at a bad moment,
/// and a host may have several addresses.
const PROBE_AGAIN_WITHIN: Duration = Duration::from_millis(300);
const PROBES_MAX: u8 = 8;

/// How often all copies are compared if that could not be completed.
const COMPARISONS_MAX: u8 = 4;

/// How many names are told of many that one thing is wrong with.
pub(crate) const NAMES_TOLD_MAX: usize = 20;

const CANNOT_LIST: &str = "it refuses to list its names, or takes too long";

/// How often a [`Tender`] looks whether there is anything to heal.
const HEAL_INTERVAL: Duration = Duration::from_millis(250);

/// The cache servers of a configuration.
pub(crate) struct Session {
    store: Arc<Store>,
    settings: Settings,
    deadline: Duration,
    retries_left: Cell<u8>,
}

/// What [`Session::list`] found.
pub(crate) struct Listing {
    /// The names, sorted.
    pub(crate) names: Vec<Name>,
    /// What may be missing and why, a line each; empty if the list is complete.
    pub(crate) gaps: Vec<String>,
}

/// One variable.
pub(crate) struct Record {
    pub(crate) value: Vec<u8>,
    /// What is left of its life, if asked for; the inner `None` is for ever.
    pub(crate) life: Option<Option<Duration>>,
}

/// What [`Session::read`] could not read.
#[derive(Default)]
pub(crate) struct Unread {
    pub(crate) unreachable: Vec<Name>,
    pub(crate) invalid: Vec<(Name, univar::Invalid)>,
}

impl Session {
    pub(crate) fn open(source: &Source) -> anyhow::Result<Self> {
        let settings = source.settings()?;
        let deadline = source.deadline(&settings);
        let config = config(&settings, source.owner(), deadline);
        let store = reach(&config, deadline)?;
        let session = Self { store, settings, deadline, retries_left: Cell::new(RETRIES_MAX) };
        if let Some(time) = source.wait() {
            session.wait(time);
        }
        if source.verbose {
            for server in session.store.servers() {
                complain!("cache server {} is {}", server.name, server.state);
            }
        }
        Ok(session)
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn servers(&self) -> Vec<ServerStatus> {
        self.store.servers()
    }

    /// Runs `ops` once.
    pub(crate) fn run(&self, ops: &[Op<'_>]) -> Vec<Outcome> {
        self.store.run_within(ops, self.deadline)
    }

    /// After writes: where a copy could not be written, makes sure that the others will heal it.
    ///
    /// A node would do so with its next probe; this program is gone by then.
    pub(crate) fn settle(&self) {
        if self.settings.sections.iter().all(|section| section.copies == 1) {
            return;
        }
        let full = |server: &ServerStatus| server.owed && server.out_of_memory;
        // It answers: with this probe its healing begins, and no more is owed.
        let full: Vec<ServerStatus> = self.store.servers().into_iter().filter(full).collect();
        self.maintain();
        let servers = self.store.servers();
        for ServerStatus { name, .. } in &full {
            complain!(
                "cache server {name} is out of memory and has refused a copy of what was written; the other one has \
                 it. Give it more memory (-m), or delete something; then run this with --wait, or let a server with \
                 app_universal run, before the other one may fail"
            );
        }
        if servers.iter().all(|server| server.owed) {
            // No copy has it then, and that is said of each name.
            return;
        }
        let is_told = |server: &ServerStatus| full.iter().any(|one| one.name == server.name);
        for server in servers.iter().filter(|server| server.owed && !is_told(server)) {
            complain!(
                "cache server {} has missed what was written; the other copy has it. When it answers again, run \
                 this with --wait, or let a server with app_universal run, before the other one may fail",
                server.name
            );
        }
    }

    /// Runs `ops`, and what could not be told once more in smaller pieces.
    pub(crate) fn run_again(&self, ops: &[Op<'_>]) -> Vec<Outcome> {
        let mut outcomes = self.run(ops);
        let failed = |outcome: &Outcome| *outcome == Outcome::Unreachable;
        let again: Vec<usize> = (0..ops.len()).filter(|&at| failed(&outcomes[at])).collect();
        for slots in again.chunks(RETRY_OPS) {
            if self.retries_left.get() == 0 {
                break;
            }
            self.maintain();
            let retried: Vec<Op<'_>> = slots.iter().map(|&at| ops[at]).collect();
            let told = self.run(&retried);
            if told.iter().any(failed) {
                self.retries_left.set(self.retries_left.get() - 1);
            }
            for (&at, outcome) in slots.iter().zip(told) {
                outcomes[at] = outcome;
            }
        }
        outcomes
    }

    /// The names that begin with one of `prefixes`.
    pub(crate) fn list(&self, prefixes: &[&[u8]]) -> Listing {
        // memcached is asked for all names anyway, so they are asked for once.
        let mut found = self.store.names(common(prefixes), usize::MAX, self.deadline);
        let wanted = |name: &Name| prefixes.iter().any(|one| name.as_bytes().starts_with(one));
        found.names.retain(wanted);
        let servers = self.store.servers();
        let mut gaps = BTreeSet::new();
        for section in self.sections_of_prefixes(prefixes) {
            let of_section = |one: &&ServerStatus| section.servers.iter().any(|name| is(one, name));
            let gap = |one| listing_gap(one, found.unlisted.contains(&one.name));
            let own: Vec<String> = servers.iter().filter(of_section).filter_map(gap).collect();
            // Of each name another server has a copy too; only if two are missing, both may be of one name.
            if own.len() >= section.copies {
                gaps.extend(own);
            }
        }
        Listing { names: found.names, gaps: gaps.into_iter().collect() }
    }

    /// Whether a name that is listed may have been deleted: what is kept in envelopes leaves a trace for a day.
    pub(crate) fn may_be_deleted(&self, name: &Name) -> bool {
        let (section, _) = self.section_of(name.as_bytes());
        section.copies > 1 || section.secret.is_some()
    }

    /// Reads `names` and hands over each that is there, in order.
    pub(crate) fn read(
        &self,
        names: &[Name],
        with_life: bool,
        each: &mut dyn FnMut(&Name, Record) -> anyhow::Result<()>,
    ) -> anyhow::Result<Unread> {
        let mut unread = Unread::default();
        for names in names.chunks(BATCH_OPS) {
            let mut ops: Vec<Op<'_>> = names.iter().map(|name| Op::Get { name }).collect();
            if with_life {
                ops.extend(names.iter().map(|name| Op::Life { name }));
            }
            let mut outcomes = self.run_again(&ops);
            let lives = outcomes.split_off(names.len());
            let mut lives = lives.into_iter();
            for (name, outcome) in names.iter().zip(outcomes) {
                let life = lives.next();
                match (outcome, life) {
                    (Outcome::Value(value), None) => each(name, Record { value, life: None })?,
                    (Outcome::Value(value), Some(Outcome::Life(life))) => {
                        each(name, Record { value, life: Some(life) })?;
                    }
                    // Its time ended between the one answer and the other.
                    (Outcome::Missing, _) | (_, Some(Outcome::Missing)) => {}
                    (Outcome::Invalid(why), _) | (_, Some(Outcome::Invalid(why))) => {
                        unread.invalid.push((name.clone(), why));
                    }
                    _ => unread.unreachable.push(name.clone()),
                }
            }
        }
        Ok(unread)
    }

    /// Probes the cache servers, as a node does all the time.
    pub(crate) fn maintain(&self) {
        // What happened shows in the servers' states.
        let _events = self.store.maintain();
    }

    /// Looks for the addresses of host names that have none.
    pub(crate) fn resolve(&self) {
        resolve(&self.store, self.deadline);
    }

    /// Says on standard error why these names are unreachable, and what helps.
    pub(crate) fn explain<'n>(&self, names: impl IntoIterator<Item = &'n Name>) {
        let reasons: BTreeSet<String> =
            names.into_iter().flat_map(|name| self.store.doubts(name)).collect();
        for reason in reasons {
            complain!("{reason}");
        }
    }

    /// The section that has a name.
    pub(crate) fn section_of(&self, name: &[u8]) -> (&Section, &str) {
        let mut best = (&self.settings.sections[0], "");
        for section in &self.settings.sections {
            for prefix in section.owned_prefixes() {
                if name.starts_with(prefix.as_bytes()) && prefix.len() > best.1.len() {
                    best = (section, prefix);
                }
            }
        }
        best
    }

    /// The first cache server that has a name.
    pub(crate) fn server_of(&self, name: &Name) -> String {
        self.store.servers()[self.store.server_of(name)].name.to_string()
    }

    /// The sections that may have names with these prefixes: their own, and those for longer ones.
    fn sections_of_prefixes(&self, prefixes: &[&[u8]]) -> Vec<&Section> {
        let concerned = |section: &&Section| {
            prefixes.iter().any(|prefix| {
                let mut owned = section.owned_prefixes();
                self.section_of(prefix).0.name == section.name
                    || owned.any(|longer| longer.as_bytes().starts_with(prefix))
            })
        };
        self.settings.sections.iter().filter(concerned).collect()
    }

    /// Waits until all cache servers are ready, and has the copies of all names compared: what a server missed may
    /// be known to a run of this program alone, which is over.
    fn wait(&self, time: Duration) {
        let end = Instant::now() + time;
        let _tender = Tender::start(self);
        for left in (0..COMPARISONS_MAX).rev() {
            if !self.wait_until_ready(end) {
                complain!("not every cache server is healed after {} s:", time.as_secs());
                let servers = self.store.servers();
                servers.iter().filter_map(ServerStatus::doubt).for_each(|why| complain!("{why}"));
                return;
            }
            if self.settings.sections.iter().all(|section| section.copies == 1) {
                return;
            }
            let compared = self.store.compare_copies(end);
            if compared.is_complete() {
                return;
            }
            let time_left = end.saturating_duration_since(Instant::now());
            if left == 0 || time_left.is_zero() {
                self.complain_not_compared(&compared);
                return;
            }
            std::thread::sleep(PROBE_INTERVAL.min(time_left));
            self.maintain();
        }
    }

    /// Says whether they are, or were not by then.
    fn wait_until_ready(&self, end: Instant) -> bool {
        let ready = || self.store.servers().iter().all(|one| one.state == ServerState::Ready);
        while !ready() && Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            std::thread::sleep(PROBE_INTERVAL.min(left));
            self.resolve();
            self.maintain();
        }
        ready()
    }

    fn complain_not_compared(&self, compared: &Comparison) {
        for server in &compared.unlisted {
            complain!("cache server {server} cannot be listed: {CANNOT_LIST}");
        }
        complain_names(compared.pending.iter(), "not compared on both its cache servers");
        self.explain(&compared.pending);
        complain!(
            "not all copies could be compared: a cache server may have something older still, which counts if the \
             other one fails. Run this again, or give --wait=SECONDS more time"
        );
    }
}

/// Heals cache servers on a thread of its own, for as long as it lives. The probes are for whoever has it.
pub(crate) struct Tender {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Tender {
    pub(crate) fn start(session: &Session) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let store = Arc::clone(&session.store);
        let pause = move |time| stopped.recv_timeout(time) != Err(RecvTimeoutError::Timeout);
        let thread = std::thread::spawn(move || {
            univar::step_back();
            loop {
                // What happened shows in the servers' states.
                let _events = store.heal(&pause);
                if pause(HEAL_INTERVAL) {
                    break;
                }
            }
        });
        Self { stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Tender {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A store whose servers were probed.
fn reach(config: &Config, deadline: Duration) -> anyhow::Result<Arc<Store>> {
    let start = Instant::now();
    let make = || Store::new(config, None, Arc::new(|| {})).map(Arc::new).context("universal.conf");
    let replicated = config.sections.iter().any(|section| section.copies > 1);
    let mut store = make()?;
    for probe in 1..=PROBES_MAX {
        resolve(&store, deadline);
        let _events = store.maintain();
        let down = store.servers().iter().any(|server| server.state == ServerState::Down);
        if !down || probe == PROBES_MAX || start.elapsed() >= PROBE_AGAIN_WITHIN.min(deadline) {
            break;
        }
        if replicated {
            // One that remembers that a server was down would have it healed, for all it may have missed.
            store = make()?;
        }
    }
    Ok(store)
}

/// Finds host names' addresses, within the deadline.
fn resolve(store: &Arc<Store>, deadline: Duration) {
    if store.servers().iter().all(|server| server.address.is_some()) {
        return;
    }
    let (done, resolved) = mpsc::channel();
    let store = Arc::clone(store);
    // DNS takes its own time; what it says too late is of no use to this run.
    std::thread::spawn(move || {
        store.resolve();
        let _ = done.send(());
    });
    let _ = resolved.recv_timeout(deadline);
}

/// What all prefixes begin with.
fn common<'p>(prefixes: &[&'p [u8]]) -> &'p [u8] {
    let Some((&first, others)) = prefixes.split_first() else { return &[] };
    let shared = |other: &&[u8]| first.iter().zip(*other).take_while(|(a, b)| a == b).count();
    &first[..others.iter().map(shared).min().unwrap_or(first.len())]
}

/// Why what is listed of a server may not be all, if so.
fn listing_gap(server: &ServerStatus, unlisted: bool) -> Option<String> {
    match server.state {
        ServerState::Slow | ServerState::Ready if unlisted => {
            Some(format!("cache server {} cannot be listed: {CANNOT_LIST}", server.name))
        }
        _ => server.doubt(),
    }
}

/// Says on standard error what was found but could not be read, and why.
pub(crate) fn complain_unread(session: &Session, unread: &Unread) {
    for (name, why) in &unread.invalid {
        complain!("{}: {why}", escaped(name.as_bytes()));
    }
    complain_names(unread.unreachable.iter(), "unreachable");
    session.explain(&unread.unreachable);
}

/// Says `what` of each of the names, but of no more than are of use.
pub(crate) fn complain_names<'n>(names: impl ExactSizeIterator<Item = &'n Name>, what: &str) {
    let more = names.len().saturating_sub(NAMES_TOLD_MAX);
    for name in names.take(NAMES_TOLD_MAX) {
        complain!("{}: {what}", escaped(name.as_bytes()));
    }
    if more > 0 {
        complain!("and {more} more: {what}");
    }
}

fn is(server: &ServerStatus, name: &str) -> bool {
    Address::parse(name).is_ok_and(|address| *server.name == *address.to_string())
}

/// The settings as `univar` wants them.
fn config(settings: &Settings, owner: String, deadline: Duration) -> Config {
    let mut config = settings.store_config(owner);
    for section in &mut config.sections {
        // What is too slow for a channel is not for us.
        section.deadline = deadline.clamp(section.deadline, DEADLINE_MAX);
    }
    config
}
