//! One shard: its items with their index, order of use and expiry, always changed together.

use super::index::Index;
use super::links::Order;
use super::node::{Mark, NIL, Node, NodeId, Nodes};
use super::wheel::Wheel;

/// Why an item goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Why {
    Deleted,
    Expired,
    Evicted,
}

/// What a shard has counted, as `stats` names it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ShardCounts {
    pub(crate) total_items: u64,
    pub(crate) evictions: u64,
    pub(crate) evicted_unfetched: u64,
    pub(crate) expired_unfetched: u64,
    pub(crate) reclaimed: u64,
}

/// A part of the items.
#[derive(Debug)]
pub(crate) struct Shard {
    nodes: Nodes,
    index: Index,
    order: Order,
    wheel: Wheel,
    bytes: usize,
    pub(super) counts: ShardCounts,
}

impl Shard {
    pub(super) fn new() -> Self {
        Self {
            nodes: Nodes::new(),
            index: Index::new(),
            order: Order::new(),
            wheel: Wheel::new(),
            bytes: 0,
            counts: ShardCounts::default(),
        }
    }

    pub(super) fn items(&self) -> usize {
        self.index.items()
    }

    pub(super) fn buckets(&self) -> usize {
        self.index.buckets()
    }

    /// What all items take of the memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn find(&self, hash: u32, key: &[u8]) -> Option<NodeId> {
        self.index.find(&self.nodes, hash, key)
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id]
    }

    /// To change what takes no memory: marks, CAS, bytes in place.
    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id]
    }

    /// Adds an item that is not there; it is the most recently used. `None` if there is no number
    /// left for it.
    pub(super) fn insert(
        &mut self,
        hash: u32,
        key: &[u8],
        value: &[u8],
        at: u32,
    ) -> Option<NodeId> {
        let id = self.nodes.take()?;
        let node = &mut self.nodes[id];
        node.fill(key, [value, b""]);
        node.hash = hash;
        node.used_at = at;
        self.bytes += node.charge_bytes();
        self.index.add(&mut self.nodes, id);
        self.order.add_newest(&mut self.nodes, id);
        self.counts.total_items += 1;
        Some(id)
    }

    /// Changes an item's value by `change`; the item counts as stored anew.
    pub(super) fn rewrite(&mut self, id: NodeId, at: u32, change: impl FnOnce(&mut Node)) {
        let node = &mut self.nodes[id];
        self.bytes -= node.charge_bytes();
        change(node);
        self.bytes += node.charge_bytes();
        node.forget_marks();
        self.counts.total_items += 1;
        self.touch(id, at);
    }

    /// Makes it the most recently used.
    pub(super) fn touch(&mut self, id: NodeId, at: u32) {
        self.nodes[id].used_at = at;
        self.order.make_newest(&mut self.nodes, id);
    }

    pub(super) fn set_expiry(&mut self, id: NodeId, expires: u32) {
        if self.nodes[id].expires() != expires {
            self.wheel.set(&mut self.nodes, id, expires);
        }
    }

    /// Removes an item, and says what it took of the memory.
    pub(super) fn remove(&mut self, id: NodeId, why: Why) -> usize {
        let fetched = self.nodes[id].has(Mark::Fetched);
        match why {
            Why::Deleted => {}
            Why::Expired => {
                self.counts.reclaimed += 1;
                self.counts.expired_unfetched += u64::from(!fetched);
            }
            Why::Evicted => {
                self.counts.evictions += 1;
                self.counts.evicted_unfetched += u64::from(!fetched);
            }
        }
        let charge = self.nodes[id].charge_bytes();
        self.bytes -= charge;
        self.index.remove(&mut self.nodes, id);
        self.order.remove(&mut self.nodes, id);
        self.wheel.remove(&mut self.nodes, id);
        self.nodes.give_back(id);
        charge
    }

    /// The least recently used item but `keep`.
    pub(super) fn oldest_but(&self, keep: Option<NodeId>) -> Option<NodeId> {
        self.order.oldest_but(&self.nodes, keep.unwrap_or(NIL))
    }

    /// Items that have ended by `second`, and were not told of before.
    pub(super) fn ended_by(&mut self, second: u32) -> Vec<NodeId> {
        let mut ended = Vec::new();
        if second > self.wheel.swept() {
            self.wheel.sweep(&self.nodes, second, &mut ended);
        }
        ended
    }

    /// Takes all items out, and gives them to be dropped where nobody waits for it.
    pub(super) fn take_all(&mut self) -> Self {
        let fresh = Self { counts: self.counts, ..Self::new() };
        std::mem::replace(self, fresh)
    }

    /// Items from the node `from` on, at most `count` of them, and where to go on.
    pub(super) fn some_items(&self, from: NodeId, count: usize) -> (Vec<NodeId>, Option<NodeId>) {
        let mut ids = Vec::with_capacity(count);
        for id in from..self.nodes.end() {
            if ids.len() == count {
                return (ids, Some(id));
            }
            if self.nodes[id].is_item() {
                ids.push(id);
            }
        }
        (ids, None)
    }

    /// All items, the least recently used first.
    pub(super) fn by_use(&self) -> impl Iterator<Item = &Node> {
        self.order.iter(&self.nodes).map(|id| &self.nodes[id])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(keys: &[&[u8]]) -> Shard {
        let mut shard = Shard::new();
        for (hash, key) in keys.iter().enumerate() {
            shard.insert(hash as u32 % 3, key, b"value", 5).unwrap();
        }
        shard
    }

    #[test]
    fn the_least_recently_used_item_is_the_one_that_was_touched_first() {
        let mut shard = with(&[b"a", b"b", b"c"]);
        let [a, b] = [(0, b"a"), (1, b"b")].map(|(hash, key)| shard.find(hash, key).unwrap());
        assert_eq!(shard.oldest_but(None), Some(a));
        assert_eq!(shard.oldest_but(Some(a)), Some(b));
        shard.touch(a, 6);
        assert_eq!(shard.oldest_but(None), Some(b));
        let order: Vec<_> = shard.by_use().map(|node| node.key()[0]).collect();
        assert_eq!(order, b"bca");
    }

    #[test]
    fn items_end_in_their_second_however_many_turns_of_the_wheel_away() {
        let mut shard = with(&[b"soon", b"later", b"never", b"past"]);
        let ids: Vec<_> = (0..4).collect();
        shard.set_expiry(ids[0], 10);
        shard.set_expiry(ids[1], 10 + 3 * 4096);
        shard.set_expiry(ids[3], 1);
        assert_eq!(shard.ended_by(9), [ids[3]], "what has passed is told in the next sweep");
        shard.remove(ids[3], Why::Expired);
        assert_eq!(shard.ended_by(10), [ids[0]]);
        shard.remove(ids[0], Why::Expired);
        assert_eq!(shard.ended_by(9_000), []);
        assert_eq!(shard.ended_by(10 + 3 * 4096 - 1), []);
        assert_eq!(shard.ended_by(10 + 3 * 4096), [ids[1]]);
    }

    #[test]
    fn removing_items_from_the_middle_of_every_list_leaves_the_others() {
        let keys: Vec<Vec<u8>> = (0..2_000).map(|n| format!("key{n}").into_bytes()).collect();
        let mut shard = with(&keys.iter().map(Vec::as_slice).collect::<Vec<_>>());
        for id in 0..2_000 {
            shard.set_expiry(id, 20);
        }
        for id in (0..2_000).step_by(2) {
            shard.remove(id, Why::Deleted);
        }
        assert_eq!(shard.items(), 1_000);
        for (n, key) in keys.iter().enumerate() {
            assert_eq!(shard.find(n as u32 % 3, key).is_some(), n % 2 == 1, "key{n}");
        }
        assert_eq!(shard.ended_by(20).len(), 1_000);
        assert_eq!(shard.by_use().count(), 1_000);
    }

    #[test]
    fn what_is_counted_as_used_is_given_back() {
        let mut shard = with(&[b"a", b"b"]);
        let before = shard.bytes();
        shard.rewrite(0, 6, |node| node.set_value(&[b'x'; 1000]));
        assert!(shard.bytes() > before + 900);
        shard.remove(0, Why::Deleted);
        shard.remove(1, Why::Deleted);
        assert_eq!(shard.bytes(), 0);
    }
}
