//! What a real Asterisk 22 said (`recording.ami`, made by `record.rs`), taken apart so that it can be said again of
//! other phones and other calls.
//!
//! Whatever names the two phones, their call's channels or where they are is a [`Name`], and gets another value each
//! time; single headers can be set besides. All the rest is as it was recorded: which messages come, in which order,
//! and with which headers.

use std::collections::BTreeMap;

/// The phone that calls, in the recording.
pub(super) const CALLER: &str = "70411";
/// The phone that is called.
pub(super) const CALLED: &str = "70422";

const RECORDING: &str = include_str!("recording.ami");

/// What another telling names otherwise.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Name {
    CallerChannel,
    CalledChannel,
    CallerId,
    CalledId,
    Bridge,
    CallerAddress,
    CalledAddress,
    /// The user part of a contact's address.
    CallerUser,
    CalledUser,
    Caller,
    Called,
    /// `systemname` of the server: a value of its own, and in front of each `Uniqueid`.
    System,
}

/// How the things of one telling are called, in the order of [`Name`].
pub(super) type Names = [String; NAMES];
pub(super) const NAMES: usize = 12;

/// One of the recorded messages.
#[derive(Clone, Debug)]
pub(super) struct Template {
    headers: Vec<(String, Vec<Part>)>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Plain(String),
    Named(Name),
}

/// What was recorded after a question, or while something happened.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    Said(Template),
    /// Nothing was said for a while: what follows is another burst.
    Pause,
}

#[derive(Debug)]
pub(super) struct Recording {
    sections: BTreeMap<String, Vec<Piece>>,
}

impl Recording {
    pub(super) fn new() -> Self {
        let names = recorded_names();
        let mut sections: BTreeMap<String, Vec<Piece>> = BTreeMap::new();
        let mut section = String::new();
        for block in RECORDING.split("\n\n").map(str::trim).filter(|block| !block.is_empty()) {
            match block.strip_prefix("@ ") {
                Some(pause) if pause.starts_with("pause ") => {
                    sections.entry(section.clone()).or_default().push(Piece::Pause);
                }
                Some(name) => {
                    section = name.to_owned();
                    sections.entry(section.clone()).or_default();
                }
                None => {
                    let template = Template::new(block, &names);
                    sections.entry(section.clone()).or_default().push(Piece::Said(template));
                }
            }
        }
        Self { sections }
    }

    /// Whether this was asked when it was recorded.
    pub(super) fn has(&self, section: &str) -> bool {
        self.sections.contains_key(section)
    }

    /// Everything of a section.
    ///
    /// # Panics
    ///
    /// If it was not recorded.
    pub(super) fn section(&self, name: &str) -> &[Piece] {
        self.sections.get(name).unwrap_or_else(|| panic!("no section '{name}' was recorded"))
    }

    /// The messages of a section.
    pub(super) fn messages(&self, section: &str) -> impl Iterator<Item = &Template> {
        self.section(section).iter().filter_map(|piece| match piece {
            Piece::Said(template) => Some(template),
            Piece::Pause => None,
        })
    }

    /// The answer to an action: what begins with `Response`.
    pub(super) fn response(&self, action: &str) -> Option<&Template> {
        self.messages(action).find(|message| message.headers[0].0 == "Response")
    }

    /// The first item of this kind in the list that answers an action.
    ///
    /// # Panics
    ///
    /// If none was recorded.
    pub(super) fn item(&self, action: &str, event: &str) -> &Template {
        let found = self.messages(action).find(|message| message.event() == event);
        found.unwrap_or_else(|| panic!("no {event} was recorded for {action}"))
    }

    /// The end of the list that answers an action, if a list does.
    pub(super) fn end(&self, action: &str) -> Option<&Template> {
        self.messages(action).find(|message| message.plain("EventList") == Some("Complete"))
    }

    /// The greeting's line, as it came.
    pub(super) fn greeting(&self) -> String {
        let line = RECORDING.lines().find(|line| line.starts_with("Asterisk Call Manager/"));
        format!("{}\r\n", line.unwrap_or_default())
    }
}

impl Template {
    fn new(block: &str, names: &Names) -> Self {
        let lines = block.lines().map(|line| line.split_once(':').unwrap_or((line, "")));
        let headers = lines.map(|(name, value)| match name {
            "SystemName" => (name.to_owned(), vec![Part::Named(Name::System)]),
            _ => (name.to_owned(), parts(value.trim(), names)),
        });
        Self { headers: headers.collect() }
    }

    /// The event's name, or nothing.
    pub(super) fn event(&self) -> &str {
        self.plain("Event").unwrap_or_default()
    }

    /// A value without a name in it.
    pub(super) fn plain(&self, name: &str) -> Option<&str> {
        match self.parts(name)? {
            [] => Some(""),
            [Part::Plain(value)] => Some(value),
            _ => None,
        }
    }

    /// Whether the value is this name and nothing else.
    pub(super) fn is(&self, header: &str, name: Name) -> bool {
        self.parts(header) == Some(&[Part::Named(name)])
    }

    /// Whether the name is in the value.
    pub(super) fn has(&self, header: &str, name: Name) -> bool {
        self.parts(header).is_some_and(|parts| parts.contains(&Part::Named(name)))
    }

    fn parts(&self, header: &str) -> Option<&[Part]> {
        let found = self.headers.iter().find(|(name, _)| name == header);
        found.map(|(_, parts)| parts.as_slice())
    }

    /// Says it of these things; headers that are in `set` have that value.
    pub(super) fn say(
        &self,
        out: &mut Vec<u8>,
        action_id: Option<&str>,
        names: &Names,
        set: &[(&str, &str)],
    ) {
        for (at, (name, parts)) in self.headers.iter().enumerate() {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            match set.iter().find(|(header, _)| header == name) {
                Some((_, value)) => out.extend_from_slice(value.as_bytes()),
                None => {
                    for part in parts {
                        out.extend_from_slice(match part {
                            Part::Plain(text) => text.as_bytes(),
                            Part::Named(name) => names[*name as usize].as_bytes(),
                        });
                    }
                }
            }
            out.extend_from_slice(b"\r\n");
            if let (0, Some(id)) = (at, action_id) {
                out.extend_from_slice(b"ActionID: ");
                out.extend_from_slice(id.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

const ALL: [Name; NAMES] = [
    Name::CallerChannel,
    Name::CalledChannel,
    Name::CallerId,
    Name::CalledId,
    Name::Bridge,
    Name::CallerAddress,
    Name::CalledAddress,
    Name::CallerUser,
    Name::CalledUser,
    Name::Caller,
    Name::Called,
    Name::System,
];

/// What they are called in the recording.
fn recorded_names() -> Names {
    let call = RECORDING.split("@ call begins").nth(1).unwrap_or_default();
    let value = |text: &str, header: &str| {
        let mut values =
            text.lines().filter_map(|line| line.strip_prefix(header)?.strip_prefix(": "));
        values.next().unwrap_or_default().to_owned()
    };
    let mut channels = call.split("\n\n").filter(|block| block.contains("Event: Newchannel\n"));
    let (from, to) = (channels.next().unwrap_or_default(), channels.next().unwrap_or_default());
    let contacts = RECORDING.split("@ PJSIPShowContacts").nth(1).unwrap_or_default();
    let contact = |number: &str| {
        let mut blocks = contacts.split("\n\n");
        let contact = blocks.find(|block| block.contains(&format!("Endpoint: {number}\n")));
        let contact = contact.unwrap_or_default();
        let uri = value(contact, "Uri");
        let user = uri.split(['@', ':']).nth(1).unwrap_or_default().to_owned();
        (value(contact, "ViaAddr"), user)
    };
    let ((caller_address, caller_user), (called_address, called_user)) =
        (contact(CALLER), contact(CALLED));
    [
        value(from, "Channel"),
        value(to, "Channel"),
        value(from, "Uniqueid"),
        value(to, "Uniqueid"),
        value(call, "BridgeUniqueid"),
        caller_address,
        called_address,
        caller_user,
        called_user,
        CALLER.to_owned(),
        CALLED.to_owned(),
        // Too short to be looked for.
        String::new(),
    ]
}

fn parts(value: &str, names: &Names) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), value);
    loop {
        // Of two that begin at the same place the first of the list is the longer one.
        let places = ALL.iter().filter_map(|&name| {
            let text = names[name as usize].as_str();
            rest.find(text).filter(|_| !text.is_empty()).map(|at| (at, name))
        });
        match places.min_by_key(|&(at, name)| (at, name as usize)) {
            Some((at, name)) => {
                if at > 0 {
                    parts.push(Part::Plain(rest[..at].to_owned()));
                }
                parts.push(Part::Named(name));
                rest = &rest[at + names[name as usize].len()..];
            }
            None => {
                if !rest.is_empty() {
                    parts.push(Part::Plain(rest.to_owned()));
                }
                return parts;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ami_proto::{Decoder, Frame};

    use super::*;

    fn others() -> Names {
        ["A-1", "B-1", "x-1.1", "x-1.2", "bridge", "10.0.0.1", "10.0.0.2", "1", "2", "1", "2", "x"]
            .map(str::to_owned)
    }

    #[test]
    fn what_was_recorded_can_be_said_of_others_and_names_nobody_else() {
        let recording = Recording::new();
        let mut decoder = Decoder::without_greeting();
        let mut said = Vec::new();
        let mut count = 0;
        for section in recording.sections.keys() {
            for message in recording.messages(section) {
                message.say(&mut said, Some("id-1"), &others(), &[]);
                count += 1;
            }
        }
        for name in &recorded_names()[..NAMES - 1] {
            let is_left = said.windows(name.len()).any(|part| part == name.as_bytes());
            assert!(!name.is_empty() && !is_left, "{name:?}");
        }
        decoder.feed(&said).unwrap();
        while let Some(Frame::Message(message)) = decoder.poll().unwrap() {
            assert_eq!(message.get("ActionID"), Some(&b"id-1"[..]));
            count -= 1;
        }
        assert_eq!(count, 0);
    }

    #[test]
    fn a_header_that_is_set_has_that_value_and_all_others_are_as_recorded() {
        let recording = Recording::new();
        let item = recording.item("PJSIPShowContacts", "ContactList");
        let mut said = Vec::new();
        item.say(&mut said, None, &others(), &[("Status", "Unreachable")]);
        let mut decoder = Decoder::without_greeting();
        decoder.feed(&said).unwrap();
        let Some(Frame::Message(message)) = decoder.poll().unwrap() else { panic!("a message") };
        assert_eq!(message.get("Status"), Some(&b"Unreachable"[..]));
        assert_eq!(message.get("Endpoint"), Some(&b"1"[..]));
        assert_eq!(message.get("ViaAddr"), Some(&b"10.0.0.1"[..]));
        assert_eq!(message.len(), item.headers.len());
    }
}
