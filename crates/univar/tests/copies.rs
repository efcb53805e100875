//! Two copies of everything, on real memcached: whatever happens to one server, nothing is lost.

mod common;

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{Bench, DEADLINE, Memcached, SLACK, name, section, until, value};
use univar::{Config, EventKind, Op, Outcome, Secret, SectionConfig, ServerState};

/// Two servers whose misses count, and a node for each of `owners`.
fn cluster<const N: usize>(owners: [&str; N]) -> ([Memcached; 2], [Bench; N]) {
    let servers = [Memcached::ready(), Memcached::ready()];
    let addresses = [servers[0].address(), servers[1].address()];
    let nodes = owners.map(|owner| Bench::with_copies(owner, &addresses));
    nodes.iter().for_each(Bench::heal);
    (servers, nodes)
}

fn add(node: &Bench, text: &str, value: &[u8]) -> Outcome {
    node.run(Op::Add { name: &name(text), value, ttl: None })
}

fn count(node: &Bench, text: &str, by: i64) -> Outcome {
    node.run(Op::Increment { name: &name(text), by, ttl: None })
}

#[test]
fn both_servers_hold_what_was_written_and_either_may_die() {
    for dies in 0..2 {
        let (mut servers, [a, b]) = cluster(["A", "B"]);
        for n in 0..20 {
            assert_eq!(a.set(&format!("n{n}"), b"x"), Outcome::Done);
        }
        let raw = servers.each_ref().map(|server| server.value("n1").expect("a copy"));
        assert_eq!(raw[0], raw[1]);
        assert!(raw[0].starts_with(b"\0TD1V") && raw[0].ends_with(b"\x01A\0x"), "{:?}", raw[0]);
        servers[dies].kill();
        for n in 0..20 {
            assert_eq!(b.get(&format!("n{n}")), value(b"x"));
        }
        assert_eq!(b.get("other"), Outcome::Missing, "the other server knows");
        assert_eq!(b.set("n1", b"y"), Outcome::Done);
        assert_eq!(a.get("n1"), value(b"y"));
        servers[1 - dies].kill();
        until("both are noticed", || a.get("n1") == Outcome::Unreachable);
    }
}

#[test]
fn a_value_that_one_server_refuses_for_its_size_is_on_neither() {
    let servers = [Memcached::empty(), Memcached::with_options(&["-I", "512k"])];
    servers
        .iter()
        .for_each(|server| drop(server.ask("ms tandem:epoch 18\r\nR 00000000000000aa\r\n")));
    let node = Bench::with_copies("A", &[servers[0].address(), servers[1].address()]);
    node.heal();
    let large = vec![b'x'; 600_000];
    for n in 0..10 {
        // The ring names the one or the other first.
        let n = format!("n{n}");
        assert_eq!(node.set(&n, b"small"), Outcome::Done);
        assert_eq!(node.set(&n, &large), Outcome::Invalid(univar::Invalid::Refused));
        assert_eq!(node.get(&n), Outcome::Missing);
        assert_eq!(add(&node, &n, &large), Outcome::Invalid(univar::Invalid::Refused));
        assert_eq!(node.get(&n), Outcome::Missing);
        assert_eq!(node.set(&n, b"small"), Outcome::Done);
    }
    assert!(node.store.servers().iter().all(|one| !one.owed), "there is nothing to heal");
    let why = node.store.doubts(&name("n0"));
    assert!(why.iter().any(|line| line.contains("object too large")), "{why:?}");
}

#[test]
fn a_deleted_value_does_not_come_back_with_a_server_that_missed_the_delete() {
    let (mut servers, [a, b]) = cluster(["A", "B"]);
    assert_eq!(a.set("n", b"old"), Outcome::Done);
    servers[0].stop();
    assert_eq!(a.delete("n"), Outcome::Done);
    assert_eq!(a.delete("n"), Outcome::Missing);
    servers[0].go_on();
    until("it answers again", || {
        let _ = (a.store.maintain(), b.store.maintain());
        b.state(0) != ServerState::Down && a.state(0) != ServerState::Down
    });
    assert_eq!(b.get("n"), Outcome::Missing);
    a.heal();
    servers[1].kill();
    until("its death is noticed", || b.get("x") != Outcome::Unreachable);
    assert_eq!(b.get("n"), Outcome::Missing);
}

#[test]
fn a_server_that_hangs_holds_nobody_up_twice_and_has_everything_after_healing() {
    let (mut servers, [a, b]) = cluster(["A", "B"]);
    servers[0].stop();
    let start = Instant::now();
    for n in 0..300 {
        assert_eq!(a.set(&format!("n{n}"), b"x"), Outcome::Done);
    }
    assert!(start.elapsed() < DEADLINE * 2 + SLACK, "one wait, and no more");
    servers[0].go_on();
    let mut events = Vec::new();
    until("all servers are ready", || {
        events.extend(a.store.maintain());
        events.extend(a.store.heal(&|_| false));
        a.state(0) == ServerState::Ready && events.iter().any(|e| e.kind == EventKind::Healed)
    });
    assert!(events.iter().any(|e| matches!(e.kind, EventKind::Compared { names: 300.. })));
    servers[1].kill();
    for n in 0..300 {
        let read = || b.get(&format!("n{n}"));
        until("the death is noticed", || read() != Outcome::Unreachable);
        assert_eq!(read(), value(b"x"), "n{n}");
    }
}

#[test]
fn a_server_that_comes_back_empty_is_filled_again_from_the_other() {
    let (mut servers, [a, b]) = cluster(["A", "B"]);
    let names: Vec<_> = (0..2000).map(|n| name(&format!("n{n}"))).collect();
    for name in &names {
        let ttl = Some(Duration::from_secs(3000));
        assert_eq!(a.run(Op::Set { name, value: b"x", ttl }), Outcome::Done);
    }
    servers[0].restart();
    assert_eq!(b.get("n1"), value(b"x"), "its misses do not count");
    b.heal();
    servers[1].kill();
    until("the death is noticed", || b.get("n1") != Outcome::Unreachable);
    for name in &names {
        assert_eq!(b.run(Op::Get { name }), value(b"x"), "{name}");
        let Outcome::Life(Some(left)) = b.run(Op::Life { name }) else { panic!("it has a life") };
        assert!((2900..=3000).contains(&left.as_secs()), "{left:?}");
    }
}

#[test]
fn what_one_server_missed_is_written_to_it_by_who_reads() {
    let (servers, [a, b]) = cluster(["A", "B"]);
    assert_eq!(a.set("n", b"old"), Outcome::Done);
    let old = servers[0].value("n").expect("a copy");
    assert_eq!(a.set("n", b"new"), Outcome::Done);
    let new = servers[0].value("n").expect("a copy");
    let mut command = format!("ms n {}\r\n", old.len()).into_bytes();
    command.extend_from_slice(&old);
    command.extend_from_slice(b"\r\n");
    servers[1].send(&command);
    assert_eq!(b.get("n"), value(b"new"));
    assert_eq!(servers[1].value("n"), Some(new.clone()));
    servers[0].ask("md n\r\n");
    assert_eq!(b.get("n"), value(b"new"));
    assert_eq!(servers[0].value("n"), Some(new));
}

#[test]
fn a_bare_value_of_another_client_is_the_newest_and_gets_its_envelope() {
    let (servers, [a]) = cluster(["A"]);
    assert_eq!(a.set("n", b"ours"), Outcome::Done);
    servers[1].ask("ms n 6\r\ntheirs\r\n");
    assert_eq!(a.get("n"), value(b"theirs"));
    for server in &servers {
        let raw = server.value("n").expect("a copy");
        assert!(raw.starts_with(b"\0TD1V") && raw.ends_with(b"theirs"), "{raw:?}");
    }
}

#[test]
fn a_node_whose_clock_is_behind_writes_newer_values_all_the_same() {
    let (mut servers, [a]) = cluster(["A"]);
    // Two days ahead: further than a clock follows.
    let unix = std::time::UNIX_EPOCH.elapsed().expect("after 1970") + Duration::from_secs(172_800);
    let version = u64::try_from(unix.as_millis()).expect("before 10000") << 16;
    let mut envelope = b"\0TD1V".to_vec();
    envelope.extend_from_slice(&version.to_be_bytes());
    envelope.extend_from_slice(b"\x01Z\0ahead");
    for server in &servers {
        let mut command = format!("ms n {}\r\n", envelope.len()).into_bytes();
        command.extend_from_slice(&envelope);
        command.extend_from_slice(b"\r\n");
        server.send(&command);
    }
    assert_eq!(a.get("n"), value(b"ahead"));
    assert_eq!(a.set("n", b"behind"), Outcome::Done);
    assert_eq!(a.get("n"), value(b"behind"));
    servers[0].stop();
    assert_eq!(a.delete("n"), Outcome::Done);
    servers[0].go_on();
    a.heal();
    assert_eq!(a.get("n"), Outcome::Missing);
    servers[1].kill();
    until("its death is noticed", || a.get("x") != Outcome::Unreachable);
    assert_eq!(a.get("n"), Outcome::Missing);
}

#[test]
fn one_of_many_that_add_wins() {
    let (_servers, nodes) = cluster(["A", "B", "C"]);
    for round in 0..50 {
        let (won, text) = (AtomicUsize::new(0), format!("lock{round}"));
        std::thread::scope(|scope| {
            for node in &nodes {
                scope.spawn(|| match add(node, &text, b"x") {
                    Outcome::Done => won.fetch_add(1, Ordering::SeqCst),
                    other => {
                        assert_eq!(other, Outcome::Exists);
                        0
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
    }
}

#[test]
fn a_lock_holds_when_a_server_dies_and_is_free_when_it_is_deleted() {
    let (mut servers, [a, b]) = cluster(["A", "B"]);
    assert_eq!(add(&a, "lock", b"A"), Outcome::Done);
    servers[0].kill();
    assert_eq!(add(&b, "lock", b"B"), Outcome::Exists);
    assert_eq!(b.delete("lock"), Outcome::Done);
    assert_eq!(add(&b, "lock", b"B"), Outcome::Done);
    assert_eq!(add(&a, "lock", b"A"), Outcome::Exists);
}

#[test]
fn every_count_counts_once_and_has_its_number() {
    // Who does not wait for both servers may give a number that another has given too; the counts
    // are all there even so. Here everybody waits.
    let servers = [Memcached::ready(), Memcached::ready()];
    let addresses = [servers[0].address(), servers[1].address()];
    let nodes = ["A", "B", "C"].map(|owner| {
        let deadline = Duration::from_secs(10);
        let general = SectionConfig { copies: 2, deadline, ..section("general", &[], &addresses) };
        Bench::with_config(Config { sections: vec![general], owner: owner.into() })
    });
    nodes.iter().for_each(Bench::heal);
    let sum = AtomicI64::new(0);
    std::thread::scope(|scope| {
        for node in &nodes {
            scope.spawn(|| {
                for _ in 0..100 {
                    match count(node, "n", 1) {
                        Outcome::Number(number) => sum.fetch_add(number, Ordering::SeqCst),
                        other => panic!("{other:?}"),
                    };
                }
            });
        }
    });
    assert_eq!(sum.into_inner(), (1..=300).sum(), "each number was given once");
    assert_eq!(nodes[0].get("n"), value(b"300"));
}

#[test]
fn counting_goes_on_when_a_server_dies_and_knows_its_limits() {
    let (mut servers, [a, b]) = cluster(["A", "B"]);
    assert_eq!(count(&a, "n", 5), Outcome::Number(5));
    servers[0].kill();
    assert_eq!(count(&b, "n", -7), Outcome::Number(-2));
    servers[0].restart();
    b.heal();
    servers[1].kill();
    until("its death is noticed", || b.get("n") != Outcome::Unreachable);
    assert_eq!(count(&b, "n", 1), Outcome::Number(-1));
    assert_eq!(b.set("n", b"many"), Outcome::Done);
    assert_eq!(count(&b, "n", 1), Outcome::Invalid(univar::Invalid::NotANumber));
    assert_eq!(b.set("n", i64::MAX.to_string().as_bytes()), Outcome::Done);
    assert_eq!(count(&b, "n", 1), Outcome::Invalid(univar::Invalid::Overflow));
}

#[test]
fn a_counter_stays_small_while_a_server_is_away() {
    let (mut servers, [a, b]) = cluster(["A", "B"]);
    assert_eq!(count(&a, "n", 1), Outcome::Number(1));
    servers[0].kill();
    until("its death is noticed", || {
        let _ = a.store.maintain();
        a.state(0) == ServerState::Down
    });
    for n in 1..=300 {
        assert_eq!(count(&a, "n", 1), Outcome::Number(1 + n));
    }
    let raw = servers[1].value("n").expect("a copy");
    assert!(raw.len() < 200, "an entry for each call: {} bytes", raw.len());
    servers[0].restart();
    b.heal();
    servers[1].kill();
    until("its death is noticed", || b.get("n") != Outcome::Unreachable);
    assert_eq!(b.get("n"), value(b"301"));
}

#[test]
fn counts_that_were_made_apart_are_all_there_when_they_meet() {
    // Whatever is done to the counter first.
    type Look = fn(&Bench) -> Outcome;
    let looks: [(Look, Outcome); 5] = [
        (|node| node.get("n"), value(b"22")),
        (|node| count(node, "n", 0), Outcome::Number(22)),
        (|node| add(node, "n", b"0"), Outcome::Exists),
        (|node| node.run(Op::Life { name: &name("n") }), Outcome::Life(None)),
        (|node| node.run(Op::Touch { name: &name("n"), ttl: None }), Outcome::Done),
    ];
    for (look, answer) in looks {
        let (servers, [a]) = cluster(["A"]);
        assert_eq!(a.set("n", b"10"), Outcome::Done);
        assert_eq!(count(&a, "n", 1), Outcome::Number(11));
        // Two nodes, each of which reaches one server only: the other one is a port where nobody is.
        let addresses = [servers[0].address(), servers[1].address()];
        let apart = |at: usize| {
            let mut lane = addresses.clone();
            lane[1 - at] = "127.0.0.1:1".into();
            // The ring goes by the texts; this one has to place nothing, for both are asked.
            let node = Bench::with_copies(["B", "C"][at], &lane);
            until("it reaches one of them", || {
                let _ = node.store.maintain();
                node.state(at) == ServerState::Ready
            });
            node
        };
        let (b, c) = (apart(0), apart(1));
        assert_eq!(count(&b, "n", 5), Outcome::Number(16));
        assert_eq!(count(&c, "n", 7), Outcome::Number(18));
        assert_eq!(count(&c, "n", -1), Outcome::Number(17));
        assert_eq!(look(&a), answer);
        assert_eq!(count(&a, "n", 1), Outcome::Number(23));
        let copies = servers.each_ref().map(|server| server.value("n").expect("a copy"));
        assert_eq!(copies[0], copies[1]);
    }
}

#[test]
fn an_older_value_does_not_come_back_when_the_life_of_a_newer_one_is_over() {
    let (servers, [a]) = cluster(["A"]);
    assert_eq!(a.set("n", b"old"), Outcome::Done);
    servers[0].stop();
    let (n, ttl) = (name("n"), Some(Duration::from_secs(1)));
    assert_eq!(a.run(Op::Set { name: &n, value: b"short", ttl }), Outcome::Done);
    until("its life is over", || a.get("n") == Outcome::Missing);
    servers[0].go_on();
    a.heal();
    assert_eq!(a.get("n"), Outcome::Missing);
    assert_eq!(a.run(Op::Life { name: &n }), Outcome::Missing);
    assert_eq!(add(&a, "n", b"new"), Outcome::Done);
    assert_eq!(a.get("n"), value(b"new"));
}

#[test]
fn a_life_can_be_asked_for_and_changed() {
    let (servers, [a]) = cluster(["A"]);
    let n = name("n");
    assert_eq!(a.run(Op::Life { name: &n }), Outcome::Missing);
    assert_eq!(a.run(Op::Touch { name: &n, ttl: None }), Outcome::Missing);
    assert_eq!(a.set("n", b"x"), Outcome::Done);
    assert_eq!(a.run(Op::Life { name: &n }), Outcome::Life(None));
    let ttl = Some(Duration::from_secs(100));
    assert_eq!(a.run(Op::Touch { name: &n, ttl }), Outcome::Done);
    let Outcome::Life(Some(left)) = a.run(Op::Life { name: &n }) else { panic!("it has a life") };
    assert!((99..=100).contains(&left.as_secs()));
    for server in &servers {
        // The item outlives the value by a day.
        let item = server.ask("mg n t\r\n");
        let left: u64 =
            item.strip_prefix("HD t").and_then(|text| text.parse().ok()).expect("a life");
        assert!((86_499..=86_500).contains(&left), "{item}");
    }
    assert_eq!(a.get("n"), value(b"x"));
}

#[test]
fn a_registration_has_one_owner_in_both_copies() {
    let (mut servers, [a, b]) = cluster(["A", "B"]);
    assert_eq!(a.take("PEER_1", b"@a/"), Outcome::Done);
    assert_eq!(b.keep("PEER_1", b"@b/"), Outcome::Foreign);
    assert_eq!(b.withdraw("PEER_1", b"@b/"), Outcome::Foreign);
    assert_eq!(b.take("PEER_1", b"@b/"), Outcome::Done);
    assert_eq!(a.keep("PEER_1", b"@a/"), Outcome::Foreign);
    assert_eq!(a.withdraw("PEER_1", b"@a/"), Outcome::Foreign);
    servers[0].stop();
    assert_eq!(b.keep("PEER_1", b"@b/"), Outcome::Done);
    assert_eq!(b.withdraw("PEER_1", b"@b/"), Outcome::Done);
    assert_eq!(b.withdraw("PEER_1", b"@b/"), Outcome::Done);
    servers[0].go_on();
    until("it answers again", || {
        let _ = a.store.maintain();
        a.state(0) != ServerState::Down
    });
    assert_eq!(a.get("PEER_1"), Outcome::Missing);
    servers[1].restart();
    servers[0].restart();
    assert_eq!(a.keep("PEER_1", b"@a/"), Outcome::Unreachable, "a gap in a new epoch");
}

#[test]
fn with_a_secret_nothing_counts_that_does_not_carry_its_proof() {
    let servers = [Memcached::ready(), Memcached::ready()];
    let addresses = [servers[0].address(), servers[1].address()];
    let node = |secret: &str, copies| {
        let secret = Some(Secret::new(secret));
        let general = SectionConfig { copies, secret, ..section("general", &[], &addresses) };
        Bench::with_config(Config { sections: vec![general], owner: "A".into() })
    };
    let (a, stranger) = (node("open sesame", 2), node("something else", 2));
    assert_eq!(a.set("PEER_1", b"@a/"), Outcome::Done);
    assert_eq!(stranger.get("PEER_1"), Outcome::Unreachable);
    assert_eq!(stranger.keep("PEER_1", b"@evil/"), Outcome::Unreachable);
    servers[0].ask("ms PEER_1 6\r\n@evil/\r\n");
    assert_eq!(a.get("PEER_1"), value(b"@a/"), "the other copy is good");
    assert!(servers[0].value("PEER_1").is_some_and(|raw| raw.ends_with(b"@a/")), "and mends it");
    for server in &servers {
        server.ask("ms PEER_1 6\r\n@evil/\r\n");
    }
    assert_eq!(a.get("PEER_1"), Outcome::Unreachable);
    let events = a.store.maintain();
    let refused = |event: &univar::Event| matches!(event.kind, EventKind::Refused { .. });
    assert!(events.iter().any(refused), "{events:?}");
    assert_eq!(a.get("PEER_1"), Outcome::Unreachable);
    assert!(!a.store.maintain().iter().any(refused), "said once a minute");
    let refused: u64 = a.store.servers().iter().map(|server| server.refused).sum();
    assert!(refused >= 5, "{refused}");
    assert_eq!(a.set("PEER_1", b"@a/"), Outcome::Done);
    assert_eq!(a.get("PEER_1"), value(b"@a/"));
}

#[test]
fn a_read_of_two_copies_asks_each_server_once() {
    let (servers, [a]) = cluster(["A"]);
    assert_eq!(a.set("n", b"x"), Outcome::Done);
    let before = servers.each_ref().map(|server| server.stat("cmd_get"));
    assert_eq!(a.get("n"), value(b"x"));
    let after = servers.each_ref().map(|server| server.stat("cmd_get"));
    // The value and the marker.
    assert_eq!([after[0] - before[0], after[1] - before[1]], [2, 2]);
}
