//! `tandem cache`: the embedded cache server, from start to signal.
//!
//! The cache is crate `tandem-cache`'s; here are its options, the signals that stop it, and the word to systemd that it
//! is ready.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tandem_cache::{Server, Settings, StartError};
use univar::DEFAULT_PORT;
use univar::epoch::MARKER_KEY;

use crate::exit::Exit;
use crate::out::complain;
use crate::signals::Signals;
use crate::systemd::notify;

/// Runs a cache server that speaks memcached's protocol, for those who have no memcached.
///
/// It stays in the foreground. SIGTERM, SIGINT (Ctrl-C) and SIGHUP end it cleanly: the snapshot is written then. Under
/// systemd use Type=notify. Whoever reaches it can read and change what is in it: let it listen where only your
/// servers are.
#[derive(Debug, Args)]
pub(crate) struct Cache {
    /// An address and port to listen on; may be given several times. The port's default is 11211.
    #[arg(long, short, value_name = "ADDRESS[:PORT]", value_parser = address)]
    #[arg(default_value = "127.0.0.1:11211")]
    listen: Vec<SocketAddr>,
    /// What all items together may take, in megabytes, or with k, m or g behind the number.
    #[arg(long, short, value_name = "SIZE", default_value = "64", value_parser = memory)]
    memory: usize,
    /// What one item may take, in bytes, or with k or m behind the number.
    #[arg(long, short = 'I', value_name = "SIZE", default_value = "1m", value_parser = item_max)]
    item_max: usize,
    /// Connections at once; those beyond are told so and closed.
    #[arg(long, short, value_name = "NUMBER", default_value_t = 1024)]
    connections: usize,
    /// Threads that answer, 1 to 256.
    #[arg(long, short, value_name = "NUMBER", default_value_t = 4)]
    threads: usize,
    /// When the memory is full, refuses what is new; without it, the least recently used items go. Use it for
    /// registrations and variables: what was evicted reads as "not there".
    #[arg(long, short = 'M')]
    no_evict: bool,
    /// Keeps the content in this file from a clean stop to the next start. Default: it is gone.
    ///
    /// What is not in it may be missing for now, until a server with app_universal or "tandem univar list --wait" has
    /// healed the cache. A file is one cache's: FILE.lock beside it says so.
    #[arg(long, value_name = "FILE")]
    snapshot: Option<PathBuf>,
}

impl Cache {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        end_with_a_panic();
        // Before any thread is there: threads inherit it.
        let signals = Signals::block();
        let settings = Settings {
            listen: self.listen,
            memory_bytes: self.memory,
            item_max_bytes: self.item_max,
            connections_max: self.connections,
            threads: self.threads,
            evict: !self.no_evict,
            snapshot: self.snapshot,
            // What it held may be old by now: its misses do not count before it is healed.
            not_kept: vec![MARKER_KEY.to_vec()],
        };
        let server = Server::start(settings).map_err(with_option)?;
        for address in server.addresses() {
            complain!("the cache listens on {address}");
        }
        notify("READY=1");
        signals.wait();
        notify("STOPPING=1");
        server.stop().context("the cache has stopped")?;
        Ok(Exit::Done)
    }
}

/// Says which option is meant.
fn with_option(error: StartError) -> anyhow::Error {
    let option = match &error {
        StartError::MemoryTooSmall { .. } => "--memory (-m)",
        StartError::ItemMax { .. } => "--item-max (-I)",
        StartError::Threads { .. } => "--threads (-t)",
        StartError::NoConnections | StartError::OpenFiles { .. } => "--connections (-c)",
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(option)
}

/// A thread that has died would leave its connections without answers: a cache that hangs. One that is gone is
/// noticed at once, started again by systemd, and healed by the nodes.
fn end_with_a_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    match (text.parse(), bare.parse::<IpAddr>()) {
        (Ok(address), _) => Ok(address),
        (_, Ok(address)) => Ok(SocketAddr::new(address, DEFAULT_PORT)),
        _ => Err("not an address like 127.0.0.1, 127.0.0.1:11211 or [::1]:11211"),
    }
}

fn memory(text: &str) -> Result<usize, &'static str> {
    size(text, 1 << 20)
}

fn item_max(text: &str) -> Result<usize, &'static str> {
    size(text, 1)
}

/// A number of bytes. One without a letter counts in `unit`.
fn size(text: &str, unit: usize) -> Result<usize, &'static str> {
    let (digits, unit) = match text.to_ascii_lowercase() {
        text if text.ends_with('k') => (text.trim_end_matches('k').to_owned(), 1 << 10),
        text if text.ends_with('m') => (text.trim_end_matches('m').to_owned(), 1 << 20),
        text if text.ends_with('g') => (text.trim_end_matches('g').to_owned(), 1 << 30),
        text => (text, unit),
    };
    let number = digits.parse().ok().and_then(|number: usize| number.checked_mul(unit));
    number.ok_or("not a number, with k, m or g behind it or not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_memcacheds_units_unless_they_say_others() {
        assert_eq!(memory("64"), Ok(64 << 20));
        assert_eq!(memory("2g"), Ok(2 << 30));
        assert_eq!(item_max("1048576"), Ok(1 << 20));
        assert_eq!(item_max("512K"), Ok(512 << 10));
        for bad in ["", "m", "-1", "1.5m", "much", "99999999999999999999", "18446744073709551615g"]
        {
            assert!(memory(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_port_may_be_left_out() {
        let said = |text| address(text).map(|address| address.to_string());
        assert_eq!(said("127.0.0.1"), Ok("127.0.0.1:11211".to_owned()));
        assert_eq!(said("[::1]"), Ok("[::1]:11211".to_owned()));
        assert_eq!(said("::1"), Ok("[::1]:11211".to_owned()));
        assert_eq!(said("0.0.0.0:21"), Ok("0.0.0.0:21".to_owned()));
        assert!(said("localhost").is_err());
    }
}
