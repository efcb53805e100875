//! Very many registrations or calls, by sipp, at a fixed rate.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::config::phone_secret;
use crate::error::{At as _, LabError, Result};
use crate::place::Place;
use crate::process::Process;
use crate::server::{Asterisk, SIP_PORT};

/// The last part of the address that sipp sends from.
const HOST: u8 = 29;
/// Registrations begun in a second if nothing is said.
const RATE_PER_SECOND: u32 = 500;
/// On top of the time that the rate makes it take.
const SPARE: Duration = Duration::from_secs(30);

/// What to register.
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is registered before run()"]
pub struct RegisterMany<'lab> {
    pub(crate) place: &'lab Arc<Place>,
    pub(crate) server: &'lab Asterisk,
    pub(crate) first: u32,
    pub(crate) count: u32,
    pub(crate) expires: Duration,
    pub(crate) rate_per_second: u32,
}

impl<'lab> RegisterMany<'lab> {
    pub(crate) fn new(
        place: &'lab Arc<Place>,
        server: &'lab Asterisk,
        first: u32,
        count: u32,
    ) -> Self {
        let expires = Duration::from_secs(3600);
        Self { place, server, first, count, expires, rate_per_second: RATE_PER_SECOND }
    }

    /// For how long; an hour if nothing is said. Zero takes the registrations back.
    pub fn expires(mut self, expires: Duration) -> Self {
        self.expires = expires;
        self
    }

    /// How many are begun in a second.
    pub fn rate_per_second(mut self, rate: u32) -> Self {
        self.rate_per_second = rate.max(1);
        self
    }

    /// Sends them and returns when all have been accepted. Endpoints with a password give the secret of
    /// [`phone_secret`].
    ///
    /// # Errors
    ///
    /// [`LabError::Ended`] if any was refused or lost, [`LabError::TimedOut`].
    pub fn run(self) -> Result<()> {
        let xml = include_str!("../conf/sipp-register.xml");
        let xml = xml.replace("@EXPIRES@", &self.expires.as_secs().to_string());
        let sipp = Sipp::new(self.place, &xml)?;
        let numbers = sipp.folder.join("numbers.csv");
        fs::write(&numbers, self.numbers()).at("write", &numbers)?;
        let what = format!("{} phones are registered", self.count);
        sipp.run(self.server, self.count, self.rate_per_second, &what, |command| {
            command.arg("-inf").arg(&numbers);
        })
    }

    fn numbers(&self) -> String {
        let mut csv = String::from("SEQUENTIAL\n");
        for number in self.first..self.first + self.count {
            let secret = phone_secret(&number.to_string());
            // The whole keyword, for sipp 3.6 knows no field within a keyword. Writing to a String cannot fail.
            let _infallible =
                writeln!(csv, "{number};[authentication username={number} password={secret}]");
        }
        csv
    }
}

/// Calls to make, all from one endpoint without a password to one extension that answers.
#[derive(Clone, Copy, Debug)]
#[must_use = "nobody is called before run()"]
pub struct CallMany<'lab> {
    pub(crate) place: &'lab Arc<Place>,
    pub(crate) server: &'lab Asterisk,
    pub(crate) caller: u32,
    pub(crate) extension: &'lab str,
    pub(crate) count: u32,
    pub(crate) rate_per_second: u32,
}

impl CallMany<'_> {
    /// Makes them, and gives how long each took from its INVITE to its answer.
    ///
    /// # Errors
    ///
    /// [`LabError::Ended`] if any was refused or lost, [`LabError::TimedOut`].
    pub fn run(self) -> Result<Vec<Duration>> {
        let xml = include_str!("../conf/sipp-call.xml");
        let xml = xml.replace("@CALLER@", &self.caller.to_string());
        let sipp = Sipp::new(self.place, &xml.replace("@EXTENSION@", self.extension))?;
        let folder = sipp.folder.clone();
        let what = format!("{} calls are over", self.count);
        sipp.run(self.server, self.count, self.rate_per_second, &what, |command| {
            command.args(["-trace_shortmsg", "-shortmessage_file", "messages.csv"]);
        })?;
        let messages = folder.join("messages.csv");
        let text = fs::read_to_string(&messages).at("read", &messages)?;
        let (mut begun, mut took) = (HashMap::new(), Vec::new());
        // Its own table of response times knows only whole ticks of the kernel's clock.
        for line in text.lines() {
            // Date, time, both as seconds since 1970, S or R, Call-ID, CSeq, the first line.
            let fields: Vec<&str> = line.split('\t').collect();
            let [_, _, at, way, call, "CSeq:1 INVITE", first] = fields[..] else { continue };
            let Ok(at) = at.parse::<f64>() else { continue };
            match way {
                "S" => drop(begun.entry(call).or_insert(at)),
                _ if first.starts_with("SIP/2.0 200") => took.extend(
                    begun.remove(call).map(|begun| Duration::from_secs_f64((at - begun).max(0.0))),
                ),
                _ => {}
            }
        }
        Ok(took)
    }
}

/// One run of sipp, in a folder of its own.
struct Sipp<'lab> {
    place: &'lab Arc<Place>,
    name: String,
    folder: PathBuf,
    log: PathBuf,
}

impl<'lab> Sipp<'lab> {
    fn new(place: &'lab Arc<Place>, scenario: &str) -> Result<Self> {
        static RUN: AtomicU32 = AtomicU32::new(0);
        let name = format!("sipp-{}", RUN.fetch_add(1, Ordering::Relaxed));
        let folder = place.make_folder(&name)?;
        let log = place.logs().join(&name).join("sipp.log");
        let path = folder.join("scenario.xml");
        fs::write(&path, scenario).at("write", &path)?;
        Ok(Self { place, name, folder, log })
    }

    /// Until as many calls, in SIP's sense, were successful.
    fn run(
        &self,
        server: &Asterisk,
        count: u32,
        rate_per_second: u32,
        what: &str,
        more: impl FnOnce(&mut Command),
    ) -> Result<()> {
        let from = self.place.address(HOST).to_string();
        let mut command = Command::new("sipp");
        command
            .current_dir(&self.folder)
            .arg(format!("{}:{SIP_PORT}", server.address()))
            .args(["-i", &from, "-p", "5060", "-nostdin"])
            .args(["-trace_err", "-error_file", "errors.log"])
            .args(["-m", &count.to_string(), "-r", &rate_per_second.to_string()])
            .args(["-l", "1000", "-recv_timeout", "10000"])
            .args(["-sf", "scenario.xml"]);
        more(&mut command);
        let mut process = Process::spawn(command, &self.name, &self.log, &self.place.pids())?;
        let within = Duration::from_secs(u64::from(count / rate_per_second)) * 2 + SPARE;
        if !process.ends_within(within) {
            let log = self.log.clone();
            return Err(LabError::TimedOut { what: what.into(), within, log });
        }
        match process.must_run() {
            // 0 is: every call was successful.
            Err(LabError::Ended { status, .. }) if status.success() => Ok(()),
            other => other,
        }
    }
}
