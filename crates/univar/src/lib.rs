//! Universal variables over a set of cache servers.
//!
//! `docs/consistency.md` is the contract. [`Name`]s are checked once, [`Op`]s go in and
//! [`Outcome`]s come out. The pure parts are [`epoch`] (when a miss counts), the ring (where a
//! name is placed) and the exchange (operations to bytes and back); sockets are blocking, with
//! a deadline, because dialplan threads block anyway and nothing is faster there.
//!
//! Everything but the maintenance may run on threads that are not ours, inside Asterisk: no
//! `thread_local` with a destructor may be touched, for it would keep the module mapped.

mod config;
mod connection;
mod dump;
pub mod epoch;
mod exchange;
mod lane;
mod maintain;
mod name;
mod op;
mod probe;
mod ring;
mod server;
mod status;
mod store;
mod talk;

pub use config::{
    Address, AddressError, Config, ConfigError, DEADLINE_MAX, DEADLINE_MIN, DEFAULT_PORT,
    OWNER_MAX_BYTES, SERVERS_MAX, Secret, SectionConfig,
};
pub use name::{NAME_MAX_BYTES, Name, NameError, RESERVED_PREFIX};
pub use op::{ENVELOPE_MAGIC, Invalid, Op, Outcome, VALUE_MAX_BYTES};
pub use ring::Ring;
pub use status::{Event, EventKind, ServerState, ServerStatus};
pub use store::{Names, Store, Wake};
