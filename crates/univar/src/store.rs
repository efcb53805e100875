//! All sections and all cache servers: where an operation goes, and its way there and back.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::count::{Writer, Writers};
use crate::dump::{Dump, DumpEnd};
use crate::epoch::EpochId;
use crate::lane::{Lane, drive};
use crate::maintain::{maintain, random_id};
use crate::rounds::{self, Job, Pace, unix_now_s};
use crate::server::Server;
use crate::status::{Event, ServerStatus};
use crate::task::{Keeping, Task};
use crate::{Address, Config, ConfigError, Name, OWNER_MAX_BYTES, Op, Outcome, Ring};

/// How long to wait before asking for a dump again while another one is under way.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Tells the I/O thread to call [`Store::maintain`] at once. Must be cheap, and safe to call
/// from any thread.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Universal variables, over all sections' cache servers.
pub struct Store {
    sections: Vec<Section>,
    /// Prefixes and their sections, the longest first.
    prefixes: Vec<(Vec<u8>, usize)>,
    pub(crate) servers: Vec<Arc<Server>>,
    clock: Arc<Clock>,
    /// Tells this node from others where it heals a server.
    pub(crate) node: EpochId,
    writers: Arc<Writers>,
    wake: Wake,
}

struct Section {
    ring: Ring,
    /// The ring's servers, as indices into the store's.
    servers: Vec<usize>,
    deadline: Duration,
    keeping: Keeping,
}

/// What [`Store::names`] found.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Names {
    /// The names, sorted.
    pub names: Vec<Name>,
    /// There are more.
    pub truncated: bool,
    /// Cache servers that could not be listed, so that names may be missing.
    pub unlisted: Vec<Arc<str>>,
}

impl Store {
    /// Reads a configuration. Servers that `previous` has too are taken over with their
    /// connections, their health and their figures.
    ///
    /// No network is touched: call [`Store::resolve`] (on a thread of its own, if any server is
    /// not a numeric address) and [`Store::maintain`] next.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], and `previous` goes on as it is.
    pub fn new(config: &Config, previous: Option<&Self>, wake: Wake) -> Result<Self, ConfigError> {
        config.check()?;
        let clock = previous.map_or_else(Arc::default, |store| Arc::clone(&store.clock));
        let node = random_id();
        let mut store = Self {
            sections: Vec::new(),
            prefixes: Vec::new(),
            servers: Vec::new(),
            clock,
            node,
            writers: previous.map_or_else(
                || Arc::new(Writers::new(node.get())),
                |store| Arc::clone(&store.writers),
            ),
            wake,
        };
        let owner = &config.owner.as_bytes()[..config.owner.len().min(OWNER_MAX_BYTES)];
        for (index, section) in config.sections.iter().enumerate() {
            let addresses = section.addresses()?;
            let servers = addresses.iter().map(|address| store.adopt(address, previous)).collect();
            let (ring, deadline) = (Ring::new(&addresses), section.deadline);
            let (copies, secret) = (section.copies, section.secret.clone());
            let keeping = Keeping { copies, secret, owner: owner.into() };
            store.sections.push(Section { ring, servers, deadline, keeping });
            store.prefixes.extend(section.prefixes.iter().map(|prefix| (prefix.clone(), index)));
        }
        store.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        store.tell_servers();
        if previous.is_some_and(|previous| !store.places_as(previous)) {
            // Names may have been given a server that has never heard of them.
            store.servers.iter().for_each(|server| server.has_other_names());
        }
        Ok(store)
    }

    /// Runs `ops`, all at once, within the deadline of their section. Of several sections, each
    /// keeps to its own.
    ///
    /// Outcomes stand where their ops do. Any thread may call; no lock is held while waiting.
    #[must_use]
    pub fn run(&self, ops: &[Op<'_>]) -> Vec<Outcome> {
        self.carry(ops, Pace::Brisk)
    }

    /// Runs `ops` within `limit`, whatever the sections say. For threads of ours with many ops:
    /// they go in batches.
    #[must_use]
    pub fn run_within(&self, ops: &[Op<'_>], limit: Duration) -> Vec<Outcome> {
        self.carry(ops, Pace::Patient(Instant::now() + limit))
    }

    /// Probes all cache servers at once and mends their epoch markers; says what happened.
    ///
    /// For one thread of ours, every [`crate::epoch::PROBE_INTERVAL`] and when woken. Takes no
    /// longer than 200 ms, whatever hangs.
    #[must_use]
    pub fn maintain(&self) -> Vec<Event> {
        maintain(&self.servers)
    }

    /// Resolves the host names that need it: those without an address, and those that are down.
    /// Blocks for as long as DNS does, so it wants a thread of its own. Wakes the I/O thread if
    /// anything was found.
    pub fn resolve(&self) {
        let found = self.servers.iter().filter(|server| server.resolve()).count();
        if found > 0 {
            (self.wake)();
        }
    }

    /// The table of cache servers. Their indices are those of [`Store::server_of`].
    #[must_use]
    pub fn servers(&self) -> Vec<ServerStatus> {
        let now = Instant::now();
        self.servers.iter().map(|server| server.status(now)).collect()
    }

    /// Why nobody can tell about `name`, a line for each reason, from what is known of the cache
    /// servers that have its copies.
    #[must_use]
    pub fn doubts(&self, name: &Name) -> Vec<String> {
        let (section, places) = self.place(name);
        let places = &places[..section.keeping.copies];
        let now = Instant::now();
        let servers: Vec<_> = places.iter().map(|&at| self.servers[at].status(now)).collect();
        let forged = servers.iter().filter(|one| one.last_refused.as_ref() == Some(name)).map(|one| {
            format!(
                "what cache server {} has of {name} does not carry the proof that 'secret' asks for: it is forged, or \
                 not all servers have the same secret",
                one.name
            )
        });
        let damaged = places.iter().filter(|&&at| self.servers[at].has_damaged(name)).map(|&at| {
            format!(
                "what cache server {} has of {name} is damaged: set {name} anew, or delete it",
                self.servers[at].name()
            )
        });
        let doubt = |one: &ServerStatus| one.doubt().or_else(|| one.lack_of_memory());
        let told: Vec<_> = forged.chain(damaged).chain(servers.iter().filter_map(doubt)).collect();
        if !told.is_empty() {
            return told;
        }
        let last = |one: &ServerStatus| {
            Some(format!("cache server {}: {}", one.name, one.last_error.as_ref()?))
        };
        servers.iter().filter_map(last).collect()
    }

    /// The index of the cache server that has `name`, or its first copy.
    #[must_use]
    pub fn server_of(&self, name: &Name) -> usize {
        self.place(name).1[0]
    }

    /// Whether the cache server `host:port`, as in [`Event::server`], has a copy of `name`.
    #[must_use]
    pub fn is_placed_on(&self, name: &Name, server: &str) -> bool {
        self.place(name).1.iter().any(|&at| **self.servers[at].name() == *server)
    }

    /// The names that begin with `prefix`, at most `limit` of them, from all cache servers.
    ///
    /// A look at what memcached happens to list, for people: names that come and go meanwhile may
    /// be there or not. Takes as long as it takes, up to `deadline`.
    #[must_use]
    pub fn names(&self, prefix: &[u8], limit: usize, deadline: Duration) -> Names {
        self.names_at(unix_now_s(), prefix, limit, Instant::now() + deadline)
    }

    /// The same, without those that have ended by then.
    pub(crate) fn names_at(
        &self,
        unix_now_s: u64,
        prefix: &[u8],
        limit: usize,
        end: Instant,
    ) -> Names {
        let mut pending: Vec<usize> = (0..self.servers.len()).collect();
        let mut found = Names::default();
        loop {
            pending = self.dump(&pending, Dump::new(prefix, limit, unix_now_s), end, &mut found);
            let left = end.saturating_duration_since(Instant::now());
            if pending.is_empty() || left <= BUSY_PAUSE {
                break;
            }
            std::thread::sleep(BUSY_PAUSE);
        }
        found.unlisted.extend(pending.iter().map(|&at| Arc::clone(self.servers[at].name())));
        found.names.sort();
        found.names.dedup();
        found.truncated |= found.names.len() > limit;
        found.names.truncate(limit);
        found
    }

    /// Takes a server over from `previous` or from another section, or makes it; its index.
    fn adopt(&mut self, address: &Address, previous: Option<&Self>) -> usize {
        let name = address.to_string();
        let same = |server: &&Arc<Server>| **server.name() == *name;
        if let Some(at) = self.servers.iter().position(|server| same(&server)) {
            return at;
        }
        let known = previous.and_then(|store| store.servers.iter().find(same));
        let server = known.map_or_else(|| Arc::new(Server::new(address)), Arc::clone);
        self.servers.push(server);
        self.servers.len() - 1
    }

    /// Whether every name has its copies where `other` has them. It has if that holds for all
    /// prefixes of both, for the longest of them that begins a name decides in both.
    fn places_as(&self, other: &Self) -> bool {
        let mut prefixes =
            self.prefixes.iter().chain(&other.prefixes).map(|(prefix, _)| &prefix[..]);
        self.layout_of(b"") == other.layout_of(b"")
            && prefixes.all(|prefix| self.layout_of(prefix) == other.layout_of(prefix))
    }

    /// The servers among which names that begin so are placed, and in how many copies.
    fn layout_of(&self, begin: &[u8]) -> (Vec<&Arc<str>>, usize) {
        let section = self.section_at(begin);
        let mut names: Vec<_> = section.servers.iter().map(|&at| self.servers[at].name()).collect();
        names.sort();
        (names, section.keeping.copies)
    }

    /// What each server must know of the sections that use it.
    fn tell_servers(&self) {
        for (at, server) in self.servers.iter().enumerate() {
            let uses = || self.sections.iter().filter(|section| section.servers.contains(&at));
            // With two copies, half of it must be left for what follows.
            let waits = |section: &Section| section.deadline / section.keeping.copies as u32;
            let quick = uses().map(waits).min().unwrap_or_default();
            server.serves(quick, uses().any(|section| section.keeping.copies > 1));
        }
    }

    /// The section of a name.
    fn section_of(&self, name: &Name) -> &Section {
        self.section_at(name.as_bytes())
    }

    fn section_at(&self, name: &[u8]) -> &Section {
        let claimed = self.prefixes.iter().find(|(prefix, _)| name.starts_with(prefix));
        &self.sections[claimed.map_or(0, |&(_, section)| section)]
    }

    /// The servers that have a name's copies, in the ring's order.
    fn place(&self, name: &Name) -> (&Section, [usize; 2]) {
        let section = self.section_of(name);
        let Section { ring, servers, keeping, .. } = section;
        if keeping.copies == 1 {
            let only = servers[ring.place(name.as_bytes())];
            return (section, [only, only]);
        }
        let (first, second) = ring.place_both(name.as_bytes());
        (section, [servers[first], servers[second]])
    }

    /// Runs the ops, each where its name is placed; outcomes in the ops' order.
    fn carry(&self, ops: &[Op<'_>], pace: Pace) -> Vec<Outcome> {
        let start = Instant::now();
        // Each that counts is a writer of its own for as long.
        let mut writers = Vec::new();
        let tasks = self.work(ops.iter().map(|op| (op.name(), *op)), pace, start, |op, section| {
            let task = Task::new(op, &section.keeping, &self.clock);
            if section.keeping.copies == 1 || !matches!(op, Op::Increment { .. }) {
                return task;
            }
            // Who has some already waits for no others.
            let end = if writers.is_empty() { pace.end(start, section.deadline) } else { start };
            match self.writers.take(end) {
                Some(writer) => {
                    let name = writer.name();
                    writers.push(writer);
                    task.counting_as(name)
                }
                None => task.given_up(),
            }
        });
        if tasks.iter().any(|task| task.counts() && task.spoils_its_writer()) {
            writers.iter().for_each(Writer::retire);
        }
        tasks.into_iter().map(Task::into_outcome).collect()
    }

    /// Makes the copies of each of `names` the same, until `end`. Says of each whether all its
    /// copies answered, and are.
    pub(crate) fn mend(&self, names: &[Name], end: Instant) -> Vec<bool> {
        let jobs = names.iter().map(|name| (name, name));
        let tasks = self.work(jobs, Pace::Patient(end), Instant::now(), |name, section| {
            Task::mend(name, &section.keeping, &self.clock)
        });
        tasks.into_iter().map(|task| task.into_outcome() == Outcome::Done).collect()
    }

    fn work<'s, J>(
        &'s self,
        jobs: impl Iterator<Item = (&'s Name, J)>,
        pace: Pace,
        start: Instant,
        mut task: impl FnMut(J, &'s Section) -> Task<'s>,
    ) -> Vec<Task<'s>> {
        let mut jobs: Vec<Job<'_>> = jobs
            .map(|(name, job)| {
                let (section, [first, second]) = self.place(name);
                let servers = [&*self.servers[first], &*self.servers[second]];
                Job { task: task(job, section), servers, limit: section.deadline }
            })
            .collect();
        if rounds::run(&mut jobs, pace, start, &self.clock) {
            (self.wake)();
        }
        jobs.into_iter().map(|job| job.task).collect()
    }

    /// Whether `name` has two copies.
    pub(crate) fn has_two_copies(&self, name: &Name) -> bool {
        self.section_of(name).keeping.copies > 1
    }

    /// Whether `server` has a copy of `name`, of two.
    pub(crate) fn replicates(&self, name: &Name, server: usize) -> bool {
        let (section, places) = self.place(name);
        section.keeping.copies > 1 && places.contains(&server)
    }

    /// The servers that share names with `server` in sections with two copies, itself included.
    pub(crate) fn partners(&self, server: usize) -> Vec<usize> {
        let with =
            |section: &&Section| section.keeping.copies > 1 && section.servers.contains(&server);
        let all = self.sections.iter().filter(with).flat_map(|section| &section.servers);
        let mut partners: Vec<usize> = all.copied().collect();
        partners.sort_unstable();
        partners.dedup();
        partners
    }

    /// Dumps the `pending` servers; those that were busy with another dump are still pending.
    fn dump(
        &self,
        pending: &[usize],
        dump: Dump<'_>,
        end: Instant,
        found: &mut Names,
    ) -> Vec<usize> {
        let mut lanes: Vec<Lane<'_, Dump<'_>>> =
            pending.iter().map(|&at| Lane::patient(&self.servers[at], dump.clone(), end)).collect();
        drive(&mut lanes);
        let mut busy = Vec::new();
        for (&at, lane) in pending.iter().zip(lanes) {
            match lane.talk.end {
                Some(DumpEnd::Busy) => busy.push(at),
                None | Some(DumpEnd::Refused) => {
                    found.unlisted.push(Arc::clone(self.servers[at].name()));
                }
                Some(DumpEnd::Limit) => found.truncated = true,
                Some(DumpEnd::Complete) => {}
            }
            // A name that is not placed there is another client's: no reader of ours finds it.
            found.names.extend(
                lane.talk.names.into_iter().filter(|name| self.place(name).1.contains(&at)),
            );
        }
        busy
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: HashSet<_> = self.servers.iter().map(|server| server.name()).collect();
        f.debug_struct("Store").field("servers", &names).finish_non_exhaustive()
    }
}
