//! One TCP connection to a cache server, and waiting for several.
//!
//! The socket is in blocking mode, with a receive time limit that is set once: so an answer
//! costs one `recv` and nothing else. Everything but that first wait is done with
//! `MSG_DONTWAIT` and [`wait`]. Sends never wait in the kernel, hence need no time limit.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

/// How much is read at a time.
const READ_BYTES: usize = 16 * 1024;

/// A connection's buffers are given back above this size when it becomes idle.
const IDLE_BUFFER_MAX_BYTES: usize = 64 * 1024;

/// A blocking wait may end this much after the time that is left: kernel timers are no better.
const SLACK: Duration = Duration::from_millis(4);

/// A connection, with what is to be sent on it and what was received and not yet understood.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    /// The receive time limit, if one is set.
    blocking_for: Option<Duration>,
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    used: usize,
    /// When it was last given back.
    pub(crate) idle_since: Instant,
    _open: OpenCount,
}

/// Counts a connection while it is open.
#[derive(Debug)]
pub(crate) struct OpenCount(Arc<AtomicUsize>);

impl OpenCount {
    /// Counts one more, unless there are `max` already.
    pub(crate) fn new(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let open = Self(Arc::clone(count));
        (count.fetch_add(1, Ordering::Relaxed) < max).then_some(open)
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What came of reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Received {
    /// Some bytes.
    Bytes,
    /// Nothing yet.
    Nothing,
    /// The peer has closed.
    End,
}

impl Connection {
    /// Begins to connect; [`Connection::finish_connect`] once it is writable.
    ///
    /// # Errors
    ///
    /// What the kernel says at once.
    pub(crate) fn start(address: SocketAddr, open: OpenCount) -> io::Result<Self> {
        let kind = Type::STREAM.nonblocking();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::TCP))?;
        // Questions are small and each waits for its answer.
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        Ok(Self {
            socket,
            blocking_for: None,
            out: Vec::new(),
            sent: 0,
            input: Vec::new(),
            used: 0,
            idle_since: Instant::now(),
            _open: open,
        })
    }

    /// Ends connecting.
    ///
    /// # Errors
    ///
    /// Why there is no connection.
    pub(crate) fn finish_connect(&mut self) -> io::Result<()> {
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        self.socket.set_nonblocking(false)
    }

    /// Makes [`Connection::receive`] wait for as long as this, if it is to wait. Costs nothing
    /// when it is so already.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub(crate) fn block_for(&mut self, limit: Duration) -> io::Result<()> {
        if self.blocking_for != Some(limit) {
            self.socket.set_read_timeout(Some(limit))?;
            self.blocking_for = Some(limit);
        }
        Ok(())
    }

    /// Whether it would wait for `limit`.
    pub(crate) fn blocks_for(&self, limit: Duration) -> bool {
        self.blocking_for == Some(limit)
    }

    /// Whether waiting in the kernel would end in time.
    pub(crate) fn may_block(&self, left: Duration) -> bool {
        self.blocking_for.is_some_and(|limit| limit <= left + SLACK)
    }

    /// Where to put what is to be sent. All that was put here before has been sent.
    pub(crate) fn out(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.all_sent(), "a batch is asked when the one before it was answered");
        self.out.clear();
        self.sent = 0;
        &mut self.out
    }

    /// Whether nothing is left to send.
    pub(crate) fn all_sent(&self) -> bool {
        self.sent == self.out.len()
    }

    /// Sends what the kernel takes without waiting.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn send(&mut self) -> io::Result<()> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        while !self.all_sent() {
            match self.socket.send_with_flags(&self.out[self.sent..], flags) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives once, waiting for as long as was set if `wait`.
    ///
    /// # Errors
    ///
    /// The connection is broken.
    pub(crate) fn receive(&mut self, wait: bool) -> io::Result<Received> {
        self.input.reserve(READ_BYTES);
        let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
        let count = match self.socket.recv_with_flags(self.input.spare_capacity_mut(), flags) {
            Ok(0) => return Ok(Received::End),
            Ok(count) => count,
            // A signal, or the time limit; the caller knows how much time is left.
            Err(error)
                if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) =>
            {
                return Ok(Received::Nothing);
            }
            Err(error) => return Err(error),
        };
        // SAFETY: recv(2) returned the number of bytes that it wrote to the start of the spare
        // capacity, which is at most that capacity.
        unsafe { self.input.set_len(self.input.len() + count) };
        Ok(Received::Bytes)
    }

    /// What was received and not yet used.
    pub(crate) fn input(&self) -> &[u8] {
        &self.input[self.used..]
    }

    /// The first `count` bytes of [`Connection::input`] are done with.
    pub(crate) fn use_up(&mut self, count: usize) {
        self.used += count;
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        } else if self.used > READ_BYTES {
            self.input.drain(..self.used);
            self.used = 0;
        }
    }

    /// Nothing is under way: nothing unsent, nothing unread.
    pub(crate) fn is_quiet(&self) -> bool {
        self.all_sent() && self.input().is_empty()
    }

    /// Gives large buffers back, before the connection becomes idle.
    pub(crate) fn slim(&mut self) {
        for buffer in [&mut self.out, &mut self.input] {
            if buffer.capacity() > IDLE_BUFFER_MAX_BYTES {
                *buffer = Vec::new();
            }
        }
        (self.sent, self.used) = (0, 0);
        self.out.clear();
    }

    /// The entry for [`wait`].
    pub(crate) fn poll_entry(&self, writable: bool) -> libc::pollfd {
        // While a large batch is sent, its answers must be read, or both sides would wait.
        let events = if writable { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
        libc::pollfd { fd: self.socket.as_raw_fd(), events, revents: 0 }
    }
}

/// Waits until one of `entries` is ready, or for `limit`.
pub(crate) fn wait(entries: &mut [libc::pollfd], limit: Duration) {
    // Rounded up: to wake a moment before the deadline would only mean to poll again.
    let limit_ms = i32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    let count = entries.len() as libc::nfds_t;
    // SAFETY: `entries` is a live, exclusive slice of `count` pollfds, which is what poll(2)
    // reads and writes.
    let ready = unsafe { libc::poll(entries.as_mut_ptr(), count, limit_ms) };
    if ready < 0 {
        // EINTR, or no memory: nothing is known to be ready; the caller looks at the clock.
        entries.iter_mut().for_each(|entry| entry.revents = 0);
    }
}
