//! Text out of bytes from the network: lossy, bounded, and cheap to copy.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use ami_proto::Message;
use serde::{Serialize, Serializer};

use crate::limits::TEXT_MAX_BYTES;

/// At most [`TEXT_MAX_BYTES`] of what a server said.
///
/// Bytes that are not UTF-8 became U+FFFD. Control and bidirectional characters are kept, for they
/// are data: whoever shows it escapes it.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct Text(Arc<str>);

impl Text {
    /// As much of `bytes` as may be kept.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        // A character that begins within the bound may end three bytes later.
        let some = &bytes[..bytes.len().min(TEXT_MAX_BYTES + 3)];
        let text = String::from_utf8_lossy(some);
        Self(text[..text.floor_char_boundary(TEXT_MAX_BYTES)].into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A header that says something: `<unknown>` is what `manager_channels.c` prints for nothing.
pub(crate) fn text(message: Message<'_>, name: &str) -> Option<Text> {
    let value = message.get(name)?;
    (!value.is_empty() && value != b"<unknown>").then(|| Text::new(value))
}

/// A caller's name, which `manager_channels.c` prints with the escapes of C (`ast_escape_c`).
pub(crate) fn caller_name(message: Message<'_>, name: &str) -> Option<Text> {
    let value = message.get(name).filter(|value| *value != b"<unknown>")?;
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' => bytes.next().map_or(byte, unescape),
            _ => byte,
        });
    }
    (!plain.is_empty()).then(|| Text::new(&plain))
}

fn unescape(letter: u8) -> u8 {
    match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        // A quotation mark, an apostrophe, a question mark or a backslash.
        itself => itself,
    }
}

/// A header that is to be a key: cut, it could be another's.
pub(crate) fn key(message: Message<'_>, name: &str) -> Option<Text> {
    message.get(name).filter(|value| value.len() <= TEXT_MAX_BYTES)?;
    text(message, name)
}

/// A header that is a number.
pub(crate) fn number(message: Message<'_>, name: &str) -> Option<u64> {
    std::str::from_utf8(message.get(name)?).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_what_is_not_text_is_marked() {
        assert_eq!(Text::new(b"caf\xc3\xa9 \xff").as_str(), "caf\u{e9} \u{fffd}");
        let long = "\u{e9}".repeat(TEXT_MAX_BYTES);
        assert_eq!(Text::from(long.as_str()).len(), TEXT_MAX_BYTES);
        assert_eq!(Text::new(&[0xff; 2000]).len(), TEXT_MAX_BYTES / 3 * 3);
        assert_eq!(Text::from("a\u{202e}b\x07").as_str(), "a\u{202e}b\x07");
    }
}
