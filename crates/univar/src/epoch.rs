//! The epoch marker: when a miss counts.
//!
//! Each cache server holds one item, [`MARKER_KEY`], that is lost with everything else. Who finds
//! it missing knows that the cache server has lost its content; `docs/consistency.md` says what
//! follows. This file is the decision and nothing else: the marker's text, and [`Watch`], which
//! is told what was read and answers what to do. Time is an argument; the bytes that are sent
//! belong to `probe`, and sending them to `maintain`.

use std::fmt;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

/// The marker's key. Reserved: no [`crate::Name`] can be it.
pub const MARKER_KEY: &[u8] = b"tandem:epoch";

/// How often a node's I/O thread asks every cache server for its marker.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// How long a node must have seen the same `H <id>`, in unbroken contact, to make it `R <id>`.
pub const HEAL_WINDOW: Duration = Duration::from_secs(3);

/// Contact is broken by a silence longer than this, even if no probe failed: a node that slept
/// cannot say that the others had time to publish.
pub const SILENCE_MAX: Duration = Duration::from_millis(1500);

/// Length of a marker's text: a letter, a blank, 16 hexadecimal digits.
pub const MARKER_BYTES: usize = 18;

/// Which content a cache server holds: random, new each time its content was lost.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct EpochId(NonZeroU64);

impl EpochId {
    /// An identifier from 64 random bits; 0 becomes 1.
    #[must_use]
    pub fn new(random: u64) -> Self {
        Self(NonZeroU64::new(random).unwrap_or(NonZeroU64::MIN))
    }

    /// The identifier as a number, never 0.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for EpochId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What was read where the marker should be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Marker {
    /// Nothing: the cache server is new, was restarted, or lost its content.
    Absent,
    /// `H <id>`: nodes are publishing again what they hold.
    Healing(EpochId),
    /// `R <id>`: everything since `<id>` began is there.
    Ready(EpochId),
    /// Something that Tandem did not write. It proves nothing, so it is replaced.
    Garbled,
}

impl Marker {
    /// Reads the item's data. Text that is no marker is [`Marker::Garbled`].
    ///
    /// # Examples
    ///
    /// ```
    /// use univar::epoch::{EpochId, Marker};
    ///
    /// let marker = Marker::parse(b"R 00000000000000ff");
    /// assert_eq!(marker, Marker::Ready(EpochId::new(255)));
    /// assert!(marker.a_miss_counts());
    /// assert_eq!(Marker::parse(b"hello"), Marker::Garbled);
    /// ```
    #[must_use]
    pub fn parse(data: &[u8]) -> Self {
        let (letter, digits) = match data {
            [letter, b' ', digits @ ..] if data.len() == MARKER_BYTES => (*letter, digits),
            _ => return Self::Garbled,
        };
        let Some(id) = parse_id(digits) else { return Self::Garbled };
        match letter {
            b'H' => Self::Healing(id),
            b'R' => Self::Ready(id),
            _ => Self::Garbled,
        }
    }

    /// The text of `H <id>`.
    #[must_use]
    pub fn healing_text(id: EpochId) -> String {
        format!("H {id}")
    }

    /// The text of `R <id>`.
    #[must_use]
    pub fn ready_text(id: EpochId) -> String {
        format!("R {id}")
    }

    /// Whether a miss that was answered before this marker, on the same connection, is certain.
    #[must_use]
    pub fn a_miss_counts(self) -> bool {
        matches!(self, Self::Ready(_))
    }

    /// The identifier, if there is one.
    #[must_use]
    pub fn id(self) -> Option<EpochId> {
        match self {
            Self::Healing(id) | Self::Ready(id) => Some(id),
            Self::Absent | Self::Garbled => None,
        }
    }
}

fn parse_id(digits: &[u8]) -> Option<EpochId> {
    let mut id = 0_u64;
    for &digit in digits {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        id = id << 4 | u64::from(nibble);
    }
    NonZeroU64::new(id).map(EpochId)
}

/// What to do to the marker.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Leave it.
    Nothing,
    /// Add `H <new id>` if it is still absent, then read it again: another node may have won.
    Begin,
    /// Put `H <new id>` in its place, guarded by the CAS that was read, then read it again.
    Replace,
    /// Make it `R <id>`, guarded by the CAS that was read.
    Finish(EpochId),
}

/// What an observation means to this node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Observation {
    /// What to do to the marker.
    pub action: Action,
    /// The identifier was not known: publish again, now, all that is placed on this cache server.
    pub publish: bool,
    /// Healing has ended since the last observation: misses count again.
    pub healed: bool,
}

/// One node's view of one cache server's marker.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    known: Option<Known>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    id: EpochId,
    ready: bool,
    /// Since when contact has been unbroken; `None` after it broke.
    contact_since: Option<Instant>,
    last_seen: Instant,
}

impl Watch {
    /// A view that knows no identifier.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what was read at `now` and says what to do.
    ///
    /// `now` must not go back. Call it for the marker that is read after [`Action::Begin`] or
    /// [`Action::Replace`] too, so that the own identifier is published for like any other.
    ///
    /// With one copy of each name. See [`Watch::observe_copies`] for two.
    pub fn observe(&mut self, now: Instant, marker: Marker) -> Observation {
        self.observe_copies(now, marker, marker.id())
    }

    /// The same where names have two copies: healing does not end before what this cache server
    /// should have was compared with the others, in the epoch `complete`.
    pub fn observe_copies(
        &mut self,
        now: Instant,
        marker: Marker,
        complete: Option<EpochId>,
    ) -> Observation {
        let (id, ready) = match marker {
            Marker::Healing(id) => (id, false),
            Marker::Ready(id) => (id, true),
            Marker::Absent => return self.forget(Action::Begin),
            Marker::Garbled => return self.forget(Action::Replace),
        };
        let before = self.known.filter(|known| known.id == id);
        let contact_since = before.and_then(|known| known.contact(now)).unwrap_or(now);
        self.known = Some(Known { id, ready, contact_since: Some(contact_since), last_seen: now });

        let window_over = now.duration_since(contact_since) >= HEAL_WINDOW && complete == Some(id);
        Observation {
            action: if !ready && window_over { Action::Finish(id) } else { Action::Nothing },
            publish: before.is_none(),
            healed: ready && before.is_some_and(|known| !known.ready),
        }
    }

    /// The cache server did not answer: the heal window begins anew when it does, for nobody
    /// may have been able to publish meanwhile.
    pub fn contact_lost(&mut self) {
        if let Some(known) = &mut self.known {
            known.contact_since = None;
        }
    }

    /// The identifier that this node last saw.
    #[must_use]
    pub fn known_id(&self) -> Option<EpochId> {
        self.known.map(|known| known.id)
    }

    /// Whether the marker last seen was `R <id>`.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.known.is_some_and(|known| known.ready)
    }

    fn forget(&mut self, action: Action) -> Observation {
        self.known = None;
        Observation { action, publish: false, healed: false }
    }
}

impl Known {
    /// Since when contact is unbroken, if it still is at `now`.
    fn contact(&self, now: Instant) -> Option<Instant> {
        self.contact_since.filter(|_| now.duration_since(self.last_seen) <= SILENCE_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn id(number: u64) -> EpochId {
        EpochId::new(number)
    }

    /// Observes the same marker every `PROBE_INTERVAL` for `probes` times; the last answer.
    fn watch_for(watch: &mut Watch, from: Instant, marker: Marker, probes: u32) -> Observation {
        let mut last = watch.observe(from, marker);
        for probe in 1..=probes {
            last = watch.observe(from + PROBE_INTERVAL * probe, marker);
        }
        last
    }

    #[test]
    fn what_is_written_is_read_back() {
        let id = id(0x0123_4567_89ab_cdef);
        assert_eq!(Marker::healing_text(id), "H 0123456789abcdef");
        assert_eq!(Marker::parse(Marker::healing_text(id).as_bytes()), Marker::Healing(id));
        assert_eq!(Marker::parse(Marker::ready_text(id).as_bytes()), Marker::Ready(id));
        assert_eq!(Marker::ready_text(id).len(), MARKER_BYTES);
    }

    #[test]
    fn what_tandem_would_not_write_is_garbled() {
        let texts: [&[u8]; 8] = [
            b"",
            b"R",
            b"R 0123456789abcde",
            b"R 0123456789abcdef0",
            b"R 0123456789ABCDEF",
            b"R 0000000000000000",
            b"X 0123456789abcdef",
            b"R\t0123456789abcdef",
        ];
        for text in texts {
            assert_eq!(Marker::parse(text), Marker::Garbled, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn only_a_ready_marker_makes_a_miss_count() {
        assert!(Marker::Ready(id(1)).a_miss_counts());
        for marker in [Marker::Absent, Marker::Garbled, Marker::Healing(id(1))] {
            assert!(!marker.a_miss_counts());
        }
    }

    #[test]
    fn an_absent_marker_is_added_and_then_published_for() {
        let (mut watch, now) = (Watch::new(), Instant::now());
        let seen = watch.observe(now, Marker::Absent);
        assert_eq!(seen, Observation { action: Action::Begin, publish: false, healed: false });
        let seen = watch.observe(now, Marker::Healing(id(1)));
        assert_eq!(seen, Observation { action: Action::Nothing, publish: true, healed: false });
        assert_eq!(watch.known_id(), Some(id(1)));
    }

    #[test]
    fn a_garbled_marker_is_replaced_and_what_was_known_forgotten() {
        let (mut watch, now) = (Watch::new(), Instant::now());
        watch.observe(now, Marker::Ready(id(1)));
        assert_eq!(watch.observe(now, Marker::Garbled).action, Action::Replace);
        assert_eq!(watch.known_id(), None);
        assert!(watch.observe(now, Marker::Ready(id(1))).publish);
    }

    #[test]
    fn an_unknown_identifier_is_published_for_once_even_if_it_is_ready() {
        let (mut watch, now) = (Watch::new(), Instant::now());
        assert!(watch.observe(now, Marker::Ready(id(1))).publish);
        assert!(!watch.observe(now + PROBE_INTERVAL, Marker::Ready(id(1))).publish);
        assert!(watch.observe(now + PROBE_INTERVAL * 2, Marker::Ready(id(2))).publish);
    }

    #[test]
    fn healing_ends_when_the_window_is_over_and_not_before() {
        let (mut watch, now) = (Watch::new(), Instant::now());
        let seen = watch_for(&mut watch, now, Marker::Healing(id(1)), 5);
        assert_eq!(seen.action, Action::Nothing);
        let almost = watch.observe(now + HEAL_WINDOW - MS, Marker::Healing(id(1)));
        assert_eq!(almost.action, Action::Nothing);
        let over = watch.observe(now + HEAL_WINDOW, Marker::Healing(id(1)));
        assert_eq!(over.action, Action::Finish(id(1)));
        assert!(!watch.is_ready(), "it is ready when it was read as ready");
        let healed = watch.observe(now + HEAL_WINDOW + MS, Marker::Ready(id(1)));
        assert_eq!(healed, Observation { action: Action::Nothing, publish: false, healed: true });
        assert!(watch.is_ready());
    }

    #[test]
    fn another_identifier_starts_the_window_anew() {
        let (mut watch, now) = (Watch::new(), Instant::now());
        watch_for(&mut watch, now, Marker::Healing(id(1)), 5);
        let seen = watch_for(&mut watch, now + HEAL_WINDOW, Marker::Healing(id(2)), 5);
        assert_eq!(seen.action, Action::Nothing);
        let over = watch.observe(now + HEAL_WINDOW * 2, Marker::Healing(id(2)));
        assert_eq!(over.action, Action::Finish(id(2)));
    }

    #[test]
    fn lost_contact_starts_the_window_anew_without_publishing_again() {
        let (mut watch, now) = (Watch::new(), Instant::now());
        watch_for(&mut watch, now, Marker::Healing(id(1)), 5);
        watch.contact_lost();
        let back = watch.observe(now + HEAL_WINDOW, Marker::Healing(id(1)));
        assert_eq!(back, Observation { action: Action::Nothing, publish: false, healed: false });
        let seen = watch_for(&mut watch, now + HEAL_WINDOW, Marker::Healing(id(1)), 6);
        assert_eq!(seen.action, Action::Finish(id(1)));
    }

    #[test]
    fn a_node_that_slept_does_not_end_the_healing() {
        let (mut watch, now) = (Watch::new(), Instant::now());
        watch.observe(now, Marker::Healing(id(1)));
        let awake = watch.observe(now + HEAL_WINDOW * 2, Marker::Healing(id(1)));
        assert_eq!(awake.action, Action::Nothing);
    }

    #[test]
    fn another_node_may_end_the_healing() {
        let (mut watch, now) = (Watch::new(), Instant::now());
        watch.observe(now, Marker::Healing(id(1)));
        assert!(watch.observe(now + PROBE_INTERVAL, Marker::Ready(id(1))).healed);
    }
}
