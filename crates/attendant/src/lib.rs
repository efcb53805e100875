//! What pbx_web decides, free of Asterisk.
//!
//! [`Pbx`] is what it wants of Asterisk; `modules/pbx_web` gives it that, and starts and stops it.

#![forbid(unsafe_code)]

mod pbx;

pub use pbx::{Channel, Level, Module, Pbx, Peer, PeerState, Security, SecurityEvent, System};
