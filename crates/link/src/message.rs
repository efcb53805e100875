//! A message of AMI as JSON: a list of names and values, for names repeat and their order matters.

use std::borrow::Cow;

use ami_proto::OwnedMessage;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{SerializeSeq as _, Serializer};

pub(crate) fn serialize<S: Serializer>(message: &OwnedMessage, to: S) -> Result<S::Ok, S::Error> {
    let headers = message.as_message().headers();
    let mut list = to.serialize_seq(Some(headers.len()))?;
    for header in headers {
        let pair = (String::from_utf8_lossy(header.name), String::from_utf8_lossy(header.value));
        list.serialize_element(&pair)?;
    }
    list.end()
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<OwnedMessage, D::Error> {
    let mut message = OwnedMessage::default();
    for (name, value) in Vec::<(String, String)>::deserialize(from)? {
        add(&mut message, name.as_bytes(), value.as_bytes());
    }
    Ok(message)
}

/// Adds a header, or a line without a name. What cannot be in one is marked as such: a caller's number
/// is whatever a phone says, with a carriage return in it too, and no phone is to end a session.
/// What is still none, for its name, is left out.
pub(crate) fn add(message: &mut OwnedMessage, name: &[u8], value: &[u8]) {
    const MARK: &str = "\u{fffd}";
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n' | 0);
    let value = match value.iter().any(is_end) {
        true => Cow::Owned(value.split(is_end).collect::<Vec<_>>().join(MARK.as_bytes())),
        false => Cow::Borrowed(value),
    };
    let _added = match name {
        b"" => message.push_text(value),
        name => message.push(name, value),
    };
}

/// The same for a message that may be missing.
pub(crate) mod optional {
    use super::{Deserializer, OwnedMessage, Serializer};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Present(#[serde(with = "super")] OwnedMessage);

    pub(crate) fn serialize<S: Serializer>(
        message: &Option<OwnedMessage>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        message.clone().map(Present).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<OwnedMessage>, D::Error> {
        Ok(Option::<Present>::deserialize(from)?.map(|present| present.0))
    }
}
