//! `tandem univar watch`.
//!
//! memcached tells nobody of changes, so this looks again and again, and compares; `tandem cache` tells at once where to
//! look. A name that is no longer listed is only "deleted" if it is certainly missing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::stdout;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use univar::Name;
use univar::epoch::PROBE_INTERVAL;

use super::feed::{Feeds, Hint};
use super::prefix;
use crate::exit::Exit;
use crate::out::{Gone, Out, complain};
use crate::session::{Session, Tender};
use crate::source::Source;
use crate::text;

/// Prints changes as they happen, until Ctrl-C or until nobody reads the output any more.
///
/// A line for each: "set NAME=VALUE" or "del NAME". "tandem cache" tells of changes at once. memcached does not, so
/// this looks every --interval. Of several changes of one name in quick succession it may see only the last; a change
/// of the time to live alone is none. What a cache server cannot tell meanwhile is said on standard error, and is no
/// change.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Watch {
    /// Only names that begin so. Default: all.
    #[arg(value_name = "PREFIX")]
    prefix: Option<OsString>,
    /// Only the variable of just this name.
    #[arg(long, requires = "prefix")]
    exact: bool,
    /// Prints what is there at the beginning too, as if it had just been set.
    #[arg(long)]
    now: bool,
    /// Prints JSON, a line for each change: event ("set" or "del"), name, value.
    #[arg(long)]
    json: bool,
    /// How often to look where a cache server does not tell of changes, in milliseconds, 50 to 3600000.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u64).range(50..=3_600_000))]
    interval: u64,
}

#[derive(Serialize)]
struct Row {
    event: &'static str,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
}

/// How often to look although every cache server tells of its changes.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);

/// What was seen last.
#[derive(Default)]
struct View {
    known: BTreeMap<Name, Vec<u8>>,
    /// What could not be seen.
    gaps: Vec<String>,
}

/// Told of each change: the name, and its new value unless it was deleted.
type OnChange<'a> = &'a mut dyn FnMut(&Name, Option<&[u8]>) -> anyhow::Result<()>;

impl Watch {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let prefix = prefix(self.prefix.as_ref())?;
        let session = Session::open(source)?;
        // This stays for long, so it does a node's work for the cache servers too.
        let _tender = Tender::start(&session);
        let servers = session.servers();
        let addresses: Vec<_> = servers.iter().map(|server| server.address).collect();
        let feeds = Feeds::start(&addresses, &prefix);
        let mut out = Out::new();
        let mut view = View::default();
        let mut silent = !self.now;
        let (mut next_look, mut next_probe) = (Instant::now(), Instant::now());
        let mut hint = Hint::Nothing;
        loop {
            let now = Instant::now();
            if now >= next_look || matches!(hint, Hint::All) {
                hint = Hint::All;
                // What is being healed tells nothing when that is over.
                let told = feeds.are_complete() && view.gaps.is_empty();
                let interval = Duration::from_millis(self.interval);
                next_look = now + if told { interval.max(LOOK_ANYWAY) } else { interval };
            }
            self.look(&session, &prefix, &hint, &mut view, &mut |name, value| {
                if silent { Ok(()) } else { self.print(name, value, &mut out) }
            })?;
            out.flush()?;
            silent = false;
            if now >= next_probe {
                session.maintain();
                next_probe = now + PROBE_INTERVAL;
            }
            if reader_is_gone() {
                return Err(Gone.into());
            }
            let wake = next_look.min(next_probe);
            hint = feeds.wait(wake.saturating_duration_since(Instant::now()));
        }
    }

    /// Looks where `hint` says, and tells `change` what is not as in `view`.
    fn look(
        &self,
        session: &Session,
        prefix: &[u8],
        hint: &Hint,
        view: &mut View,
        change: OnChange<'_>,
    ) -> anyhow::Result<()> {
        let View { known, gaps } = view;
        let names: BTreeSet<Name> = match hint {
            Hint::Nothing => return Ok(()),
            Hint::Names(names) if self.exact => {
                names.iter().filter(|name| name.as_bytes() == prefix).cloned().collect()
            }
            Hint::Names(names) => names.clone(),
            Hint::All if self.exact => Name::new(prefix).into_iter().collect(),
            Hint::All => {
                let listing = session.list(&[prefix]);
                if !listing.gaps.is_empty() {
                    session.resolve();
                }
                tell_gaps(gaps, listing.gaps);
                listing.names.into_iter().chain(known.keys().cloned()).collect()
            }
        };
        let names: Vec<Name> = names.into_iter().collect();
        let mut gone: BTreeSet<Name> =
            names.iter().filter(|name| known.contains_key(*name)).cloned().collect();
        let unread = session.read(&names, false, &mut |name, record| {
            gone.remove(name);
            if known.get(name) != Some(&record.value) {
                change(name, Some(&record.value))?;
                known.insert(name.clone(), record.value);
            }
            Ok(())
        })?;
        for name in unread.unreachable.iter().chain(unread.invalid.iter().map(|(name, _)| name)) {
            gone.remove(name);
        }
        for name in &gone {
            change(name, None)?;
            known.remove(name);
        }
        Ok(())
    }

    fn print(&self, name: &Name, value: Option<&[u8]>, out: &mut Out) -> anyhow::Result<()> {
        if self.json {
            let event = if value.is_some() { "set" } else { "del" };
            let (name, name_encoding) = text::encode(name.as_bytes());
            let (value, encoding) = value.map(text::encode).unzip();
            let encoding = encoding.flatten();
            return out.json(&Row { event, name, name_encoding, value, encoding });
        }
        match value {
            Some(value) => out.raw(&[b"set ", name.as_bytes(), b"=", value])?,
            None => out.raw(&[b"del ", name.as_bytes()])?,
        }
        out.end_line()
    }
}

/// Says what cannot be seen, when that changes.
fn tell_gaps(told: &mut Vec<String>, gaps: Vec<String>) {
    for gap in gaps.iter().filter(|gap| !told.contains(gap)) {
        complain!("{gap}");
    }
    if gaps.is_empty() && !told.is_empty() {
        complain!("all cache servers can tell again");
    }
    *told = gaps;
}

/// Whether the other end of the pipe that is our standard output is closed.
fn reader_is_gone() -> bool {
    let mut output = libc::pollfd { fd: stdout().as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: poll(2): one entry, which lives until it returns; it does not wait.
    let ready = unsafe { libc::poll(&raw mut output, 1, 0) };
    ready > 0 && output.revents & (libc::POLLERR | libc::POLLHUP) != 0
}
