//! A real Asterisk server, running in a root that lab/setup made, with folders and an address of its own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::ami::Ami;
use crate::config::{AMI_SECRET, ServerConfig};
use crate::error::{At as _, LabError, Result};
use crate::place::Place;
use crate::process::{self, Process};
use crate::release::Release;
use crate::wait::wait_until;

/// The manager interface's port.
pub const AMI_PORT: u16 = 5038;
/// SIP's port.
pub const SIP_PORT: u16 = 5060;
/// The port of chan_sip, which is beside chan_pjsip where it is.
pub const CHAN_SIP_PORT: u16 = 5160;
/// IAX2's port.
pub const IAX_PORT: u16 = 4569;

/// How long a server may take to be fully booted. It takes about 0.2 s; a machine may be busy.
const BOOT_WITHIN: Duration = Duration::from_secs(20);
/// How long `core stop now` may take before SIGTERM, and that before SIGKILL.
const STOP_WITHIN: Duration = Duration::from_secs(5);
/// How long its manager interface may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Asterisk's data folder inside of the root.
const SHARED_DATA: &str = "/usr/share/asterisk";
/// Folders of a server, below its own. keys, voicemail and firmware are only there to be found.
const FOLDERS: &[&str] = &[
    "etc",
    "modules",
    "lib/keys",
    "data/firmware/iax",
    "data/documentation/thirdparty",
    "spool/voicemail",
    "cache",
    "run",
    "log",
];

/// One Asterisk server.
#[derive(Debug)]
pub struct Asterisk {
    place: Arc<Place>,
    name: String,
    release: Release,
    root: PathBuf,
    address: Ipv4Addr,
    home: PathBuf,
    has_manager: bool,
    environment: Mutex<BTreeMap<String, String>>,
    process: Mutex<Option<Process>>,
}

impl Asterisk {
    /// Writes the server's folders and files. It is started by [`Asterisk::start`].
    pub(crate) fn prepare(place: &Arc<Place>, config: &ServerConfig) -> Result<Self> {
        place.add_host(&config.name, config.host)?;
        let home = place.make_home(config.release, &config.name)?;
        let server = Self {
            place: Arc::clone(place),
            name: config.name.clone(),
            release: config.release,
            root: config.release.root(),
            address: place.address(config.host),
            home,
            has_manager: config.has_manager,
            environment: Mutex::new(config.environment.clone()),
            process: Mutex::new(None),
        };
        for folder in FOLDERS {
            let folder = server.home.join(folder);
            fs::create_dir_all(&folder).at("make", folder)?;
        }
        server.link_modules()?;
        server.link_data()?;
        for (name, text) in &config.files {
            server.write_file(name, &config.fill_in(text, place, &server.home_inside()))?;
        }
        if let Some(module) = &config.module {
            server.install_module("app_universal.so", module)?;
        }
        if let Some(xml) = &config.documentation {
            let target = server.home.join("data/documentation/thirdparty/app_universal-en_US.xml");
            fs::copy(xml, target).at("copy", xml)?;
        }
        Ok(server)
    }

    /// The server's name: "A", "B", "gateway".
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which Asterisk it is.
    #[must_use]
    pub fn release(&self) -> Release {
        self.release
    }

    /// The address that all of its services listen on.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Starts it, with the AstDB that it left, and waits until it is fully booted. Nothing happens if it runs.
    ///
    /// # Errors
    ///
    /// If it ends by itself, or is not ready in time.
    pub fn start(&self) -> Result<()> {
        // Somebody may have stopped it at its own console.
        if self.process().as_ref().is_some_and(|process| !process.has_ended()) {
            return Ok(());
        }
        let mut command = Command::new("/usr/sbin/asterisk");
        command.args(["-f", "-C", &self.conf_inside()]);
        command.envs(self.environment().iter());
        let command = self.place.on_host(&self.name, command)?;
        let command = process::inside(&self.root, command)?;
        // What it prints before it logs, and why it could not.
        let console = self.place.logs().join(&self.name).join("log/console");
        let mut process = Process::spawn(command, &self.name, &console, &self.place.pids())?;
        let what = format!("{} is fully booted", self.name);
        wait_until(&what, BOOT_WITHIN, &self.log(), || {
            process.must_run()?;
            if !self.has_manager {
                return Ok(self
                    .console("core show uptime")
                    .is_ok_and(|said| said.contains("System uptime")));
            }
            let Ok(ami) = self.ami() else { return Ok(false) };
            ami.wait_event(&what, BOOT_WITHIN, |event| event.is_event("FullyBooted"))?;
            Ok(true)
        })?;
        *self.process() = Some(process);
        Ok(())
    }

    /// Stops it as an operator would (`core stop now`); if that takes too long, SIGTERM, then SIGKILL.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`] if it had to be helped.
    pub fn stop(&self) -> Result<()> {
        if self.process().is_none() {
            return Ok(());
        }
        // The connection may be cut before the answer is there.
        let _answer = self.cli("core stop now");
        let Some(process) = self.process().take() else { return Ok(()) };
        if process.ends_within(STOP_WITHIN) {
            return Ok(());
        }
        process.terminate(STOP_WITHIN);
        Err(LabError::TimedOut {
            what: format!("{} has stopped", self.name),
            within: STOP_WITHIN,
            log: self.log(),
        })
    }

    /// SIGKILL: a crash. Nothing happens if it is not running.
    pub fn kill(&self) {
        self.process().take();
    }

    /// SIGSTOP: the machine hangs.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`].
    pub fn freeze(&self) -> Result<()> {
        self.signal(libc::SIGSTOP)
    }

    /// SIGCONT: it goes on after [`Asterisk::freeze`].
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`].
    pub fn thaw(&self) -> Result<()> {
        self.signal(libc::SIGCONT)
    }

    /// Asks for an orderly end and gives up waiting for it; for the end of a lab.
    pub(crate) fn begin_to_end(&self) {
        if let Some(process) = self.process().as_ref() {
            process.signal(libc::SIGCONT);
            process.signal(libc::SIGTERM);
        }
    }

    /// Waits for what [`Asterisk::begin_to_end`] asked for, and kills it if that takes too long.
    pub(crate) fn end(&self) {
        if let Some(process) = self.process().take() {
            process.ends_within(STOP_WITHIN);
        }
    }

    /// Runs a command on its console (`asterisk -rx`) and gives what it prints.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`], or [`LabError::Refused`] if the console does not answer.
    pub fn cli(&self, command: &str) -> Result<String> {
        self.pid()?;
        self.console(command)
    }

    /// As [`Asterisk::cli`], while it starts too.
    fn console(&self, command: &str) -> Result<String> {
        let mut asterisk = Command::new("/usr/sbin/asterisk");
        asterisk.args(["-C", &self.conf_inside(), "-rx", command]);
        process::output(process::inside(&self.root, asterisk)?, &self.name, &self.log())
    }

    /// What to type into another terminal for a console of this server.
    #[must_use]
    pub fn console_command(&self) -> String {
        let root = self.root.display();
        format!("sudo chroot {root} asterisk -C {} -rvvv", self.conf_inside())
    }

    /// A new session with its manager interface, with all rights.
    ///
    /// # Errors
    ///
    /// If it does not listen or refuses.
    pub fn ami(&self) -> Result<Ami> {
        let stream = self.ami_stream(CONNECT_WITHIN)?;
        Ami::log_in(&self.name, stream, "lab", AMI_SECRET, &self.log())
    }

    /// A connection to its manager interface, to log in with `lab` and [`crate::AMI_SECRET`].
    ///
    /// # Errors
    ///
    /// If it does not listen.
    pub fn ami_stream(&self, within: Duration) -> Result<TcpStream> {
        let address = SocketAddr::from((self.address, AMI_PORT));
        self.place
            .enter(|| TcpStream::connect_timeout(&address, within))?
            .at("connect to", address.to_string())
    }

    /// Sets a variable of its environment from the next start on; `None` takes it back.
    pub fn set_environment(&self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.environment().insert(name.to_owned(), value.to_owned()),
            None => self.environment().remove(name),
        };
    }

    /// Its process id.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`].
    pub fn pid(&self) -> Result<u32> {
        self.process().as_ref().map(Process::pid).ok_or_else(|| self.not_running())
    }

    /// Its log of everything, at the place where it is kept afterwards too.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.place.logs().join(&self.name).join("log/full")
    }

    /// What it has logged since [`Asterisk::log_mark`] was asked.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn log_since(&self, mark: usize) -> Result<String> {
        let bytes = fs::read(self.log()).at("read", self.log())?;
        Ok(String::from_utf8_lossy(bytes.get(mark..).unwrap_or_default()).into_owned())
    }

    /// How long its log is, in bytes: for [`Asterisk::log_since`].
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn log_mark(&self) -> Result<usize> {
        Ok(fs::read(self.log()).at("read", self.log())?.len())
    }

    /// All that it has logged.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn log_text(&self) -> Result<String> {
        let bytes = fs::read(self.log()).at("read", self.log())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Whether it has logged this text.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn log_contains(&self, text: &str) -> Result<bool> {
        Ok(self.log_text()?.contains(text))
    }

    /// Waits until it has logged this text.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`].
    pub fn wait_log(&self, text: &str, within: Duration) -> Result<()> {
        let what = format!("{} logs '{text}'", self.name);
        wait_until(&what, within, &self.log(), || self.log_contains(text))
    }

    /// Waits until a console command prints this text, and gives all that it printed.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`], or as [`Asterisk::cli`].
    pub fn wait_cli(&self, command: &str, text: &str, within: Duration) -> Result<String> {
        let what = format!("'{command}' on {} prints '{text}'", self.name);
        crate::wait::wait_for(&what, within, &self.log(), || {
            let printed = self.cli(command)?;
            Ok(printed.contains(text).then_some(printed))
        })
    }

    /// Waits until no call is there any more.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`], or as [`Asterisk::cli`].
    pub fn wait_no_channels(&self, within: Duration) -> Result<()> {
        let what = format!("no channel is left on {}", self.name);
        crate::wait::wait_for(&what, within, &self.log(), || {
            let printed = self.cli("core show channels count")?;
            Ok(printed.lines().any(|line| line.trim() == "0 active channels").then_some(()))
        })
    }

    /// Waits until its AstDB on disk contains this text, as `registrar/contact/200`: Asterisk writes up to a
    /// second late, and a crash before that loses it.
    ///
    /// What was removed from the database may still be found in it: ask for what has not been there before.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`].
    pub fn wait_database_saved(&self, text: &str, within: Duration) -> Result<()> {
        let path = self.home.join("lib/astdb.sqlite3");
        let journal = self.home.join("lib/astdb.sqlite3-journal");
        let what = format!("{} has '{text}' in {}", self.name, path.display());
        wait_until(&what, within, &self.log(), || {
            let bytes = fs::read(&path).at("read", &path)?;
            let found = bytes.windows(text.len()).any(|part| part == text.as_bytes());
            // As long as there is a journal, SQLite takes back after a crash what it has written.
            Ok(found && !journal.exists())
        })
    }

    /// All warnings and errors that it has logged since the lab began.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub fn warnings(&self) -> Result<Vec<String>> {
        let path = self.home.join("log/trouble");
        let text = fs::read(&path).at("read", &path)?;
        Ok(warnings_in(&String::from_utf8_lossy(&text)))
    }

    /// Whether a file whose name contains `name` is mapped into its memory.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`].
    pub fn maps_contains(&self, name: &str) -> Result<bool> {
        Ok(self.proc_file("maps")?.contains(name))
    }

    /// How much of its memory is resident, in bytes.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`].
    pub fn rss_bytes(&self) -> Result<u64> {
        let status = self.proc_file("status")?;
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).ok_or_else(|| self.not_running())
    }

    /// The processor time that it has used, of user and system.
    ///
    /// # Errors
    ///
    /// [`LabError::NotRunning`].
    pub fn cpu_time(&self) -> Result<Duration> {
        let ticks = process::cpu_ticks(self.pid()?).ok_or_else(|| self.not_running())?;
        // SAFETY: sysconf(3) takes a plain number and touches no memory of ours.
        let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
        let per_second = u64::try_from(per_second).unwrap_or(100).max(1);
        Ok(Duration::from_millis(ticks * 1000 / per_second))
    }

    /// Writes one of its configuration files as it is; a reload is another matter.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write_file(&self, name: &str, text: &str) -> Result<()> {
        let path = self.home.join("etc").join(name);
        fs::write(&path, text).at("write", path)
    }

    /// One of its configuration files.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub fn read_file(&self, name: &str) -> Result<String> {
        let path = self.home.join("etc").join(name);
        fs::read_to_string(&path).at("read", path)
    }

    /// Its folder, from outside of the root: `etc`, `log`, `spool`, `modules` ... are below it.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Puts a shared library into its folder and loads it into the server from the next start on (`LD_PRELOAD`).
    ///
    /// # Errors
    ///
    /// If it cannot be copied.
    pub fn preload(&self, library: &Path) -> Result<()> {
        let name = library.file_name().unwrap_or_default();
        let target = self.home.join(name);
        fs::copy(library, &target).at("copy", library)?;
        let inside = self.inside_root(&target);
        self.set_environment("LD_PRELOAD", Some(&inside.display().to_string()));
        Ok(())
    }

    /// Puts a file beside its modules under this name, in the place of the one that is there: an upgrade.
    ///
    /// # Errors
    ///
    /// If it cannot be copied.
    pub fn install_module(&self, name: &str, path: &Path) -> Result<()> {
        let target = self.home.join("modules").join(name);
        let new = target.with_extension("new");
        fs::copy(path, &new).at("copy", path)?;
        // Moved, for writing to a file that is mapped would change running code.
        fs::rename(&new, &target).at("rename", target)
    }

    fn signal(&self, signal: libc::c_int) -> Result<()> {
        let process = self.process();
        process.as_ref().ok_or_else(|| self.not_running())?.signal(signal);
        Ok(())
    }

    fn environment(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.environment.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_running(&self) -> LabError {
        LabError::NotRunning { program: self.name.clone() }
    }

    fn proc_file(&self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/{name}", self.pid()?);
        fs::read_to_string(&path).at("read", path)
    }

    /// What `path`, which must lie in its root, is called inside of it.
    fn inside_root(&self, path: &Path) -> PathBuf {
        Path::new("/").join(path.strip_prefix(&self.root).unwrap_or(path))
    }

    /// Its folder as itself sees it, for paths in its configuration.
    #[must_use]
    pub fn home_inside(&self) -> String {
        self.inside_root(&self.home).display().to_string()
    }

    fn conf_inside(&self) -> String {
        format!("{}/etc/asterisk.conf", self.home_inside())
    }

    /// A folder of links, so that a module of ours can be among Asterisk's without touching the root.
    fn link_modules(&self) -> Result<()> {
        let source = module_folder(&self.root)?;
        for entry in fs::read_dir(&source).at("read", &source)? {
            let entry = entry.at("read", &source)?;
            let target = self.home.join("modules").join(entry.file_name());
            symlink(self.inside_root(&entry.path()), &target).at("link", target)?;
        }
        Ok(())
    }

    /// Sounds and documentation are Asterisk's; the folder for other people's documentation is our own.
    fn link_data(&self) -> Result<()> {
        for name in ["sounds", "documentation/core-en_US.xml", "documentation/appdocsxml.dtd"] {
            let target = self.home.join("data").join(name);
            symlink(Path::new(SHARED_DATA).join(name), &target).at("link", target)?;
        }
        Ok(())
    }
}

/// `/usr/lib/ARCHITECTURE/asterisk/modules` in the root; Debian's packages of old have no ARCHITECTURE there.
fn module_folder(root: &Path) -> Result<PathBuf> {
    let above = root.join("usr/lib");
    let of_old = above.join("asterisk/modules");
    if of_old.is_dir() {
        return Ok(of_old);
    }
    for entry in fs::read_dir(&above).at("read", &above)? {
        let folder = entry.at("read", &above)?.path().join("asterisk/modules");
        if folder.is_dir() {
            return Ok(folder);
        }
    }
    Err(LabError::NotSetUp { missing: above.join("*/asterisk/modules") })
}

/// The lines that are warnings or errors: the log's first line after a start is its banner.
fn warnings_in(log: &str) -> Vec<String> {
    let is_trouble = |line: &&str| line.contains("] WARNING[") || line.contains("] ERROR[");
    log.lines().filter(is_trouble).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_of_a_log_is_no_warning() {
        let log = "[2026-01-01 00:00:00.000] Asterisk 22 built by nobody\n\
                   [2026-01-01 00:00:00.001] WARNING[12] x.c: Odd\n\
                   [2026-01-01 00:00:00.002] ERROR[12] x.c: Bad\n";
        let found = warnings_in(log);
        assert_eq!(found.len(), 2);
        assert!(found[0].ends_with("Odd") && found[1].ends_with("Bad"));
    }
}
