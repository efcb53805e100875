//! All sections and all cache servers: where an operation goes, and its way there and back.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::dump::{Dump, DumpEnd};
use crate::exchange::Exchange;
use crate::lane::{Lane, drive};
use crate::maintain::maintain;
use crate::server::Server;
use crate::status::{Event, ServerStatus};
use crate::{Address, Config, ConfigError, Name, Op, Outcome, Ring};

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
    servers: Vec<Arc<Server>>,
    wake: Wake,
}

struct Section {
    ring: Ring,
    /// The ring's servers, as indices into the store's.
    servers: Vec<usize>,
    deadline: Duration,
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
        let mut store =
            Self { sections: Vec::new(), prefixes: Vec::new(), servers: Vec::new(), wake };
        for (index, section) in config.sections.iter().enumerate() {
            let addresses = section.addresses()?;
            let servers = addresses.iter().map(|address| store.adopt(address, previous)).collect();
            let (ring, deadline) = (Ring::new(&addresses), section.deadline);
            store.sections.push(Section { ring, servers, deadline });
            store.prefixes.extend(section.prefixes.iter().map(|prefix| (prefix.clone(), index)));
        }
        store.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Ok(store)
    }

    /// Runs `ops`, all at once, within the deadline of their section. Of several sections, each
    /// keeps to its own.
    ///
    /// Outcomes stand where their ops do. Any thread may call; no lock is held while waiting.
    #[must_use]
    pub fn run(&self, ops: &[Op<'_>]) -> Vec<Outcome> {
        let start = Instant::now();
        self.carry(ops, |server, limit, exchange| Lane::brisk(server, exchange, start, limit))
    }

    /// Runs `ops` within `limit`, whatever the sections say. For threads of ours with many ops:
    /// they go in batches.
    #[must_use]
    pub fn run_within(&self, ops: &[Op<'_>], limit: Duration) -> Vec<Outcome> {
        let deadline = Instant::now() + limit;
        self.carry(ops, |server, _, exchange| Lane::patient(server, exchange, deadline))
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

    /// The index of the cache server that has `name`.
    #[must_use]
    pub fn server_of(&self, name: &Name) -> usize {
        self.place(name).1
    }

    /// The `host:port` of the cache server that has `name`, as in [`Event::server`].
    #[must_use]
    pub fn server_name_of(&self, name: &Name) -> &Arc<str> {
        self.servers[self.server_of(name)].name()
    }

    /// The names that begin with `prefix`, at most `limit` of them, from all cache servers.
    ///
    /// A look at what memcached happens to list, for people: names that come and go meanwhile may
    /// be there or not. Takes as long as it takes, up to `deadline`.
    #[must_use]
    pub fn names(&self, prefix: &[u8], limit: usize, deadline: Duration) -> Names {
        let end = Instant::now() + deadline;
        let mut pending: Vec<usize> = (0..self.servers.len()).collect();
        let mut found = Names::default();
        loop {
            pending = self.dump(&pending, prefix, limit, end, &mut found);
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

    /// The section and the server of a name.
    fn place(&self, name: &Name) -> (usize, usize) {
        let claimed = self.prefixes.iter().find(|(prefix, _)| name.as_bytes().starts_with(prefix));
        let section = claimed.map_or(0, |&(_, section)| section);
        let Section { ring, servers, .. } = &self.sections[section];
        (section, servers[ring.place(name.as_bytes())])
    }

    /// Deals the ops out to their servers, runs all, and puts the outcomes in the ops' order.
    fn carry<'s, 'o>(
        &'s self,
        ops: &[Op<'o>],
        lane: impl Fn(&'s Server, Duration, Exchange<'o>) -> Lane<'s, Exchange<'o>>,
    ) -> Vec<Outcome> {
        let unix_now_s = unix_now_s();
        let mut shares: Vec<Share<'o>> = Vec::with_capacity(self.sections[0].servers.len());
        let mut dealt = Vec::with_capacity(ops.len());
        for op in ops {
            let (section, server) = self.place(op.name());
            // Sections that share a server share the way there too, if their deadlines agree.
            let limit = self.sections[section].deadline;
            let same = |share: &Share<'_>| share.limit == limit && share.server == server;
            let at = shares.iter().position(same).unwrap_or_else(|| {
                let known = self.servers[server].known_epoch();
                let exchange = Exchange::new(unix_now_s, known);
                shares.push(Share { limit, server, exchange, gets: 0, sets: 0 });
                shares.len() - 1
            });
            shares[at].push(*op);
            dealt.push(at);
        }
        let mut lanes = Vec::with_capacity(shares.len());
        let mut results: Vec<Vec<Outcome>> = Vec::with_capacity(shares.len());
        let mut asked = Vec::with_capacity(shares.len());
        for (at, share) in shares.into_iter().enumerate() {
            let server = &*self.servers[share.server];
            if server.is_up() {
                server.count(share.gets, share.sets);
                lanes.push(lane(server, share.limit, share.exchange));
                asked.push(at);
                results.push(Vec::new());
            } else {
                results.push(share.exchange.into_outcomes());
            }
        }
        drive(&mut lanes);
        self.wake_for(&lanes);
        for (at, lane) in asked.into_iter().zip(lanes) {
            results[at] = lane.talk.into_outcomes();
        }
        gather(results, &dealt)
    }

    /// Wakes the I/O thread if a lane failed, or saw a marker that this node does not know.
    fn wake_for(&self, lanes: &[Lane<'_, Exchange<'_>>]) {
        let alarm = lanes.iter().fold(false, |alarm, lane| {
            let strange = lane.talk.marker().is_some_and(|marker| lane.server.saw(marker));
            alarm | lane.alarm | strange
        });
        if alarm {
            (self.wake)();
        }
    }

    /// Dumps the `pending` servers; those that were busy with another dump are still pending.
    fn dump(
        &self,
        pending: &[usize],
        prefix: &[u8],
        limit: usize,
        end: Instant,
        found: &mut Names,
    ) -> Vec<usize> {
        let unix_now_s = unix_now_s();
        let mut lanes: Vec<Lane<'_, Dump<'_>>> = pending
            .iter()
            .map(|&at| Lane::patient(&self.servers[at], Dump::new(prefix, limit, unix_now_s), end))
            .collect();
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
            found
                .names
                .extend(lane.talk.names.into_iter().filter(|name| self.server_of(name) == at));
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

/// What one server gets of a run.
struct Share<'o> {
    limit: Duration,
    server: usize,
    exchange: Exchange<'o>,
    gets: u64,
    sets: u64,
}

impl<'o> Share<'o> {
    fn push(&mut self, op: Op<'o>) {
        match op {
            Op::Get { .. } => self.gets += 1,
            _ => self.sets += 1,
        }
        self.exchange.push(op);
    }
}

/// Puts the shares' outcomes back in the order of the ops. `dealt` says whose turn it is.
fn gather(mut shares: Vec<Vec<Outcome>>, dealt: &[usize]) -> Vec<Outcome> {
    if shares.len() == 1 {
        return shares.pop().unwrap_or_default();
    }
    let mut shares: Vec<_> = shares.into_iter().map(Vec::into_iter).collect();
    dealt.iter().map(|&at| shares[at].next().unwrap_or(Outcome::Unreachable)).collect()
}

fn unix_now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
