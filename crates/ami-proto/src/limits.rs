//! Every limit, and why it is what it is.
//!
//! A peer that exceeds one of the first group is not Asterisk, or not one we can hold in memory:
//! framing ends with a typed error. The second group is Asterisk's own and concerns what we send.

use std::time::Duration;

/// Longest greeting line, its end included. Asterisk's is 32 bytes; what is longer is another
/// protocol, and is told so early.
pub const GREETING_MAX_BYTES: usize = 256;

/// Longest line from Asterisk, its end included. Asterisk has no limit: `GetConfigJSON` prints a
/// whole file as one line, and a channel variable may have any length.
pub const LINE_MAX_BYTES: usize = 1024 * 1024;

/// Longest message. `Command` answers with all that the console would print: a dial plan or
/// registry of ten thousand lines is about one megabyte.
pub const MESSAGE_MAX_BYTES: usize = 4 * 1024 * 1024;

/// Most headers in a message: `Command` makes one of each line that the console would print. The
/// index of a message takes 16 bytes for each.
pub const HEADERS_MAX: usize = 65_536;

/// Most bytes that a [`crate::Decoder`] holds: a whole message, and as much behind it. More at
/// once means that nobody drains it.
pub const BUFFER_MAX_BYTES: usize = 2 * MESSAGE_MAX_BYTES;

/// Longest line to Asterisk, its end included: `inbuf` of `struct mansession_session`, less the
/// byte for its NUL. The message with a longer line is thrown away there.
pub const ACTION_LINE_MAX_BYTES: usize = 1024;

/// Most lines of an action, `Action` and `ActionID` included: `AST_MAX_MANHEADERS`.
pub const ACTION_HEADERS_MAX: usize = 128;

/// Longest prefix of action ids: Asterisk copies an id into buffers of 256 bytes (`idText`), with
/// its header's name.
pub const ID_PREFIX_MAX_BYTES: usize = 64;

/// Most actions under way in a session. Asterisk works on them one by one, so more would only wait
/// there; it also bounds what is to be sent.
pub const ACTIONS_MAX: usize = 128;

/// Most items of one list: ten thousand endpoints with several contacts each are well below it.
pub const LIST_ITEMS_MAX: u32 = 200_000;

/// Most bytes of one list, for a caller that gathers it: ten thousand endpoints take about 6 MiB.
pub const LIST_MAX_BYTES: usize = 64 * 1024 * 1024;

/// A list may take this many times its action's time-out in all, however steadily it trickles.
pub const LIST_TIMEOUTS_MAX: u32 = 10;

/// From the connection to the accepted login, if nothing is said. Asterisk waits for a second
/// before it refuses a password, and closes after 30 (`authtimeout`).
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);

/// From an action to its answer, or from one item of a list to the next, if nothing is said.
/// Asterisk's longest wait is an `Originate` that is not `Async`: 30 seconds.
pub const ACTION_TIMEOUT: Duration = Duration::from_secs(35);

/// After this long without a message Asterisk is asked for a sign of life, if nothing is said.
pub const PING_INTERVAL: Duration = Duration::from_secs(20);

/// And has this long to give it, if nothing is said.
pub const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest of these times; what is longer is cut to it. Nobody looks at the answer any more.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3600);
