//! The change feed: what happens to items, as it happens, for connections that asked for it with
//! `watch tandem [PREFIX]`.
//!
//! A watcher has a queue of a bounded size. What does not fit is counted, and the watcher is told
//! how much it has missed before it is told anything else: commands never wait for it. Events of
//! one key come in the order in which they happened, for they are queued while its shard is
//! locked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::clock::{NEVER, Now};
use crate::engine::{Mark, Node};
use crate::protocol::base64;

/// What a watcher may lag behind. An event that is longer is never queued, only counted.
pub(crate) const QUEUE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Watchers at once.
pub(crate) const WATCHERS_MAX: usize = 20;

/// Something that happened.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A value was stored.
    Set {
        node: &'a Node,
        now: Now,
    },
    /// Only the time to live was changed.
    Touch {
        node: &'a Node,
        now: Now,
    },
    Delete {
        node: &'a Node,
    },
    Expire {
        node: &'a Node,
    },
    Evict {
        node: &'a Node,
    },
    Flush,
}

/// All watchers.
#[derive(Debug)]
pub(crate) struct Feed {
    count: AtomicUsize,
    watchers: Mutex<Vec<Arc<Watcher>>>,
}

/// One connection's queue.
#[derive(Debug)]
pub(crate) struct Watcher {
    prefix: Vec<u8>,
    queue: Mutex<Queue>,
    /// Rings when the queue is no longer empty.
    bell: Bell,
}

/// How the thread that serves a watcher is woken.
#[derive(Clone, Debug)]
pub(crate) struct Bell(pub(crate) Arc<mio::Waker>);

#[derive(Debug, Default)]
struct Queue {
    text: Vec<u8>,
    skipped: u64,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self { count: AtomicUsize::new(0), watchers: Mutex::new(Vec::new()) }
    }

    /// Whether anybody watches: events need not be made otherwise.
    pub(crate) fn is_watched(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Adds a watcher, or `None` if there are too many.
    pub(crate) fn watch(&self, prefix: &[u8], bell: Bell) -> Option<Arc<Watcher>> {
        let mut watchers = lock(&self.watchers);
        if watchers.len() >= WATCHERS_MAX {
            return None;
        }
        let watcher = Arc::new(Watcher { prefix: prefix.to_vec(), queue: Mutex::default(), bell });
        watchers.push(Arc::clone(&watcher));
        self.count.store(watchers.len(), Ordering::Relaxed);
        Some(watcher)
    }

    pub(crate) fn unwatch(&self, watcher: &Arc<Watcher>) {
        let mut watchers = lock(&self.watchers);
        watchers.retain(|other| !Arc::ptr_eq(other, watcher));
        self.count.store(watchers.len(), Ordering::Relaxed);
    }

    pub(crate) fn watchers(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Tells all watchers. To be called with the shard of the event's key locked.
    pub(crate) fn publish(&self, event: &Event<'_>) {
        if !self.is_watched() {
            return;
        }
        for watcher in lock(&self.watchers).iter() {
            watcher.tell(event);
        }
    }
}

impl Watcher {
    fn tell(&self, event: &Event<'_>) {
        if event.key().is_some_and(|key| !key.starts_with(&self.prefix)) {
            return;
        }
        let mut queue = lock(&self.queue);
        if queue.text.len() + event.len_max() > QUEUE_MAX_BYTES {
            queue.skipped += 1;
            return;
        }
        let was_empty = queue.text.is_empty();
        queue.tell_skipped();
        event.encode(&mut queue.text);
        drop(queue);
        if was_empty {
            // If the worker cannot be woken it is gone, and the connection with it.
            let _ = self.bell.0.wake();
        }
    }

    /// Takes all that is queued.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut queue = lock(&self.queue);
        queue.tell_skipped();
        std::mem::take(&mut queue.text)
    }
}

impl Queue {
    fn tell_skipped(&mut self) {
        if self.skipped > 0 {
            self.text.extend_from_slice(format!("SKIPPED {}\r\n", self.skipped).as_bytes());
            self.skipped = 0;
        }
    }
}

impl Event<'_> {
    fn node(&self) -> Option<&Node> {
        match self {
            Self::Set { node, .. } | Self::Touch { node, .. } => Some(node),
            Self::Delete { node } | Self::Expire { node } | Self::Evict { node } => Some(node),
            Self::Flush => None,
        }
    }

    fn key(&self) -> Option<&[u8]> {
        self.node().map(Node::key)
    }

    /// No event is encoded longer.
    fn len_max(&self) -> usize {
        const LINE_MAX: usize = 512;
        match self {
            Self::Set { node, .. } => LINE_MAX + node.value_len(),
            _ => LINE_MAX,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let word = match self {
            Self::Set { .. } => "SET",
            Self::Touch { .. } => "TOUCH",
            Self::Delete { .. } => "DELETE",
            Self::Expire { .. } => "EXPIRE",
            Self::Evict { .. } => "EVICT",
            Self::Flush => "FLUSH",
        };
        out.extend_from_slice(word.as_bytes());
        let binary = self.node().is_some_and(|node| node.has(Mark::KeyIsBinary));
        if let Some(key) = self.key() {
            out.push(b' ');
            if binary { base64::encode(key, out) } else { out.extend_from_slice(key) }
        }
        match self {
            Self::Set { node, now } => {
                let (flags, ttl, len) = (node.client_flags, ttl(node, *now), node.value_len());
                out.extend_from_slice(format!(" {flags} {ttl} {len}").as_bytes());
            }
            Self::Touch { node, now } => {
                out.extend_from_slice(format!(" {}", ttl(node, *now)).as_bytes());
            }
            _ => {}
        }
        out.extend_from_slice(if binary { b" b\r\n" } else { b"\r\n" });
        if let Self::Set { node, .. } = self {
            out.extend_from_slice(node.value());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Seconds that are left; -1 for no end, as in `mg t`.
fn ttl(node: &Node, now: Now) -> i64 {
    match node.expires() {
        NEVER => -1,
        expires => i64::from(expires.saturating_sub(now.second)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread has panicked in the feed")
}
