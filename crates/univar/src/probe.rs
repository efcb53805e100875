//! Asking one cache server for its epoch marker, and doing what `epoch` says.
//!
//! Pure but for the clock that its caller reads. After every change the marker is read again in
//! the same batch, for another node may have been quicker.

use std::time::Instant;

use memcache_proto::{FlagBuf, Flags, Key, Request, Response, SetMode};

use crate::batch::{ask_marker, read_marker};
use crate::epoch::{Action, EpochId, MARKER_KEY, Marker, Watch};
use crate::talk::{Heard, Talk, TalkError};

/// How often a probe changes the marker and reads it again, before it leaves the rest to the
/// next one.
const CHANGES_MAX: u8 = 3;

/// One probe of one cache server.
#[derive(Debug)]
pub(crate) struct Probe {
    watch: Watch,
    new_id: EpochId,
    duty: Duty,
    answered_at: Option<Instant>,
    marker: Marker,
    publish: bool,
    healed: bool,
    /// A new epoch was begun for what is owed.
    began: bool,
    next: Next,
    changes: u8,
    /// The answer to the change comes before the marker.
    change_due: bool,
}

/// What two copies ask of a probe.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Duty {
    /// The server may have missed a write of this node's: it must be healed, whatever its marker
    /// says.
    pub(crate) owed: bool,
    /// An answer after this is too late for the dialplan, which then misses every write: such a
    /// server is healed when it is quick again.
    pub(crate) slow_after: Option<Instant>,
    /// A new epoch that this node began is so young that it may begin no other, unless that one is
    /// over: a server that has no room for what it is owed would get one after the other.
    pub(crate) has_just_begun: bool,
    /// Its content has copies elsewhere: healing ends only in the epoch for which it was compared.
    pub(crate) replicated: bool,
    pub(crate) complete_for: Option<EpochId>,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Look,
    Change { action: Action, cas: Option<u64> },
    Nothing,
}

/// What a probe that was answered found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The server's watch, brought up to date.
    pub(crate) watch: Watch,
    /// The marker that was read last.
    pub(crate) marker: Marker,
    /// An identifier was not known.
    pub(crate) publish: bool,
    /// Misses count again.
    pub(crate) healed: bool,
    /// It is not being healed yet for what this node owes it.
    pub(crate) owed: bool,
    /// A new epoch was begun for that.
    pub(crate) began: bool,
    /// When the first answer came.
    pub(crate) answered_at: Option<Instant>,
}

impl Probe {
    /// A probe. `new_id` is used if the marker is gone.
    pub(crate) fn new(watch: Watch, new_id: EpochId, duty: Duty) -> Self {
        Self {
            watch,
            new_id,
            duty,
            answered_at: None,
            marker: Marker::Absent,
            publish: false,
            healed: false,
            began: false,
            next: Next::Look,
            changes: 0,
            change_due: false,
        }
    }

    /// What was found, once the conversation is over.
    pub(crate) fn found(self) -> Found {
        let Self { watch, marker, publish, healed, began, duty, answered_at, .. } = self;
        Found { watch, marker, publish, healed, owed: duty.owed, began, answered_at }
    }

    fn ask_change(&mut self, action: Action, cas: Option<u64>, out: &mut Vec<u8>) {
        let text = match action {
            Action::Finish(id) => Marker::ready_text(id),
            _ => Marker::healing_text(self.new_id),
        };
        let mut flags = FlagBuf::new();
        match cas {
            Some(cas) => flags.number(b'C', cas),
            None => flags.mode(SetMode::Add),
        };
        set_marker(out, flags.as_flags(), text.as_bytes());
    }

    fn look(&mut self, marker: Marker, cas: Option<u64>, now: Instant) {
        self.answered_at.get_or_insert(now);
        if self.changes > 0 && marker.id().is_some() && marker.id() != self.marker.id() {
            // A new epoch has begun since this node had to say so, be it by another's hand.
            self.duty.owed = false;
        }
        self.marker = marker;
        let is_slow = self.answered_at.zip(self.duty.slow_after).is_some_and(|(at, end)| at > end);
        let waits = self.duty.has_just_begun && matches!(marker, Marker::Healing(_));
        let action = if self.duty.owed && marker.id().is_some() && !is_slow && !waits {
            self.began |= self.changes < CHANGES_MAX;
            Action::Replace
        } else {
            self.observe(marker, now)
        };
        self.next = if action == Action::Nothing || self.changes == CHANGES_MAX {
            Next::Nothing
        } else {
            Next::Change { action, cas }
        };
    }

    fn observe(&mut self, marker: Marker, now: Instant) -> Action {
        let complete = if self.duty.replicated { self.duty.complete_for } else { marker.id() };
        let seen = self.watch.observe_copies(now, marker, complete);
        self.publish |= seen.publish;
        self.healed |= seen.healed;
        seen.action
    }
}

fn set_marker(out: &mut Vec<u8>, flags: Flags<'_>, data: &[u8]) {
    let key = Key::new(MARKER_KEY).expect("the marker's key is a constant");
    Request::Set { key, flags, data }.encode(out);
}

impl Talk for Probe {
    fn ask(&mut self, out: &mut Vec<u8>) {
        match self.next {
            Next::Nothing => return,
            Next::Look => {}
            Next::Change { action, cas } => {
                self.ask_change(action, cas, out);
                self.changes += 1;
                self.change_due = true;
            }
        }
        ask_marker(out, true);
    }

    fn hear(&mut self, buf: &[u8], now: Instant) -> Result<(usize, Heard), TalkError> {
        let mut used = 0;
        while let Some((response, len)) = Response::decode(&buf[used..])? {
            used += len;
            if !self.change_due {
                let (marker, cas) = read_marker(&response)?;
                self.look(marker, cas, now);
                return Ok((used, Heard::Answered));
            }
            self.change_due = false;
            match response {
                // Done, or another node was quicker, or there is no room; the marker will tell.
                Response::Done { .. }
                | Response::NotStored { .. }
                | Response::Exists { .. }
                | Response::NotFound { .. }
                | Response::ServerError(_) => {}
                _ => return Err(TalkError::Unexpected),
            }
        }
        Ok((used, Heard::More))
    }

    fn ask_again(&mut self) {
        self.change_due = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::epoch::{HEAL_WINDOW, PROBE_INTERVAL};

    const LOOK: &str = "mg tandem:epoch k v c\r\n";

    fn probe(watch: &mut Watch, now: Instant, dialogue: &[(String, &str)]) -> Found {
        let mut probe = Probe::new(watch.clone(), EpochId::new(0xabc), Duty::default());
        for (question, answer) in dialogue {
            let mut out = Vec::new();
            probe.ask(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), *question);
            let heard = probe.hear(answer.as_bytes(), now).unwrap();
            assert_eq!(heard, (answer.len(), Heard::Answered));
        }
        let mut out = Vec::new();
        probe.ask(&mut out);
        assert!(out.is_empty(), "nothing more to ask");
        let found = probe.found();
        *watch = found.watch.clone();
        found
    }

    #[test]
    fn an_absent_marker_is_added_and_read_back() {
        let add = format!("ms tandem:epoch 18 ME\r\nH 0000000000000abc\r\n{LOOK}");
        let dialogue = [
            (LOOK.to_owned(), "EN ktandem:epoch\r\n"),
            (add, "HD\r\nVA 18 ktandem:epoch c7\r\nH 0000000000000abc\r\n"),
        ];
        let found = probe(&mut Watch::new(), Instant::now(), &dialogue);
        assert_eq!(found.marker, Marker::Healing(EpochId::new(0xabc)));
        assert!(found.publish);
    }

    #[test]
    fn another_nodes_marker_is_accepted_when_it_was_quicker() {
        let add = format!("ms tandem:epoch 18 ME\r\nH 0000000000000abc\r\n{LOOK}");
        let dialogue = [
            (LOOK.to_owned(), "EN ktandem:epoch\r\n"),
            (add, "NS\r\nVA 18 ktandem:epoch c7\r\nH 0000000000000def\r\n"),
        ];
        let found = probe(&mut Watch::new(), Instant::now(), &dialogue);
        assert_eq!(found.marker, Marker::Healing(EpochId::new(0xdef)));
        assert!(found.publish);
    }

    #[test]
    fn healing_is_ended_under_the_cas_that_was_read() {
        let (mut watch, start) = (Watch::new(), Instant::now());
        let healing = "VA 18 ktandem:epoch c7\r\nH 0000000000000def\r\n";
        let mut now = start;
        while now < start + HEAL_WINDOW {
            probe(&mut watch, now, &[(LOOK.to_owned(), healing)]);
            now += PROBE_INTERVAL;
        }
        let finish = format!("ms tandem:epoch 18 C7\r\nR 0000000000000def\r\n{LOOK}");
        let dialogue = [
            (LOOK.to_owned(), healing),
            (finish, "HD\r\nVA 18 ktandem:epoch c8\r\nR 0000000000000def\r\n"),
        ];
        let found = probe(&mut watch, now, &dialogue);
        assert!(found.healed && !found.publish && found.watch.is_ready());
    }

    #[test]
    fn a_garbled_marker_is_replaced_under_its_cas() {
        let replace = format!("ms tandem:epoch 18 C9\r\nH 0000000000000abc\r\n{LOOK}");
        let dialogue = [
            (LOOK.to_owned(), "VA 2 ktandem:epoch c9\r\nhi\r\n"),
            (replace, "HD\r\nVA 18 ktandem:epoch c10\r\nH 0000000000000abc\r\n"),
        ];
        assert!(probe(&mut Watch::new(), Instant::now(), &dialogue).publish);
    }

    #[test]
    fn a_server_without_room_for_the_marker_is_asked_a_few_times_and_no_more() {
        let add = format!("ms tandem:epoch 18 ME\r\nH 0000000000000abc\r\n{LOOK}");
        let full = "SERVER_ERROR out of memory storing object\r\nEN ktandem:epoch\r\n";
        let dialogue =
            [(LOOK.to_owned(), "EN\r\n"), (add.clone(), full), (add.clone(), full), (add, full)];
        let found = probe(&mut Watch::new(), Instant::now(), &dialogue);
        assert_eq!(found.marker, Marker::Absent);
    }
}
