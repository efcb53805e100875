//! The server on real sockets: bad clients, slow ones, many of them, and a stop while it works.

mod common;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::shy::{HELLO, ShyWrap};
use common::{Rig, connect, exchange, read_all, read_answer};
use httpd::Limits;

const GET: &[u8] = b"GET /now HTTP/1.1\r\nHost: a\r\n\r\n";

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

#[test]
fn requests_are_answered_at_once_and_by_workers_on_one_connection() {
    let rig = Rig::new(Limits::default());
    let mut client = connect(&rig);
    for path in ["/now", "/work", "/again", "/now"] {
        let answer = exchange(&mut client, &get(path));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
        assert!(answer.ends_with(&format!("{path}\n")), "{path}: {answer}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order_though_workers_differ() {
    let rig = Rig::new(Limits::default());
    let mut client = connect(&rig);
    let paths = ["/work", "/now", "/again", "/now", "/work"];
    let all: Vec<u8> = paths.iter().flat_map(|path| get(path)).collect();
    client.write_all(&all).expect("sent");
    for path in paths {
        let answer = read_answer(&mut client);
        assert!(answer.ends_with(&format!("{path}\n")), "{path}: {answer}");
    }
}

#[test]
fn hundreds_of_pipelined_requests_are_all_answered() {
    let rig = Rig::new(Limits::default());
    let mut client = connect(&rig);
    let mut sender = client.try_clone().expect("a clone");
    let writer = std::thread::spawn(move || sender.write_all(&GET.repeat(500)).expect("sent"));
    for _ in 0..500 {
        assert!(read_answer(&mut client).ends_with("/now\n"));
    }
    writer.join().expect("written");
}

#[test]
fn who_may_not_connect_is_not_listened_to() {
    let rig = Rig::new(Limits::default());
    rig.state.deny.store(true, Ordering::SeqCst);
    let mut client = connect(&rig);
    let _ = client.write_all(GET);
    let mut buffer = [0; 1];
    assert!(!matches!(client.read(&mut buffer), Ok(1..)), "an answer");
    assert_eq!(rig.state.requests.load(Ordering::SeqCst), 0);
}

#[test]
fn a_mistake_in_a_handler_costs_one_request_only() {
    let rig = Rig::new(Limits::default());
    let mut client = connect(&rig);
    for path in ["/panic", "/panic-work"] {
        let answer = exchange(&mut client, &get(path));
        assert!(answer.starts_with("HTTP/1.1 500 "), "{path}: {answer}");
        assert!(answer.contains(&format!("About: {path}\r\n")), "{path}: {answer}");
        assert!(exchange(&mut client, GET).starts_with("HTTP/1.1 200 "), "after {path}");
    }
}

#[test]
fn slow_clients_lose_their_connection_and_nobody_elses() {
    let limits = Limits { head_time: Duration::from_millis(300), ..Limits::default() };
    let rig = Rig::new(limits);
    let mut slow = connect(&rig);
    slow.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
    let mut other = connect(&rig);
    let begun = Instant::now();
    let mut answers = 0;
    slow.set_nonblocking(true).expect("a socket");
    let mut said = Vec::new();
    loop {
        assert!(exchange(&mut other, GET).starts_with("HTTP/1.1 200 "));
        answers += 1;
        let mut buffer = [0; 1024];
        match slow.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => said.extend_from_slice(&buffer[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it is still there");
        // Dripping on does not help.
        let _ = slow.write(b"X");
    }
    assert!(said.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&said));
    assert!(answers > 1);
}

#[test]
fn slow_readers_lose_their_connection() {
    let write_time = Duration::from_millis(300);
    let rig = Rig::new(Limits { write_time, connections: 3, ..Limits::default() });
    let mut held: Vec<_> = (0..2).map(|_| rig.connect_from("127.0.0.2")).collect();
    for client in &mut held {
        client.write_all(&get("/hold")).expect("sent");
    }
    rig.wait_until("held", |state| state.held.load(Ordering::SeqCst) == 2);
    let begun = Instant::now();
    let mut client = rig.connect_greedy("127.0.0.1");
    // Until then it makes no room for an address that has more connections than its own.
    loop {
        let mut other = rig.connect_from("127.0.0.2");
        let _ = other.write_all(b"GET /now HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        if read_all(&mut other).starts_with("HTTP/1.1 200 ") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "it is still there");
    }
    assert!(begun.elapsed() >= write_time, "it had to make room before its time was over");
    assert!(read_all(&mut client).len() < common::SLAB_BYTES, "all of it came");
}

#[test]
fn readers_who_do_not_read_keep_nobody_out() {
    let limits = Limits { connections: 8, connections_per_address: 4, ..Limits::default() };
    let rig = Rig::new(limits);
    let mut kept: Vec<_> = (0..4).map(|_| rig.connect_greedy("127.0.0.2")).collect();
    kept.extend((0..4).map(|_| rig.connect_greedy("127.0.0.3")));
    for _ in 0..20 {
        let mut other = connect(&rig);
        assert!(exchange(&mut other, GET).starts_with("HTTP/1.1 200 "));
    }
    // Nor others of their own address, though it has all that one address may have.
    kept.push(rig.connect_greedy("127.0.0.3"));
    let mut neighbour = rig.connect_from("127.0.0.3");
    assert!(exchange(&mut neighbour, GET).starts_with("HTTP/1.1 200 "));
}

#[test]
fn who_reads_stays_where_one_who_does_not_has_to_go() {
    let rig = Rig::new(Limits { connections: 2, ..Limits::default() });
    let mut reads = rig.connect_greedy("127.0.0.2");
    let mut stands = rig.connect_greedy("127.0.0.3");
    common::read_head(&mut reads);
    // More than all buffers hold, so that the server has seen it, and less than all.
    common::read_exactly(&mut reads, common::SLAB_BYTES / 2);
    let mut other = connect(&rig);
    assert!(exchange(&mut other, GET).starts_with("HTTP/1.1 200 "));
    common::read_exactly(&mut reads, common::SLAB_BYTES / 2);
    assert!(read_all(&mut stands).len() < common::SLAB_BYTES, "all of it came");
}

#[test]
fn a_flood_displaces_nobody_who_has_fewer_connections() {
    let rig = Rig::new(Limits { connections: 3, ..Limits::default() });
    let mut slow = rig.connect_greedy("127.0.0.2");
    let mut flood: Vec<_> = (0..2).map(|_| rig.connect_greedy("127.0.0.3")).collect();
    for _ in 0..10 {
        flood.push(rig.connect_greedy("127.0.0.3"));
    }
    common::read_head(&mut slow);
    common::read_exactly(&mut slow, common::SLAB_BYTES);
}

#[test]
fn a_flood_that_comes_again_does_not_displace_who_is_just_coming_in() {
    let rig = Rig::new(Limits { connections: 3, ..Limits::default() });
    let mut flood: Vec<_> = (0..3).map(|_| rig.connect_greedy("127.0.0.2")).collect();
    // Has not said anything yet, as one that is at its handshake has not.
    let mut coming = connect(&rig);
    for _ in 0..10 {
        flood.push(rig.connect_greedy("127.0.0.2"));
    }
    assert!(exchange(&mut coming, GET).starts_with("HTTP/1.1 200 "));
}

#[test]
fn the_silent_make_room_for_an_address_that_has_more_connections_than_theirs() {
    let rig = Rig::new(Limits { connections: 3, ..Limits::default() });
    let mut held: Vec<_> = (0..2).map(|_| connect(&rig)).collect();
    for client in &mut held {
        client.write_all(&get("/hold")).expect("sent");
    }
    rig.wait_until("held", |state| state.held.load(Ordering::SeqCst) == 2);
    let mut silent = rig.connect_from("127.0.0.2");
    let mut other = connect(&rig);
    assert!(exchange(&mut other, GET).starts_with("HTTP/1.1 200 "));
    assert_eq!(read_all(&mut silent), "");
}

#[test]
fn a_stream_that_nobody_reads_is_ended() {
    let limits = Limits { write_time: Duration::from_millis(300), ..Limits::default() };
    let rig = Rig::new(limits);
    rig.state.stream_floods.store(true, Ordering::SeqCst);
    let mut client = connect(&rig);
    client.write_all(&get("/stream")).expect("sent");
    rig.wait_until("it is over", |state| state.streams_over.load(Ordering::SeqCst) == 1);
    let mut other = connect(&rig);
    assert!(exchange(&mut other, GET).starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_stream_without_end_leaves_time_for_others() {
    let rig = Rig::new(Limits::default());
    rig.state.stream_floods.store(true, Ordering::SeqCst);
    let mut client = connect(&rig);
    client.write_all(&get("/stream")).expect("sent");
    let mut reader = client.try_clone().expect("a clone");
    let reading = std::thread::spawn(move || {
        let (mut buffer, mut total) = (vec![0; 65_536], 0);
        while let Ok(read @ 1..) = reader.read(&mut buffer) {
            total += read;
        }
        total
    });
    let mut other = connect(&rig);
    for _ in 0..100 {
        assert!(exchange(&mut other, GET).starts_with("HTTP/1.1 200 "));
    }
    client.shutdown(Shutdown::Both).expect("closed");
    assert!(reading.join().expect("read") > 0);
}

#[test]
fn one_connection_more_takes_the_place_of_the_oldest_that_is_silent() {
    let rig = Rig::new(Limits { connections: 3, ..Limits::default() });
    let mut busy = connect(&rig);
    busy.write_all(&get("/hold")).expect("sent");
    rig.wait_until("held", |state| state.held.load(Ordering::SeqCst) == 1);
    let mut silent = connect(&rig);
    let mut third = connect(&rig);
    assert!(exchange(&mut third, GET).starts_with("HTTP/1.1 200 "));
    let mut fourth = connect(&rig);
    assert!(exchange(&mut fourth, GET).starts_with("HTTP/1.1 200 "));
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0, "the silent one had to go");
    assert!(exchange(&mut third, GET).starts_with("HTTP/1.1 200 "), "this one not");
    rig.state.release();
    assert!(read_answer(&mut busy).ends_with("/hold\n"), "nor the one that is being served");
}

#[test]
fn one_address_does_not_take_all_connections() {
    let rig = Rig::new(Limits { connections_per_address: 2, ..Limits::default() });
    let mut elsewhere = rig.connect_from("127.0.0.2");
    let mut first = connect(&rig);
    assert!(exchange(&mut first, GET).starts_with("HTTP/1.1 200 "));
    let mut more: Vec<_> = (0..5).map(|_| connect(&rig)).collect();
    let last = more.last_mut().expect("five");
    assert!(exchange(last, GET).starts_with("HTTP/1.1 200 "));
    assert_eq!(first.read(&mut [0]).unwrap_or(0), 0, "the oldest of that address is gone");
    assert!(exchange(&mut elsewhere, GET).starts_with("HTTP/1.1 200 "), "of another: not");
}

#[test]
fn what_the_workers_cannot_take_is_answered_with_503_and_when_to_try_again() {
    let rig = Rig::new(Limits { workers: 1, queue: 1, ..Limits::default() });
    let mut held: Vec<_> = (0..2).map(|_| connect(&rig)).collect();
    held[0].write_all(&get("/hold")).expect("sent");
    rig.wait_until("one is held", |state| state.held.load(Ordering::SeqCst) == 1);
    held[1].write_all(&get("/hold")).expect("sent");
    rig.wait_until("two have asked", |state| state.requests.load(Ordering::SeqCst) == 2);
    let mut client = connect(&rig);
    let answer = exchange(&mut client, &get("/work"));
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(
        answer.contains("Retry-After: 1\r\n") && answer.contains("About: /work\r\n"),
        "{answer}"
    );
    assert!(exchange(&mut client, GET).starts_with("HTTP/1.1 200 "), "what need not wait goes on");
    rig.state.release();
    for client in &mut held {
        assert!(read_answer(client).ends_with("/hold\n"));
    }
}

#[test]
fn streams_are_fed_while_they_are_read_and_told_of_when_they_are_not() {
    let rig = Rig::new(Limits { streams: 1, ..Limits::default() });
    let mut client = connect(&rig);
    client.write_all(&get("/stream")).expect("sent");
    let head = common::read_head(&mut client);
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let mut second = connect(&rig);
    assert!(exchange(&mut second, &get("/stream")).starts_with("HTTP/1.1 503 "));
    rig.state.say("one\n");
    rig.server().waker().wake();
    assert_eq!(common::read_exactly(&mut client, 4), "one\n");
    client.shutdown(Shutdown::Both).expect("closed");
    rig.wait_until("it is over", |state| state.streams_over.load(Ordering::SeqCst) == 2);
}

#[test]
fn one_address_does_not_take_all_streams() {
    let rig = Rig::new(Limits { streams_per_address: 2, ..Limits::default() });
    let follow = |address| {
        let mut client = rig.connect_from(address);
        client.write_all(&get("/stream")).expect("sent");
        (common::read_head(&mut client), client)
    };
    let mut first: Vec<_> = (0..2).map(|_| follow("127.0.0.2")).collect();
    assert!(first.iter().all(|(head, _)| head.starts_with("HTTP/1.1 200 ")), "{first:?}");
    let (head, mut third) = follow("127.0.0.2");
    assert!(head.starts_with("HTTP/1.1 429 ") && head.contains("Retry-After: "), "{head}");
    assert!(head.contains("About: /stream\r\n"), "{head}");
    let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split('\r').next());
    let length = length.and_then(|length| length.parse().ok()).expect("a length");
    common::read_exactly(&mut third, length);
    assert!(exchange(&mut third, GET).starts_with("HTTP/1.1 200 "), "all else goes on");
    assert!(follow("127.0.0.3").0.starts_with("HTTP/1.1 200 "), "another address has its own");
    first.pop();
    // The refused one, the one from elsewhere, the one just left.
    rig.wait_until("it is over", |state| state.streams_over.load(Ordering::SeqCst) == 3);
    assert!(follow("127.0.0.2").0.starts_with("HTTP/1.1 200 "), "there is room again");
}

#[test]
fn a_stream_that_ends_ends_its_connection() {
    let rig = Rig::new(Limits::default());
    let mut client = connect(&rig);
    client.write_all(&get("/stream")).expect("sent");
    rig.state.say("last\n");
    rig.state.stream_ends.store(true, Ordering::SeqCst);
    rig.server().waker().wake();
    assert!(read_all(&mut client).ends_with("\r\n\r\nlast\n"));
}

#[test]
fn a_stopped_server_has_no_connections_and_no_threads() {
    let mut rig = Rig::new(Limits::default());
    let mut idle = connect(&rig);
    assert!(exchange(&mut idle, GET).starts_with("HTTP/1.1 200 "));
    let mut working = connect(&rig);
    working.write_all(&get("/hold")).expect("sent");
    rig.wait_until("held", |state| state.held.load(Ordering::SeqCst) == 1);
    let mut streaming = connect(&rig);
    streaming.write_all(&get("/stream")).expect("sent");
    common::read_head(&mut streaming);
    let address = rig.server().addresses()[0];
    let state = rig.state.clone();
    let releaser = std::thread::spawn(move || {
        // The worker's job ends after the stop has begun.
        let begun = Instant::now();
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it still listens");
        }
        state.release();
    });
    rig.stop();
    releaser.join().expect("released");
    assert_eq!(read_all(&mut idle), "");
    read_all(&mut working);
    read_all(&mut streaming);
    assert_eq!(rig.state.threads.load(Ordering::SeqCst), 0, "all have ended");
    assert_eq!(std::sync::Arc::strong_count(&rig.state), 1, "and nothing of theirs is left");
}

#[test]
fn sockets_of_the_callers_are_polled_too() {
    let rig = Rig::new(Limits::default());
    let mut client = connect(&rig);
    let answer = exchange(&mut client, &get("/watch"));
    assert!(answer.ends_with("watching\n"), "{answer}");
    rig.state.watched().write_all(b"hello").expect("sent");
    rig.wait_until("heard", |state| state.heard() == b"hello");
}

#[test]
fn a_transport_that_holds_bytes_back_and_stalls_loses_nothing() {
    let rig = Rig::wrapped(Limits::default(), Box::new(ShyWrap));
    let mut client = connect(&rig);
    let paths: Vec<&str> = ["/now", "/work", "/again"].into_iter().cycle().take(60).collect();
    let all: Vec<u8> = paths.iter().flat_map(|path| get(path)).collect();
    // One that takes more pieces than are read in one turn.
    let long = format!("GET /long HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "y".repeat(3000));
    client.write_all(&[HELLO, long.as_bytes(), &all].concat()).expect("sent");
    for path in ["/long"].into_iter().chain(paths) {
        assert!(read_answer(&mut client).ends_with(&format!("{path}\n")), "{path}");
    }
}

#[test]
fn who_does_not_get_through_the_handshake_is_given_up() {
    let limits = Limits { head_time: Duration::from_millis(200), ..Limits::default() };
    let rig = Rig::wrapped(limits, Box::new(ShyWrap));
    let mut silent = connect(&rig);
    let mut wrong = connect(&rig);
    wrong.write_all(GET).expect("sent");
    assert_eq!(read_all(&mut wrong), "");
    silent.write_all(&HELLO[..3]).expect("sent");
    assert_eq!(read_all(&mut silent), "", "not a word before the handshake is over");
    let mut good = connect(&rig);
    good.write_all(HELLO).expect("sent");
    assert!(exchange(&mut good, GET).starts_with("HTTP/1.1 200 "));
    assert_eq!(rig.state.requests.load(Ordering::SeqCst), 1);
}

#[test]
fn ten_thousand_connections_are_borne_while_others_are_served() {
    let wanted = common::raise_open_files(10_000 + 2_000).saturating_sub(2_000).min(10_000);
    assert!(wanted >= 500, "the machine allows {wanted} only, which shows nothing");
    let limits = Limits { connections: 200, connections_per_address: 64, ..Limits::default() };
    let rig = Rig::new(limits);
    let mut kept = Vec::with_capacity(wanted);
    let mut served = 0;
    for number in 0..wanted {
        let from = IpAddr::from([127, 0, 1 + u8::try_from(number / 200).expect("few"), 1]);
        let mut flood = rig.connect_from(&from.to_string());
        // Half a request each.
        let _ = flood.write_all(b"GET / HTTP/1.1\r\nHost:");
        kept.push(flood);
        if number % 500 == 0 {
            let mut client = connect(&rig);
            let answer = exchange(&mut client, GET);
            assert!(answer.starts_with("HTTP/1.1 200 "), "after {number}: {answer}");
            served += 1;
        }
    }
    assert_eq!(served, wanted.div_ceil(500));
    // They are let in one after the other, so now there is none whose turn is still to come.
    assert!(exchange(&mut connect(&rig), GET).starts_with("HTTP/1.1 200 "));
    let is_open = |client: &mut TcpStream| {
        client.set_nonblocking(true).expect("a socket");
        matches!(client.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
    };
    let open = kept.iter_mut().filter_map(|client| is_open(client).then_some(())).count();
    assert!(open <= 200, "{open} are still there");
}
