//! A line between the servers and a cache that can be made bad: slow, silent, garbled or cut.
//!
//! It passes bytes on and knows nothing of what they mean. Each connection is two threads, one a direction, and
//! there are at most [`CONNECTIONS_MAX`] of them; what is more is closed. A change of [`Line`] holds for
//! connections that are open, too.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::error::{At as _, Result};

/// Connections at once.
const CONNECTIONS_MAX: usize = 256;
/// Bytes that are passed on at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// How long the cache may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How often the listener looks whether it is to go on.
const LOOK_EVERY_MS: libc::c_int = 20;

/// How a line is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Line {
    /// It passes on what it gets.
    #[default]
    Good,
    /// Requests and answers take this long together, each half of it. What was sent arrives, even where who sent
    /// it has gone.
    Slow(Duration),
    /// Of an answer the first half comes, and then nothing any more.
    HalfReply,
    /// In the place of answers come bytes that mean nothing, as many as there were.
    Garbage,
    /// Connections are refused, and those that were open are reset.
    Refused,
}

/// A proxy in front of one cache. Dropping it closes it.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    listens: SocketAddr,
    cache: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    line: Line,
    /// Counts changes, so that who was cut in one bad time does not go on in the next good one.
    changes: u64,
    listening: bool,
    closed: bool,
    open: Vec<(u64, TcpStream, TcpStream)>,
    next: u64,
}

impl Proxy {
    pub(crate) fn start(listens: SocketAddr, cache: SocketAddr) -> Result<Self> {
        let place = listens.to_string();
        let socket = TcpListener::bind(listens).at("listen on", &place)?;
        let state = Mutex::new(State { listening: true, ..State::default() });
        let shared = Arc::new(Shared { listens, cache, state, changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        let listener = thread::spawn(move || listen(&of_thread, Some(socket)));
        Ok(Self { shared, listener: Some(listener) })
    }

    /// Makes the line so, and returns when it is.
    pub fn set(&self, line: Line) {
        let mut state = self.shared.lock();
        // What has lost its place in the answers cannot go on.
        let cut = line == Line::Refused || matches!(state.line, Line::HalfReply | Line::Garbage);
        state.line = line;
        state.changes += 1;
        if cut {
            reset_all(&mut state);
        }
        self.shared.changed.notify_all();
        while state.listening != (line != Line::Refused) && !state.closed {
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        reset_all(&mut state);
        self.shared.changed.notify_all();
        drop(state);
        if let Some(listener) = self.listener.take() {
            let _ended = listener.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `due`, or until it is closed.
    fn wait_until(&self, due: Instant) {
        let mut state = self.lock();
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || state.closed {
                return;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn reset_all(state: &mut State) {
    for (_, near, far) in state.open.drain(..) {
        // They may be closed already.
        let _closed = near.shutdown(Shutdown::Both);
        let _closed = far.shutdown(Shutdown::Both);
    }
}

fn listen(shared: &Arc<Shared>, mut socket: Option<TcpListener>) {
    loop {
        let mut state = shared.lock();
        if state.closed {
            return;
        }
        if state.line == Line::Refused {
            socket = None;
            state.listening = false;
            shared.changed.notify_all();
            drop(shared.changed.wait(state));
            continue;
        }
        if socket.is_none() {
            // Its port cannot be another's: the address is the lab's.
            socket = TcpListener::bind(shared.listens).ok();
            state.listening = socket.is_some();
            shared.changed.notify_all();
        }
        drop(state);
        let Some(listener) = socket.as_ref().filter(|listener| is_ready(listener)) else {
            continue;
        };
        if let Ok((near, _)) = listener.accept() {
            let shared = Arc::clone(shared);
            thread::spawn(move || connect(&shared, near));
        }
    }
}

/// Whether somebody wants to connect; waits for a moment.
fn is_ready(listener: &TcpListener) -> bool {
    let mut wanted = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: poll(2) writes to the one live entry.
    unsafe { libc::poll(&raw mut wanted, 1, LOOK_EVERY_MS) > 0 }
}

fn connect(shared: &Arc<Shared>, near: TcpStream) {
    // Dropped, and so closed, if the cache is not there.
    let Ok(far) = TcpStream::connect_timeout(&shared.cache, CONNECT_WITHIN) else { return };
    let both = || -> io::Result<_> {
        near.set_nodelay(true)?;
        far.set_nodelay(true)?;
        Ok(((near.try_clone()?, far.try_clone()?), (near.try_clone()?, far.try_clone()?)))
    };
    let Ok((kept, of_thread)) = both() else { return };
    let mut state = shared.lock();
    if state.closed || state.line == Line::Refused || state.open.len() >= CONNECTIONS_MAX {
        return;
    }
    let number = state.next;
    state.next += 1;
    state.open.push((number, kept.0, kept.1));
    drop(state);
    let requests = {
        let shared = Arc::clone(shared);
        thread::spawn(move || pass_requests(&shared, &near, &far))
    };
    pass_answers(shared, &of_thread.1, &of_thread.0);
    let _ended = requests.join();
    shared.lock().open.retain(|(other, ..)| *other != number);
}

/// From the server to the cache.
fn pass_requests(shared: &Shared, mut near: &TcpStream, mut far: &TcpStream) {
    let mut chunk = vec![0; CHUNK_BYTES];
    while let Some(length) = some_bytes(near.read(&mut chunk)) {
        let line = shared.lock().line;
        if let Line::Slow(delay) = line {
            shared.wait_until(Instant::now() + delay / 2);
        }
        if far.write_all(&chunk[..length]).is_err() {
            break;
        }
    }
    // The cache has carried out what it got when it closes too.
    let _closed = far.shutdown(Shutdown::Write);
}

/// From the cache to the server.
fn pass_answers(shared: &Shared, mut far: &TcpStream, mut near: &TcpStream) {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut silent = None;
    while let Some(length) = some_bytes(far.read(&mut chunk)) {
        let (line, changes) = {
            let state = shared.lock();
            (state.line, state.changes)
        };
        if silent == Some(changes) {
            continue;
        }
        let mut passed = length;
        match line {
            Line::Slow(delay) => shared.wait_until(Instant::now() + delay / 2),
            Line::HalfReply => {
                silent = Some(changes);
                passed = length / 2;
            }
            Line::Garbage => spoil(&mut chunk[..length]),
            Line::Good | Line::Refused => {}
        }
        if near.write_all(&chunk[..passed]).is_err() {
            break;
        }
    }
    let _closed = near.shutdown(Shutdown::Both);
    let _closed = far.shutdown(Shutdown::Read);
}

fn some_bytes(read: io::Result<usize>) -> Option<usize> {
    read.ok().filter(|&length| length > 0)
}

/// Makes bytes mean nothing; the line ends stay, so that they are taken for answers.
fn spoil(bytes: &mut [u8]) {
    for (at, byte) in bytes.iter_mut().enumerate() {
        if !matches!(*byte, b'\r' | b'\n') {
            *byte = byte.wrapping_mul(31).wrapping_add(u8::try_from(at % 251).unwrap_or_default())
                | 0x80;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Says in upper case what it is told, a line at a time.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut chunk = [0; 100];
                    while let Some(length) = some_bytes(stream.read(&mut chunk)) {
                        chunk[..length].make_ascii_uppercase();
                        stream.write_all(&chunk[..length]).unwrap();
                    }
                });
            }
        });
        address
    }

    fn proxy() -> (Proxy, SocketAddr) {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        (Proxy::start(free, echo()).unwrap(), free)
    }

    fn ask(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
        stream.set_read_timeout(Some(Duration::from_millis(200)))?;
        stream.write_all(b"hello\r\n")?;
        let mut answer = vec![0; 7];
        let length = stream.read(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    }

    #[test]
    fn a_good_line_passes_on_and_a_slow_one_takes_its_time() {
        let (proxy, address) = proxy();
        let stream = TcpStream::connect(address).unwrap();
        assert_eq!(ask(&stream).unwrap(), b"HELLO\r\n");
        proxy.set(Line::Slow(Duration::from_millis(60)));
        let begun = Instant::now();
        assert_eq!(ask(&stream).unwrap(), b"HELLO\r\n");
        assert!(begun.elapsed() >= Duration::from_millis(60));
    }

    #[test]
    fn half_an_answer_comes_and_then_nothing_and_after_that_the_connection_is_closed() {
        let (proxy, address) = proxy();
        let stream = TcpStream::connect(address).unwrap();
        proxy.set(Line::HalfReply);
        assert_eq!(ask(&stream).unwrap(), b"HEL");
        assert!(ask(&stream).is_err());
        proxy.set(Line::Good);
        assert!(!ask(&stream).is_ok_and(|answer| !answer.is_empty()));
        assert_eq!(ask(&TcpStream::connect(address).unwrap()).unwrap(), b"HELLO\r\n");
    }

    #[test]
    fn garbage_is_as_long_and_means_nothing() {
        let (proxy, address) = proxy();
        let stream = TcpStream::connect(address).unwrap();
        proxy.set(Line::Garbage);
        let answer = ask(&stream).unwrap();
        assert!(answer.ends_with(b"\r\n") && answer.len() == 7 && answer != b"HELLO\r\n");
    }

    #[test]
    fn a_refusing_line_resets_what_is_open_and_accepts_again_later() {
        let (proxy, address) = proxy();
        let stream = TcpStream::connect(address).unwrap();
        assert_eq!(ask(&stream).unwrap(), b"HELLO\r\n");
        proxy.set(Line::Refused);
        assert!(!ask(&stream).is_ok_and(|answer| !answer.is_empty()));
        assert!(TcpStream::connect(address).is_err());
        proxy.set(Line::Good);
        assert_eq!(ask(&TcpStream::connect(address).unwrap()).unwrap(), b"HELLO\r\n");
    }
}
