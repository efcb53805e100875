//! One connection: what it takes for a request, in what order it answers, how long it waits. Time
//! is an argument, so nothing sleeps.

use std::sync::Arc;
use std::time::{Duration, Instant};

use httpd::{Body, Connection, Limits, Method, Request, Response};
use proptest::prelude::*;

const DATE: &str = "Thu, 01 Jan 1970 00:00:00 GMT";

struct Rig {
    connection: Connection,
    now: Instant,
    limits: Limits,
}

impl Rig {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let now = Instant::now();
        Self { connection: Connection::new(Arc::new(limits.clone()), now), now, limits }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.connection.receive(bytes.as_ref(), self.now, DATE);
        self
    }

    fn request(&mut self) -> Request {
        self.connection.poll_request().expect("a whole request")
    }

    fn answer(&mut self, text: &str) -> &mut Self {
        self.connection.respond(&Response::text(200, text), self.now, DATE);
        self
    }

    /// Takes what is to be sent.
    fn output(&mut self) -> String {
        let output = String::from_utf8(self.connection.output().to_vec()).expect("text");
        self.connection.sent(output.len(), self.now, DATE);
        output
    }

    /// The deadline passes.
    fn time_out(&mut self) -> Duration {
        let deadline = self.connection.deadline().expect("a deadline");
        let waited = deadline - self.now;
        self.now = deadline;
        self.connection.handle_timeout(self.now, DATE);
        waited
    }
}

#[test]
fn a_request_has_its_parts() {
    let mut rig = Rig::new();
    rig.send(
        "POST /a%20b?c=d HTTP/1.1\r\nHost: pbx:8011\r\nContent-Length: 5\r\nX: y \r\n\r\nhello",
    );
    let request = rig.request();
    assert_eq!((request.method, &*request.path, &*request.query), (Method::Post, "/a b", "c=d"));
    assert_eq!(request.host.as_deref(), Some("pbx:8011"));
    assert_eq!(request.headers.only("x"), Some(&b"y"[..]));
    assert_eq!(request.body, b"hello");
    let answer = rig.answer("yes").output();
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("Content-Length: 4\r\n\r\nyes\n"), "{answer}");
    assert!(!rig.connection.is_over(), "it is kept");
}

#[test]
fn requests_in_one_go_are_answered_one_after_the_other() {
    let mut rig = Rig::new();
    rig.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
    for path in ["/1", "/2", "/3"] {
        assert_eq!(rig.request().path, path);
        assert!(rig.connection.poll_request().is_none(), "only one is in hand");
        rig.answer(path);
    }
    let output = rig.output();
    let at = |path: &str| output.find(&format!("\r\n\r\n{path}\n")).expect(path);
    assert!(at("/1") < at("/2") && at("/2") < at("/3"));
}

#[test]
fn http_1_0_ends_unless_it_asks_not_to() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.0\r\n\r\n").request();
    assert!(rig.answer("x").output().contains("Connection: close\r\n"));
    assert!(rig.connection.take_shutdown());
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").request();
    assert!(rig.answer("x").output().contains("Connection: keep-alive\r\n"));
    assert!(!rig.connection.take_shutdown());
}

#[test]
fn a_head_is_answered_without_its_body() {
    let mut rig = Rig::new();
    rig.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    let answer = rig.answer("four").output();
    assert!(answer.contains("Content-Length: 5\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn who_waits_for_a_100_gets_one_and_who_does_not_does_not() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let mut rig = Rig::new();
    assert_eq!(rig.send(head).output(), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(rig.send("ab").request().body, b"ab");
    let mut rig = Rig::new();
    rig.send(format!("{head}ab")).request();
    assert_eq!(rig.output(), "");
}

#[test]
fn the_last_request_of_a_connection_is_said_to_be_the_last() {
    let mut rig = Rig::with(Limits { requests: 2, ..Limits::default() });
    for last in [false, true] {
        rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
        assert_eq!(rig.answer("x").output().contains("Connection: close"), last);
    }
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let mut rig = Rig::new();
    let mut waited = Duration::ZERO;
    // A byte every second: each is progress, and yet.
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyy" {
        rig.send([*byte]);
        if rig.connection.deadline().expect("one") <= rig.now {
            break;
        }
        rig.now += Duration::from_secs(1);
        waited += Duration::from_secs(1);
    }
    assert_eq!(waited, rig.limits.head_time);
    rig.time_out();
    assert!(rig.output().starts_with("HTTP/1.1 408 "));
}

#[test]
fn an_empty_line_does_not_prolong_the_wait() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    rig.answer("x").output();
    rig.send("\r\n");
    let first = rig.connection.deadline();
    rig.now += Duration::from_secs(5);
    rig.send("G");
    assert_eq!(rig.connection.deadline(), first);
}

#[test]
fn a_body_that_does_not_end_is_given_up() {
    let mut rig = Rig::new();
    rig.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(rig.time_out(), rig.limits.body_time);
    assert!(rig.output().starts_with("HTTP/1.1 408 "));
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    rig.answer("x").output();
    assert_eq!(rig.time_out(), rig.limits.idle_time);
    assert_eq!(rig.output(), "");
    assert!(rig.connection.is_over());
}

#[test]
fn an_answer_that_does_not_come_is_a_504_and_a_late_one_is_dropped() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    assert_eq!(rig.time_out(), rig.limits.answer_time);
    assert!(rig.output().starts_with("HTTP/1.1 504 "));
    assert_eq!(rig.answer("late").output(), "");
}

#[test]
fn who_does_not_read_loses_the_connection() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    rig.connection.respond(
        &Response::new(200).with_body("a/b", Body::Owned(vec![b'x'; 100_000])),
        rig.now,
        DATE,
    );
    rig.now += Duration::from_secs(20);
    rig.connection.sent(20_000, rig.now, DATE);
    assert_eq!(rig.time_out(), rig.limits.write_time, "some was read, so it began anew");
    assert!(rig.connection.is_over());
}

/// A reader of `output`, who takes `step` bytes each second, and sees that the connection bears it.
#[track_caller]
fn read_slowly(rig: &mut Rig, step: usize, until: impl Fn(&Rig) -> bool) {
    while !until(rig) {
        rig.now += Duration::from_secs(1);
        if rig.connection.deadline().is_some_and(|deadline| deadline <= rig.now) {
            rig.connection.handle_timeout(rig.now, DATE);
        }
        assert!(!rig.connection.is_over(), "{} bytes were left", rig.connection.output().len());
        let step = step.min(rig.connection.output().len());
        rig.connection.sent(step, rig.now, DATE);
    }
}

fn big(bytes: usize) -> Response {
    Response::new(200).with_body("a/b", Body::Owned(vec![b'x'; bytes]))
}

#[test]
fn who_reads_slowly_but_steadily_gets_all_of_it_and_then_has_time_for_another_request() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    rig.connection.respond(&big(5_000_000), rig.now, DATE);
    let begun = rig.now;
    read_slowly(&mut rig, 64_000, |rig| rig.connection.output().is_empty());
    assert!(rig.now - begun > rig.limits.idle_time, "or this shows nothing");
    assert_eq!(rig.connection.waiting_since(), Some(rig.now));
    assert_eq!(rig.time_out(), rig.limits.idle_time);
    assert!(rig.connection.is_over());
}

#[test]
fn a_request_behind_an_answer_that_is_read_slowly_is_not_late() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n").request();
    rig.connection.respond(&big(1_000_000), rig.now, DATE);
    let begun = rig.now;
    read_slowly(&mut rig, 20_000, |rig| rig.connection.has_request());
    assert!(rig.now - begun > rig.limits.head_time, "or this shows nothing");
    assert_eq!(rig.request().path, "/2");
    let sent = rig.answer("second").output();
    assert!(sent.ends_with("second\n") && !sent.contains(" 408 "));
}

#[test]
fn half_a_head_behind_an_answer_has_its_time_when_the_answer_was_read() {
    for arrives_later in [false, true] {
        let mut rig = Rig::new();
        rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
        if !arrives_later {
            rig.send("GET /2");
        }
        rig.connection.respond(&big(1_000_000), rig.now, DATE);
        if arrives_later {
            rig.send("GET /2");
        }
        read_slowly(&mut rig, 20_000, |rig| rig.connection.output().is_empty());
        assert_eq!(rig.time_out(), rig.limits.head_time);
        assert!(rig.output().starts_with("HTTP/1.1 408 "));
    }
}

#[test]
fn who_has_nothing_more_to_read_does_not_get_time_anew() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    rig.answer("x").output();
    let first = rig.connection.deadline();
    rig.now += Duration::from_secs(5);
    rig.connection.sent(0, rig.now, DATE);
    assert_eq!(rig.connection.deadline(), first);
}

#[test]
fn who_reads_no_answers_gets_no_more_requests_answered() {
    let mut rig = Rig::new();
    let body = Response::new(200).with_body("a/b", Body::Owned(vec![b'x'; 50_000]));
    for _ in 0..2 {
        rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
        rig.connection.respond(&body, rig.now, DATE);
    }
    assert!(!rig.connection.wants_input());
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(rig.connection.poll_request().is_none());
    rig.output();
    rig.request();
}

#[test]
fn what_is_pipelined_is_bounded() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    assert!(rig.connection.wants_input(), "or its end would not be noticed");
    rig.send(vec![b'G'; rig.limits.head_bytes]);
    assert!(!rig.connection.wants_input());
}

#[test]
fn who_closed_only_their_half_is_answered() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    rig.connection.receive_end();
    assert!(rig.answer("still").output().ends_with("still\n"));
    assert!(rig.connection.is_over());
}

#[test]
fn a_refusal_is_sent_before_the_connection_ends() {
    let mut rig = Rig::new();
    rig.send("nonsense\r\n\r\n");
    assert!(!rig.connection.is_over());
    assert!(rig.output().starts_with("HTTP/1.1 400 "));
    assert!(rig.connection.take_shutdown());
    rig.send("more");
    assert!(!rig.connection.is_over(), "closing now could undo the answer");
    assert_eq!(rig.time_out(), rig.limits.linger_time);
    assert!(rig.connection.is_over());
}

#[test]
fn what_is_dropped_after_a_refusal_is_bounded() {
    let mut rig = Rig::with(Limits { linger_bytes: 10, ..Limits::default() });
    rig.send("nonsense\r\n\r\n").output();
    rig.send("0123456789").send("0");
    assert!(rig.connection.is_over());
}

#[test]
fn a_stream_goes_on_until_it_ends() {
    let mut rig = Rig::with(Limits { stream_bytes: 10, ..Limits::default() });
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    assert!(rig.connection.respond_stream(&Response::new(200), rig.now, DATE));
    let head = rig.output();
    assert!(head.contains("Connection: close") && !head.contains("Content-Length"), "{head}");
    rig.connection.stream(b"0123456789", rig.now);
    assert!(!rig.connection.has_stream_room());
    assert_eq!(rig.output(), "0123456789");
    assert!(rig.connection.has_stream_room());
    assert_eq!(rig.connection.deadline(), None, "nobody has to hurry");
    rig.connection.end_stream(rig.now);
    assert_eq!(rig.output(), "");
}

#[test]
fn a_stream_that_is_over_with_nothing_to_send_is_closed() {
    let mut rig = Rig::new();
    rig.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").request();
    rig.connection.respond_stream(&Response::new(200), rig.now, DATE);
    rig.output();
    rig.connection.end_stream(rig.now);
    assert!(rig.connection.take_shutdown(), "or nobody would ever close it");
}

#[test]
fn who_waits_with_a_request_is_not_among_those_who_make_room() {
    let mut rig = Rig::new();
    assert!(rig.connection.waiting_since().is_some());
    rig.send("GET / HTTP/1.1\r\nHo");
    assert!(rig.connection.waiting_since().is_some());
    rig.send("st: a\r\n\r\n").request();
    assert!(rig.connection.waiting_since().is_none());
    rig.answer("x");
    assert!(rig.connection.waiting_since().is_none(), "it has not got its answer yet");
    rig.output();
    assert!(rig.connection.waiting_since().is_some());
}

/// All that comes of a stream of bytes that arrives in pieces.
fn outcome(bytes: &[u8], cuts: &[usize]) -> (Vec<Request>, String) {
    let mut rig = Rig::with(Limits { head_bytes: 300, body_bytes: 50, ..Limits::default() });
    let (mut requests, mut output, mut from) = (Vec::new(), String::new(), 0);
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.sort_unstable();
    for end in cuts.into_iter().chain([bytes.len()]) {
        rig.send(&bytes[from..end]);
        from = end;
        while let Some(request) = rig.connection.poll_request() {
            requests.push(request);
            rig.answer("x");
        }
        output.push_str(&rig.output());
        assert!(rig.connection.output().is_empty());
    }
    (requests, output)
}

/// Pieces of requests, good and bad, so that what is made of them gets far.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => Just(b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        4 => (0usize..60).prop_map(|length| {
            let mut post = format!("POST /b?c HTTP/1.1\r\nHost: b:1\r\nContent-Length: {length}\r\n\r\n");
            post.push_str(&"y".repeat(length));
            post.into_bytes()
        }),
        1 => Just(b"\r\n".to_vec()),
        1 => Just(b"GET / HTTP/1.1\r\nX: ".to_vec()),
        1 => Just(b"Transfer-Encoding: chunked\r\n".to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn any_split_of_the_bytes_gives_the_same_requests(
        pieces in proptest::collection::vec(piece(), 0..8),
        cuts in proptest::collection::vec(any::<usize>(), 0..12),
    ) {
        let bytes = pieces.concat();
        let whole = outcome(&bytes, &[]);
        prop_assert_eq!(outcome(&bytes, &cuts), whole.clone());
        let each: Vec<usize> = (0..bytes.len()).collect();
        prop_assert_eq!(outcome(&bytes, &each), whole);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        outcome(&bytes, &[]);
    }
}
