//! What all connections of a cache share, and what `stats` tells of it.

use std::fmt::Display;
use std::io::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

use crate::clock::{Clock, Now};
use crate::counters::{Counters, Totals};
use crate::engine::{Cache, Content, Limits};
use crate::settings::Settings;
use crate::system;

/// Values that are not complete may take a part of the memory in all, beside what items take.
const UNFINISHED_SHARE: usize = 4;
/// But as many of the longest as this may always be on their way.
const UNFINISHED_ITEMS: usize = 8;

/// What the thread that keeps the time is asked for.
#[derive(Debug)]
pub(crate) enum Chore {
    /// Take your time, and drop this.
    Drop(Content),
    /// End.
    Stop,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cache: Cache,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    workers: Vec<Arc<Counters>>,
    /// What had been counted at the last `stats reset`.
    counted_before: Mutex<Totals>,
    pub(crate) connections: AtomicUsize,
    pub(crate) connections_total: AtomicU64,
    pub(crate) connections_rejected: AtomicU64,
    /// What is set aside for values that are not complete.
    unfinished_bytes: AtomicUsize,
    unfinished_max_bytes: usize,
    /// To the thread that keeps the time.
    chores: Sender<Chore>,
}

impl Shared {
    pub(crate) fn new(settings: Settings, clock: Clock, chores: Sender<Chore>) -> Self {
        let item_max_bytes = settings.item_max_bytes;
        let unfinished = settings.memory_bytes / UNFINISHED_SHARE;
        Self {
            cache: Cache::new(Limits {
                memory_bytes: AtomicUsize::new(settings.memory_bytes),
                item_max_bytes,
                evict: settings.evict,
            }),
            workers: (0..settings.threads).map(|_| Arc::default()).collect(),
            settings,
            clock,
            counted_before: Mutex::default(),
            connections: AtomicUsize::new(0),
            connections_total: AtomicU64::new(0),
            connections_rejected: AtomicU64::new(0),
            unfinished_bytes: AtomicUsize::new(0),
            unfinished_max_bytes: unfinished.max(UNFINISHED_ITEMS * item_max_bytes),
            chores,
        }
    }

    /// A worker's own counters.
    pub(crate) fn counters(&self, worker: usize) -> Arc<Counters> {
        Arc::clone(&self.workers[worker])
    }

    /// Sets memory aside for a value that is on its way; says whether there is some.
    pub(crate) fn set_aside(&self, bytes: usize) -> bool {
        let before = self.unfinished_bytes.fetch_add(bytes, Ordering::Relaxed);
        let enough = before.saturating_add(bytes) <= self.unfinished_max_bytes;
        if !enough {
            self.give_back(bytes);
        }
        enough
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.unfinished_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Has what was flushed dropped by another thread: that takes its time.
    pub(crate) fn drop_later(&self, content: Content) {
        // Without that thread the cache is stopping, and all is dropped anyway.
        let _ = self.chores.send(Chore::Drop(content));
    }

    pub(crate) fn set_memory_limit(&self, bytes: usize) {
        self.cache.limits.memory_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Has the thread that keeps the time end.
    pub(crate) fn stop_ticking(&self) {
        // It fails only when that thread is gone.
        let _ = self.chores.send(Chore::Stop);
    }

    fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for counters in &self.workers {
            totals.add(counters);
        }
        totals
    }

    pub(crate) fn reset(&self) {
        *self.counted_before.lock().expect("no thread has panicked here") = self.totals();
        self.cache.reset_counts();
        self.connections_total.store(0, Ordering::Relaxed);
        self.connections_rejected.store(0, Ordering::Relaxed);
    }

    pub(crate) fn push_general(&self, now: Now, out: &mut Vec<u8>) {
        self.push_process(now, out);
        let before = *self.counted_before.lock().expect("no thread has panicked here");
        push_counted(&self.totals().since(before), out);
        let limit = self.cache.limits.memory_bytes.load(Ordering::Relaxed);
        let sizes = self.cache.sizes();
        let counts = sizes.counts;
        push(out, "limit_maxbytes", limit);
        push(out, "accepting_conns", 1);
        push(out, "listen_disabled_num", 0);
        push(out, "threads", self.settings.threads);
        push(out, "hash_power_level", sizes.buckets.max(1).ilog2());
        push(out, "hash_bytes", sizes.buckets * 4);
        push(out, "hash_is_expanding", 0);
        push(out, "log_watchers", self.cache.feed.watchers());
        push(out, "bytes", sizes.bytes);
        push(out, "curr_items", sizes.items);
        push(out, "total_items", counts.total_items);
        push(out, "expired_unfetched", counts.expired_unfetched);
        push(out, "evicted_unfetched", counts.evicted_unfetched);
        push(out, "evictions", counts.evictions);
        push(out, "reclaimed", counts.reclaimed);
    }

    fn push_process(&self, now: Now, out: &mut Vec<u8>) {
        push(out, "pid", std::process::id());
        push(out, "uptime", self.clock.uptime_seconds());
        push(out, "time", now.unix);
        push(out, "version", crate::VERSION);
        push(out, "pointer_size", usize::BITS);
        if let Some(used) = system::processor_time() {
            let text = |time: std::time::Duration| {
                format!("{}.{:06}", time.as_secs(), time.subsec_micros())
            };
            push(out, "rusage_user", text(used.user));
            push(out, "rusage_system", text(used.system));
        }
        push(out, "max_connections", self.settings.connections_max);
        push(out, "curr_connections", self.connections.load(Ordering::Relaxed));
        push(out, "total_connections", self.connections_total.load(Ordering::Relaxed));
        push(out, "rejected_connections", self.connections_rejected.load(Ordering::Relaxed));
    }

    pub(crate) fn push_settings(&self, out: &mut Vec<u8>) {
        let settings = &self.settings;
        let yes = |is: bool| if is { "on" } else { "off" };
        push(out, "maxbytes", self.cache.limits.memory_bytes.load(Ordering::Relaxed));
        push(out, "maxconns", settings.connections_max);
        push(out, "tcpport", settings.listen.first().map_or(0, std::net::SocketAddr::port));
        push(out, "udpport", 0);
        let inter: Vec<_> = settings.listen.iter().map(|at| at.ip().to_string()).collect();
        push(out, "inter", inter.join(","));
        push(out, "verbosity", 0);
        push(out, "evictions", yes(settings.evict));
        push(out, "num_threads", settings.threads);
        push(out, "cas_enabled", "yes");
        push(out, "binding_protocol", "ascii");
        push(out, "auth_enabled_sasl", "no");
        push(out, "item_size_max", settings.item_max_bytes);
        push(out, "maxconns_fast", "yes");
        push(out, "flush_enabled", "yes");
        push(out, "dump_enabled", "yes");
        let snapshot = settings.snapshot.as_ref();
        push(out, "tandem_snapshot", snapshot.map_or("no".into(), |path| path.to_string_lossy()));
    }

    pub(crate) fn push_items(&self, out: &mut Vec<u8>) {
        let sizes = self.cache.sizes();
        if sizes.items == 0 {
            return;
        }
        push(out, "items:1:number", sizes.items);
        push(out, "items:1:mem_requested", sizes.bytes);
        push(out, "items:1:evicted", sizes.counts.evictions);
        push(out, "items:1:evicted_unfetched", sizes.counts.evicted_unfetched);
        push(out, "items:1:expired_unfetched", sizes.counts.expired_unfetched);
        push(out, "items:1:reclaimed", sizes.counts.reclaimed);
        push(out, "items:1:outofmemory", self.totals().store_no_memory);
    }

    pub(crate) fn push_slabs(&self, out: &mut Vec<u8>) {
        let sizes = self.cache.sizes();
        if sizes.items > 0 {
            push(out, "1:used_chunks", sizes.items);
            push(out, "1:mem_requested", sizes.bytes);
        }
        push(out, "active_slabs", u8::from(sizes.items > 0));
        push(out, "total_malloced", sizes.bytes);
    }
}

/// In memcached's order.
fn push_counted(totals: &Totals, out: &mut Vec<u8>) {
    push(out, "cmd_get", totals.cmd_get);
    push(out, "cmd_set", totals.cmd_set);
    push(out, "cmd_flush", totals.cmd_flush);
    push(out, "cmd_touch", totals.cmd_touch);
    push(out, "cmd_meta", totals.cmd_meta);
    push(out, "get_hits", totals.get_hits);
    push(out, "get_misses", totals.get_misses);
    push(out, "delete_misses", totals.delete_misses);
    push(out, "delete_hits", totals.delete_hits);
    push(out, "incr_misses", totals.incr_misses);
    push(out, "incr_hits", totals.incr_hits);
    push(out, "decr_misses", totals.decr_misses);
    push(out, "decr_hits", totals.decr_hits);
    push(out, "cas_misses", totals.cas_misses);
    push(out, "cas_hits", totals.cas_hits);
    push(out, "cas_badval", totals.cas_badval);
    push(out, "touch_hits", totals.touch_hits);
    push(out, "touch_misses", totals.touch_misses);
    push(out, "store_too_large", totals.store_too_large);
    push(out, "store_no_memory", totals.store_no_memory);
    push(out, "bytes_read", totals.bytes_read);
    push(out, "bytes_written", totals.bytes_written);
    push(out, "conn_yields", totals.conn_yields);
}

fn push(out: &mut Vec<u8>, name: &str, value: impl Display) {
    // Writing to memory does not fail.
    let _ = write!(out, "STAT {name} {value}\r\n");
}
