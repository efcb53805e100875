//! A line to one server: what its agent reports goes into the fleet; what the fleet wants to know and
//! what people want done goes out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ami_proto::{Failure, OwnedMessage};
use fleet::{Driver, Fleet, Link, LinkState, PeerId, RequestId, Text, Time};
use link::{Answer, Ask, Report, Request};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{interval, timeout};

use crate::hub::{Hub, lock, now};

/// Actions of people that may wait for a server.
const ACTS_MAX: usize = 64;
/// Places in the channel of asks that no action takes.
const ASKS_LEFT: usize = 2;
/// How often it is tried how long Asterisk takes to answer.
const LAG_EVERY: Duration = Duration::from_secs(15);
/// How long an action may take: longer than an agent's session lets it.
const ACT_TIMEOUT: Duration = Duration::from_secs(45);

/// A line that is open, for whoever wants something done at its end.
#[derive(Debug)]
pub(crate) struct Line {
    /// None any more once it is to end.
    pub(crate) acts: Option<mpsc::Sender<Act>>,
    /// Whether an agent dialled it; else it is AMI, from here.
    pub(crate) is_agents: bool,
    pub(crate) address: String,
    pub(crate) since: Time,
}

/// Something to do, and whom to tell what came of it.
#[derive(Debug)]
pub(crate) struct Act {
    request: Request,
    done: oneshot::Sender<Result<OwnedMessage, ActError>>,
}

/// Why it was not done.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ActError {
    #[error("{0} is not connected")]
    NotConnected(String),
    #[error("{0}")]
    Refused(String),
    #[error("Asterisk says: {0}")]
    Asterisk(String),
    #[error("Asterisk does not let the user of AMI do that")]
    NotPermitted,
    #[error("{0}: it may have been done all the same")]
    Unknown(Failure),
    #[error("no answer in {} s: it may have been done all the same", ACT_TIMEOUT.as_secs())]
    Late,
    #[error("too much is to be done at {0} at the moment")]
    TooMany(String),
}

/// The line is in use: since when, and from where.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) address: String,
    pub(crate) since: Time,
}

/// Holds the line's place; when it goes, the line is closed.
#[derive(Debug)]
pub(crate) struct Place {
    hub: Arc<Hub>,
    server: String,
    acts: mpsc::Receiver<Act>,
}

impl Place {
    /// Takes the place of the one line that a server may have.
    pub(crate) fn take(
        hub: &Arc<Hub>,
        server: &str,
        address: String,
        is_agents: bool,
    ) -> Result<Self, Taken> {
        let (sender, acts) = mpsc::channel(ACTS_MAX);
        let mut lines = lock(&hub.lines);
        if let Some(line) = lines.get(server) {
            return Err(Taken { address: line.address.clone(), since: line.since });
        }
        let line = Line { acts: Some(sender), is_agents, address, since: now() };
        lines.insert(server.into(), line);
        drop(lines);
        Ok(Self { hub: Arc::clone(hub), server: server.into(), acts })
    }

    /// Whose it is.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.hub.lines).remove(&self.server);
    }
}

impl Hub {
    /// Has something done at a server, and gives Asterisk's answer.
    pub(crate) async fn act(
        &self,
        server: &str,
        request: Request,
    ) -> Result<OwnedMessage, ActError> {
        let acts = lock(&self.lines).get(server).and_then(|line| line.acts.clone());
        let is_up = |fleet: &mut Fleet| fleet.server(server).is_some_and(|it| it.info().connected);
        let acts = acts.filter(|_| self.fleet(is_up));
        let acts = acts.ok_or_else(|| ActError::NotConnected(server.into()))?;
        let (done, outcome) = oneshot::channel();
        let sent = acts.try_send(Act { request, done });
        // The line ends when nobody can have anything done any more.
        drop(acts);
        match sent {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(ActError::TooMany(server.into()));
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return Err(ActError::NotConnected(server.into()));
            }
        }
        match timeout(ACT_TIMEOUT, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ActError::Unknown(Failure::SessionLost)),
            Err(_) => Err(ActError::Late),
        }
    }
}

/// Who waits for an answer.
#[derive(Debug)]
enum Waiting {
    Fleet(RequestId),
    Person {
        done: oneshot::Sender<Result<OwnedMessage, ActError>>,
        /// Whom it is about, if there is something to see once it was done.
        qualifies: Option<PeerId>,
    },
    /// Nobody: the time is taken.
    Clock(Instant),
}

/// Carries a line until one of its ends is gone. `link` says how the server is reached; the fleet is
/// told when that changes.
pub(crate) async fn carry(
    place: &mut Place,
    link: Link,
    reports: &mut mpsc::Receiver<Report>,
    asks: &mpsc::Sender<Ask>,
) {
    let (hub, name) = (Arc::clone(&place.hub), place.server.clone());
    let mut end = End { hub: &hub, name: &name, link, asked: HashMap::new(), last_id: 0 };
    end.tell_link();
    let mut lag = interval(LAG_EVERY);
    loop {
        if !end.ask_on(asks).await {
            break;
        }
        let due = hub.fleet(|fleet| fleet.poll_timeout(&name));
        // Not for long: the clock may be set back meanwhile, and the fleet is to see it.
        let wait = due.map(|due| Duration::from_millis(due.ms.saturating_sub(now().ms)));
        let wait = wait.map(|wait| wait.min(LAG_EVERY));
        tokio::select! {
            report = reports.recv() => match report {
                Some(report) => hub.fleet(|fleet| end.report(fleet, report)),
                None => break,
            },
            // Room is left for the fleet's one question and the clock's: this end never waits for the other, which
            // may be waiting for this one to take reports.
            act = place.acts.recv(), if asks.capacity() > ASKS_LEFT => {
                // The line was taken away: its agent is to go.
                let Some(act) = act else { break };
                if !end.act(act, asks).await {
                    break;
                }
            }
            _ = lag.tick(), if !end.is_timed() => {
                let ping = Request::Read { action: "Ping".into(), headers: Vec::new() };
                let id = end.wait(Waiting::Clock(Instant::now()));
                if asks.send(Ask { id, request: ping }).await.is_err() {
                    break;
                }
            }
            () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)), if wait.is_some() => {
                hub.fleet(|fleet| fleet.handle_timeout(now(), &name));
            }
        }
    }
    // Nobody takes what is asked any more; what was told until then is heard all the same.
    while let Ok(report) = reports.try_recv() {
        hub.fleet(|fleet| end.report(fleet, report));
    }
}

/// Our end of a line. When it goes, the fleet is told that nobody knows any more.
struct End<'a> {
    hub: &'a Hub,
    name: &'a str,
    link: Link,
    asked: HashMap<u64, Waiting>,
    last_id: u64,
}

impl End<'_> {
    fn tell_link(&self) {
        self.hub.fleet(|fleet| fleet.linked(self.name, self.link.clone()));
    }

    /// Asks what the fleet wants to know. Says whether the line is still there.
    async fn ask_on(&mut self, asks: &mpsc::Sender<Ask>) -> bool {
        while let Some(wanted) = self.hub.fleet(|fleet| fleet.poll_request(now(), self.name)) {
            let headers = wanted.headers.iter();
            let headers =
                headers.map(|(name, value)| ((*name).into(), value.to_string())).collect();
            let request = Request::Read { action: wanted.action.into(), headers };
            let id = self.wait(Waiting::Fleet(wanted.id));
            if asks.send(Ask { id, request }).await.is_err() {
                return false;
            }
        }
        true
    }

    /// Whether the clock runs.
    fn is_timed(&self) -> bool {
        self.asked.values().any(|waiting| matches!(waiting, Waiting::Clock(_)))
    }

    async fn act(&mut self, act: Act, asks: &mpsc::Sender<Ask>) -> bool {
        if act.done.is_closed() {
            // Whoever wanted it was told that it took too long.
            return true;
        }
        let qualifies = match &act.request {
            Request::Qualify { driver, name } if driver == "PJSIP" => {
                Some(PeerId { driver: Driver::Pjsip, name: name.as_str().into() })
            }
            _ => None,
        };
        let id = self.wait(Waiting::Person { done: act.done, qualifies });
        asks.send(Ask { id, request: act.request }).await.is_ok()
    }

    fn wait(&mut self, waiting: Waiting) -> u64 {
        self.last_id += 1;
        self.asked.insert(self.last_id, waiting);
        self.last_id
    }

    fn report(&mut self, fleet: &mut Fleet, report: Report) {
        match report {
            Report::Up { ami_version } => {
                self.over(fleet);
                self.reached(fleet, None);
                fleet.connected(now(), self.name, ami_version.as_bytes());
            }
            Report::Down { why } => {
                self.over(fleet);
                self.reached(fleet, Some(&why));
            }
            Report::Host { load_milli, cpus } => {
                (self.link.load_milli, self.link.cpus) = (Some(load_milli), Some(cpus));
                fleet.linked(self.name, self.link.clone());
            }
            Report::Event { message } => fleet.event(now(), self.name, message.as_message()),
            Report::Answer { id, answer } => self.answer(fleet, id, answer),
        }
    }

    fn answer(&mut self, fleet: &mut Fleet, id: u64, answer: Answer) {
        let request = match (self.asked.get(&id), &answer) {
            (Some(Waiting::Fleet(request)), Answer::Item { message }) => {
                let item = fleet::Answer::Item(message.as_message());
                return fleet.answer(now(), self.name, *request, item);
            }
            (_, Answer::Item { .. }) | (None, _) => return,
            (Some(_), _) => match self.asked.remove(&id) {
                Some(Waiting::Fleet(request)) => request,
                Some(Waiting::Clock(asked)) => {
                    if matches!(answer, Answer::Done { .. }) {
                        fleet.heard(now(), self.name);
                    }
                    let took = u64::try_from(asked.elapsed().as_micros()).ok();
                    self.link.round_trip_us =
                        took.filter(|_| matches!(answer, Answer::Done { .. }));
                    return fleet.linked(self.name, self.link.clone());
                }
                Some(Waiting::Person { done, qualifies }) => {
                    if let Some(peer) = qualifies {
                        fleet.qualified(now(), self.name, &peer);
                    }
                    // Whoever asked may have gone.
                    let _ = done.send(outcome(answer));
                    return;
                }
                None => return,
            },
        };
        let answer = match &answer {
            Answer::Done { message } => fleet::Answer::Done(message.as_message()),
            Answer::Failed { failure, message } => {
                fleet::Answer::Failed(*failure, message.as_ref().map(OwnedMessage::as_message))
            }
            _ => fleet::Answer::Failed(Failure::Refused, None),
        };
        fleet.answer(now(), self.name, request, answer);
    }

    /// The session with Asterisk is over, and with it all that was asked.
    fn over(&mut self, fleet: &mut Fleet) {
        fleet.disconnected(now(), self.name);
        for (_, waiting) in self.asked.drain() {
            if let Waiting::Person { done, .. } = waiting {
                let _ = done.send(Err(ActError::Unknown(Failure::SessionLost)));
            }
        }
    }

    /// Whether Asterisk is reached, for a line that is AMI itself; else why it is not, beyond.
    fn reached(&mut self, fleet: &mut Fleet, error: Option<&str>) {
        self.link.error = error.map(Text::from);
        self.link.round_trip_us = None;
        if self.link.via == fleet::Via::Ami {
            let state = match error {
                None => LinkState::Up,
                Some(_) if self.link.state == LinkState::Never => LinkState::Never,
                Some(_) => LinkState::Down,
            };
            if state != self.link.state {
                (self.link.state, self.link.since_ms) = (state, Some(now()));
            }
        }
        fleet.linked(self.name, self.link.clone());
    }
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        let hub = self.hub;
        hub.fleet(|fleet| {
            self.over(fleet);
            (self.link.round_trip_us, self.link.load_milli) = (None, None);
            if self.link.state == LinkState::Up {
                (self.link.state, self.link.since_ms) = (LinkState::Down, Some(now()));
            }
            fleet.linked(self.name, self.link.clone());
        });
    }
}

/// What Asterisk says of it, for people.
pub(crate) fn said(message: &OwnedMessage) -> String {
    String::from_utf8_lossy(message.get("Message").unwrap_or_default()).into_owned()
}

/// What a person is told.
fn outcome(answer: Answer) -> Result<OwnedMessage, ActError> {
    match answer {
        Answer::Done { message } | Answer::Item { message } => Ok(message),
        Answer::Refused { why } => Err(ActError::Refused(why)),
        Answer::Failed {
            failure: failure @ (Failure::TimedOut | Failure::SessionLost), ..
        } => Err(ActError::Unknown(failure)),
        Answer::Failed { failure: Failure::NotPermitted, .. } => Err(ActError::NotPermitted),
        Answer::Failed { failure, message } => Err(ActError::Asterisk(match message {
            Some(message) if message.get("Message").is_some() => said(&message),
            _ => failure.to_string(),
        })),
    }
}
