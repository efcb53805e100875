//! Variables and records in a healthy memcached.

mod common;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Bench, Memcached, name, section, until, value};
use univar::{Invalid, Name, Op, Outcome, VALUE_MAX_BYTES};

#[test]
fn what_one_node_sets_another_reads_at_once_and_deletes() {
    let server = Memcached::ready();
    let (one, other) = (Bench::new(&[server.address()]), Bench::new(&[server.address()]));
    assert_eq!(one.get("greeting"), Outcome::Missing);
    assert_eq!(one.set("greeting", b"hello"), Outcome::Done);
    assert_eq!(other.get("greeting"), value(b"hello"));
    assert_eq!(other.set("greeting", b""), Outcome::Done);
    assert_eq!(one.get("greeting"), value(b""));
    assert_eq!(other.delete("greeting"), Outcome::Done);
    assert_eq!(one.get("greeting"), Outcome::Missing);
    assert_eq!(one.delete("greeting"), Outcome::Missing);
}

#[test]
fn any_other_client_reads_and_writes_the_bare_value() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    bench.set("PEER_200", b"serverA");
    assert_eq!(server.value("PEER_200").as_deref(), Some(&b"serverA"[..]));
    server.ask("set PEER_201 7 0 7\r\nserverB\r\n");
    assert_eq!(bench.get("PEER_201"), value(b"serverB"));
}

#[test]
fn values_are_any_bytes_up_to_the_limit() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    let odd = b"\r\nEN\r\nVA 1\r\n\0\xff\r\n";
    assert_eq!(bench.set("odd", odd), Outcome::Done);
    assert_eq!(bench.get("odd"), value(odd));

    let longest: Vec<u8> = (0..VALUE_MAX_BYTES).map(|n| n as u8).collect();
    assert_eq!(bench.set("long", &longest), Outcome::Done);
    assert_eq!(bench.get("long"), value(&longest));

    let too_long = vec![0; VALUE_MAX_BYTES + 1];
    let invalid = Outcome::Invalid(Invalid::TooLong { len: VALUE_MAX_BYTES + 1 });
    assert_eq!(bench.set("long", &too_long), invalid);
    assert_eq!(bench.get("long"), value(&longest), "the old value stands");
}

#[test]
fn the_longest_name_with_the_longest_value_still_fits() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    let (longest, data) = ("n".repeat(250), vec![b'x'; VALUE_MAX_BYTES]);
    assert_eq!(bench.set(&longest, &data), Outcome::Done);
    assert_eq!(bench.get(&longest), value(&data));
    assert_eq!(bench.set("\u{e4}\u{f6}%25", b"1"), Outcome::Done);
    assert_eq!(bench.get("\u{e4}\u{f6}%25"), value(b"1"));
}

#[test]
fn a_name_that_would_inject_a_command_never_leaves() {
    let server = Memcached::ready();
    server.ask("ms PEER_200 7\r\nserverA\r\n");
    for bad in ["x\r\nmd PEER_200", "x\nmd PEER_200", "x v\r\nflush_all\r\n", ""] {
        assert!(Name::new(bad).is_err(), "{bad:?}");
    }
    let bench = Bench::new(&[server.address()]);
    let command = b"md PEER_200\r\nflush_all\r\n";
    assert_eq!(bench.set("x", command), Outcome::Done);
    assert_eq!(bench.get("x"), value(command));
    assert_eq!(bench.get("PEER_200"), value(b"serverA"), "a value is never a command");
}

#[test]
fn a_time_to_live_ends_and_a_long_one_is_not_a_date() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    let set = |name: &Name, ttl| bench.run(Op::Set { name, value: b"x", ttl: Some(ttl) });
    let day = Duration::from_secs(24 * 60 * 60);

    set(&name("short"), Duration::from_millis(1500));
    set(&name("none"), Duration::ZERO);
    set(&name("long"), day * 31);
    assert_eq!(bench.get("short"), value(b"x"));
    assert_eq!(bench.get("none"), Outcome::Missing);
    assert_eq!(bench.get("long"), value(b"x"));
    let left: u64 = server.ask("mg long t\r\n")["HD t".len()..].parse().expect("seconds");
    let asked = (day * 31).as_secs();
    assert!((asked - 2..=asked + 2).contains(&left), "{left} seconds left of {asked}");
    until("the short one ends", || bench.get("short") == Outcome::Missing);
}

#[test]
fn what_would_end_after_memcacheds_time_never_ends() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    let too_far = Duration::from_secs(i32::MAX as u64 + 1) - since_1970;
    let op = Op::Set { name: &name("far"), value: b"x", ttl: Some(too_far) };
    assert_eq!(bench.run(op), Outcome::Done);
    assert_eq!(server.ask("mg far t\r\n"), "HD t-1");
}

#[test]
fn many_names_over_two_servers_come_back_in_their_order() {
    let servers = [Memcached::ready(), Memcached::ready()];
    let bench = Bench::new(&[servers[0].address(), servers[1].address()]);
    let names: Vec<Name> = (0..3000).map(|n| name(&format!("n{n}"))).collect();
    let values: Vec<String> = (0..3000).map(|n| format!("value {n}")).collect();
    let sets: Vec<Op<'_>> = names
        .iter()
        .zip(&values)
        .map(|(name, value)| Op::Set { name, value: value.as_bytes(), ttl: None })
        .collect();
    let done = bench.store.run_within(&sets, Duration::from_secs(5));
    assert!(done.iter().all(|outcome| *outcome == Outcome::Done));

    let gets: Vec<Op<'_>> = names.iter().map(|name| Op::Get { name }).collect();
    let read = bench.store.run_within(&gets, Duration::from_secs(5));
    for (outcome, text) in read.iter().zip(&values) {
        assert_eq!(*outcome, value(text.as_bytes()));
    }
    for (at, server) in servers.iter().enumerate() {
        let placed = names.iter().filter(|name| bench.store.server_of(name) == at).count() as u64;
        assert_eq!(server.stat("curr_items"), placed + 1, "the marker is one more");
        assert!(placed > 1000);
    }
}

#[test]
fn a_batch_larger_than_all_buffers_arrives_whole() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    let (large, many) = (vec![b'x'; 500_000], (0..40).map(|n| name(&format!("n{n}"))));
    let names: Vec<Name> = many.collect();
    let limit = Duration::from_secs(10);
    let sets: Vec<Op<'_>> =
        names.iter().map(|name| Op::Set { name, value: &large, ttl: None }).collect();
    let done = bench.store.run_within(&sets, limit);
    assert!(done.iter().all(|outcome| *outcome == Outcome::Done));
    let gets: Vec<Op<'_>> = names.iter().map(|name| Op::Get { name }).collect();
    let read = bench.store.run_within(&gets, limit);
    assert!(read.iter().all(|outcome| *outcome == value(&large)));
}

#[test]
fn the_longest_prefix_picks_the_section() {
    let servers = [Memcached::ready(), Memcached::ready(), Memcached::ready()];
    let bench = Bench::with_sections(vec![
        section("general", &[], &[servers[0].address()]),
        section("phones", &["PEER"], &[servers[1].address()]),
        section("branch", &["PEERB_"], &[servers[2].address()]),
    ]);
    let names = ["OTHER", "PEERA_1", "PEERB_1", "PEER", "PEE"].map(name);
    let ops: Vec<Op<'_>> =
        names.iter().map(|name| Op::Set { name, value: b"x", ttl: None }).collect();
    assert_eq!(bench.store.run(&ops), vec![Outcome::Done; 5]);
    let has = |server: usize, key| servers[server].value(key).is_some();
    assert!(has(0, "OTHER") && has(0, "PEE"));
    assert!(has(1, "PEERA_1") && has(1, "PEER"));
    assert!(has(2, "PEERB_1") && !has(1, "PEERB_1") && !has(0, "PEERB_1"));
}

#[test]
fn sections_that_share_a_server_ask_it_once() {
    let server = Memcached::ready();
    let servers = [server.address()];
    let bench = Bench::with_sections(vec![
        section("general", &[], &servers),
        section("phones", &["PEER_"], &servers),
    ]);
    let (one, other) = (name("x"), name("PEER_200"));
    let ops = [Op::Get { name: &one }, Op::Get { name: &other }];
    assert_eq!(bench.store.run(&ops), [Outcome::Missing, Outcome::Missing]);
    assert_eq!(bench.store.servers()[0].connections, 1);
}

#[test]
fn the_newest_registration_owns_and_renewals_and_withdrawals_respect_it() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    bench.heal();
    let peer = "PEER_200";
    assert_eq!(bench.keep(peer, b"A"), Outcome::Done, "a gap is filled");
    assert_eq!(bench.keep(peer, b"A"), Outcome::Done, "ours is renewed");
    assert_eq!(bench.keep(peer, b"B"), Outcome::Foreign);
    assert_eq!(bench.withdraw(peer, b"B"), Outcome::Foreign);
    assert_eq!(bench.get(peer), value(b"A"));
    assert_eq!(bench.take(peer, b"B"), Outcome::Done);
    assert_eq!(bench.keep(peer, b"A"), Outcome::Foreign);
    assert_eq!(bench.withdraw(peer, b"A"), Outcome::Foreign);
    assert_eq!(bench.get(peer), value(b"B"));
    assert_eq!(bench.withdraw(peer, b"B"), Outcome::Done);
    assert_eq!(bench.get(peer), Outcome::Missing);
    assert_eq!(bench.withdraw(peer, b"B"), Outcome::Done, "nothing of ours is left");
}

#[test]
fn keep_renews_the_lease() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    server.ask("ms PEER_200 1 T5\r\nA\r\n");
    assert_eq!(bench.keep("PEER_200", b"A"), Outcome::Done);
    assert_eq!(server.ask("mg PEER_200 t\r\n"), "HD t60");
}

#[test]
fn a_large_mixed_batch_of_records_keeps_to_the_rules() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    bench.heal();
    let names: Vec<Name> = (0..2500).map(|n| name(&format!("PEER_{n}"))).collect();
    let ttl = Duration::from_secs(60);
    for n in 0..10 {
        server.ask(&format!("ms PEER_{n} 1\r\nB\r\n"));
    }
    let ops: Vec<Op<'_>> = names.iter().map(|name| Op::Keep { name, value: b"A", ttl }).collect();
    let kept = bench.store.run_within(&ops, Duration::from_secs(5));
    assert!(kept[..10].iter().all(|outcome| *outcome == Outcome::Foreign));
    assert!(kept[10..].iter().all(|outcome| *outcome == Outcome::Done));
    let ops: Vec<Op<'_>> = names.iter().map(|name| Op::Withdraw { name, value: b"A" }).collect();
    let gone = bench.store.run_within(&ops, Duration::from_secs(5));
    assert!(gone[..10].iter().all(|outcome| *outcome == Outcome::Foreign));
    assert!(gone[10..].iter().all(|outcome| *outcome == Outcome::Done));
    assert_eq!(server.stat("curr_items"), 11, "the others' ten, and the marker");
}

#[test]
fn names_are_listed_by_prefix_from_all_servers() {
    let servers = [Memcached::ready(), Memcached::ready()];
    let bench = Bench::new(&[servers[0].address(), servers[1].address()]);
    for n in 0..20 {
        bench.set(&format!("PEER_{n:02}"), b"x");
    }
    bench.set("OTHER%", b"x");
    let patience = Duration::from_secs(5);
    let found = bench.store.names(b"PEER_", 100, patience);
    assert!(!found.truncated && found.unlisted.is_empty());
    let want: Vec<Name> = (0..20).map(|n| name(&format!("PEER_{n:02}"))).collect();
    assert_eq!(found.names, want);
    let all = bench.store.names(b"", 100, patience);
    assert_eq!(all.names.len(), 21, "no marker among them");
    let few = bench.store.names(b"PEER_", 3, patience);
    assert!(few.truncated);
    assert_eq!(few.names.len(), 3);
}

#[test]
fn the_table_counts_what_was_asked() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    bench.set("a", b"1");
    bench.get("a");
    bench.get("b");
    let row = bench.store.servers().remove(0);
    assert_eq!((row.gets, row.sets, row.errors, row.connections), (2, 1, 0, 1));
    assert_eq!(&*row.name, server.address());
}
