//! chan_iax2, chan_sip and others: what they publish on the Stasis bus.

use std::{sync::Arc, time::Instant};

use asterisk::{
    endpoint::Snapshot,
    stasis::{Details, EndpointMessage, Subscription},
};
use sri::How;

use super::{pjsip, registry};
use crate::shared::Shared;

/// Reports until it is dropped.
pub(super) fn watch(shared: &Arc<Shared>) -> Option<Subscription> {
    let shared = Arc::clone(shared);
    let subscription = Subscription::to_endpoints(move |message| {
        if let EndpointMessage::Status { endpoint, details } = message {
            report(&shared, &endpoint, &details);
        }
    });
    subscription.map_err(|error| asterisk::error!("IAX2 registrations are not seen: {error}")).ok()
}

/// Runs on a thread of Asterisk's: no I/O.
fn report(shared: &Shared, endpoint: &Snapshot<'_>, details: &Details<'_>) {
    let driver = endpoint.tech().to_string_lossy();
    // chan_pjsip's contacts say more.
    if driver == pjsip::DRIVER {
        return;
    }
    let peer = endpoint.resource().to_string_lossy();
    let now = Instant::now();
    match details.string(c"peer_status").map(|status| status.to_bytes()) {
        Some(b"Registered") => {
            // These drivers keep one address for each peer.
            let contact = registry::CONTACT;
            shared.registrar().registered(now, &driver, &peer, contact, None, How::Register);
        }
        Some(b"Unregistered") => shared.registrar().gone(now, &driver, &peer),
        // Reachable, Unreachable, Lagged: the next comparison with the registry sees to it.
        _ => return,
    }
    shared.bell.registrations();
}
