//! What is told about cache servers: events for the I/O thread, and a table for people.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    /// The last of these errors.
    pub last_error: Option<String>,
}
