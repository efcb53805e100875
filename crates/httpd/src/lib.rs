//! An HTTP/1.1 server for a guest in another program: the host comes first.
//!
//! [`Connection`] is the protocol without sockets or clocks: bytes and `now` go in, whole
//! [`Request`]s come out, [`Response`]s go in, bytes come out. It is strict (RFC 9112) where
//! leniency would let two readers of one stream disagree about where a request ends, and answers
//! requests that came in one go (pipelining) one after the other.
//!
//! [`Server`] gives it sockets: one I/O thread for all connections, and a few workers with a
//! bounded queue for what may wait. The caller makes the threads, says who may connect, wraps
//! connections in TLS if it likes ([`Wrap`]), and may have sockets of its own polled on the same
//! thread ([`Context::watch`]). Everything has a bound, named in [`Limits`].
//!
//! What is not there: HTTP/2, compression, WebSockets, chunked request bodies (411), files.

#![forbid(unsafe_code)]

mod connection;
mod date;
mod head;
mod headers;
mod limits;
mod refusal;
mod request;
mod response;
mod scan;
mod server;
mod target;
mod transport;

pub use connection::Connection;
pub use date::http_date;
pub use head::HeadError;
pub use headers::Headers;
pub use limits::{HEADERS_MAX, Limits};
pub use refusal::{Refusal, Refuse};
pub use request::{Method, Request};
pub use response::{Body, Response};
pub use server::{
    Again, Answer, Busy, Context, Interest, Job, JoinOnDrop, Next, Peer, Ready, Server, Service,
    Spawn, Start, StartError, StreamKey, Waker,
};
pub use target::{decode, pairs};
pub use transport::{Plain, PlainWrap, Stall, Transport, Wrap};
