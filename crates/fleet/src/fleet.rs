//! All servers, and the one sequence of their changes.

use std::collections::BTreeMap;

use ami_proto::Message;
use serde::Serialize;

use crate::limits::SERVERS_MAX;
use crate::log::{Key, Log};
use crate::plan::{Request, RequestId};
use crate::server::{Answer, Config, ServerView};
use crate::text::Text;
use crate::view::{
    CallView, Link, MailboxView, OutboundId, OutboundView, PeerId, PeerView, ServerInfo, Time,
};

/// Why a server was not added. The caller erred.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum AddError {
    /// There is one of that name.
    NameTaken,
    /// There are [`SERVERS_MAX`].
    TooMany,
}

/// Changes after that sequence are not known any more: take a [`Fleet::snapshot`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Gap;

/// A change, as it is now: what happened in between is not told.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Change {
    /// Each is larger than the one before, in all of the fleet.
    pub seq: u64,
    /// The server's name.
    pub server: Text,
    /// What it is now.
    #[serde(flatten)]
    pub what: What,
}

/// What changed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "what", content = "value")]
pub enum What {
    /// The server itself.
    Server(Box<ServerInfo>),
    /// How it is reached.
    Link(Box<Link>),
    /// A peer is new, or otherwise than before.
    Peer(Box<PeerView>),
    /// It is no longer configured.
    PeerGone(PeerId),
    /// A call is new, or otherwise than before.
    Call(Box<CallView>),
    /// It is over, or part of another.
    CallGone(Text),
    /// A mailbox is new, or has other counts.
    Mailbox(MailboxView),
    /// It is no longer configured.
    MailboxGone(Text),
    /// A registration at another server is new, or otherwise than before.
    Outbound(Box<OutboundView>),
    /// It is no longer configured.
    OutboundGone(OutboundId),
}

/// Everything, at one moment.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Snapshot {
    /// To go on from with [`Fleet::changes_since`].
    pub seq: u64,
    /// By name.
    pub servers: Vec<ServerSnapshot>,
}

/// A server with all that it has.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct ServerSnapshot {
    /// Its name in the fleet.
    pub name: Text,
    /// The server itself.
    pub info: ServerInfo,
    /// How it is reached.
    pub link: Link,
    /// By driver and name.
    pub peers: Vec<PeerView>,
    /// By `Linkedid`.
    pub calls: Vec<CallView>,
    /// By name.
    pub mailboxes: Vec<MailboxView>,
    /// By driver, user and registrar.
    pub registrations_outbound: Vec<OutboundView>,
}

/// The state of all servers. What is said of a server that is not there is ignored.
#[derive(Debug)]
pub struct Fleet {
    servers: BTreeMap<Text, ServerView>,
    log: Log,
}

impl Fleet {
    /// A fleet without servers.
    ///
    /// Its sequence goes on from `first`. Let it be larger than any that was told before, the
    /// microseconds since 1970 for one, so that a page of an earlier life is told of a [`Gap`].
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self { servers: BTreeMap::new(), log: Log::new(first) }
    }

    /// Adds a server, which is not connected.
    ///
    /// # Errors
    ///
    /// If its name is taken, or there are too many.
    pub fn add(&mut self, name: &str, config: Config) -> Result<(), AddError> {
        let name = Text::from(name);
        if self.servers.contains_key(&name) {
            return Err(AddError::NameTaken);
        }
        if self.servers.len() >= SERVERS_MAX {
            return Err(AddError::TooMany);
        }
        self.log.note(&name, Key::Server, false);
        self.servers.insert(name, ServerView::new(config));
        Ok(())
    }

    /// Removes a server. Whoever follows needs a new [`Self::snapshot`], and is told so by a [`Gap`].
    pub fn remove(&mut self, name: &str) {
        if self.servers.remove(name).is_some() {
            self.log.forget_server(name);
        }
    }

    /// A session has logged in: `ami_proto::Event::LoggedIn`, with the greeting's version.
    pub fn connected(&mut self, now: Time, server: &str, ami_version: &[u8]) {
        self.with(server, |server| server.connected(now, ami_version));
    }

    /// The server has given a sign of life that says nothing else.
    pub fn heard(&mut self, now: Time, server: &str) {
        self.with(server, |server| server.heard(now));
    }

    /// The session is over. What is known stays, as of when the server was last heard.
    pub fn disconnected(&mut self, now: Time, server: &str) {
        self.with(server, |server| server.disconnected(now));
    }

    /// How the server is reached has changed, or why it is not.
    pub fn linked(&mut self, server: &str, link: Link) {
        self.with(server, |server| server.linked(link));
    }

    /// An event: `ami_proto::Event::Event`, and `FullyBooted` too.
    pub fn event(&mut self, now: Time, server: &str, message: Message<'_>) {
        self.with(server, |server| server.event(now, message));
    }

    /// What came of a request. Every request ends with one [`Answer::Done`] or [`Answer::Failed`],
    /// as `ami_proto::Session` sees to; until then there is no further one.
    pub fn answer(&mut self, now: Time, server: &str, request: RequestId, answer: Answer<'_>) {
        self.with(server, |server| server.answer(now, request, answer));
    }

    /// An action to send at once, if any: ask after each call that has to do with this server,
    /// until there is none. Events that are handed in after this count as later than the question,
    /// so hand in what was read before.
    pub fn poll_request(&mut self, now: Time, server: &str) -> Option<Request> {
        self.with(server, |server| server.poll_request(now)).flatten()
    }

    /// When to call [`Self::handle_timeout`], if at all.
    #[must_use]
    pub fn poll_timeout(&self, server: &str) -> Option<Time> {
        self.servers.get(server)?.poll_timeout()
    }

    /// A peer was asked whether it is there. `chan_pjsip` tells by an event only that this has changed, and not how
    /// long it took: in a moment it is asked.
    pub fn qualified(&mut self, now: Time, server: &str, peer: &PeerId) {
        self.with(server, |server| server.qualified(now, peer));
    }

    /// Begins what it is time for.
    pub fn handle_timeout(&mut self, now: Time, server: &str) {
        self.with(server, |server| server.handle_timeout(now));
    }

    /// A server.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<&ServerView> {
        self.servers.get(name)
    }

    /// The sequence of the last change.
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.log.last()
    }

    /// The first `max` changes after `seq`; ask on from the last of them.
    ///
    /// # Errors
    ///
    /// [`Gap`] if they are not known any more, or never were.
    pub fn changes_since(&self, seq: u64, max: usize) -> Result<Vec<Change>, Gap> {
        let since = self.log.since(seq).ok_or(Gap)?.take(max);
        let changes = since.filter_map(|(seq, (server, key))| {
            let what = self.servers.get(server)?.what(key);
            Some(Change { seq, server: server.clone(), what })
        });
        Ok(changes.collect())
    }

    /// Everything as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let servers = self.servers.iter().map(|(name, server)| ServerSnapshot {
            name: name.clone(),
            info: server.info().clone(),
            link: server.link().clone(),
            peers: server.peers().cloned().collect(),
            calls: server.calls().cloned().collect(),
            mailboxes: server.mailboxes().cloned().collect(),
            registrations_outbound: server.registrations_outbound().cloned().collect(),
        });
        Snapshot { seq: self.seq(), servers: servers.collect() }
    }

    fn with<R>(&mut self, name: &str, act: impl FnOnce(&mut ServerView) -> R) -> Option<R> {
        let (name, _) = self.servers.get_key_value(name)?;
        let name = name.clone();
        let server = self.servers.get_mut(&name)?;
        let result = act(server);
        for (key, is_gone) in server.take_changed() {
            self.log.note(&name, key, is_gone);
        }
        Some(result)
    }
}

impl ServerView {
    fn what(&self, key: &Key) -> What {
        match key {
            Key::Server => What::Server(Box::new(self.info().clone())),
            Key::Link => What::Link(Box::new(self.link().clone())),
            Key::Peer(id) => match self.peer(id) {
                Some(peer) => What::Peer(Box::new(peer.clone())),
                None => What::PeerGone(id.clone()),
            },
            Key::Call(id) => match self.call(id) {
                Some(call) => What::Call(Box::new(call.clone())),
                None => What::CallGone(id.clone()),
            },
            Key::Mailbox(id) => match self.mailbox(id) {
                Some(mailbox) => What::Mailbox(mailbox.clone()),
                None => What::MailboxGone(id.clone()),
            },
            Key::Outbound(id) => match self.registration_outbound(id) {
                Some(outbound) => What::Outbound(Box::new(outbound.clone())),
                None => What::OutboundGone(id.clone()),
            },
        }
    }
}
