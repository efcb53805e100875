//! What is no request, or could be read as two: each line of these tables is refused, with its
//! status, the connection ends with it, and nothing behind it is ever taken for a request.

use std::sync::Arc;
use std::time::Instant;

use httpd::{Body, Connection, Limits, Refusal, Response};

const DATE: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

/// The status that `bytes` are refused with; 200 if they are a request.
fn status(bytes: &[u8]) -> u16 {
    let now = Instant::now();
    let mut connection = Connection::new(Arc::new(Limits::default()), now);
    connection.receive(bytes, now, DATE);
    let mut requests = 0;
    while connection.poll_request().is_some() {
        requests += 1;
        connection.respond(&Response::new(200), now, DATE);
    }
    let output = String::from_utf8_lossy(connection.output()).into_owned();
    let status = output.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    if status != 200 {
        assert_eq!(requests, 0, "refused, and yet seen: {output}");
        assert!(output.contains("Connection: close\r\n"), "{output}");
        assert_eq!(output.matches("\r\nDate: ").count(), 1, "one answer: {output}");
        connection.receive(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", now, DATE);
        assert!(connection.poll_request().is_none(), "what is behind it was taken for a request");
    }
    status
}

#[track_caller]
fn check(table: &[(&str, u16)]) {
    for (bytes, wanted) in table {
        assert_eq!(status(bytes.as_bytes()), *wanted, "{bytes:?}");
    }
}

#[test]
fn what_is_malformed_is_refused() {
    check(&[
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET\r\n\r\n", 400),
        ("\r\n\r\n", 400),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", 505),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX Y: z\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX : z\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
    ]);
}

#[test]
fn other_versions_and_methods_are_said_to_be_so() {
    check(&[
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
        ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ]);
}

#[test]
fn targets_are_paths_or_urls() {
    check(&[
        ("GET http://a/b HTTP/1.1\r\nHost: c\r\n\r\n", 200),
        ("GET http://a@b/ HTTP/1.1\r\nHost: c\r\n\r\n", 400),
        ("GET ftp://a/b HTTP/1.1\r\nHost: c\r\n\r\n", 400),
        ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ]);
}

#[test]
fn there_is_one_host() {
    check(&[
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: [::1]:8011\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\n\r\n", 200),
        ("GET http://a/ HTTP/1.1\r\n\r\n", 400),
    ]);
}

#[test]
fn no_request_can_be_read_as_two() {
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (fields, wanted) in [
        ("Content-Length: 0\r\nContent-Length: 33", 400),
        ("Content-Length: 33\r\nContent-Length: 33", 400),
        ("Content-Length: 0, 33", 400),
        ("Content-Length: +0", 400),
        ("Content-Length: -1", 400),
        ("Content-Length: 0x10", 400),
        ("Content-Length: 1 1", 400),
        ("Content-Length:", 400),
        ("Content-Length: 1e1", 400),
        ("Content-Length : 0", 400),
        ("Content-Length: 0\r\nTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding: chunked\r\nContent-Length: 4", 400),
        ("Transfer-Encoding: chunked", 411),
        ("Transfer-Encoding: xchunked", 411),
        ("Transfer-Encoding: chunked, identity", 411),
        ("Transfer-Encoding:", 411),
        ("Transfer-Encoding : chunked", 400),
        ("transfer-encoding: identity", 411),
        ("X: y\r\n Transfer-Encoding: chunked", 400),
        ("X: y\nTransfer-Encoding: chunked", 400),
        ("X: y\rTransfer-Encoding: chunked", 400),
        ("Transfer-Encoding\0: chunked", 400),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n{smuggled}");
        assert_eq!(status(request.as_bytes()), wanted, "{fields:?}");
    }
    check(&[("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)]);
}

#[test]
fn what_is_too_long_is_refused_before_it_is_there() {
    let long = "x".repeat(9000);
    let many = "X: y\r\n".repeat(65);
    let table = [
        (format!("GET /{long}"), 431),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..3000]), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n".into(), 413),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n".into(), 413),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n"
                .into(),
            413,
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nExpect: 200-maybe\r\nContent-Length: 5\r\n\r\n".into(),
            417,
        ),
    ];
    for (bytes, wanted) in table {
        assert_eq!(status(bytes.as_bytes()), wanted, "{:?}", &bytes[..60.min(bytes.len())]);
    }
}

/// As a program might like it.
fn as_json(refusal: &Refusal<'_>) -> Response {
    let json = format!("{{{:?}: {:?}}}", refusal.path.unwrap_or("?"), refusal.status);
    Response::new(200).with_body("application/json", Body::Owned(json.into_bytes()))
}

fn refusing_with(refuse: httpd::Refuse) -> (Connection, Instant) {
    let now = Instant::now();
    (Connection::new(Arc::new(Limits::default()), now).refusing_with(refuse), now)
}

/// What is answered to `bytes` and then, if that is nothing yet, when the time is over.
fn refused(refuse: httpd::Refuse, bytes: &str) -> String {
    let (mut connection, now) = refusing_with(refuse);
    connection.receive(bytes.as_bytes(), now, DATE);
    if connection.output().is_empty() {
        let late = connection.deadline().expect("a deadline");
        connection.handle_timeout(late, DATE);
    }
    String::from_utf8_lossy(connection.output()).into_owned()
}

#[test]
fn the_caller_says_how_refusals_look_and_knows_what_was_asked_for_where_it_was_said() {
    let table = [
        ("nonsense\r\n\r\n", "?", 400),
        ("GET /a", "?", 408),
        ("POST /api%20x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", "/api x", 413),
        ("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "/a", 411),
        ("GET /a HTTP/1.1\r\n\r\n", "/a", 400),
        ("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", "/a", 408),
        ("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", "/a", 504),
    ];
    for (bytes, path, status) in table {
        let answer = refused(as_json, bytes);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{bytes:?}: {answer}");
        assert!(answer.contains("Content-Type: application/json\r\n"), "{bytes:?}: {answer}");
        assert!(answer.contains("Connection: close\r\n"), "{bytes:?}: {answer}");
        assert!(answer.ends_with(&format!("{{{path:?}: {status}}}")), "{bytes:?}: {answer}");
    }
}

#[test]
fn a_refusal_is_said_though_the_caller_fails_to() {
    let answer = refused(|_| panic!("as asked"), "nonsense\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("Content-Type: text/plain"), "{answer}");
}
