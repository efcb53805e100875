//! What is the most of anything. What does not fit is left out and counted in
//! [`crate::ServerInfo::left_out`], never shown as something else.

use std::time::Duration;

/// Longest text that is kept of a value, in bytes; what follows is cut.
pub const TEXT_MAX_BYTES: usize = 256;
/// Servers of a fleet.
pub const SERVERS_MAX: usize = 256;
/// Peers of a server, of all its drivers.
pub const PEERS_MAX: usize = 20_000;
/// Contacts of a peer; Asterisk's `max_contacts` is below it as a rule.
pub const CONTACTS_MAX: usize = 16;
/// Channels of a server, `Local/` ones among them.
pub const CHANNELS_MAX: usize = 20_000;
/// Legs that a [`crate::CallView`] shows; it counts all.
pub const LEGS_SHOWN_MAX: usize = 16;
/// Mailboxes of a server.
pub const MAILBOXES_MAX: usize = 20_000;
/// Registrations of a server at others.
pub const OUTBOUND_MAX: usize = 1000;
/// Names that a server may have for its actions; Asterisk 22 has about 150.
pub const COMMANDS_MAX: usize = 1024;
/// What ended and is remembered while a list is under way, so that the list cannot bring it back.
pub const ENDED_MAX: usize = 50_000;
/// What is gone and can still be told to a page that resumes; past it, the page takes a snapshot.
pub const GONE_MAX: usize = 20_000;

/// From the end of one reconciliation to the next, if the configuration says nothing.
pub const RECONCILE_EVERY: Duration = Duration::from_secs(300);
/// The same if one of its requests failed.
pub const RETRY_AFTER: Duration = Duration::from_secs(30);
/// From a reload, or a peer that no list had, to a reconciliation: more of them may follow.
pub const SETTLE: Duration = Duration::from_secs(2);
/// From a list with a registration whose registrar has not answered yet to the next such list.
pub const ANSWER_AFTER: Duration = Duration::from_secs(5);
