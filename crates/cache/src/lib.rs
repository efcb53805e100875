//! An in-memory cache that speaks memcached's protocols: the classic text commands and the meta
//! commands.
//!
//! [`Server::start`] listens and answers with threads of its own until [`Server::stop`]; there is
//! no global state, and no signal is handled here. What differs from memcached, the change feed
//! and the snapshot are described in `docs/cache.md`.
//!
//! `engine` keeps the items and knows no protocol, no socket and no clock; `protocol` turns bytes
//! into answers and knows no socket; `net` moves the bytes.

mod clock;
mod counters;
mod engine;
mod feed;
mod net;
mod protocol;
mod server;
mod settings;
mod snapshot;
mod stats;
mod system;

pub use server::{Server, StopError};
pub use settings::{Settings, StartError};
pub use snapshot::SnapshotError;

/// What `version` answers. Whoever looks for the change feed looks for `-tandem` in it; whoever
/// compares numbers finds the memcached whose commands these are.
pub const VERSION: &str = concat!("1.6.18-tandem", env!("CARGO_PKG_VERSION"));
