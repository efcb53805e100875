//! The product's own hub and agents, as a user runs them: `tandem serve` and `tandem agent run`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::api::Api;
use crate::config::AMI_SECRET;
use crate::error::{At as _, LabError, Result};
use crate::place::{Place, target_folder};
use crate::process::{self, Process};
use crate::server::{AMI_PORT, Asterisk};
use crate::wait::wait_for;

const HOST_HUB: u8 = 5;
const PORT: u16 = 8088;
const START_WITHIN: Duration = Duration::from_secs(15);
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// Where in the dialplan of the lab's servers phones are.
const CONTEXT: &str = "from-phones";

/// A hub that is still to be started.
#[derive(Debug)]
#[must_use = "a hub begins with start()"]
pub struct HubBuilder {
    place: Arc<Place>,
    address: Ipv4Addr,
    general: String,
    servers: String,
    disk_kib: Option<u32>,
}

/// A hub.
#[derive(Debug)]
pub struct Hub {
    place: Arc<Place>,
    folder: PathBuf,
    log: PathBuf,
    listen: SocketAddr,
    is_tls: bool,
    process: Mutex<Option<Process>>,
    /// After the process, so that nobody is there any more.
    _disk: Option<Disk>,
}

/// A small disk of its own, in memory.
#[derive(Debug)]
struct Disk(PathBuf);

/// An agent beside a server of the lab.
#[derive(Debug)]
pub struct Agent {
    place: Arc<Place>,
    name: String,
    folder: PathBuf,
    log: PathBuf,
    process: Mutex<Option<Process>>,
}

impl HubBuilder {
    pub(crate) fn new(place: &Arc<Place>) -> Self {
        let (general, servers, disk_kib) = Default::default();
        let (place, address) = (Arc::clone(place), place.address(HOST_HUB));
        Self { place, address, general, servers, disk_kib }
    }

    /// Where it will be.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Adds a line to its configuration, before the servers.
    pub fn setting(mut self, line: &str) -> Self {
        self.general.push_str(line);
        self.general.push('\n');
        self
    }

    /// Adds servers, or anything that follows the settings.
    pub fn section(mut self, text: &str) -> Self {
        self.servers.push_str(text);
        self
    }

    /// Keeps its data on a disk of this size, which can be filled.
    pub fn disk_kib(mut self, kib: u32) -> Self {
        self.disk_kib = Some(kib);
        self
    }

    /// Watches a server through AMI alone, and lets everything be done to it. `trunks` are those of its peers.
    pub fn watches(self, server: &Asterisk, trunks: &[&str]) -> Self {
        let (name, address) = (server.name(), server.address());
        let section = format!(
            "[[server]]\nname = \"{name}\"\ntrunks = {trunks:?}\n\
             ami = {{ address = \"{address}:{AMI_PORT}\", user = \"lab\", secret = \"{AMI_SECRET}\" }}\n\
             allow = {{ hangup = true, transfer = true, originate = true, qualify = true, contexts = [\"{CONTEXT}\"] }}\n"
        );
        self.section(&section)
    }

    /// Shows universal variables and registrations, as the lab's gateway has them.
    pub fn reads_caches_of(self, server: &Asterisk) -> Self {
        let file = server.home().join("etc/universal.conf");
        self.setting(&format!("universal_conf = {:?}", file.display().to_string()))
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn start(self) -> Result<Hub> {
        let Self { place, address, general, servers, disk_kib } = self;
        let folder = place.make_folder("hub")?;
        let listen = SocketAddr::from((address, PORT));
        let config = format!(
            "listen = \"{listen}\"\ndata = {:?}\n{general}{servers}",
            folder.join("data").display().to_string()
        );
        write_private(&folder.join("hub.toml"), &config)?;
        let log = place.logs().join("hub/hub.log");
        let is_tls = servers.contains("[tls]");
        let disk = disk_kib.map(|kib| Disk::mount(&folder.join("data"), kib, &log)).transpose()?;
        let process = Mutex::new(None);
        let hub = Hub { place, folder, log, listen, is_tls, process, _disk: disk };
        hub.start()?;
        Ok(hub)
    }
}

impl Hub {
    /// Starts it again, if it does not run.
    ///
    /// # Errors
    ///
    /// If it does not listen in time.
    pub fn start(&self) -> Result<()> {
        let mut running = lock(&self.process);
        if running.is_some() {
            return Ok(());
        }
        let mark = fs::read_to_string(&self.log).map_or(0, |text| text.len());
        let mut command = Command::new(program()?);
        command.arg("serve").arg("--config").arg(self.config());
        let mut process = Process::spawn(command, "hub", &self.log, &self.place.pids())?;
        wait_for("the hub listens", START_WITHIN, &self.log, || {
            process.must_run()?;
            let text = fs::read_to_string(&self.log).unwrap_or_default();
            Ok(text.get(mark..).is_some_and(|text| text.contains("the hub is at")).then_some(()))
        })?;
        *running = Some(process);
        Ok(())
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&self) {
        if let Some(process) = lock(&self.process).take() {
            process.terminate(STOP_WITHIN);
        }
    }

    /// SIGKILL.
    pub fn kill(&self) {
        drop(lock(&self.process).take());
    }

    /// SIGSTOP: it is there, and takes nothing.
    pub fn freeze(&self) {
        if let Some(process) = &*lock(&self.process) {
            process.signal(libc::SIGSTOP);
        }
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        if let Some(process) = &*lock(&self.process) {
            process.signal(libc::SIGCONT);
        }
    }

    /// Changes its configuration, for the next start.
    ///
    /// # Errors
    ///
    /// If it cannot be read or written.
    pub fn configure(&self, change: impl FnOnce(String) -> String) -> Result<()> {
        let path = self.config();
        let config = fs::read_to_string(&path).at("read", &path)?;
        write_private(&path, &change(config))
    }

    /// Its process id.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn pid(&self) -> Result<u32> {
        let running = lock(&self.process);
        let process = running.as_ref().ok_or(LabError::NotRunning { program: "hub".into() })?;
        Ok(process.pid())
    }

    /// Where it is for browsers.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.listen)
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its configuration, for the subcommands that want one.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("hub.toml")
    }

    /// Its data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Adds a user, as an administrator does in a shell.
    ///
    /// # Errors
    ///
    /// If the command refuses.
    pub fn add_user(&self, name: &str, role: &str, password: &str) -> Result<()> {
        let mut command = Command::new(program()?);
        command.args(["user", "add", name, "--role", role, "--config"]).arg(self.config());
        process::output_of(command, "tandem user add", &self.log, &format!("{password}\n"))?;
        Ok(())
    }

    /// The hub's API, after a login.
    ///
    /// # Errors
    ///
    /// If it refuses.
    pub fn log_in(&self, user: &str, password: &str) -> Result<Api> {
        Api::anonymous(&self.url(), &self.log).log_in(user, password)
    }

    /// The same over TLS, believing whom this authority (in PEM) vouches for.
    ///
    /// # Errors
    ///
    /// If it refuses, or is somebody else.
    pub fn log_in_trusting(&self, user: &str, password: &str, authority: &str) -> Result<Api> {
        Api::trusting(&self.url(), &self.log, authority)?.log_in(user, password)
    }

    /// The hub's API, for nobody.
    #[must_use]
    pub fn anonymous(&self) -> Api {
        Api::anonymous(&self.url(), &self.log)
    }

    /// Enrols an agent for a server of the lab, as an administrator does in two shells, and starts it.
    ///
    /// # Errors
    ///
    /// If the hub or the agent refuses.
    pub fn agent(&self, server: &Asterisk) -> Result<Agent> {
        self.agent_with(server, |config| config)
    }

    /// The same, with its configuration changed before.
    ///
    /// # Errors
    ///
    /// If the hub or the agent refuses.
    pub fn agent_with(
        &self,
        server: &Asterisk,
        change: impl FnOnce(String) -> String,
    ) -> Result<Agent> {
        let agent = Agent::enrolled(self, server.name(), server.address(), change)?;
        agent.start()?;
        Ok(agent)
    }
}

impl Agent {
    fn enrolled(
        hub: &Hub,
        server: &str,
        address: Ipv4Addr,
        change: impl FnOnce(String) -> String,
    ) -> Result<Self> {
        let place = Arc::clone(&hub.place);
        let name = format!("agent-{server}");
        let folder = place.make_folder(&name)?;
        let log = place.logs().join(&name).join("agent.log");
        let config = format!(
            "state = {:?}\n[ami]\naddress = \"{address}:{AMI_PORT}\"\nuser = \"lab\"\n\
             secret = \"{AMI_SECRET}\"\n[allow]\nhangup = true\ntransfer = true\noriginate = true\n\
             qualify = true\ncontexts = [\"{CONTEXT}\"]\n",
            folder.join("state.toml").display().to_string()
        );
        write_private(&folder.join("agent.toml"), &change(config))?;
        let agent = Self { place, name, folder, log, process: Mutex::new(None) };
        let mut invite = Command::new(program()?);
        invite.args(["agent", "invite", server, "--config"]).arg(hub.config());
        let command = process::output(invite, "tandem agent invite", &hub.log)?;
        let words: Vec<&str> = command.split_whitespace().collect();
        let [_, _, _, url, token] = words[..] else {
            let (program, answer) = ("tandem agent invite".into(), command);
            return Err(LabError::Refused {
                program,
                request: "a token".into(),
                answer,
                log: hub.log.clone(),
            });
        };
        agent.enrol(url, token)?;
        Ok(agent)
    }

    /// Enrols with a token.
    ///
    /// # Errors
    ///
    /// What the hub, or the command, said.
    pub fn enrol(&self, url: &str, token: &str) -> Result<()> {
        let mut enrol = Command::new(program()?);
        enrol.args(["agent", "enrol", url, token, "--config"]).arg(self.config());
        process::output(enrol, "tandem agent enrol", &self.log)?;
        Ok(())
    }

    /// Starts it, if it does not run.
    ///
    /// # Errors
    ///
    /// If it cannot be started.
    pub fn start(&self) -> Result<()> {
        let mut running = lock(&self.process);
        if running.is_none() {
            let mut command = Command::new(program()?);
            command.args(["agent", "run", "--config"]).arg(self.config());
            *running = Some(Process::spawn(command, &self.name, &self.log, &self.place.pids())?);
        }
        Ok(())
    }

    /// SIGKILL.
    pub fn kill(&self) {
        drop(lock(&self.process).take());
    }

    /// SIGSTOP: it is there, and says nothing.
    pub fn freeze(&self) {
        if let Some(process) = &*lock(&self.process) {
            process.signal(libc::SIGSTOP);
        }
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        if let Some(process) = &*lock(&self.process) {
            process.signal(libc::SIGCONT);
        }
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("agent.toml")
    }

    /// What it keeps of its enrolment.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.folder.join("state.toml")
    }
}

impl Disk {
    fn mount(folder: &Path, kib: u32, log: &Path) -> Result<Self> {
        fs::create_dir_all(folder).at("make", folder)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(folder);
        process::output(mount, "mount", log)?;
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What is left mounted is found by the next lab of this number, which cannot remove its folder.
        let _done = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// The `tandem` that cargo has built beside this very program.
///
/// # Errors
///
/// [`LabError::NotSetUp`] if it has not been built.
pub fn program() -> Result<PathBuf> {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let path = target_folder().join(profile).join("tandem");
    if path.exists() { Ok(path) } else { Err(LabError::NotSetUp { missing: path }) }
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).at("write", path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).at("close", path)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
