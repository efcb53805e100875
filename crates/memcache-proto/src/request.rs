//! What a client says.

use crate::line::{parse_data_len, push_number, take_data, take_line, take_word};
use crate::{Error, Flags, Key};

/// One command.
///
/// The flags that matter (`v` value, `c` CAS, `t` ttl, `k` key, `f` client flags, `O` opaque,
/// `q` quiet, `T` set ttl, `C` compare CAS, `I` invalidate, `E` explicit CAS, `x` drop the value,
/// `F` set client flags, `N` create on miss, `J` initial, `D` delta, `M` mode) and all others are
/// in [`Flags`].
///
/// # Examples
///
/// ```
/// use memcache_proto::{Flags, Key, Request};
///
/// let request = Request::Get { key: Key::new(b"PEER_200")?, flags: Flags::VALUE };
/// let mut out = Vec::new();
/// request.encode(&mut out);
/// assert_eq!(out, b"mg PEER_200 v\r\n");
/// assert_eq!(Request::decode(&out)?, Some((request, out.len())));
/// # Ok::<(), memcache_proto::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Request<'a> {
    /// `mg`: read.
    Get {
        /// Of what.
        key: Key<'a>,
        /// How.
        flags: Flags<'a>,
    },
    /// `ms`: store; [`Flags::set_mode`] says how.
    Set {
        /// Of what.
        key: Key<'a>,
        /// How.
        flags: Flags<'a>,
        /// The value; at most [`crate::DATA_MAX_BYTES`], or the other side refuses it.
        data: &'a [u8],
    },
    /// `md`: delete.
    Delete {
        /// Of what.
        key: Key<'a>,
        /// How.
        flags: Flags<'a>,
    },
    /// `ma`: count; [`Flags::arithmetic_mode`] says which way.
    Arithmetic {
        /// Of what.
        key: Key<'a>,
        /// How.
        flags: Flags<'a>,
    },
    /// `mn`: answer `MN`, so that the end of quiet replies can be told.
    NoOp,
    /// `version`: answered by [`crate::LineReply::Version`].
    Version,
    /// `stats`: answered by [`crate::LineReply::Stat`]s and an end.
    Stats,
    /// `lru_crawler metadump hash`: answered by [`crate::LineReply::Item`]s and an end.
    Metadump,
}

impl<'a> Request<'a> {
    /// Appends the command to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Get { key, flags } => keyed(out, b"mg ", key, flags),
            Self::Delete { key, flags } => keyed(out, b"md ", key, flags),
            Self::Arithmetic { key, flags } => keyed(out, b"ma ", key, flags),
            Self::Set { key, flags, data } => {
                out.extend_from_slice(b"ms ");
                out.extend_from_slice(key.as_bytes());
                out.push(b' ');
                push_number(out, data.len() as u64);
                flags.encode(out);
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            }
            Self::NoOp => out.extend_from_slice(b"mn\r\n"),
            Self::Version => out.extend_from_slice(b"version\r\n"),
            Self::Stats => out.extend_from_slice(b"stats\r\n"),
            Self::Metadump => out.extend_from_slice(b"lru_crawler metadump hash\r\n"),
        }
    }

    /// Decodes one command from the front of `buf`.
    ///
    /// Returns it and its length in bytes, or `None` if `buf` ends within it. As with memcached,
    /// a line may end with LF alone.
    ///
    /// # Errors
    ///
    /// Any [`Error`]: no further input can make `buf` valid. Answer and close; going on would
    /// read the data of a refused `ms` as commands.
    pub fn decode(buf: &'a [u8]) -> Result<Option<(Self, usize)>, Error> {
        let Some(line) = take_line(buf)? else { return Ok(None) };
        let (command, rest) = take_word(line.text).ok_or(Error::UnknownCommand)?;
        let request = match command {
            b"mg" => {
                let (key, flags) = key_and_flags(rest)?;
                Self::Get { key, flags }
            }
            b"md" => {
                let (key, flags) = key_and_flags(rest)?;
                Self::Delete { key, flags }
            }
            b"ma" => {
                let (key, flags) = key_and_flags(rest)?;
                Self::Arithmetic { key, flags }
            }
            b"ms" => return decode_set(rest, &buf[line.len..], line.len),
            b"mn" => nothing_more(rest, Self::NoOp)?,
            b"version" => nothing_more(rest, Self::Version)?,
            b"stats" => nothing_more(rest, Self::Stats)?,
            b"lru_crawler" if rest == b" metadump hash" => Self::Metadump,
            _ => return Err(Error::UnknownCommand),
        };
        Ok(Some((request, line.len)))
    }
}

fn keyed(out: &mut Vec<u8>, command: &[u8], key: Key<'_>, flags: Flags<'_>) {
    out.extend_from_slice(command);
    out.extend_from_slice(key.as_bytes());
    flags.encode(out);
    out.extend_from_slice(b"\r\n");
}

fn key_and_flags(text: &[u8]) -> Result<(Key<'_>, Flags<'_>), Error> {
    let (key, rest) = take_word(text).ok_or(Error::Incomplete)?;
    Ok((Key::new(key)?, Flags::parse(rest)?))
}

fn nothing_more<'a>(rest: &[u8], request: Request<'a>) -> Result<Request<'a>, Error> {
    if take_word(rest).is_some() { Err(Error::Surplus) } else { Ok(request) }
}

fn decode_set<'a>(
    text: &'a [u8],
    after: &'a [u8],
    line_len: usize,
) -> Result<Option<(Request<'a>, usize)>, Error> {
    let (key, rest) = take_word(text).ok_or(Error::Incomplete)?;
    let (len, rest) = take_word(rest).ok_or(Error::Incomplete)?;
    let (key, len, flags) = (Key::new(key)?, parse_data_len(len)?, Flags::parse(rest)?);
    let Some(data) = take_data(after, len)? else { return Ok(None) };
    Ok(Some((Request::Set { key, flags, data }, line_len + len + 2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DATA_MAX_BYTES, KeyError, LINE_MAX_BYTES};

    #[test]
    fn a_bad_key_is_an_error_and_not_another_command() {
        let long = [b"mg ".as_slice(), &[b'k'; 251], b" v\r\n"].concat();
        let error = Request::decode(&long).unwrap_err();
        assert_eq!(error, Error::BadKey(KeyError::TooLong { len: 251 }));
        assert_eq!(Request::decode(b"mg \r\n"), Err(Error::Incomplete));
        assert!(Request::decode(b"mg a\tb v\r\n").is_err());
    }

    #[test]
    fn what_has_no_bound_is_refused_before_it_is_read() {
        assert_eq!(Request::decode(&[b'm'; LINE_MAX_BYTES]), Err(Error::LineTooLong));
        let huge = format!("ms a {}\r\n", DATA_MAX_BYTES + 1);
        let error = Error::DataTooLong { len: DATA_MAX_BYTES as u64 + 1 };
        assert_eq!(Request::decode(huge.as_bytes()), Err(error));
        let error = Error::BadNumber;
        assert_eq!(Request::decode(b"ms a 99999999999999999999\r\n"), Err(error));
        assert_eq!(Request::decode(b"ms a S5\r\n"), Err(error));
    }

    #[test]
    fn data_that_does_not_end_where_it_said_is_an_error() {
        assert_eq!(Request::decode(b"ms a 2\r\nabc\r\n"), Err(Error::BadDataEnd));
        assert_eq!(Request::decode(b"ms a 2\r\nab\n"), Err(Error::BadDataEnd));
    }

    #[test]
    fn unknown_commands_are_said_to_be_so() {
        assert_eq!(Request::decode(b"flush_all\r\n"), Err(Error::UnknownCommand));
        assert_eq!(Request::decode(b"\r\n"), Err(Error::UnknownCommand));
        assert_eq!(Request::decode(b"mn x\r\n"), Err(Error::Surplus));
    }

    #[test]
    fn a_person_with_netcat_is_understood() {
        let (request, len) = Request::decode(b"mg  a  v\n").unwrap().unwrap();
        let key = Key::new(b"a").unwrap();
        assert_eq!((request, len), (Request::Get { key, flags: Flags::VALUE }, 9));
    }
}
