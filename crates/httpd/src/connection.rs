//! One connection, without its socket and without a clock.
//!
//! What arrives goes in with [`Connection::receive`]. Then drain [`Connection::poll_request`]
//! (answer each with [`Connection::respond`] or [`Connection::respond_stream`], at once or later)
//! and [`Connection::output`]. Whenever [`Connection::deadline`] is over, call
//! [`Connection::handle_timeout`]. Drop it when [`Connection::is_over`].
//!
//! Only one request is in hand at a time; those that a client sent behind it wait unread, in at
//! most a head's length of memory here and in its own socket: so answers are in order, and a
//! request sees what the one before it did.

use std::sync::Arc;
use std::time::Instant;

use crate::head::{self, Bad, Head, HeadError};
use crate::limits::Limits;
use crate::refusal::{Decline, LATE, Refusal, Refuse};
use crate::request::{Method, Request};
use crate::response::{Framing, Response};
use crate::scan::{Scan, Scanner};

mod output;

use output::Output;

/// What is being waited for.
#[derive(Debug)]
enum State {
    /// A head, or its rest.
    Head,
    /// The rest of a body.
    Body(Box<Head>),
    /// The caller, who has the request or is about to take it.
    Answer(InHand),
    /// The caller, for more of a stream.
    Stream,
    /// The reader, to take the last answer.
    Flush,
    /// The other side, to close.
    Linger { dropped: usize },
    /// Nothing any more.
    Over,
}

/// What must be known of a request to answer it.
#[derive(Clone, Copy, Debug)]
struct InHand {
    is_head: bool,
    is_http_1_0: bool,
    keep_alive: bool,
}

/// One connection: see the module's first lines for how to drive it.
#[derive(Debug)]
pub struct Connection {
    limits: Arc<Limits>,
    state: State,
    input: Vec<u8>,
    scanner: Scanner,
    output: Output,
    /// Of the state; the output has one of its own.
    deadline: Option<Instant>,
    /// The whole request that the caller has not taken yet.
    ready: Option<Request>,
    /// What the request in hand, or the last one, is about.
    path: Option<String>,
    refuse: Refuse,
    served: u32,
    /// Whether something of the next head has arrived, if only an empty line.
    head_begun: bool,
    /// Whether that was an empty line.
    skipped_line: bool,
    /// Since when there has been no whole request.
    waiting_since: Instant,
    input_ended: bool,
    wants_shutdown: bool,
}

impl Connection {
    /// A connection that was accepted `now`.
    #[must_use]
    pub fn new(limits: Arc<Limits>, now: Instant) -> Self {
        let deadline = Some(now + limits.head_time);
        Self {
            limits,
            state: State::Head,
            input: Vec::new(),
            scanner: Scanner::default(),
            output: Output::default(),
            deadline,
            ready: None,
            path: None,
            refuse: |refusal| refusal.as_text(),
            served: 0,
            // The first one has had its time since the connection began.
            head_begun: true,
            skipped_line: false,
            waiting_since: now,
            input_ended: false,
            wants_shutdown: false,
        }
    }

    /// One whose refusals look like that; else they are plain text.
    #[must_use]
    pub fn refusing_with(mut self, refuse: Refuse) -> Self {
        self.refuse = refuse;
        self
    }

    /// Takes what arrived.
    pub fn receive(&mut self, bytes: &[u8], now: Instant, date: &str) {
        match &mut self.state {
            State::Flush | State::Stream | State::Over => {}
            State::Linger { dropped } => {
                *dropped += bytes.len();
                if *dropped > self.limits.linger_bytes {
                    self.state = State::Over;
                }
            }
            State::Head => {
                if !self.head_begun {
                    self.head_begun = true;
                    self.await_head(now);
                }
                self.input.extend_from_slice(bytes);
                self.advance(now, date);
            }
            State::Body(_) => {
                self.input.extend_from_slice(bytes);
                self.advance(now, date);
            }
            State::Answer(_) => self.input.extend_from_slice(bytes),
        }
    }

    /// Nothing more will arrive.
    pub fn receive_end(&mut self) {
        self.input_ended = true;
        match self.state {
            // Who only closed their half still wants the answer.
            State::Answer(_) | State::Flush => {}
            State::Head if !self.output.is_empty() => self.state = State::Flush,
            _ => self.state = State::Over,
        }
    }

    /// Whether what arrives should be read now.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        !self.input_ended
            && match self.state {
                State::Head => self.output.has_room(),
                State::Body(_) | State::Stream | State::Linger { .. } => true,
                State::Answer(_) => self.input.len() < self.limits.head_bytes,
                State::Flush | State::Over => false,
            }
    }

    /// A whole request. Answer it before the next one comes.
    pub fn poll_request(&mut self) -> Option<Request> {
        self.ready.take()
    }

    /// Whether [`Self::poll_request`] has one.
    #[must_use]
    pub fn has_request(&self) -> bool {
        self.ready.is_some()
    }

    /// Which request is in hand, for an answer that comes later; `None` if none is.
    #[must_use]
    pub fn in_hand(&self) -> Option<u32> {
        matches!(self.state, State::Answer(_)).then_some(self.served)
    }

    /// Answers the request in hand; does nothing if there is none any more. `date` is for the
    /// answer's field.
    pub fn respond(&mut self, response: &Response, now: Instant, date: &str) {
        let State::Answer(hand) = self.state else { return };
        let keep_alive = hand.keep_alive
            && !response.is_last
            && self.served < self.limits.requests
            && !(self.input_ended && self.input.is_empty());
        let body = response.body.as_bytes();
        let framing =
            Framing { length: Some(body.len()), keep_alive, is_http_1_0: hand.is_http_1_0 };
        self.output.begin(now, &self.limits);
        response.write_head(self.output.buffer(), date, &framing);
        if !hand.is_head {
            self.output.buffer().extend_from_slice(body);
        }
        if !keep_alive {
            return self.flush(now);
        }
        self.state = State::Head;
        self.head_begun = !self.input.is_empty();
        self.await_head(now);
        self.advance(now, date);
    }

    /// Answers the request in hand with what the server itself has to say of it.
    pub(crate) fn decline(&mut self, decline: &Decline, now: Instant, date: &str) {
        let Decline { status, text, retry_after, is_last } = *decline;
        let refusal = Refusal { status, text, path: self.path.as_deref() };
        let mut response = refusal.answer(self.refuse);
        if let Some(after) = retry_after {
            response = response.with_header("Retry-After", after);
        }
        response.is_last |= is_last;
        self.respond(&response, now, date);
    }

    /// Answers the request in hand with the beginning of a stream, which ends with the connection.
    /// Says whether there is one now: not if the request was for the head only, or is over.
    pub fn respond_stream(&mut self, response: &Response, now: Instant, date: &str) -> bool {
        let State::Answer(hand) = self.state else { return false };
        let framing = Framing { length: None, keep_alive: false, is_http_1_0: hand.is_http_1_0 };
        self.output.begin(now, &self.limits);
        response.write_head(self.output.buffer(), date, &framing);
        if hand.is_head || self.input_ended {
            self.flush(now);
            return false;
        }
        self.state = State::Stream;
        self.deadline = None;
        self.input = Vec::new();
        true
    }

    /// Whether the stream's reader has taken enough that more may be made.
    #[must_use]
    pub fn has_stream_room(&self) -> bool {
        matches!(self.state, State::Stream) && self.output.len() < self.limits.stream_bytes
    }

    /// Appends to the stream; does nothing if there is none.
    pub fn stream(&mut self, bytes: &[u8], now: Instant) {
        if matches!(self.state, State::Stream) && !bytes.is_empty() {
            self.output.begin(now, &self.limits);
            self.output.buffer().extend_from_slice(bytes);
        }
    }

    /// Ends the stream, if there is one.
    pub fn end_stream(&mut self, now: Instant) {
        if matches!(self.state, State::Stream) {
            self.flush(now);
        }
    }

    /// What is to be sent.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        self.output.pending()
    }

    /// That many bytes of it were.
    pub fn sent(&mut self, bytes: usize, now: Instant, date: &str) {
        let had_output = !self.output.is_empty();
        self.output.sent(bytes, now, &self.limits);
        if had_output && self.output.is_empty() {
            match self.state {
                State::Flush => self.linger(now),
                State::Head => self.await_head(now),
                _ => {}
            }
        }
        if matches!(self.state, State::Head) && !self.input.is_empty() {
            self.advance(now, date);
        }
    }

    /// Whether our half is to be closed now; says so once.
    pub fn take_shutdown(&mut self) -> bool {
        std::mem::take(&mut self.wants_shutdown)
    }

    /// When to call [`Self::handle_timeout`].
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match (self.deadline, self.output.deadline()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Ends what has taken too long by `now`.
    pub fn handle_timeout(&mut self, now: Instant, date: &str) {
        if self.output.deadline().is_some_and(|deadline| deadline <= now) {
            self.state = State::Over;
            return;
        }
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        match self.state {
            State::Head if self.input.is_empty() => self.state = State::Over,
            State::Head => self.refuse(HeadError::TooSlow.into(), now, date),
            State::Body(ref mut head) => {
                let path = Some(std::mem::take(&mut head.path));
                self.refuse(Bad { error: HeadError::TooSlow, path }, now, date);
            }
            State::Answer(_) => {
                self.ready = None;
                self.decline(&LATE, now, date);
            }
            // Waits for the reader, whose deadline is the output's.
            State::Flush | State::Stream => self.deadline = None,
            State::Linger { .. } | State::Over => self.state = State::Over,
        }
    }

    /// Since when it has been waiting for a whole request; `None` if it has one, or its answer is
    /// still being taken. The oldest of these makes room for others.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Instant> {
        match self.state {
            State::Head if self.output.is_empty() => Some(self.waiting_since),
            State::Body(_) | State::Linger { .. } | State::Over => Some(self.waiting_since),
            State::Head | State::Answer(_) | State::Stream | State::Flush => None,
        }
    }

    /// Since when the reader of its answer has taken nothing of it; `None` if there is nothing to
    /// take, or a request is in hand.
    #[must_use]
    pub fn stalled_since(&self) -> Option<Instant> {
        match self.state {
            State::Head | State::Stream | State::Flush => self.output.stalled_since(),
            State::Body(_) | State::Answer(_) | State::Linger { .. } | State::Over => None,
        }
    }

    /// Whether it can be dropped.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// The time for the next head begins `now`; but while there is output, its reader's is what
    /// counts, who may be slow: then it begins when they have all of it.
    fn await_head(&mut self, now: Instant) {
        let next = if self.head_begun { self.limits.head_time } else { self.limits.idle_time };
        self.deadline = self.output.is_empty().then(|| now + next);
        self.waiting_since = now;
    }

    /// Goes on with what has arrived, up to the next whole request.
    fn advance(&mut self, now: Instant, date: &str) {
        if matches!(self.state, State::Head) && self.output.has_room() {
            self.advance_head(now, date);
        }
        if matches!(self.state, State::Body(_)) {
            self.advance_body(now);
        }
    }

    fn advance_head(&mut self, now: Instant, date: &str) {
        // One empty line before a request is somebody's bad habit (RFC 9112, 2.2).
        const EMPTY_LINE: &[u8] = b"\r\n";
        if self.input.starts_with(EMPTY_LINE) && !self.skipped_line {
            self.skipped_line = true;
            self.input.drain(..EMPTY_LINE.len());
            self.scanner = Scanner::default();
        }
        let head_end = match self.scanner.scan(&self.input) {
            Scan::More if self.input.len() <= self.limits.head_bytes => return,
            Scan::End(end) if end <= self.limits.head_bytes => end,
            Scan::More | Scan::End(_) => {
                return self.refuse(HeadError::HeadTooLong.into(), now, date);
            }
            Scan::Bad => return self.refuse(HeadError::Malformed.into(), now, date),
        };
        let head = match head::parse(&self.input[..head_end], &self.limits) {
            Ok(head) => head,
            Err(bad) => return self.refuse(bad, now, date),
        };
        self.input.drain(..head_end);
        self.scanner = Scanner::default();
        self.skipped_line = false;
        self.served += 1;
        if head.expects_continue && self.input.len() < head.body_bytes {
            self.output.begin(now, &self.limits);
            self.output.buffer().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        self.deadline = Some(now + self.limits.body_time);
        self.state = State::Body(Box::new(head));
    }

    fn advance_body(&mut self, now: Instant) {
        let state = std::mem::replace(&mut self.state, State::Over);
        let State::Body(head) = state else { return };
        if self.input.len() < head.body_bytes {
            self.state = State::Body(head);
            return;
        }
        let rest = self.input.split_off(head.body_bytes);
        let body = std::mem::replace(&mut self.input, rest);
        self.state = State::Answer(InHand {
            is_head: head.method == Method::Head,
            is_http_1_0: head.is_http_1_0,
            keep_alive: head.keep_alive,
        });
        self.deadline = Some(now + self.limits.answer_time);
        self.path = Some(head.path.clone());
        self.ready = Some(Request {
            method: head.method,
            path: head.path,
            query: head.query,
            host: head.host,
            headers: head.headers,
            body,
            attempt: 0,
        });
    }

    /// Says what is wrong, and that this was the last.
    fn refuse(&mut self, bad: Bad, now: Instant, date: &str) {
        let Bad { error, path } = bad;
        self.state =
            State::Answer(InHand { is_head: false, is_http_1_0: false, keep_alive: false });
        let (status, text) = (error.status(), error.to_string());
        let refusal = Refusal { status, text: &text, path: path.as_deref() };
        self.respond(&refusal.answer(self.refuse).last(), now, date);
    }

    /// What is in the output is the last.
    fn flush(&mut self, now: Instant) {
        self.state = State::Flush;
        self.deadline = None;
        self.input = Vec::new();
        if self.output.is_empty() {
            self.linger(now);
        }
    }

    /// All has been sent; now it is the other side's turn to close.
    fn linger(&mut self, now: Instant) {
        self.wants_shutdown = !self.input_ended;
        self.deadline = Some(now + self.limits.linger_time);
        self.state = if self.input_ended { State::Over } else { State::Linger { dropped: 0 } };
    }
}
