//! libmemcached's own tools, its conformance suite among them.

mod common;

use std::net::SocketAddr;
use std::path::PathBuf;

use common::{Client, ours, run, run_status};

/// A folder of the test's own.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder of our own");
        Self(folder)
    }
}

fn servers(address: SocketAddr) -> String {
    format!("--servers={address}")
}

#[test]
fn the_ascii_conformance_suite_passes() {
    let server = ours(|_| {});
    let address = server.addresses()[0];
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let out = run("memccapable", &["-a", "-h", &ip, "-p", &port, "-t", "10"]);
    assert!(out.contains("All tests passed"), "{out}");
    assert!(out.matches("[pass]").count() >= 27, "{out}");
    assert!(!out.contains("FAIL"), "{out}");
}

#[test]
fn a_file_goes_there_and_back() {
    let scratch = Scratch::new("there-and-back");
    let server = ours(|_| {});
    let at = servers(server.addresses()[0]);
    let file = scratch.0.join("greeting");
    std::fs::write(&file, "hello\n").unwrap();
    run("memccp", &[&at, file.to_str().unwrap()]);
    assert_eq!(run("memccat", &[&at, "greeting"]).trim(), "hello");
    assert_eq!(run("memcdump", &[&at]).trim(), "greeting");
    run("memctouch", &[&at, "-e", "100", "greeting"]);
    run("memcexist", &[&at, "greeting"]);
    run("memcrm", &[&at, "greeting"]);
    assert_ne!(run_status("memcexist", &[&at, "greeting"]), 0);
    run("memccp", &[&at, file.to_str().unwrap()]);
    run("memcflush", &[&at]);
    assert_ne!(run_status("memcexist", &[&at, "greeting"]), 0);
}

#[test]
fn statistics_are_read_by_memcstat() {
    let server = ours(|settings| settings.threads = 3);
    let at = servers(server.addresses()[0]);
    Client::connect(server.addresses()[0]).text("set a 0 0 1\r\n1\r\nget a\r\nget b\r\n");
    run("memcping", &[&at]);
    let out = run("memcstat", &[&at]);
    for line in ["threads: 3", "get_hits: 1", "get_misses: 1", "curr_items: 1", "evictions: 0"] {
        assert!(out.contains(line), "{line} is not in {out}");
    }
    assert!(out.contains(tandem_cache::VERSION), "{out}");
}
