//! A real memcached that can be killed, frozen, and started again with nothing in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use std::os::unix::process::CommandExt as _;

use crate::error::{At as _, LabError, Result};
use crate::place::Place;
use crate::process::Process;
use crate::wait::wait_until;

/// memcached's standard port.
pub const MEMCACHED_PORT: u16 = 11211;
/// How long memcached may take to listen.
const START_WITHIN: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// memcached refuses to run as root. `nobody` has this number on Debian and Ubuntu.
const NOBODY: u32 = 65534;
/// Enough for every test; `-M` refuses what would not fit.
const MEMORY_MIB: &str = "64";

/// One cache server.
#[derive(Debug)]
pub struct Cache {
    place: Arc<Place>,
    name: String,
    address: Ipv4Addr,
    log: PathBuf,
    process: Mutex<Option<Process>>,
}

impl Cache {
    pub(crate) fn start_new(place: &Arc<Place>, name: &str, address: Ipv4Addr) -> Result<Self> {
        place.make_folder(name)?;
        let log = place.logs().join(name).join("memcached.log");
        let cache = Self {
            place: Arc::clone(place),
            name: name.to_owned(),
            address,
            log,
            process: Mutex::new(None),
        };
        cache.start()?;
        Ok(cache)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (self.address, MEMCACHED_PORT).into()
    }

    /// Its process id.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`] after [`Cache::kill`].
    pub fn pid(&self) -> Result<u32> {
        self.process().as_ref().map(Process::pid).ok_or_else(|| self.not_running())
    }

    /// Starts it, empty, and waits until it answers. Nothing happens if it runs.
    ///
    /// # Errors
    ///
    /// If it does not start or does not answer in time.
    pub fn start(&self) -> Result<()> {
        let mut process = self.process();
        if process.is_some() {
            return Ok(());
        }
        let mut command = Command::new("memcached");
        command
            .args(["-l", &self.address.to_string(), "-p", &MEMCACHED_PORT.to_string()])
            // -u is ignored when not root; said all the same, for `ps`.
            .args(["-U", "0", "-M", "-m", MEMORY_MIB, "-v"])
            // Not by `-u`: changing the user itself would make it forget to die with us.
            .uid(NOBODY)
            .gid(NOBODY);
        let mut started = Process::spawn(command, &self.name, &self.log, &self.place.pids())?;
        let what = format!("{} listens on {}", self.name, self.address());
        wait_until(&what, START_WITHIN, &self.log, || {
            started.must_run()?;
            Ok(TcpStream::connect_timeout(&self.address(), ANSWER_WITHIN).is_ok())
        })?;
        *process = Some(started);
        Ok(())
    }

    /// SIGKILL: gone, with all that it held. Nothing happens if it is not running.
    pub fn kill(&self) {
        self.process().take();
    }

    /// Killed and started again: it has lost everything.
    ///
    /// # Errors
    ///
    /// As [`Cache::start`].
    pub fn restart_empty(&self) -> Result<()> {
        self.kill();
        self.start()
    }

    /// SIGSTOP: it hangs. Connections are still accepted by the kernel, and nothing answers.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`] after [`Cache::kill`].
    pub fn freeze(&self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// SIGCONT: it goes on after [`Cache::freeze`], with all that it held.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`] after [`Cache::kill`].
    pub fn thaw(&self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }

    /// Sends `command`, a line or lines without the last line end, and gives the answer's lines up to and
    /// without `END`, or the one line if it is not a list.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn command(&self, command: &str) -> Result<Vec<String>> {
        let text = |line: Vec<u8>| String::from_utf8_lossy(&line).into_owned();
        Ok(self.lines(command)?.into_iter().map(text).collect())
    }

    fn lines(&self, command: &str) -> Result<Vec<Vec<u8>>> {
        let address = self.address();
        let place = address.to_string();
        let stream =
            TcpStream::connect_timeout(&address, ANSWER_WITHIN).at("connect to", &place)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN)).at("set up", &place)?;
        write!(&stream, "{command}\r\n").at("write to", &place)?;
        let mut lines = Vec::new();
        for line in BufReader::new(&stream).split(b'\n') {
            let mut line = line.at("read from", &place)?;
            line.pop_if(|last| *last == b'\r');
            match line.as_slice() {
                b"END" => return Ok(lines),
                text if is_listed(text) => lines.push(line),
                // The value that goes with the line before.
                _ if lines.last().is_some_and(|last: &Vec<u8>| last.starts_with(b"VALUE ")) => {
                    lines.push(line);
                }
                _ => return Ok(vec![line]),
            }
        }
        Err(self.not_running())
    }

    /// The value of `key`, without the envelope that two copies give it (docs/consistency.md). Values with line
    /// ends are not for this helper.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn get(&self, key: &str) -> Result<Option<String>> {
        let lines = self.lines(&format!("get {key}"))?;
        Ok(lines.get(1).map(|data| String::from_utf8_lossy(without_envelope(data)).into_owned()))
    }

    /// Stores `value` as any client would; `ttl_secs` of 0 is forever.
    ///
    /// # Errors
    ///
    /// If it does not answer or refuses.
    pub fn set(&self, key: &str, value: &str, ttl_secs: u32) -> Result<()> {
        let answer = self.command(&format!("set {key} 0 {ttl_secs} {}\r\n{value}", value.len()))?;
        if answer == ["STORED"] {
            return Ok(());
        }
        Err(LabError::Refused {
            program: self.name.clone(),
            request: format!("set {key}"),
            answer: answer.join(" "),
            log: self.log.clone(),
        })
    }

    fn signal(&self, signal: libc::c_int) -> Result<()> {
        let process = self.process();
        process.as_ref().ok_or_else(|| self.not_running())?.signal(signal);
        Ok(())
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_running(&self) -> LabError {
        LabError::NotRunning { program: self.name.clone() }
    }
}

/// Whether a line of an answer is one of several.
fn is_listed(line: &[u8]) -> bool {
    ["VALUE ", "STAT ", "ITEM ", "key="].iter().any(|start| line.starts_with(start.as_bytes()))
}

/// What comes after the magic, kind, version, owner and MAC, each of the last two with its length before it.
fn without_envelope(data: &[u8]) -> &[u8] {
    let value = || {
        let owner_end = 14 + usize::from(*data.get(13)?);
        data.get(owner_end + 1 + usize::from(*data.get(owner_end)?)..)
    };
    if data.starts_with(b"\0TD1") { value().unwrap_or(data) } else { data }
}
