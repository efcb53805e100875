//! The other end of a session, and a clock that is moved by hand.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part of it")]

use std::time::{Duration, Instant};

use ami_proto::{Action, ActionId, Config, Event, Failure, LoginMethod, Loss, Session};

/// What a session told, less the messages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    LoggedIn,
    FullyBooted,
    Event(String),
    Response(ActionId),
    ListStart(ActionId),
    ListItem(ActionId),
    ListEnd(ActionId, u32),
    Failed(ActionId, Failure),
    Stray,
    Lost(Loss),
}

pub struct Peer {
    pub session: Session,
    pub now: Instant,
}

pub fn config() -> Config {
    Config::new("tandem", "s3cret", "t").expect("what the test gives is right")
}

pub fn action(name: &str) -> Action {
    Action::new(name).expect("what the test gives is right")
}

pub fn event(name: &str) -> Told {
    Told::Event(name.into())
}

impl Peer {
    pub fn new(config: Config) -> Self {
        let now = Instant::now();
        Self { session: Session::new(config, now), now }
    }

    /// Logged in, with nothing left to tell.
    pub fn ready() -> Self {
        let mut peer = Self::new(config().login_method(LoginMethod::Plain));
        peer.says("Asterisk Call Manager/11.0.0\r\n");
        assert_eq!(peer.told(), []);
        peer.says("Response: Success\r\nActionID: t-login\r\n\r\n");
        assert_eq!(peer.told(), [Told::LoggedIn]);
        peer.sent();
        peer
    }

    pub fn says(&mut self, text: &str) {
        self.session.handle_input(self.now, text.as_bytes());
    }

    pub fn closes(&mut self) {
        self.session.handle_closed(self.now);
    }

    pub fn after(&mut self, time: Duration) {
        self.now += time;
        self.session.handle_timeout(self.now);
    }

    pub fn send(&mut self, name: &str) -> ActionId {
        self.session.send(self.now, &action(name)).expect("what the test gives is right")
    }

    /// All that the session wants to send.
    pub fn sent(&mut self) -> String {
        // What has arrived may call for an answer.
        let early = self.session.poll_event().map(|event| format!("{event:?}"));
        assert_eq!(early, None, "events are taken with told()");
        let mut sent = String::new();
        while let Some(bytes) = self.session.poll_transmit() {
            sent += str::from_utf8(bytes).expect("what the test gives is right");
        }
        sent
    }

    /// All that the session has to tell.
    pub fn told(&mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(event) = self.session.poll_event() {
            told.push(match event {
                Event::LoggedIn => Told::LoggedIn,
                Event::FullyBooted(_) => Told::FullyBooted,
                Event::Event(message) => Told::Event(
                    message
                        .event()
                        .expect("what the test gives is right")
                        .escape_ascii()
                        .to_string(),
                ),
                Event::Response { action, .. } => Told::Response(action),
                Event::ListStart { action, .. } => Told::ListStart(action),
                Event::ListItem { action, .. } => Told::ListItem(action),
                Event::ListEnd { action, items, .. } => Told::ListEnd(action, items),
                Event::Failed { action, failure, .. } => Told::Failed(action, failure),
                Event::Stray(_) => Told::Stray,
                Event::Lost(loss) => Told::Lost(loss),
                other => panic!("{other:?}"),
            });
        }
        told
    }
}
