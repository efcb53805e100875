//! The state of all servers, peers, calls and mailboxes: one reducer.
//!
//! A [`Fleet`] is told what servers said ([`Fleet::connected`], [`Fleet::event`],
//! [`Fleet::answer`], [`Fleet::disconnected`]) and says what to ask them next
//! ([`Fleet::poll_request`], [`Fleet::poll_timeout`]): after a login all lists that the server
//! offers, and from time to time again. It reads no clock and knows no socket: time is an argument,
//! and `ami_proto::Message` its only word. The same words in the same order give the same state.
//!
//! - **Nothing is lost or doubled.** How events and lists are put together is said in `turn.rs`;
//!   what a reconciliation finds otherwise than events had it is counted ([`ServerInfo::drift`]).
//! - **Nothing is shown as true that is not known.** Every part of a server has a [`Freshness`];
//!   when the session ends, all that was live becomes "as of then". What Asterisk does not tell is
//!   `None`, and no guess.
//! - **Whoever follows can be away.** [`Fleet::changes_since`] tells each thing that changed since,
//!   as it is now, or that there is a [`Gap`] and a [`Fleet::snapshot`] is due.
//!
//! ```
//! use ami_proto::OwnedMessage;
//! use fleet::{Answer, Config, Fleet, Freshness, Time};
//!
//! let now = Time { ms: 1_765_000_000_000 };
//! let mut fleet = Fleet::new(now.ms);
//! fleet.add("berlin", Config::default()).expect("it is the first");
//! fleet.connected(now, "berlin", b"11.0.0");
//! let request = fleet.poll_request(now, "berlin").expect("a login is followed by questions");
//! assert_eq!(request.action, "ListCommands");
//!
//! let mut commands = OwnedMessage::default();
//! commands.push("Response", "Success")?;
//! commands.push("IAXpeerlist", "List IAX Peers. (Priv: system,reporting,all)")?;
//! fleet.answer(now, "berlin", request.id, Answer::Done(commands.as_message()));
//! let request = fleet.poll_request(now, "berlin").expect("what it has is asked");
//! assert_eq!(request.action, "IAXpeerlist");
//! assert_eq!(fleet.server("berlin").expect("it is there").info().parts.iax2, Freshness::Unknown);
//! # Ok::<(), ami_proto::HeaderError>(())
//! ```
//!
//! A user needs `read = system,call` for events and `write = system,call,reporting` for lists; what
//! it may not ask is [`Freshness::NotOffered`]. For Asterisk 16 to 22: what a server has is asked
//! (`ListCommands`), not derived from its version. Values are [`Text`]: lossy, bounded, unescaped.

#![forbid(unsafe_code)]

mod call;
mod channels;
mod fleet;
mod limits;
mod log;
mod mailboxes;
mod outbound;
mod peer;
mod peers;
mod plan;
mod server;
mod text;
mod turn;
mod view;
mod words;

pub use fleet::{AddError, Change, Fleet, Gap, ServerSnapshot, Snapshot, What};
pub use limits::*;
pub use plan::{Request, RequestId};
pub use server::{Answer, Config, ServerView};
pub use text::Text;
pub use view::*;
