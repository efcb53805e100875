//! The hub: what `tandem serve` is.
//!
//! - `config`: `hub.toml`;
//! - `hub`: the one state that everything shares, and who is told when it changes;
//! - `line`: one server: reports go into the fleet, questions and actions come out;
//! - `door`: who may connect at all;
//! - `agents`: the door for agents; a server without one is watched from here, by the same code;
//! - `api`: the door for people and programs, a file a resource; `who` decides who they are;
//! - `db`: what must outlive the process: users, sessions, agents, history, audit;
//! - `pages`: the console, built from `web/`.
//!
//! Nothing here decides what is true of a server: that is `fleet`'s. Nor what may be done to it: its
//! agent decides that.

#![forbid(unsafe_code)]

mod agents;
mod api;
pub mod config;
pub mod db;
mod door;
mod history;
mod hub;
mod invite;
mod line;
mod pages;
pub mod secret;
mod serve;
mod throttle;
pub mod tls;
mod variables;
mod who;

pub use invite::{InviteError, Invited, invite};
pub use serve::{HubError, serve};
