//! Where ours answers otherwise than memcached 1.6.18 on purpose: what both answer, so that neither
//! changes unnoticed. `docs/cache.md` says why.

mod common;

use common::{Memcached, Pair, ours};
use tandem_cache::Settings;

/// What ours and theirs answer to the same.
fn answers(pair: &Pair, commands: &str) -> [String; 2] {
    pair.clients().map(|mut client| client.text(commands))
}

#[test]
fn the_value_of_a_bad_key_is_not_read_as_a_command() {
    let pair = Pair::start();
    let long = "k".repeat(251);
    let bad = "CLIENT_ERROR bad command line format\r\n";
    for command in
        [format!("set {long} 0 0 9\r\nflush_all\r\n"), format!("ms {long} 9\r\nflush_all\r\n")]
    {
        pair.same(b"set a 0 0 1\r\n1\r\n");
        let [ours, theirs] = answers(&pair, &command);
        assert_eq!((ours, theirs), (bad.to_owned(), format!("{bad}OK\r\n")));
        assert_eq!(answers(&pair, "mg a\r\n"), ["HD\r\n", "EN\r\n"]);
    }
}

#[test]
fn when_framing_is_lost_the_connection_is_closed_after_the_same_answer() {
    let pair = Pair::start();
    for command in [
        "set a b 0 0 9\r\nflush_all\r\n",
        "set a 0 0\r\nflush_all\r\n",
        "set a 0 0 x\r\nflush_all\r\n",
        "set a 0 0 2\r\nabcdef\r\nversion\r\n",
        "ms a\r\nflush_all\r\n",
        "ms a x\r\nflush_all\r\n",
    ] {
        let [mut ours, mut theirs] = pair.clients();
        ours.send(command.as_bytes());
        theirs.send(command.as_bytes());
        let first = ours.line();
        assert_eq!(first, theirs.line(), "{command}");
        assert_eq!(ours.line(), "", "ours is closed after {command}");
        assert_ne!(theirs.line(), "", "theirs reads what is left of {command}");
    }
}

#[test]
fn each_of_several_bad_commands_is_answered() {
    let pair = Pair::start();
    let get = format!("get {}\r\n", "k".repeat(251));
    let [ours, theirs] = answers(&pair, &get.repeat(3));
    let bad = "CLIENT_ERROR bad command line format\r\n";
    assert_eq!((ours, theirs), (bad.repeat(3), bad.to_owned()));
}

#[test]
fn lengths_dates_and_flags_are_not_cut_to_32_bits() {
    let pair = Pair::start();
    let [ours, theirs] = answers(&pair, "set a 0 4294967297 1\r\n1\r\nmg a\r\n");
    assert_eq!((ours.as_str(), theirs.as_str()), ("STORED\r\nHD\r\n", "STORED\r\nHD\r\n"));
    let [mut ours, mut theirs] = pair.clients();
    ours.send(b"set a 0 0 4294967297\r\n1\r\n");
    theirs.send(b"set a 0 0 4294967297\r\n1\r\n");
    assert_eq!(ours.line(), "SERVER_ERROR object too large for cache");
    assert_eq!(theirs.line(), "STORED");
    let [ours, theirs] = answers(&pair, "ms a 1 F4294967296\r\n1\r\n");
    assert_eq!(ours, "CLIENT_ERROR bad command line format\r\n");
    assert_eq!(theirs, "HD\r\n");
}

#[test]
fn newer_flags_are_known() {
    let pair = Pair::start();
    let bad = "CLIENT_ERROR invalid flag\r\n";
    let [ours, theirs] = answers(&pair, "ms a 1 E5 c\r\n1\r\n");
    assert_eq!((ours.as_str(), theirs.as_str()), ("HD c5\r\n", bad));
    let [ours, theirs] = answers(&pair, "md a x\r\n");
    assert_eq!(ours, "HD\r\n");
    assert_eq!(theirs, "CLIENT_ERROR invalid or duplicate flag\r\n");
}

#[test]
fn a_life_that_is_left_is_not_told_as_a_negative_number() {
    let pair = Pair::start();
    let [ours, theirs] = answers(&pair, "set a 0 1000 1\r\n1\r\nme a\r\n");
    assert!(ours.contains("exp=1000 ") || ours.contains("exp=999 "), "{ours}");
    assert!(theirs.contains("exp=-"), "{theirs}");
}

#[test]
fn a_number_that_gets_longer_takes_its_new_life() {
    let pair = Pair::start();
    let [ours, theirs] = answers(&pair, "set n 0 0 1\r\n9\r\nma n T1000\r\nmg n t\r\n");
    assert!(ours.starts_with("STORED\r\nHD\r\nHD t") && !ours.ends_with("t-1\r\n"), "{ours}");
    assert_eq!(theirs, "STORED\r\nHD\r\nHD t-1\r\n");
}

#[test]
fn the_crawler_can_always_be_enabled() {
    let pair = Pair::start();
    let [ours, theirs] = answers(&pair, "lru_crawler enable\r\n");
    assert_eq!(ours, "OK\r\n");
    assert_eq!(theirs, "ERROR failed to start lru crawler thread\r\n");
}

#[test]
fn the_binary_protocol_is_not_spoken() {
    let pair = Pair::start();
    // A no-op: 24 bytes, opcode 0x0a.
    let mut no_op = [0_u8; 24];
    (no_op[0], no_op[1]) = (0x80, 0x0a);
    let [mut ours, mut theirs] = pair.clients();
    ours.send(&no_op);
    theirs.send(&no_op);
    assert_eq!(ours.line(), "");
    assert_eq!(theirs.read_to(&[0x81]), [0x81]);
}

#[test]
fn what_is_refused_for_want_of_memory_leaves_what_was_there() {
    let small = |settings: &mut Settings| {
        (settings.evict, settings.memory_bytes) = (false, 2 << 20);
    };
    let pair = Pair { ours: ours(small), theirs: Memcached::start(&["-M", "-m", "2"]) };
    let long = format!("300000\r\n{}\r\n", "v".repeat(300_000));
    let refused = "SERVER_ERROR out of memory storing object\r\n";
    let left = pair.clients().map(|mut client| {
        assert_eq!(client.text("ms a 3\r\nold\r\n"), "HD\r\n");
        let full = (0..50).any(|name| client.text(&format!("ms {name} {long}")) == refused);
        assert!(full, "it takes what there is room for");
        assert_eq!(client.text(&format!("ms a {long}")), refused);
        client.text("mg a v\r\n")
    });
    assert_eq!(left, ["VA 3\r\nold\r\n", "EN\r\n"]);
}
