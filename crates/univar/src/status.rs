//! What is told about cache servers: events for the I/O thread, and a table for people.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::Name;

/// Something happened to a cache server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// Its `host:port`, as in [`ServerStatus::name`].
    pub server: Arc<str>,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a cache server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EventKind {
    /// It answers, and did not before (or was never asked): publish again what is placed there,
    /// for renewals may have been missed.
    Up,
    /// It does not answer.
    Down,
    /// It holds an epoch that this node did not know: publish again all that is placed there.
    /// Said at the first contact too.
    Lost,
    /// Its misses count again.
    Healed,
    /// All names that it should have were compared with the other servers' copies, and written
    /// again where those were newer.
    Compared {
        /// How many.
        names: usize,
    },
    /// Comparing could not be completed, and will be tried again.
    Incomplete {
        /// How many names could not be compared; 0 if not even the names could be listed.
        names: usize,
    },
    /// It threw values away for want of memory.
    Evicted {
        /// How many since the last look.
        items: u64,
    },
    /// Records without the proof that `secret` asks for were refused.
    Refused {
        /// How many since that was last said.
        records: u64,
    },
}

/// How a cache server is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ServerState {
    /// Its host name has not been resolved.
    Unresolved,
    /// It did not answer, or was not asked yet.
    Down,
    /// It answers, and has no epoch marker.
    Lost,
    /// It is being healed: hits count, misses do not.
    Healing,
    /// It answers too late for those who wait.
    Slow,
    /// All is well.
    Ready,
}

impl fmt::Display for ServerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unresolved => "unresolved",
            Self::Down => "down",
            Self::Lost => "lost",
            Self::Healing => "healing",
            Self::Slow => "slow",
            Self::Ready => "ready",
        })
    }
}

/// A row of the table of cache servers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerStatus {
    /// `host:port`, as written in the configuration, the port always there.
    pub name: Arc<str>,
    /// The address in use, once resolved.
    pub address: Option<std::net::SocketAddr>,
    /// How it is.
    pub state: ServerState,
    /// For how long it has been so.
    pub since: Duration,
    /// Open connections.
    pub connections: usize,
    /// Reads asked.
    pub gets: u64,
    /// Writes and deletes asked.
    pub sets: u64,
    /// Connections lost or refused, and replies that were none.
    pub errors: u64,
    /// Records refused for want of a proof (`secret`).
    pub refused: u64,
    /// The name of the last one.
    pub last_refused: Option<Name>,
    /// It has missed a write of ours, and nobody heals it yet.
    pub owed: bool,
    /// The last of these errors.
    pub last_error: Option<String>,
    /// That was that its memory is full.
    pub out_of_memory: bool,
}

impl ServerStatus {
    /// Why it may not be able to tell, and what helps; `None` if it is as it should be.
    #[must_use]
    pub fn doubt(&self) -> Option<String> {
        let name = &self.name;
        let why = || self.last_error.as_deref().unwrap_or("it does not answer");
        match self.state {
            ServerState::Ready => None,
            ServerState::Slow => Some(format!("cache server {name} is slow: {}", why())),
            ServerState::Unresolved if self.last_error.is_none() => {
                Some(format!("cache server {name} cannot be reached: its host name has no address"))
            }
            ServerState::Unresolved | ServerState::Down => {
                Some(format!("cache server {name} cannot be reached: {}", why()))
            }
            ServerState::Lost | ServerState::Healing if self.out_of_memory => Some(format!(
                "cache server {name} is out of memory, and so cannot be healed: what is not there may only be missing \
                 for now. {MORE_MEMORY}; then a server with app_universal heals it, or tandem --wait"
            )),
            ServerState::Lost | ServerState::Healing => Some(format!(
                "cache server {name} is new or has lost its content, and is not healed yet: what is not there may \
                 only be missing for now. A server with app_universal heals it in 4 seconds; so does tandem --wait"
            )),
        }
    }

    /// That it has refused to store something for want of memory, what that means, and what helps.
    #[must_use]
    pub fn lack_of_memory(&self) -> Option<String> {
        let name = &self.name;
        self.out_of_memory.then(|| {
            format!(
                "cache server {name} is out of memory, and has refused what was to be written; a value that it was to \
                 replace may be gone there (memcached deletes it then, tandem cache keeps it). {MORE_MEMORY}"
            )
        })
    }
}

const MORE_MEMORY: &str = "Give it more memory (-m), or delete something";
