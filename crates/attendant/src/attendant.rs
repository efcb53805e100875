//! The whole of it, running.

use std::ffi::CStr;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use httpd::{Limits, Server, Spawn, Start, StartError, Wrap};

use crate::desk::Desk;
use crate::listen::listen_at;
use crate::pbx::Pbx;
use crate::settings::Settings;
use crate::shared::Shared;

/// Names of the threads: I/O, workers.
const THREADS: [&CStr; 2] = [c"pbx_web", c"pbx_web-work"];

/// A running pbx_web. Dropping it ends it: connections, commands, threads.
pub struct Attendant {
    server: Server,
    shared: Arc<Shared>,
    /// What it was started with, for what a reload cannot change.
    started: Settings,
}

/// Why it could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BeginError {
    /// The address is not this machine's, or the port is taken.
    #[error("{address} cannot be listened at: {source}; see port and bind in pbx_web.conf")]
    Bind {
        /// From the settings.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The system is short of something.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Attendant {
    /// Starts it. `wrap` is plain ([`httpd::PlainWrap`]) or TLS, as [`Settings::tls`] wants it.
    ///
    /// Touches no thread-local storage with a destructor, so threads that are not ours may call.
    ///
    /// # Errors
    ///
    /// [`BeginError`]; nothing runs then.
    pub fn begin(
        settings: Settings,
        pbx: Arc<dyn Pbx>,
        wrap: Box<dyn Wrap>,
        spawn: Spawn<'_>,
    ) -> Result<Self, BeginError> {
        let address = settings.address();
        let listener = listen_at(address).map_err(|source| BeginError::Bind { address, source })?;
        let started = settings.clone();
        let shared = Arc::new(Shared::new(settings, pbx).map_err(|_| BeginError::Random)?);
        let start = Start {
            listeners: vec![listener],
            wrap,
            limits: Limits::default(),
            service: Desk::new(shared.clone()),
            names: THREADS,
        };
        Ok(Self { server: Server::start(start, spawn)?, shared, started })
    }

    /// Brings new settings into force: users, access list, host names, bounds of the console.
    /// Returns the names of what differs and needs a new start.
    pub fn reload(&self, settings: Settings) -> Vec<&'static str> {
        let needs_restart = settings.needs_restart(&self.started);
        self.shared.reload(settings);
        self.server.waker().wake();
        needs_restart
    }

    /// The settings as they run: where it listens, and how, is what it was started with; the rest
    /// is of the last reload. Their [`Settings::warnings`] are about what there is, whatever the
    /// file says.
    #[must_use]
    pub fn in_force(&self) -> Settings {
        self.shared.settings().with_start_of(&self.started)
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        self.server.addresses()
    }
}

impl Drop for Attendant {
    fn drop(&mut self) {
        // Before the threads are waited for.
        self.shared.stop();
    }
}
