//! What pbx_web decides, free of Asterisk: settings, users, sessions, routes, console, live log
//! and pages.
//!
//! [`Pbx`] is what it wants of Asterisk. [`Attendant`] is the whole of it, running: start it with
//! checked [`Settings`], sockets and someone who makes threads; give it new settings at a reload;
//! drop it at the end.
//!
//! Asterisk comes first. One thread does all input and output and never waits; a few workers ask
//! Asterisk; CLI commands, completions and the log go over its control socket, where a command
//! that never ends holds a thread of Asterisk's for that console, and nothing else.

#![forbid(unsafe_code)]

mod api;
mod attendant;
mod console;
mod control;
mod desk;
mod follow;
mod listen;
mod livelog;
mod looks;
mod new_user;
mod origin;
mod pages;
mod pbx;
mod random;
mod remembered;
mod reply;
mod routes;
mod sessions;
mod settings;
mod shared;
mod text;
mod throttle;
mod universal;
mod users;
mod views;
mod who;

pub use attendant::{Attendant, BeginError};
pub use console::{ENDED_MAX, LEFT_MAX, OUTPUT_MAX_BYTES};
pub use livelog::LINES_MAX;
pub use new_user::{NewUser, NewUserError, new_user};
pub use pbx::{Channel, Level, Module, Pbx, Peer, PeerState, Security, SecurityEvent, System};
pub use sessions::{AGE_MAX, IDLE_MAX, SESSIONS_MAX, SESSIONS_PER_USER};
pub use settings::{
    DEFAULT_COMMANDS, DEFAULT_PORT, FILE, Files, Place, Problem, ProblemKind, RawLine, Settings,
    TlsFiles, check, check_files,
};
pub use users::{Role, User, Users};
