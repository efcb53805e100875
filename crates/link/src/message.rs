//! A message of AMI as JSON: a list of names and values, for names repeat and their order matters.

use ami_proto::OwnedMessage;
use serde::de::{Deserialize, Deserializer, Error as _};
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
        let pushed = match name.as_str() {
            "" => message.push_text(&value),
            name => message.push(name, &value),
        };
        pushed.map_err(D::Error::custom)?;
    }
    Ok(message)
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
