//! Answers of the older commands: lines, and an `END`.

use std::borrow::Cow;

use crate::Error;
use crate::line::{parse_number, push_number, take_line};

/// One line of an answer to `version`, `stats` or `lru_crawler metadump hash`.
///
/// # Examples
///
/// ```
/// use memcache_proto::LineReply;
///
/// let buf = b"key=k%25 exp=-1 la=1 cas=2 fetch=no cls=1 size=62\nEND\r\n";
/// let (line, len) = LineReply::decode(buf)?.expect("a whole line");
/// assert!(matches!(line, LineReply::Item { key, expires: None, .. } if *key == *b"k%"));
/// assert_eq!(LineReply::decode(&buf[len..])?, Some((LineReply::End, 5)));
/// # Ok::<(), memcache_proto::Error>(())
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum LineReply<'a> {
    /// `VERSION`, and which.
    Version(&'a [u8]),
    /// `STAT`, a name and its value.
    Stat {
        /// Which.
        name: &'a [u8],
        /// How much.
        value: &'a [u8],
    },
    /// A dumped item.
    Item {
        /// Its key, decoded: any bytes. Copied only if it held something to decode.
        key: Cow<'a, [u8]>,
        /// When it expires, in seconds since 1970; `None` is never.
        expires: Option<u64>,
        /// The other words, as sent.
        rest: &'a [u8],
    },
    /// `END`: nothing follows.
    End,
    /// `OK`: a dump begins. Releases before the summer of 2026 do not say it.
    Begun,
    /// `BUSY`: another client's dump is under way.
    Busy,
    /// `ERROR`, `CLIENT_ERROR` or `SERVER_ERROR`, with their text.
    Refused(&'a [u8]),
}

impl<'a> LineReply<'a> {
    /// Appends the line to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Version(version) => out.extend_from_slice(&[b"VERSION ", *version].concat()),
            Self::Stat { name, value } => {
                out.extend_from_slice(&[b"STAT ", *name, b" ", *value].concat());
            }
            Self::Item { key, expires, rest } => {
                encode_item(out, key, *expires, rest);
                return;
            }
            Self::End => out.extend_from_slice(b"END"),
            Self::Begun => out.extend_from_slice(b"OK"),
            Self::Busy => out.extend_from_slice(b"BUSY currently processing crawler request"),
            Self::Refused(text) => out.extend_from_slice(text),
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Decodes one line from the front of `buf`.
    ///
    /// Returns it and its length in bytes, or `None` if `buf` ends within it.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: no further input can make `buf` valid.
    pub fn decode(buf: &'a [u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some(line) = take_line(buf)? else { return Ok(None) };
        let text = line.text;
        // memcached ends the lines of a dump with LF alone, and every other with CR LF.
        if let Some(item) = text.strip_prefix(b"key=") {
            return Ok(Some((decode_item(item)?, line.len)));
        }
        if !line.crlf {
            return Err(Error::BadLineEnd);
        }
        let reply = if text == b"END" {
            Self::End
        } else if text == b"OK" {
            Self::Begun
        } else if let Some(version) = text.strip_prefix(b"VERSION ") {
            Self::Version(version)
        } else if let Some(stat) = text.strip_prefix(b"STAT ") {
            let blank = stat.iter().position(|&byte| byte == b' ').ok_or(Error::Incomplete)?;
            Self::Stat { name: &stat[..blank], value: &stat[blank + 1..] }
        } else if text.starts_with(b"BUSY") {
            Self::Busy
        } else if is_refusal(text) {
            Self::Refused(text)
        } else {
            return Err(Error::UnknownReply);
        };
        Ok(Some((reply, line.len)))
    }
}

fn is_refusal(text: &[u8]) -> bool {
    text.starts_with(b"ERROR")
        || text.starts_with(b"CLIENT_ERROR")
        || text.starts_with(b"SERVER_ERROR")
}

fn decode_item(text: &[u8]) -> Result<LineReply<'_>, Error> {
    let (key, after) = split_word(text).ok_or(Error::Incomplete)?;
    let (expires, rest) = split_word(after).ok_or(Error::Incomplete)?;
    let expires = match expires.strip_prefix(b"exp=").ok_or(Error::Incomplete)? {
        b"-1" => None,
        digits => Some(parse_number(digits).ok_or(Error::BadNumber)?),
    };
    // Other clients have keys that no Key can be (`mg ... b`): they are listed like any other.
    let key = uri_decode(key)?;
    Ok(LineReply::Item { key, expires, rest })
}

/// Splits at the first blank, which must be there.
fn split_word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = text.iter().position(|&byte| byte == b' ')?;
    Some((&text[..blank], &text[blank + 1..]))
}

fn encode_item(out: &mut Vec<u8>, key: &[u8], expires: Option<u64>, rest: &[u8]) {
    out.extend_from_slice(b"key=");
    for &byte in key {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte);
        } else {
            out.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    out.extend_from_slice(b" exp=");
    match expires {
        Some(seconds) => push_number(out, seconds),
        None => out.extend_from_slice(b"-1"),
    }
    out.push(b' ');
    out.extend_from_slice(rest);
    out.push(b'\n');
}

fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'A' + nibble - 10 }
}

fn unhex(digit: u8) -> Result<u8, Error> {
    (digit as char).to_digit(16).map(|nibble| nibble as u8).ok_or(Error::BadEncoding)
}

fn uri_decode(text: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    if !text.contains(&b'%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut key = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            key.push(byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(Error::BadEncoding) };
        key.push(unhex(*high)? << 4 | unhex(*low)?);
        rest = after;
    }
    Ok(Cow::Owned(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_encoding_is_an_error() {
        for key in ["%2", "%", "%zz", "a%2"] {
            let line = format!("key={key} exp=-1 la=1\n");
            assert_eq!(LineReply::decode(line.as_bytes()), Err(Error::BadEncoding), "{key}");
        }
    }

    #[test]
    fn a_key_that_no_command_of_ours_could_have_set_is_listed_all_the_same() {
        let line = LineReply::decode(b"key=a%0Ab exp=-1 x\n").unwrap();
        assert!(matches!(line, Some((LineReply::Item { key, .. }, _)) if *key == *b"a\nb"));
    }

    #[test]
    fn refusals_keep_their_text() {
        let (line, _) =
            LineReply::decode(b"CLIENT_ERROR lru crawler disabled\r\n").unwrap().unwrap();
        assert_eq!(line, LineReply::Refused(b"CLIENT_ERROR lru crawler disabled"));
        let (line, _) = LineReply::decode(b"BUSY currently processing\r\n").unwrap().unwrap();
        assert_eq!(line, LineReply::Busy);
    }
}
