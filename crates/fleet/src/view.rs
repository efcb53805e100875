//! What pages are shown: plain values that serialise.

use std::time::Duration;

use serde::Serialize;

use crate::text::Text;

/// A time of day, in milliseconds since 1970. The caller's clock; nothing here reads one.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Time {
    /// Milliseconds since 1970, UTC.
    pub ms: u64,
}

/// A number, as it is written.
#[cfg(feature = "schema")]
impl utoipa::PartialSchema for Time {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        u64::schema()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for Time {}

impl Time {
    pub(crate) fn before(self, ago: Duration) -> Self {
        Self { ms: self.ms.saturating_sub(millis(ago)) }
    }

    pub(crate) fn after(self, later: Duration) -> Self {
        Self { ms: self.ms.saturating_add(millis(later)) }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How far something may be believed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "is", content = "at_ms")]
pub enum Freshness {
    /// Never heard.
    #[default]
    Unknown,
    /// The server offers no such list: the module that would is not there, or the user may not ask.
    NotOffered,
    /// It was so then.
    AsOf(Time),
    /// Listed, and events have kept it up to date since.
    Live,
}

/// What is known of each part of a server.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Parts {
    /// Versions and counters. Only asked for, so never live.
    pub facts: Freshness,
    /// Endpoints of `chan_pjsip`.
    pub pjsip: Freshness,
    /// Where they are registered.
    pub contacts: Freshness,
    /// Peers of `chan_iax2`.
    pub iax2: Freshness,
    /// Peers of `chan_sip`, up to Asterisk 20.
    pub sip: Freshness,
    /// Whether phones are idle, ringing or in use; of `chan_sip` only those with `callcounter`.
    /// Offered by `res_manager_devicestate`, which has the events too.
    pub devices: Freshness,
    /// Channels, and so calls.
    pub calls: Freshness,
    /// Mailboxes and their messages.
    pub mailboxes: Freshness,
    /// Where the server is registered itself. Events tell what it was answered, and not that nobody
    /// answers, so never live.
    pub registrations_outbound: Freshness,
}

/// A server.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ServerInfo {
    /// Whether there is a session.
    pub connected: bool,
    /// Since when it is so; `None` before the first.
    pub since_ms: Option<Time>,
    /// AMI's version, from the greeting.
    pub ami_version: Option<Text>,
    /// `AsteriskVersion` of `CoreSettings`.
    pub version: Option<Text>,
    /// `SystemName` of `CoreSettings`.
    pub system_name: Option<Text>,
    /// Whether all modules are loaded; users that do not read `system` are never told.
    pub booted: bool,
    /// From `FullyBooted`: `CoreStatus` tells the server's local time, and not in which zone.
    pub up_since_ms: Option<Time>,
    /// The last reload, likewise.
    pub reload_since_ms: Option<Time>,
    /// Calls since it started: `CoreProcessedCalls` of `CoreStatus`, which Asterisk 16 does not tell.
    pub calls_processed: Option<u64>,
    /// Calls now.
    pub calls: usize,
    /// Peers.
    pub peers: usize,
    /// Those of them that are registered, or lagged.
    pub peers_registered: usize,
    /// How far each part may be believed.
    pub parts: Parts,
    /// When all parts were last compared with the server.
    pub reconciled_ms: Option<Time>,
    /// Things that were otherwise than events had said, when they were compared. An event that was
    /// on its way at that moment counts too.
    pub drift: u64,
    /// Things that did not fit the limits, or had no usable name.
    pub left_out: u64,
    /// Requests that failed, but for those that the server does not offer.
    pub requests_failed: u64,
}

/// How a server is reached: what the caller says of itself, passed on as it is.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Link {
    /// By what.
    pub via: Via,
    /// Whether it is there now.
    pub state: LinkState,
    /// Since when it is so; `None` before the first.
    pub since_ms: Option<Time>,
    /// Why it is not there, or why Asterisk is not, beyond it.
    pub error: Option<Text>,
    /// Where the agent dialled from, or where Asterisk is.
    pub address: Option<Text>,
    /// The agent's version.
    pub agent_version: Option<Text>,
    /// To Asterisk and back, at the last try.
    pub round_trip_us: Option<u64>,
    /// The load of the server's machine in the last minute, in thousandths; only an agent tells.
    pub load_milli: Option<u32>,
    /// Its processors.
    pub cpus: Option<u32>,
}

/// By what a server is reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// An agent, which dials in.
    #[default]
    Agent,
    /// AMI, dialled from here.
    Ami,
}

/// Whether a link is there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LinkState {
    /// It never was.
    #[default]
    Never,
    /// It was.
    Down,
    /// It is.
    Up,
}

/// Which peer of a server.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PeerId {
    /// Its driver.
    pub driver: Driver,
    /// As in the server's configuration.
    pub name: Text,
}

/// A channel driver with peers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Driver {
    /// `chan_pjsip`.
    #[serde(rename = "PJSIP")]
    Pjsip,
    /// `chan_iax2`; `IAXpeerlist` calls it `IAX`.
    #[serde(rename = "IAX2")]
    Iax2,
    /// `chan_sip`.
    #[serde(rename = "SIP")]
    Sip,
}

impl Driver {
    /// As it is written before a peer's name.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pjsip => "PJSIP",
            Self::Iax2 => "IAX2",
            Self::Sip => "SIP",
        }
    }
}

/// Whether a peer can be reached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Not known.
    #[default]
    Unknown,
    /// Registered, and not known to be out of reach.
    Registered,
    /// Answers, but slowly.
    Lagged,
    /// Has an address and does not answer there.
    Unreachable,
    /// Has no address.
    Unregistered,
    /// Has an address in the configuration, and is not known to be out of reach.
    Static,
}

impl Registration {
    /// As it is written everywhere.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Registered => "registered",
            Self::Lagged => "lagged",
            Self::Unreachable => "unreachable",
            Self::Unregistered => "unregistered",
            Self::Static => "static",
        }
    }
}

/// What a peer does; Asterisk's device state (`devicestate.c`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// Not known.
    #[default]
    Unknown,
    /// Not in use.
    Idle,
    /// Ringing.
    Ringing,
    /// In use.
    InUse,
    /// In use, and another call rings.
    RingInUse,
    /// All its calls are on hold.
    OnHold,
    /// Takes no further call.
    Busy,
    /// Cannot be called.
    Unavailable,
    /// Asterisk knows no such device.
    Invalid,
}

/// A phone or a trunk.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PeerView {
    /// Which.
    #[serde(flatten)]
    pub id: PeerId,
    /// Whether the configuration of the fleet says that it is a trunk.
    pub trunk: bool,
    /// `Callerid` of its endpoint; only `chan_pjsip` tells.
    pub caller_id: Option<Text>,
    /// Whether it can be reached.
    pub registration: Registration,
    /// Since when, if it was seen to become so.
    pub since_ms: Option<Time>,
    /// What it does.
    pub device: Device,
    /// Host and port.
    pub address: Option<Text>,
    /// How many addresses it is registered from.
    pub contacts: usize,
    /// What it says that it is.
    pub user_agent: Option<Text>,
    /// How long it takes to answer, if it is asked.
    pub round_trip_us: Option<u64>,
    /// The key of its [`MailboxView`]; only `chan_pjsip` tells.
    pub mailbox: Option<Text>,
}

/// Which registration of a server at another.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OutboundId {
    /// The driver that registers.
    pub driver: Driver,
    /// As whom: `client_uri` of `chan_pjsip`, a user name of the others.
    pub user: Text,
    /// Where: `server_uri` of `chan_pjsip`, host and port of `chan_iax2`, the host of `chan_sip`.
    pub at: Text,
}

/// A registration of a server at another.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct OutboundView {
    /// Which.
    #[serde(flatten)]
    pub id: OutboundId,
    /// Its name in the configuration; only `chan_pjsip` has one, and only its list tells.
    pub name: Option<Text>,
    /// What became of it.
    pub state: OutboundState,
    /// Since when, if it was heard to become so.
    pub since_ms: Option<Time>,
}

/// How far a registration at another server is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OutboundState {
    /// Not known.
    #[default]
    Unknown,
    /// It is registered.
    Registered,
    /// It has asked, and waits for the answer.
    Asked,
    /// It was told no; `chan_pjsip` says so of one that nobody answers, too.
    Rejected,
    /// Nobody answered.
    TimedOut,
    /// None of these.
    Unregistered,
}

/// A mailbox.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MailboxView {
    /// `200@default`.
    pub id: Text,
    /// Messages not listened to.
    pub new: u64,
    /// The others.
    pub old: u64,
}

/// Where a call comes from and goes, as seen from its server.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From a trunk.
    In,
    /// To a trunk.
    Out,
    /// From a trunk to a trunk.
    Through,
    /// Among phones, or a phone and the server itself.
    Internal,
}

impl Direction {
    /// As it is written everywhere.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Out => "out",
            Self::Through => "through",
            Self::Internal => "internal",
        }
    }
}

/// How far a call is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Nothing rings yet.
    Dialling,
    /// The other side rings.
    Ringing,
    /// Answered.
    Up,
    /// Answered, and a leg was heard to be put on hold.
    OnHold,
}

/// One side of a call.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Party {
    /// The number; of a side that does not exist yet, what was dialled.
    pub number: Option<Text>,
    /// The name.
    pub name: Option<Text>,
    /// The peer: `PJSIP/200`.
    pub peer: Option<Text>,
}

/// A channel of a call.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct LegView {
    /// `PJSIP/200-00000001`, to name it in an action.
    pub channel: Text,
    /// Asterisk's `Uniqueid`.
    pub id: Text,
    /// Who is at its end.
    pub party: Party,
    /// Whether that is a trunk.
    pub trunk: bool,
    /// `ChannelState` (`channelstate.h`): 0 down, 4 ring, 5 ringing, 6 up.
    pub state: u8,
    /// Whether it has put the other on hold; `None` if it was not heard to, either way, for no
    /// list tells.
    pub on_hold: Option<bool>,
    /// The bridge that it is in.
    pub bridge: Option<Text>,
}

/// A call: all channels of one `Linkedid`, but for `Local/` ones.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct CallView {
    /// Asterisk's `Linkedid`.
    pub id: Text,
    /// Where it goes.
    pub direction: Direction,
    /// Who called.
    pub from: Party,
    /// Who was called.
    pub to: Party,
    /// How far it is.
    pub state: CallState,
    /// When the first of its channels that are left began.
    pub since_ms: Time,
    /// Its channels, the oldest first, at most [`crate::LEGS_SHOWN_MAX`].
    pub legs: Vec<LegView>,
    /// How many there are.
    pub legs_count: usize,
}
