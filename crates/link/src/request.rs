//! What a hub may ask for, and what that is in AMI.

use ami_proto::Action;
use serde::{Deserialize, Serialize};

use crate::rules::{Refusal, Rules};

/// A request, and the number that its answers carry.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// Never used twice on a connection.
    pub id: u64,
    /// What is asked for.
    #[serde(flatten)]
    pub request: Request,
}

/// What can be asked for.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Request {
    /// One of the actions that only tell something (`QUESTIONS`).
    Read {
        /// Its name.
        action: String,
        /// What it is about.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        headers: Vec<(String, String)>,
    },
    /// What the console says to `module show`: AMI has no list of the modules.
    Modules,
    /// End a channel.
    Hangup {
        /// `PJSIP/200-00000001`.
        channel: String,
    },
    /// Send a channel elsewhere; the other side of its call goes.
    Transfer {
        /// Which.
        channel: String,
        /// Where to.
        extension: String,
        /// In which of [`Rules::contexts`]; else the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<String>,
    },
    /// Ring a peer, and when it answers, connect it with an extension.
    Originate {
        /// `PJSIP/200`.
        peer: String,
        /// Whom it is to speak with.
        extension: String,
        /// In which of [`Rules::contexts`]; else the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        context: Option<String>,
    },
    /// Ask a peer whether it is there.
    Qualify {
        /// `PJSIP` or `SIP`.
        driver: String,
        /// The peer.
        name: String,
    },
}

/// The actions that only tell something, and the one header that each may have.
const QUESTIONS: [(&str, Option<&str>); 16] = [
    ("ListCommands", None),
    ("CoreSettings", None),
    ("CoreStatus", None),
    ("CoreShowChannels", None),
    ("PJSIPShowEndpoints", None),
    ("PJSIPShowEndpoint", Some("Endpoint")),
    ("PJSIPShowContacts", None),
    ("PJSIPShowRegistrationsOutbound", None),
    ("IAXpeerlist", None),
    ("IAXregistry", None),
    ("SIPpeers", None),
    ("SIPshowregistry", None),
    ("DeviceStateList", None),
    ("VoicemailUsersList", None),
    ("MailboxCount", Some("Mailbox")),
    ("Ping", None),
];

/// `AST_MAX_EXTENSION` and `AST_MAX_CONTEXT` of Asterisk's `channel.h`, less the terminator.
const NAME_MAX_BYTES: usize = 79;
/// How long a phone rings that was to be connected.
const RING_MS: &str = "30000";

impl Request {
    /// What it is in AMI, if the rules allow it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] says why not.
    pub fn action(&self, rules: &Rules) -> Result<Action, Refusal> {
        match self {
            Self::Read { action, headers } => read(action, headers),
            Self::Modules => Ok(Action::new("Command")?.header("Command", "module show")?),
            Self::Hangup { channel } => {
                allowed(rules.hangup, "hangup")?;
                Ok(Action::new("Hangup")?.header("Channel", one_channel(channel)?)?)
            }
            Self::Transfer { channel, extension, context } => {
                allowed(rules.transfer, "transfer")?;
                let action = Action::new("Redirect")?.header("Channel", one_channel(channel)?)?;
                to_extension(action, extension, context.as_deref(), rules)
            }
            Self::Originate { peer, extension, context } => {
                allowed(rules.originate, "originate")?;
                let action = Action::new("Originate")?.header("Channel", one_peer(peer)?)?;
                let action = to_extension(action, extension, context.as_deref(), rules)?;
                let action = action.header("CallerID", extension)?;
                Ok(action.header("Timeout", RING_MS)?.header("Async", "true")?)
            }
            Self::Qualify { driver, name } => {
                allowed(rules.qualify, "qualify")?;
                let (action, header) = match driver.as_str() {
                    "PJSIP" => ("PJSIPQualify", "Endpoint"),
                    "SIP" => ("SIPqualifypeer", "Peer"),
                    other => return Err(Refusal::NoQualify(other.into())),
                };
                Ok(Action::new(action)?.header(header, name)?)
            }
        }
    }
}

fn read(action: &str, headers: &[(String, String)]) -> Result<Action, Refusal> {
    let no_question = || Refusal::NotAQuestion(action.into());
    let (name, header) = QUESTIONS.iter().find(|it| it.0 == action).ok_or_else(no_question)?;
    let mut built = Action::new(name)?;
    for (name, value) in headers {
        if *header != Some(name.as_str()) {
            return Err(no_question());
        }
        built = built.header(name, value)?;
    }
    Ok(built)
}

fn allowed(is_allowed: bool, what: &'static str) -> Result<(), Refusal> {
    is_allowed.then_some(()).ok_or(Refusal::NotAllowed(what))
}

fn to_extension(
    action: Action,
    extension: &str,
    context: Option<&str>,
    rules: &Rules,
) -> Result<Action, Refusal> {
    let is_dialled = |c: char| c.is_ascii_alphanumeric() || "*#+-_.".contains(c);
    let is_one =
        (1..=NAME_MAX_BYTES).contains(&extension.len()) && extension.chars().all(is_dialled);
    if !is_one {
        return Err(Refusal::Odd { what: "an extension", value: extension.into() });
    }
    let context = match context {
        None => rules.contexts.first().ok_or(Refusal::NoContext)?,
        Some(wanted) => (rules.contexts.iter())
            .find(|context| *context == wanted)
            .ok_or_else(|| Refusal::ForeignContext(wanted.into()))?,
    };
    let action = action.header("Context", context)?.header("Exten", extension)?;
    Ok(action.header("Priority", "1")?)
}

/// `Hangup` takes `/…/` for a pattern, and would end all that match (`manager.c`,
/// `action_hangup`).
fn one_channel(channel: &str) -> Result<&str, Refusal> {
    if channel.is_empty() || channel.starts_with('/') {
        return Err(Refusal::Odd { what: "a channel", value: channel.into() });
    }
    Ok(channel)
}

/// A peer of a driver, and not an address or another's number: `PJSIP/200@trunk` or
/// `IAX2/user:secret@host` would be that.
fn one_peer(peer: &str) -> Result<&str, Refusal> {
    let name = ["PJSIP/", "IAX2/", "SIP/"].iter().find_map(|driver| peer.strip_prefix(driver));
    let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !"/&@:,;()|".contains(c);
    match name {
        Some(name) if !name.is_empty() && name.chars().all(is_plain) => Ok(peer),
        _ => Err(Refusal::Odd { what: "a peer", value: peer.into() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Rules {
        let contexts = vec!["internal".into(), "desk".into()];
        Rules { hangup: true, transfer: true, originate: true, qualify: true, contexts }
    }

    fn shown(request: &Request) -> String {
        match request.action(&all()) {
            Ok(action) => format!("{action:?}"),
            Err(refusal) => refusal.to_string(),
        }
    }

    #[test]
    fn each_request_is_one_action() {
        let hangup = Request::Hangup { channel: "PJSIP/200-1".into() };
        assert_eq!(shown(&hangup), "[Action: Hangup, Channel: PJSIP/200-1]");
        let (channel, extension) = ("PJSIP/200-1".into(), "201".into());
        let transfer = Request::Transfer { channel, extension, context: Some("desk".into()) };
        assert_eq!(
            shown(&transfer),
            "[Action: Redirect, Channel: PJSIP/200-1, Context: desk, Exten: 201, Priority: 1]"
        );
        let (peer, extension) = ("PJSIP/200".into(), "*97".into());
        let originate = Request::Originate { peer, extension, context: None };
        assert_eq!(
            shown(&originate),
            "[Action: Originate, Channel: PJSIP/200, Context: internal, Exten: *97, Priority: 1, \
             CallerID: *97, Timeout: 30000, Async: true]"
        );
        let qualify = Request::Qualify { driver: "PJSIP".into(), name: "200".into() };
        assert_eq!(shown(&qualify), "[Action: PJSIPQualify, Endpoint: 200]");
        assert_eq!(shown(&Request::Modules), "[Action: Command, Command: module show]");
        let headers = vec![("Mailbox".into(), "200@default".into())];
        let read = Request::Read { action: "MailboxCount".into(), headers };
        assert_eq!(shown(&read), "[Action: MailboxCount, Mailbox: 200@default]");
    }

    #[test]
    fn nothing_is_allowed_that_was_not() {
        let (channel, extension) = ("c".to_owned(), "1".to_owned());
        let requests = [
            (Request::Hangup { channel: channel.clone() }, "hangup"),
            (
                Request::Transfer { channel, extension: extension.clone(), context: None },
                "transfer",
            ),
            (Request::Originate { peer: "SIP/1".into(), extension, context: None }, "originate"),
            (Request::Qualify { driver: "SIP".into(), name: "1".into() }, "qualify"),
        ];
        for (request, what) in requests {
            assert_eq!(request.action(&Rules::default()), Err(Refusal::NotAllowed(what)));
        }
    }

    #[test]
    fn only_questions_are_read() {
        for action in ["Command", "Originate", "coresettings", "Logoff", "GetConfig", ""] {
            let read = Request::Read { action: action.into(), headers: Vec::new() };
            assert_eq!(read.action(&all()), Err(Refusal::NotAQuestion(action.into())));
        }
        let headers = vec![("Variable".into(), "x".into())];
        let read = Request::Read { action: "MailboxCount".into(), headers };
        assert!(read.action(&all()).is_err(), "a header that it may not have");
    }

    #[test]
    fn what_asterisk_would_take_for_something_else_is_refused() {
        for channel in ["", "/.*/", "/^PJSIP/", "a\r\nAction: Command"] {
            let request = Request::Hangup { channel: channel.into() };
            assert!(request.action(&all()).is_err(), "{channel:?}");
        }
        let peers = ["200", "PJSIP/", "PJSIP/200@trunk", "IAX2/u:s@host/1", "Local/1@internal"];
        for peer in peers.into_iter().chain(["SIP/1&SIP/2", "PJSIP/1 2", "DAHDI/1"]) {
            let extension = "201".into();
            let request = Request::Originate { peer: peer.into(), extension, context: None };
            assert!(request.action(&all()).is_err(), "{peer:?}");
        }
        let long = "1".repeat(NAME_MAX_BYTES + 1);
        for extension in ["", "201,1", "2 1", "${X}", "a\nb", &long] {
            let (channel, extension) = ("SIP/1-1".into(), extension.into());
            let request = Request::Transfer { channel, extension, context: None };
            assert!(matches!(request.action(&all()), Err(Refusal::Odd { .. })), "{request:?}");
        }
    }

    #[test]
    fn a_call_goes_only_where_the_rules_say() {
        let to = |context: Option<&str>| Request::Transfer {
            channel: "SIP/1-1".into(),
            extension: "201".into(),
            context: context.map(Into::into),
        };
        let refusal = to(Some("outbound")).action(&all());
        assert_eq!(refusal, Err(Refusal::ForeignContext("outbound".into())));
        let none = Rules { contexts: Vec::new(), ..all() };
        assert_eq!(to(None).action(&none), Err(Refusal::NoContext));
    }
}
