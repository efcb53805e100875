//! The change feed: what a watcher is told, and that nobody waits for one.

mod common;

use std::net::SocketAddr;

use common::{Client, ours, until};

fn watch(address: SocketAddr, prefix: &str) -> Client {
    let mut watcher = Client::connect(address);
    watcher.send(format!("watch tandem {prefix}\r\n").as_bytes());
    assert_eq!(watcher.line(), "OK");
    watcher
}

#[test]
fn a_watcher_is_told_of_values_as_they_change() {
    let server = ours(|_| {});
    let address = server.addresses()[0];
    let (mut watcher, mut client) = (watch(address, ""), Client::connect(address));
    client.text("set a 7 100 3\r\none\r\nappend a 0 0 1\r\n!\r\n");
    assert_eq!(watcher.read_to(b"!\r\n"), b"SET a 7 100 3\r\none\r\nSET a 7 100 4\r\none!\r\n");
    client.text("touch a 50\r\nms n 2 T0\r\n10\r\nma n\r\nmg n T9\r\ndelete a\r\nmd n\r\n");
    for line in ["TOUCH a 50", "SET n 0 -1 2", "10", "SET n 0 -1 2", "11", "TOUCH n 9"] {
        assert_eq!(watcher.line(), line);
    }
    assert_eq!(watcher.line(), "DELETE a");
    assert_eq!(watcher.line(), "DELETE n");
    client.text("add a 0 0 1\r\n1\r\nadd a 0 0 1\r\n1\r\nget a\r\nflush_all\r\n");
    assert_eq!(watcher.read_to(b"FLUSH\r\n"), b"SET a 0 -1 1\r\n1\r\nFLUSH\r\n");
    client.text("ms YSBi 0 b\r\n\r\nmd YSBi b\r\n");
    assert_eq!(
        watcher.read_to(b"DELETE YSBi b\r\n"),
        b"SET YSBi 0 -1 0 b\r\n\r\nDELETE YSBi b\r\n"
    );
}

#[test]
fn an_end_is_told_when_it_comes_though_nobody_asks() {
    let server = ours(|_| {});
    let address = server.addresses()[0];
    let (mut watcher, mut client) = (watch(address, ""), Client::connect(address));
    client.text("set a 0 1 1\r\n1\r\nset b 0 -1 1\r\n1\r\n");
    let told = String::from_utf8(watcher.read_to(b"EXPIRE a\r\n")).unwrap();
    assert!(told.contains("EXPIRE b\r\n") || watcher.line() == "EXPIRE b", "{told}");
}

#[test]
fn only_what_begins_with_the_prefix_is_told() {
    let server = ours(|_| {});
    let address = server.addresses()[0];
    let (mut watcher, mut client) = (watch(address, "PEER_"), Client::connect(address));
    client.text("set VAR 0 0 1\r\n1\r\nset PEER_1 0 0 1\r\n1\r\ndelete VAR\r\ndelete PEER_1\r\n");
    assert_eq!(
        watcher.read_to(b"DELETE PEER_1\r\n"),
        b"SET PEER_1 0 -1 1\r\n1\r\nDELETE PEER_1\r\n"
    );
}

#[test]
fn an_item_that_makes_room_is_told() {
    let server = ours(|settings| settings.memory_bytes = 2 << 20);
    let address = server.addresses()[0];
    let (mut watcher, mut client) = (watch(address, ""), Client::connect(address));
    let value = "v".repeat(900_000);
    for key in ["first", "second", "third"] {
        client.text(&format!("set {key} 0 0 900000\r\n{value}\r\n"));
    }
    watcher.read_to(b"EVICT ");
    let key = watcher.line();
    // Both were used in the same second.
    assert!(["first", "second"].contains(&key.as_str()), "{key}");
    assert_eq!(client.text(&format!("mg {key}\r\nmg third\r\n")), "EN\r\nHD\r\n");
}

#[test]
fn who_does_not_keep_up_is_told_how_much_it_has_missed() {
    const SETS: usize = 100;
    const VALUE: usize = 500_000;
    let server = ours(|_| {});
    let address = server.addresses()[0];
    let (mut watcher, mut client) = (watch(address, ""), Client::connect(address));
    let set = format!("set a 0 0 {VALUE}\r\n{}\r\n", "v".repeat(VALUE));
    for _ in 0..SETS {
        assert_eq!(client.text(&set), "STORED\r\n");
    }
    // It wakes up, and learns of what it could not be told.
    let (mut told, mut missed) = (0, 0);
    while told + missed < SETS {
        let line = watcher.line();
        if let Some(skipped) = line.strip_prefix("SKIPPED ") {
            missed += skipped.parse::<usize>().unwrap();
        } else {
            assert_eq!(line, format!("SET a 0 -1 {VALUE}"));
            assert_eq!(watcher.line().len(), VALUE);
            told += 1;
        }
    }
    assert!(missed > 0 && told > 4, "{told} told, {missed} missed");
    client.text("delete a\r\n");
    assert_eq!(watcher.line(), "DELETE a");
}

#[test]
fn watchers_are_bounded_and_make_room_when_they_go() {
    let server = ours(|_| {});
    let address = server.addresses()[0];
    let watchers: Vec<_> = (0..20).map(|_| watch(address, "")).collect();
    let mut one_too_many = Client::connect(address);
    one_too_many.send(b"watch tandem\r\n");
    assert_eq!(one_too_many.line(), "WATCHER_TOO_MANY log watcher limit reached");
    drop(watchers);
    let mut client = Client::connect(address);
    until("they are gone", || client.stat("log_watchers") == 0);
    watch(address, "");
    assert_eq!(client.text("watch mutations\r\n"), "ERROR\r\n", "memcached's own is not there");
}

#[test]
fn the_version_tells_that_there_is_a_feed() {
    let server = ours(|_| {});
    let text = Client::connect(server.addresses()[0]).text("version\r\n");
    assert!(text.starts_with("VERSION 1.6.18-tandem"), "{text}");
}
