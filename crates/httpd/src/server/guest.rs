//! A connection with its socket.

use std::time::Instant;

use rustix::event::epoll::EventFlags;

use crate::connection::Connection;
use crate::transport::{Stall, Transport};

use super::service::{Peer, StreamKey};

/// How many reads one connection gets before the others have their turn.
const READS_A_TURN: usize = 8;

/// What a socket was waiting for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Blocked {
    OnRead,
    OnWrite,
}

/// A connection, its socket, and what it waits for.
pub(super) struct Guest {
    pub(super) http: Connection,
    pub(super) peer: Peer,
    /// What it streams, and when to ask for more.
    pub(super) stream: Option<(StreamKey, Instant)>,
    /// Whether it was left with more to read.
    pub(super) is_unfinished: bool,
    pub(super) watched: EventFlags,
    transport: Box<dyn Transport>,
    is_shaking_hands: bool,
    reading: Option<Blocked>,
    writing: Option<Blocked>,
}

impl Guest {
    pub(super) fn new(http: Connection, peer: Peer, transport: Box<dyn Transport>) -> Self {
        Self {
            http,
            peer,
            stream: None,
            is_unfinished: false,
            watched: EventFlags::empty(),
            transport,
            is_shaking_hands: true,
            reading: None,
            writing: None,
        }
    }

    pub(super) fn socket(&self) -> std::os::fd::BorrowedFd<'_> {
        self.transport.socket()
    }

    /// The socket may be able to do what it could not.
    pub(super) fn unblock(&mut self) {
        (self.reading, self.writing) = (None, None);
    }

    /// Goes on with the handshake. Says whether it is over; `Err` if the connection is.
    pub(super) fn shake_hands(&mut self) -> Result<bool, ()> {
        if self.is_shaking_hands {
            match self.transport.handshake() {
                Ok(()) => self.is_shaking_hands = false,
                Err(Stall::WantRead) => self.reading = Some(Blocked::OnRead),
                Err(Stall::WantWrite) => self.reading = Some(Blocked::OnWrite),
                Err(Stall::Failed(_)) => return Err(()),
            }
        }
        Ok(!self.is_shaking_hands)
    }

    /// Sends what there is, as far as it is taken.
    pub(super) fn send(&mut self, now: Instant, date: &str) -> Result<(), ()> {
        while self.writing.is_none() && !self.http.output().is_empty() {
            match self.transport.write(self.http.output()) {
                Ok(0) | Err(Stall::Failed(_)) => return Err(()),
                Ok(sent) => self.http.sent(sent, now, date),
                Err(Stall::WantRead) => self.writing = Some(Blocked::OnRead),
                Err(Stall::WantWrite) => self.writing = Some(Blocked::OnWrite),
            }
        }
        if self.http.take_shutdown() {
            self.transport.shutdown();
        }
        Ok(())
    }

    /// Reads what there is, as far as it is wanted, up to a whole request. With one in hand it
    /// reads once, so that an end is noticed.
    pub(super) fn read(&mut self, now: Instant, date: &str, buffer: &mut [u8]) -> Result<(), ()> {
        self.is_unfinished = false;
        for nth in 0..READS_A_TURN {
            let has_request = nth > 0 && self.http.in_hand().is_some();
            if self.reading.is_some() || has_request || !self.http.wants_input() {
                return Ok(());
            }
            match self.transport.read(buffer) {
                Ok(0) => self.http.receive_end(),
                Ok(read) => {
                    self.http.receive(&buffer[..read], now, date);
                    if read < buffer.len() && !self.transport.may_hold_back() {
                        self.reading = Some(Blocked::OnRead);
                    }
                }
                Err(Stall::WantRead) => self.reading = Some(Blocked::OnRead),
                Err(Stall::WantWrite) => self.reading = Some(Blocked::OnWrite),
                Err(Stall::Failed(_)) => return Err(()),
            }
        }
        self.is_unfinished = true;
        Ok(())
    }

    /// Whether its stream can be asked for more at once.
    pub(super) fn has_stream_due(&self, now: Instant) -> bool {
        self.stream.is_some_and(|(_, at)| at <= now) && self.http.has_stream_room()
    }

    /// What the poller shall tell.
    pub(super) fn interest(&self) -> EventFlags {
        let mut flags = EventFlags::empty();
        if self.is_shaking_hands || self.http.wants_input() {
            let on_write = self.reading == Some(Blocked::OnWrite);
            flags |= if on_write { EventFlags::OUT } else { EventFlags::IN };
        }
        if !self.is_shaking_hands && !self.http.output().is_empty() {
            let on_read = self.writing == Some(Blocked::OnRead);
            flags |= if on_read { EventFlags::IN } else { EventFlags::OUT };
        }
        flags
    }
}
