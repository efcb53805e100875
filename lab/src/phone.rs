//! A SIP phone: a real baresip that sends a tone and records what it hears.
//!
//! It has no sound card. Its source is a sine of the phone's own pitch, and baresip's `sndfile` filter writes
//! what comes in to a WAV file; [`Phone::heard_tone`] listens to that. It may have accounts on several servers
//! at once, as a Cisco 7960 has.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::baresip::{Control, Event};
use crate::config::phone_secret;
use crate::error::{At as _, LabError, Result};
use crate::place::Place;
use crate::process::Process;
use crate::server::{Asterisk, CHAN_SIP_PORT};
use crate::tone::Recording;
use crate::wait::{wait_for, wait_until};

/// The port of baresip's remote control.
const CONTROL_PORT: u16 = 4444;
/// How long a phone may take to be there.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How long a registration, or its end, may take.
const REGISTER_WITHIN: Duration = Duration::from_secs(10);
/// The tone of a phone that was not given one.
const TONE_HZ: u32 = 440;

/// A phone to be.
#[derive(Debug)]
#[must_use = "a phone begins with start()"]
pub struct PhoneBuilder {
    place: Arc<Place>,
    number: String,
    tone_hz: u32,
    answers: bool,
    at_chan_sip: bool,
}

impl PhoneBuilder {
    pub(crate) fn new(place: &Arc<Place>, number: &str) -> Self {
        let (place, number) = (Arc::clone(place), number.to_owned());
        Self { place, number, tone_hz: TONE_HZ, answers: true, at_chan_sip: false }
    }

    /// The pitch of its voice, 440 if nothing is said.
    pub fn tone_hz(mut self, hz: u32) -> Self {
        self.tone_hz = hz;
        self
    }

    /// Whether it answers calls by itself, which it does if nothing is said; if not, see [`Phone::answer`].
    pub fn answers(mut self, answers: bool) -> Self {
        self.answers = answers;
        self
    }

    /// Has it speak with the chan_sip of servers, and not with their chan_pjsip.
    pub fn at_chan_sip(mut self) -> Self {
        self.at_chan_sip = true;
        self
    }

    /// Starts it, registered nowhere.
    ///
    /// # Errors
    ///
    /// If it does not start.
    pub fn start(self) -> Result<Phone> {
        Phone::start(self)
    }
}

/// A running phone. Dropping it is pulling its plug: it says goodbye to nobody.
#[derive(Debug)]
pub struct Phone {
    number: String,
    name: String,
    answers: bool,
    at_chan_sip: bool,
    address: Ipv4Addr,
    folder: PathBuf,
    log: PathBuf,
    running: Mutex<Option<Running>>,
    /// Keeps the lab's number for as long as the phone runs.
    _place: Arc<Place>,
}

#[derive(Debug)]
struct Running {
    control: Control,
    _process: Process,
    /// The first event that can belong to the call that is looked at.
    call_mark: usize,
    /// How long the registration of each of its accounts lasts; zero is an account that does not register.
    accounts: HashMap<String, Duration>,
}

impl Running {
    /// Each `uanew` makes one more account with a contact of its own, also where there is one already; so the
    /// one that is there goes first.
    fn renew_account(&mut self, account: &str, expires: Duration, params: &str) -> Result<()> {
        self.remove_account(account)?;
        let params = format!("<{account}>;regint={};{params}", expires.as_secs());
        self.control.command("uanew", &params)?;
        self.accounts.insert(account.to_owned(), expires);
        Ok(())
    }

    /// Ends its registration too, if it has one.
    fn remove_account(&mut self, account: &str) -> Result<()> {
        if self.accounts.contains_key(account) {
            self.control.command("uadel", account)?;
            self.accounts.remove(account);
        }
        Ok(())
    }
}

impl Phone {
    fn start(builder: PhoneBuilder) -> Result<Self> {
        let PhoneBuilder { place, number, tone_hz, answers, at_chan_sip } = builder;
        let address = place.phone_address();
        // The same number may be on two phones.
        let name = format!("phone-{number}-{}", address.octets()[3]);
        let folder = place.make_folder(&name)?;
        let log = place.logs().join(&name).join("baresip.log");
        let config = include_str!("../conf/baresip.conf")
            .replace("@ADDRESS@", &address.to_string())
            .replace("@TONE_HZ@", &tone_hz.to_string())
            .replace("@FOLDER@", &folder.display().to_string());
        for (file, text) in [("config", config.as_str()), ("accounts", ""), ("contacts", "")] {
            fs::write(folder.join(file), text).at("write", folder.join(file))?;
        }
        let mut command = Command::new("baresip");
        command.arg("-f").arg(&folder);
        let mut process = Process::spawn(command, &name, &log, &place.pids())?;
        let control_at = SocketAddr::from((address, CONTROL_PORT));
        let what = format!("{name} can be controlled at {control_at}");
        let control = wait_for(&what, START_WITHIN, &log, || {
            process.must_run()?;
            Ok(Control::connect(&name, control_at, &log).ok())
        })?;
        let running =
            Running { control, _process: process, call_mark: 0, accounts: HashMap::new() };
        Ok(Self {
            number,
            name,
            answers,
            at_chan_sip,
            address,
            folder,
            log,
            running: Mutex::new(Some(running)),
            _place: place,
        })
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> &str {
        &self.number
    }

    /// Its own address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Registers at a server, for `expires`, and returns when that has happened; baresip refreshes it after nine
    /// tenths of the time. Registrations at other servers stay, and so does this one if the server has it already.
    ///
    /// # Errors
    ///
    /// [`LabError::Refused`] with the server's answer.
    pub fn register_at(&self, server: &Asterisk, expires: Duration) -> Result<()> {
        let account = self.account(server);
        let known = self.with(|running| Ok(running.accounts.get(&account) == Some(&expires)))?;
        // A new account in its place would end the calls of this one.
        if known && self.is_registered_at(server)? {
            return Ok(());
        }
        let answering = if self.answers { "auto" } else { "manual" };
        let params = format!("auth_pass={};answermode={answering}", phone_secret(&self.number));
        let what = format!("{} is registered at {}", self.name, server.name());
        self.with(|running| {
            let mark = running.control.mark();
            running.renew_account(&account, expires, &params)?;
            let control = &running.control;
            let (answer, _) = control.wait_event(mark, &what, REGISTER_WITHIN, |event| {
                match (event.account == account, event.kind.as_str()) {
                    (true, "REGISTER_OK") => Some(Ok(())),
                    (true, "REGISTER_FAIL") => {
                        Some(Err(control.refused("REGISTER", event.detail.clone())))
                    }
                    _ => None,
                }
            })?;
            answer
        })
    }

    /// Has an account at a server from which it can call, without registering. One that it has there already
    /// stays as it is.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn add_account(&self, server: &Asterisk) -> Result<()> {
        let account = self.account(server);
        let params = format!("auth_pass={}", phone_secret(&self.number));
        self.with(|running| match running.accounts.contains_key(&account) {
            true => Ok(()),
            false => running.renew_account(&account, Duration::ZERO, &params),
        })
    }

    /// Waits for the next REGISTER to be answered at this server: a refresh.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`].
    pub fn wait_refreshed(&self, server: &Asterisk, within: Duration) -> Result<()> {
        let account = self.account(server);
        let what = format!("{} has refreshed its registration at {}", self.name, server.name());
        self.with(|running| {
            let mark = running.control.mark();
            let refreshed = |event: &Event| {
                (event.account == account && event.kind == "REGISTER_OK").then_some(())
            };
            running.control.wait_event(mark, &what, within, refreshed).map(drop)
        })
    }

    /// Ends its registration at a server, and returns when the server no longer has it.
    ///
    /// # Errors
    ///
    /// As [`Asterisk::cli`], and then nothing has changed; [`LabError::TimedOut`] if the server keeps it.
    pub fn unregister_at(&self, server: &Asterisk) -> Result<()> {
        // One that cannot be asked would keep the contact, and nobody would be left who could end it.
        self.is_registered_at(server)?;
        self.with(|running| running.remove_account(&self.account(server)))?;
        let what = format!("{} is no longer registered at {}", self.name, server.name());
        wait_until(&what, REGISTER_WITHIN, &self.log, || Ok(!self.is_registered_at(server)?))
    }

    /// Whether the server has a contact of this very phone.
    ///
    /// # Errors
    ///
    /// As [`Asterisk::cli`].
    pub fn is_registered_at(&self, server: &Asterisk) -> Result<bool> {
        if self.at_chan_sip {
            let peer = server.cli(&format!("sip show peer {}", self.number))?;
            let address = format!(" {}:", self.address);
            return Ok(peer
                .lines()
                .any(|line| line.contains("Addr->IP") && line.contains(&address)));
        }
        let contacts = server.cli("pjsip show contacts")?;
        let (number, address) = (format!(" {}/sip:", self.number), format!("@{}", self.address));
        let mut lines = contacts.lines();
        Ok(lines.any(|line| line.contains(&number) && line.contains(&address)))
    }

    /// Calls a number at a server at which it has an account. What becomes of it: [`Phone::wait_established`],
    /// [`Phone::wait_closed`].
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn dial(&self, server: &Asterisk, number: &str) -> Result<()> {
        let (account, target) =
            (self.account(server), format!("sip:{number}@{}", self.host_of(server)));
        self.with(|running| {
            running.call_mark = running.control.mark();
            running.control.command("uafind", &account)?;
            running.control.command("dial", &target).map(drop)
        })
    }

    /// Answers the call that rings.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn answer(&self) -> Result<()> {
        self.with(|running| running.control.command("accept", "").map(drop))
    }

    /// Puts the other side of its call on hold.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn hold(&self) -> Result<()> {
        self.with(|running| running.control.command("hold", "").map(drop))
    }

    /// Goes on with the call after [`Phone::hold`].
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn resume(&self) -> Result<()> {
        self.with(|running| running.control.command("resume", "").map(drop))
    }

    /// Hangs up.
    ///
    /// # Errors
    ///
    /// If it is not running.
    pub fn hang_up(&self) -> Result<()> {
        self.with(|running| running.control.command("hangup", "").map(drop))
    }

    /// Waits until it rings.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`].
    pub fn wait_ringing(&self, within: Duration) -> Result<()> {
        self.wait_call("rings", within, &["CALL_INCOMING"]).map(drop)
    }

    /// Waits until its call is answered, be it the caller or the called one.
    ///
    /// # Errors
    ///
    /// [`LabError::Refused`] with the reason if the call ends instead (the next call is looked at afterwards),
    /// or [`LabError::TimedOut`].
    pub fn wait_established(&self, within: Duration) -> Result<()> {
        let event = self.wait_call("is in a call", within, &["CALL_ESTABLISHED", "CALL_CLOSED"])?;
        if event.kind == "CALL_ESTABLISHED" {
            return Ok(());
        }
        self.with(|running| Err(running.control.refused("the call", event.detail)))
    }

    /// Waits until its call has ended. The next call is looked at afterwards.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`].
    pub fn wait_closed(&self, within: Duration) -> Result<()> {
        self.wait_call("has no call any more", within, &["CALL_CLOSED"]).map(drop)
    }

    /// Whether it has heard this tone in its newest call.
    ///
    /// # Errors
    ///
    /// If its recording cannot be read.
    pub fn heard_tone(&self, hz: u32) -> Result<bool> {
        let Some(path) = self.newest_recording()? else { return Ok(false) };
        let wav = fs::read(&path).at("read", path)?;
        Ok(Recording::parse(&wav).is_some_and(|heard| heard.has_tone(hz)))
    }

    /// Waits until it has heard this tone in its newest call.
    ///
    /// # Errors
    ///
    /// [`LabError::TimedOut`].
    pub fn wait_tone(&self, hz: u32, within: Duration) -> Result<()> {
        let what = format!("{} hears a tone of {hz} Hz", self.name);
        wait_until(&what, within, &self.log, || self.heard_tone(hz))
    }

    /// SIGKILL: it is gone, and tells nobody.
    pub fn kill(&self) {
        self.running().take();
    }

    fn account(&self, server: &Asterisk) -> String {
        format!("sip:{}@{}", self.number, self.host_of(server))
    }

    fn host_of(&self, server: &Asterisk) -> String {
        match self.at_chan_sip {
            true => format!("{}:{CHAN_SIP_PORT}", server.address()),
            false => server.address().to_string(),
        }
    }

    /// The first event of these kinds in the call that is looked at; its end is the end of looking at it.
    fn wait_call(&self, what: &str, within: Duration, kinds: &[&str]) -> Result<Event> {
        let what = format!("{} {what}", self.name);
        self.with(|running| {
            let wanted =
                |event: &Event| kinds.contains(&event.kind.as_str()).then(|| event.clone());
            let (event, next) =
                running.control.wait_event(running.call_mark, &what, within, wanted)?;
            if event.kind == "CALL_CLOSED" {
                running.call_mark = next;
            }
            Ok(event)
        })
    }

    fn newest_recording(&self) -> Result<Option<PathBuf>> {
        let mut newest: Option<(SystemTime, PathBuf)> = None;
        for entry in fs::read_dir(&self.folder).at("read", &self.folder)? {
            let path = entry.at("read", &self.folder)?.path();
            // What came in is "dec", for decoded; "enc" is its own voice.
            if !path.to_string_lossy().ends_with("-dec.wav") {
                continue;
            }
            let changed = fs::metadata(&path).and_then(|found| found.modified());
            let changed = changed.at("look at", &path)?;
            if newest.as_ref().is_none_or(|(before, _)| changed >= *before) {
                newest = Some((changed, path));
            }
        }
        Ok(newest.map(|(_, path)| path))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Running) -> Result<T>) -> Result<T> {
        let mut running = self.running();
        act(running.as_mut().ok_or_else(|| LabError::NotRunning { program: self.name.clone() })?)
    }

    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
