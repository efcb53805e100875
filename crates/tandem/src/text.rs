//! Bytes for people and for JSON: names and values may be anything.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What stands in a row's `encoding` if it is no text.
pub(crate) const BASE64_NAME: &str = "base64";

/// A text as it is; other bytes as base64, and the word that says so.
pub(crate) fn encode(bytes: &[u8]) -> (String, Option<&'static str>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(_) => (BASE64.encode(bytes), Some(BASE64_NAME)),
    }
}

/// The way back. `None` if the encoding is unknown, or the text not of that encoding.
pub(crate) fn decode(text: String, encoding: Option<&str>) -> Option<Vec<u8>> {
    match encoding {
        None => Some(text.into_bytes()),
        Some(BASE64_NAME) => BASE64.decode(text).ok(),
        Some(_) => None,
    }
}

/// With everything escaped that could make a terminal do something: control characters, those that turn the
/// direction of text, and bytes that are no text.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut safe = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\n' => safe.push_str("\\n"),
                '\r' => safe.push_str("\\r"),
                '\t' => safe.push_str("\\t"),
                letter if is_dangerous(letter) && letter.is_ascii() => {
                    let _ = write!(safe, "\\x{:02x}", u32::from(letter));
                }
                letter if is_dangerous(letter) => {
                    let _ = write!(safe, "\\u{{{:04x}}}", u32::from(letter));
                }
                letter => safe.push(letter),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(safe, "\\x{byte:02x}");
        }
    }
    safe
}

/// JSON with the dangerous characters escaped too that JSON allows raw. It says the same.
pub(crate) fn escaped_json(json: &str) -> String {
    if !json.contains(is_dangerous) {
        return json.to_owned();
    }
    let mut safe = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_dangerous(letter) {
            let _ = write!(safe, "\\u{:04x}", u32::from(letter));
        } else {
            safe.push(letter);
        }
    }
    safe
}

fn is_dangerous(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_and_other_bytes_come_back_from_base64() {
        for bytes in [&b"plain"[..], "zażółć".as_bytes(), b"\xff\0\x01", b""] {
            let (text, encoding) = encode(bytes);
            assert_eq!(encoding.is_some(), std::str::from_utf8(bytes).is_err());
            assert_eq!(decode(text, encoding).as_deref(), Some(bytes));
        }
        assert_eq!(decode("x".into(), Some("rot13")), None);
        assert_eq!(decode("*".into(), Some(BASE64_NAME)), None);
    }

    #[test]
    fn nothing_that_moves_a_terminal_is_left() {
        assert_eq!(escaped(b"\x1b]0;x\x07\n\xff\x7f"), "\\x1b]0;x\\x07\\n\\xff\\x7f");
        assert_eq!(escaped("\u{9b}31m\u{202e}ł".as_bytes()), "\\u{009b}31m\\u{202e}ł");
        assert_eq!(escaped_json("\"\u{9b}\u{7f}ł\""), "\"\\u009b\\u007fł\"");
    }
}
