//! What a cache is started with, and why it does not start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::SnapshotError;
use crate::engine::{ITEM_OVERHEAD_BYTES, MEMORY_MIN_BYTES};

/// What a cache is started with. [`Settings::default`] has memcached's values.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen, for TCP. Port 0 takes a free one: [`crate::Server::addresses`] tells.
    pub listen: Vec<SocketAddr>,
    /// What all items together may take, the cache's own bookkeeping for them included
    /// (memcached's `-m`, but in bytes).
    pub memory_bytes: usize,
    /// What one item may take, counted as memcached counts it (`-I`).
    pub item_max_bytes: usize,
    /// Connections at once (`-c`); those beyond it are told so and closed.
    pub connections_max: usize,
    /// Threads that answer (`-t`).
    pub threads: usize,
    /// Whether the least recently used items make room when the memory is full. If not, what does
    /// not fit is refused (`-M`).
    pub evict: bool,
    /// Where the content is kept from a clean stop to the next start; nothing is kept without.
    pub snapshot: Option<PathBuf>,
    /// Keys of items that are not taken over from a snapshot: those whose word for the content is
    /// not good for what it was some time ago.
    pub not_kept: Vec<Vec<u8>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 11211))],
            memory_bytes: 64 * 1024 * 1024,
            item_max_bytes: 1024 * 1024,
            connections_max: 1024,
            threads: 4,
            evict: true,
            snapshot: None,
            not_kept: Vec::new(),
        }
    }
}

/// Most threads that make sense.
const THREADS_MAX: usize = 256;

impl Settings {
    /// Checks what can be checked without touching anything.
    pub(crate) fn check(&self) -> Result<(), StartError> {
        if self.listen.is_empty() {
            return Err(StartError::NoAddress);
        }
        if !(1..=THREADS_MAX).contains(&self.threads) {
            return Err(StartError::Threads { given: self.threads });
        }
        if self.connections_max == 0 {
            return Err(StartError::NoConnections);
        }
        if self.memory_bytes < MEMORY_MIN_BYTES {
            return Err(StartError::MemoryTooSmall { given: self.memory_bytes });
        }
        if self.item_max_bytes <= ITEM_OVERHEAD_BYTES || self.item_max_bytes > self.memory_bytes / 2
        {
            return Err(StartError::ItemMax { given: self.item_max_bytes });
        }
        Ok(())
    }
}

/// Why a cache does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The settings name no address.
    #[error("no address to listen on is given")]
    NoAddress,
    /// The settings ask for no thread, or for too many.
    #[error("{given} threads: it must be 1 to {THREADS_MAX}")]
    Threads {
        /// What they say.
        given: usize,
    },
    /// The settings allow no connection.
    #[error("no connection is allowed")]
    NoConnections,
    /// The settings give less memory than the cache needs to work at all.
    #[error("{given} bytes of memory: it must be {MEMORY_MIN_BYTES} or more")]
    MemoryTooSmall {
        /// What they say.
        given: usize,
    },
    /// The settings' limit for one item leaves no room for a value, or fills the memory.
    #[error(
        "items of {given} bytes: it must be more than {ITEM_OVERHEAD_BYTES}, and at most half of \
         the memory"
    )]
    ItemMax {
        /// What they say.
        given: usize,
    },
    /// The system gives this process too few open files for the connections that are allowed.
    #[error(
        "{wanted} open files are needed for that many connections, and {allowed} are allowed: \
         raise the limit (LimitNOFILE= in a systemd unit, ulimit -n), or allow fewer connections"
    )]
    OpenFiles {
        /// How many.
        wanted: u64,
        /// The limit.
        allowed: u64,
    },
    /// The system does not let us listen.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The system refused something else that is needed.
    #[error("the system refused to {what}")]
    System {
        /// What.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The snapshot cannot be used.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memcacheds_values_are_good() {
        assert!(Settings::default().check().is_ok());
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_opened() {
        let with = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check()
        };
        assert!(matches!(with(|s| s.listen.clear()), Err(StartError::NoAddress)));
        assert!(matches!(with(|s| s.threads = 0), Err(StartError::Threads { .. })));
        assert!(matches!(with(|s| s.connections_max = 0), Err(StartError::NoConnections)));
        assert!(matches!(with(|s| s.memory_bytes = 1), Err(StartError::MemoryTooSmall { .. })));
        assert!(matches!(with(|s| s.item_max_bytes = 20), Err(StartError::ItemMax { .. })));
        assert!(matches!(
            with(|s| s.item_max_bytes = s.memory_bytes),
            Err(StartError::ItemMax { .. })
        ));
    }
}
