//! Which peers are registered here.
//!
//! Three sources, none of which tells everything (measured on Asterisk 22):
//!
//! - `pjsip`: chan_pjsip is silent when a registration is refreshed; a sorcery observer hears
//!   every change of a contact.
//! - `endpoints`: chan_iax2, chan_sip and others publish "Registered" and "Unregistered" on the
//!   Stasis bus, the first only when the address changes.
//! - `registry`: what those drivers keep in AstDB. A restored peer publishes nothing, and a peer
//!   that a reload removed says no "Unregistered"; so the two are compared again and again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use asterisk::stasis::Subscription;

use crate::{AppUniversal, shared::Shared};

mod endpoints;
mod pjsip;
mod registry;

pub(crate) use pjsip::Pjsip;

/// How often the drivers that do not tell everything are compared with, where no lease asks for
/// more.
pub(crate) const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// Watches all drivers until it is dropped. When the drop has returned, no report is under way.
pub(crate) struct Drivers {
    shared: Arc<Shared>,
    _endpoints: Option<Subscription>,
}

impl Drivers {
    /// Watches first, then reports what is there: so nothing falls between.
    pub(crate) fn watch(shared: &Arc<Shared>) -> Self {
        let endpoints = endpoints::watch(shared);
        shared.pjsip.attach(shared);
        report_all(shared);
        Self { shared: Arc::clone(shared), _endpoints: endpoints }
    }
}

impl Drop for Drivers {
    fn drop(&mut self) {
        self.shared.pjsip.close();
    }
}

/// Compares with all drivers.
pub(crate) fn report_all(shared: &Arc<Shared>) {
    let asked = Instant::now();
    if let Some(contacts) = pjsip::contacts() {
        shared.registrar().sync(asked, pjsip::DRIVER, contacts);
    }
    sync_registries(shared);
    shared.bell.registrations();
}

/// Compares with the drivers that do not tell everything. The publisher calls it.
pub(crate) fn sync(shared: &Arc<Shared>) {
    // res_pjsip may have been loaded after us.
    if shared.pjsip.attach(shared) {
        report_all(shared);
    } else {
        sync_registries(shared);
    }
}

fn sync_registries(shared: &Shared) {
    for driver in &registry::DRIVERS {
        let asked = Instant::now();
        let peers = driver.registered();
        shared.registrar().sync(asked, driver.name, peers);
    }
}

/// For `universal show status`.
pub(crate) fn pjsip_state(module: &AppUniversal) -> &'static str {
    if module.shared.pjsip.is_attached() { "watched" } else { "res_pjsip is not loaded" }
}
