//! Talking to the cache servers once: opened, probed, asked, and told from what they could not tell.
//!
//! A [`Session`] probes all cache servers when it is opened, as every node does each half second: an absent epoch
//! marker is begun then (`H`), which is harmless, for nothing counts as missing until somebody has watched it for
//! 3 seconds and ends it. [`Session::open`] with `wait` does that too.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use univar::epoch::PROBE_INTERVAL;
use univar::{Address, Config, Name, Op, Outcome, SectionConfig, ServerState, ServerStatus, Store};
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

/// A server that does not answer is probed again within this time: it may have several addresses.
const PROBE_AGAIN_WITHIN: Duration = Duration::from_millis(300);
const PROBES_MAX: u8 = 8;

/// How long `--wait` waits: a probe, the heal window of 3 seconds, and the probes until its end is seen.
const WAIT_MAX: Duration = Duration::from_secs(6);

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
        let config = config(&settings, source.owner());
        let store = Store::new(&config, None, Arc::new(|| {})).context("universal.conf")?;
        let retries_left = Cell::new(RETRIES_MAX);
        let session = Self { store: Arc::new(store), settings, deadline, retries_left };
        session.resolve();
        session.probe();
        if source.wait {
            session.wait();
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

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Runs `ops` once.
    pub(crate) fn run(&self, ops: &[Op<'_>]) -> Vec<Outcome> {
        self.store.run_within(ops, self.deadline)
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

    /// The names that begin with `prefix`.
    pub(crate) fn list(&self, prefix: &[u8]) -> Listing {
        let found = self.store.names(prefix, usize::MAX, self.deadline);
        let concerned = self.servers_of_prefix(prefix);
        let mut gaps = Vec::new();
        for server in self.store.servers().iter().filter(|one| concerned.contains(&*one.name)) {
            if found.unlisted.contains(&server.name) {
                let why = match server.state {
                    ServerState::Ready | ServerState::Healing | ServerState::Lost => {
                        "it refuses to list its names, or took too long".to_owned()
                    }
                    _ => trouble(server),
                };
                gaps.push(format!("cache server {} cannot be listed: {why}", server.name));
            } else if server.state != ServerState::Ready {
                gaps.push(unhealed(server));
            }
        }
        Listing { names: found.names, gaps }
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

    /// Says on standard error why these names are unreachable, and what helps.
    pub(crate) fn explain<'n>(&self, names: impl IntoIterator<Item = &'n Name>) {
        let mut concerned = BTreeSet::new();
        for name in names {
            concerned.extend(self.servers_of(name));
        }
        let servers = self.store.servers();
        let servers = servers.iter().filter(|server| concerned.contains(&*server.name));
        let mut told = false;
        for server in servers.clone().filter(|server| server.state != ServerState::Ready) {
            told = true;
            complain!("{}", why_unreachable(server));
        }
        if !told {
            for server in servers {
                let why = server.last_error.as_deref().unwrap_or("it could not do as asked");
                complain!("cache server {}: {why}", server.name);
            }
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

    /// The cache servers that may have a name.
    fn servers_of(&self, name: &Name) -> Vec<String> {
        vec![self.store.server_name_of(name).to_string()]
    }

    /// The cache servers that may have names with a prefix: those of its section, and of the sections for longer
    /// ones.
    fn servers_of_prefix(&self, prefix: &[u8]) -> BTreeSet<String> {
        let own = self.section_of(prefix).0;
        let longer = self.settings.sections.iter().filter(|section| {
            section.owned_prefixes().any(|longer| longer.as_bytes().starts_with(prefix))
        });
        let all = std::iter::once(own).chain(longer).flat_map(|section| &section.servers);
        all.map(|server| full_name(server)).collect()
    }

    /// Finds host names' addresses, within the deadline.
    fn resolve(&self) {
        let servers = self.store.servers();
        if servers.iter().all(|server| server.address.is_some()) {
            return;
        }
        let (done, resolved) = mpsc::channel();
        let store = Arc::clone(&self.store);
        // DNS takes its own time; what it says too late is of no use to this run.
        std::thread::spawn(move || {
            store.resolve();
            let _ = done.send(());
        });
        let _ = resolved.recv_timeout(self.deadline);
    }

    fn probe(&self) {
        let start = Instant::now();
        for _ in 0..PROBES_MAX {
            self.maintain();
            let servers = self.store.servers();
            let down = servers.iter().any(|server| server.state == ServerState::Down);
            if !down || start.elapsed() >= PROBE_AGAIN_WITHIN.min(self.deadline) {
                break;
            }
        }
    }

    fn wait(&self) {
        let end = Instant::now() + WAIT_MAX;
        let ready = || self.store.servers().iter().all(|one| one.state == ServerState::Ready);
        while !ready() && Instant::now() < end {
            std::thread::sleep(PROBE_INTERVAL.min(end.saturating_duration_since(Instant::now())));
            self.resolve();
            self.maintain();
        }
    }
}

/// Says on standard error what was found but could not be read, and why.
pub(crate) fn complain_unread(session: &Session, unread: &Unread) {
    for (name, why) in &unread.invalid {
        complain!("{}: {why}", escaped(name.as_bytes()));
    }
    for name in &unread.unreachable {
        complain!("{}: unreachable", escaped(name.as_bytes()));
    }
    session.explain(&unread.unreachable);
}

fn why_unreachable(server: &ServerStatus) -> String {
    match server.state {
        ServerState::Lost | ServerState::Healing => unhealed(server),
        _ => format!("cache server {} cannot be reached: {}", server.name, trouble(server)),
    }
}

fn trouble(server: &ServerStatus) -> String {
    let why = server.last_error.clone();
    why.unwrap_or_else(|| match server.state {
        ServerState::Unresolved => "its host name has no address".to_owned(),
        _ => "it does not answer".to_owned(),
    })
}

fn unhealed(server: &ServerStatus) -> String {
    format!(
        "cache server {} is new or has lost its content, and is not healed yet: what is not there may only be \
         missing for now. An Asterisk with app_universal loaded heals it in 4 seconds; so does --wait",
        server.name
    )
}

fn full_name(server: &str) -> String {
    Address::parse(server).map_or_else(|_| server.to_owned(), |address| address.to_string())
}

/// The settings as `univar` wants them.
fn config(settings: &Settings, owner: String) -> Config {
    let mut claimed = BTreeSet::new();
    let sections = settings.sections.iter().map(|section| SectionConfig {
        name: section.name.clone(),
        // A prefix that two sections name has the same servers in both (universal::settings).
        prefixes: section
            .owned_prefixes()
            .filter(|prefix| claimed.insert(prefix.to_string()))
            .map(|prefix| prefix.as_bytes().to_vec())
            .collect(),
        servers: section.servers.clone(),
        deadline: section.deadline,
        copies: 1,
        secret: None,
    });
    Config { sections: sections.collect(), owner }
}
