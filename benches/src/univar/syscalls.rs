//! Counting what one GetUniVar asks of the kernel: `strace -f` on a real Asterisk while one channel runs the loop.
//!
//! Every system call of the channel's thread on a socket to a cache server counts, whatever it is: a write, a
//! wait, a read, a `poll` that names the socket. What other threads do (the module's own probes) does not.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::child::Running;
use crate::cpu::Core;

/// How long strace may take to attach.
const ATTACH_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to let go and write the rest.
const DETACH_WITHIN: Duration = Duration::from_secs(20);

/// A running strace.
#[derive(Debug)]
pub(crate) struct Trace {
    strace: Running,
    text: std::path::PathBuf,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counted {
    /// Calls on sockets to cache servers, by name.
    pub(crate) calls: BTreeMap<String, usize>,
    /// How many commands of GetUniVar were counted.
    pub(crate) commands: usize,
    /// Those that are left out, for a connection was opened: the module's own probe had the idle one just then.
    pub(crate) with_connect: usize,
}

impl Trace {
    /// Attaches to all threads of process `pid`.
    ///
    /// # Errors
    ///
    /// If strace is not installed or may not attach.
    pub(crate) fn start(pid: u32, core: Core, folder: &Path, name: &str) -> Result<Self> {
        let (text, log) =
            (folder.join(format!("{name}.strace")), folder.join(format!("{name}.log")));
        let mut strace = Command::new("strace");
        strace.args(["-f", "-yy", "-s", "300", "-e", "trace=network,desc", "-p", &pid.to_string()]);
        strace.arg("-o").arg(&text);
        let mut strace = Running::start(strace, core, libc::SIGINT, &log)?;
        strace.wait_ready(ATTACH_WITHIN, || {
            fs::read_to_string(&log).is_ok_and(|said| said.contains(" attached"))
        })?;
        Ok(Self { strace, text })
    }

    /// Lets go, and counts the calls of the thread that asked for `key`, from the command after its first
    /// `skip` to its last.
    ///
    /// # Errors
    ///
    /// If nobody asked for it.
    pub(crate) fn count(mut self, key: &str, skip: usize, cache_port: u16) -> Result<Counted> {
        self.strace.signal(libc::SIGINT);
        self.strace.wait_end(DETACH_WITHIN)?;
        let bytes =
            fs::read(&self.text).with_context(|| format!("read {}", self.text.display()))?;
        count(&String::from_utf8_lossy(&bytes), key, skip, cache_port)
    }
}

/// A command begins with its look-up of `key`; where there are two copies of it, with that on the server that is
/// always asked first.
///
/// Lines are `TID NAME(ARGUMENTS) = RESULT`; one that was cut in two by another thread ends in
/// `<unfinished ...>`, and its second half begins with `<...`.
fn count(text: &str, key: &str, skip: usize, cache_port: u16) -> Result<Counted> {
    let marker = format!("mg {key} ");
    let first = text.lines().find(|line| line.contains(&marker));
    let first = first.with_context(|| format!("no thread asked for {key}"))?;
    let thread = first.split_whitespace().next().unwrap_or_default();
    let server = first.split_once("->").and_then(|(_, rest)| rest.split(']').next());
    let server = format!("->{}]", server.context("strace did not say who was asked")?);
    let asks = |line: &str| line.contains(&marker) && line.contains(&server);
    let own: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix(thread)?.strip_prefix(' '))
        .map(str::trim_start)
        .filter(|line| !line.starts_with("<...") && !line.starts_with(['+', '-']))
        .collect();
    let commands = own.iter().enumerate().filter(|(_, line)| asks(line)).map(|(at, _)| at);
    let commands: Vec<usize> = commands.skip(skip).collect();
    ensure!(commands.len() > 1, "only {} commands were seen", commands.len() + skip);
    let peer = format!(":{cache_port}]");
    let mut counted = Counted::default();
    // From one command to the next; what belongs to the last one may be cut off.
    for window in commands.windows(2) {
        let lines = &own[window[0]..window[1]];
        if lines.iter().any(|line| line.starts_with("connect(")) {
            counted.with_connect += 1;
            continue;
        }
        counted.commands += 1;
        for line in lines.iter().filter(|line| line.contains(&peer)) {
            let name = line.split('(').next().unwrap_or_default();
            *counted.calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    ensure!(counted.commands > counted.with_connect, "a connection is opened for each command");
    Ok(counted)
}

impl Counted {
    /// Calls for each command.
    pub(crate) fn per_command(&self) -> f64 {
        self.calls.values().sum::<usize>() as f64 / self.commands as f64
    }

    /// "1000 sendto + 1000 recvfrom in 1000 commands".
    pub(crate) fn note(&self) -> String {
        let calls: Vec<_> =
            self.calls.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let Self { commands, with_connect, .. } = self;
        let left_out = match with_connect {
            0 => String::new(),
            some => format!(" (without {some} that opened one more connection)"),
        };
        format!("{} in {commands} executions{left_out}", calls.join(" + "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"100 sendto(9<TCP:[127.1.0.11:1->127.1.0.21:11211]>, "mg tandem:epoch v\r\n", 19, 0, NULL, 0) = 19
7 read(3</x>, "", 1) = 0
7 sendto(8<TCP:[127.1.0.11:4->127.1.0.21:11211]>, "mg KEY v\r\n", 10, 0, NULL, 0) = 10
7 recvfrom(8<TCP:[127.1.0.11:4->127.1.0.21:11211]>,  <unfinished ...>
100 recvfrom(9<TCP:[127.1.0.11:1->127.1.0.21:11211]>, "EN", 9, 0, NULL, NULL) = 2
7 <... recvfrom resumed>"VA 1\r\n", 9, 0, NULL, NULL) = 6
7 write(5<pipe:[3]>, "x", 1) = 1
7 sendto(8<TCP:[127.1.0.11:4->127.1.0.21:11211]>, "mg KEY v\r\n", 10, 0, NULL, 0) = 10
7 recvfrom(8<TCP:[127.1.0.11:4->127.1.0.21:11211]>, "VA 1", 9, 0, NULL, NULL) = 4
"#;

    #[test]
    fn only_the_asking_threads_calls_on_cache_sockets_count_and_a_cut_line_counts_once() {
        let counted = count(TEXT, "KEY", 0, 11211).unwrap();
        assert_eq!(counted.per_command(), 2.0);
        assert_eq!(counted.note(), "1 recvfrom + 1 sendto in 1 executions");
    }

    #[test]
    fn both_copies_are_asked_in_one_command() {
        let ask = r#"7 sendto(8<TCP:[127.1.0.11:4->127.1.0.21:11211]>, "mg KEY v\r\n", 10, 0, NULL, 0) = 10
7 sendto(9<TCP:[127.1.0.11:5->127.1.0.22:11211]>, "mg KEY v\r\n", 10, 0, NULL, 0) = 10
7 recvfrom(8<TCP:[127.1.0.11:4->127.1.0.21:11211]>, "VA 1", 9, 0, NULL, NULL) = 4
7 recvfrom(9<TCP:[127.1.0.11:5->127.1.0.22:11211]>, "VA 1", 9, 0, NULL, NULL) = 4
"#;
        let counted = count(&ask.repeat(3), "KEY", 0, 11211).unwrap();
        assert_eq!((counted.per_command(), counted.commands), (4.0, 2));
    }

    #[test]
    fn a_poll_that_names_the_socket_counts() {
        let poll = "7 poll([{fd=8<TCP:[127.1.0.11:4->127.1.0.21:11211]>, events=POLLIN}], 1, 50) = 1\n7 recvfrom";
        let counted = count(&TEXT.replacen("7 recvfrom", poll, 1), "KEY", 0, 11211).unwrap();
        assert_eq!(counted.per_command(), 3.0);
    }

    #[test]
    fn an_execution_that_opens_a_connection_is_left_out_and_told() {
        let again = r#"7 connect(9<TCP:[1]>, {sa_family=AF_INET, sin_port=htons(11211)}, 16) = 0
7 poll([{fd=9<TCP:[127.1.0.11:5->127.1.0.21:11211]>, events=POLLOUT}], 1, 50) = 1
7 sendto(8<TCP:[127.1.0.11:4->127.1.0.21:11211]>, "mg KEY v\r\n", 10, 0, NULL, 0) = 10
7 sendto(8<TCP:[127.1.0.11:4->127.1.0.21:11211]>, "mg KEY v\r\n", 10, 0, NULL, 0) = 10
"#;
        let counted = count(&format!("{TEXT}{again}"), "KEY", 0, 11211).unwrap();
        assert_eq!((counted.commands, counted.with_connect), (2, 1));
        assert!(
            counted.note().ends_with("2 executions (without 1 that opened one more connection)")
        );
    }

    #[test]
    fn nobody_asking_is_an_error_and_no_count() {
        assert!(count(TEXT, "OTHER", 0, 11211).is_err());
    }
}
