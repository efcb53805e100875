//! Which event a message is.

use super::event::{ActionId, Event, Failure, Loss};
use super::underway::Place;
use super::{Local, Session, State};
use crate::decoder::Frame;
use crate::message::Message;

/// What an `ActionID` of ours stands for: the prefix, a dash, and a number or a word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Id {
    Challenge,
    Login,
    Logoff,
    Ping,
    Action(ActionId),
}

impl Id {
    /// The id that a message names, if it is one of ours.
    pub(super) fn read(prefix: &[u8], message: Message<'_>) -> Option<Self> {
        let rest = message.get("ActionID")?.strip_prefix(prefix)?.strip_prefix(b"-")?;
        Some(match rest {
            b"challenge" => Self::Challenge,
            b"login" => Self::Login,
            b"logoff" => Self::Logoff,
            b"ping" => Self::Ping,
            digits => {
                let digits = str::from_utf8(digits).ok()?;
                Self::Action(ActionId(digits.parse().ok()?))
            }
        })
    }

    pub(super) fn encoded(self, prefix: &[u8]) -> Vec<u8> {
        let mut id = prefix.to_vec();
        match self {
            Self::Challenge => id.extend_from_slice(b"-challenge"),
            Self::Login => id.extend_from_slice(b"-login"),
            Self::Logoff => id.extend_from_slice(b"-logoff"),
            Self::Ping => id.extend_from_slice(b"-ping"),
            Self::Action(ActionId(number)) => id.extend_from_slice(format!("-{number}").as_bytes()),
        }
        id
    }
}

/// What the message that was decoded last is told as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Route {
    /// It is not told.
    Nothing,
    Event,
    FullyBooted,
    Response(ActionId),
    ListStart(ActionId),
    ListItem(ActionId),
    ListEnd(ActionId, u32),
    Failed(ActionId, Failure),
    Stray,
}

impl Session {
    /// Takes notice of what was decoded last, and says what it is.
    pub(super) fn route(&mut self) -> Route {
        let message = match self.decoder.current() {
            Some(Frame::Message(message)) => message,
            Some(Frame::Greeting(version)) => {
                self.version = version.to_vec();
                self.log_in();
                return Route::Nothing;
            }
            None => return Route::Nothing,
        };
        // A sign of life: a whole message. Bytes that never make one are none.
        self.last_message = self.now;
        self.answer_by = None;
        let id = Id::read(&self.config.id_prefix, message);
        if let Some(event) = message.event() {
            if let Some(Id::Action(id)) = id {
                let (list, bytes) = (message.get("EventList"), message.len_bytes());
                match self.underway.place(id, list, bytes, self.now) {
                    Place::Item => return Route::ListItem(id),
                    Place::End(items) => return Route::ListEnd(id, items),
                    Place::Failed(failure) => return Route::Failed(id, failure),
                    Place::Elsewhere => {}
                }
            }
            self.shutting_down |= event.eq_ignore_ascii_case(b"Shutdown");
            let booted = event.eq_ignore_ascii_case(b"FullyBooted");
            return if booted { Route::FullyBooted } else { Route::Event };
        }
        if message.response().is_none() {
            return Route::Stray;
        }
        let failure = failure(message);
        self.shutting_down |= failure == Some(Failure::ShuttingDown);
        match (id, failure) {
            (Some(Id::Action(id)), Some(failure)) if self.underway.end(id) => {
                Route::Failed(id, failure)
            }
            (Some(Id::Action(id)), None) => {
                let starts_list = says(message, "EventList", b"start");
                self.route_answer(id, starts_list)
            }
            (Some(Id::Challenge), None) if self.state == State::Challenge => {
                let challenge = message.get("Challenge").unwrap_or_default().to_vec();
                self.prove(&challenge);
                Route::Nothing
            }
            (Some(Id::Login), None) if self.state == State::Login => {
                self.state = State::Ready;
                self.queue.push_back(Local::LoggedIn);
                Route::Nothing
            }
            (Some(Id::Challenge | Id::Login), Some(_)) if self.state != State::Ready => {
                self.lose(login_loss(message));
                Route::Nothing
            }
            (Some(Id::Ping | Id::Logoff), _) => Route::Nothing,
            _ => Route::Stray,
        }
    }

    /// The event for what was decoded last.
    pub(super) fn told(&self, route: Route) -> Event<'_> {
        let Some(Frame::Message(message)) = self.decoder.current() else {
            unreachable!("only a message has a route")
        };
        match route {
            Route::Nothing => unreachable!("what is not told is not asked for"),
            Route::Event => Event::Event(message),
            Route::FullyBooted => Event::FullyBooted(message),
            Route::Response(action) => Event::Response { action, message },
            Route::ListStart(action) => Event::ListStart { action, message },
            Route::ListItem(action) => Event::ListItem { action, message },
            Route::ListEnd(action, items) => Event::ListEnd { action, message, items },
            Route::Failed(action, failure) => {
                Event::Failed { action, failure, message: Some(message) }
            }
            Route::Stray => Event::Stray(message),
        }
    }

    fn route_answer(&mut self, id: ActionId, starts_list: bool) -> Route {
        if starts_list && self.underway.start_list(id, self.now) {
            Route::ListStart(id)
        } else if !starts_list && self.underway.end(id) {
            Route::Response(id)
        } else {
            Route::Stray
        }
    }

    fn log_in(&mut self) {
        let (action, challenge) = self.config.first_action().expect("Config::new tried it");
        let (state, id) = match challenge {
            true => (State::Challenge, Id::Challenge),
            false => (State::Login, Id::Login),
        };
        self.state = state;
        self.say(&action, id);
    }

    fn prove(&mut self, challenge: &[u8]) {
        let login = self.config.answer(challenge).expect("Config::new tried the user");
        self.state = State::Login;
        self.say(&login, Id::Login);
    }
}

/// What a response fails with, by what `manager.c` says.
fn failure(message: Message<'_>) -> Option<Failure> {
    if !says(message, "Response", b"Error") {
        return None;
    }
    let text = message.get("Message").unwrap_or_default();
    Some(match text {
        b"Permission denied" => Failure::NotPermitted,
        b"Asterisk is shutting down" => Failure::ShuttingDown,
        _ if text.starts_with(b"Invalid/unknown command") => Failure::UnknownAction,
        _ => Failure::Refused,
    })
}

/// What a refused login means.
fn login_loss(message: Message<'_>) -> Loss {
    match message.get("Message").unwrap_or_default() {
        b"Authentication failed" => Loss::WrongPassword,
        b"Login Already In Use" => Loss::AlreadyLoggedIn,
        b"Asterisk is shutting down" => Loss::ShuttingDown,
        _ => Loss::LoginRefused,
    }
}

fn says(message: Message<'_>, name: &str, word: &[u8]) -> bool {
    message.get(name).is_some_and(|value| value.eq_ignore_ascii_case(word))
}
