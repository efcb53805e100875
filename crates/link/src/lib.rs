//! What a hub and an agent say to each other.
//!
//! A hub sends [`Ask`]s, an agent sends [`Report`]s. A [`Request`] is typed: what it cannot say, no
//! hub can have done to a server, however wrong the hub is. What a request becomes in AMI is decided
//! by the agent, under its own [`Rules`] ([`Request::action`]).
//!
//! Both travel as JSON, a text frame of a WebSocket each ([`encode`], [`decode`]), with
//! [`SUBPROTOCOL`] for the version; in one process they are handed over as they are. Values that
//! are not UTF-8 become so, lossily: whoever is at the other end shows them to people. Of Asterisk's
//! events and lists an agent passes on what [`told`] leaves of them.
//!
//! ```
//! use link::{Ask, Request, Rules};
//!
//! let request = Request::Hangup { channel: "PJSIP/200-00000001".into() };
//! assert!(request.action(&Rules::default()).is_err(), "a server is watched, until more is allowed");
//! let rules = Rules { hangup: true, ..Rules::default() };
//! request.action(&rules).expect("it may be done");
//!
//! let everything = Request::Hangup { channel: "/.*/".into() };
//! assert!(everything.action(&rules).is_err(), "Asterisk would take it for a pattern");
//!
//! let frame = link::encode(&Ask { id: 7, request });
//! assert_eq!(frame, r#"{"id":7,"do":"hangup","channel":"PJSIP/200-00000001"}"#);
//! # assert_eq!(link::decode::<Ask>(&frame).expect("it is one").id, 7);
//! ```

#![forbid(unsafe_code)]

mod message;
mod report;
mod request;
mod rules;
mod told;
mod welcome;

pub use report::{Answer, Report};
pub use request::{Ask, Request};
pub use rules::{Refusal, Rules};
pub use told::told;
pub use welcome::{Hello, Welcome};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The WebSocket's subprotocol: a change that the other side cannot read gets another number.
pub const SUBPROTOCOL: &str = "tandem.1";
/// Where a hub takes agents in.
pub const AGENT_PATH: &str = "/agent";
/// `Authorization` of an agent that has a key: this word, a blank and the key.
pub const KEY_SCHEME: &str = "Bearer";
/// `Authorization` of one that has a one-time token instead: this word, a blank and the token.
pub const TOKEN_SCHEME: &str = "Enrol";
/// Longest frame, in bytes: a message of AMI's largest, with each byte escaped, and its names.
pub const FRAME_MAX_BYTES: usize = 8 * ami_proto::MESSAGE_MAX_BYTES;

/// The frame that says it.
///
/// # Panics
///
/// Never: all that is said here has a form in JSON.
#[must_use]
pub fn encode<T: Serialize>(said: &T) -> String {
    serde_json::to_string(said).expect("it has a form in JSON")
}

/// What a frame says.
///
/// # Errors
///
/// If it says nothing that is known here: close the connection.
pub fn decode<T: DeserializeOwned>(frame: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(frame)
}
