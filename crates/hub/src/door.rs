//! Who may connect at all, decided before anything is read of them, or encrypted for them.
//!
//! When there is no room, whoever came first of those who have not shown who they are gives way: neither half a
//! request on each connection nor a whole one keeps anybody out.

use std::collections::{HashMap, VecDeque};
use std::future::{Ready, ready};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use acl::network_of;
use axum_server::accept::Accept;
use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower_http::add_extension::AddExtension;

use crate::hub::{Hub, lock};

/// Connections at once, but for those of agents, which have one each.
const CONNECTIONS_MAX: usize = 1024;
/// The same of one address, or one /64 of IPv6: it keeps out nobody but itself.
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
    /// Those of whom nobody knows yet who they are, the first that came first.
    strangers: VecDeque<Arc<Guest>>,
}

/// A place inside; it is free again when this goes.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Mutex<Places>>,
    guest: Arc<Guest>,
}

/// Who has a place.
#[derive(Debug)]
struct Guest {
    of: IpAddr,
    is_known: AtomicBool,
    /// Somebody else has the place: the connection is to end.
    is_over: AtomicBool,
    ends: AtomicWaker,
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

impl Places {
    fn is_full(&self, of: IpAddr) -> bool {
        self.taken >= CONNECTIONS_MAX || self.has_all_it_may(of)
    }

    fn has_all_it_may(&self, of: IpAddr) -> bool {
        self.by_address.get(&of).is_some_and(|own| *own >= OF_ADDRESS_MAX)
    }

    fn leave(&mut self, of: IpAddr) {
        self.taken = self.taken.saturating_sub(1);
        if let Some(own) = self.by_address.get_mut(&of) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                self.by_address.remove(&of);
            }
        }
    }

    /// Makes room for one more of that address: the stranger goes who came first, of the same address if that has
    /// as many as it may.
    fn make_room(&mut self, of: IpAddr) {
        self.strangers.retain(|guest| !guest.is_known.load(Ordering::Relaxed));
        let is_its_own = self.has_all_it_may(of);
        let first = self.strangers.iter().position(|guest| !is_its_own || guest.of == of);
        if let Some(guest) = first.and_then(|at| self.strangers.remove(at)) {
            guest.is_over.store(true, Ordering::Relaxed);
            guest.ends.wake();
            self.leave(guest.of);
        }
    }
}

impl Place {
    fn take(places: &Arc<Mutex<Places>>, of: IpAddr) -> Option<Self> {
        let of = network_of(of);
        let mut all = lock(places);
        if all.is_full(of) {
            all.make_room(of);
        }
        if all.is_full(of) {
            return None;
        }
        *all.by_address.entry(of).or_default() += 1;
        all.taken += 1;
        let (is_known, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
        let guest = Arc::new(Guest { of, is_known, is_over, ends: AtomicWaker::new() });
        all.strangers.push_back(Arc::clone(&guest));
        Some(Self { places: Arc::clone(places), guest })
    }

    /// Somebody who is known has it: it is not taken away for others.
    pub(crate) fn is_of_somebody(&self) {
        self.guest.is_known.store(true, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = lock(&self.places);
        all.strangers.retain(|guest| !Arc::ptr_eq(guest, &self.guest));
        if !self.guest.is_over.load(Ordering::Relaxed) {
            all.leave(self.guest.of);
        }
    }
}

/// A connection that ends when its place is taken away.
#[derive(Debug)]
pub(crate) struct Guarded {
    stream: TcpStream,
    guest: Arc<Guest>,
}

impl Guarded {
    /// An error if the place was taken away; else the task is woken when it is.
    fn check(&self, context: &task::Context<'_>) -> io::Result<()> {
        self.guest.ends.register(context.waker());
        match self.guest.is_over.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::ConnectionAborted.into()),
            false => Ok(()),
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_read(context, buf)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write(context, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> Accept<TcpStream, S> for Door {
    type Stream = Guarded;
    /// It has its place for as long as the connection lasts.
    type Service = AddExtension<S, Arc<Place>>;
    type Future = Ready<io::Result<(Self::Stream, Self::Service)>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let let_in = self.let_in(&stream);
        ready(let_in.map(|place| {
            let guarded = Guarded { stream, guest: Arc::clone(&place.guest) };
            (guarded, AddExtension::new(service, Arc::new(place)))
        }))
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
            let taken = (0..count).map_while(|_| Place::take(&places, address(last)));
            taken.inspect(|place| place.is_of_somebody()).collect()
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

    #[test]
    fn strangers_give_way_the_first_that_came_first_and_nobody_else_does() {
        let places = Arc::default();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let known = Place::take(&places, address(1)).expect("there is room");
        known.is_of_somebody();
        let strangers: Vec<_> = (0..CONNECTIONS_MAX - 1)
            .map(|number| Place::take(&places, address(2 + (number % 8) as u8)).expect("room"))
            .collect();
        let is_over = |place: &Place| place.guest.is_over.load(Ordering::Relaxed);
        let late = Place::take(&places, address(30)).expect("somebody gives way");
        assert!(is_over(&strangers[0]) && !is_over(&strangers[1]) && !is_over(&known));
        drop(strangers);
        assert_eq!(lock(&places).taken, 2, "who gave way is not counted twice");
        let own: Vec<_> = (0..OF_ADDRESS_MAX)
            .map(|_| Place::take(&places, address(30)).expect("its own give way"))
            .collect();
        assert!(is_over(&late) && !is_over(&known) && own.iter().all(|place| !is_over(place)));
        drop((late, own));
        assert_eq!(lock(&places).taken, 1);
        // With both bounds reached, too, an address makes room for itself alone.
        let others: Vec<_> = (0..CONNECTIONS_MAX - 1)
            .map(|number| Place::take(&places, address(2 + (number % 8) as u8)).expect("room"))
            .collect();
        assert_eq!(lock(&places).taken, CONNECTIONS_MAX);
        let own: Vec<_> = (0..OF_ADDRESS_MAX)
            .map(|_| Place::take(&places, address(40)).expect("the oldest give way"))
            .collect();
        let gone = || others.iter().filter(|place| is_over(place)).count();
        let before = gone();
        let next = Place::take(&places, address(40)).expect("its own give way");
        assert!(is_over(&own[0]) && gone() == before && !is_over(&known));
        drop((known, others, own, next));
        assert!(lock(&places).by_address.is_empty() && lock(&places).taken == 0);
    }
}
