//! A registrar with its own clock, for tests that need exact times.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::time::{Duration, Instant};

use sri::{Claim, How, Kind, Outcome, PeerState, Registrar, Rules};

pub(crate) const LEASE: Duration = Duration::from_secs(60);
pub(crate) const CONTACT: &str = "sip:200@127.0.0.1:5060";

pub(crate) fn rules(section: &str, prefix: &str, identity: &str, drivers: &[&str]) -> Rules {
    Rules {
        section: section.into(),
        prefix: prefix.into(),
        identity: identity.into(),
        lease: LEASE,
        drivers: drivers.iter().map(|&d| d.into()).collect(),
    }
}

pub(crate) fn phones() -> Vec<Rules> {
    vec![rules("phones", "PEER_", "serverA", &["PJSIP", "IAX2"])]
}

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) struct Bench {
    pub(crate) registrar: Registrar,
    pub(crate) start: Instant,
    pub(crate) now: Instant,
}

impl Bench {
    pub(crate) fn new(rules: Vec<Rules>) -> Self {
        let start = Instant::now();
        Self { registrar: Registrar::new(rules), start, now: start }
    }

    /// Goes to this many milliseconds after the start.
    pub(crate) fn at(&mut self, ms: u64) -> &mut Self {
        let then = self.start + Duration::from_millis(ms);
        assert!(then >= self.now, "time goes forward");
        self.now = then;
        self
    }

    pub(crate) fn register(&mut self, endpoint: &str, expires_in_s: u64) -> &mut Self {
        self.contact("PJSIP", endpoint, CONTACT, expires_in_s, How::Register)
    }

    pub(crate) fn restore(&mut self, endpoint: &str, expires_in_s: u64) -> &mut Self {
        self.contact("PJSIP", endpoint, CONTACT, expires_in_s, How::Restored)
    }

    pub(crate) fn contact(
        &mut self,
        driver: &str,
        endpoint: &str,
        contact: &str,
        expires_in_s: u64,
        how: How,
    ) -> &mut Self {
        let expires = Some(self.now + Duration::from_secs(expires_in_s));
        self.registrar.registered(self.now, driver, endpoint, contact, expires, how);
        self
    }

    pub(crate) fn unregister(&mut self, endpoint: &str) -> &mut Self {
        self.registrar.unregistered(self.now, "PJSIP", endpoint, CONTACT);
        self
    }

    pub(crate) fn republish(&mut self) -> &mut Self {
        self.registrar.republish(self.now, |_| true);
        self
    }

    pub(crate) fn poll(&mut self) -> Vec<Claim> {
        let mut out = Vec::new();
        self.registrar.poll(self.now, usize::MAX, &mut out);
        out
    }

    /// The one claim that is due now.
    #[track_caller]
    pub(crate) fn claim(&mut self, kind: Kind) -> Claim {
        let mut claims = self.poll();
        assert_eq!(claims.len(), 1, "one claim is due: {claims:?}");
        assert_eq!(claims[0].kind, kind);
        claims.remove(0)
    }

    #[track_caller]
    pub(crate) fn nothing(&mut self) -> &mut Self {
        assert_eq!(self.poll(), [], "nothing is due");
        self
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, kind: Kind, outcome: Outcome) -> &mut Self {
        let claim = self.claim(kind);
        self.answer(&claim, outcome)
    }

    pub(crate) fn answer(&mut self, claim: &Claim, outcome: Outcome) -> &mut Self {
        self.registrar.done(self.now, claim.id, outcome);
        self
    }

    /// When something is due next, after the start.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.registrar.poll_timeout().map(|at| at - self.start)
    }

    /// Goes to when something is due next.
    #[track_caller]
    pub(crate) fn skip(&mut self) -> &mut Self {
        self.now = self.registrar.poll_timeout().expect("something is due");
        self
    }

    pub(crate) fn states(&self) -> Vec<PeerState> {
        self.registrar.peers().map(|p| p.state).collect()
    }
}
