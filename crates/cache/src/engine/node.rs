//! One item, and the table that items live in.
//!
//! An item is a [`Node`], exactly one line of the processor's cache, and one block of memory with
//! its key and value. Nodes refer to each other by number; they are kept in chunks, so that a
//! table that grows moves nothing.

use std::ops::{Index, IndexMut};

/// A node's number within its shard.
pub(crate) type NodeId = u32;

/// No node. Half of all numbers are left to [`super::wheel`] for its own use.
pub(crate) const NIL: NodeId = u32::MAX;

/// Nodes in a chunk.
const CHUNK: usize = 512;

/// Something to remember of an item, as one bit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(crate) enum Mark {
    /// It has been read since it was stored.
    Fetched = 1,
    /// Its value is out of date, and somebody may fetch a new one (`md I`).
    Stale = 2,
    /// Somebody has been told to fetch a new one.
    TokenSent = 4,
    /// Its key came in base64, and may have any byte in it.
    KeyIsBinary = 8,
}

/// One item.
#[derive(Debug)]
pub(crate) struct Node {
    /// Key, then value. Empty in a node that is free.
    payload: Box<[u8]>,
    pub(crate) cas: u64,
    /// Half of the key's hash; the other half chose the shard.
    pub(super) hash: u32,
    /// The next node with the same bucket, or the next free node.
    pub(super) chain: NodeId,
    /// Neighbours in the order of use.
    pub(super) newer: NodeId,
    pub(super) older: NodeId,
    /// Neighbours in the slot of the wheel, if it expires.
    pub(super) wheel_next: NodeId,
    pub(super) wheel_before: NodeId,
    /// The second at which it is gone; [`crate::clock::NEVER`] for none.
    pub(super) expires: u32,
    /// The second of the last use.
    pub(crate) used_at: u32,
    pub(crate) client_flags: u32,
    key_len: u8,
    marks: u8,
}

/// What an allocation of the system's takes: its own header of a word, and room up to the next
/// multiple of 16, at least 32. Known of glibc; elsewhere an estimate.
fn allocation_bytes(len: usize) -> usize {
    if len == 0 { 0 } else { (len + 8).next_multiple_of(16).max(32) }
}

/// What an item of this payload takes of the memory, its node and its share of the index included.
pub(super) fn charge_bytes(payload_len: usize) -> usize {
    const INDEX_SHARE_BYTES: usize = 8;
    size_of::<Node>() + INDEX_SHARE_BYTES + allocation_bytes(payload_len)
}

impl Node {
    fn free(next: NodeId) -> Self {
        Self {
            payload: Box::default(),
            cas: 0,
            hash: 0,
            chain: next,
            newer: NIL,
            older: NIL,
            wheel_next: NIL,
            wheel_before: NIL,
            expires: 0,
            used_at: 0,
            client_flags: 0,
            key_len: 0,
            marks: 0,
        }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.payload[..usize::from(self.key_len)]
    }

    pub(crate) fn value(&self) -> &[u8] {
        &self.payload[usize::from(self.key_len)..]
    }

    pub(crate) fn value_len(&self) -> usize {
        self.payload.len() - usize::from(self.key_len)
    }

    pub(crate) fn expires(&self) -> u32 {
        self.expires
    }

    /// Whether the node is an item and not free: keys are never empty.
    pub(super) fn is_item(&self) -> bool {
        self.key_len != 0
    }

    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.marks & mark as u8 != 0
    }

    pub(crate) fn mark(&mut self, mark: Mark) {
        self.marks |= mark as u8;
    }

    pub(crate) fn unmark(&mut self, mark: Mark) {
        self.marks &= !(mark as u8);
    }

    /// Forgets all marks but how the key is written.
    pub(super) fn forget_marks(&mut self) {
        self.marks &= Mark::KeyIsBinary as u8;
    }

    /// What it takes of the memory.
    pub(crate) fn charge_bytes(&self) -> usize {
        charge_bytes(self.payload.len())
    }

    /// Gives a free node its key and value.
    pub(super) fn fill(&mut self, key: &[u8], pieces: [&[u8]; 2]) {
        self.payload = joined(key, pieces);
        self.key_len = u8::try_from(key.len()).expect("a key is at most 250 bytes");
    }

    /// Replaces the value; where it has the same length, in place.
    pub(super) fn set_value(&mut self, value: &[u8]) {
        let key_len = usize::from(self.key_len);
        if self.payload.len() == key_len + value.len() {
            self.payload[key_len..].copy_from_slice(value);
        } else {
            self.payload = joined(self.key(), [value, b""]);
        }
    }

    /// Adds to the value at its end, or at its beginning.
    pub(super) fn join_value(&mut self, added: &[u8], at_end: bool) {
        let pieces = if at_end { [self.value(), added] } else { [added, self.value()] };
        self.payload = joined(self.key(), pieces);
    }

    /// The value's bytes, to change them in place.
    pub(super) fn value_mut(&mut self) -> &mut [u8] {
        &mut self.payload[usize::from(self.key_len)..]
    }
}

fn joined(key: &[u8], pieces: [&[u8]; 2]) -> Box<[u8]> {
    // Exactly as long as needed: a box of it moves nothing.
    let mut payload = Vec::with_capacity(key.len() + pieces[0].len() + pieces[1].len());
    payload.extend_from_slice(key);
    payload.extend_from_slice(pieces[0]);
    payload.extend_from_slice(pieces[1]);
    payload.into_boxed_slice()
}

/// All nodes of a shard.
#[derive(Debug)]
pub(super) struct Nodes {
    chunks: Vec<Box<[Node]>>,
    first_free: NodeId,
}

impl Nodes {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), first_free: NIL }
    }

    /// Numbers that are in use or free; all below are valid.
    pub(super) fn end(&self) -> NodeId {
        NodeId::try_from(self.chunks.len() * CHUNK).unwrap_or(NIL)
    }

    /// Takes a free node, or `None` if there are as many as can be numbered.
    pub(super) fn take(&mut self) -> Option<NodeId> {
        if self.first_free == NIL {
            self.grow()?;
        }
        let id = self.first_free;
        self.first_free = self[id].chain;
        Some(id)
    }

    pub(super) fn give_back(&mut self, id: NodeId) {
        self[id] = Node::free(self.first_free);
        self.first_free = id;
    }

    fn grow(&mut self) -> Option<()> {
        let from = self.end();
        let end = from.checked_add(CHUNK as u32).filter(|&end| end <= super::wheel::NODES_END)?;
        let next = |id| if id + 1 == end { NIL } else { id + 1 };
        self.chunks.push((from..end).map(|id| Node::free(next(id))).collect());
        self.first_free = from;
        Some(())
    }
}

impl Index<NodeId> for Nodes {
    type Output = Node;

    fn index(&self, id: NodeId) -> &Node {
        &self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

impl IndexMut<NodeId> for Nodes {
    fn index_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.chunks[id as usize / CHUNK][id as usize % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_one_line_of_the_processors_cache() {
        assert_eq!(size_of::<Node>(), 64);
    }

    #[test]
    fn nodes_that_were_given_back_are_taken_again_before_the_table_grows() {
        let mut nodes = Nodes::new();
        let taken: Vec<_> = (0..CHUNK).map(|_| nodes.take().unwrap()).collect();
        assert_eq!(nodes.end() as usize, CHUNK);
        nodes.give_back(taken[7]);
        assert_eq!(nodes.take(), Some(taken[7]));
        assert_eq!(nodes.take(), Some(CHUNK as u32));
    }

    #[test]
    fn a_value_of_the_same_length_stays_where_it_is() {
        let mut nodes = Nodes::new();
        let id = nodes.take().unwrap();
        nodes[id].fill(b"key", [b"one", b""]);
        let place = nodes[id].key().as_ptr();
        nodes[id].set_value(b"two");
        assert_eq!((nodes[id].key(), nodes[id].value()), (&b"key"[..], &b"two"[..]));
        assert_eq!(nodes[id].key().as_ptr(), place);
        nodes[id].join_value(b"-", false);
        nodes[id].join_value(b"+", true);
        assert_eq!(nodes[id].value(), b"-two+");
    }
}
