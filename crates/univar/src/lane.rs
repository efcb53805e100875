//! Carrying conversations over connections, all servers at once, within a deadline.
//!
//! A lane is one cache server's share of the work: it takes an idle connection or makes one,
//! sends, and reads until its [`Talk`] has nothing more to ask. The normal case costs one `send`
//! and one blocking `recv` for each lane. Whatever is not normal (connecting, large batches,
//! answers in pieces, a server that hangs) goes through `poll`, so that no lane waits for another.
//!
//! A connection on which anything unexpected happens is closed, never used again.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use crate::connection::{Connection, Received, wait};
use crate::server::{Server, Trouble};
use crate::talk::{Heard, Talk};

/// One cache server's share of the work.
#[derive(Debug)]
pub(crate) struct Lane<'s, T> {
    pub(crate) server: &'s Server,
    pub(crate) talk: T,
    /// When it ends, finished or not.
    deadline: Instant,
    /// When it ends if another lane has succeeded: time is left then to go on with that one's
    /// answer.
    hurried: Instant,
    /// The receive time limit that connections shall have; `None` if this caller never waits in
    /// `recv`.
    blocking: Option<Duration>,
    link: Link,
    /// It came from the pool, and nothing was received on it since: it may be long dead.
    may_be_stale: bool,
    /// How many of the server's addresses have refused.
    refusals: usize,
    /// The I/O thread should look at this server.
    pub(crate) alarm: bool,
    /// How it ended.
    pub(crate) succeeded: bool,
}

#[derive(Debug)]
enum Link {
    /// Not begun.
    Idle,
    Connecting(Connection),
    /// Sending, receiving, or both.
    Talking(Connection),
    Over,
}

impl<'s, T: Talk> Lane<'s, T> {
    /// A lane for a thread that waits in `recv` for `blocking` at most.
    pub(crate) fn brisk(
        server: &'s Server,
        talk: T,
        deadline: Instant,
        blocking: Duration,
    ) -> Self {
        Self::new(server, talk, deadline, Some(blocking))
    }

    /// A lane for a thread of ours, which only polls.
    pub(crate) fn patient(server: &'s Server, talk: T, deadline: Instant) -> Self {
        Self::new(server, talk, deadline, None)
    }

    /// The same, which ends at `hurried` if another lane has succeeded by then.
    pub(crate) fn hurried_to(self, hurried: Instant) -> Self {
        Self { hurried, ..self }
    }

    fn new(server: &'s Server, talk: T, deadline: Instant, blocking: Option<Duration>) -> Self {
        Self {
            server,
            talk,
            deadline,
            hurried: deadline,
            blocking,
            link: Link::Idle,
            may_be_stale: false,
            refusals: 0,
            alarm: false,
            succeeded: false,
        }
    }

    /// Takes a connection and asks the first batch.
    fn start(&mut self) {
        match self.server.checkout(self.blocking) {
            Some(connection) => {
                self.may_be_stale = true;
                self.talk_on(connection);
            }
            None => self.connect(),
        }
    }

    fn connect(&mut self) {
        self.may_be_stale = false;
        match self.server.connect(self.blocking.is_none()) {
            Ok(connection) => self.link = Link::Connecting(connection),
            Err(trouble) => self.not_connected(trouble),
        }
    }

    /// A host name may have several addresses, and memcached listen on one of them.
    fn not_connected(&mut self, trouble: Trouble) {
        self.refusals += 1;
        if matches!(trouble, Trouble::Connect(_)) && self.refusals < self.server.addresses() {
            self.server.try_next_address();
            return self.connect();
        }
        self.fail(trouble);
    }

    fn connected(&mut self, mut connection: Connection) {
        match connection.finish_connect() {
            Ok(()) => self.talk_on(connection),
            Err(error) => self.not_connected(Trouble::Connect(error)),
        }
    }

    fn talk_on(&mut self, mut connection: Connection) {
        if let Some(limit) = self.blocking
            && let Err(error) = connection.block_for(limit)
        {
            return self.fail(Trouble::Lost(error));
        }
        self.ask(connection);
    }

    /// Asks the next batch, or ends if there is none.
    fn ask(&mut self, mut connection: Connection) {
        let out = connection.out();
        self.talk.ask(out);
        if out.is_empty() {
            return self.finish(connection);
        }
        self.send(connection);
    }

    fn send(&mut self, mut connection: Connection) {
        match connection.send() {
            Ok(()) => self.link = Link::Talking(connection),
            Err(error) => self.broken(Trouble::Lost(error)),
        }
    }

    /// Receives once and takes in what came. Says whether anything did.
    fn receive(&mut self, mut connection: Connection, may_wait: bool) -> bool {
        match connection.receive(may_wait) {
            Ok(Received::Nothing) => {
                self.link = Link::Talking(connection);
                return false;
            }
            Ok(Received::Bytes) => {
                self.may_be_stale = false;
                self.hear(connection);
            }
            Ok(Received::End) => self.broken(Trouble::Closed),
            Err(error) => self.broken(Trouble::Lost(error)),
        }
        true
    }

    fn hear(&mut self, mut connection: Connection) {
        match self.talk.hear(connection.input(), Instant::now()) {
            Ok((used, heard)) => {
                connection.use_up(used);
                match heard {
                    Heard::More => self.link = Link::Talking(connection),
                    Heard::Answered if connection.is_quiet() => self.ask(connection),
                    // More came than was asked for.
                    Heard::Answered => {
                        self.fail(Trouble::Garbage(crate::talk::TalkError::Unexpected))
                    }
                    Heard::Enough => {
                        self.succeeded = true;
                        self.link = Link::Over;
                    }
                }
            }
            Err(error) => self.fail(Trouble::Garbage(error)),
        }
    }

    /// The connection is gone, and the server may have been replaced by one with older content. One
    /// from the pool may have been gone before we asked: it is asked again on a fresh one then.
    fn broken(&mut self, trouble: Trouble) {
        self.alarm |= self.server.owe();
        if !self.may_be_stale {
            return self.fail(trouble);
        }
        // Its fellows are as old.
        self.server.drop_idle();
        self.talk.ask_again();
        self.connect();
    }

    fn fail(&mut self, trouble: Trouble) {
        self.link = Link::Over;
        self.alarm |= self.server.failed(trouble);
    }

    fn finish(&mut self, connection: Connection) {
        self.succeeded = true;
        self.link = Link::Over;
        self.server.give_back(connection, Instant::now());
    }

    fn ends(&self, in_a_hurry: bool) -> Instant {
        if in_a_hurry { self.hurried } else { self.deadline }
    }

    fn take_link(&mut self) -> Link {
        std::mem::replace(&mut self.link, Link::Over)
    }

    fn is_over(&self) -> bool {
        matches!(self.link, Link::Over)
    }

    /// Waits in `recv`, where that is allowed and ends in time.
    fn receive_brisk(&mut self) {
        let Link::Talking(connection) = &self.link else { return };
        let left = self.deadline.saturating_duration_since(Instant::now());
        if !connection.all_sent() || !connection.may_block(left) {
            return;
        }
        if let Link::Talking(connection) = self.take_link() {
            self.receive(connection, true);
        }
    }

    fn poll_entry(&self) -> Option<libc::pollfd> {
        match &self.link {
            Link::Idle | Link::Over => None,
            Link::Connecting(connection) => Some(connection.poll_entry(true)),
            Link::Talking(connection) => Some(connection.poll_entry(!connection.all_sent())),
        }
    }

    /// `poll` said that something can be done.
    fn ready(&mut self, events: libc::c_short) {
        match self.take_link() {
            Link::Connecting(connection) => self.connected(connection),
            Link::Talking(connection) => {
                if events & !libc::POLLOUT == 0 {
                    self.send(connection);
                } else if self.receive(connection, false) || events & libc::POLLOUT == 0 {
                    // What is left to send is sent when poll says so again.
                } else if let Link::Talking(connection) = self.take_link() {
                    self.send(connection);
                }
            }
            link => self.link = link,
        }
    }

    /// The deadline is over.
    fn time_out(&mut self) {
        let trouble = match self.link {
            Link::Connecting(_) => Trouble::Connect(io::Error::from(ErrorKind::TimedOut)),
            _ => Trouble::TimedOut,
        };
        self.fail(trouble);
    }
}

/// Runs all lanes to their end, which for none is later than its deadline.
pub(crate) fn drive<T: Talk>(lanes: &mut [Lane<'_, T>]) {
    for lane in lanes.iter_mut() {
        lane.start();
    }
    // Who was asked last answers last, as a rule: when it has, the others' answers are here already,
    // and nobody sleeps twice.
    for lane in lanes.iter_mut().rev() {
        lane.receive_brisk();
    }
    while !lanes.iter().all(Lane::is_over) {
        poll_once(lanes);
    }
}

/// Waits for the first thing that can be done, does all that can, and ends what is overdue.
fn poll_once<T: Talk>(lanes: &mut [Lane<'_, T>]) {
    let in_a_hurry = lanes.iter().any(|lane| lane.succeeded);
    let mut entries = Vec::with_capacity(lanes.len());
    let mut waiting = Vec::with_capacity(lanes.len());
    for lane in lanes.iter_mut() {
        if let Some(entry) = lane.poll_entry() {
            entries.push(entry);
            waiting.push(lane);
        }
    }
    let Some(first) = waiting.iter().map(|lane| lane.ends(in_a_hurry)).min() else { return };
    wait(&mut entries, first.saturating_duration_since(Instant::now()));
    for (lane, entry) in waiting.iter_mut().zip(&entries) {
        if entry.revents != 0 {
            lane.ready(entry.revents);
        }
    }
    // Only after what was ready has been read: another lane may have used up the time.
    let now = Instant::now();
    for lane in waiting {
        if !lane.is_over() && now >= lane.ends(in_a_hurry) {
            lane.time_out();
        }
    }
}
