//! Which thing changed when: a page that was away asks what changed since.
//!
//! A thing is here once, at its last change, so the log is as long as the fleet is large, and
//! whoever resumes is told each thing as it is now and no state in between. What is gone stays
//! for a while ([`GONE_MAX`]).

use std::collections::{BTreeMap, HashMap, VecDeque};

use crate::limits::GONE_MAX;
use crate::text::Text;
use crate::view::{OutboundId, PeerId};

/// A thing of a server.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Key {
    Server,
    Link,
    Peer(PeerId),
    Call(Text),
    Mailbox(Text),
    Outbound(OutboundId),
}

type Entry = (Text, Key);

/// Invariant: `order` and `latest` are each other's inverse.
#[derive(Debug)]
pub(crate) struct Log {
    last: u64,
    /// What went away at or before it may be missing here.
    floor: u64,
    order: BTreeMap<u64, Entry>,
    latest: HashMap<Entry, u64>,
    gone: VecDeque<u64>,
    gone_max: usize,
}

impl Log {
    pub(crate) fn new(first: u64) -> Self {
        let (order, latest, gone) = Default::default();
        Self { last: first, floor: first, order, latest, gone, gone_max: GONE_MAX }
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Notes that it changed, or that it `is_gone`.
    pub(crate) fn note(&mut self, server: &Text, key: Key, is_gone: bool) {
        self.last += 1;
        let entry = (server.clone(), key);
        if let Some(before) = self.latest.insert(entry.clone(), self.last) {
            self.order.remove(&before);
        }
        self.order.insert(self.last, entry);
        if is_gone {
            self.gone.push_back(self.last);
            self.forget();
        }
    }

    /// What changed after `seq`, in order; `None` if that is no longer known.
    pub(crate) fn since(&self, seq: u64) -> Option<impl Iterator<Item = (u64, &Entry)>> {
        let known = (self.floor..=self.last).contains(&seq);
        known.then(|| self.order.range(seq + 1..).map(|(&seq, entry)| (seq, entry)))
    }

    /// A server goes with all that it has: told by a gap, for another may get its name.
    pub(crate) fn forget_server(&mut self, server: &str) {
        self.last += 1;
        self.floor = self.last;
        self.order.retain(|_, (name, _)| name.as_str() != server);
        self.latest.retain(|(name, _), _| name.as_str() != server);
    }

    fn forget(&mut self) {
        while self.gone.len() > self.gone_max {
            let Some(seq) = self.gone.pop_front() else { return };
            // It is not there if it came back, and changed, since.
            if let Some(entry) = self.order.remove(&seq) {
                self.latest.remove(&entry);
                self.floor = seq;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> Key {
        Key::Call(name.into())
    }

    #[test]
    fn a_thing_is_told_once_and_what_was_forgotten_is_a_gap() {
        let mut log = Log { gone_max: 1, ..Log::new(10) };
        let server = Text::from("a");
        log.note(&server, call("1"), false);
        log.note(&server, call("2"), false);
        log.note(&server, call("1"), true);
        let since = |log: &Log, seq| {
            log.since(seq).map(|all| all.map(|(seq, entry)| (seq, entry.1.clone())).collect())
        };
        assert_eq!(since(&log, 10), Some(vec![(12, call("2")), (13, call("1"))]));
        assert_eq!(since(&log, 13), Some(vec![]));
        assert_eq!(since(&log, 9), None, "of an earlier life");
        assert_eq!(since(&log, 14), None, "of a later life");

        log.note(&server, call("2"), true);
        assert_eq!(since(&log, 12), None, "that call 1 is gone was forgotten");
        assert_eq!(since(&log, 13), Some(vec![(14, call("2"))]));
    }
}
