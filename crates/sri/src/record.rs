//! One record: what we want to say about it next, and what may be in the cache server.
//!
//! This is where it is decided who owns. A record does not know the time, the queue or the phones;
//! `registrar` holds those.

use std::time::{Duration, Instant};

use crate::lease::{self, YIELD_STEP};
use crate::source::SourceId;
use crate::{Claim, Kind, Outcome};

/// A Take that could not be delivered for this long (or for its lease, if that is shorter) is sent
/// as a Keep: another node may have taken the record with a newer REGISTER in the meantime.
pub const TAKE_STALE_AFTER: Duration = Duration::from_secs(10);
/// How long after a claim that was not answered it is tried again, the first time.
pub const RETRY_FIRST: Duration = Duration::from_millis(200);
/// The wait doubles up to this.
pub const RETRY_MAX: Duration = Duration::from_secs(2);

/// How late a renewal may come that nothing hinders.
const RENEWAL_SLACK: Duration = Duration::from_secs(1);

/// What is to be said next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Wish {
    /// A REGISTER came at `since`.
    Take {
        since: Instant,
    },
    Keep,
    Withdraw,
    /// Another node owns it. Nothing, until a REGISTER comes here.
    StandBack,
}

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    /// The identity we publish under. Until an old one is withdrawn this is the old one.
    pub(crate) value: Vec<u8>,
    pub(crate) lease: Duration,
    /// The phones that this record speaks of, each with the index of its section. Empty: none is
    /// left, and the record is being withdrawn.
    pub(crate) sources: Vec<(usize, SourceId)>,
    /// Driver and endpoint of the phone that left last, for show.
    pub(crate) last_source: (String, String),
    pub(crate) wish: Wish,
    /// When the wish is to be sent. Means nothing while the wish is to stand back.
    pub(crate) due: Instant,
    /// Where this record stands in the queue.
    pub(crate) queued: Option<Instant>,
    pub(crate) in_flight: Option<InFlight>,
    /// The last write that was acknowledged, by the time it was sent.
    pub(crate) written_at: Option<Instant>,
    /// Nothing has put that write in doubt since.
    pub(crate) held: bool,
    /// The last claim was refused for good.
    pub(crate) refused: bool,
    /// It waits for its turn in a republication.
    yields: bool,
    /// The last REGISTER in this life of the process.
    registered_at: Option<Instant>,
    /// What we wrote, or may have written, is gone by then.
    alive_until: Option<Instant>,
    backoff: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    pub(crate) id: u64,
    kind: Kind,
    span: Duration,
    sent_at: Instant,
    /// Something happened since it was sent; its end does not fulfil the wish.
    overtaken: bool,
}

impl Record {
    /// A record for a phone that is registered but sent no REGISTER that we saw.
    pub(crate) fn new(now: Instant, key: Vec<u8>, value: Vec<u8>, lease: Duration) -> Self {
        Self {
            key,
            value,
            lease,
            sources: Vec::new(),
            last_source: (String::new(), String::new()),
            wish: Wish::Keep,
            due: now,
            queued: None,
            in_flight: None,
            written_at: None,
            held: false,
            refused: false,
            yields: false,
            registered_at: None,
            alive_until: None,
            backoff: Duration::ZERO,
        }
    }

    /// A REGISTER came: the newest owns.
    pub(crate) fn take(&mut self, now: Instant, identity: &[u8]) {
        if self.value != identity {
            self.value = identity.to_vec();
        }
        self.registered_at = Some(now);
        self.wish(Wish::Take { since: now }, now);
    }

    /// The phone is registered here, but no REGISTER says so: fills a gap at most.
    pub(crate) fn restore(&mut self, now: Instant, identity: &[u8]) {
        if self.wish == Wish::Withdraw && self.value == identity {
            self.wish(Wish::Keep, now);
        }
    }

    /// The last phone is gone. `false` if there is nothing of ours to withdraw.
    pub(crate) fn withdraw(&mut self, now: Instant) -> bool {
        if self.wish == Wish::StandBack {
            return false;
        }
        if self.wish != Wish::Withdraw {
            // What an earlier life of this process wrote may still be there.
            self.alive_until.get_or_insert(now + lease::ttl(self.lease));
            self.wish(Wish::Withdraw, now);
        }
        true
    }

    /// The configuration was read again: publishes anew, under `identity`.
    pub(crate) fn reload(&mut self, now: Instant, identity: &[u8], lease: Duration) {
        self.lease = lease;
        match self.wish {
            Wish::Take { .. } if self.value != identity => {
                self.value = identity.to_vec();
                self.wish(self.wish, now);
            }
            Wish::Take { .. } => {}
            Wish::StandBack => self.value = identity.to_vec(),
            // Our own old identity would read as another's: withdraw it first.
            Wish::Keep if self.value != identity => {
                self.withdraw(now);
            }
            Wish::Withdraw if self.value != identity => {}
            Wish::Keep | Wish::Withdraw => self.wish(Wish::Keep, now),
        }
    }

    /// A cache server lost its content or came back: whoever knows best goes first.
    ///
    /// A phone that moved less than a third of its lease before is known to two nodes. The one that
    /// it came to goes first; the one that it left then finds the record and stands back. A node
    /// that has been started since does not know what it missed, and goes last.
    pub(crate) fn republish(&mut self, now: Instant) {
        self.backoff = Duration::ZERO;
        let at = match self.wish {
            Wish::StandBack => return,
            Wish::Take { .. } | Wish::Withdraw => now,
            Wish::Keep if self.written_at.is_none() => now + 2 * YIELD_STEP,
            Wish::Keep if !self.rivals_have_seen_it() => now,
            Wish::Keep => now + YIELD_STEP,
        };
        // A second call must not put off what the first has promised.
        self.due = if self.yields { self.due.min(at) } else { at };
        self.yields = self.wish == Wish::Keep;
        self.held = false;
        if let (Some(flight), Wish::Keep | Wish::Take { .. }) = (&mut self.in_flight, self.wish) {
            flight.overtaken = true;
        }
    }

    /// Makes the claim that is due. `expires` is that of the contact that lives longest.
    pub(crate) fn send(&mut self, now: Instant, id: u64, expires: Option<Instant>) -> Claim {
        if let Wish::Take { since } = self.wish
            && now.saturating_duration_since(since) >= TAKE_STALE_AFTER.min(self.lease)
        {
            self.wish = Wish::Keep;
        }
        let kind = match self.wish {
            Wish::Take { .. } => Kind::Take,
            Wish::Keep | Wish::StandBack => Kind::Keep,
            Wish::Withdraw => Kind::Withdraw,
        };
        let span = lease::span(now, expires, self.lease);
        let ttl = if kind == Kind::Withdraw { Duration::ZERO } else { lease::ttl(span) };
        self.yields = false;
        self.in_flight = Some(InFlight { id, kind, span, sent_at: now, overtaken: false });
        Claim { id, kind, key: self.key.clone(), value: self.value.clone(), ttl }
    }

    /// The claim under way has ended. `true` if that was a withdrawal, and it is over.
    pub(crate) fn done(&mut self, now: Instant, outcome: Outcome) -> bool {
        let Some(flight) = self.in_flight.take() else { return false };
        if flight.kind != Kind::Withdraw {
            self.note_write(now, flight, outcome);
        }
        if flight.overtaken {
            self.done_late(flight, outcome)
        } else {
            self.done_in_time(now, flight, outcome)
        }
    }

    fn note_write(&mut self, now: Instant, flight: InFlight, outcome: Outcome) {
        let may_live_until = now + lease::ttl(flight.span);
        match outcome {
            Outcome::Done => {
                self.written_at = Some(flight.sent_at);
                self.alive_until = Some(may_live_until);
            }
            Outcome::Unreachable => {
                self.alive_until =
                    Some(self.alive_until.map_or(may_live_until, |at| at.max(may_live_until)));
            }
            Outcome::Foreign | Outcome::Invalid => {}
        }
    }

    /// An event came meanwhile: the answer only tells whether the record is another's.
    fn done_late(&mut self, flight: InFlight, outcome: Outcome) -> bool {
        if flight.kind == Kind::Keep && outcome == Outcome::Foreign {
            match self.wish {
                Wish::Keep => self.wish = Wish::StandBack,
                Wish::Withdraw if self.sources.is_empty() => return true,
                _ => {}
            }
        }
        false
    }

    fn done_in_time(&mut self, now: Instant, flight: InFlight, outcome: Outcome) -> bool {
        if outcome != Outcome::Unreachable {
            self.backoff = Duration::ZERO;
        }
        self.refused = outcome == Outcome::Invalid && flight.kind != Kind::Withdraw;
        self.held = outcome == Outcome::Done && flight.kind != Kind::Withdraw;
        match (flight.kind, outcome) {
            (_, Outcome::Unreachable) => {
                self.backoff = (self.backoff * 2).clamp(RETRY_FIRST, RETRY_MAX);
                self.due = now + self.backoff;
                let lapsed = self.alive_until.is_some_and(|end| self.due > end);
                if flight.kind == Kind::Withdraw && lapsed {
                    return true;
                }
            }
            (Kind::Withdraw, _) => return true,
            (Kind::Take | Kind::Keep, Outcome::Foreign) => self.wish = Wish::StandBack,
            (Kind::Take | Kind::Keep, Outcome::Done | Outcome::Invalid) => {
                self.wish = Wish::Keep;
                self.due = flight.sent_at + lease::renewal(flight.span, &self.key);
            }
        }
        false
    }

    /// An old identity is withdrawn: begins again under the new one.
    pub(crate) fn begin_again(&mut self, now: Instant, identity: &[u8]) {
        self.value = identity.to_vec();
        self.alive_until = None;
        self.written_at = None;
        self.wish(Wish::Keep, now);
    }

    fn wish(&mut self, wish: Wish, now: Instant) {
        self.wish = wish;
        self.due = now;
        self.backoff = Duration::ZERO;
        self.yields = false;
        self.held = false;
        self.refused = false;
        if let Some(flight) = &mut self.in_flight {
            flight.overtaken = true;
        }
    }

    /// Whether it belongs in the queue, at `due`.
    pub(crate) fn waits(&self) -> bool {
        self.in_flight.is_none() && self.wish != Wish::StandBack
    }

    /// Whether a node that the phone left for us has tried to renew its own record since, and so
    /// stands back: each node writes at least once in a third of the lease, so it has if our record
    /// was there a third (and a retry or two) after the REGISTER.
    ///
    /// The time that a cache server was away does not count: nobody saw anything then.
    fn rivals_have_seen_it(&self) -> bool {
        match (self.registered_at, self.written_at) {
            (Some(registered), Some(written)) => {
                written.saturating_duration_since(registered) >= self.lease / 3 + RENEWAL_SLACK
            }
            (None, Some(_)) => true,
            (_, None) => false,
        }
    }
}
