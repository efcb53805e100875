//! Universal variables over a set of cache servers.
//!
//! `docs/consistency.md` is the contract. [`Name`]s are checked once, [`Op`]s go in and
//! [`Outcome`]s come out. The pure parts are [`epoch`] (when a miss counts), the ring (where a
//! name is placed), the envelope and its clock, the batch (commands to bytes and back) and the
//! task (one operation, from what its copies answer to its outcome). Sockets are blocking, with a
//! deadline, because dialplan threads block anyway and nothing is faster there: `lane` carries one
//! server's share, `rounds` runs tasks over the lanes, `store` is the way in. `maintain` and `heal`
//! are for threads of ours.
//!
//! Everything but the maintenance may run on threads that are not ours, inside Asterisk: no
//! `thread_local` with a destructor may be touched, for it would keep the module mapped.

mod batch;
mod clock;
mod config;
mod connection;
mod count;
mod dump;
mod envelope;
pub mod epoch;
mod heal;
mod lane;
mod maintain;
#[cfg(test)]
mod model;
mod name;
mod op;
mod probe;
mod ring;
mod rounds;
mod server;
mod status;
mod store;
mod switch_off;
mod talk;
mod task;

pub use config::{
    Address, AddressError, Config, ConfigError, DEADLINE_MAX, DEADLINE_MIN, DEFAULT_PORT,
    SERVERS_MAX, Secret, SectionConfig,
};
pub use envelope::{ENVELOPE_MAGIC, OWNER_MAX_BYTES};
pub use heal::{Comparison, step_back};
pub use name::{NAME_MAX_BYTES, Name, NameError, RESERVED_PREFIX};
pub use op::{Invalid, Op, Outcome, VALUE_MAX_BYTES};
pub use ring::Ring;
pub use status::{Event, EventKind, ServerState, ServerStatus};
pub use store::{Names, Store, Wake};
