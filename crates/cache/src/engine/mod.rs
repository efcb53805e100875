//! The items: where they are, how long they live, and which one makes room for another.
//!
//! [`Cache`] is the whole, in shards that are locked one by one; [`Held`] is one locked shard,
//! looking at one key. Time is an argument. What a command means is `protocol`'s business.

mod cache;
mod delta;
mod index;
mod links;
mod node;
mod put;
mod shard;
mod wheel;

pub(crate) use cache::{Cache, Content, Held, KeptItem, Limits, Place};
pub(crate) use delta::{Changed, Delta, is_space, parse_number};
pub(crate) use node::{Mark, Node, NodeId};
pub(crate) use put::{Mode, Outcome, Put};

/// What memcached 1.6.18 adds to an item's key and value, on a 64-bit machine: its header, the
/// CAS, a NUL behind the key and the value's line end. An item's size is judged by this, so that
/// what fits into memcached fits here.
pub(crate) const ITEM_OVERHEAD_BYTES: usize = 48 + 8 + 1 + 2;

/// And for client flags that are not 0.
pub(crate) const CLIENT_FLAGS_BYTES: usize = 4;

/// Less memory is refused.
pub(crate) const MEMORY_MIN_BYTES: usize = 1024 * 1024;
