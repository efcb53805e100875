//! `pbx_web.so`: a web server inside Asterisk.
//!
//! Glue only. What a request means is decided in `attendant`, HTTP is `httpd`'s, neither of which
//! has Asterisk in it; what Asterisk is, `asterisk` knows.
//!
//! - `configuration`: `pbx_web.conf` into settings and a certificate;
//! - `house`: the server as it runs, begins and is reloaded;
//! - `pbx`: what the attendant asks of Asterisk;
//! - `secured`: TLS;
//! - `commands`: what the CLI calls.

use std::{
    error::Error,
    ffi::CStr,
    sync::{Mutex, MutexGuard, PoisonError},
};

use asterisk::{LoadError, Module, Registry};

mod commands;
mod configuration;
mod house;
mod pbx;
mod secured;

use house::House;

/// The module's name; its file is `pbx_web.so`.
const NAME: &CStr = c"pbx_web";

/// All that lives between load and unload.
struct PbxWeb {
    /// No worker of the server's ever wants this: whoever holds it may wait for them.
    house: Mutex<House>,
}

impl Module for PbxWeb {
    const NAME: &'static CStr = NAME;
    const DESCRIPTION: &'static CStr =
        c"Web pages: what Asterisk is doing, its console and its log";
    const RELOADABLE: bool = true;

    fn load(registry: &mut Registry<Self>) -> Result<Self, LoadError> {
        commands::register(registry);
        let settings = configuration::read_if_there().map_err(LoadError::decline)?;
        let house = House::new(settings).map_err(LoadError::decline)?;
        Ok(Self { house: Mutex::new(house) })
    }

    fn reload(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut house = self.house();
        // A file that is gone is a mistake, and no way to lock everybody out.
        let settings =
            if house.is_on() { configuration::read()? } else { configuration::read_if_there()? };
        Ok(house.reload(settings)?)
    }

    /// Asterisk ends with us loaded: what we ask is going to be taken down.
    fn shutdown(&self) {
        self.house().close();
    }
}

impl PbxWeb {
    fn house(&self) -> MutexGuard<'_, House> {
        self.house.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

asterisk::module!(PbxWeb);
