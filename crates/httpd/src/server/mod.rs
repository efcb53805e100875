//! Sockets for [`crate::Connection`]s: one I/O thread for all of them, a few workers for what may
//! wait, and a prompt end.

use std::any::Any;
use std::ffi::CStr;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crate::limits::Limits;
use crate::transport::Wrap;

mod answers;
mod event_loop;
mod guest;
mod service;
mod slots;
mod token;
mod waker;
mod workers;

pub use service::{
    Again, Answer, Busy, Context, Interest, Job, Next, Peer, Ready, Service, StreamKey,
};
pub use waker::Waker;

use event_loop::EventLoop;
use workers::Queue;

/// Makes a thread of that name that runs that, and gives what waits for its end when it is
/// dropped.
pub type Spawn<'a> =
    &'a dyn Fn(&'static CStr, Box<dyn FnOnce() + Send>) -> io::Result<Box<dyn Any + Send>>;

/// What a server is made of.
pub struct Start<S> {
    /// Where connections come in, already bound.
    pub listeners: Vec<TcpListener>,
    /// How they are wrapped.
    pub wrap: Box<dyn Wrap>,
    /// What it takes at most.
    pub limits: Limits,
    /// What it does.
    pub service: S,
    /// Names of its threads, for `top` and `core show threads`: I/O, workers. 15 bytes are shown.
    pub names: [&'static CStr; 2],
}

/// Why a server could not be started. The system is short of something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No poller, no event.
    #[error("the system gives no poller: {0}; see whether it is short of file descriptors")]
    Poller(#[source] io::Error),
    /// A listening socket cannot be watched.
    #[error("a listening socket cannot be watched: {0}")]
    Listener(#[source] io::Error),
    /// A thread could not be made; those that had been are over.
    #[error("the system gives no thread: {0}; see whether it has too many")]
    Thread(#[source] io::Error),
}

/// A running server. Dropping it stops it.
///
/// Making, waking and dropping one touches no thread-local storage, so threads that are not ours
/// may do it.
pub struct Server {
    queue: Arc<Queue>,
    waker: Waker,
    addresses: Vec<SocketAddr>,
    /// Dropped last: each waits for its thread.
    threads: Vec<Box<dyn Any + Send>>,
}

impl Server {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing runs then.
    pub fn start<S: Service>(start: Start<S>, spawn: Spawn<'_>) -> Result<Self, StartError> {
        let waker = Waker::new().map_err(StartError::Poller)?;
        let queue = Arc::new(Queue::new(start.limits.queue, waker.clone()));
        let addresses = start.listeners.iter().filter_map(|one| one.local_addr().ok()).collect();
        let (workers, [io_name, worker_name]) = (start.limits.workers, start.names);
        let mut events = EventLoop::new(start, queue.clone(), waker.clone())?;
        let mut server = Self { queue, waker, addresses, threads: Vec::new() };
        // If one of these fails, dropping `server` ends the others.
        let mut run = |name, body: Box<dyn FnOnce() + Send>| {
            spawn(name, body).map_err(StartError::Thread).map(|thread| server.threads.push(thread))
        };
        for _ in 0..workers.max(1) {
            let queue = server.queue.clone();
            run(worker_name, Box::new(move || queue.work()))?;
        }
        run(io_name, Box::new(move || events.run()))?;
        Ok(server)
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// For others to have the service ticked and streams asked.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// Ends all connections, waits for what workers are at, and for the threads. What waits for
    /// workers is not begun.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.queue.stop();
        self.threads.clear();
    }
}

/// A thread of the standard library's for programs that are no guests: `Box::new(JoinOnDrop::spawn(..)?)`.
pub struct JoinOnDrop(Option<std::thread::JoinHandle<()>>);

impl JoinOnDrop {
    /// Starts it. Shaped for [`Spawn`].
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn spawn(
        name: &'static CStr,
        body: Box<dyn FnOnce() + Send>,
    ) -> io::Result<Box<dyn Any + Send>> {
        let thread = std::thread::Builder::new().name(name.to_string_lossy().into_owned());
        Ok(Box::new(Self(Some(thread.spawn(body)?))))
    }
}

impl Drop for JoinOnDrop {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// Runs a callback of the service's; one that panics costs what it was about, and no more.
fn caught<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
