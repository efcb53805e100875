//! A cache of ours and a real memcached, both on loopback ports of their own, and the same words
//! said to both.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this harness")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tandem_cache::{Server, Settings};

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// Waits until `condition` holds.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited too long: {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// memcached's defaults, on a free port.
pub fn settings() -> Settings {
    let listen = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    Settings { listen, ..Settings::default() }
}

/// A cache of ours.
pub fn ours(change: impl FnOnce(&mut Settings)) -> Server {
    let mut settings = settings();
    change(&mut settings);
    Server::start(settings).expect("a cache")
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

/// A real memcached; killed when dropped.
pub struct Memcached {
    child: Child,
    pub address: SocketAddr,
}

impl Memcached {
    pub fn start(arguments: &[&str]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let child = Command::new("memcached")
            .args(["-l", "127.0.0.1", "-U", "0", "-u", "nobody", "-p"])
            .arg(address.port().to_string())
            .args(arguments)
            .stderr(Stdio::null())
            .spawn()
            .expect("memcached is installed");
        let started = Self { child, address };
        until("memcached listens", || TcpStream::connect(address).is_ok());
        started
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that writes bytes and reads bytes.
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
    /// The last that was said, for people.
    said: String,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_nodelay(true).expect("a socket");
        Self { stream, read: Vec::new(), said: String::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.said = shortened(bytes);
        // Who has closed the connection does not take all.
        let _ = self.stream.write_all(bytes);
    }

    /// Reads up to and with `end`, or up to the connection's end.
    #[track_caller]
    pub fn read_to(&mut self, end: &[u8]) -> Vec<u8> {
        let mut buffer = [0; 65536];
        let mut from = 0;
        loop {
            if let Some(at) = find(&self.read[from..], end) {
                let rest = self.read.split_off(from + at + end.len());
                return std::mem::replace(&mut self.read, rest);
            }
            from = self.read.len().saturating_sub(end.len());
            match self.stream.read(&mut buffer) {
                Ok(0) => return std::mem::take(&mut self.read),
                Ok(len) => self.read.extend_from_slice(&buffer[..len]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {
                    return std::mem::take(&mut self.read);
                }
                Err(error) => {
                    let (read, peer) = (shortened(&self.read), self.stream.peer_addr());
                    panic!("{error}: {peer:?} says {read} to {}", self.said);
                }
            }
        }
    }

    #[track_caller]
    pub fn line(&mut self) -> String {
        String::from_utf8_lossy(&self.read_to(b"\n")).trim_end().to_owned()
    }

    /// Sends commands, and reads all their answers.
    #[track_caller]
    pub fn ask(&mut self, commands: &[u8]) -> Vec<u8> {
        self.send(&[commands, b"mn\r\n"].concat());
        self.read_to(b"MN\r\n")
    }

    #[track_caller]
    pub fn text(&mut self, commands: &str) -> String {
        let answer = self.ask(commands.as_bytes());
        let text = String::from_utf8_lossy(&answer).into_owned();
        text.strip_suffix("MN\r\n").map_or(text.clone(), ToOwned::to_owned)
    }

    pub fn stat(&mut self, name: &str) -> u64 {
        let text = self.text("stats\r\n");
        let line = format!("STAT {name} ");
        let value = text.lines().find_map(|text| text.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("there is no {name}")).parse().expect("a number")
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// Ours and memcached, side by side.
pub struct Pair {
    pub ours: Server,
    pub theirs: Memcached,
}

impl Pair {
    pub fn start() -> Self {
        Self { ours: ours(|_| {}), theirs: Memcached::start(&[]) }
    }

    pub fn clients(&self) -> [Client; 2] {
        [Client::connect(self.ours.addresses()[0]), Client::connect(self.theirs.address)]
    }

    /// Says the same to both, each on a new connection, and asserts that they answer alike.
    #[track_caller]
    pub fn same(&self, commands: &[u8]) {
        let [ours, theirs] = self.clients().map(|mut client| client.ask(commands));
        if !same_but_for_a_second(&ours, &theirs) {
            assert_eq!(
                ours.escape_ascii().to_string(),
                theirs.escape_ascii().to_string(),
                "to {}",
                shortened(commands)
            );
        }
    }
}

/// Whether two answers are the same. The two servers' seconds do not begin at the same time: so a
/// time that is left (`t60`) may differ by one.
pub fn same_but_for_a_second(ours: &[u8], theirs: &[u8]) -> bool {
    let words = |text: &[u8]| -> Vec<Vec<u8>> {
        text.split(|byte| b" \r".contains(byte)).map(<[u8]>::to_vec).collect()
    };
    let (ours, theirs) = (words(ours), words(theirs));
    let close = |one: &[u8], other: &[u8]| {
        let seconds = |word: &[u8]| -> Option<i64> {
            std::str::from_utf8(word).ok()?.strip_prefix(['t', 'l'])?.parse().ok()
        };
        one == other
            || matches!((seconds(one), seconds(other)), (Some(a), Some(b)) if (a - b).abs() <= 1)
    };
    ours.len() == theirs.len() && ours.iter().zip(&theirs).all(|(one, other)| close(one, other))
}

/// Commands, for people.
pub fn shortened(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if text.len() < 400 { text } else { format!("{}...", &text[..400]) }
}

/// No client may take longer.
const PROGRAM_MAX_SECONDS: &str = "60";

/// Runs a program to its end, which must be a good one; gives what it printed.
#[track_caller]
pub fn run(program: &str, arguments: &[&str]) -> String {
    let out = output(program, arguments);
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {arguments:?}: {}\n{text}{errors}", out.status);
    text
}

/// Runs a program to its end, and gives its exit status.
#[track_caller]
pub fn run_status(program: &str, arguments: &[&str]) -> i32 {
    output(program, arguments).status.code().expect("it ended by itself")
}

#[track_caller]
fn output(program: &str, arguments: &[&str]) -> std::process::Output {
    Command::new("timeout")
        .args(["--kill-after=5", PROGRAM_MAX_SECONDS, program])
        .args(arguments)
        .output()
        .expect("timeout is installed")
}

/// Runs a Python program of `tests/clients` with both; it must print the same. Debian's Python is
/// named by its path, for its packages are what lab/setup installs.
#[track_caller]
pub fn same_session(program: &str) {
    let pair = Pair::start();
    let path = format!("{}/tests/clients/{program}", env!("CARGO_MANIFEST_DIR"));
    let said = [pair.ours.addresses()[0], pair.theirs.address]
        .map(|address| run("/usr/bin/python3", &["-B", &path, &address.to_string()]));
    let [ours, theirs] = said.each_ref().map(|text| text.lines().collect::<Vec<_>>());
    assert!(theirs.len() > 40, "it said little: {theirs:?}");
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}
