//! The thread that accepts connections, and deals them out to the workers in turn.

use std::io::{self, ErrorKind, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use socket2::{Domain, Protocol, Socket, Type};

use super::worker::Mailbox;
use crate::stats::Shared;

/// Until it is tried again after the system refused to accept: it may have run out of open files.
const RETRY_AFTER: Duration = Duration::from_millis(10);
/// The waker's token; listening sockets have those below it.
const WAKE: Token = Token(usize::MAX);

/// Connections that may wait to be accepted, as with memcached (`-b`).
const WAITING_MAX: i32 = 1024;

/// What those hear who are one too many. As memcached.
const TOO_MANY: &[u8] = b"ERROR Too many open connections\r\n";

/// Accepts connections, in a thread of its own.
#[derive(Debug)]
pub(crate) struct Listener {
    shared: Arc<Shared>,
    poll: Poll,
    sockets: Vec<TcpListener>,
    workers: Vec<Mailbox>,
    next: usize,
}

/// Has the listener end.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    told: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Stop {
    pub(crate) fn tell(&self) {
        self.told.store(true, Ordering::Relaxed);
        // It fails only when the listener is gone.
        let _ = self.waker.wake();
    }
}

impl Listener {
    /// # Errors
    ///
    /// If the system has no more of what it needs.
    pub(crate) fn new(
        shared: Arc<Shared>,
        mut sockets: Vec<TcpListener>,
        workers: Vec<Mailbox>,
    ) -> io::Result<(Self, Stop)> {
        let poll = Poll::new()?;
        for (number, socket) in sockets.iter_mut().enumerate() {
            poll.registry().register(socket, Token(number), Interest::READABLE)?;
        }
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let stop = Stop { told: Arc::default(), waker };
        Ok((Self { shared, poll, sockets, workers, next: 0 }, stop))
    }

    /// Accepts until it is told to stop.
    pub(crate) fn run(mut self, stop: &Stop) {
        let mut events = Events::with_capacity(16);
        let mut retry = None;
        while !stop.told.load(Ordering::Relaxed) {
            if let Err(error) = self.poll.poll(&mut events, retry)
                && error.kind() != ErrorKind::Interrupted
            {
                // epoll_wait(2) fails otherwise only when it is used wrongly.
                debug_assert!(false, "{error}");
                return;
            }
            let refused = (0..self.sockets.len()).any(|number| self.accept_all(number).is_err());
            retry = refused.then_some(RETRY_AFTER);
        }
    }

    /// Accepts all that wait.
    fn accept_all(&mut self, number: usize) -> io::Result<()> {
        loop {
            match self.sockets[number].accept() {
                Ok((stream, _)) => self.accepted(stream),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return Ok(()),
                    // Who was to be accepted has gone.
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => return Err(error),
                },
            }
        }
    }

    fn accepted(&mut self, mut stream: TcpStream) {
        let shared = &self.shared;
        let before = shared.connections.fetch_add(1, Ordering::Relaxed);
        if before >= shared.settings.connections_max {
            shared.connections.fetch_sub(1, Ordering::Relaxed);
            shared.connections_rejected.fetch_add(1, Ordering::Relaxed);
            // It is told if it can be told at once.
            let _ = stream.write(TOO_MANY);
            return;
        }
        shared.connections_total.fetch_add(1, Ordering::Relaxed);
        // It is only slower without.
        let _ = stream.set_nodelay(true);
        self.workers[self.next].give(stream);
        self.next = (self.next + 1) % self.workers.len();
    }
}

/// Opens a listening socket. The standard library's would let only 128 wait to be accepted: a burst
/// of more takes a second, for that is when a client tries again.
///
/// # Errors
///
/// What the system says.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // So that a cache can be started again at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(WAITING_MAX)?;
    Ok(TcpListener::from_std(socket.into()))
}
