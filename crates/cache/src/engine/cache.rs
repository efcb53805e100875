//! The whole cache: its shards, what they share, and one shard held to work on a key.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::node::{Mark, Node, NodeId, charge_bytes};
use super::shard::{Shard, ShardCounts, Why};
use super::{CLIENT_FLAGS_BYTES, ITEM_OVERHEAD_BYTES};
use crate::clock::{NEVER, Now};
use crate::feed::{Event, Feed};

/// Shards: enough that a few threads seldom want the same one.
const SHARDS: usize = 16;
/// The hash's upper bits choose the shard.
const SHARD_SHIFT: u32 = u64::BITS - SHARDS.ilog2();

/// How much may be kept.
#[derive(Debug)]
pub(crate) struct Limits {
    /// For all items together. It may be changed while the cache runs (`cache_memlimit`).
    pub(crate) memory_bytes: AtomicUsize,
    /// For one item, as memcached counts it.
    pub(crate) item_max_bytes: usize,
    /// Whether the least recently used items make room.
    pub(crate) evict: bool,
}

/// All items.
#[derive(Debug)]
pub(crate) struct Cache {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    pub(crate) limits: Limits,
    /// What all items take.
    used_bytes: AtomicUsize,
    last_cas: AtomicU64,
    /// The second of a flush to come; [`NEVER`] for none.
    flush_at: AtomicU32,
    pub(crate) feed: Feed,
}

/// Why there is no room for an item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoRoom {
    /// Nothing may be evicted.
    Full,
    /// This shard has nothing left to evict, but others may.
    Elsewhere,
}

/// What has been flushed and waits to be dropped, which takes its time.
#[derive(Debug)]
pub(crate) struct Content(#[expect(dead_code, reason = "it is kept to be dropped")] Vec<Shard>);

/// Sums over all shards.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    pub(crate) buckets: u64,
    pub(crate) counts: ShardCounts,
}

/// An item as a snapshot keeps it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct KeptItem<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) client_flags: u32,
    pub(crate) expires: u32,
    pub(crate) cas: u64,
    pub(crate) key_is_binary: bool,
}

impl Cache {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new())).collect(),
            hasher: RandomState::new(),
            limits,
            used_bytes: AtomicUsize::new(0),
            last_cas: AtomicU64::new(0),
            flush_at: AtomicU32::new(NEVER),
            feed: Feed::new(),
        }
    }

    /// Locks the shard of `key`.
    pub(crate) fn hold<'a>(&'a self, key: &'a [u8], now: Now) -> Held<'a> {
        let hash = self.hasher.hash_one(key);
        let number = (hash >> SHARD_SHIFT) as usize;
        let shard = lock(&self.shards[number]);
        Held { cache: self, shard, number, hash: hash as u32, key, now }
    }

    /// Whether memcached would take an item of this size.
    pub(crate) fn fits(&self, key_len: usize, client_flags: u32, value_len: usize) -> bool {
        let flags = if client_flags == 0 { 0 } else { CLIENT_FLAGS_BYTES };
        let overhead = ITEM_OVERHEAD_BYTES + flags + key_len;
        value_len.checked_add(overhead).is_some_and(|size| size <= self.limits.item_max_bytes)
    }

    /// A number that no item had before.
    pub(crate) fn next_cas(&self) -> u64 {
        self.last_cas.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    pub(crate) fn last_cas(&self) -> u64 {
        self.last_cas.load(Ordering::Relaxed)
    }

    /// Goes on from the numbers of a snapshot.
    pub(crate) fn raise_cas(&self, last: u64) {
        self.last_cas.fetch_max(last, Ordering::Relaxed);
    }

    /// Removes an item, if there is one.
    pub(crate) fn forget(&self, key: &[u8], now: Now) {
        let mut held = self.hold(key, now);
        if let Some(id) = held.find() {
            held.remove(id);
        }
    }

    /// Removes all items at one moment: no other command sees some of them gone and others not.
    /// The one to come is called off.
    pub(crate) fn flush(&self) -> Content {
        self.flush_at.store(NEVER, Ordering::Relaxed);
        // As memcached does, so that numbers are the same.
        self.next_cas();
        let mut shards: Vec<_> = self.shards.iter().map(lock).collect();
        let content = shards.iter_mut().map(|shard| shard.take_all()).collect::<Vec<_>>();
        let bytes = content.iter().map(Shard::bytes).sum();
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.feed.publish(&Event::Flush);
        Content(content)
    }

    /// Sets when all items are to be flushed; it replaces an earlier one.
    pub(crate) fn flush_at(&self, second: u32) {
        self.flush_at.store(second, Ordering::Relaxed);
    }

    /// Takes out what has ended by now. To be called every second.
    pub(crate) fn tick(&self, now: Now) -> Option<Content> {
        let flush_at = self.flush_at.load(Ordering::Relaxed);
        let flushed = (flush_at != NEVER && flush_at <= now.second).then(|| self.flush());
        for (number, shard) in self.shards.iter().enumerate() {
            let mut held = Held { cache: self, shard: lock(shard), number, hash: 0, key: b"", now };
            for id in held.shard.ended_by(now.second) {
                held.remove_because(id, Why::Expired);
            }
        }
        flushed
    }

    /// Evicts the least recently used item of the shards but `number`; says whether there was one.
    /// This is for items so large that a shard has only a few.
    pub(super) fn evict_elsewhere(&self, number: usize, now: Now) -> bool {
        let used_at = |number: usize| {
            let shard = lock(&self.shards[number]);
            shard.oldest_but(None).map(|id| (shard.node(id).used_at, number))
        };
        let others = (0..SHARDS).filter(|&other| other != number);
        let Some((_, number)) = others.filter_map(used_at).min() else { return false };
        let shard = lock(&self.shards[number]);
        let mut held = Held { cache: self, shard, number, hash: 0, key: b"", now };
        // If it has gone meanwhile, there is room as well.
        if let Some(oldest) = held.shard.oldest_but(None) {
            held.remove_because(oldest, Why::Evicted);
        }
        true
    }

    pub(crate) fn sizes(&self) -> Sizes {
        let mut sizes = Sizes::default();
        for shard in &self.shards {
            let shard = lock(shard);
            sizes.items += shard.items() as u64;
            sizes.bytes += shard.bytes() as u64;
            sizes.buckets += shard.buckets() as u64;
            let (sum, counts) = (&mut sizes.counts, shard.counts);
            sum.total_items += counts.total_items;
            sum.evictions += counts.evictions;
            sum.evicted_unfetched += counts.evicted_unfetched;
            sum.expired_unfetched += counts.expired_unfetched;
            sum.reclaimed += counts.reclaimed;
        }
        sizes
    }

    /// Forgets what the shards have counted (`stats reset`).
    pub(crate) fn reset_counts(&self) {
        for shard in &self.shards {
            lock(shard).counts = ShardCounts::default();
        }
    }

    /// Calls `visit` with some items that have not ended, in no order, from `place` on (begin with
    /// the default), and says where to go on. Items that move meanwhile may be missed or seen
    /// twice.
    pub(crate) fn visit_some(
        &self,
        place: Place,
        count: usize,
        now: Now,
        mut visit: impl FnMut(&Node),
    ) -> Option<Place> {
        let shard = lock(self.shards.get(place.shard)?);
        let (ids, next) = shard.some_items(place.node, count);
        for id in ids {
            let node = shard.node(id);
            if !has_ended(node, now) {
                visit(node);
            }
        }
        match next {
            Some(node) => Some(Place { node, ..place }),
            None if place.shard + 1 < SHARDS => Some(Place { shard: place.shard + 1, node: 0 }),
            None => None,
        }
    }

    /// Calls `visit` with all items that have not ended, the least recently used of each shard
    /// first.
    pub(crate) fn visit_by_use<E>(
        &self,
        now: Now,
        mut visit: impl FnMut(&KeptItem<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for shard in &self.shards {
            let shard = lock(shard);
            for node in shard.by_use().filter(|node| !has_ended(node, now)) {
                visit(&KeptItem {
                    key: node.key(),
                    value: node.value(),
                    client_flags: node.client_flags,
                    expires: node.expires(),
                    cas: node.cas,
                    key_is_binary: node.has(Mark::KeyIsBinary),
                })?;
            }
        }
        Ok(())
    }
}

/// Where a walk over all items is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Place {
    shard: usize,
    node: NodeId,
}

fn has_ended(node: &Node, now: Now) -> bool {
    node.expires() != NEVER && node.expires() <= now.second
}

/// A thread that panicked in a shard may have left it half changed: then nothing can be trusted.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().expect("no thread has panicked in a shard")
}

/// One locked shard, looking at one key.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    pub(super) cache: &'a Cache,
    pub(super) shard: MutexGuard<'a, Shard>,
    pub(super) number: usize,
    pub(super) hash: u32,
    pub(super) key: &'a [u8],
    pub(super) now: Now,
}

impl Held<'_> {
    /// The key's item, if it has not ended.
    pub(crate) fn find(&mut self) -> Option<NodeId> {
        let id = self.shard.find(self.hash, self.key)?;
        if has_ended(self.shard.node(id), self.now) {
            self.remove_because(id, Why::Expired);
            return None;
        }
        Some(id)
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        self.shard.node(id)
    }

    /// To change its marks and its CAS.
    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.shard.node_mut(id)
    }

    /// The item has been read.
    pub(crate) fn read(&mut self, id: NodeId) {
        self.shard.node_mut(id).mark(Mark::Fetched);
        self.shard.touch(id, self.now.second);
    }

    pub(crate) fn set_expiry(&mut self, id: NodeId, expires: u32) {
        self.shard.set_expiry(id, expires);
        if self.cache.feed.is_watched() {
            self.cache.feed.publish(&Event::Touch { node: self.shard.node(id), now: self.now });
        }
    }

    pub(crate) fn remove(&mut self, id: NodeId) {
        self.remove_because(id, Why::Deleted);
    }

    pub(super) fn remove_because(&mut self, id: NodeId, why: Why) {
        if self.cache.feed.is_watched() {
            let node = self.shard.node(id);
            self.cache.feed.publish(&match why {
                Why::Deleted => Event::Delete { node },
                Why::Expired => Event::Expire { node },
                Why::Evicted => Event::Evict { node },
            });
        }
        let bytes = self.shard.remove(id, why);
        self.cache.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Adds the key with an empty value. `None` if there is no room.
    pub(crate) fn insert_empty(
        &mut self,
        expires: u32,
        cas: Option<u64>,
        key_is_binary: bool,
    ) -> Option<NodeId> {
        let id = self.insert(b"").ok()?;
        if key_is_binary {
            self.node_mut(id).mark(Mark::KeyIsBinary);
        }
        self.stored(id, expires, cas);
        Some(id)
    }

    /// Leaves an item with an empty value, and its CAS if no other is given.
    pub(crate) fn clear(&mut self, id: NodeId, client_flags: u32, expires: u32, cas: Option<u64>) {
        let (key_len, old_cas) = (self.key.len(), self.node(id).cas);
        // It gets smaller: there is always room.
        let _ = self.rewrite(id, key_len, |node| node.set_value(b""));
        self.node_mut(id).client_flags = client_flags;
        self.stored(id, expires, Some(cas.unwrap_or(old_cas)));
    }

    /// Adds the key, which is not there, with a value.
    pub(super) fn insert(&mut self, value: &[u8]) -> Result<NodeId, NoRoom> {
        let charge = charge_bytes(self.key.len() + value.len());
        self.make_room(charge.cast_signed(), None)?;
        let id =
            self.shard.insert(self.hash, self.key, value, self.now.second).ok_or(NoRoom::Full)?;
        self.cache.used_bytes.fetch_add(charge, Ordering::Relaxed);
        Ok(id)
    }

    /// Changes an item's payload, which will have `payload_len` bytes then.
    pub(super) fn rewrite(
        &mut self,
        id: NodeId,
        payload_len: usize,
        change: impl FnOnce(&mut Node),
    ) -> Result<(), NoRoom> {
        let (old, new) = (self.shard.node(id).charge_bytes(), charge_bytes(payload_len));
        if old != new {
            self.make_room(new.cast_signed() - old.cast_signed(), Some(id))?;
        }
        self.shard.rewrite(id, self.now.second, change);
        if new > old {
            self.cache.used_bytes.fetch_add(new - old, Ordering::Relaxed);
        } else if new < old {
            self.cache.used_bytes.fetch_sub(old - new, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The end of every change of a value: its CAS and expiry, and the feed learns of it.
    pub(super) fn stored(&mut self, id: NodeId, expires: u32, cas: Option<u64>) -> u64 {
        let cas = cas.unwrap_or_else(|| self.cache.next_cas());
        self.shard.node_mut(id).cas = cas;
        self.shard.set_expiry(id, expires);
        self.tell_value(id);
        cas
    }

    pub(super) fn tell_value(&self, id: NodeId) {
        if self.cache.feed.is_watched() {
            self.cache.feed.publish(&Event::Set { node: self.shard.node(id), now: self.now });
        }
    }

    /// Makes room for `more` bytes, without touching `keep`. Threads that do so at once may
    /// overshoot by an item each.
    fn make_room(&mut self, more: isize, keep: Option<NodeId>) -> Result<(), NoRoom> {
        let limit = self.cache.limits.memory_bytes.load(Ordering::Relaxed);
        loop {
            let used = self.cache.used_bytes.load(Ordering::Relaxed);
            if more <= 0 || used.saturating_add_signed(more) <= limit {
                return Ok(());
            }
            if !self.cache.limits.evict {
                return Err(NoRoom::Full);
            }
            let oldest = self.shard.oldest_but(keep).ok_or(NoRoom::Elsewhere)?;
            self.remove_because(oldest, Why::Evicted);
        }
    }
}
