//! What an answer means when a cache server is empty, dead, hung, or no memcached at all.

mod common;

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Bench, DEADLINE, FalseServer, Memcached, SLACK, name, section, until, value};
use univar::epoch::HEAL_WINDOW;
use univar::{
    Config, DEADLINE_MAX, EventKind, Name, Op, Outcome, SectionConfig, ServerState, Store,
};

/// Runs it, and checks that the deadline held.
#[track_caller]
fn in_time(bench: &Bench, ops: &[Op<'_>]) -> Vec<Outcome> {
    let start = Instant::now();
    let outcomes = bench.store.run(ops);
    let took = start.elapsed();
    assert!(took < DEADLINE + SLACK, "took {took:?}");
    outcomes
}

fn kinds(bench: &Bench) -> Vec<EventKind> {
    bench.store.maintain().into_iter().map(|event| event.kind).collect()
}

/// Probes until there is something to tell: on a busy machine one probe may be too late, and that
/// alone is no news.
#[track_caller]
fn news(bench: &Bench) -> Vec<EventKind> {
    let mut told = Vec::new();
    until("there is news", || {
        told = kinds(bench);
        !told.is_empty()
    });
    told
}

/// Probes until the first server is in this state.
#[track_caller]
fn reaches(bench: &Bench, state: ServerState) {
    until("the state is reached", || {
        let _ = bench.store.maintain();
        bench.state(0) == state
    });
}

#[test]
fn a_miss_does_not_count_before_the_server_is_healed_and_a_hit_does() {
    let server = Memcached::empty();
    let bench = Bench::new(&[server.address()]);
    assert_eq!(bench.get("x"), Outcome::Unreachable);
    assert_eq!(bench.delete("x"), Outcome::Unreachable);
    assert_eq!(bench.woken(), 1, "the I/O thread is told once");
    bench.set("y", b"1");
    assert_eq!(bench.get("y"), value(b"1"));
    assert_eq!(bench.woken(), 1);

    let start = Instant::now();
    assert_eq!(news(&bench), [EventKind::Up, EventKind::Lost]);
    assert_eq!(bench.state(0), ServerState::Healing);
    assert_eq!(bench.get("x"), Outcome::Unreachable);
    assert_eq!(bench.woken(), 1, "that it is being healed is known");
    bench.heal();
    assert!(start.elapsed() >= HEAL_WINDOW);
    assert_eq!(bench.get("x"), Outcome::Missing);
    assert_eq!(bench.get("y"), value(b"1"));
}

#[test]
fn two_nodes_agree_on_one_epoch_and_each_is_told_to_publish_once() {
    let server = Memcached::empty();
    let (one, other) = (Bench::new(&[server.address()]), Bench::new(&[server.address()]));
    assert_eq!(news(&one), [EventKind::Up, EventKind::Lost]);
    let marker = server.value("tandem:epoch");
    assert_eq!(news(&other), [EventKind::Up, EventKind::Lost]);
    assert_eq!(kinds(&one), []);
    assert_eq!(server.value("tandem:epoch"), marker);
}

#[test]
fn a_server_that_was_killed_and_started_empty_is_not_believed_until_it_is_healed() {
    let mut server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    assert_eq!(news(&bench), [EventKind::Up, EventKind::Lost]);
    bench.set("x", b"1");
    server.restart();
    assert_eq!(bench.get("x"), Outcome::Unreachable, "lost, and never called missing");
    assert_eq!(bench.woken(), 1);
    assert_eq!(news(&bench), [EventKind::Lost]);
    let mut healed = Vec::new();
    until("it is healed", || {
        assert_ne!(bench.state(0), ServerState::Down);
        healed.extend(kinds(&bench));
        bench.state(0) == ServerState::Ready
    });
    assert_eq!(healed, [EventKind::Healed]);
    assert_eq!(bench.get("x"), Outcome::Missing);
}

#[test]
fn a_flushed_server_is_noticed_like_a_restarted_one() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    reaches(&bench, ServerState::Ready);
    bench.set("x", b"1");
    until("the flush took effect", || {
        server.ask("flush_all\r\n");
        bench.get("x") == Outcome::Unreachable
    });
    assert_eq!(news(&bench), [EventKind::Lost]);
}

#[test]
fn a_dead_server_fails_at_once_and_is_found_again() {
    let mut server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    assert_eq!(news(&bench), [EventKind::Up, EventKind::Lost]);
    server.kill();
    assert_eq!(in_time(&bench, &[Op::Get { name: &name("x") }]), [Outcome::Unreachable]);
    assert_eq!((bench.woken(), bench.state(0)), (1, ServerState::Down));
    assert_eq!(news(&bench), [EventKind::Down]);
    assert_eq!(kinds(&bench), []);
    let errors = bench.store.servers()[0].errors;
    assert_eq!(bench.get("x"), Outcome::Unreachable);
    assert_eq!(bench.store.servers()[0].errors, errors, "it is not even asked");
    assert_eq!(bench.woken(), 1);
    server.restart();
    assert_eq!(news(&bench), [EventKind::Up, EventKind::Lost]);
    assert_eq!(bench.set("x", b"1"), Outcome::Done);
}

#[test]
fn a_hung_server_costs_one_deadline_and_then_nothing() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    reaches(&bench, ServerState::Ready);
    bench.set("x", b"1");
    server.stop();
    let x = name("x");
    let start = Instant::now();
    assert_eq!(in_time(&bench, &[Op::Get { name: &x }]), [Outcome::Unreachable]);
    assert!(start.elapsed() >= DEADLINE, "it was given its time");
    let start = Instant::now();
    assert_eq!(bench.get("x"), Outcome::Unreachable);
    assert!(start.elapsed() < DEADLINE / 4, "known to be down");
    assert_eq!(kinds(&bench), [], "one probe alone is no news");
    assert_eq!(news(&bench), [EventKind::Down]);
    server.go_on();
    assert_eq!(news(&bench), [EventKind::Up]);
    assert_eq!(bench.get("x"), value(b"1"));
}

#[test]
fn several_hung_servers_take_one_deadline_together_and_the_others_answer() {
    let servers: Vec<Memcached> = (0..5).map(|_| Memcached::ready()).collect();
    let addresses: Vec<String> = servers.iter().map(Memcached::address).collect();
    let bench = Bench::new(&addresses);
    let names: Vec<Name> = (0..50).map(|n| name(&format!("n{n}"))).collect();
    let sets: Vec<Op<'_>> =
        names.iter().map(|name| Op::Set { name, value: b"x", ttl: None }).collect();
    assert_eq!(bench.store.run(&sets), vec![Outcome::Done; 50]);
    servers[..4].iter().for_each(Memcached::stop);
    let gets: Vec<Op<'_>> = names.iter().map(|name| Op::Get { name }).collect();
    let outcomes = in_time(&bench, &gets);
    for (name, outcome) in names.iter().zip(outcomes) {
        let hangs = bench.store.server_of(name) < 4;
        let want = if hangs { Outcome::Unreachable } else { value(b"x") };
        assert_eq!(outcome, want, "{name}");
    }
    assert!(names.iter().any(|name| bench.store.server_of(name) == 4));
}

#[test]
fn probes_of_several_hung_servers_run_at_once() {
    let servers: Vec<Memcached> = (0..4).map(|_| Memcached::ready()).collect();
    let addresses: Vec<String> = servers.iter().map(Memcached::address).collect();
    let bench = Bench::new(&addresses);
    servers[..3].iter().for_each(Memcached::stop);
    let start = Instant::now();
    let events = bench.store.maintain();
    let took = start.elapsed();
    assert!(took < Duration::from_millis(200) + SLACK, "took {took:?}");
    assert_eq!(events.iter().filter(|event| event.kind == EventKind::Down).count(), 0);
    let events = bench.store.maintain();
    let down = events.iter().filter(|event| event.kind == EventKind::Down).count();
    assert_eq!(down, 3);
    until("the fourth answers", || {
        let _ = bench.store.maintain();
        bench.state(3) == ServerState::Ready
    });
}

#[test]
fn a_host_that_swallows_connections_costs_one_deadline() {
    // A listener that nobody accepts from, with its queue full, drops what comes like a
    // firewall does.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    listener.bind(&any.into()).expect("a free port");
    listener.listen(0).expect("a listener");
    let address = TcpListener::from(listener).local_addr_kept();
    let mut queued = Vec::new();
    until("the queue is full", || {
        match std::net::TcpStream::connect_timeout(&address.1, Duration::from_millis(50)) {
            Ok(stream) => queued.push(stream),
            Err(error) => return error.kind() == ErrorKind::TimedOut,
        }
        false
    });
    let bench = Bench::new(&[address.1.to_string()]);
    assert_eq!(in_time(&bench, &[Op::Get { name: &name("x") }]), [Outcome::Unreachable]);
    assert_eq!(bench.state(0), ServerState::Down);
}

/// Keeps a listener and tells its address.
trait KeptAddress {
    fn local_addr_kept(self) -> (TcpListener, std::net::SocketAddr);
}

impl KeptAddress for TcpListener {
    fn local_addr_kept(self) -> (TcpListener, std::net::SocketAddr) {
        let address = self.local_addr().expect("an address");
        (self, address)
    }
}

#[test]
fn a_pooled_connection_that_died_is_replaced_and_nobody_notices() {
    let mut server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    bench.set("x", b"1");
    server.restart();
    server.ask("ms tandem:epoch 18\r\nR 00000000000000aa\r\n");
    assert_eq!(bench.set("x", b"2"), Outcome::Done);
    assert_eq!(bench.get("x"), value(b"2"));
    assert_eq!(bench.store.servers()[0].errors, 0);
}

#[test]
fn garbage_is_never_an_answer_and_its_connection_is_never_used_again() {
    let server = FalseServer::answering(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"]);
    let bench = Bench::new(&[server.address()]);
    assert_eq!(bench.get("x"), Outcome::Unreachable);
    assert_eq!(bench.store.servers()[0].connections, 0);
    assert_eq!(bench.woken(), 1);
    let error = bench.store.servers()[0].last_error.clone().expect("an error");
    assert_eq!(error, "not memcached's protocol: unknown reply");
    assert_eq!(bench.get("x"), Outcome::Unreachable);
    until("both connections were seen", || server.connections() == 2);
    assert_eq!(news(&bench), [EventKind::Down]);
}

#[test]
fn more_than_was_asked_for_is_garbage_too() {
    const EXTRA: &[u8] = b"VA 1\r\nx\r\nVA 18 ktandem:epoch\r\nR 00000000000000aa\r\nVA 1\r\ny\r\n";
    let server = FalseServer::answering(&[EXTRA]);
    let bench = Bench::new(&[server.address()]);
    bench.get("x");
    assert_eq!(bench.store.servers()[0].connections, 0, "or the next reader would get y");
}

#[test]
fn an_answer_in_pieces_is_put_together() {
    let server = FalseServer::answering(&[
        b"V",
        b"A 9\r",
        b"\nserver",
        b"\r\nA\r",
        b"\nVA 18 ktandem:",
        b"epoch\r\nR 000000000000",
        b"00aa\r\n",
    ]);
    // A piece goes out when the one before it was read; the deadline is not what is tried here.
    let patient =
        SectionConfig { deadline: DEADLINE_MAX, ..section("general", &[], &[server.address()]) };
    let bench = Bench::with_sections(vec![patient]);
    assert_eq!(bench.get("x"), value(b"server\r\nA"));
    assert_eq!(bench.store.servers()[0].connections, 1, "and the connection is kept");
}

#[test]
fn an_answer_that_never_ends_is_cut_off_by_the_deadline() {
    let server = FalseServer::answering(&[b"VA 1000\r\nhello"]);
    let bench = Bench::new(&[server.address()]);
    assert_eq!(in_time(&bench, &[Op::Get { name: &name("x") }]), [Outcome::Unreachable]);
    assert_eq!(bench.store.servers()[0].connections, 0);
}

#[test]
fn sections_with_different_deadlines_each_keep_to_their_own() {
    let (slow, quick) = (Memcached::ready(), Memcached::ready());
    let mut sections = vec![
        section("general", &[], &[quick.address()]),
        section("patient", &["SLOW_"], &[slow.address()]),
    ];
    sections[1].deadline = DEADLINE * 3;
    let bench = Bench::with_sections(sections);
    slow.stop();
    quick.stop();
    let start = Instant::now();
    assert_eq!(bench.get("x"), Outcome::Unreachable);
    assert!(start.elapsed() < DEADLINE + SLACK);
    let start = Instant::now();
    assert_eq!(bench.get("SLOW_x"), Outcome::Unreachable);
    assert!((DEADLINE * 3..DEADLINE * 3 + SLACK).contains(&start.elapsed()));
}

#[test]
fn a_reload_keeps_connections_and_health() {
    let (server, other) = (Memcached::ready(), Memcached::ready());
    let bench = Bench::new(&[server.address()]);
    reaches(&bench, ServerState::Ready);
    bench.set("x", b"1");
    let sections = vec![
        section("general", &[], &[server.address()]),
        section("phones", &["PEER_"], &[other.address(), server.address()]),
    ];
    let config = Config { sections, ..Config::default() };
    let next = Store::new(&config, Some(&bench.store), Arc::new(|| {})).unwrap();
    drop(bench);
    let rows = next.servers();
    assert_eq!(rows.len(), 2, "a server is shared by the sections that name it");
    assert_eq!((rows[0].state, rows[0].sets, rows[0].connections), (ServerState::Ready, 1, 1));
    let events = next.maintain();
    assert!(events.iter().all(|event| *event.server == *other.address()));
}

#[test]
fn a_host_name_is_unreachable_until_it_is_resolved() {
    let server = Memcached::ready();
    let port = server.address().split_off("127.0.0.1:".len());
    let bench = Bench::new(&[format!("localhost:{port}")]);
    assert_eq!(bench.state(0), ServerState::Unresolved);
    assert_eq!(bench.get("x"), Outcome::Unreachable);
    assert_eq!(news(&bench), [EventKind::Down]);
    assert_eq!(bench.state(0), ServerState::Unresolved);
    bench.store.resolve();
    assert_eq!(bench.woken(), 1);
    // localhost may have an IPv6 address too, on which nothing listens.
    bench.heal();
    assert_eq!(bench.get("x"), Outcome::Missing);
}

#[test]
fn many_threads_share_the_pool() {
    let server = Memcached::ready();
    let bench = Bench::new(&[server.address()]);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let bench = &bench;
            scope.spawn(move || {
                let (name, text) = (format!("n{thread}"), format!("v{thread}"));
                for _ in 0..200 {
                    assert_eq!(bench.set(&name, text.as_bytes()), Outcome::Done);
                    assert_eq!(bench.get(&name), value(text.as_bytes()));
                }
            });
        }
    });
    let row = bench.store.servers().remove(0);
    assert!(row.connections <= 8, "{} connections", row.connections);
    assert_eq!((row.gets, row.sets, row.errors), (1600, 1600, 0));
}
