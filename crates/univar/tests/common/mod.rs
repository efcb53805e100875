//! Real cache servers for tests: memcached processes of our own on loopback, and false ones.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this harness")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use univar::{Config, Name, Op, Outcome, SectionConfig, ServerState, Store};

/// The sections' deadline, where the test says nothing else.
pub const DEADLINE: Duration = Duration::from_millis(400);

/// What a deadline may be missed by: the kernel's timers, and a machine that is busy.
pub const SLACK: Duration = Duration::from_millis(300);

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(15);

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// A memcached of our own; killed when dropped.
pub struct Memcached {
    child: Child,
    port: u16,
}

impl Memcached {
    /// One that is empty: it has not even a marker.
    pub fn empty() -> Self {
        let port = free_port();
        Self { child: spawn(port, &[]), port }
    }

    /// An empty one with these options too.
    pub fn with_options(options: &[&str]) -> Self {
        let port = free_port();
        Self { child: spawn(port, options), port }
    }

    /// One whose marker says that its misses count.
    pub fn ready() -> Self {
        let server = Self::empty();
        server.ask("ms tandem:epoch 18\r\nR 00000000000000aa\r\n");
        server
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Sends commands as another client would, and returns the first line of the answer.
    pub fn ask(&self, commands: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("a connection");
        stream.write_all(commands.as_bytes()).expect("sent");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    /// The same with any bytes.
    pub fn send(&self, commands: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("a connection");
        stream.write_all(commands).expect("sent");
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).expect("an answer");
        line.trim_end().to_owned()
    }

    /// The value of `key`, as another client sees it.
    pub fn value(&self, key: &str) -> Option<Vec<u8>> {
        let mut stream = TcpStream::connect(self.address()).expect("a connection");
        stream.write_all(format!("mg {key} v\r\nmn\r\n").as_bytes()).expect("sent");
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        reader.read_line(&mut line).expect("an answer");
        let mut value = vec![0; line.strip_prefix("VA ")?.trim_end().parse().ok()?];
        reader.read_exact(&mut value).expect("a value");
        Some(value)
    }

    pub fn stat(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.address()).expect("a connection");
        stream.write_all(b"stats\r\n").expect("sent");
        for line in BufReader::new(stream).lines() {
            let line = line.expect("a line");
            if let Some(value) = line.strip_prefix(&format!("STAT {name} ")) {
                return value.parse().expect("a number");
            }
            assert_ne!(line, "END", "there is no such statistic");
        }
        panic!("memcached closed the connection");
    }

    /// Fills its memory (`-m`) with values of this length, until it takes no more.
    pub fn fill(&self, len: usize) {
        let value = "v".repeat(len);
        let mut number = 0;
        until("the memory is full", || {
            number += 1;
            let answer = self.ask(&format!("ms FILL{number} {len}\r\n{value}\r\n"));
            answer == "SERVER_ERROR out of memory storing object"
        });
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
    }

    /// Starts again, empty, on the same port.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, &[]);
    }

    /// SIGSTOP: it hangs, and the kernel goes on accepting for it.
    pub fn stop(&self) {
        self.signal("-STOP");
        // The signal is sent, not yet obeyed: a thread may still be answering.
        until("every thread has stopped", || self.threads_are_stopped());
    }

    pub fn go_on(&self) {
        self.signal("-CONT");
    }

    fn threads_are_stopped(&self) -> bool {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        threads.expect("our own child").all(|thread| {
            let path = thread.expect("a thread").path().join("stat");
            let stat = std::fs::read_to_string(path).expect("a thread's state");
            stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
        })
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().expect("kill");
        assert!(status.success());
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody has: below those that the kernel gives to connections, for one of these
/// could take it before memcached does; and for each process from another place on.
fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    loop {
        let number = std::process::id() * 61 + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(FIRST + number % COUNT).expect("below 32768");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn spawn(port: u16, options: &[&str]) -> Child {
    let child = Command::new("memcached")
        .args(["-l", "127.0.0.1", "-U", "0", "-t", "1", "-M", "-u", "nobody", "-p"])
        .arg(port.to_string())
        .args(options)
        .stderr(Stdio::null())
        .spawn()
        .expect("memcached is installed");
    until("memcached listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    child
}

/// A server that is no memcached: it answers every read of a connection with the next of
/// `pieces`, and then closes. Counts its connections.
pub struct FalseServer {
    port: u16,
    connections: Arc<AtomicUsize>,
    _thread: JoinHandle<()>,
}

impl FalseServer {
    pub fn answering(pieces: &'static [&'static [u8]]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::SeqCst);
                answer(stream.expect("a connection"), pieces);
            }
        });
        Self { port, connections, _thread: thread }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, pieces: &[&[u8]]) {
    let mut buf = [0; 4096];
    if !matches!(stream.read(&mut buf), Ok(1..)) {
        return;
    }
    stream.set_nodelay(true).expect("a socket");
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            return;
        }
        // So that each piece is read by itself.
        until("the piece was read", || nothing_waits(&stream));
    }
    // Until the client closes.
    while matches!(stream.read(&mut buf), Ok(1..)) {}
}

/// Whether all that was sent on this connection has been read at its other end, or nobody is there
/// any more: from proc(5)'s table of sockets.
fn nothing_waits(stream: &TcpStream) -> bool {
    let (Ok(ours), Ok(theirs)) = (stream.local_addr(), stream.peer_addr()) else { return true };
    let [ours, theirs] = [ours, theirs].map(|address| format!(":{:04X}", address.port()));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
    let queues = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut other_end = queues.filter(|row| row[1].ends_with(&theirs) && row[2].ends_with(&ours));
    other_end.all(|row| row[4].ends_with(":00000000"))
}

/// A store and how often it asked to be woken.
pub struct Bench {
    pub store: Store,
    pub woken: Arc<AtomicUsize>,
}

impl Bench {
    pub fn new(servers: &[String]) -> Self {
        Self::with_sections(vec![section("general", &[], servers)])
    }

    pub fn with_sections(sections: Vec<SectionConfig>) -> Self {
        Self::with_config(Config { sections, ..Config::default() })
    }

    pub fn with_config(config: Config) -> Self {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        let wake = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let store = Store::new(&config, None, wake).expect("a good configuration");
        Self { store, woken }
    }

    /// A node with two copies of everything, and a name of its own.
    pub fn with_copies(owner: &str, servers: &[String]) -> Self {
        let sections = vec![SectionConfig { copies: 2, ..section("general", &[], servers) }];
        Self::with_config(Config { sections, owner: owner.into() })
    }

    pub fn run(&self, op: Op<'_>) -> Outcome {
        self.store.run(&[op]).remove(0)
    }

    pub fn get(&self, name: &str) -> Outcome {
        self.run(Op::Get { name: &self::name(name) })
    }

    pub fn set(&self, name: &str, value: &[u8]) -> Outcome {
        self.run(Op::Set { name: &self::name(name), value, ttl: None })
    }

    pub fn delete(&self, name: &str) -> Outcome {
        self.run(Op::Delete { name: &self::name(name) })
    }

    pub fn take(&self, name: &str, value: &[u8]) -> Outcome {
        self.run(Op::Take { name: &self::name(name), value, ttl: Duration::from_secs(60) })
    }

    pub fn keep(&self, name: &str, value: &[u8]) -> Outcome {
        self.run(Op::Keep { name: &self::name(name), value, ttl: Duration::from_secs(60) })
    }

    pub fn withdraw(&self, name: &str, value: &[u8]) -> Outcome {
        self.run(Op::Withdraw { name: &self::name(name), value })
    }

    pub fn state(&self, server: usize) -> ServerState {
        self.store.servers()[server].state
    }

    pub fn woken(&self) -> usize {
        self.woken.load(Ordering::SeqCst)
    }

    /// Maintains until every server is ready, as our threads would.
    #[track_caller]
    pub fn heal(&self) {
        until("all servers are ready", || {
            let _ = self.store.maintain();
            let _ = self.store.heal(&|_| false);
            self.store.servers().iter().all(|server| server.state == ServerState::Ready)
        });
    }
}

pub fn section(name: &str, prefixes: &[&str], servers: &[String]) -> SectionConfig {
    SectionConfig {
        name: name.into(),
        prefixes: prefixes.iter().map(|prefix| prefix.as_bytes().to_vec()).collect(),
        servers: servers.to_vec(),
        deadline: DEADLINE,
        copies: 1,
        secret: None,
    }
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a good name")
}

pub fn value(text: &[u8]) -> Outcome {
    Outcome::Value(text.to_vec())
}
