//! A server that is a script: it answers actions with what a transcript has, and tells events.
//!
//! A transcript is AMI as Asterisk prints it, with plain line ends. `@ NAME` begins the answer to the
//! action of that name, `@` alone begins events.

#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::BTreeMap;

use ami_proto::{Failure, OwnedMessage};
use fleet::{Answer, Config, Fleet, Request, RequestId, ServerView, Time};

pub(crate) const A: &str = "a";
/// The time of everything, unless a test says another.
pub(crate) const NOON: Time = Time { ms: 1_765_000_000_000 };

/// A message of these lines; of an event or a list's item what an agent tells of it, so that what is
/// read here is told there.
pub(crate) fn message(lines: &str) -> OwnedMessage {
    let mut message = OwnedMessage::default();
    for line in lines.lines().filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a header");
        message.push(name, value.strip_prefix(' ').unwrap_or(value)).expect("it may be said");
    }
    match message.as_message().event() {
        Some(_) => link::told(message.as_message()).unwrap_or_default(),
        None => message,
    }
}

/// What a server would answer, and the events of a transcript.
#[derive(Debug, Default)]
pub(crate) struct Script {
    answers: BTreeMap<String, Vec<OwnedMessage>>,
    pub(crate) events: Vec<OwnedMessage>,
}

impl Script {
    pub(crate) fn parse(transcript: &str) -> Self {
        let mut script = Self::default();
        let mut action = None;
        for part in transcript.split("\n\n").map(str::trim).filter(|part| !part.is_empty()) {
            let mut rest = part;
            if let Some(line) = part.strip_prefix('@') {
                let (name, lines) = line.split_once('\n').unwrap_or((line, ""));
                action = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
                rest = lines;
                if let Some(action) = &action {
                    script.answers.entry(action.clone()).or_default();
                }
            }
            if rest.is_empty() {
                continue;
            }
            match &action {
                Some(action) => script.set(action).push(message(rest)),
                None => script.events.push(message(rest)),
            }
        }
        script
    }

    /// The items that answer an action, to be changed.
    pub(crate) fn set(&mut self, action: &str) -> &mut Vec<OwnedMessage> {
        self.answers.entry(action.to_owned()).or_default()
    }

    fn commands(&self) -> OwnedMessage {
        let mut message = message("Response: Success");
        for name in self.answers.keys() {
            message.push(name, "What it does (Priv: system,all)").expect("it may be said");
        }
        message
    }

    /// Hands over the whole answer to a request.
    pub(crate) fn answer(&self, fleet: &mut Fleet, now: Time, request: &Request) {
        let done = message("Response: Success");
        if request.action == "ListCommands" {
            let commands = self.commands();
            fleet.answer(now, A, request.id, Answer::Done(commands.as_message()));
            return;
        }
        let Some(items) = self.answers.get(request.action) else {
            fleet.answer(now, A, request.id, Answer::Failed(Failure::UnknownAction, None));
            return;
        };
        for item in items {
            let item = item.as_message();
            if item.is_empty() {
                // An agent does not tell it.
                continue;
            }
            if item.event().is_none() {
                fleet.answer(now, A, request.id, Answer::Done(item));
                return;
            }
            fleet.answer(now, A, request.id, Answer::Item(item));
        }
        fleet.answer(now, A, request.id, Answer::Done(done.as_message()));
    }

    /// Answers until nothing more is asked, and says what was.
    pub(crate) fn settle(&self, fleet: &mut Fleet, now: Time) -> Vec<&'static str> {
        let mut asked = Vec::new();
        while let Some(request) = fleet.poll_request(now, A) {
            asked.push(request.action);
            self.answer(fleet, now, &request);
        }
        asked
    }
}

pub(crate) fn fleet_of(config: Config) -> Fleet {
    let mut fleet = Fleet::new(0);
    fleet.add(A, config).expect("there is none");
    fleet
}

/// A fleet that has the script's snapshot.
pub(crate) fn watched(script: &Script, config: Config) -> Fleet {
    let mut fleet = fleet_of(config);
    fleet.connected(NOON, A, b"11.0.0");
    tell(&mut fleet, NOON, "Event: FullyBooted\nUptime: 60\nLastReload: 30\nStatus: Fully Booted");
    script.settle(&mut fleet, NOON);
    fleet
}

pub(crate) fn tell(fleet: &mut Fleet, now: Time, event: &str) {
    fleet.event(now, A, message(event).as_message());
}

pub(crate) fn view(fleet: &Fleet) -> &ServerView {
    fleet.server(A).expect("it was added")
}

pub(crate) fn item(fleet: &mut Fleet, request: RequestId, lines: &str) {
    fleet.answer(NOON, A, request, Answer::Item(message(lines).as_message()));
}

pub(crate) fn done(fleet: &mut Fleet, request: RequestId) {
    fleet.answer(NOON, A, request, Answer::Done(message("Response: Success").as_message()));
}

/// Answers all requests before that one.
pub(crate) fn until_asked(script: &Script, fleet: &mut Fleet, action: &str) -> RequestId {
    loop {
        let request = fleet.poll_request(NOON, A).expect("it is asked");
        if request.action == action {
            return request.id;
        }
        script.answer(fleet, NOON, &request);
    }
}
