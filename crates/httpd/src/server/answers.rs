//! Requests to the service, and its answers back: at once, from a worker, or as a stream.

use crate::refusal::{BROKEN, BUSY, Decline, TOO_MANY_STREAMS};
use crate::request::Request;
use crate::response::Response;

use super::event_loop::EventLoop;
use super::service::{Again, Answer, Next, Peer, Service, StreamKey};
use super::workers::{Asker, Task};

/// How often a job may hand a request back.
const ATTEMPTS_MAX: u32 = 3;
/// How many pieces of one stream are made before others have their turn.
const PIECES_A_TURN: usize = 16;

impl<S: Service> EventLoop<S> {
    /// Asks the service for an answer to the request that the connection has in hand.
    pub(super) fn ask(&mut self, slot: u32, turn: u32, peer: Peer, request: Request) {
        let attempt = request.attempt;
        let answer = self.with_service(|service, context| service.request(context, &peer, request));
        self.tick_soon();
        match answer {
            None => self.decline(slot, turn, &BROKEN),
            Some(Answer::Now(response)) => self.respond(slot, turn, &response),
            Some(Answer::Stream(response, key)) => self.begin_stream(slot, turn, &response, key),
            Some(Answer::Work(job)) => {
                let Some(guest) = self.slots.get(slot, turn) else { return };
                let Some(request) = guest.http.in_hand() else { return };
                let asker = Asker { slot, turn, request, attempt };
                if attempt >= ATTEMPTS_MAX || self.queue.push(Task::Answer(asker, job)).is_err() {
                    self.decline(slot, turn, &BUSY);
                }
            }
        }
    }

    fn respond(&mut self, slot: u32, turn: u32, response: &Response) {
        if let Some(guest) = self.slots.get(slot, turn) {
            guest.http.respond(response, self.now, &self.date);
        }
    }

    fn decline(&mut self, slot: u32, turn: u32, decline: &Decline) {
        if let Some(guest) = self.slots.get(slot, turn) {
            guest.http.decline(decline, self.now, &self.date);
        }
    }

    fn begin_stream(&mut self, slot: u32, turn: u32, response: &Response, key: StreamKey) {
        let address = self.slots.get(slot, turn).map(|guest| guest.peer.remote.ip());
        let of_address = address.map_or(0, |address| self.slots.streams_of(address));
        if of_address >= self.limits.streams_per_address {
            self.decline(slot, turn, &TOO_MANY_STREAMS);
        } else if self.streams >= self.limits.streams {
            self.decline(slot, turn, &BUSY);
        } else if let Some(guest) = self.slots.get(slot, turn)
            && guest.http.respond_stream(response, self.now, &self.date)
        {
            guest.stream = Some((key, self.now));
            self.streams += 1;
            return;
        }
        self.with_service(|service, context| service.stream_over(context, key));
    }

    /// Asks for more of a stream, if its time has come. Says whether there is more to send.
    pub(super) fn feed(&mut self, slot: u32, turn: u32) -> bool {
        let mut has_more = false;
        for _ in 0..PIECES_A_TURN {
            let Some(guest) = self.slots.get(slot, turn) else { return false };
            let Some((key, at)) = guest.stream else { return false };
            if at > self.now || !guest.http.has_stream_room() {
                break;
            }
            let next = self.with_service(|service, context| service.stream(context, key));
            let Some(guest) = self.slots.get(slot, turn) else { return false };
            match next {
                Some(Next::Data(bytes)) => {
                    guest.http.stream(&bytes, self.now);
                    has_more = true;
                }
                Some(Next::Wait(until)) => {
                    // At once would be for ever.
                    let until = until.max(self.now + std::time::Duration::from_millis(1));
                    guest.stream = Some((key, until));
                    self.note_deadline(Some(until));
                }
                None | Some(Next::End) => {
                    guest.http.end_stream(self.now);
                    guest.stream = None;
                    self.streams -= 1;
                    self.with_service(|service, context| service.stream_over(context, key));
                    return true;
                }
            }
        }
        has_more
    }

    /// What workers have done goes out.
    pub(super) fn take_answers(&mut self) {
        for (asker, again) in self.queue.take_done() {
            let Asker { slot, turn, request, attempt } = asker;
            let Some(guest) = self.slots.get(slot, turn) else { continue };
            if guest.http.in_hand() != Some(request) {
                continue;
            }
            let peer = guest.peer;
            match again {
                // It panicked: that request is lost, and nothing else.
                None => self.decline(slot, turn, &BROKEN),
                Some(Again::Respond(response)) => self.respond(slot, turn, &response),
                Some(Again::Request(mut request)) => {
                    request.attempt = attempt + 1;
                    self.ask(slot, turn, peer, request);
                }
            }
            self.drive(slot, turn);
        }
    }
}
