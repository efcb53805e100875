//! The actions under way: what each waits for, and until when.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::event::{ActionId, Failure};
use crate::{LIST_ITEMS_MAX, LIST_MAX_BYTES, LIST_TIMEOUTS_MAX};

/// One action.
#[derive(Clone, Debug)]
struct Entry {
    timeout: Duration,
    deadline: Instant,
    /// A list is over then, however it trickles.
    give_up: Instant,
    list: Option<List>,
}

#[derive(Clone, Copy, Debug, Default)]
struct List {
    items: u32,
    bytes: usize,
}

/// What an event with an id of ours is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// Nothing of a list: an `OriginateResponse`, say.
    Elsewhere,
    Item,
    /// After so many items.
    End(u32),
    Failed(Failure),
}

/// All of them. Ids rise, so the first is the oldest.
#[derive(Clone, Debug, Default)]
pub(super) struct Underway {
    entries: BTreeMap<u64, Entry>,
    last_id: u64,
}

impl Underway {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn add(&mut self, now: Instant, timeout: Duration) -> ActionId {
        self.last_id += 1;
        let deadline = now + timeout;
        let give_up = now + timeout * LIST_TIMEOUTS_MAX;
        self.entries.insert(self.last_id, Entry { timeout, deadline, give_up, list: None });
        ActionId(self.last_id)
    }

    /// A response came that is the action's last word. Whether it is under way.
    pub(super) fn end(&mut self, id: ActionId) -> bool {
        self.entries.remove(&id.0).is_some()
    }

    /// A response came that announces a list. Whether it is under way.
    pub(super) fn start_list(&mut self, id: ActionId, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(&id.0) else { return false };
        entry.list = Some(List::default());
        entry.deadline = (now + entry.timeout).min(entry.give_up);
        true
    }

    /// An event came with this id, and `EventList` as given.
    pub(super) fn place(
        &mut self,
        id: ActionId,
        event_list: Option<&[u8]>,
        bytes: usize,
        now: Instant,
    ) -> Place {
        let Some(entry) = self.entries.get_mut(&id.0) else { return Place::Elsewhere };
        let Some(list) = &mut entry.list else { return Place::Elsewhere };
        let says = |word: &[u8]| event_list.is_some_and(|is| is.eq_ignore_ascii_case(word));
        let place = if says(b"Complete") {
            Place::End(list.items)
        } else if says(b"cancelled") {
            Place::Failed(Failure::ListCancelled)
        } else if list.items == LIST_ITEMS_MAX || list.bytes + bytes > LIST_MAX_BYTES {
            Place::Failed(Failure::ListTooLong)
        } else {
            list.items += 1;
            list.bytes += bytes;
            entry.deadline = (now + entry.timeout).min(entry.give_up);
            Place::Item
        };
        if place != Place::Item {
            self.entries.remove(&id.0);
        }
        place
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.entries.values().map(|entry| entry.deadline).min()
    }

    /// When the last of them is over, if none is answered.
    pub(super) fn last_deadline(&self) -> Option<Instant> {
        self.entries.values().map(|entry| entry.deadline).max()
    }

    /// Takes those out whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Vec<ActionId> {
        let over: Vec<u64> = (self.entries.iter())
            .filter(|(_, entry)| entry.deadline <= now)
            .map(|(&id, _)| id)
            .collect();
        for id in &over {
            self.entries.remove(id);
        }
        over.into_iter().map(ActionId).collect()
    }

    /// Takes all out.
    pub(super) fn abandon(&mut self) -> impl Iterator<Item = ActionId> {
        std::mem::take(&mut self.entries).into_keys().map(ActionId)
    }
}
