//! The order of use: a list through all items of a shard, most recently used first.

use super::node::{NIL, NodeId, Nodes};

/// The ends of the list.
#[derive(Debug)]
pub(super) struct Order {
    newest: NodeId,
    oldest: NodeId,
}

impl Order {
    pub(super) fn new() -> Self {
        Self { newest: NIL, oldest: NIL }
    }

    /// The least recently used item but `keep`.
    pub(super) fn oldest_but(&self, nodes: &Nodes, keep: NodeId) -> Option<NodeId> {
        let id = if self.oldest == keep && keep != NIL { nodes[keep].newer } else { self.oldest };
        (id != NIL).then_some(id)
    }

    pub(super) fn add_newest(&mut self, nodes: &mut Nodes, id: NodeId) {
        nodes[id].newer = NIL;
        nodes[id].older = self.newest;
        match self.newest {
            NIL => self.oldest = id,
            before => nodes[before].newer = id,
        }
        self.newest = id;
    }

    pub(super) fn remove(&mut self, nodes: &mut Nodes, id: NodeId) {
        let (newer, older) = (nodes[id].newer, nodes[id].older);
        match newer {
            NIL => self.newest = older,
            newer => nodes[newer].older = older,
        }
        match older {
            NIL => self.oldest = newer,
            older => nodes[older].newer = newer,
        }
    }

    pub(super) fn make_newest(&mut self, nodes: &mut Nodes, id: NodeId) {
        if self.newest != id {
            self.remove(nodes, id);
            self.add_newest(nodes, id);
        }
    }

    /// Oldest first.
    pub(super) fn iter<'a>(&self, nodes: &'a Nodes) -> impl Iterator<Item = NodeId> + use<'a> {
        let first = (self.oldest != NIL).then_some(self.oldest);
        std::iter::successors(first, |&id| {
            let next = nodes[id].newer;
            (next != NIL).then_some(next)
        })
    }
}
