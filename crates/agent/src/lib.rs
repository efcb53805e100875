//! The agent: it holds a server's AMI login, tells a hub what happens there, and does what the hub
//! may ask and nothing else.
//!
//! [`watch`] is all of it: a session with one Asterisk after another, [`link::Ask`]s in,
//! [`link::Report`]s out. A hub runs it in its own process for a server that it reaches through AMI
//! alone; [`remote::run`] runs it beside an Asterisk and carries both over a WebSocket that it dials
//! out itself, so a server needs no open port.
//!
//! What is done is decided here, by [`link::Rules`], and not by the hub.

#![forbid(unsafe_code)]

mod ami;
mod backoff;
pub mod config;
pub mod remote;
pub mod tls;
mod watch;

pub use ami::{Ami, AmiConfig, AmiError};
pub use watch::{REPORTS_MAX, watch};
