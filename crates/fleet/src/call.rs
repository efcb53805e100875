//! What a call's channels make of it: who called whom, and how far it is.

use std::cmp::Ordering;

use crate::channels::Channel;
use crate::limits::LEGS_SHOWN_MAX;
use crate::text::Text;
use crate::view::{CallState, CallView, Direction, LegView, Party, PeerId};
use crate::words;

/// `AST_STATE_RINGING` of `channelstate.h`.
const RINGING: u8 = 5;
/// `AST_STATE_UP`.
const UP: u8 = 6;

/// A `Uniqueid` in the order in which Asterisk gave it: `1765000000.12`, after the server's
/// `systemname` and a hyphen if it has one (`channel.c`).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Order {
    at: (u64, u64),
    id: Text,
}

impl Order {
    pub(crate) fn new(id: Text) -> Self {
        let number = id.rsplit_once('-').map_or(id.as_str(), |(_, number)| number);
        let (seconds, count) = number.split_once('.').unwrap_or((number, ""));
        let at = (seconds.parse().unwrap_or(u64::MAX), count.parse().unwrap_or(u64::MAX));
        Self { at, id }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.id
    }

    pub(crate) fn into_text(self) -> Text {
        self.id
    }
}

impl Ord for Order {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, &self.id).cmp(&(other.at, &other.id))
    }
}

impl PartialOrd for Order {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The call of these channels, the oldest first; `None` if nobody is at the end of any.
pub(crate) fn view<'c>(
    id: &Text,
    channels: impl Iterator<Item = (&'c Order, &'c Channel)>,
    is_trunk: impl Fn(&PeerId) -> bool,
) -> Option<CallView> {
    let channels: Vec<_> =
        channels.filter(|(_, it)| has_an_end(&it.name) && !it.is_aside).collect();
    let mut legs: Vec<_> =
        channels.iter().map(|(id, channel)| leg(id, channel, &is_trunk)).collect();
    let (_, first) = channels.first()?;
    let from = legs.first()?.party.clone();
    let to = match legs.get(1) {
        Some(leg) => leg.party.clone(),
        // Extensions of one letter are Asterisk's own: start, hang-up, time-out.
        None => Party {
            number: first.exten.clone().filter(|exten| !matches!(&**exten, "s" | "h" | "i" | "t")),
            ..Party::default()
        },
    };
    let direction = match (legs.first()?.trunk, legs[1..].iter().any(|leg| leg.trunk)) {
        (true, true) => Direction::Through,
        (true, false) => Direction::In,
        (false, true) => Direction::Out,
        (false, false) => Direction::Internal,
    };
    let state = state(&legs);
    let legs_count = legs.len();
    legs.truncate(LEGS_SHOWN_MAX);
    let since_ms = channels.iter().map(|(_, channel)| channel.since).min()?;
    Some(CallView { id: id.clone(), direction, from, to, state, since_ms, legs, legs_count })
}

/// A `Local/` channel is a way through the dialplan; a zombie is what is left of a transfer.
fn has_an_end(channel: &str) -> bool {
    !channel.starts_with("Local/") && !channel.ends_with("<ZOMBIE>")
}

fn leg(id: &Order, channel: &Channel, is_trunk: impl Fn(&PeerId) -> bool) -> LegView {
    let peer = words::channel_peer(&channel.name);
    let trunk = peer.as_ref().is_some_and(is_trunk);
    let peer = peer
        .map(|PeerId { driver, name }| Text::from(format!("{}/{name}", driver.word()).as_str()));
    let party = Party { number: channel.number.clone(), name: channel.caller_name.clone(), peer };
    LegView {
        channel: channel.name.clone(),
        id: id.clone().into_text(),
        party,
        trunk,
        state: channel.state,
        on_hold: channel.on_hold,
        bridge: channel.bridge.clone(),
    }
}

fn state(legs: &[LegView]) -> CallState {
    let up = legs.iter().filter(|leg| leg.state == UP).count();
    if up >= legs.len().min(2) {
        let is_on_hold = legs.iter().any(|leg| leg.on_hold == Some(true));
        return if is_on_hold { CallState::OnHold } else { CallState::Up };
    }
    match legs.iter().any(|leg| leg.state == RINGING) {
        true => CallState::Ringing,
        false => CallState::Dialling,
    }
}
