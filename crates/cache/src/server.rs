//! A running cache: its threads, from start to stop.
//!
//! One thread accepts, `threads` of them answer, and one keeps the time: every second it takes out
//! what has ended.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{Builder, JoinHandle};

use mio::net::TcpListener;

use crate::clock::Clock;
use crate::net::{Listener, Mailbox, Stop, Worker, listen};
use crate::settings::{Settings, StartError};
use crate::snapshot::{self, Hold, SnapshotError};
use crate::stats::{Chore, Shared};
use crate::system;

/// Files that are open beside the connections: epoll and wakers of each thread, listening sockets,
/// standard streams, the snapshot, and some of the program's own.
const OTHER_FILES: usize = 64;
const FILES_PER_THREAD: usize = 2;

/// A running cache. Dropping it ends it as a crash would: without a snapshot.
///
/// # Examples
///
/// ```
/// use std::io::{Read as _, Write as _};
/// use std::net::TcpStream;
///
/// use tandem_cache::{Server, Settings};
///
/// let listen = vec!["127.0.0.1:0".parse()?];
/// let server = Server::start(Settings { listen, ..Settings::default() })?;
/// let mut client = TcpStream::connect(server.addresses()[0])?;
/// client.write_all(b"mg missing v\r\nquit\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert_eq!(answer, "EN\r\n");
/// server.stop()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    workers: Vec<Mailbox>,
    listener: Option<Stop>,
    threads: Vec<JoinHandle<()>>,
    /// The snapshot is ours for as long.
    hold: Option<Hold>,
}

/// Why a cache did not stop cleanly. It has stopped all the same.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// The snapshot could not be written: the content is lost.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl Server {
    /// Listens, loads the snapshot if there is one, and answers from then on.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then, and a snapshot is where it was.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        settings.check()?;
        let files = settings.connections_max
            + FILES_PER_THREAD * (settings.threads + 1)
            + settings.listen.len()
            + OTHER_FILES;
        let wanted = files as u64;
        let allowed = system::allow_open_files(wanted)
            .map_err(|source| StartError::System { what: "open that many files", source })?;
        if allowed < wanted {
            return Err(StartError::OpenFiles { wanted, allowed });
        }
        let (sockets, addresses) = open(&settings.listen)?;
        let (chores, to_do) = channel();
        let hold = settings.snapshot.as_deref().map(Hold::new).transpose()?;
        let threads = settings.threads;
        let shared = Arc::new(Shared::new(settings, Clock::start(), chores));
        let mut server = Self {
            addresses,
            shared: Arc::clone(&shared),
            workers: Vec::new(),
            listener: None,
            threads: Vec::new(),
            hold,
        };
        if let Some(hold) = &server.hold {
            let not_kept = &shared.settings.not_kept;
            snapshot::load(hold, &shared.cache, not_kept, shared.clock.now())?;
        }
        for number in 0..threads {
            let worker = Worker::new(Arc::clone(&shared), number)
                .map_err(|source| StartError::System { what: "wait for events", source })?;
            server.workers.push(worker.mailbox());
            server.spawn(&format!("cache-{number}"), move || worker.run())?;
        }
        let time = Arc::clone(&shared);
        server.spawn("cache-time", move || keep_time(&time, &to_do))?;
        let (listener, stop) = Listener::new(shared, sockets, server.workers.clone())
            .map_err(|source| StartError::System { what: "wait for connections", source })?;
        server.listener = Some(stop.clone());
        server.spawn("cache-listen", move || listener.run(&stop))?;
        Ok(server)
    }

    /// Where it listens, in the order of the settings, with the ports that the system chose.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Ends it: connections are closed, and then the snapshot is written, if there is to be one.
    ///
    /// # Errors
    ///
    /// [`StopError`] if that fails.
    pub fn stop(mut self) -> Result<(), StopError> {
        self.end();
        if let Some(hold) = &self.hold {
            snapshot::save(hold, &self.shared.cache, self.shared.clock.now())?;
        }
        Ok(())
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(run)
            .map_err(|source| StartError::System { what: "start a thread", source })?;
        self.threads.push(thread);
        Ok(())
    }

    fn end(&mut self) {
        if let Some(listener) = self.listener.take() {
            listener.tell();
        }
        for worker in self.workers.drain(..) {
            worker.stop();
        }
        self.shared.stop_ticking();
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

fn open(listen_to: &[SocketAddr]) -> Result<(Vec<TcpListener>, Vec<SocketAddr>), StartError> {
    let mut sockets = Vec::new();
    let mut addresses = Vec::new();
    for &address in listen_to {
        let error = |source: io::Error| StartError::Listen { address, source };
        let socket = listen(address).map_err(error)?;
        addresses.push(socket.local_addr().map_err(error)?);
        sockets.push(socket);
    }
    Ok((sockets, addresses))
}

/// Takes out what has ended, every second, and drops what was flushed.
fn keep_time(shared: &Shared, to_do: &Receiver<Chore>) {
    loop {
        match to_do.recv_timeout(shared.clock.until_next_second()) {
            Ok(Chore::Drop(content)) => drop(content),
            Err(RecvTimeoutError::Timeout) => drop(shared.cache.tick(shared.clock.now())),
            Ok(Chore::Stop) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}
