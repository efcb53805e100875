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
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

use asterisk::stasis::Subscription;

use crate::shared::{Shared, lock};

mod endpoints;
mod pjsip;
mod registry;

use pjsip::Pjsip;

/// How often the drivers that do not tell everything are compared with, where no lease asks for
/// more.
pub(crate) const SYNC_INTERVAL_MAX: Duration = Duration::from_secs(60);

/// How much earlier an event may reach us than what it tells of reaches AstDB and the endpoints'
/// cache, which have threads of their own.
const EVENT_LEAD: Duration = Duration::from_secs(2);

/// Watches all drivers until it is closed.
pub(crate) struct Drivers {
    shared: Arc<Shared>,
    pjsip: Pjsip,
    endpoints: Mutex<Option<Subscription>>,
}

impl Drivers {
    /// Watches first, then reports what is there: so nothing falls between.
    pub(crate) fn watch(shared: &Arc<Shared>) -> Self {
        let endpoints = Mutex::new(endpoints::watch(shared));
        let drivers = Self { shared: Arc::clone(shared), pjsip: Pjsip::default(), endpoints };
        drivers.pjsip.attach(shared);
        drivers.report_all();
        drivers
    }

    /// When it returns, no report is under way, and none will be.
    pub(crate) fn close(&self) {
        self.pjsip.close();
        let endpoints = lock(&self.endpoints).take();
        // Outside the lock, for it waits for reports.
        drop(endpoints);
    }

    /// Compares with all drivers.
    pub(crate) fn report_all(&self) {
        pjsip::report_all(&self.shared);
        self.sync_registries();
        self.shared.bell.registrations();
    }

    /// Compares with the drivers that do not tell everything. The publisher calls it.
    pub(crate) fn sync(&self) {
        // res_pjsip may have been loaded after us.
        if self.pjsip.attach(&self.shared) {
            self.report_all();
        } else {
            self.sync_registries();
        }
    }

    /// Whether chan_pjsip's contacts are watched.
    pub(crate) fn sees_pjsip(&self) -> bool {
        self.pjsip.is_attached()
    }

    fn sync_registries(&self) {
        for driver in &registry::DRIVERS {
            let asked = Instant::now();
            let peers = driver.registered();
            let was_empty = driver.was_empty.swap(peers.is_empty(), Ordering::Relaxed);
            // A failed read of AstDB looks like an empty one: believe it the second time.
            if peers.is_empty() && !was_empty {
                continue;
            }
            // What was heard a moment ago may not have reached AstDB or the endpoints' cache yet.
            let heard = asked.checked_sub(EVENT_LEAD).unwrap_or(asked);
            self.shared.registrar().sync(heard, driver.name, peers);
        }
    }
}
