//! Who may connect at all, decided before anything is read of them, or encrypted for them.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum_server::accept::Accept;
use tokio::net::TcpStream;
use tower_http::add_extension::AddExtension;

use crate::hub::{Hub, lock};

/// Connections at once, but for those of agents, which have one each.
const CONNECTIONS_MAX: usize = 1024;
/// The same of one address: it keeps out nobody but itself.
const OF_ADDRESS_MAX: usize = 256;
/// Whoever knocks without end fills no log.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// Lets in whom `acl` permits, while there is room.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    hub: Arc<Hub>,
    places: Arc<Mutex<Places>>,
    complained: Arc<Mutex<Option<Instant>>>,
}

/// Who is inside.
#[derive(Debug, Default)]
struct Places {
    by_address: HashMap<IpAddr, usize>,
    taken: usize,
}

/// A place inside; it is free again when this goes.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Mutex<Places>>,
    of: IpAddr,
}

impl Door {
    pub(crate) fn new(hub: &Arc<Hub>) -> Self {
        Self { hub: Arc::clone(hub), places: Arc::default(), complained: Arc::default() }
    }

    fn let_in(&self, stream: &TcpStream) -> io::Result<Place> {
        let address = stream.peer_addr()?.ip();
        if !self.hub.acl.permits(address) {
            return Err(self.refuse(format_args!("{address} is not let in: `acl` in hub.toml")));
        }
        Place::take(&self.places, address).ok_or_else(|| {
            let of = format_args!("{CONNECTIONS_MAX} connections, {OF_ADDRESS_MAX} of an address");
            self.refuse(format_args!("{address} is not let in: there are {of}, and no more"))
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

impl Place {
    fn take(places: &Arc<Mutex<Places>>, of: IpAddr) -> Option<Self> {
        let of = of.to_canonical();
        let mut all = lock(places);
        let own = all.by_address.get(&of).copied().unwrap_or_default();
        if all.taken >= CONNECTIONS_MAX || own >= OF_ADDRESS_MAX {
            return None;
        }
        all.by_address.insert(of, own + 1);
        all.taken += 1;
        drop(all);
        Some(Self { places: Arc::clone(places), of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = lock(&self.places);
        all.taken = all.taken.saturating_sub(1);
        if let Some(own) = all.by_address.get_mut(&self.of) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                all.by_address.remove(&self.of);
            }
        }
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = TcpStream;
    /// It has its place for as long as the connection lasts.
    type Service = AddExtension<S, Arc<Place>>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let let_in = self.let_in(&stream);
        ready(let_in.map(|place| (stream, AddExtension::new(service, Arc::new(place)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_keeps_out_itself_alone_and_a_place_is_free_again() {
        let places = Arc::default();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let take = |last, count: usize| -> Vec<Place> {
            (0..count).map_while(|_| Place::take(&places, address(last))).collect()
        };
        let first = take(1, OF_ADDRESS_MAX + 1);
        assert_eq!(first.len(), OF_ADDRESS_MAX);
        let others: Vec<Place> = (2..10).flat_map(|last| take(last, OF_ADDRESS_MAX)).collect();
        assert_eq!(first.len() + others.len(), CONNECTIONS_MAX);
        assert!(take(20, 1).is_empty(), "there is no room");
        drop(first);
        assert_eq!(take(20, 1).len(), 1);
        drop(others);
        assert!(lock(&places).by_address.is_empty() && lock(&places).taken == 0);
    }
}
