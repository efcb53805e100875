//! Bytes that a real memcached 1.6.18 (Debian 12) answered, captured with a plain socket.

use std::borrow::Cow;

use memcache_proto::{Error, Flags, Key, LineReply, Request, Response};

fn flags(text: &[u8]) -> Flags<'_> {
    Flags::parse(text).expect("captured flags")
}

/// What was sent, and what came back.
fn captured() -> Vec<(&'static [u8], &'static [u8], Response<'static>)> {
    let none = Flags::NONE;
    vec![
        (b"mg nope v\r\n", b"EN\r\n", Response::Miss { flags: none }),
        (b"mg nope v k O1\r\n", b"EN knope O1\r\n", Response::Miss { flags: flags(b"knope O1") }),
        (
            b"ms a 5 T0 c k O77\r\nhello\r\n",
            b"HD c1 ka O77\r\n",
            Response::Done { flags: flags(b"c1 ka O77") },
        ),
        (
            b"mg a v c t k O12 f s\r\n",
            b"VA 5 c1 t-1 ka O12 f0 s5\r\nhello\r\n",
            Response::Value { flags: flags(b"c1 t-1 ka O12 f0 s5"), data: b"hello" },
        ),
        (b"mg a\r\n", b"HD\r\n", Response::Done { flags: none }),
        (b"ms a 1 ME\r\nx\r\n", b"NS\r\n", Response::NotStored { flags: none }),
        (b"ms zz 1 C1\r\nx\r\n", b"NF\r\n", Response::NotFound { flags: none }),
        (b"md a C1\r\n", b"EX\r\n", Response::Exists { flags: none }),
        (
            b"ma n v k t c\r\n",
            b"VA 2 kn t-1 c7\r\n13\r\n",
            Response::Value { flags: flags(b"kn t-1 c7"), data: b"13" },
        ),
        (
            b"mg n v c\r\n",
            b"VA 2 c14 X W\r\n55\r\n",
            Response::Value { flags: flags(b"c14 X W"), data: b"55" },
        ),
        (
            b"mg nn N30 v c t\r\n",
            b"VA 0 c17 t30 W\r\n\r\n",
            Response::Value { flags: flags(b"c17 t30 W"), data: b"" },
        ),
        (b"mn\r\n", b"MN\r\n", Response::NoOp),
        (
            b"ma a v\r\n",
            b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n",
            Response::ClientError(b"cannot increment or decrement non-numeric value"),
        ),
    ]
}

#[test]
fn what_memcached_answered_is_understood_and_written_alike() {
    for (request, reply, meant) in captured() {
        let (response, len) = Response::decode(reply).unwrap().unwrap();
        assert_eq!((response, len), (meant, reply.len()), "{}", request.escape_ascii());
        let mut out = Vec::new();
        response.encode(&mut out);
        assert_eq!(out, reply);
    }
}

#[test]
fn what_memcached_understood_is_understood_and_written_alike() {
    for (request, _, _) in captured() {
        let (decoded, len) = Request::decode(request).unwrap().unwrap();
        assert_eq!(len, request.len());
        let mut out = Vec::new();
        decoded.encode(&mut out);
        assert_eq!(out, request);
    }
}

#[test]
fn replies_without_a_meta_command_are_understood() {
    let plain: [(&[u8], Response<'_>); 5] = [
        (b"14\r\n", Response::Number(14)),
        (b"ERROR\r\n", Response::Error(b"")),
        (b"ERROR Too many open connections\r\n", Response::Error(b"Too many open connections")),
        (
            b"SERVER_ERROR object too large for cache\r\n",
            Response::ServerError(b"object too large for cache"),
        ),
        (
            b"ME n exp=-1 la=1 cas=10 fetch=no cls=1 size=62\r\n",
            Response::Debug {
                key: Key::new(b"n").unwrap(),
                text: b"exp=-1 la=1 cas=10 fetch=no cls=1 size=62",
            },
        ),
    ];
    for (reply, meant) in plain {
        assert_eq!(Response::decode(reply), Ok(Some((meant, reply.len()))));
        let mut out = Vec::new();
        meant.encode(&mut out);
        assert_eq!(out, reply);
    }
}

#[test]
fn a_metadump_is_understood_line_by_line() {
    let dump = b"key=a exp=-1 la=1795394760 cas=3 fetch=no cls=1 size=63\n\
        key=k%25 exp=-1 la=1795394763 cas=11 fetch=no cls=1 size=62\n\
        key=%FF%80%3D exp=1795394823 la=1795394763 cas=12 fetch=no cls=1 size=63\n\
        END\r\n";
    let (mut rest, mut keys, mut again) = (&dump[..], Vec::new(), Vec::new());
    while let Some((line, len)) = LineReply::decode(rest).unwrap() {
        line.encode(&mut again);
        rest = &rest[len..];
        match line {
            LineReply::Item { key, expires, .. } => keys.push((key.into_owned(), expires)),
            other => assert_eq!(other, LineReply::End),
        }
    }
    assert!(rest.is_empty());
    assert_eq!(again, dump);
    let high = (b"\xff\x80=".to_vec(), Some(1_795_394_823));
    assert_eq!(keys, [(b"a".to_vec(), None), (b"k%".to_vec(), None), high]);
}

#[test]
fn version_and_stats_are_understood() {
    let (version, _) = LineReply::decode(b"VERSION 1.6.18\r\n").unwrap().unwrap();
    assert_eq!(version, LineReply::Version(b"1.6.18"));
    let (stat, _) = LineReply::decode(b"STAT libevent 2.1.12-stable\r\n").unwrap().unwrap();
    assert_eq!(stat, LineReply::Stat { name: b"libevent", value: b"2.1.12-stable" });
}

#[test]
fn what_memcached_says_after_a_broken_set_is_two_answers() {
    let buf = b"CLIENT_ERROR bad data chunk\r\nERROR\r\n";
    let (first, len) = Response::decode(buf).unwrap().unwrap();
    assert_eq!(first, Response::ClientError(b"bad data chunk"));
    assert_eq!(Response::decode(&buf[len..]), Ok(Some((Response::Error(b""), 7))));
}

#[test]
fn the_older_commands_are_written_as_memcached_expects_them() {
    for (request, text) in [
        (Request::Version, &b"version\r\n"[..]),
        (Request::Stats, b"stats\r\n"),
        (Request::Metadump, b"lru_crawler metadump hash\r\n"),
    ] {
        let mut out = Vec::new();
        request.encode(&mut out);
        assert_eq!(out, text);
        assert_eq!(Request::decode(&out), Ok(Some((request, text.len()))));
    }
    let borrowed = LineReply::Item { key: Cow::Borrowed(b"a"), expires: None, rest: b"la=1" };
    let mut out = Vec::new();
    borrowed.encode(&mut out);
    assert_eq!(out, b"key=a exp=-1 la=1\n");
    assert_eq!(LineReply::decode(b"key=a\n"), Err(Error::Incomplete));
}
