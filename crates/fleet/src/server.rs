//! One server: which message goes where, and how far what is known may be believed.

use std::time::Duration;

use ami_proto::{Failure, Message};

use crate::channels::Channels;
use crate::limits::{ANSWER_AFTER, RECONCILE_EVERY, SETTLE};
use crate::log::Key;
use crate::mailboxes::Mailboxes;
use crate::outbound::Outbound;
use crate::peers::Peers;
use crate::plan::{Plan, Request, RequestId, Step, UnderWay};
use crate::text::{Text, number, text};
use crate::turn::{Mark, Outcome, Source, Turn};
use crate::view::{
    CallView, Driver, Freshness, Link, MailboxView, OutboundId, OutboundView, Parts, PeerId,
    PeerView, ServerInfo, Time,
};

/// How a server is watched.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its trunks: `PJSIP/provider`, or `IAX2/to-*` for all that begin so. Asterisk does not tell
    /// trunks from phones.
    pub trunks: Vec<String>,
    /// From the end of a reconciliation to the next.
    pub reconcile_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { trunks: Vec::new(), reconcile_every: RECONCILE_EVERY }
    }
}

impl Config {
    fn is_trunk(&self, id: &PeerId) -> bool {
        let name = format!("{}/{}", id.driver.word(), id.name);
        self.trunks.iter().any(|trunk| match trunk.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => *trunk == name,
        })
    }
}

/// What became of a request, in the order in which it came.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'m> {
    /// An item of a list (`ami_proto::Event::ListItem`); the list's beginning is of no interest.
    Item(Message<'m>),
    /// The answer, or the end of the list.
    Done(Message<'m>),
    /// It failed, or could not be sent ([`Failure::Refused`]); what the server said, if it did.
    Failed(Failure, Option<Message<'m>>),
}

/// The state of a server, as far as its messages tell.
#[derive(Debug)]
pub struct ServerView {
    config: Config,
    link: Link,
    info: ServerInfo,
    told: ServerInfo,
    peers: Peers,
    channels: Channels,
    mailboxes: Mailboxes,
    outbound: Outbound,
    plan: Plan,
    mark: Mark,
    /// When it last said anything.
    heard: Time,
    out: Outcome,
}

impl ServerView {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            link: Link::default(),
            info: ServerInfo::default(),
            told: ServerInfo::default(),
            peers: Peers::default(),
            channels: Channels::default(),
            mailboxes: Mailboxes::default(),
            outbound: Outbound::default(),
            plan: Plan::default(),
            mark: Mark::default(),
            heard: Time::default(),
            out: Outcome::default(),
        }
    }

    /// Facts of the server itself.
    #[must_use]
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    /// How it is reached.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// Its peers by driver and name.
    pub fn peers(&self) -> impl Iterator<Item = &PeerView> {
        self.peers.views()
    }

    /// One of them.
    #[must_use]
    pub fn peer(&self, id: &PeerId) -> Option<&PeerView> {
        self.peers.view(id)
    }

    /// Its calls.
    pub fn calls(&self) -> impl Iterator<Item = &CallView> {
        self.channels.views()
    }

    /// One of them, by its `Linkedid`.
    #[must_use]
    pub fn call(&self, id: &str) -> Option<&CallView> {
        self.channels.view(id)
    }

    /// Its mailboxes by name.
    pub fn mailboxes(&self) -> impl Iterator<Item = &MailboxView> {
        self.mailboxes.views()
    }

    /// One of them: `200@default`.
    #[must_use]
    pub fn mailbox(&self, id: &str) -> Option<&MailboxView> {
        self.mailboxes.view(id)
    }

    /// Where it is itself registered, by driver, user and registrar.
    pub fn registrations_outbound(&self) -> impl Iterator<Item = &OutboundView> {
        self.outbound.views()
    }

    /// One of them.
    #[must_use]
    pub fn registration_outbound(&self, id: &OutboundId) -> Option<&OutboundView> {
        self.outbound.view(id)
    }

    pub(crate) fn connected(&mut self, now: Time, ami_version: &[u8]) {
        self.end_session(now);
        self.heard(now);
        self.info.connected = true;
        self.info.since_ms = Some(now);
        self.info.ami_version = Some(Text::new(ami_version));
        self.plan.begin_round();
        self.finish(now);
    }

    pub(crate) fn disconnected(&mut self, now: Time) {
        if self.info.connected {
            self.end_session(now);
            (self.info.connected, self.info.since_ms) = (false, Some(now));
            self.finish(now);
        }
    }

    pub(crate) fn heard(&mut self, now: Time) {
        self.heard = now;
    }

    pub(crate) fn linked(&mut self, link: Link) {
        if self.link != link {
            self.link = link;
            self.out.changed.push((Key::Link, false));
        }
    }

    pub(crate) fn event(&mut self, now: Time, message: Message<'_>) {
        let Some(name) = message.event().filter(|_| self.info.connected) else { return };
        self.heard(now);
        self.mark.0 += 1;
        let source = Source::Event { is_listing: self.plan.under_way.is_some() };
        let mut turn = Turn { now, mark: self.mark, source, out: &mut self.out };
        let is_trunk = |id: &PeerId| self.config.is_trunk(id);
        match name {
            b"FullyBooted" => self.booted(now, message),
            b"Reload" => self.reloaded(now),
            b"PeerStatus" => self.peers.status(message, is_trunk, &mut turn),
            b"ContactStatus" => self.peers.contact_status(message, is_trunk, &mut turn),
            b"DeviceStateChange" => self.peers.device(message, &mut turn),
            b"MessageWaiting" => self.mailboxes.waiting(message, &mut turn),
            b"Registry" => self.outbound.event(message, &mut turn),
            b"Newchannel" | b"Newstate" | b"Newexten" | b"NewCallerid" | b"NewConnectedLine"
            | b"Rename" | b"BridgeEnter" | b"BridgeLeave" | b"Hold" | b"Unhold" | b"Hangup" => {
                self.channels.event(name, message, &mut turn);
            }
            _ => return,
        }
        self.finish(now);
    }

    pub(crate) fn answer(&mut self, now: Time, id: RequestId, answer: Answer<'_>) {
        // Of a round that was begun anew, or of an earlier session.
        let Some(under_way) = self.plan.under_way.clone().filter(|it| it.id == id) else { return };
        if !matches!(answer, Answer::Failed(_, None)) {
            self.heard(now);
        }
        match answer {
            Answer::Item(message) => self.item(now, &under_way, message),
            Answer::Done(message) => self.done(now, &under_way, message),
            Answer::Failed(failure, message) => self.failed(now, &under_way, failure, message),
        }
        self.finish(now);
    }

    pub(crate) fn poll_request(&mut self, now: Time) -> Option<Request> {
        if let Some(request) = self.next_request(now) {
            return Some(request);
        }
        // A round may end with what is not offered; what is asked between rounds follows.
        self.finish(now);
        self.next_request(now)
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.plan.due()
    }

    pub(crate) fn qualified(&mut self, now: Time, peer: &PeerId) {
        if peer.driver == Driver::Pjsip && self.peer(peer).is_some() {
            self.plan.want_look_again(now.after(SETTLE), Step::Detail(peer.name.clone()));
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Time) {
        // One that is further away than any can be: the clock was set back.
        let latest = now.after(self.config.reconcile_every.max(ANSWER_AFTER));
        let is_due = |at: Time| at <= now || at > latest;
        self.plan.looks_due(is_due);
        if self.plan.next_at.is_some_and(is_due) {
            self.plan.begin_round();
        }
    }

    /// What changed since this was last called.
    pub(crate) fn take_changed(&mut self) -> Vec<(Key, bool)> {
        std::mem::take(&mut self.out.changed)
    }

    fn next_request(&mut self, now: Time) -> Option<Request> {
        while self.info.connected {
            let Some(step) = self.plan.next() else { break };
            if !self.plan.offers(&step) {
                self.not_offered(now, &step);
                continue;
            }
            // A mark of its own, so that it is also the list's name.
            self.mark.0 += 1;
            self.peers.request_begins();
            self.channels.request_begins();
            let part = step.part(&mut self.info.parts);
            let was_live = part.is_some_and(|part| *part == Freshness::Live);
            return Some(self.plan.begin(step, self.mark, was_live));
        }
        None
    }

    fn end_session(&mut self, now: Time) {
        // It was noticed only now that it says nothing any more.
        let heard = self.heard.min(now);
        for part in all_parts(&mut self.info.parts) {
            if *part == Freshness::Live {
                *part = Freshness::AsOf(heard);
            }
        }
        self.info.booted = false;
        self.peers.session_ended();
        self.channels.session_ended();
        self.plan.session_ended();
    }

    /// `manager.c` tells seconds, so the same start is told a little differently each time.
    fn booted(&mut self, now: Time, message: Message<'_>) {
        const SAME_WITHIN: Duration = Duration::from_secs(5);
        self.info.booted = true;
        let ago = |name| number(message, name).map(|secs| now.before(Duration::from_secs(secs)));
        let is_same = |one: Option<Time>, other: Option<Time>| match (one, other) {
            (Some(one), Some(other)) => {
                u128::from(one.ms.abs_diff(other.ms)) < SAME_WITHIN.as_millis()
            }
            _ => one == other,
        };
        let (up, reload) = (ago("Uptime"), ago("LastReload"));
        if !is_same(self.info.up_since_ms, up) || !is_same(self.info.reload_since_ms, reload) {
            (self.info.up_since_ms, self.info.reload_since_ms) = (up, reload);
            self.want_details();
        }
        // What was asked before all modules were there was half of it.
        self.plan.begin_round();
    }

    fn reloaded(&mut self, now: Time) {
        self.info.reload_since_ms = Some(now);
        self.want_details();
        self.plan.want_round(now);
    }

    fn want_details(&mut self) {
        for endpoint in self.peers.endpoints() {
            self.plan.want_detail(endpoint);
        }
    }

    fn item(&mut self, now: Time, under_way: &UnderWay, message: Message<'_>) {
        let turn = &mut list_turn(now, self.mark, under_way, &mut self.out);
        let is_trunk = |id: &PeerId| self.config.is_trunk(id);
        match (&under_way.step, message.event().unwrap_or_default()) {
            (Step::Endpoints, b"EndpointList") => self.peers.endpoint(message, is_trunk, turn),
            (Step::Contacts, b"ContactList") | (Step::Detail(_), b"ContactStatusDetail") => {
                self.peers.contact(message, turn);
            }
            (Step::Iax2 | Step::Sip, b"PeerEntry") => self.peers.entry(message, is_trunk, turn),
            (Step::Devices, b"DeviceStateChange") => self.peers.device(message, turn),
            (Step::Channels, b"CoreShowChannel") => self.channels.item(message, turn),
            (Step::Users, b"VoicemailUserEntry") => self.mailboxes.user(message, turn),
            // What chan_pjsip lists beside them, `AuthDetail`, has passwords: not for us.
            (&Step::Outbound(driver), b"OutboundRegistrationDetail" | b"RegistryEntry") => {
                self.outbound.item(driver, message, turn);
            }
            (Step::Detail(_), b"EndpointDetail") => self.peers.detail(message, turn),
            (Step::Detail(_), b"AorDetail") => self.peers.aor_detail(message, turn),
            _ => {}
        }
    }

    fn done(&mut self, now: Time, under_way: &UnderWay, message: Message<'_>) {
        match under_way.step {
            Step::Commands => self.plan.set_commands(message),
            Step::Settings => {
                self.info.version = text(message, "AsteriskVersion");
                self.info.system_name = text(message, "SystemName");
            }
            Step::Status => self.info.calls_processed = number(message, "CoreProcessedCalls"),
            Step::Count(_) => {
                let turn = &mut list_turn(now, self.mark, under_way, &mut self.out);
                self.mailboxes.count(message, turn);
            }
            _ => {}
        }
        self.end(now, under_way);
    }

    /// Its list is whole.
    fn end(&mut self, now: Time, under_way: &UnderWay) {
        self.end_of_list(now, under_way);
        let known = match under_way.step {
            Step::Status | Step::Outbound(_) => Freshness::AsOf(now),
            // Which of them are static, and so in no list, only the endpoints tell.
            Step::Contacts if self.info.parts.pjsip != Freshness::Live => self.info.parts.contacts,
            // What is not in the list, endpoints say of themselves.
            Step::Devices
                if matches!(self.info.parts.pjsip, Freshness::AsOf(_) | Freshness::Unknown) =>
            {
                self.info.parts.devices
            }
            _ => Freshness::Live,
        };
        if let Some(part) = under_way.step.part(&mut self.info.parts) {
            *part = known;
        }
        self.plan.under_way = None;
    }

    fn end_of_list(&mut self, now: Time, under_way: &UnderWay) {
        let turn = &mut list_turn(now, self.mark, under_way, &mut self.out);
        match &under_way.step {
            Step::Contacts => self.peers.end_of_contacts(turn),
            Step::Devices => self.peers.end_of_devices(turn),
            Step::Channels => self.channels.end(turn),
            &Step::Outbound(driver) => {
                self.outbound.end(driver, turn);
                if self.outbound.is_answer_due(driver) {
                    self.plan.want_look(now.after(ANSWER_AFTER), Step::Outbound(driver));
                }
            }
            Step::Users => {
                self.mailboxes.end_of_users(turn);
                self.plan.want_counts(self.unlisted_mailboxes().into_iter());
            }
            step => {
                if let Some(driver) = step.driver() {
                    self.peers.end_of_peers(driver, turn);
                }
            }
        }
    }

    /// Mailboxes that no list of users has: events told them, or an endpoint names them.
    fn unlisted_mailboxes(&self) -> std::collections::BTreeSet<Text> {
        let named = self.peers.views().filter_map(|peer| peer.mailbox.as_ref());
        let named = named.filter(|id| self.mailboxes.view(id).is_none());
        self.mailboxes.unlisted().chain(named).cloned().collect()
    }

    fn failed(
        &mut self,
        now: Time,
        under_way: &UnderWay,
        failure: Failure,
        message: Option<Message<'_>>,
    ) {
        let said = message.and_then(|message| message.get("Message")).unwrap_or_default();
        match failure {
            // An empty list of chan_pjsip is an error: "No endpoints found".
            Failure::Refused
                if under_way.step.driver().is_some()
                    || matches!(under_way.step, Step::Contacts | Step::Outbound(_)) =>
            {
                match said.starts_with(b"No ") {
                    true => return self.end(now, under_way),
                    false => self.count_failure(),
                }
            }
            Failure::UnknownAction | Failure::NotPermitted => {
                self.not_offered(now, &under_way.step)
            }
            // The endpoint went away in between.
            Failure::Refused if matches!(under_way.step, Step::Detail(_)) => {}
            _ => self.count_failure(),
        }
        self.plan.under_way = None;
    }

    fn count_failure(&mut self) {
        self.info.requests_failed += 1;
        self.plan.failed();
    }

    fn not_offered(&mut self, now: Time, step: &Step) {
        // Three drivers have one part. chan_pjsip is the first, so what it says now is of this round.
        let is_of_another = |part: &Freshness| {
            matches!(step, Step::Outbound(Driver::Iax2 | Driver::Sip))
                && matches!(part, Freshness::AsOf(_))
        };
        if let Some(part) = step.part(&mut self.info.parts).filter(|part| !is_of_another(part)) {
            *part = Freshness::NotOffered;
        }
        if *step == Step::Users {
            self.plan.want_counts(self.unlisted_mailboxes().into_iter());
        }
        let source = Source::List { began: self.mark, was_live: false };
        let turn = &mut Turn { now, mark: self.mark, source, out: &mut self.out };
        match (step, step.driver()) {
            // While it boots, its module may be yet to come.
            _ if !self.info.booted => {}
            (_, Some(driver)) => self.peers.end_of_peers(driver, turn),
            (Step::Devices, _) => self.peers.no_devices(turn),
            (&Step::Outbound(driver), _) => self.outbound.end(driver, turn),
            (Step::Users, _) => self.mailboxes.end_of_users(turn),
            _ => {}
        }
    }

    /// What follows from the last message, whatever it was.
    fn finish(&mut self, now: Time) {
        let source = Source::Event { is_listing: false };
        let turn = &mut Turn { now, mark: self.mark, source, out: &mut self.out };
        self.channels.finish(|id| self.config.is_trunk(id), turn);
        if std::mem::take(&mut self.out.is_reconciliation_wanted) {
            self.plan.want_round(now);
        }
        for endpoint in self.out.details_wanted.drain(..) {
            self.plan.want_detail(endpoint);
        }
        if self.info.connected
            && self.plan.end_round(now, self.config.reconcile_every) == Some(true)
        {
            self.info.reconciled_ms = Some(now);
        }
        self.info.drift += std::mem::take(&mut self.out.drift);
        self.info.left_out += std::mem::take(&mut self.out.left_out);
        self.info.calls = self.channels.calls();
        (self.info.peers, self.info.peers_registered) = (self.peers.len(), self.peers.registered);
        if self.info != self.told {
            self.told.clone_from(&self.info);
            self.out.changed.push((Key::Server, false));
        }
    }
}

fn list_turn<'a>(now: Time, mark: Mark, under_way: &UnderWay, out: &'a mut Outcome) -> Turn<'a> {
    let source = Source::List { began: under_way.began, was_live: under_way.was_live };
    Turn { now, mark, source, out }
}

fn all_parts(parts: &mut Parts) -> [&mut Freshness; 9] {
    let Parts {
        facts,
        pjsip,
        contacts,
        iax2,
        sip,
        devices,
        calls,
        mailboxes,
        registrations_outbound,
    } = parts;
    [facts, pjsip, contacts, iax2, sip, devices, calls, mailboxes, registrations_outbound]
}
