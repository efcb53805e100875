//! Which connections there are, and which has to go when one more comes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

use acl::network_of;

use crate::connection::Connection;

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

    /// Who gives their place to one from `newcomer`, of one address or of all: who has waited
    /// longest without a whole request; else whose reader has taken nothing for longest, for
    /// whoever reads nothing could else keep everybody out.
    ///
    /// Nobody goes for an address that has more connections than theirs while there is another:
    /// a flood displaces itself, and not who is just coming in. But somebody who reads never goes
    /// for such a one. Each byte that is taken puts a reader last in the order; there is no time
    /// within which one is safe, for that would be the time to come back in and keep the door shut.
    pub(super) fn first_to_go(
        &self,
        newcomer: Option<IpAddr>,
        of: Option<IpAddr>,
    ) -> Option<(u32, u32)> {
        let fewest = newcomer.map_or(0, |newcomer| self.count_of(newcomer));
        let of = of.map(network_of);
        let oldest = |since: fn(&Connection) -> Option<Instant>, fewest: usize| {
            let mut oldest: Option<(Instant, u32, u32)> = None;
            for (slot, turn, guest) in self.iter() {
                let Some(since) = since(&guest.http) else { continue };
                // First what costs least: in a flood this is what the thread is at.
                if oldest.is_some_and(|(oldest, ..)| oldest <= since) {
                    continue;
                }
                let address = guest.peer.remote.ip();
                let is_meant = of.is_none_or(|of| network_of(address) == of);
                if is_meant && self.count_of(address) >= fewest {
                    oldest = Some((since, slot, turn));
                }
            }
            oldest.map(|(_, slot, turn)| (slot, turn))
        };
        oldest(Connection::waiting_since, fewest)
            .or_else(|| oldest(Connection::stalled_since, fewest))
            .or_else(|| oldest(Connection::waiting_since, 0))
    }
}
