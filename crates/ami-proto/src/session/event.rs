//! What a session tells, and why things failed.

use crate::error::FrameError;
use crate::message::Message;
use crate::{ACTIONS_MAX, LIST_ITEMS_MAX, LIST_MAX_BYTES};

/// An action under way: which one an answer belongs to. Never used twice in a session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ActionId(pub(crate) u64);

/// What happened. Messages are lent until the next call.
///
/// Every action that [`crate::Session::send`] took ends with exactly one of
/// [`Response`](Self::Response), [`ListEnd`](Self::ListEnd) and [`Failed`](Self::Failed).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The login was accepted: actions may be sent.
    LoggedIn,
    /// Asterisk has loaded all its modules: told after the login, or when it gets there. Only
    /// users that read `system` are told.
    FullyBooted(Message<'a>),
    /// Something happened on the server.
    Event(Message<'a>),
    /// An action was done; this is its answer.
    Response {
        /// Which.
        action: ActionId,
        /// `Response: Success` as a rule.
        message: Message<'a>,
    },
    /// An action will be answered by a list, which begins.
    ListStart {
        /// Which.
        action: ActionId,
        /// Says `EventList: start`.
        message: Message<'a>,
    },
    /// One item of the list.
    ListItem {
        /// Which.
        action: ActionId,
        /// An event.
        message: Message<'a>,
    },
    /// The list is whole.
    ListEnd {
        /// Which.
        action: ActionId,
        /// Says `EventList: Complete`, and in `ListItems` how many there were.
        message: Message<'a>,
        /// How many came.
        items: u32,
    },
    /// An action failed, or nobody knows what became of it.
    Failed {
        /// Which.
        action: ActionId,
        /// Why.
        failure: Failure,
        /// What Asterisk said, if it did.
        message: Option<Message<'a>>,
    },
    /// An answer to nothing that is under way: it comes after its action's time-out, or has no
    /// id. Nothing is guessed from its place among the others.
    Stray(Message<'a>),
    /// The session is over, and nothing follows: close the connection.
    Lost(Loss),
}

/// Why an action failed.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The user's `write` has none of the classes that the action needs.
    #[error("the user may not do that")]
    NotPermitted,
    /// This Asterisk has no such action, or not the module that has it.
    #[error("the server does not know the action")]
    UnknownAction,
    /// Asterisk does nothing more before it ends.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// Asterisk says `Error` for another reason, in words.
    #[error("the server refused it")]
    Refused,
    /// No answer, or no further item, in time. It may have been done all the same.
    #[error("the server did not answer in time")]
    TimedOut,
    /// A list was longer than [`LIST_ITEMS_MAX`] or [`LIST_MAX_BYTES`].
    #[error("the list is longer than {LIST_ITEMS_MAX} items or {LIST_MAX_BYTES} bytes")]
    ListTooLong,
    /// Asterisk ended the list before its end.
    #[error("the server cancelled the list")]
    ListCancelled,
    /// The session ended first. It may have been done all the same.
    #[error("the session ended")]
    SessionLost,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// No such user, a wrong secret, or an address that `manager.conf` does not permit: Asterisk
    /// does not tell them apart.
    #[error("the server does not accept the user, the secret or the address")]
    WrongPassword,
    /// The user is logged in already, and `allowmultiplelogin` is off.
    #[error("the user is logged in already, and may be only once")]
    AlreadyLoggedIn,
    /// The login was refused for another reason.
    #[error("the server refused the login")]
    LoginRefused,
    /// No greeting, or no accepted login, in time.
    #[error("the login did not end in time")]
    LoginTimedOut,
    /// Closed before a greeting: too many wait for their login there (`authlimit`), or the address
    /// is not permitted.
    #[error("the server closed the connection before it said anything")]
    NotServed,
    /// We logged off.
    #[error("logged off")]
    LoggedOff,
    /// Asterisk said that it stops or restarts.
    #[error("the server is shutting down")]
    ShuttingDown,
    /// Closed: it crashed, kicked us, or we read too slowly for its `writetimeout`.
    #[error("the server closed the connection")]
    Closed,
    /// No message and no answer to a ping in time.
    #[error("the server is silent")]
    Silent,
    /// Not AMI, or not in a size that is sane.
    #[error("the server talks no AMI: {0}")]
    Garbage(#[from] FrameError),
}

/// Why an action was not sent.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Wait for [`Event::LoggedIn`].
    #[error("not logged in yet")]
    NotLoggedIn,
    /// Wait for others to end, or drain their events.
    #[error("{ACTIONS_MAX} actions are under way")]
    TooMany,
    /// The session is over.
    #[error("the session is over")]
    Over,
}
