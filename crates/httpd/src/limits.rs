//! Every bound of a server, by name.

use std::time::Duration;

/// The most header fields of a request.
pub const HEADERS_MAX: usize = 64;

/// What a server takes at most.
///
/// Worst case in memory: each of `connections` may hold `head_bytes + body_bytes` of requests and
/// the answer that is being made for it, each of `streams` another `stream_bytes`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// A request's head, first line and fields together (431).
    pub head_bytes: usize,
    /// What stands between method and version (414).
    pub target_bytes: usize,
    /// A request's body (413).
    pub body_bytes: usize,
    /// From the first byte of a head to its last, though not while an answer is being taken; for a new connection from its beginning, TLS
    /// handshake included (408).
    pub head_time: Duration,
    /// From the end of a head to the end of its body (408).
    pub body_time: Duration,
    /// From when all of an answer was taken to the next request.
    pub idle_time: Duration,
    /// From a whole request to its answer (504).
    pub answer_time: Duration,
    /// For a reader to take another 16 KiB of an answer, or all of it.
    pub write_time: Duration,
    /// After the last answer, for the other side to close: closing at once might undo the answer.
    pub linger_time: Duration,
    /// How much of what still comes then is dropped before the connection is.
    pub linger_bytes: usize,
    /// Requests on one connection; the last one's answer says `Connection: close`.
    pub requests: u32,
    /// What waits for a slow reader of a stream before the stream is not asked for more.
    pub stream_bytes: usize,
    /// Connections; one more takes the place of the oldest that has not sent a whole request, or
    /// else of the one that has read nothing of its answer for longest. Those of addresses that
    /// have fewer connections than its own are spared, except the former if there is nobody else.
    pub connections: usize,
    /// Connections of one address (of IPv6: one /64).
    pub connections_per_address: usize,
    /// Streams (503).
    pub streams: usize,
    /// Streams of one address (of IPv6: one /64), so that nobody takes them all (429).
    pub streams_per_address: usize,
    /// Threads for what may wait.
    pub workers: usize,
    /// What may wait for them (503).
    pub queue: usize,
}

/// After how much of an answer a reader gets [`Limits::write_time`] anew.
pub(crate) const WRITE_STEP_BYTES: usize = 16 * 1024;

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 8 * 1024,
            target_bytes: 2 * 1024,
            body_bytes: 64 * 1024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(20),
            idle_time: Duration::from_secs(60),
            answer_time: Duration::from_secs(30),
            write_time: Duration::from_secs(30),
            linger_time: Duration::from_secs(2),
            linger_bytes: 256 * 1024,
            requests: 10_000,
            stream_bytes: 128 * 1024,
            connections: 256,
            connections_per_address: 64,
            streams: 64,
            streams_per_address: 16,
            workers: 5,
            queue: 32,
        }
    }
}
