//! What one GetUniVar costs in system calls, counted by strace: exactly one write and one read
//! for each cache server that is asked, whatever the number of names, and nothing else.
//!
//! The test runs itself again under strace; the two are told apart by an environment variable.

mod common;

use std::process::Command;

use common::{Bench, Memcached, name, section};
use univar::{DEADLINE_MAX, Name, Op, Outcome, SectionConfig};

const SERVERS: &str = "UNIVAR_TEST_SERVERS";
const FROM_HERE: &str = "/univar-test-from-here";
const TO_HERE: &str = "/univar-test-to-here";
const ROUNDS: usize = 100;

/// Where a busy machine takes the processor away for milliseconds between write and read, a
/// blocking read could miss the deadline, so that round is polled.
const POLLED_MAX: usize = ROUNDS / 10;
const ATTEMPTS: usize = 5;

#[test]
fn a_get_of_any_number_of_names_is_one_send_and_one_recv_for_each_server() {
    if let Ok(servers) = std::env::var(SERVERS) {
        return traced(&servers.split(' ').map(str::to_owned).collect::<Vec<_>>());
    }
    let servers = [Memcached::ready(), Memcached::ready()];
    for asked in 1..=servers.len() {
        let addresses: Vec<String> = servers[..asked].iter().map(Memcached::address).collect();
        let quiet = (0..ATTEMPTS).any(|_| {
            let calls = trace(&addresses.join(" "));
            let count = |name: &str| calls.iter().filter(|call| call.starts_with(name)).count();
            assert_eq!(count("sendto("), ROUNDS * asked, "{calls:#?}");
            assert_eq!(count("recvfrom("), ROUNDS * asked, "{calls:#?}");
            let polls = count("poll(");
            assert_eq!(calls.len(), ROUNDS * asked * 2 + polls, "{calls:#?}");
            polls <= POLLED_MAX
        });
        assert!(quiet, "more than {POLLED_MAX} of {ROUNDS} rounds were polled, each time");
    }
}

/// Runs under strace: connects first, and then does what is counted.
fn traced(servers: &[String]) {
    // strace makes everything slow, and a missed deadline is not what is counted here.
    let general = SectionConfig { deadline: DEADLINE_MAX, ..section("general", &[], servers) };
    let bench = Bench::with_sections(vec![general]);
    let names: Vec<Name> = (0..20).map(|n| name(&format!("n{n}"))).collect();
    let gets: Vec<Op<'_>> = names.iter().map(|name| Op::Get { name }).collect();
    for round in 0..=ROUNDS {
        if round == 1 {
            assert!(std::fs::metadata(FROM_HERE).is_err());
        }
        assert!(bench.store.run(&gets).iter().all(|outcome| *outcome == Outcome::Missing));
    }
    assert!(std::fs::metadata(TO_HERE).is_err());
}

/// The system calls on sockets and files between the two marks, without the process id.
fn trace(servers: &str) -> Vec<String> {
    let output = Command::new("strace")
        .args(["-f", "-qq", "-e", "signal=none", "-e", "trace=network,desc,file"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "--test-threads=1"])
        .arg("a_get_of_any_number_of_names_is_one_send_and_one_recv_for_each_server")
        .env(SERVERS, servers)
        .output()
        .expect("strace is installed");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let lines = text.lines().map(|line| {
        let line = line.strip_prefix("[pid ").unwrap_or(line);
        line.trim_start_matches(|byte: char| !byte.is_ascii_alphabetic()).to_owned()
    });
    lines
        .skip_while(|line| !line.contains(FROM_HERE))
        .skip(1)
        .take_while(|line| !line.contains(TO_HERE))
        .collect()
}
