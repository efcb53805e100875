//! `app_universal.so`: universal variables and shared registrations inside Asterisk.
//!
//! Glue only. What a request means is decided in `universal`, `univar` and `sri`, which have no
//! Asterisk in them; what Asterisk is, `asterisk` knows.
//!
//! - `applications`, `functions`, `switch`, `commands`, `actions`: what the dialplan, the CLI and AMI
//!   call;
//! - `locate`: which servers have a peer;
//! - `configuration`: `universal.conf` into a `Shared`;
//! - `drivers`: which peers are registered here, from chan_pjsip, chan_iax2 and the others;
//! - `publisher`: our one I/O thread, which tells the cache servers;
//! - `shared`: what all of these look at.

use std::{
    error::Error,
    ffi::CStr,
    sync::{Arc, Mutex},
    time::Instant,
};

use asterisk::{LoadError, LoadPriority, Module, Registry};

mod actions;
mod applications;
mod commands;
mod configuration;
mod drivers;
mod functions;
mod locate;
mod publisher;
mod requests;
mod shared;
mod switch;

use drivers::Drivers;
use publisher::{Healer, Publisher, Resolver};
use shared::Shared;

/// The module's name; its file is `app_universal.so`.
const NAME: &CStr = c"app_universal";

/// All that lives between load and unload.
struct AppUniversal {
    drivers: Arc<Drivers>,
    publisher: Publisher,
    _healer: Healer,
    _resolver: Resolver,
    shared: Arc<Shared>,
    /// What the CLI completed last.
    completion: Mutex<Option<commands::Completion>>,
    /// When the dialplan was last told that a switch of its has no section.
    complained_at: Mutex<Option<Instant>>,
}

impl Module for AppUniversal {
    const NAME: &'static CStr = NAME;
    const DESCRIPTION: &'static CStr = c"Universal variables and shared registrations";
    // After the channel drivers. They are not named in OPTIONAL_MODULES: one that is there and has
    // declined to load, as chan_iax2 does without iax.conf, would keep this module from loading.
    const LOAD_PRIORITY: LoadPriority = LoadPriority::Default;
    const RELOADABLE: bool = true;

    fn load(registry: &mut Registry<Self>) -> Result<Self, LoadError> {
        applications::register(registry);
        functions::register(registry);
        switch::register(registry);
        commands::register(registry);
        actions::register(registry);

        let shared = Arc::new(configuration::load().map_err(LoadError::decline)?);
        let drivers = Arc::new(Drivers::watch(&shared));
        let publisher = Publisher::start(&shared, &drivers).map_err(LoadError::decline)?;
        let healer = Healer::start(&shared).map_err(LoadError::decline)?;
        let resolver = Resolver::start(&shared).map_err(LoadError::decline)?;
        Ok(Self {
            drivers,
            publisher,
            _healer: healer,
            _resolver: resolver,
            shared,
            completion: Mutex::default(),
            complained_at: Mutex::default(),
        })
    }

    fn reload(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        configuration::reload(&self.shared)?;
        self.drivers.report_all();
        Ok(())
    }

    /// Asterisk ends with us loaded: withdraw as an unload does.
    fn shutdown(&self) {
        self.drivers.close();
        self.publisher.withdraw();
    }
}

/// First nobody reports registrations any more; then, as the fields are dropped, the publisher
/// withdraws what there is, and ends.
impl Drop for AppUniversal {
    fn drop(&mut self) {
        self.drivers.close();
    }
}

asterisk::module!(AppUniversal);
