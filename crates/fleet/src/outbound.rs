//! Where a server is itself registered: at providers, and at other servers.
//!
//! Each driver lists its own, and a `Registry` event (`stasis_system.c`) tells what a registrar has
//! answered. That it answers no more is for lists only: `chan_iax2` tells no event then, nor when it
//! answers as before; and it may note that it has asked after it has had the answer
//! (`iax2_do_register`). So one that was listed as asked is listed again until it is not.

use std::collections::BTreeMap;

use ami_proto::Message;

use crate::limits::OUTBOUND_MAX;
use crate::log::Key;
use crate::text::{Text, key, text};
use crate::turn::{Mark, Turn};
use crate::view::{Driver, OutboundId, OutboundState, OutboundView};
use crate::words;

#[derive(Debug)]
struct Registration {
    shown: OutboundView,
    touched: Mark,
    listed: Option<Mark>,
}

#[derive(Debug, Default)]
pub(crate) struct Outbound {
    registrations: BTreeMap<OutboundId, Registration>,
}

impl Outbound {
    pub(crate) fn views(&self) -> impl Iterator<Item = &OutboundView> {
        self.registrations.values().map(|registration| &registration.shown)
    }

    pub(crate) fn view(&self, id: &OutboundId) -> Option<&OutboundView> {
        self.registrations.get(id).map(|registration| &registration.shown)
    }

    /// `Registry`.
    pub(crate) fn event(&mut self, message: Message<'_>, turn: &mut Turn<'_>) {
        let driver = message.get("ChannelType").map(Text::new);
        let Some(driver) = driver.and_then(|word| words::driver_of(&word)) else { return };
        let state = message.get("Status").unwrap_or_default();
        self.set(driver, ["Username", "Domain"], state, message, turn);
    }

    /// `OutboundRegistrationDetail` of `PJSIPShowRegistrationsOutbound`, or `RegistryEntry` of
    /// `IAXregistry` and `SIPshowregistry`.
    pub(crate) fn item(&mut self, driver: Driver, message: Message<'_>, turn: &mut Turn<'_>) {
        let (user_at, state) = match driver {
            Driver::Pjsip => (["ClientUri", "ServerUri"], "Status"),
            Driver::Iax2 | Driver::Sip => (["Username", "Host"], "State"),
        };
        let state = message.get(state).unwrap_or_default();
        self.set(driver, user_at, state, message, turn);
    }

    /// Whether one of the driver's has been asked for and not answered.
    pub(crate) fn is_answer_due(&self, driver: Driver) -> bool {
        let is_asked =
            |it: &OutboundView| it.id.driver == driver && it.state == OutboundState::Asked;
        self.views().any(is_asked)
    }

    /// The driver's list is whole.
    pub(crate) fn end(&mut self, driver: Driver, turn: &mut Turn<'_>) {
        let lacking = self.registrations.iter().filter(|(id, registration)| {
            let is_listed = registration.listed == turn.list();
            id.driver == driver && !is_listed && turn.wins(registration.touched)
        });
        for id in lacking.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.registrations.remove(&id);
            turn.gone(Key::Outbound(id));
        }
    }

    fn set(
        &mut self,
        driver: Driver,
        [user, at]: [&str; 2],
        state: &[u8],
        message: Message<'_>,
        turn: &mut Turn<'_>,
    ) {
        let (Some(user), Some(at)) = (key(message, user), key(message, at)) else {
            turn.out.left_out += 1;
            return;
        };
        let id = OutboundId { driver, user, at };
        let is_new = !self.registrations.contains_key(&id);
        if is_new && self.registrations.len() >= OUTBOUND_MAX {
            turn.out.left_out += 1;
            return;
        }
        let registration = self.registrations.entry(id.clone()).or_insert_with(|| Registration {
            shown: OutboundView {
                id: id.clone(),
                name: None,
                state: OutboundState::Unknown,
                since_ms: None,
            },
            touched: Mark::default(),
            listed: None,
        });
        registration.listed = turn.list().or(registration.listed);
        let before = registration.shown.clone();
        // Only chan_pjsip's list has names.
        let name = text(message, "ObjectName").or(registration.shown.name.take());
        registration.shown.name = name;
        if turn.wins(registration.touched) {
            registration.shown.state = words::outbound(state);
            turn.touch(&mut registration.touched);
        }
        if registration.shown.state != before.state {
            registration.shown.since_ms = turn.is_event().then_some(turn.now);
        }
        if is_new || registration.shown != before {
            turn.changed(Key::Outbound(id));
        }
    }
}
