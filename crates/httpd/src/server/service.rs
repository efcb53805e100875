//! What a server serves: the caller's side of it.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use rustix::event::epoll;

use crate::refusal::Refusal;
use crate::request::Request;
use crate::response::Response;

use super::waker::Waker;
use super::workers::Queue;

/// What the caller does with connections and requests.
///
/// It belongs to the I/O thread and is called on it only, so nothing here may wait. What may wait
/// goes to a worker: [`Answer::Work`], [`Context::submit`].
pub trait Service: Send + 'static {
    /// Whether that address may connect; asked before anything is read or a handshake begins.
    fn admits(&mut self, peer: &Peer) -> bool;

    /// A request.
    fn request(&mut self, context: &mut Context<'_>, peer: &Peer, request: Request) -> Answer;

    /// How it looks when the server itself refuses a request, or has lost it: what is no request,
    /// or too long, or late (400, 408, 413, 504, ...), and what is too much (429, 503). Length,
    /// status and `Retry-After` are the server's. There is no `self`, for nothing is to be decided
    /// here, only said.
    #[must_use]
    fn refusal(refusal: &Refusal<'_>) -> Response
    where
        Self: Sized,
    {
        refusal.as_text()
    }

    /// More of a stream that was answered with [`Answer::Stream`].
    fn stream(&mut self, context: &mut Context<'_>, key: StreamKey) -> Next;

    /// Nobody reads that stream any more.
    fn stream_over(&mut self, context: &mut Context<'_>, key: StreamKey);

    /// A socket of the caller's ([`Context::watch`]) is ready.
    fn ready(&mut self, context: &mut Context<'_>, key: u64, ready: Ready);

    /// After something happened, and when the time that it returned is over. Returns when to be
    /// called again at the latest.
    fn tick(&mut self, context: &mut Context<'_>) -> Option<Instant>;
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Their address; one of IPv4 that came in IPv6 is the former.
    pub remote: SocketAddr,
    /// Ours that they connected to.
    pub local: SocketAddr,
    /// Whether what is said cannot be overheard.
    pub is_secure: bool,
}

/// What becomes of a request.
pub enum Answer {
    /// This is the answer.
    Now(Response),
    /// A worker makes it; 503 if too much waits for them already.
    Work(Job),
    /// This begins it, and the rest is asked for by this key; 503 if there are too many streams,
    /// 429 if that address has too many.
    Stream(Response, StreamKey),
}

/// What a worker does for an answer.
pub type Job = Box<dyn FnOnce() -> Again + Send>;

/// What came of it.
pub enum Again {
    /// The answer.
    Respond(Response),
    /// The service is asked again, for what it waited for is there now.
    Request(Request),
}

/// A name for a stream, the service's to choose.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct StreamKey(pub u64);

/// What follows in a stream.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// These bytes, and perhaps more at once.
    Data(Vec<u8>),
    /// Nothing until that time, or until [`Context::wake_streams`] or [`Waker::wake`].
    Wait(Instant),
    /// Nothing any more.
    End,
}

/// What a socket of the caller's is watched for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interest {
    /// That it can be read.
    pub read: bool,
    /// That it can be written.
    pub write: bool,
}

/// What it can do. After an error or an end both are set: reading says which.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ready {
    /// Read it.
    pub read: bool,
    /// Write to it.
    pub write: bool,
}

/// Too much waits for the workers already.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("too much waits for the workers already")]
pub struct Busy;

/// What a service may use while it is called.
pub struct Context<'a> {
    pub(super) now: Instant,
    pub(super) epoll: BorrowedFd<'a>,
    pub(super) queue: &'a Queue,
    pub(super) waker: &'a Waker,
    pub(super) streams_woken: &'a mut bool,
}

/// The largest key that a watched socket may have.
pub(super) const WATCH_KEY_MAX: u64 = (1 << 62) - 1;

impl Context<'_> {
    /// The time of this turn.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Gives a worker something to do that nobody's answer depends on. It tells what came of it
    /// through the [`Waker`].
    ///
    /// # Errors
    ///
    /// [`Busy`]: try later.
    pub fn submit(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        self.queue.push(super::workers::Task::Background(Box::new(job))).map_err(|_| Busy)
    }

    /// For workers, and threads of others, to have the service ticked and streams asked.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Streams that wait are asked in this turn.
    pub fn wake_streams(&mut self) {
        *self.streams_woken = true;
    }

    /// Watches a socket of the caller's, which must not block. `key` says which it is; of it the
    /// two highest bits are lost.
    ///
    /// # Errors
    ///
    /// What `epoll_ctl` says.
    pub fn watch(
        &self,
        socket: BorrowedFd<'_>,
        key: u64,
        interest: Interest,
    ) -> std::io::Result<()> {
        let data = super::token::Token::Watched(key & WATCH_KEY_MAX).data();
        Ok(epoll::add(self.epoll, socket, data, interest.flags())?)
    }

    /// No longer watches it. Do this before it is closed: a process that was forked off may hold
    /// a copy of it, which would go on being watched.
    pub fn unwatch(&self, socket: BorrowedFd<'_>) {
        let _ = epoll::delete(self.epoll, socket);
    }
}

impl Interest {
    pub(super) fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, self.read);
        flags.set(epoll::EventFlags::OUT, self.write);
        flags
    }
}
