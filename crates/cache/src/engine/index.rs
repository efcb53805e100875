//! From a key to its node: buckets with chains through the nodes.

use super::node::{NIL, NodeId, Nodes};

/// Buckets of an empty shard.
const BUCKETS_MIN: usize = 256;

/// The buckets of one shard; as many as items, up to twice as many.
#[derive(Debug)]
pub(super) struct Index {
    buckets: Box<[NodeId]>,
    items: usize,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { buckets: vec![NIL; BUCKETS_MIN].into_boxed_slice(), items: 0 }
    }

    pub(super) fn items(&self) -> usize {
        self.items
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    fn bucket(&self, hash: u32) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    pub(super) fn find(&self, nodes: &Nodes, hash: u32, key: &[u8]) -> Option<NodeId> {
        let mut id = self.buckets[self.bucket(hash)];
        while id != NIL {
            let node = &nodes[id];
            if node.hash == hash && node.key() == key {
                return Some(id);
            }
            id = node.chain;
        }
        None
    }

    /// Adds a node that has its hash.
    pub(super) fn add(&mut self, nodes: &mut Nodes, id: NodeId) {
        if self.items >= self.buckets.len() {
            self.grow(nodes);
        }
        let bucket = self.bucket(nodes[id].hash);
        nodes[id].chain = self.buckets[bucket];
        self.buckets[bucket] = id;
        self.items += 1;
    }

    pub(super) fn remove(&mut self, nodes: &mut Nodes, id: NodeId) {
        let bucket = self.bucket(nodes[id].hash);
        let next = nodes[id].chain;
        if self.buckets[bucket] == id {
            self.buckets[bucket] = next;
        } else {
            let mut before = self.buckets[bucket];
            while nodes[before].chain != id {
                before = nodes[before].chain;
            }
            nodes[before].chain = next;
        }
        self.items -= 1;
    }

    /// Twice the buckets. A shard is a sixteenth of the cache, and hashes are at hand, so this
    /// takes about a millisecond for a million items in all.
    fn grow(&mut self, nodes: &mut Nodes) {
        let old = std::mem::take(&mut self.buckets);
        self.buckets = vec![NIL; old.len() * 2].into_boxed_slice();
        for mut id in old {
            while id != NIL {
                let next = nodes[id].chain;
                let bucket = self.bucket(nodes[id].hash);
                nodes[id].chain = self.buckets[bucket];
                self.buckets[bucket] = id;
                id = next;
            }
        }
    }
}
