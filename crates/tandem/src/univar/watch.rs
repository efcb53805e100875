//! `tandem univar watch`.
//!
//! memcached tells nobody of changes, so this looks again and again, and compares. A name that is no longer listed
//! is only "deleted" if it is certainly missing.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::stdout;
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;
use univar::Name;
use univar::epoch::PROBE_INTERVAL;

use super::prefix;
use crate::exit::Exit;
use crate::out::{Gone, Out, complain};
use crate::session::{Listing, Session, Tender};
use crate::source::Source;
use crate::text;

/// Prints changes as they happen, until Ctrl-C or until nobody reads the output any more.
///
/// A line for each: "set NAME=VALUE" or "del NAME". memcached does not tell of changes, so this looks every
/// --interval, and of several changes in between sees the last; a change of the time to live alone is none. What a
/// cache server cannot tell meanwhile is said on standard error, and is no change.
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
    /// How often to look, in milliseconds, 50 to 3600000.
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

/// Told of each change: the name, and its new value unless it was deleted.
type OnChange<'a> = &'a mut dyn FnMut(&Name, Option<&[u8]>) -> anyhow::Result<()>;

impl Watch {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let prefix = prefix(self.prefix.as_ref())?;
        let session = Session::open(source)?;
        // This stays for long, so it does a node's work for the cache servers too.
        let _tender = Tender::start(&session);
        let mut out = Out::new();
        let mut known = BTreeMap::new();
        let mut gaps = Vec::new();
        let mut silent = !self.now;
        loop {
            let next = Instant::now() + Duration::from_millis(self.interval);
            self.look(&session, &prefix, &mut known, &mut gaps, &mut |name, value| {
                if silent { Ok(()) } else { self.print(name, value, &mut out) }
            })?;
            out.flush()?;
            silent = false;
            pause(&session, next)?;
        }
    }

    /// Looks once, and tells `change` what is not as in `known`.
    fn look(
        &self,
        session: &Session,
        prefix: &[u8],
        known: &mut BTreeMap<Name, Vec<u8>>,
        gaps: &mut Vec<String>,
        change: OnChange<'_>,
    ) -> anyhow::Result<()> {
        let listing = match self.exact {
            true => Listing { names: Name::new(prefix).into_iter().collect(), gaps: Vec::new() },
            false => session.list(&[prefix]),
        };
        tell_gaps(gaps, listing.gaps);
        let names: BTreeSet<&Name> = listing.names.iter().chain(known.keys()).collect();
        let names: Vec<Name> = names.into_iter().cloned().collect();
        let mut gone: BTreeSet<Name> = known.keys().cloned().collect();
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

/// Waits until `next`, and probes the cache servers meanwhile.
fn pause(session: &Session, next: Instant) -> anyhow::Result<()> {
    loop {
        session.maintain();
        let left = next.saturating_duration_since(Instant::now());
        if reader_is_gone(left.min(PROBE_INTERVAL)) {
            return Err(Gone.into());
        }
        if Instant::now() >= next {
            return Ok(());
        }
    }
}

/// Waits for `time`, or until the other end of the pipe that is our standard output is closed.
fn reader_is_gone(time: Duration) -> bool {
    let mut output = libc::pollfd { fd: stdout().as_raw_fd(), events: 0, revents: 0 };
    let time_ms = libc::c_int::try_from(time.as_millis()).unwrap_or(libc::c_int::MAX);
    // SAFETY: poll(2): one entry, which lives until it returns.
    let ready = unsafe { libc::poll(&raw mut output, 1, time_ms.saturating_add(1)) };
    ready > 0 && output.revents & (libc::POLLERR | libc::POLLHUP) != 0
}
