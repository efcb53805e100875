//! An IAX2 phone: one more Asterisk that registers at a server as a phone does, and answers with an echo.
//!
//! A caller who hears its own tone come back has been heard and has heard: that is both directions.
//!
//! chan_iax2 never gives a registration back (no code in it sends REGREL), and a phone does; so
//! [`IaxPhone::unregister_at`] takes the registration out of the Asterisk and gives it back itself, with
//! [`crate::iax_release`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{ServerConfig, phone_secret};
use crate::error::Result;
use crate::iax_release;
use crate::place::Place;
use crate::server::{Asterisk, IAX_PORT};
use crate::wait::wait_until;

/// How long a registration, or its end, may take.
const REGISTER_WITHIN: Duration = Duration::from_secs(15);
const IAX_CONF: &str = "iax.conf";
const ANSWER: &str = "[answer]\nexten => _[0-9a-z].,1,Answer()\n same => n,Echo()\n\
                      exten => s,1,Answer()\n same => n,Echo()\n";

/// A running IAX2 phone.
#[derive(Debug)]
pub struct IaxPhone {
    number: String,
    asterisk: Asterisk,
    /// Addresses by the names of the servers that it registers at.
    registered: Mutex<BTreeMap<String, SocketAddr>>,
    conf: String,
}

impl IaxPhone {
    pub(crate) fn start(place: &Arc<Place>, number: &str) -> Result<Self> {
        let host = place.phone_address().octets()[3];
        let config = ServerConfig::bare(&format!("iax-phone-{number}-{host}"), host)
            .file("modules.conf", include_str!("../conf/iax-phone-modules.conf"))
            .file(IAX_CONF, include_str!("../conf/iax-phone.conf"))
            .extensions(ANSWER);
        let asterisk = Asterisk::prepare(place, &config)?;
        let conf = asterisk.read_file(IAX_CONF)?;
        asterisk.start()?;
        Ok(Self {
            number: number.to_owned(),
            asterisk,
            registered: Mutex::new(BTreeMap::new()),
            conf,
        })
    }

    /// The Asterisk that plays the phone.
    #[must_use]
    pub fn asterisk(&self) -> &Asterisk {
        &self.asterisk
    }

    /// Registers at a server and returns when that has happened. It asks for 60 seconds, as chan_iax2 does, and
    /// refreshes in time; the server's `minregexpire` and `maxregexpire` may make that another time.
    ///
    /// # Errors
    ///
    /// [`crate::LabError::TimedOut`] if the server does not take it.
    pub fn register_at(&self, server: &Asterisk) -> Result<()> {
        let address = SocketAddr::from((server.address(), IAX_PORT));
        self.change(|registered| {
            registered.insert(server.name().to_owned(), address);
        })?;
        let what = format!("{} is registered at {}", self.asterisk.name(), server.name());
        wait_until(&what, REGISTER_WITHIN, &self.asterisk.log(), || self.is_registered_at(server))
    }

    /// Gives its registration at a server back, and returns when the server no longer has it.
    ///
    /// # Errors
    ///
    /// If the server does not take it back.
    pub fn unregister_at(&self, server: &Asterisk) -> Result<()> {
        self.change(|registered| {
            registered.remove(server.name());
        })?;
        let log = self.asterisk.log();
        iax_release::release(
            (self.asterisk.address(), 0).into(),
            (server.address(), IAX_PORT).into(),
            &self.number,
            &phone_secret(&self.number),
            &log,
        )?;
        let what = format!("{} is no longer registered at {}", self.asterisk.name(), server.name());
        wait_until(&what, REGISTER_WITHIN, &log, || Ok(!self.is_registered_at(server)?))
    }

    /// Whether the server has this phone at this phone's address.
    ///
    /// # Errors
    ///
    /// As [`Asterisk::cli`].
    pub fn is_registered_at(&self, server: &Asterisk) -> Result<bool> {
        let peer = server.cli(&format!("iax2 show peer {}", self.number))?;
        let address = format!(" {} ", self.asterisk.address());
        Ok(peer.lines().any(|line| line.contains("Addr->IP") && line.contains(&address)))
    }

    /// Calls a number at a server and gives it an echo.
    ///
    /// # Errors
    ///
    /// As [`Asterisk::cli`].
    pub fn dial(&self, server: &Asterisk, number: &str) -> Result<()> {
        let (user, secret) = (&self.number, phone_secret(&self.number));
        let call = format!("IAX2/{user}:{secret}@{}/{number}", server.address());
        self.asterisk.cli(&format!("channel originate {call} application Echo")).map(drop)
    }

    /// SIGKILL: it is gone, and tells nobody.
    pub fn kill(&self) {
        self.asterisk.kill();
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, SocketAddr>)) -> Result<()> {
        let mut registered = self.registered.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut registered);
        let secret = phone_secret(&self.number);
        let lines = registered
            .values()
            .map(|address| format!("register => {}:{secret}@{}\n", self.number, address.ip()));
        // Registrations belong to the section `general`, which may be opened again.
        let conf = format!("{}\n[general](+)\n{}", self.conf, lines.collect::<String>());
        self.asterisk.write_file(IAX_CONF, &conf)?;
        self.asterisk.cli("iax2 reload").map(drop)
    }
}
