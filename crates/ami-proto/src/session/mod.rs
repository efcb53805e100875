//! One connection to one Asterisk: login, actions and their answers, silence.
//!
//! It holds no socket and reads no clock. What arrives is decoded when it is asked for, so that
//! messages are lent and not copied: nothing is queued but what has no message.

mod config;
mod event;
mod route;
mod underway;

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

pub use config::{Config, LoginMethod};
pub use event::{ActionId, Event, Failure, Loss, SendError};

use crate::action::Action;
use crate::decoder::Decoder;
use crate::message::Message;
use crate::{ACTIONS_MAX, TIMEOUT_MAX};
use route::{Id, Route};
use underway::Underway;

/// How far the login has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Greeting,
    Challenge,
    Login,
    Ready,
    Over,
}

/// An event without a message of its own.
#[derive(Clone, Copy, Debug)]
enum Local {
    LoggedIn,
    Failed(ActionId, Failure),
    Lost(Loss),
}

/// A session, from the greeting to the end of the connection.
///
/// After each call that changes it, drain [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event), then wait for bytes, for an action to send or until
/// [`poll_timeout`](Self::poll_timeout).
///
/// # Examples
///
/// ```
/// use ami_proto::{Action, Config, Event, LoginMethod, Session};
/// use std::time::Instant;
///
/// let now = Instant::now();
/// let config = Config::new("tandem", "s3cret", "t")?.login_method(LoginMethod::Plain);
/// let mut session = Session::new(config, now);
///
/// session.handle_input(now, b"Asterisk Call Manager/11.0.0\r\n");
/// assert_eq!(session.poll_event(), None);
/// let login = session.poll_transmit().expect("a login");
/// assert_eq!(login, b"Action: Login\r\nActionID: t-login\r\nUsername: tandem\r\nSecret: s3cret\r\n\r\n");
///
/// let accepted = b"Response: Success\r\nActionID: t-login\r\nMessage: Authentication accepted\r\n\r\n";
/// session.handle_input(now, accepted);
/// assert_eq!(session.poll_event(), Some(Event::LoggedIn));
///
/// let status = session.send(now, &Action::new("CoreStatus")?)?;
/// assert_eq!(session.poll_transmit(), Some(&b"Action: CoreStatus\r\nActionID: t-1\r\n\r\n"[..]));
/// session.handle_input(now, b"Response: Success\r\nActionID: t-1\r\nCoreCurrentCalls: 3\r\n\r\n");
/// let Some(Event::Response { action, message }) = session.poll_event() else { panic!("answered") };
/// assert_eq!((action, message.get("CoreCurrentCalls")), (status, Some(&b"3"[..])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Session {
    config: Config,
    decoder: Decoder,
    state: State,
    /// The latest time that was told.
    now: Instant,
    login_by: Instant,
    version: Vec<u8>,
    /// What is to be sent, and what was handed out last.
    out: Vec<u8>,
    sent: Vec<u8>,
    underway: Underway,
    /// At most one for each action, and two more.
    queue: VecDeque<Local>,
    last_message: Instant,
    /// When an unanswered ping means that the server is lost.
    answer_by: Option<Instant>,
    /// What the caller, and the server, have said about the end.
    closed: bool,
    logging_off: bool,
    shutting_down: bool,
}

impl Session {
    /// A session on a connection that was made `now`.
    #[must_use]
    pub fn new(config: Config, now: Instant) -> Self {
        Self {
            login_by: now + config.login_timeout,
            config,
            decoder: Decoder::new(),
            state: State::Greeting,
            now,
            version: Vec::new(),
            out: Vec::new(),
            sent: Vec::new(),
            underway: Underway::default(),
            queue: VecDeque::new(),
            last_message: now,
            answer_by: None,
            closed: false,
            logging_off: false,
            shutting_down: false,
        }
    }

    /// Bytes have arrived. What was told before must have been drained.
    pub fn handle_input(&mut self, now: Instant, bytes: &[u8]) {
        self.now = now;
        if self.state == State::Over {
            return;
        }
        if let Err(error) = self.decoder.feed(bytes) {
            self.lose(Loss::Garbage(error));
        }
    }

    /// The peer has closed the connection, or it broke. What had arrived is told first.
    pub fn handle_closed(&mut self, now: Instant) {
        self.now = now;
        self.closed = true;
    }

    /// The time is `now`; call it when [`poll_timeout`](Self::poll_timeout) says so, or at any
    /// other time, and after what has arrived by then was drained.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        match self.state {
            State::Over => return,
            State::Ready => {}
            _ if now >= self.login_by => return self.lose(Loss::LoginTimedOut),
            _ => return,
        }
        for action in self.underway.expire(now) {
            self.queue.push_back(Local::Failed(action, Failure::TimedOut));
        }
        match self.answer_by {
            Some(by) if now >= by => self.lose(Loss::Silent),
            None if now >= self.last_message + self.config.ping_interval => self.ping(),
            _ => {}
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) has something to do, if nothing arrives
    /// before. `None`: the session is over.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Over => None,
            State::Ready => {
                let ping = self.last_message + self.config.ping_interval;
                let life = self.answer_by.unwrap_or(ping);
                Some(self.underway.next_deadline().map_or(life, |deadline| deadline.min(life)))
            }
            _ => Some(self.login_by),
        }
    }

    /// Bytes to send, all of them, in this order; `None` if there are none.
    pub fn poll_transmit(&mut self) -> Option<&[u8]> {
        mem::swap(&mut self.out, &mut self.sent);
        self.out.clear();
        (!self.sent.is_empty()).then_some(&self.sent)
    }

    /// What happened next, or `None`: nothing more, for now.
    pub fn poll_event(&mut self) -> Option<Event<'_>> {
        loop {
            if let Some(local) = self.queue.pop_front() {
                return Some(local.told());
            }
            if self.state == State::Over {
                return None;
            }
            match self.decoder.advance() {
                Ok(true) => match self.route() {
                    Route::Nothing => {}
                    route => return Some(self.told(route)),
                },
                Ok(false) if self.closed => self.lose(self.end()),
                Ok(false) => return None,
                Err(error) => self.lose(Loss::Garbage(error)),
            }
        }
    }

    /// Sends an action, which ends within the session's time-out.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why not; nothing was sent.
    pub fn send(&mut self, now: Instant, action: &Action) -> Result<ActionId, SendError> {
        self.send_within(now, action, self.config.action_timeout)
    }

    /// Sends an action, which ends within `timeout`. Asterisk works on one action after the other:
    /// it counts from now, and not from when its turn comes.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why not; nothing was sent.
    pub fn send_within(
        &mut self,
        now: Instant,
        action: &Action,
        timeout: Duration,
    ) -> Result<ActionId, SendError> {
        match self.state {
            State::Ready => {}
            State::Over => return Err(SendError::Over),
            _ => return Err(SendError::NotLoggedIn),
        }
        if self.underway.len() + self.queue.len() >= ACTIONS_MAX {
            return Err(SendError::TooMany);
        }
        self.now = now;
        let id = self.underway.add(now, timeout.min(TIMEOUT_MAX));
        self.say(action, Id::Action(id));
        Ok(id)
    }

    /// Asks Asterisk to close the connection. Wait for [`Event::Lost`], or for as long as you like.
    pub fn log_off(&mut self) {
        if self.state != State::Over && !self.logging_off {
            self.logging_off = true;
            self.say(&known("Logoff"), Id::Logoff);
        }
    }

    /// Which action of this session a message names: an `OriginateResponse` names an action that
    /// has been answered long before. All sessions of a server are told of it, so there are others.
    #[must_use]
    pub fn action_of(&self, message: Message<'_>) -> Option<ActionId> {
        match Id::read(&self.config.id_prefix, message) {
            Some(Id::Action(id)) => Some(id),
            _ => None,
        }
    }

    /// Whether actions may be sent.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    /// The protocol's version from the greeting; empty before that.
    #[must_use]
    pub fn version(&self) -> &[u8] {
        &self.version
    }

    /// How many actions are under way.
    #[must_use]
    pub fn actions_under_way(&self) -> usize {
        self.underway.len()
    }

    fn say(&mut self, action: &Action, id: Id) {
        action.encode(&mut self.out, &id.encoded(&self.config.id_prefix));
    }

    /// Asterisk answers a ping after the actions that it was sent before.
    fn ping(&mut self) {
        let begun = self.underway.last_deadline().unwrap_or(self.now).max(self.now);
        self.answer_by = Some(begun + self.config.ping_timeout);
        self.say(&known("Ping"), Id::Ping);
    }

    /// Why the connection was closed.
    fn end(&self) -> Loss {
        match self.state {
            State::Greeting => Loss::NotServed,
            _ if self.logging_off => Loss::LoggedOff,
            _ if self.shutting_down => Loss::ShuttingDown,
            _ => Loss::Closed,
        }
    }

    /// Ends the session, and with it all that is under way.
    fn lose(&mut self, loss: Loss) {
        let failed = self.underway.abandon();
        self.queue.extend(failed.map(|action| Local::Failed(action, Failure::SessionLost)));
        self.queue.push_back(Local::Lost(loss));
        self.state = State::Over;
        (self.out, self.decoder) = (Vec::new(), Decoder::new());
    }
}

impl Local {
    fn told(self) -> Event<'static> {
        match self {
            Self::LoggedIn => Event::LoggedIn,
            Self::Failed(action, failure) => Event::Failed { action, failure, message: None },
            Self::Lost(loss) => Event::Lost(loss),
        }
    }
}

/// An action of ours, without headers.
fn known(name: &str) -> Action {
    Action::new(name).expect("the name is a word")
}
