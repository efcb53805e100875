//! The mailboxes of a server.
//!
//! `VoicemailUsersList` (`app_voicemail.c`) lists them with their counts, `MessageWaiting`
//! (`manager_mwi.c`) tells changes, and `MailboxCount` (`manager.c`) is for those that only an
//! endpoint names, for they may be another server's.

use std::collections::BTreeMap;

use ami_proto::Message;

use crate::limits::MAILBOXES_MAX;
use crate::log::Key;
use crate::text::{Text, key, number};
use crate::turn::{Mark, Turn};
use crate::view::MailboxView;

#[derive(Debug)]
struct Mailbox {
    shown: MailboxView,
    touched: Mark,
    listed: Option<Mark>,
}

#[derive(Debug, Default)]
pub(crate) struct Mailboxes {
    mailboxes: BTreeMap<Text, Mailbox>,
}

/// With its context: `voicemail.conf`'s is `default` if nothing is said.
pub(crate) fn name(name: &[u8]) -> Text {
    match name.contains(&b'@') {
        true => Text::new(name),
        false => Text::new(&[name, b"@default"].concat()),
    }
}

impl Mailboxes {
    pub(crate) fn views(&self) -> impl Iterator<Item = &MailboxView> {
        self.mailboxes.values().map(|mailbox| &mailbox.shown)
    }

    pub(crate) fn view(&self, id: &str) -> Option<&MailboxView> {
        self.mailboxes.get(id).map(|mailbox| &mailbox.shown)
    }

    /// Those that no list of users had.
    pub(crate) fn unlisted(&self) -> impl Iterator<Item = &Text> {
        self.mailboxes.iter().filter(|(_, mailbox)| mailbox.listed.is_none()).map(|(id, _)| id)
    }

    /// `MessageWaiting`.
    pub(crate) fn waiting(&mut self, message: Message<'_>, turn: &mut Turn<'_>) {
        let id = key(message, "Mailbox").map(|id| name(id.as_bytes()));
        self.set(id, number(message, "New"), number(message, "Old"), turn);
    }

    /// The answer to `MailboxCount`: `New` of the event has the urgent ones in it, this has not.
    pub(crate) fn count(&mut self, message: Message<'_>, turn: &mut Turn<'_>) {
        let id = key(message, "Mailbox").map(|id| name(id.as_bytes()));
        let urgent = number(message, "UrgMessages").unwrap_or(0);
        let new = number(message, "NewMessages").map(|new| new.saturating_add(urgent));
        self.set(id, new, number(message, "OldMessages"), turn);
    }

    /// `VoicemailUserEntry`.
    pub(crate) fn user(&mut self, message: Message<'_>, turn: &mut Turn<'_>) {
        let parts = (key(message, "VoiceMailbox"), key(message, "VMContext"));
        let id = parts.0.map(|number| match parts.1 {
            Some(context) => name(format!("{number}@{context}").as_bytes()),
            None => name(number.as_bytes()),
        });
        let (new, old) = (number(message, "NewMessageCount"), number(message, "OldMessageCount"));
        if let Some(mailbox) = self.set(id, new, old, turn) {
            mailbox.listed = turn.list();
        }
    }

    /// The list of users is whole.
    pub(crate) fn end_of_users(&mut self, turn: &mut Turn<'_>) {
        let Some(began) = turn.list() else { return };
        let lacking = self.mailboxes.iter().filter(|(_, mailbox)| {
            mailbox.listed.is_some_and(|listed| listed != began) && turn.wins(mailbox.touched)
        });
        for id in lacking.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.mailboxes.remove(&id);
            turn.compare(false);
            turn.gone(Key::Mailbox(id));
        }
    }

    fn set(
        &mut self,
        id: Option<Text>,
        new: Option<u64>,
        old: Option<u64>,
        turn: &mut Turn<'_>,
    ) -> Option<&mut Mailbox> {
        let (Some(id), Some(new), Some(old)) = (id, new, old) else {
            turn.out.left_out += 1;
            return None;
        };
        let is_full = self.mailboxes.len() >= MAILBOXES_MAX;
        if is_full && !self.mailboxes.contains_key(&id) {
            turn.out.left_out += 1;
            return None;
        }
        let view = MailboxView { id: id.clone(), new, old };
        let is_new = !self.mailboxes.contains_key(&id);
        let mailbox = self.mailboxes.entry(id.clone()).or_insert_with(|| Mailbox {
            shown: view.clone(),
            touched: Mark::default(),
            listed: None,
        });
        if turn.wins(mailbox.touched) {
            turn.compare(mailbox.shown == view);
            if is_new || mailbox.shown != view {
                turn.changed(Key::Mailbox(id));
            }
            mailbox.shown = view;
            turn.touch(&mut mailbox.touched);
        }
        Some(mailbox)
    }
}
