//! The channels of a server, and the calls that they make.
//!
//! Only `Newchannel` and a list make a channel: an event that comes after its `Hangup` does not
//! bring it back. What is told of an unknown channel while a list is under way is kept aside, for an
//! item that was printed before it may follow. A call is all channels of one `Linkedid`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ami_proto::Message;

use crate::call::{self, Order};
use crate::limits::{CHANNELS_MAX, ENDED_MAX};
use crate::log::Key;
use crate::text::{Text, caller_name, key, number, text};
use crate::turn::{Ended, Mark, Turn};
use crate::view::{CallView, PeerId, Time};

/// Each part has its own mark, for an event of one channel may tell a part of another.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub(crate) name: Text,
    pub(crate) state: u8,
    pub(crate) number: Option<Text>,
    pub(crate) caller_name: Option<Text>,
    pub(crate) exten: Option<Text>,
    pub(crate) since: Time,
    state_touched: Mark,
    linkedid: Text,
    link_touched: Mark,
    pub(crate) bridge: Option<Text>,
    bridge_touched: Mark,
    pub(crate) on_hold: Option<bool>,
    listed: Option<Mark>,
    /// No list has it yet, and no `Newchannel` was heard.
    pub(crate) is_aside: bool,
}

#[derive(Debug, Default)]
struct Call {
    channels: BTreeSet<Order>,
    shown: Option<CallView>,
}

/// Invariant: each channel is in the call of its `linkedid`, and in the bridge that it names if this
/// session told it.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    channels: BTreeMap<Order, Channel>,
    calls: BTreeMap<Text, Call>,
    bridges: BTreeMap<Text, BTreeSet<Order>>,
    /// The last that entered a basic bridge while a request is under way: when, and its `Linkedid`.
    entered: BTreeMap<Text, (Mark, Text)>,
    ended: Ended<Text>,
    dirty: BTreeSet<Text>,
    shown: usize,
}

impl Channels {
    pub(crate) fn calls(&self) -> usize {
        self.shown
    }

    pub(crate) fn views(&self) -> impl Iterator<Item = &CallView> {
        self.calls.values().filter_map(|call| call.shown.as_ref())
    }

    pub(crate) fn view(&self, id: &str) -> Option<&CallView> {
        self.calls.get(id)?.shown.as_ref()
    }

    pub(crate) fn request_begins(&mut self) {
        self.ended.clear();
        self.entered.clear();
    }

    /// No list will tell who is on hold, and who has left a bridge since is not to be taken along
    /// by the next that enters it.
    pub(crate) fn session_ended(&mut self) {
        self.bridges.clear();
        for channel in self.channels.values_mut() {
            if channel.on_hold.take() == Some(true) {
                self.dirty.insert(channel.linkedid.clone());
            }
        }
    }

    /// An event about one channel.
    pub(crate) fn event(&mut self, name: &[u8], message: Message<'_>, turn: &mut Turn<'_>) {
        let Some(id) = key(message, "Uniqueid").map(Order::new) else { return };
        match name {
            b"Hangup" => {
                self.remove(&id);
                self.ended.note(id.into_text(), turn);
            }
            b"Rename" => {
                let Some(channel) = self.channels.get_mut(&id) else { return };
                channel.name = text(message, "Newname").unwrap_or(channel.name.clone());
                turn.touch(&mut channel.state_touched);
                self.dirty.insert(channel.linkedid.clone());
            }
            _ => {
                let is_known = self.update(&id, message, name == b"Newchannel", turn);
                if name == b"BridgeEnter" {
                    self.enter_bridge(&id, message, turn);
                }
                if !is_known {
                    return;
                }
                match name {
                    b"Newchannel" => self.hold(&id, false),
                    b"Hold" => self.hold(&id, true),
                    b"Unhold" => self.hold(&id, false),
                    b"BridgeLeave" => self.set_bridge(&id, None, turn),
                    _ => {}
                }
            }
        }
    }

    /// `CoreShowChannel` (`manager.c`).
    pub(crate) fn item(&mut self, message: Message<'_>, turn: &mut Turn<'_>) {
        let Some(id) = key(message, "Uniqueid").map(Order::new) else {
            turn.out.left_out += 1;
            return;
        };
        if !self.ended.may_be(id.as_str(), turn) {
            return;
        }
        let what = |channels: &Self| {
            let channel = channels.channels.get(&id).filter(|it| !it.is_aside);
            channel.map(|it| (it.state, it.linkedid.clone(), it.bridge.clone()))
        };
        let before = what(self);
        if !self.update(&id, message, true, turn) {
            return;
        }
        self.set_bridge(&id, text(message, "BridgeId"), turn);
        self.take_along(&id);
        turn.compare(before == what(self));
        let Some(channel) = self.channels.get_mut(&id) else { return };
        channel.listed = turn.list();
        if let (None, Some(ago)) = (before, message.get("Duration").and_then(duration)) {
            channel.since = turn.now.before(ago);
        }
    }

    /// The list is whole.
    pub(crate) fn end(&mut self, turn: &mut Turn<'_>) {
        let lacking = self.channels.iter().filter(|(_, channel)| {
            let is_untouched =
                turn.wins(channel.state_touched) && turn.wins(channel.bridge_touched);
            channel.is_aside || (channel.listed != turn.list() && is_untouched)
        });
        let lacking = lacking.map(|(id, channel)| (id.clone(), channel.is_aside));
        for (id, is_aside) in lacking.collect::<Vec<_>>() {
            turn.compare(is_aside);
            self.remove(&id);
        }
    }

    /// Shows the calls that the last message changed.
    pub(crate) fn finish(&mut self, is_trunk: impl Fn(&PeerId) -> bool, turn: &mut Turn<'_>) {
        while let Some(id) = self.dirty.pop_first() {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            let legs = call.channels.iter();
            let legs = legs.filter_map(|id| self.channels.get(id).map(|channel| (id, channel)));
            let view = call::view(&id, legs, &is_trunk);
            if view != call.shown {
                self.shown -= usize::from(call.shown.is_some());
                self.shown += usize::from(view.is_some());
                match view {
                    Some(_) => turn.changed(Key::Call(id.clone())),
                    None => turn.gone(Key::Call(id.clone())),
                }
                call.shown = view;
            }
            if call.channels.is_empty() {
                self.calls.remove(&id);
            }
        }
    }

    /// Takes over the state that nearly every event and item has
    /// (`ast_manager_build_channel_state_string`). Says whether there is such a channel.
    fn update(
        &mut self,
        id: &Order,
        message: Message<'_>,
        may_be_new: bool,
        turn: &mut Turn<'_>,
    ) -> bool {
        let is_known = self.channels.contains_key(id);
        let may_be_aside = turn.is_listing() && self.ended.may_be(id.as_str(), turn);
        if !(is_known || may_be_new || may_be_aside) {
            return false;
        }
        if !is_known && !self.insert(id, message, !may_be_new, turn) {
            return false;
        }
        let Some(channel) = self.channels.get_mut(id) else { return false };
        if may_be_new && channel.is_aside {
            channel.is_aside = false;
            self.dirty.insert(channel.linkedid.clone());
        }
        if turn.wins(channel.state_touched) {
            channel.name = text(message, "Channel").unwrap_or(channel.name.clone());
            let state = number(message, "ChannelState");
            channel.state = state.and_then(|state| state.try_into().ok()).unwrap_or(channel.state);
            channel.number = text(message, "CallerIDNum");
            channel.caller_name = caller_name(message, "CallerIDName");
            channel.exten = text(message, "Exten");
            turn.touch(&mut channel.state_touched);
            self.dirty.insert(channel.linkedid.clone());
        }
        if let Some(linkedid) = key(message, "Linkedid") {
            self.set_link(id, linkedid, turn);
        }
        true
    }

    fn insert(
        &mut self,
        id: &Order,
        message: Message<'_>,
        is_aside: bool,
        turn: &mut Turn<'_>,
    ) -> bool {
        let linkedid = key(message, "Linkedid");
        let (Some(name), Some(linkedid)) = (text(message, "Channel"), linkedid) else {
            turn.out.left_out += 1;
            return false;
        };
        if self.channels.len() >= CHANNELS_MAX {
            turn.out.left_out += 1;
            return false;
        }
        let mut touched = Mark::default();
        // Newchannel tells all: it is in no bridge.
        if !is_aside {
            turn.touch(&mut touched);
        }
        self.join_call(&linkedid, id);
        let channel = Channel {
            name,
            state: 0,
            number: None,
            caller_name: None,
            exten: None,
            since: turn.now,
            state_touched: touched,
            linkedid,
            link_touched: touched,
            bridge: None,
            bridge_touched: touched,
            on_hold: None,
            listed: None,
            is_aside,
        };
        self.channels.insert(id.clone(), channel);
        true
    }

    fn remove(&mut self, id: &Order) {
        let Some(channel) = self.channels.remove(id) else { return };
        self.leave_call(&channel.linkedid, id);
        if let Some(bridge) = channel.bridge {
            self.leave_bridge(&bridge, id);
        }
    }

    fn hold(&mut self, id: &Order, is_on_hold: bool) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        channel.on_hold = Some(is_on_hold);
        self.dirty.insert(channel.linkedid.clone());
    }

    /// In a basic bridge all take over the oldest `Linkedid`, and only the one that enters is told
    /// (`bridge_basic.c`, `ast_bridge_channel_update_linkedids`); whoever enters may have hung up since,
    /// and be gone by a list.
    fn enter_bridge(&mut self, id: &Order, message: Message<'_>, turn: &mut Turn<'_>) {
        let Some(bridge) = key(message, "BridgeUniqueid") else { return };
        self.set_bridge(id, Some(bridge.clone()), turn);
        if message.get("BridgeType") != Some(b"basic") {
            return;
        }
        let Some(linkedid) = key(message, "Linkedid") else { return };
        for other in self.bridges.get(&bridge).cloned().unwrap_or_default() {
            self.set_link(&other, linkedid.clone(), turn);
        }
        if turn.is_listing() && self.entered.len() < ENDED_MAX {
            self.entered.insert(bridge, (turn.mark, linkedid));
        }
    }

    /// What another that entered its bridge made of its `Linkedid`: the item may be older than that.
    fn take_along(&mut self, id: &Order) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        let entered = channel.bridge.as_ref().and_then(|bridge| self.entered.get(bridge));
        let Some((mark, linkedid)) = entered.filter(|(mark, _)| channel.link_touched < *mark)
        else {
            return;
        };
        channel.link_touched = *mark;
        let linkedid = linkedid.clone();
        self.move_to(id, linkedid);
    }

    fn set_bridge(&mut self, id: &Order, bridge: Option<Text>, turn: &Turn<'_>) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        if !turn.wins(channel.bridge_touched) {
            return;
        }
        turn.touch(&mut channel.bridge_touched);
        self.dirty.insert(channel.linkedid.clone());
        if let Some(before) = std::mem::replace(&mut channel.bridge, bridge.clone()) {
            self.leave_bridge(&before, id);
        }
        if let Some(bridge) = bridge {
            self.bridges.entry(bridge).or_default().insert(id.clone());
        }
    }

    fn leave_bridge(&mut self, bridge: &Text, id: &Order) {
        let Some(channels) = self.bridges.get_mut(bridge) else { return };
        channels.remove(id);
        if channels.is_empty() {
            self.bridges.remove(bridge);
        }
    }

    fn set_link(&mut self, id: &Order, linkedid: Text, turn: &Turn<'_>) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        if !turn.wins(channel.link_touched) {
            return;
        }
        turn.touch(&mut channel.link_touched);
        self.move_to(id, linkedid);
    }

    fn move_to(&mut self, id: &Order, linkedid: Text) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        if channel.linkedid == linkedid {
            return;
        }
        let before = std::mem::replace(&mut channel.linkedid, linkedid.clone());
        self.leave_call(&before, id);
        self.join_call(&linkedid, id);
    }

    fn join_call(&mut self, linkedid: &Text, id: &Order) {
        self.calls.entry(linkedid.clone()).or_default().channels.insert(id.clone());
        self.dirty.insert(linkedid.clone());
    }

    fn leave_call(&mut self, linkedid: &Text, id: &Order) {
        if let Some(call) = self.calls.get_mut(linkedid) {
            call.channels.remove(id);
            self.dirty.insert(linkedid.clone());
        }
    }
}

/// `HH:MM:SS`, hours as many as there are.
fn duration(text: &[u8]) -> Option<Duration> {
    let mut parts = std::str::from_utf8(text).ok()?.split(':').map(str::parse::<u64>);
    let (hours, minutes) = (parts.next()?.ok()?, parts.next()?.ok()?);
    let seconds = parts.next()?.ok()?;
    let minutes = hours.checked_mul(60)?.checked_add(minutes)?;
    minutes.checked_mul(60)?.checked_add(seconds).map(Duration::from_secs)
}
