//! A thread that serves its share of the connections.
//!
//! One wait for events, then for each connection that has some: one read, its commands, one
//! write. A connection that sends a lot is served a buffer at a time, in turn with the others.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};

use super::connection::{Buffers, Connection, Next};
use crate::clock::Now;
use crate::counters::Counters;
use crate::feed::Bell;
use crate::protocol::Env;
use crate::stats::Shared;

/// What is read at once.
const READ_BYTES: usize = 64 * 1024;
/// Events that are taken at once.
const EVENTS: usize = 1024;
/// The waker's token; connections have those below it.
const WAKE: Token = Token(usize::MAX);

/// How others reach a worker.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    inside: Arc<Mutex<Vec<TcpStream>>>,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
}

impl Mailbox {
    /// Gives the worker a connection.
    pub(crate) fn give(&self, stream: TcpStream) {
        self.inside.lock().expect("no thread has panicked here").push(stream);
        self.wake();
    }

    /// Has the worker end.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
    }

    fn wake(&self) {
        // It fails only when the worker is gone.
        let _ = self.waker.wake();
    }
}

/// A worker, to be run by a thread of its own.
#[derive(Debug)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    poll: Poll,
    mailbox: Mailbox,
    bell: Bell,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Connections that are to be served again though no event tells of them.
    again: Vec<usize>,
    watching: Vec<usize>,
    buffers: Buffers,
    /// The time when the last wait ended: all that it brought is served at that time.
    now: Now,
}

impl Worker {
    /// # Errors
    ///
    /// If the system has no more of what it needs.
    pub(crate) fn new(shared: Arc<Shared>, number: usize) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let mailbox =
            Mailbox { inside: Arc::default(), stop: Arc::default(), waker: Arc::clone(&waker) };
        Ok(Self {
            counters: shared.counters(number),
            now: shared.clock.now(),
            shared,
            poll,
            mailbox,
            bell: Bell(waker),
            connections: Vec::new(),
            free: Vec::new(),
            again: Vec::new(),
            watching: Vec::new(),
            buffers: Buffers {
                input: vec![0; READ_BYTES].into_boxed_slice(),
                output: Vec::with_capacity(READ_BYTES),
            },
        })
    }

    pub(crate) fn mailbox(&self) -> Mailbox {
        self.mailbox.clone()
    }

    /// Serves until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.mailbox.stop.load(Ordering::Relaxed) {
            let timeout = (!self.again.is_empty()).then_some(Duration::ZERO);
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                // epoll_wait(2) fails otherwise only when it is used wrongly.
                debug_assert!(false, "{error}");
                break;
            }
            self.now = self.shared.clock.now();
            for event in &events {
                match event.token() {
                    WAKE => self.woken(),
                    Token(place) => {
                        let Some(Some(connection)) = self.connections.get_mut(place) else {
                            continue;
                        };
                        if event.is_readable() || event.is_read_closed() || event.is_error() {
                            connection.may_read(event.is_read_closed() || event.is_error());
                        }
                        self.serve(place);
                    }
                }
            }
            for place in std::mem::take(&mut self.again) {
                self.counters.conn_yields.count();
                self.serve(place);
            }
        }
        for place in 0..self.connections.len() {
            self.close(place);
        }
    }

    fn serve(&mut self, place: usize) {
        let Some(Some(connection)) = self.connections.get_mut(place) else { return };
        let watched = connection.watches();
        let env =
            Env { shared: &self.shared, counters: &self.counters, now: self.shared.clock.now() };
        match connection.serve(env, &self.bell, &mut self.buffers) {
            Next::Wait => {}
            Next::Again if self.again.contains(&place) => {}
            Next::Again => self.again.push(place),
            Next::Close => return self.close(place),
        }
        if connection.watches() && !watched {
            self.watching.push(place);
        }
    }

    /// There are new connections, or news for those that watch.
    fn woken(&mut self) {
        let new =
            std::mem::take(&mut *self.mailbox.inside.lock().expect("no thread has panicked here"));
        for stream in new {
            self.add(stream);
        }
        for place in self.watching.clone() {
            self.serve(place);
        }
    }

    fn add(&mut self, stream: TcpStream) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        let mut connection = Connection::new(stream);
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered =
            self.poll.registry().register(&mut connection.stream, Token(place), interest);
        self.connections[place] = Some(connection);
        match registered {
            Ok(()) => self.serve(place),
            // The system has no memory for it.
            Err(_) => self.close(place),
        }
    }

    fn close(&mut self, place: usize) {
        let Some(mut connection) = self.connections[place].take() else { return };
        connection.end(&self.shared);
        // Closing the socket takes it out of epoll as well.
        drop(connection);
        self.again.retain(|&other| other != place);
        self.watching.retain(|&other| other != place);
        self.free.push(place);
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
