//! Storing a value: memcached's ways to do it, in one place for both protocols.

use super::cache::{Cache, Held, NoRoom};
use super::node::{Mark, NodeId};
use crate::clock::Now;

/// Which items a value may replace, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// Whatever is there.
    Set,
    /// Only nothing.
    Add,
    /// Only something.
    Replace,
    /// Goes behind what is there.
    Append,
    /// Goes before what is there.
    Prepend,
    /// Only what has the CAS that is given.
    Cas,
}

/// A value to be stored.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Put<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) mode: Mode,
    pub(crate) client_flags: u32,
    pub(crate) expires: u32,
    /// The CAS that the item must have; 0 for none.
    pub(crate) compare: u64,
    /// Whether a CAS that is older than the item's will do, and marks it stale.
    pub(crate) stale_will_do: bool,
    /// The CAS that the item gets, if not the next one.
    pub(crate) cas: Option<u64>,
    pub(crate) key_is_binary: bool,
    /// When [`Mode::Append`] and [`Mode::Prepend`] find nothing: the expiry of what they make.
    pub(crate) vivify: Option<u32>,
}

/// What became of a [`Put`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Stored {
        cas: u64,
        value_len: usize,
    },
    /// It has another CAS.
    Exists,
    /// There is nothing to compare with.
    NotFound,
    /// What is there, or is not there, is in the way; or the value would be too long.
    NotStored,
    /// The memory is full.
    NoMemory,
}

impl Cache {
    /// Stores a value.
    pub(crate) fn put(&self, put: &Put<'_>, now: Now) -> Outcome {
        loop {
            let mut held = self.hold(put.key, now);
            let number = held.number;
            match held.put(put) {
                Ok(stored) => return stored,
                Err(NoRoom::Full) => return no_memory(put.mode),
                Err(NoRoom::Elsewhere) => {}
            }
            drop(held);
            // Each turn evicts an item, so this ends.
            if !self.evict_elsewhere(number, now) {
                return no_memory(put.mode);
            }
        }
    }
}

/// memcached finds out about an append only when it has read the value.
fn no_memory(mode: Mode) -> Outcome {
    match mode {
        Mode::Append | Mode::Prepend => Outcome::NotStored,
        _ => Outcome::NoMemory,
    }
}

impl Held<'_> {
    fn put(&mut self, put: &Put<'_>) -> Result<Outcome, NoRoom> {
        let Some(id) = self.find() else { return self.put_new(put) };
        let cas = self.node(id).cas;
        let matches = put.compare == cas;
        match put.mode {
            Mode::Add => {
                self.shard.touch(id, self.now.second);
                Ok(Outcome::NotStored)
            }
            Mode::Set | Mode::Replace => self.put_over(id, put),
            Mode::Cas if matches && cas != 0 => self.put_over(id, put),
            Mode::Cas if put.stale_will_do && put.compare != 0 && put.compare < cas => {
                self.put_stale(id, put)
            }
            Mode::Cas => Ok(Outcome::Exists),
            Mode::Append | Mode::Prepend if put.compare != 0 && !matches => Ok(Outcome::Exists),
            Mode::Append | Mode::Prepend => self.join(id, put),
        }
    }

    fn put_new(&mut self, put: &Put<'_>) -> Result<Outcome, NoRoom> {
        let expires = match (put.mode, put.vivify) {
            (Mode::Set | Mode::Add, _) => put.expires,
            (Mode::Append | Mode::Prepend, Some(expires)) => expires,
            (Mode::Cas, _) => return Ok(Outcome::NotFound),
            _ => return Ok(Outcome::NotStored),
        };
        let id = self.insert(put.value)?;
        Ok(self.put_done(id, put, expires))
    }

    fn put_over(&mut self, id: NodeId, put: &Put<'_>) -> Result<Outcome, NoRoom> {
        self.rewrite(id, put.key.len() + put.value.len(), |node| node.set_value(put.value))?;
        Ok(self.put_done(id, put, put.expires))
    }

    /// Somebody who read the item before it was changed brings a value: better than none, but it
    /// stays marked, and ends when the item would have ended.
    fn put_stale(&mut self, id: NodeId, put: &Put<'_>) -> Result<Outcome, NoRoom> {
        let token_sent = self.node(id).has(Mark::TokenSent);
        let expires = self.node(id).expires();
        self.rewrite(id, put.key.len() + put.value.len(), |node| node.set_value(put.value))?;
        self.node_mut(id).mark(Mark::Stale);
        if token_sent {
            self.node_mut(id).mark(Mark::TokenSent);
        }
        Ok(self.put_done(id, put, expires))
    }

    fn put_done(&mut self, id: NodeId, put: &Put<'_>, expires: u32) -> Outcome {
        let node = self.node_mut(id);
        node.client_flags = put.client_flags;
        if put.key_is_binary {
            node.mark(Mark::KeyIsBinary);
        } else {
            node.unmark(Mark::KeyIsBinary);
        }
        let cas = self.stored(id, expires, put.cas);
        Outcome::Stored { cas, value_len: put.value.len() }
    }

    /// Client flags and expiry stay as they are.
    fn join(&mut self, id: NodeId, put: &Put<'_>) -> Result<Outcome, NoRoom> {
        let node = self.node(id);
        let (expires, value_len) = (node.expires(), node.value_len() + put.value.len());
        if !self.cache.fits(put.key.len(), node.client_flags, value_len) {
            return Ok(Outcome::NotStored);
        }
        self.rewrite(id, put.key.len() + value_len, |node| {
            node.join_value(put.value, put.mode == Mode::Append);
        })?;
        let cas = self.stored(id, expires, put.cas);
        Ok(Outcome::Stored { cas, value_len })
    }
}
