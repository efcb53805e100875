//! A real memcached that can be killed, frozen, and started again with nothing in it, or with what it held once.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config;
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
const MEMORY_MIB: u32 = 64;
/// How long it may take to save what it holds.
const SAVE_WITHIN: Duration = Duration::from_secs(10);
/// Where memory files are: in memory too.
const MEMORY_FILES: &str = "/dev/shm";

/// How a cache is started.
#[derive(Clone, Copy, Debug)]
pub struct CacheOptions {
    /// Its memory, in MiB.
    pub memory_mib: u32,
    /// It evicts where it is full, in the place of refusing.
    pub evicts: bool,
    /// It can be stopped and started again with what it held ([`Cache::stop_saving`]).
    pub restartable: bool,
}

impl Default for CacheOptions {
    fn default() -> Self {
        Self { memory_mib: MEMORY_MIB, evicts: false, restartable: false }
    }
}

/// One cache server.
#[derive(Debug)]
pub struct Cache {
    place: Arc<Place>,
    name: String,
    address: Ipv4Addr,
    log: PathBuf,
    /// Where its memory is, if it is restartable.
    memory: PathBuf,
    options: Mutex<CacheOptions>,
    process: Mutex<Option<Process>>,
}

impl Cache {
    pub(crate) fn start_new(place: &Arc<Place>, number: u8, options: CacheOptions) -> Result<Self> {
        let name = format!("cache{number}");
        place.add_host(&name, config::cache_host(number))?;
        place.make_folder(&name)?;
        let log = place.logs().join(&name).join("memcached.log");
        let memory = Path::new(MEMORY_FILES).join(format!("tandem-{}-{name}", place.number()));
        // Left by a lab of this number that crashed.
        let _none = fs::remove_dir_all(&memory);
        let cache = Self {
            place: Arc::clone(place),
            name,
            address: config::cache_address(place, number),
            log,
            memory,
            options: Mutex::new(options),
            process: Mutex::new(None),
        };
        cache.start()?;
        Ok(cache)
    }

    /// Its name: "cache1".
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Changes how it is started from the next time on.
    pub fn set_options(&self, options: CacheOptions) {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
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
        let options = *self.options.lock().unwrap_or_else(PoisonError::into_inner);
        let mut command = Command::new("memcached");
        command.args(["-l", &self.address.to_string(), "-p", &MEMCACHED_PORT.to_string()]).args([
            "-U",
            "0",
            "-m",
            &options.memory_mib.to_string(),
            "-v",
        ]);
        if !options.evicts {
            command.arg("-M");
        }
        if options.restartable {
            self.make_memory()?;
            command.arg("-e").arg(self.memory.join("memory"));
        }
        let mut command = self.place.on_host(&self.name, command)?;
        // After that, for entering a namespace is for root. Not by `-u`: changing the user itself would make it
        // forget to die with us.
        drop_to(&mut command, NOBODY);
        let mut started = Process::spawn(command, &self.name, &self.log, &self.place.pids())?;
        let what = format!("{} listens on {}", self.name, self.address());
        wait_until(&what, START_WITHIN, &self.log, || {
            started.must_run()?;
            Ok(self.connect().is_ok())
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

    /// SIGUSR1: it saves what it holds, ends, and goes on from there at the next start. It has to be restartable,
    /// and whole seconds have to pass before it is started again (memcached 1.6.18), for which this waits.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`], [`LabError::TimedOut`].
    pub fn stop_saving(&self) -> Result<()> {
        self.signal(libc::SIGUSR1)?;
        let Some(process) = self.process().take() else { return Err(self.not_running()) };
        let saved = self.memory.join("memory.meta");
        let what = format!("{} has saved what it holds", self.name);
        wait_until(&what, SAVE_WITHIN, &self.log, || Ok(process.has_ended() && saved.exists()))?;
        let ended = SystemTime::now();
        wait_until("its second is over", SAVE_WITHIN, &self.log, || {
            Ok(ended.elapsed().is_ok_and(|passed| passed > Duration::from_millis(1100)))
        })
    }

    /// Keeps a copy of what [`Cache::stop_saving`] saved.
    ///
    /// # Errors
    ///
    /// If it cannot be copied.
    pub fn keep_saved(&self) -> Result<()> {
        self.copy_memory("memory", "old")
    }

    /// Puts in place what [`Cache::keep_saved`] kept, for the next start.
    ///
    /// # Errors
    ///
    /// If it cannot be copied.
    pub fn restore_kept(&self) -> Result<()> {
        self.copy_memory("old", "memory")
    }

    fn copy_memory(&self, from: &str, to: &str) -> Result<()> {
        for end in ["", ".meta"] {
            let (source, target) =
                (self.memory.join(format!("{from}{end}")), self.memory.join(format!("{to}{end}")));
            fs::copy(&source, &target).at("copy", &source)?;
            chown(&target, Some(NOBODY), Some(NOBODY)).at("give away", &target)?;
        }
        Ok(())
    }

    fn make_memory(&self) -> Result<()> {
        fs::create_dir_all(&self.memory).at("make", &self.memory)?;
        chown(&self.memory, Some(NOBODY), Some(NOBODY)).at("give away", &self.memory)
    }

    /// A number of its `stats`.
    ///
    /// # Errors
    ///
    /// If it does not answer.
    pub fn stat(&self, name: &str) -> Result<u64> {
        let start = format!("STAT {name} ");
        let stats = self.command("stats")?;
        let found = stats.iter().find_map(|line| line.strip_prefix(&start)?.parse().ok());
        found.ok_or_else(|| LabError::NoSuch { thing: "statistic", name: name.to_owned() })
    }

    /// A connection to it, to talk with it as any client would.
    ///
    /// # Errors
    ///
    /// If it does not listen.
    pub fn connect(&self) -> Result<TcpStream> {
        let address = self.address();
        self.place
            .enter(|| TcpStream::connect_timeout(&address, ANSWER_WITHIN))?
            .at("connect to", address.to_string())
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
        let place = self.address().to_string();
        let stream = self.connect()?;
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

impl Drop for Cache {
    fn drop(&mut self) {
        self.kill();
        // It is there only if it was restartable.
        let _none = fs::remove_dir_all(&self.memory);
    }
}

/// Makes `command` run as another user, after all that was asked for before.
fn drop_to(command: &mut Command, user: u32) {
    let hook = move || {
        // SAFETY: setgroups(2) reads no list where its length is 0.
        if unsafe { libc::setgroups(0, std::ptr::null()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: setgid(2) takes a plain number and is async-signal-safe.
        if unsafe { libc::setgid(user) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: setuid(2) likewise.
        if unsafe { libc::setuid(user) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: the hook runs between fork and exec and makes only the calls above; it allocates nothing.
    unsafe { command.pre_exec(hook) };
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
