//! Who may connect at all, decided before anything is read of them, or encrypted for them.

use std::future::{Ready, ready};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum_server::accept::Accept;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower_http::add_extension::AddExtension;

use crate::hub::{Hub, lock};

/// Connections at once, but for those of agents, which have one each.
const CONNECTIONS_MAX: usize = 1024;
/// Whoever knocks without end fills no log.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// Lets in whom `acl` permits, while there is room.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    hub: Arc<Hub>,
    room: Arc<Semaphore>,
    complained: Arc<Mutex<Option<Instant>>>,
}

impl Door {
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { hub: Arc::clone(hub), room, complained: Arc::default() }
    }

    fn let_in(&self, stream: &TcpStream) -> io::Result<OwnedSemaphorePermit> {
        let address = stream.peer_addr()?.ip();
        if !self.hub.acl.permits(address) {
            return Err(self.refuse(format_args!("{address} is not let in: `acl` in hub.toml")));
        }
        let permit = Arc::clone(&self.room).try_acquire_owned();
        permit.map_err(|_| {
            let words = format_args!("{address} is not let in: {CONNECTIONS_MAX} are connected");
            self.refuse(words)
        })
    }

    fn refuse(&self, words: std::fmt::Arguments<'_>) -> io::Error {
        let now = Instant::now();
        let mut complained = lock(&self.complained);
        if complained.is_none_or(|at| now.duration_since(at) >= COMPLAIN_EVERY) {
            *complained = Some(now);
            tracing::warn!("{words}");
        }
        io::ErrorKind::PermissionDenied.into()
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = TcpStream;
    /// It has its place for as long as the connection lasts.
    type Service = AddExtension<S, Arc<OwnedSemaphorePermit>>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let let_in = self.let_in(&stream);
        ready(let_in.map(|place| (stream, AddExtension::new(service, Arc::new(place)))))
    }
}
