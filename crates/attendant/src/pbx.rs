//! What the attendant wants of the PBX that it sits in.
//!
//! All text is shown to people, so bytes that are not UTF-8 may be replaced on the way here.
//! CLI commands, completions, the live log, registrations and universal variables do not come
//! through here but over Asterisk's control socket: [`Pbx::control_socket`] says where that is.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// The PBX, as seen from inside.
///
/// Questions may wait for Asterisk's locks and are asked on worker threads only, several at once.
/// [`Self::log`] and [`Self::security`] are called on any thread of the server's, also on the one
/// that serves all connections: they must not wait for anything.
///
/// The end of the server waits for what its workers are at. So a question must not wait for a lock
/// that is held around that end: Asterisk's loader holds the one of its list of modules while it
/// unloads one (loader.c, `auto_unload_resource`).
pub trait Pbx: Send + Sync + 'static {
    /// What is running here, and how.
    fn system(&self) -> System;

    /// All modules, running or not (see above for the loader's lock), in the order in which they shall be listed.
    fn modules(&self) -> Vec<Module>;

    /// Whether a module (`app_universal.so`) is loaded and running.
    fn is_running(&self, module: &str) -> bool;

    /// All channels at this moment, in no order.
    fn channels(&self) -> Vec<Channel>;

    /// The endpoints of every channel driver, in no order.
    fn peers(&self) -> Vec<Peer>;

    /// Asterisk's control socket (`ast_config_AST_SOCKET`). Asked on any thread; must not wait.
    fn control_socket(&self) -> PathBuf;

    /// Puts an event into Asterisk's security log (`ast_security_event_report`).
    fn security(&self, event: &SecurityEvent<'_>);

    /// Puts a line into Asterisk's log. It has no control characters in it.
    fn log(&self, level: Level, message: &str);
}

/// What is running here.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct System {
    /// `ast_get_version()`: `22.10.1`.
    pub version: String,
    /// `systemname` of asterisk.conf, or empty.
    pub system_name: String,
    /// The machine's host name.
    pub host_name: String,
    /// Asterisk's process.
    pub pid: u32,
    /// Since it was started.
    #[serde(rename = "uptime_seconds", serialize_with = "seconds")]
    pub uptime: Duration,
    /// Since the last reload; since the start if there was none.
    #[serde(rename = "reload_seconds", serialize_with = "seconds")]
    pub since_reload: Duration,
    /// Calls since the start (`ast_processed_calls`).
    pub processed_calls: u64,
    /// Calls now (`ast_active_calls`).
    pub active_calls: u64,
    /// Channels now (`ast_active_channels`).
    pub active_channels: u64,
    /// The most calls that may be (`maxcalls`); 0 is no limit.
    pub max_calls: u64,
    /// Whether it has all its modules (`ast_fully_booted`).
    pub fully_booted: bool,
    /// Whether it is going down (`ast_shutting_down`).
    pub shutting_down: bool,
}

/// A module of Asterisk's.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Module {
    /// `chan_pjsip.so`.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// How many use it.
    pub use_count: i32,
    /// `Running`, `Not Running`, ...
    pub status: String,
    /// `core`, `extended`, `deprecated`.
    pub support: String,
}

/// A channel at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Channel {
    /// `PJSIP/200-00000001`.
    pub name: String,
    /// Its unique id.
    pub unique_id: String,
    /// That of the channel that its call began with: channels of one call have one.
    pub linked_id: String,
    /// `Up`, `Ring`, `Ringing`, ... (`ast_state2str`).
    pub state: String,
    /// Number of who is on this end.
    pub caller_number: String,
    /// Their name.
    pub caller_name: String,
    /// Number of whom they are connected with.
    pub connected_number: String,
    /// Their name.
    pub connected_name: String,
    /// Where it is in the dialplan.
    pub context: String,
    /// The extension there.
    pub extension: String,
    /// The priority there.
    pub priority: i32,
    /// The application that runs.
    pub application: String,
    /// Its arguments.
    pub application_data: String,
    /// The account that pays.
    pub account: String,
    /// The bridge that it is in, or empty.
    pub bridge_id: String,
    /// Since it was made.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub duration: Duration,
}

/// An endpoint of a channel driver.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Peer {
    /// `PJSIP`, `IAX2`, `SIP`, ...
    pub tech: String,
    /// Its name in that driver.
    pub resource: String,
    /// Whether it can be reached.
    pub state: PeerState,
    /// Unique ids of its channels.
    pub channels: Vec<String>,
    /// Where it is registered from (`sip:200@192.0.2.7:5060`, `192.0.2.7:4569`), as far as known.
    pub contacts: Vec<String>,
}

/// Whether a peer can be reached, as its driver sees it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PeerState {
    /// Registered, or always there.
    Online,
    /// Not registered, or not reachable.
    Offline,
    /// The driver does not know, or cannot tell.
    #[default]
    Unknown,
}

/// How much a line of the log matters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// As it should be.
    Notice,
    /// Somebody may have to look.
    Warning,
    /// Something does not work.
    Error,
}

/// What the security log is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SecurityEvent<'a> {
    /// What happened.
    pub what: Security,
    /// Who they said they were; empty if they did not say. It may be anything.
    pub user: &'a str,
    /// Where they are.
    pub remote: SocketAddr,
    /// Where they connected to.
    pub local: SocketAddr,
    /// Whether over TLS.
    pub is_secure: bool,
}

/// What happened. The names are those of Asterisk's security events.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Security {
    /// The address may not connect (`FAILED_ACL`).
    FailedAcl,
    /// There is no such user (`INVAL_ACCT_ID`).
    InvalidAccount,
    /// The password is wrong (`INVAL_PASSWORD`).
    InvalidPassword,
    /// Too many wrong passwords: not even looked at (`LOAD_LIMIT`).
    LoadLimit,
    /// Somebody is in (`SUCCESSFUL_AUTH`).
    SuccessfulAuth,
    /// A user may not do that (`REQ_NOT_ALLOWED`).
    NotAllowed,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}
