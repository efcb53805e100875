//! Every message survives a round trip, no strict prefix of one is an error, and no bytes
//! whatever make a decoder panic.

use std::borrow::Cow;

use memcache_proto::{FlagBuf, Key, LineReply, Request, Response};
use proptest::prelude::*;

/// A whole message is decoded, its strict prefixes never are, and what follows is left alone.
macro_rules! assert_codec {
    ($type:ident, $message:expr) => {{
        let message = $message;
        let mut buf = Vec::new();
        message.encode(&mut buf);
        let len = buf.len();
        for end in 0..len {
            assert_eq!($type::decode(&buf[..end]), Ok(None), "the first {end} of {len} bytes");
        }
        buf.extend_from_slice(b"EN\r\n");
        let (decoded, used) = $type::decode(&buf).unwrap().unwrap();
        assert_eq!((&decoded, used), (&message, len));
    }};
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![0x21..=0x7e_u8, 0x80..=0xff_u8];
    proptest::collection::vec(byte, 1..=250)
}

fn flags() -> impl Strategy<Value = FlagBuf> {
    let letter = prop_oneof![b'a'..=b'z', b'A'..=b'Z'];
    let token = prop_oneof![
        Just(Vec::new()),
        any::<u64>().prop_map(|number| number.to_string().into_bytes()),
        proptest::collection::vec(0x21..=0x7e_u8, 0..32),
    ];
    proptest::collection::vec((letter, token), 0..8).prop_map(|list| {
        let mut buf = FlagBuf::new();
        for (letter, token) in list {
            buf.text(letter, &token).expect("a token without blanks");
        }
        buf
    })
}

fn data() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..300)
}

fn words() -> impl Strategy<Value = Vec<u8>> {
    "([a-z=0-9]{1,9}( [a-z=0-9]{1,9}){0,5})?".prop_map(String::into_bytes)
}

proptest! {
    #[test]
    fn requests(key in key(), flags in flags(), data in data(), which in 0..8) {
        let (key, flags) = (Key::new(&key).unwrap(), flags.as_flags());
        assert_codec!(Request, match which {
            0 => Request::Get { key, flags },
            1 => Request::Set { key, flags, data: &data },
            2 => Request::Delete { key, flags },
            3 => Request::Arithmetic { key, flags },
            4 => Request::NoOp,
            5 => Request::Version,
            6 => Request::Stats,
            _ => Request::Metadump,
        });
    }

    #[test]
    fn responses(
        key in key(),
        flags in flags(),
        data in data(),
        words in words(),
        number: u64,
        which in 0..12,
    ) {
        let flags = flags.as_flags();
        assert_codec!(Response, match which {
            0 => Response::Value { flags, data: &data },
            1 => Response::Done { flags },
            2 => Response::Miss { flags },
            3 => Response::NotStored { flags },
            4 => Response::Exists { flags },
            5 => Response::NotFound { flags },
            6 => Response::NoOp,
            7 => Response::Debug { key: Key::new(&key).unwrap(), text: &words },
            8 => Response::Number(number),
            9 => Response::Error(&words),
            10 => Response::ClientError(&words),
            _ => Response::ServerError(&words),
        });
    }

    #[test]
    fn line_replies(
        key in key(),
        words in words(),
        name in "[a-z_:0-9]{1,20}",
        expires: Option<u64>,
        which in 0..6,
    ) {
        assert_codec!(LineReply, match which {
            0 => LineReply::Version(&words),
            1 => LineReply::Stat { name: name.as_bytes(), value: &words },
            2 => LineReply::Item { key: Cow::Borrowed(&key), expires, rest: &words },
            3 => LineReply::End,
            4 => LineReply::Busy,
            _ => LineReply::Refused(b"SERVER_ERROR no"),
        });
    }

    #[test]
    fn any_bytes_at_all(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::decode(&bytes);
        let _ = Response::decode(&bytes);
        let _ = LineReply::decode(&bytes);
    }

    #[test]
    fn any_line_at_all(start in "(mg|ms|md|VA|HD|ME|STAT|key=)", rest in "[ -~]{0,60}") {
        let line = format!("{start} {rest}\r\n\r\n");
        let _ = Request::decode(line.as_bytes());
        let _ = Response::decode(line.as_bytes());
        let _ = LineReply::decode(line.as_bytes());
    }
}
