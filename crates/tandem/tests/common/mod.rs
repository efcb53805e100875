//! Real cache servers and the real binary: memcached processes of our own on loopback, and `tandem` run as a shell
//! would.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this harness")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

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
    options: Vec<String>,
}

impl Memcached {
    /// One that is empty: it has not even a marker.
    pub fn empty() -> Self {
        Self::with(&[])
    }

    /// The same, with more options of memcached.
    pub fn with(options: &[&str]) -> Self {
        let (port, options) =
            (free_port(), options.iter().map(ToString::to_string).collect::<Vec<_>>());
        Self { child: spawn(port, &options), port, options }
    }

    /// One whose marker says that its misses count.
    pub fn ready() -> Self {
        let server = Self::empty();
        server.make_ready();
        server
    }

    pub fn make_ready(&self) {
        assert_eq!(self.ask("ms tandem:epoch 18\r\nR 00000000000000aa\r\n"), "HD");
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

    /// The second line of the answer: what a read brings.
    pub fn line_after(&self, commands: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("a connection");
        stream.write_all(commands.as_bytes()).expect("sent");
        let mut lines = BufReader::new(stream).lines();
        lines.next().expect("an answer").expect("text");
        lines.next().expect("a second line").expect("text")
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
        self.child = spawn(self.port, &self.options);
    }

    /// SIGSTOP: it hangs, and the kernel goes on accepting for it.
    pub fn stop(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-STOP", &pid]).status().expect("kill").success());
        // The signal is sent, not yet obeyed: a thread may still be answering.
        until("every thread has stopped", || {
            let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("our own child");
            threads.flatten().all(|thread| {
                let stat = std::fs::read_to_string(thread.path().join("stat")).expect("a state");
                stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with('T'))
            })
        });
    }
}

impl Memcached {
    /// SIGCONT: it goes on with what it had, and carries out what the kernel has accepted for it.
    pub fn go_on(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-CONT", &pid]).status().expect("kill").success());
    }
}

impl Drop for Memcached {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number of `stats`.
pub fn stat(address: &str, name: &str) -> u64 {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(b"stats\r\n").expect("sent");
    for line in BufReader::new(stream).lines() {
        let line = line.expect("a line");
        if let Some(value) = line.strip_prefix(&format!("STAT {name} ")) {
            return value.parse().expect("a number");
        }
        assert_ne!(line, "END", "there is no such statistic");
    }
    panic!("the connection was closed");
}

/// A port that nobody has: below those that the kernel gives to connections, for one of these could take it before
/// memcached does; and for each process from another place on.
pub fn free_port() -> u16 {
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

fn spawn(port: u16, options: &[String]) -> Child {
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

/// A folder of our own; removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = path.join(format!("cli-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and gives its path as text.
    pub fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("a path of ours").to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A run of `tandem` that is to be.
pub struct Tandem {
    command: Command,
    stdin: Vec<u8>,
}

/// `tandem` with these arguments, blanks between; more with [`Tandem::arg`].
pub fn tandem(arguments: &str) -> Tandem {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.args(arguments.split_whitespace());
    Tandem { command, stdin: Vec::new() }
}

/// The same, as if the disk were full when a file has some kilobytes.
pub fn tandem_on_a_full_disk(arguments: &str) -> Tandem {
    let mut command = Command::new("sh");
    // Whoever ignores the signal is told by write(2).
    let limited = "trap '' XFSZ; ulimit -f 8; exec \"$0\" \"$@\"";
    command.args(["-c", limited, env!("CARGO_BIN_EXE_tandem")]);
    command.args(arguments.split_whitespace());
    Tandem { command, stdin: Vec::new() }
}

/// `tandem univar` with these servers.
pub fn univar(servers: &[&Memcached], arguments: &str) -> Tandem {
    let list: Vec<String> = servers.iter().map(|server| server.address()).collect();
    tandem("univar --copies 1 --servers").arg(list.join(" ")).args(arguments)
}

impl Tandem {
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Arguments with blanks between.
    pub fn args(self, arguments: &str) -> Self {
        arguments.split_whitespace().fold(self, |run, argument| run.arg(argument))
    }

    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(mut self, bytes: &[u8]) -> Self {
        self.stdin = bytes.to_vec();
        self
    }

    /// Runs it to its end.
    pub fn run(mut self) -> Ran {
        let start = Instant::now();
        let command = self.command.stdin(Stdio::piped());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
        let mut stdin = child.stdin.take().expect("a pipe");
        let bytes = self.stdin;
        // It may not want all of it.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let output = child.wait_with_output().expect("its end");
        writer.join().expect("a writer");
        Ran { output, took: start.elapsed() }
    }

    /// Lets it run. What it prints can be read line by line.
    pub fn start(mut self) -> Running {
        let command = self.command.stdin(Stdio::null());
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
        let lines = BufReader::new(child.stdout.take().expect("a pipe"));
        let errors = BufReader::new(child.stderr.take().expect("a pipe"));
        Running { child, lines: Some(lines), errors }
    }
}

/// What became of a run.
pub struct Ran {
    output: Output,
    pub took: Duration,
}

impl Ran {
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.output.status.code(), Some(code), "{}", self.told());
        self
    }

    #[track_caller]
    pub fn stdout(self, expected: impl AsRef<[u8]>) -> Self {
        let same = self.output.stdout == expected.as_ref();
        let expected = expected.as_ref().escape_ascii().to_string();
        assert!(same, "not {expected:.400}\n{}", self.told());
        self
    }

    #[track_caller]
    pub fn stdout_has(self, expected: &str) -> Self {
        let text = String::from_utf8_lossy(&self.output.stdout).into_owned();
        assert!(text.contains(expected), "without {expected}\n{}", self.told());
        self
    }

    #[track_caller]
    pub fn stderr_has(self, expected: &str) -> Self {
        assert!(self.stderr().contains(expected), "without {expected}\n{}", self.told());
        self
    }

    #[track_caller]
    pub fn silently(self) -> Self {
        assert_eq!(self.stderr(), "");
        self
    }

    #[track_caller]
    pub fn within(self, limit: Duration) -> Self {
        assert!(self.took < limit, "took {:?}\n{}", self.took, self.told());
        self
    }

    pub fn bytes(&self) -> &[u8] {
        &self.output.stdout
    }

    pub fn lines(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.output.stdout).lines().map(str::to_owned).collect()
    }

    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    fn told(&self) -> String {
        let stdout = self.output.stdout.escape_ascii().to_string();
        format!("{:?}\nstdout: {stdout:.2000}\nstderr: {}", self.output.status, self.stderr())
    }
}

/// A run that goes on; killed when dropped.
pub struct Running {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
    errors: BufReader<ChildStderr>,
}

impl Running {
    /// The next line. The test runner's time limit bounds the wait.
    #[track_caller]
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.as_mut().expect("open").read_line(&mut line).expect("a line");
        assert!(line.ends_with('\n'), "it has ended: {line}");
        line.pop();
        line
    }

    /// The next line on standard error.
    pub fn error_line(&mut self) -> String {
        let mut line = String::new();
        self.errors.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }

    /// Closes our end of its standard output.
    pub fn close(&mut self) {
        self.lines = None;
    }

    /// SIGKILL, and what it said on standard error.
    pub fn kill(&mut self) -> String {
        let _ = self.child.kill();
        let mut said = String::new();
        self.errors.read_to_string(&mut said).expect("text");
        said
    }

    /// Waits until it ends by itself; its exit code.
    #[track_caller]
    pub fn end(&mut self) -> Option<i32> {
        let mut status = None;
        until("it ends", || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
