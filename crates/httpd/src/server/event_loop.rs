//! The I/O thread: waits for what can go on, and lets it.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::connection::Connection;
use crate::date::http_date;
use crate::limits::Limits;
use crate::transport::Wrap;

use super::guest::Guest;
use super::service::{Context, Interest, Peer, Ready, Service};
use super::slots::Slots;
use super::token::Token;
use super::waker::Waker;
use super::workers::Queue;
use super::{Start, StartError, caught};

/// What is taken from the poller in one turn.
const EVENTS_A_TURN: usize = 256;
/// Connections that the kernel keeps until they are taken. With the standard library's 128 a flood
/// makes others wait for a second, until their kernel tries again.
const BACKLOG: i32 = 1024;
/// What is read at once.
const READ_BYTES: usize = 16 * 1024;
/// Connections that are taken from a listener in one turn.
const ACCEPTS_A_TURN: usize = 64;
/// How many requests one connection gets answered before the others have their turn.
const STEPS_A_TURN: usize = 32;
/// How long nobody is let in when the system has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The thread looks at its timers so often at least.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// All that the I/O thread has.
pub(super) struct EventLoop<S> {
    pub(super) limits: Arc<Limits>,
    pub(super) service: S,
    pub(super) slots: Slots,
    pub(super) queue: Arc<Queue>,
    pub(super) waker: Waker,
    pub(super) now: Instant,
    pub(super) date: String,
    /// How many connections stream.
    pub(super) streams: usize,
    /// Whether streams that wait are to be asked in this turn.
    pub(super) streams_woken: bool,
    epoll: OwnedFd,
    listeners: Vec<TcpListener>,
    wrap: Box<dyn Wrap>,
    buffer: Box<[u8]>,
    date_until: Instant,
    /// When a timer of a connection's may be over, at the earliest.
    next_deadline: Option<Instant>,
    next_tick: Option<Instant>,
    /// Connections that were left with more to read.
    unfinished: Vec<(u32, u32)>,
    accept_again: Option<Instant>,
}

impl<S: Service> EventLoop<S> {
    pub(super) fn new(
        start: Start<S>,
        queue: Arc<Queue>,
        waker: Waker,
    ) -> Result<Self, StartError> {
        let poller = |error: rustix::io::Errno| StartError::Poller(error.into());
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(poller)?;
        epoll::add(&epoll, waker.socket(), Token::Waker.data(), epoll::EventFlags::IN)
            .map_err(poller)?;
        for (listener, index) in start.listeners.iter().zip(0..) {
            let data = Token::Listener(index).data();
            listener.set_nonblocking(true).map_err(StartError::Listener)?;
            rustix::net::listen(listener, BACKLOG)
                .map_err(|error| StartError::Listener(error.into()))?;
            epoll::add(&epoll, listener, data, epoll::EventFlags::IN)
                .map_err(|error| StartError::Listener(error.into()))?;
        }
        let now = Instant::now();
        Ok(Self {
            limits: Arc::new(start.limits),
            service: start.service,
            slots: Slots::default(),
            queue,
            waker,
            now,
            date: String::new(),
            streams: 0,
            streams_woken: false,
            epoll,
            listeners: start.listeners,
            wrap: start.wrap,
            buffer: vec![0; READ_BYTES].into(),
            date_until: now,
            next_deadline: None,
            next_tick: Some(now),
            unfinished: Vec::new(),
            accept_again: None,
        })
    }

    /// The thread's life.
    pub(super) fn run(&mut self) {
        let mut events = Vec::with_capacity(EVENTS_A_TURN);
        while !self.queue.is_stopped() {
            self.wait(&mut events);
            self.set_now();
            for event in events.drain(..) {
                let (flags, data) = (event.flags, event.data);
                self.handle(Token::of(data), flags);
            }
            for (slot, turn) in std::mem::take(&mut self.unfinished) {
                self.drive(slot, turn);
            }
            self.take_answers();
            self.handle_timers();
        }
    }

    fn wait(&mut self, events: &mut Vec<epoll::Event>) {
        let until = [self.next_deadline, self.next_tick, self.accept_again];
        let soonest = until.into_iter().flatten().min();
        let wait = match soonest {
            _ if !self.unfinished.is_empty() || self.streams_woken => Duration::ZERO,
            Some(at) => at.saturating_duration_since(Instant::now()).min(LONGEST_WAIT),
            None => LONGEST_WAIT,
        };
        let wait = Timespec::try_from(wait).unwrap_or_default();
        // Interrupted or not: what has happened is looked at all the same.
        let _ = epoll::wait(&self.epoll, spare_capacity(events), Some(&wait));
    }

    fn set_now(&mut self) {
        self.now = Instant::now();
        if self.now >= self.date_until {
            self.date = http_date(SystemTime::now());
            self.date_until = self.now + Duration::from_millis(500);
        }
    }

    fn handle(&mut self, token: Token, flags: epoll::EventFlags) {
        let is_broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        match token {
            Token::Waker => {
                self.waker.reset();
                self.streams_woken = true;
                self.tick_soon();
            }
            Token::Listener(index) => self.accept(index),
            Token::Connection { slot, turn } if is_broken => self.close(slot, turn),
            Token::Connection { slot, turn } => {
                if let Some(guest) = self.slots.get(slot, turn) {
                    guest.unblock();
                    self.drive(slot, turn);
                }
            }
            Token::Watched(key) => {
                let ready = Ready {
                    read: is_broken || flags.contains(epoll::EventFlags::IN),
                    write: is_broken || flags.contains(epoll::EventFlags::OUT),
                };
                self.tick_soon();
                self.with_service(|service, context| service.ready(context, key, ready));
            }
        }
    }

    /// The service may have begun something that it wants to go on with.
    pub(super) fn tick_soon(&mut self) {
        self.next_tick = Some(self.now);
    }

    /// Calls the service. `None` if it panicked.
    pub(super) fn with_service<T>(
        &mut self,
        call: impl FnOnce(&mut S, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let mut context = Context {
            now: self.now,
            epoll: self.epoll.as_fd(),
            queue: &self.queue,
            waker: &self.waker,
            streams_woken: &mut self.streams_woken,
        };
        caught(|| call(&mut self.service, &mut context))
    }

    fn accept(&mut self, index: u32) {
        for _ in 0..ACCEPTS_A_TURN {
            match self.listeners[index as usize].accept() {
                Ok((stream, remote)) => {
                    // One that cannot be had is the client's loss only.
                    let _ = self.welcome(stream, remote);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted => {}
                    _ => return self.pause_accepting(),
                },
            }
        }
    }

    fn welcome(
        &mut self,
        stream: std::net::TcpStream,
        remote: std::net::SocketAddr,
    ) -> io::Result<()> {
        let local = stream.local_addr()?;
        let canonical = |mut address: std::net::SocketAddr| {
            address.set_ip(address.ip().to_canonical());
            address
        };
        let is_secure = self.wrap.is_secure();
        let peer = Peer { remote: canonical(remote), local: canonical(local), is_secure };
        let admitted = self.with_service(|service, _| service.admits(&peer)).unwrap_or(false);
        if !admitted || !self.make_room(&peer) {
            return Ok(());
        }
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let transport = self.wrap.wrap(stream)?;
        let http = Connection::new(self.limits.clone(), self.now).refusing_with(S::refusal);
        let mut guest = Guest::new(http, peer, transport);
        guest.watched = epoll::EventFlags::IN;
        let (slot, turn) = self.slots.insert(guest);
        let Some(guest) = self.slots.get(slot, turn) else { return Ok(()) };
        let data = Token::Connection { slot, turn }.data();
        if let Err(error) = epoll::add(&self.epoll, guest.socket(), data, guest.watched) {
            self.slots.remove(slot, turn);
            return Err(error.into());
        }
        // Mostly the first request is there already.
        self.drive(slot, turn);
        Ok(())
    }

    /// Whether there is room for one more, if need be in the place of another.
    fn make_room(&mut self, peer: &Peer) -> bool {
        let address = peer.remote.ip();
        let of = if self.slots.count_of(address) >= self.limits.connections_per_address {
            Some(address)
        } else if self.slots.len() >= self.limits.connections {
            None
        } else {
            return true;
        };
        let Some((slot, turn)) = self.slots.first_to_go(Some(address), of) else { return false };
        self.close(slot, turn);
        true
    }

    fn pause_accepting(&mut self) {
        if let Some((slot, turn)) = self.slots.first_to_go(None, None) {
            self.close(slot, turn);
        }
        self.watch_listeners(Interest { read: false, write: false });
        self.accept_again = Some(self.now + ACCEPT_PAUSE);
    }

    fn watch_listeners(&self, interest: Interest) {
        for (listener, index) in self.listeners.iter().zip(0..) {
            let data = Token::Listener(index).data();
            let _ = epoll::modify(&self.epoll, listener, data, interest.flags());
        }
    }

    /// Lets a connection go on as far as it can.
    pub(super) fn drive(&mut self, slot: u32, turn: u32) {
        if self.go_on(slot, turn).is_err() {
            return self.close(slot, turn);
        }
        let Some(guest) = self.slots.get(slot, turn) else { return };
        if guest.http.is_over() {
            return self.close(slot, turn);
        }
        if guest.is_unfinished {
            self.unfinished.push((slot, turn));
        }
        let wanted = guest.interest();
        let deadline = guest.http.deadline();
        if wanted != guest.watched {
            guest.watched = wanted;
            let data = Token::Connection { slot, turn }.data();
            if epoll::modify(&self.epoll, guest.socket(), data, wanted).is_err() {
                return self.close(slot, turn);
            }
        }
        self.note_deadline(deadline);
    }

    fn go_on(&mut self, slot: u32, turn: u32) -> Result<(), ()> {
        let mut is_fed = false;
        for _ in 0..STEPS_A_TURN {
            let guest = self.slots.get(slot, turn).ok_or(())?;
            guest.is_unfinished = false;
            if !guest.shake_hands()? {
                return Ok(());
            }
            guest.send(self.now, &self.date)?;
            if let Some(request) = guest.http.poll_request() {
                let peer = guest.peer;
                self.ask(slot, turn, peer, request);
                continue;
            }
            if guest.stream.is_some() && !is_fed {
                is_fed = true;
                if self.feed(slot, turn) {
                    continue;
                }
            }
            let guest = self.slots.get(slot, turn).ok_or(())?;
            guest.read(self.now, &self.date, &mut self.buffer)?;
            if !guest.http.has_request() {
                // What a refusal has to say.
                guest.send(self.now, &self.date)?;
                guest.is_unfinished |= guest.has_stream_due(self.now);
                return Ok(());
            }
        }
        let guest = self.slots.get(slot, turn).ok_or(())?;
        guest.is_unfinished = true;
        Ok(())
    }

    /// Ends a connection.
    pub(super) fn close(&mut self, slot: u32, turn: u32) {
        let Some(guest) = self.slots.remove(slot, turn) else { return };
        // A process that was forked off may hold a copy, which would go on being watched.
        let _ = epoll::delete(&self.epoll, guest.socket());
        if let Some((key, _)) = guest.stream {
            self.streams -= 1;
            self.with_service(|service, context| service.stream_over(context, key));
        }
    }

    pub(super) fn note_deadline(&mut self, deadline: Option<Instant>) {
        let next = [self.next_deadline, deadline];
        self.next_deadline = next.into_iter().flatten().min();
    }

    fn handle_timers(&mut self) {
        if self.accept_again.is_some_and(|at| at <= self.now) {
            self.accept_again = None;
            self.watch_listeners(Interest { read: true, write: false });
        }
        if self.next_tick.is_some_and(|at| at <= self.now) {
            self.next_tick = self.with_service(|service, context| service.tick(context)).flatten();
        }
        let is_due = self.next_deadline.is_some_and(|at| at <= self.now);
        if !is_due && !self.streams_woken {
            return;
        }
        let was_woken = std::mem::take(&mut self.streams_woken);
        let now = self.now;
        let due = self.slots.iter().filter(|(_, _, guest)| {
            let is_over = guest.http.deadline().is_some_and(|at| at <= now);
            is_over || guest.stream.is_some_and(|(_, at)| was_woken || at <= now)
        });
        let due: Vec<_> = due.map(|(slot, turn, _)| (slot, turn)).collect();
        self.next_deadline = self.soonest();
        for (slot, turn) in due {
            let Some(guest) = self.slots.get(slot, turn) else { continue };
            guest.http.handle_timeout(now, &self.date);
            if let Some((_, at)) = &mut guest.stream {
                *at = now;
            }
            self.drive(slot, turn);
        }
    }

    /// The soonest deadline that is still to come.
    fn soonest(&self) -> Option<Instant> {
        let all = self.slots.iter().flat_map(|(_, _, guest)| {
            [guest.http.deadline(), guest.stream.map(|(_, at)| at)].into_iter().flatten()
        });
        all.filter(|at| *at > self.now).min()
    }
}
