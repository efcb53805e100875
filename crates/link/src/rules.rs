//! What an agent lets be done, and why it did not.

use ami_proto::ActionError;
use serde::Deserialize;

/// What may be done to a server, beside watching it: nothing, until it is allowed.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// End a call.
    pub hangup: bool,
    /// Send a channel elsewhere, in one of `contexts`.
    pub transfer: bool,
    /// Ring a peer and connect it with an extension, in one of `contexts`.
    pub originate: bool,
    /// Ask a peer whether it is there.
    pub qualify: bool,
    /// Where in the dialplan calls may be sent; the first if none is said.
    pub contexts: Vec<String>,
}

/// Why a request is not done. Nothing was sent to Asterisk.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The rules are without it.
    #[error("this server does not allow it: its agent's configuration needs `{0} = true`")]
    NotAllowed(&'static str),
    /// Not one of the actions that only tell something.
    #[error("{0:?} is not among the questions that a hub may ask")]
    NotAQuestion(String),
    /// The rules are without that context.
    #[error("the context {0:?} is not in `contexts` of the agent's configuration")]
    ForeignContext(String),
    /// No context was said, and the rules have none.
    #[error("`contexts` of the agent's configuration is empty, so no call can be sent anywhere")]
    NoContext,
    /// Asterisk would take it for something else.
    #[error("{what} may not be {value:?}")]
    Odd {
        /// Which value.
        what: &'static str,
        /// It.
        value: String,
    },
    /// Asterisk has no such action for that driver.
    #[error("Asterisk cannot qualify a peer of {0} on demand")]
    NoQualify(String),
    /// It does not fit into an action.
    #[error(transparent)]
    Action(#[from] ActionError),
}
