//! Who expires when: a wheel of seconds, so that an item is gone within a second of its end
//! without anybody asking for it, and memory and the change feed learn of it.
//!
//! Each slot lists the items whose end is that second or one that is whole turns later. An item
//! with a long life is looked at once a turn, a bit more than an hour.

use super::node::{NIL, NodeId, Nodes};
use crate::clock::NEVER;

/// Seconds in a turn.
const SLOTS: u32 = 4096;

/// Numbers from here on are slots and not nodes, where a node says who is before it.
const HEAD: u32 = 1 << 31;

/// Nodes have smaller numbers.
pub(super) const NODES_END: NodeId = HEAD;

/// The slots of one shard.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Box<[NodeId]>,
    /// All that ended up to this second has been taken out.
    swept: u32,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self { heads: vec![NIL; SLOTS as usize].into_boxed_slice(), swept: 0 }
    }

    pub(super) fn swept(&self) -> u32 {
        self.swept
    }

    /// Sets when an item ends, and lists it so.
    pub(super) fn set(&mut self, nodes: &mut Nodes, id: NodeId, expires: u32) {
        self.remove(nodes, id);
        nodes[id].expires = expires;
        if expires == NEVER {
            return;
        }
        // What has ended already is taken out in the next second.
        let slot = expires.max(self.swept + 1) % SLOTS;
        let next = self.heads[slot as usize];
        nodes[id].wheel_next = next;
        nodes[id].wheel_before = HEAD | slot;
        if next != NIL {
            nodes[next].wheel_before = id;
        }
        self.heads[slot as usize] = id;
    }

    /// Takes an item out, if it is listed.
    pub(super) fn remove(&mut self, nodes: &mut Nodes, id: NodeId) {
        if nodes[id].expires == NEVER {
            return;
        }
        let (before, next) = (nodes[id].wheel_before, nodes[id].wheel_next);
        match before {
            HEAD.. => self.heads[(before & !HEAD) as usize] = next,
            before => nodes[before].wheel_next = next,
        }
        if next != NIL {
            nodes[next].wheel_before = before;
        }
        nodes[id].expires = NEVER;
    }

    /// The items that have ended by `second`, from the seconds that have not been swept yet.
    pub(super) fn sweep(&mut self, nodes: &Nodes, second: u32, ended: &mut Vec<NodeId>) {
        let from = self.swept + 1;
        // After a whole turn every slot has been seen.
        let to = second.min(from + SLOTS - 1);
        for slot in from..=to {
            let mut id = self.heads[(slot % SLOTS) as usize];
            while id != NIL {
                if nodes[id].expires <= second {
                    ended.push(id);
                }
                id = nodes[id].wheel_next;
            }
        }
        self.swept = self.swept.max(second);
    }
}
