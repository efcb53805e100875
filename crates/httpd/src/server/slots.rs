//! Which connections there are, and which has to go when one more comes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use crate::network::network_of;

use super::guest::Guest;
use super::token::TURN_MASK;

/// Connections, each in a slot; a slot's turn says which of those that have been in it is meant.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_address: HashMap<IpAddr, usize>,
    used: usize,
}

#[derive(Default)]
struct Slot {
    turn: u32,
    guest: Option<Guest>,
}

impl Slots {
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// How many connections an address has.
    pub(super) fn count_of(&self, address: IpAddr) -> usize {
        self.by_address.get(&network_of(address)).copied().unwrap_or(0)
    }

    /// How many streams an address has.
    pub(super) fn streams_of(&self, address: IpAddr) -> usize {
        let address = network_of(address);
        let is_theirs = |guest: &Guest| network_of(guest.peer.remote.ip()) == address;
        self.iter().filter(|(_, _, guest)| guest.stream.is_some() && is_theirs(guest)).count()
    }

    pub(super) fn insert(&mut self, guest: Guest) -> (u32, u32) {
        *self.by_address.entry(network_of(guest.peer.remote.ip())).or_default() += 1;
        self.used += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let place = &mut self.slots[slot as usize];
        place.turn = (place.turn + 1) & TURN_MASK;
        place.guest = Some(guest);
        (slot, place.turn)
    }

    pub(super) fn get(&mut self, slot: u32, turn: u32) -> Option<&mut Guest> {
        let place = self.slots.get_mut(slot as usize).filter(|place| place.turn == turn)?;
        place.guest.as_mut()
    }

    pub(super) fn remove(&mut self, slot: u32, turn: u32) -> Option<Guest> {
        let place = self.slots.get_mut(slot as usize).filter(|place| place.turn == turn)?;
        let guest = place.guest.take()?;
        self.free.push(slot);
        self.used -= 1;
        let network = network_of(guest.peer.remote.ip());
        if let Some(count) = self.by_address.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&network);
            }
        }
        Some(guest)
    }

    /// All of them, where they are.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, u32, &Guest)> {
        self.slots
            .iter()
            .zip(0..)
            .filter_map(|(place, slot)| place.guest.as_ref().map(|guest| (slot, place.turn, guest)))
    }

    /// Who has waited longest without a whole request, of one address or of all.
    pub(super) fn oldest_waiting(&self, of: Option<IpAddr>) -> Option<(u32, u32)> {
        let of = of.map(network_of);
        let waiting = self.iter().filter_map(|(slot, turn, guest)| {
            let since: Instant = guest.http.waiting_since()?;
            let is_meant = of.is_none_or(|of| network_of(guest.peer.remote.ip()) == of);
            is_meant.then_some((since, slot, turn))
        });
        waiting.min().map(|(_, slot, turn)| (slot, turn))
    }

    /// Whose reader has taken nothing for longest, of one address or of all; it gives its place to
    /// one from `newcomer`, for whoever reads nothing could else keep everybody out.
    ///
    /// Each byte that is taken puts a reader last in that order. There is no time within which one
    /// is safe, for that would be the time to come back in and keep the door shut. Instead nobody
    /// goes for an address that has more connections than theirs: a flood only displaces itself.
    pub(super) fn longest_stalled(
        &self,
        newcomer: IpAddr,
        of: Option<IpAddr>,
    ) -> Option<(u32, u32)> {
        let (of, fewest) = (of.map(network_of), self.count_of(newcomer));
        let stalled = self.iter().filter_map(|(slot, turn, guest)| {
            let since: Instant = guest.http.stalled_since()?;
            let address = guest.peer.remote.ip();
            let is_meant = of.is_none_or(|of| network_of(address) == of);
            (is_meant && self.count_of(address) >= fewest).then_some((since, slot, turn))
        });
        stalled.min().map(|(_, slot, turn)| (slot, turn))
    }
}
