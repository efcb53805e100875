//! What is asked of a server, and when: one request at a time, so that watching costs it little.
//!
//! A round asks for everything: after the login (the snapshot), after `FullyBooted`, after a
//! reload, and every now and then (the reconciliation). Between rounds endpoints are asked about
//! one by one, for only `PJSIPShowEndpoint` tells caller ids, mailboxes and user agents.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use ami_proto::Message;

use crate::limits::{COMMANDS_MAX, PEERS_MAX, RETRY_AFTER, SETTLE};
use crate::text::Text;
use crate::turn::Mark;
use crate::view::{Driver, Freshness, Parts, Time};

/// Which request an answer belongs to. Never used twice for a server.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RequestId(u64);

/// An action to send.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Request {
    /// For [`crate::Fleet::answer`].
    pub id: RequestId,
    /// The action's name.
    pub action: &'static str,
    /// Its headers, without an `ActionID`.
    pub headers: Vec<(&'static str, Text)>,
}

#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Step {
    Commands,
    Settings,
    Status,
    Endpoints,
    Contacts,
    Iax2,
    Sip,
    Devices,
    Channels,
    Users,
    /// Where the server is registered itself.
    Outbound(Driver),
    Count(Text),
    Detail(Text),
}

/// After `ListCommands`. Devices come after the peers that have them.
const ROUND: [Step; 12] = [
    Step::Settings,
    Step::Status,
    Step::Channels,
    Step::Endpoints,
    Step::Contacts,
    Step::Iax2,
    Step::Sip,
    Step::Devices,
    Step::Users,
    Step::Outbound(Driver::Pjsip),
    Step::Outbound(Driver::Iax2),
    Step::Outbound(Driver::Sip),
];

impl Step {
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Commands => "ListCommands",
            Self::Settings => "CoreSettings",
            Self::Status => "CoreStatus",
            Self::Endpoints => "PJSIPShowEndpoints",
            Self::Contacts => "PJSIPShowContacts",
            Self::Iax2 => "IAXpeerlist",
            Self::Sip => "SIPpeers",
            Self::Devices => "DeviceStateList",
            Self::Channels => "CoreShowChannels",
            Self::Users => "VoicemailUsersList",
            Self::Outbound(Driver::Pjsip) => "PJSIPShowRegistrationsOutbound",
            Self::Outbound(Driver::Iax2) => "IAXregistry",
            Self::Outbound(Driver::Sip) => "SIPshowregistry",
            Self::Count(_) => "MailboxCount",
            Self::Detail(_) => "PJSIPShowEndpoint",
        }
    }

    fn headers(&self) -> Vec<(&'static str, Text)> {
        match self {
            Self::Count(mailbox) => vec![("Mailbox", mailbox.clone())],
            Self::Detail(endpoint) => vec![("Endpoint", endpoint.clone())],
            _ => Vec::new(),
        }
    }

    /// Whose peers it lists.
    pub(crate) fn driver(&self) -> Option<Driver> {
        match self {
            Self::Endpoints => Some(Driver::Pjsip),
            Self::Iax2 => Some(Driver::Iax2),
            Self::Sip => Some(Driver::Sip),
            _ => None,
        }
    }

    /// The part that is known once it is done.
    pub(crate) fn part<'p>(&self, parts: &'p mut Parts) -> Option<&'p mut Freshness> {
        match self {
            Self::Commands | Self::Settings | Self::Count(_) | Self::Detail(_) => None,
            Self::Status => Some(&mut parts.facts),
            Self::Endpoints => Some(&mut parts.pjsip),
            Self::Contacts => Some(&mut parts.contacts),
            Self::Iax2 => Some(&mut parts.iax2),
            Self::Sip => Some(&mut parts.sip),
            Self::Devices => Some(&mut parts.devices),
            Self::Channels => Some(&mut parts.calls),
            Self::Users => Some(&mut parts.mailboxes),
            Self::Outbound(_) => Some(&mut parts.registrations_outbound),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct UnderWay {
    pub(crate) id: RequestId,
    pub(crate) step: Step,
    pub(crate) began: Mark,
    pub(crate) was_live: bool,
}

#[derive(Debug)]
struct Look {
    at: Time,
    /// What was begun while this one was to come. Who begins again and again does not put it off.
    again: Option<Time>,
}

#[derive(Debug, Default)]
pub(crate) struct Plan {
    last_id: u64,
    /// In lower case; `None` if they are not known, and all is tried.
    commands: Option<BTreeSet<Vec<u8>>>,
    queue: VecDeque<Step>,
    details: BTreeSet<Text>,
    /// To be asked when something has come of what is under way there.
    looks: BTreeMap<Step, Look>,
    pub(crate) under_way: Option<UnderWay>,
    is_round: bool,
    has_failed: bool,
    is_again: bool,
    pub(crate) next_at: Option<Time>,
}

impl Plan {
    pub(crate) fn begin_round(&mut self) {
        self.queue = [Step::Commands].into_iter().chain(ROUND).collect();
        (self.is_round, self.has_failed, self.is_again) = (true, false, false);
        (self.under_way, self.next_at) = (None, None);
    }

    pub(crate) fn session_ended(&mut self) {
        self.queue.clear();
        self.looks.clear();
        (self.under_way, self.next_at, self.is_round) = (None, None, false);
    }

    /// A round soon; after the one under way if there is one.
    pub(crate) fn want_round(&mut self, now: Time) {
        match self.next_at {
            Some(next_at) => self.next_at = Some(next_at.min(now.after(SETTLE))),
            None => self.is_again = true,
        }
    }

    pub(crate) fn want_detail(&mut self, endpoint: Text) {
        if self.details.len() < PEERS_MAX {
            self.details.insert(endpoint);
        }
    }

    /// Later, if it is not to be done already.
    pub(crate) fn want_look(&mut self, at: Time, step: Step) {
        if self.looks.len() < PEERS_MAX {
            self.looks.entry(step).or_insert(Look { at, again: None });
        }
    }

    /// Later, and not before: something was begun just now.
    pub(crate) fn want_look_again(&mut self, at: Time, step: Step) {
        match self.looks.get_mut(&step) {
            Some(look) => look.again = Some(at),
            None => self.want_look(at, step),
        }
    }

    pub(crate) fn looks_due(&mut self, is_due: impl Fn(Time) -> bool) {
        let due: Vec<Step> = self
            .looks
            .iter()
            .filter(|(_, look)| is_due(look.at))
            .map(|(step, _)| step.clone())
            .collect();
        for step in due {
            if let Some(at) = self.looks.remove(&step).and_then(|look| look.again) {
                self.want_look(at, step.clone());
            }
            match step {
                Step::Detail(endpoint) => drop(self.details.insert(endpoint)),
                step => self.queue.push_back(step),
            }
        }
    }

    /// When something is to be asked next.
    pub(crate) fn due(&self) -> Option<Time> {
        self.looks.values().map(|look| look.at).chain(self.next_at).min()
    }

    pub(crate) fn want_counts(&mut self, mailboxes: impl Iterator<Item = Text>) {
        self.queue.extend(mailboxes.map(Step::Count));
    }

    /// The next step, if none is under way.
    pub(crate) fn next(&mut self) -> Option<Step> {
        if self.under_way.is_some() {
            return None;
        }
        if let Some(step) = self.queue.pop_front() {
            return Some(step);
        }
        if self.is_round {
            return None;
        }
        self.details.pop_first().map(Step::Detail)
    }

    pub(crate) fn offers(&self, step: &Step) -> bool {
        let name = step.action().to_ascii_lowercase().into_bytes();
        *step == Step::Commands || self.commands.as_ref().is_none_or(|all| all.contains(&name))
    }

    pub(crate) fn begin(&mut self, step: Step, began: Mark, was_live: bool) -> Request {
        self.last_id += 1;
        let id = RequestId(self.last_id);
        let request = Request { id, action: step.action(), headers: step.headers() };
        self.under_way = Some(UnderWay { id, step, began, was_live });
        request
    }

    /// Takes the answer to `ListCommands`: a header for each action that the user may do.
    pub(crate) fn set_commands(&mut self, message: Message<'_>) {
        let names = message.headers().take(COMMANDS_MAX).map(|it| it.name.to_ascii_lowercase());
        self.commands = Some(names.collect());
    }

    pub(crate) fn failed(&mut self) {
        self.has_failed = true;
    }

    /// Whether a round has just ended, and if so, whether all of it went well.
    pub(crate) fn end_round(&mut self, now: Time, every: Duration) -> Option<bool> {
        let is_over = self.is_round && self.queue.is_empty() && self.under_way.is_none();
        if !is_over {
            return None;
        }
        self.is_round = false;
        let pause = match (self.is_again, self.has_failed) {
            (true, _) => SETTLE,
            (false, true) => RETRY_AFTER.min(every),
            (false, false) => every,
        };
        self.next_at = Some(now.after(pause));
        Some(!self.has_failed)
    }
}
