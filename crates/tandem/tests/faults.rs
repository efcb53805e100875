//! Cache servers that are dead, hung, new or nowhere: "cannot tell" is exit code 3, says who, and ends in time.

mod common;

use std::time::Duration;

use common::{Memcached, free_port, tandem, univar};

/// What a process may take beside its deadline, on a busy machine.
const SLACK: Duration = Duration::from_millis(1500);

#[test]
fn a_closed_port_is_unreachable_at_once_and_named() {
    let server = format!("127.0.0.1:{}", free_port());
    for command in ["get A", "set A 1", "del A", "list", "registrations"] {
        let univar = if command == "registrations" { "" } else { "univar " };
        let run = tandem(&format!("{univar}{command} --servers {server}")).run();
        let run = run.exits(3).stdout_has("").within(SLACK);
        run.stderr_has(&format!("cache server {server} c")).stderr_has("refused");
    }
}

#[test]
fn a_hung_server_ends_within_the_deadline() {
    let server = Memcached::ready();
    univar(&[&server], "set A 1").run().exits(0);
    server.stop();
    for command in ["get A", "set A 2", "list", "export", "inc A"] {
        let run = univar(&[&server], &format!("--deadline 500 {command}")).run();
        let run = run.exits(3).within(Duration::from_millis(500) + SLACK);
        run.stderr_has(&server.address()).stderr_has("no answer in time");
    }
}

#[test]
fn a_host_without_address_is_unreachable_and_said_so() {
    let run = tandem("univar get A --deadline 3000 --servers no-such-host.invalid:21000").run();
    run.exits(3).stderr_has("cache server no-such-host.invalid:21000 cannot be reached");
}

#[test]
fn a_host_name_whose_first_address_refuses_is_asked_at_the_next() {
    let server = Memcached::ready();
    let name = server.address().replace("127.0.0.1", "localhost");
    tandem(&format!("univar set A 1 --servers {name}")).run().exits(0);
    tandem(&format!("univar get A --servers {name}")).run().exits(0).stdout("1\n");
}

#[test]
fn a_new_cache_cannot_tell_what_is_missing_until_it_is_healed_and_waiting_heals_it() {
    let server = Memcached::empty();
    univar(&[&server], "get A")
        .run()
        .exits(3)
        .stderr_has("A: unreachable")
        .stderr_has("is new or has lost its content")
        .stderr_has("--wait");
    univar(&[&server], "set A 1").run().exits(0);
    univar(&[&server], "get A").run().exits(0).stdout("1\n");
    univar(&[&server], "list").run().exits(3).stdout("A\n").stderr_has("may not be complete");
    univar(&[&server], "get B").run().exits(3);
    let run = univar(&[&server], "--wait get B").run().exits(1);
    assert!(run.took >= Duration::from_secs(3), "a heal window is not cut short: {:?}", run.took);
    univar(&[&server], "get B").run().exits(1).within(SLACK);
    univar(&[&server], "list").run().exits(0).stdout("A\n").silently();
}

#[test]
fn a_dead_server_is_named_and_the_others_names_are_told() {
    let (live, mut dead) = (Memcached::ready(), Memcached::ready());
    for number in 0..20 {
        univar(&[&live, &dead], &format!("set N{number} v")).run().exits(0);
    }
    dead.kill();
    let run = univar(&[&live, &dead], "list N").run().exits(3);
    run.stderr_has(&format!("cache server {} cannot be reached", dead.address()));
    let run = univar(&[&live, &dead], "list N --values").run().exits(3);
    let mut told = run.lines();
    // By name there, by line here.
    told.sort();
    assert!(!told.is_empty() && told.len() < 20, "{told:?}");
    let names: String = (0..20).map(|number| format!(" N{number}")).collect();
    let run = univar(&[&live, &dead], &format!("get{names}")).run().exits(3);
    let mut got = run.lines();
    got.sort();
    assert_eq!(got, told, "get and list find the same");
    run.stderr_has(&format!("cache server {} cannot be reached", dead.address()));
}

#[test]
fn verbose_says_which_servers_there_are_and_how_they_are() {
    let server = Memcached::ready();
    univar(&[&server], "-v set A 1")
        .run()
        .exits(0)
        .stderr_has(&format!("cache server {} is ready", server.address()));
}

#[test]
fn what_is_no_memcached_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"220 mail.example ESMTP\r\n");
        }
    });
    let run = tandem(&format!("univar get A --servers {address}")).run();
    run.exits(3).stderr_has(&address);
}

/// A value for which a cache server has no room that was filled with others of its length.
const LARGE: usize = 300_000;

fn full() -> Memcached {
    let server = Memcached::with(&["-m", "2"]);
    server.make_ready();
    server.fill(LARGE);
    server
}

#[test]
fn a_server_without_memory_says_what_became_of_the_old_value_and_what_helps() {
    let server = full();
    univar(&[&server], "set A old").run().exits(0);
    univar(&[&server], "set A -")
        .stdin(&[b'x'; LARGE])
        .run()
        .exits(3)
        .stderr_has(&format!("cache server {} is out of memory", server.address()))
        .stderr_has("memcached deletes it")
        .stderr_has("(-m)");
    univar(&[&server], "get A").run().exits(1);
}

#[test]
fn a_copy_that_is_refused_for_want_of_memory_is_said_and_named_when_healing_fails() {
    let (full, other) = (full(), Memcached::ready());
    let list = format!("{} {}", full.address(), other.address());
    let two = |arguments: &str| {
        tandem("univar --copies 2 --servers").arg(&list).args(arguments).stdin(&[b'x'; LARGE])
    };
    let why = format!("cache server {} is out of memory", full.address());
    let run = two("set A -").run().exits(0).stderr_has(&why);
    run.stderr_has("the other one has it").stderr_has("(-m)");
    two("list A --wait=5").run().stdout("A\n").stderr_has(&why).stderr_has("(-m)");
}

#[test]
fn a_server_with_too_many_connections_is_named_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = std::io::Write::write_all(&mut &stream, b"ERROR Too many open connections\r\n");
            // Until the other side closes it.
            let _ = std::io::copy(&mut &stream, &mut std::io::sink());
        }
    });
    let run = tandem(&format!("univar get A --servers {address}")).run().exits(3);
    run.stderr_has("too many connections").stderr_has("(-c)");
}

#[test]
fn a_damaged_record_is_named_and_a_set_mends_it() {
    let servers = [Memcached::ready(), Memcached::ready()];
    let list = format!("{} {}", servers[0].address(), servers[1].address());
    let two = |arguments: &str| tandem("univar --servers").arg(&list).args(arguments);
    for server in &servers {
        assert_eq!(server.ask("ms A 8\r\n\0TD1ABCD\r\n"), "HD");
    }
    let run = two("get A").run().exits(3);
    for server in &servers {
        let why = format!("what cache server {} has of A is damaged", server.address());
        assert!(run.stderr().contains(&why), "{}", run.stderr());
    }
    two("set A 1").run().exits(0).silently();
    two("get A").run().exits(0).stdout("1\n").silently();
}
