//! Very many registrations, by sipp: one REGISTER for each number, at a fixed rate.

use std::fmt::Write as _;
use std::fs;
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
        static RUN: AtomicU32 = AtomicU32::new(0);
        let name = format!("sipp-{}", RUN.fetch_add(1, Ordering::Relaxed));
        let folder = self.place.make_folder(&name)?;
        let log = self.place.logs().join(&name).join("sipp.log");
        let (scenario, numbers) = (folder.join("register.xml"), folder.join("numbers.csv"));
        let xml = include_str!("../conf/sipp-register.xml");
        let xml = xml.replace("@EXPIRES@", &self.expires.as_secs().to_string());
        fs::write(&scenario, xml).at("write", &scenario)?;
        fs::write(&numbers, self.numbers()).at("write", &numbers)?;

        let from = self.place.address(HOST).to_string();
        let mut command = Command::new("sipp");
        command
            .current_dir(&folder)
            .arg(format!("{}:{SIP_PORT}", self.server.address()))
            .args([
                "-i",
                &from,
                "-p",
                "5060",
                "-nostdin",
                "-trace_err",
                "-error_file",
                "errors.log",
            ])
            .args(["-m", &self.count.to_string(), "-r", &self.rate_per_second.to_string()])
            .args(["-l", "1000", "-recv_timeout", "10000"])
            .arg("-sf")
            .arg(&scenario)
            .arg("-inf")
            .arg(&numbers);
        let mut process = Process::spawn(command, &name, &log, &self.place.pids())?;
        let within = Duration::from_secs(u64::from(self.count / self.rate_per_second)) * 2 + SPARE;
        if !process.ends_within(within) {
            let what = format!("{} phones are registered", self.count);
            return Err(LabError::TimedOut { what, within, log });
        }
        match process.must_run() {
            // 0 is: every call was successful.
            Err(LabError::Ended { status, .. }) if status.success() => Ok(()),
            other => other,
        }
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
