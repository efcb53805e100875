//! What a server answers.

use crate::line::{parse_data_len, parse_number, push_number, take_data, take_line, take_word};
use crate::{Error, Flags, Key};

/// One answer to a meta command.
///
/// # Examples
///
/// ```
/// use memcache_proto::Response;
///
/// let buf = b"VA 7 c18\r\nserverA\r\nEN\r\n";
/// let (response, len) = Response::decode(buf)?.expect("a whole answer");
/// let Response::Value { flags, data } = response else { panic!("a hit") };
/// assert_eq!((data, flags.number(b'c')), (&b"serverA"[..], Some(18)));
/// assert!(matches!(Response::decode(&buf[len..])?, Some((Response::Miss { .. }, 4))));
/// # Ok::<(), memcache_proto::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Response<'a> {
    /// `VA`: a hit, with its value.
    Value {
        /// What was asked for by flag.
        flags: Flags<'a>,
        /// The value.
        data: &'a [u8],
    },
    /// `HD`: done, or a hit whose value was not asked for.
    Done {
        /// What was asked for by flag.
        flags: Flags<'a>,
    },
    /// `EN`: `mg` found nothing.
    Miss {
        /// What was asked for by flag.
        flags: Flags<'a>,
    },
    /// `NS`: not stored: something is there already, or (replace, append) nothing is.
    NotStored {
        /// What was asked for by flag.
        flags: Flags<'a>,
    },
    /// `EX`: the CAS number is another: somebody wrote it meanwhile.
    Exists {
        /// What was asked for by flag.
        flags: Flags<'a>,
    },
    /// `NF`: there is nothing to change.
    NotFound {
        /// What was asked for by flag.
        flags: Flags<'a>,
    },
    /// `MN`: the answer to `mn`.
    NoOp,
    /// `ME`: an item's inner life, for debugging.
    Debug {
        /// Whose.
        key: Key<'a>,
        /// `name=value` words, as sent.
        text: &'a [u8],
    },
    /// A number alone: what `incr` and `decr` answer. `ma` answers `HD` or `VA`, for which
    /// [`Response::number`] gives the number.
    Number(u64),
    /// `ERROR`: the command is not known; or the server wants no more connections, and says so.
    Error(&'a [u8]),
    /// `CLIENT_ERROR`: the command is wrong.
    ClientError(&'a [u8]),
    /// `SERVER_ERROR`: the server cannot.
    ServerError(&'a [u8]),
}

impl<'a> Response<'a> {
    /// The number that a counting command answered.
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        match *self {
            Self::Number(number) => Some(number),
            Self::Value { data, .. } => parse_number(data),
            _ => None,
        }
    }

    /// Appends the answer to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Value { flags, data } => {
                out.extend_from_slice(b"VA ");
                push_number(out, data.len() as u64);
                flags.encode(out);
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(data);
            }
            Self::Done { flags } => flagged(out, b"HD", flags),
            Self::Miss { flags } => flagged(out, b"EN", flags),
            Self::NotStored { flags } => flagged(out, b"NS", flags),
            Self::Exists { flags } => flagged(out, b"EX", flags),
            Self::NotFound { flags } => flagged(out, b"NF", flags),
            Self::NoOp => out.extend_from_slice(b"MN"),
            Self::Debug { key, text } => {
                out.extend_from_slice(b"ME ");
                out.extend_from_slice(key.as_bytes());
                said(out, text);
            }
            Self::Number(number) => push_number(out, number),
            Self::Error(text) => {
                out.extend_from_slice(b"ERROR");
                said(out, text);
            }
            Self::ClientError(text) => {
                out.extend_from_slice(b"CLIENT_ERROR");
                said(out, text);
            }
            Self::ServerError(text) => {
                out.extend_from_slice(b"SERVER_ERROR");
                said(out, text);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Decodes one answer from the front of `buf`.
    ///
    /// Returns it and its length in bytes, or `None` if `buf` ends within it. Nothing is copied
    /// and nothing allocated.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: no further input can make `buf` valid.
    pub fn decode(buf: &'a [u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some(line) = take_line(buf)? else { return Ok(None) };
        if !line.crlf {
            return Err(Error::BadLineEnd);
        }
        let (code, rest) = take_word(line.text).ok_or(Error::UnknownReply)?;
        let response = match code {
            b"VA" => {
                let (len, rest) = take_word(rest).ok_or(Error::Incomplete)?;
                let (len, flags) = (parse_data_len(len)?, Flags::parse(rest)?);
                let Some(data) = take_data(&buf[line.len..], len)? else { return Ok(None) };
                return Ok(Some((Self::Value { flags, data }, line.len + len + 2)));
            }
            b"HD" => Self::Done { flags: Flags::parse(rest)? },
            b"EN" => Self::Miss { flags: Flags::parse(rest)? },
            b"NS" => Self::NotStored { flags: Flags::parse(rest)? },
            b"EX" => Self::Exists { flags: Flags::parse(rest)? },
            b"NF" => Self::NotFound { flags: Flags::parse(rest)? },
            b"MN" if rest.is_empty() => Self::NoOp,
            b"ME" => {
                let (key, text) = take_word(rest).ok_or(Error::Incomplete)?;
                Self::Debug { key: Key::new(key)?, text: text.trim_ascii_start() }
            }
            b"ERROR" => Self::Error(rest.trim_ascii_start()),
            b"CLIENT_ERROR" => Self::ClientError(rest.trim_ascii_start()),
            b"SERVER_ERROR" => Self::ServerError(rest.trim_ascii_start()),
            digits if rest.is_empty() => {
                Self::Number(parse_number(digits).ok_or(Error::UnknownReply)?)
            }
            _ => return Err(Error::UnknownReply),
        };
        Ok(Some((response, line.len)))
    }
}

fn flagged(out: &mut Vec<u8>, code: &[u8], flags: Flags<'_>) {
    out.extend_from_slice(code);
    flags.encode(out);
}

/// Appends a text for people, which must stay on its line.
fn said(out: &mut Vec<u8>, text: &[u8]) {
    if !text.is_empty() {
        out.push(b' ');
        out.extend(text.iter().map(|&byte| if byte < b' ' { b' ' } else { byte }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_an_error_as_soon_as_its_line_ends() {
        assert_eq!(Response::decode(b"HTTP/1.1 400 Bad Request\r\n"), Err(Error::UnknownReply));
        assert_eq!(Response::decode(b"\r\n"), Err(Error::UnknownReply));
        assert_eq!(Response::decode(b"HD\n"), Err(Error::BadLineEnd));
        assert_eq!(Response::decode(b"VA\r\n"), Err(Error::Incomplete));
        assert_eq!(Response::decode(b"VA -1\r\n"), Err(Error::BadNumber));
        assert_eq!(Response::decode(b"VA 2\r\nabc\r\n"), Err(Error::BadDataEnd));
    }

    #[test]
    fn both_forms_of_counting_give_the_number() {
        assert_eq!(Response::Number(14).number(), Some(14));
        let hit = Response::Value { flags: Flags::NONE, data: b"12" };
        assert_eq!(hit.number(), Some(12));
        assert_eq!(Response::NoOp.number(), None);
    }

    #[test]
    fn a_servers_text_stays_on_its_line() {
        let mut out = Vec::new();
        Response::ServerError(b"out of memory\r\nHD").encode(&mut out);
        assert_eq!(out, b"SERVER_ERROR out of memory  HD\r\n");
    }
}
