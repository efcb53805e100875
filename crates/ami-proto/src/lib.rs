//! The Asterisk Manager Interface, sans-IO.
//!
//! AMI is lines of `Name: value`; a blank line ends a message. Names repeat and their order counts,
//! so a [`Message`] is a list and not a map; values are bytes, for Asterisk promises no encoding.
//! Three layers, each usable alone:
//!
//! - [`Decoder`] takes bytes in any pieces and lends [`Message`]s out of its own buffer;
//!   [`OwnedMessage`] is one that may be kept.
//! - [`Action`] is what may be said to Asterisk: it cannot be built with a line end in it, or longer
//!   than Asterisk reads.
//! - [`Session`] logs in, gives every action an id of its own, finds the answer or the list that
//!   belongs to it, and notices a server that has fallen silent.
//!
//! What Asterisk does was read in `main/manager.c` of 16.28, 22.9 and the development branch of
//! August 2026, and 13.38 for what is older. Sockets, TLS, clocks and reconnecting belong to the caller: **after
//! each call that takes `&mut Session`, drain [`Session::poll_transmit`] and
//! [`Session::poll_event`], then wait until [`Session::poll_timeout`].** Nothing here reads a clock.

#![forbid(unsafe_code)]

mod action;
mod decoder;
mod error;
mod limits;
mod message;
mod owned;
mod scan;
mod session;

pub use action::Action;
pub use decoder::{Decoder, Frame};
pub use error::{ActionError, FrameError, HeaderError};
pub use limits::*;
pub use message::{Header, Headers, Message, Values};
pub use owned::OwnedMessage;
pub use session::{ActionId, Config, Event, Failure, LoginMethod, Loss, SendError, Session};
