//! `tandem cache`: started, used, stopped by a signal, and its change feed.

mod common;

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::{Folder, Running, Tandem, tandem, until};

/// A cache of our own.
struct Cache {
    running: Running,
    address: String,
}

impl Cache {
    fn start(arguments: &str) -> Self {
        Self::begin(tandem(&format!("cache --threads 1 {arguments}")), "127.0.0.1:0")
    }

    fn begin(run: Tandem, address: &str) -> Self {
        let mut running = run.arg("--listen").arg(address).start();
        let line = running.error_line();
        let address = line.rsplit(' ').next().expect("a word").to_owned();
        assert!(line.starts_with("tandem: the cache listens on "), "{line}");
        Self { running, address }
    }

    fn univar(&self, arguments: &str) -> Tandem {
        tandem(&format!("univar --servers {} {arguments}", self.address))
    }

    fn heal(&self) {
        self.univar("list --wait").run().exits(0);
    }
}

#[test]
fn a_cache_serves_variables_and_every_signal_stops_it_cleanly() {
    for signal in ["-TERM", "-INT", "-HUP"] {
        let mut cache = Cache::start("");
        cache.univar("set A 1").run().exits(0);
        cache.univar("get A").run().exits(0).stdout("1\n");
        cache.univar("inc A").run().exits(0).stdout("2\n");
        cache.running.signal(signal);
        assert_eq!(cache.running.end(), Some(0), "{signal}");
        cache.univar("get A").run().exits(3);
    }
}

#[test]
fn a_snapshot_keeps_the_content_over_a_clean_stop() {
    let folder = Folder::new();
    let file = folder.path("snapshot").display().to_string();
    let mut cache = Cache::start(&format!("--snapshot {file}"));
    cache.heal();
    cache.univar("set A 1").run().exits(0);
    cache.running.signal("-TERM");
    assert_eq!(cache.running.end(), Some(0));
    let again = Cache::begin(tandem(&format!("cache --snapshot {file}")), &cache.address);
    again.univar("get A").run().exits(0).stdout("1\n");
    again.univar("get B").run().exits(3).stderr_has("not healed yet");
    again.heal();
    again.univar("get B").run().exits(1);
}

#[test]
fn what_a_snapshot_missed_is_compared_before_its_misses_count() {
    let folder = Folder::new();
    let file = folder.path("snapshot").display().to_string();
    let (mut one, mut two) = (Cache::start(&format!("--snapshot {file}")), Cache::start(""));
    let (first, second) = (one.address.clone(), two.address.clone());
    let both = |arguments: &str| {
        tandem("univar --servers").arg(format!("{first} {second}")).args(arguments)
    };
    both("list --wait").run().exits(0);
    both("set K old").run().exits(0).silently();
    both("set GONE old").run().exits(0).silently();
    one.running.signal("-TERM");
    assert_eq!(one.running.end(), Some(0));
    both("set K new").run().exits(0);
    both("set NEW 1").run().exits(0);
    both("del GONE").run().exits(0);
    let again = tandem(&format!("cache --snapshot {file}"));
    let _one = Cache::begin(again, &first);
    both("get NONE").run().exits(1);
    both("get --wait NONE").run().exits(1);
    two.running.signal("-KILL");
    two.running.end();
    both("get K").run().exits(0).stdout("new\n");
    both("get NEW").run().exits(0).stdout("1\n");
    both("get GONE").run().exits(1);
}

#[test]
fn a_snapshot_that_cannot_be_written_leaves_no_half_of_it() {
    let folder = Folder::new();
    let file = folder.path("snapshot").display().to_string();
    let run = common::tandem_on_a_full_disk(&format!("cache --threads 1 --snapshot {file}"));
    let mut cache = Cache::begin(run, "127.0.0.1:0");
    cache.univar("set LARGE -").stdin(&[b'x'; 100_000]).run().exits(0);
    cache.running.signal("-TERM");
    assert_eq!(cache.running.end(), Some(2));
    assert!(cache.running.kill().contains("cannot write the snapshot"));
    assert!(!folder.path("snapshot.new").exists());
}

#[test]
fn a_snapshot_that_cannot_be_had_is_refused_at_once() {
    let folder = Folder::new();
    let file = folder.path("snapshot").display().to_string();
    let _first = Cache::start(&format!("--snapshot {file}"));
    tandem(&format!("cache -l 127.0.0.1:0 --snapshot {file}"))
        .run()
        .exits(2)
        .stderr_has("another cache has the snapshot")
        .stderr_has(&file);
    let pipe = folder.path("pipe").display().to_string();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let run = tandem(&format!("cache -l 127.0.0.1:0 --snapshot {pipe}")).run().exits(2);
    run.stderr_has("no regular file");
}

#[test]
fn what_cannot_work_is_refused_with_a_reason() {
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = busy.local_addr().unwrap().to_string();
    tandem(&format!("cache -l {busy}"))
        .run()
        .exits(2)
        .stderr_has("cannot listen")
        .stderr_has("in use");
    tandem("cache --listen nowhere").run().exits(2).stderr_has("not an address");
    tandem("cache --memory much").run().exits(2).stderr_has("not a number");
    tandem("cache -l 127.0.0.1:0 --threads 0").run().exits(2).stderr_has("--threads (-t)");
    tandem("cache -l 127.0.0.1:0 -m 1k").run().exits(2).stderr_has("--memory (-m)");
    tandem("cache -l 127.0.0.1:0 -I 1g").run().exits(2).stderr_has("--item-max (-I)");
    tandem("cache -l 127.0.0.1:0 --snapshot /nonexistent/x/y")
        .run()
        .exits(2)
        .stderr_has("nonexistent");
    tandem("cache --help").run().exits(0).stdout_has("megabytes");
}

#[test]
fn systemd_is_told_when_it_is_ready() {
    let folder = Folder::new();
    let path = folder.path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let run = tandem("cache --threads 1").env("NOTIFY_SOCKET", &path);
    let cache = Cache::begin(run, "127.0.0.1:0");
    let mut buf = [0; 64];
    let len = socket.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len], b"READY=1");
    cache.running.signal("-TERM");
    let len = socket.recv(&mut buf).unwrap();
    assert_eq!(&buf[..len], b"STOPPING=1");
}

#[test]
fn watching_it_tells_of_changes_at_once_without_polling() {
    let cache = Cache::start("");
    cache.heal();
    cache.univar("set W_A 1").run().exits(0);
    // So rarely that only the feed can tell.
    let mut watch = cache.univar("watch W_ --now --interval 3600000").start();
    assert_eq!(watch.line(), "set W_A=1");
    until("the feed is followed", || common::stat(&cache.address, "log_watchers") == 1);
    for number in 2..7 {
        let start = Instant::now();
        cache.univar(&format!("set W_A {number}")).run().exits(0);
        assert_eq!(watch.line(), format!("set W_A={number}"));
        assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    }
    cache.univar("set OTHER x").run().exits(0);
    cache.univar("set W_B -").stdin(&[b'\n'; 5000]).run().exits(0);
    assert_eq!(watch.line(), "set W_B=");
    for _ in 0..5000 {
        assert_eq!(watch.line(), "");
    }
    cache.univar("ttl W_A 1").run().exits(0);
    assert_eq!(watch.line(), "del W_A", "a time to live that ends is told too");
    cache.univar("del W_B").run().exits(0);
    assert_eq!(watch.line(), "del W_B");
}

#[test]
fn a_watch_goes_on_when_the_cache_comes_back() {
    let mut cache = Cache::start("");
    cache.heal();
    cache.univar("set A 1").run().exits(0);
    let mut watch = cache.univar("watch --now --interval 100").start();
    assert_eq!(watch.line(), "set A=1");
    cache.running.signal("-TERM");
    assert_eq!(cache.running.end(), Some(0));
    let cache = Cache::begin(tandem("cache"), &cache.address);
    assert_eq!(watch.line(), "del A");
    cache.univar("set B 2").run().exits(0);
    assert_eq!(watch.line(), "set B=2");
}

#[test]
fn two_of_them_keep_two_copies() {
    let (one, mut two) = (Cache::start("-M"), Cache::start("-M"));
    let both = |arguments: &str| {
        tandem("univar --servers").arg(format!("{} {}", one.address, two.address)).args(arguments)
    };
    both("list --wait").run().exits(0);
    let mut watch = both("watch --now").start();
    both("set A 1").run().exits(0);
    assert_eq!(watch.line(), "set A=1");
    both("set A 2").run().exits(0);
    assert_eq!(watch.line(), "set A=2");
    let get = both("get A");
    two.running.signal("-KILL");
    two.running.end();
    get.run().exits(0).stdout("2\n");
}
