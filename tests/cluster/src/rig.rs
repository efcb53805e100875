//! A lab under load, its recorder, and a scenario's course: a moment of peace, a fault, its end, healing.

use std::path::PathBuf;
use std::sync::Mutex;
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tandem_lab::{Asterisk, Lab};

use crate::client::{Client, Order};
use crate::history::{Fault, MILLISECOND, Record, Recorder, Scenario};
use crate::noise::{Befallen, Noise};
use crate::pace::{Pace, Stop};
use crate::phones::Phones;
use crate::random::Random;
use crate::session::Session;
use crate::trouble;
use crate::workload::Workload;

/// Sessions for load at each server.
const SESSIONS: u64 = 4;
/// Dialplan runs in a second, at each server.
const DIALPLAN_RATE: u64 = 4;
/// Before and after each fault.
const PEACE: Duration = Duration::from_secs(1);
/// How long all servers have to say "ready" without a break: longer than they take to look.
const READY_FOR: Duration = Duration::from_millis(1500);
/// How long healing may take.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How often servers are asked whether they are ready.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The first number of phones at A; at B they begin [`PHONES_APART`] later.
pub(crate) const FIRST_PHONE: u32 = 7000;
pub(crate) const PHONES_APART: u32 = 100;
pub(crate) const PHONES: u32 = 12;

/// What a group of scenarios works with.
pub(crate) struct Rig<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) recorder: &'a Recorder,
    pub(crate) workload: &'a Workload,
    pub(crate) seed: u64,
    pub(crate) rate: u64,
    /// What a fault has befallen now, as `cache1`.
    pub(crate) befallen: Befallen,
    pub(crate) say: &'a (dyn Fn(&str) + Sync),
}

/// A fault: how it begins, how it ends.
pub(crate) struct Course<'c> {
    pub(crate) name: &'c str,
    pub(crate) fault: Fault,
    pub(crate) on: &'c str,
    /// How long it lasts.
    pub(crate) hold: Duration,
    pub(crate) begin: &'c mut dyn FnMut() -> Result<()>,
    pub(crate) end: &'c mut dyn FnMut() -> Result<()>,
}

impl Rig<'_> {
    /// Starts all that reads, writes and registers; it ends when `stop` is told.
    pub(crate) fn load<'s, 'e>(
        &'s self,
        scope: &'s Scope<'s, 'e>,
        stop: &'s Stop,
        failed: &'s Mutex<Vec<String>>,
    ) -> Result<()> {
        let mut seed = Random::new(self.seed);
        let mut next = || Random::new(seed.below(u64::MAX));
        let servers = self.lab.servers();
        let sessions = SESSIONS * servers.len() as u64;
        let (from, all) = (Instant::now(), u32::try_from(servers.len()).unwrap_or(1));
        for (number, server) in (0..all).zip(servers) {
            let client = Client::new(server, self.recorder, false);
            scope.spawn(move || self.workload.race(client, number, all, from, stop));
            for _ in 0..SESSIONS {
                let client = Client::new(server, self.recorder, false);
                let (random, pace) =
                    (next(), Pace::new(Duration::from_secs(sessions) / rate(self.rate)));
                scope.spawn(move || self.workload.run(client, random, pace, stop));
            }
            scope.spawn(move || trouble::watch(server, self.recorder, stop));
            let client = Client::new(server, self.recorder, true);
            let variables = Workload { whole: false, ..self.workload.clone() };
            let (random, pace) = (next(), Pace::new(Duration::from_secs(1) / rate(DIALPLAN_RATE)));
            scope.spawn(move || variables.run(client, random, pace, stop));
        }
        let mut phones = Phones::new(self.lab.udp_socket()?, self.recorder, next());
        for (server, first) in [("A", FIRST_PHONE), ("B", FIRST_PHONE + PHONES_APART)] {
            let address = self.lab.server(server)?.address();
            for number in first..first + PHONES {
                phones.add(server, address, number);
            }
        }
        scope.spawn(move || {
            if let Err(error) = phones.run(stop) {
                tell(failed, &format!("the phones: {error}"));
            }
        });
        let noise = Noise::new(self.recorder, &self.befallen);
        scope.spawn(move || noise.watch_the_clock(stop));
        for cache in self.lab.caches() {
            scope.spawn(move || noise.watch(cache, stop));
        }
        Ok(())
    }

    /// One fault, from peace to peace.
    pub(crate) fn course(&self, course: Course<'_>) -> Result<Scenario> {
        self.course_told(course, None)
    }

    /// As [`Rig::course`], of a fault that has to be told to the operator while it lasts.
    pub(crate) fn course_told(
        &self,
        course: Course<'_>,
        told: Option<&mut dyn FnMut() -> Result<bool>>,
    ) -> Result<Scenario> {
        (self.say)(course.name);
        let start = self.recorder.now();
        wait(PEACE);
        self.befallen.set(course.on);
        let begin = self.recorder.now();
        (course.begin)().with_context(|| format!("{}: begin", course.name))?;
        let begun = self.recorder.now();
        wait(course.hold);
        let told = told.map(|told| told()).transpose()?;
        let end = self.recorder.now();
        (course.end)().with_context(|| format!("{}: end", course.name))?;
        let ended = self.recorder.now();
        let healed = self.wait_ready().with_context(|| format!("{}: healing", course.name))?;
        self.befallen.set("");
        wait(PEACE);
        let scenario = Scenario {
            name: course.name.to_owned(),
            fault: course.fault,
            on: course.on.to_owned(),
            b: start,
            begin,
            begun,
            end,
            ended,
            healed: healed.max(ended),
            e: self.recorder.now(),
            told,
        };
        self.recorder.write(&Record::Scenario(scenario.clone()));
        Ok(scenario)
    }

    /// Waits until all caches have been ready on all servers for a while; when that began.
    pub(crate) fn wait_ready(&self) -> Result<u64> {
        let give_up = Instant::now() + READY_WITHIN;
        let mut sessions: Vec<(&Asterisk, Option<Session>)> =
            self.lab.servers().iter().map(|server| (server, None)).collect();
        let mut since: Option<u64> = None;
        let mut seen = String::new();
        loop {
            let mut ready = true;
            for (server, session) in &mut sessions {
                if session.is_none() {
                    *session = Session::open(server, "off").ok();
                }
                let table =
                    session.as_mut().map(|session| session.command("universal show servers"));
                let Some(Ok(table)) = table else {
                    *session = None;
                    ready = false;
                    continue;
                };
                if !all_ready(&table) {
                    ready = false;
                    seen = format!("{}:\n{table}", server.name());
                }
            }
            let now = self.recorder.now();
            since = ready.then(|| since.unwrap_or(now));
            if let Some(since) = since.filter(|since| now - since >= nanos(READY_FOR)) {
                return Ok(since);
            }
            if Instant::now() >= give_up {
                bail!(
                    "the caches are not ready again after {READY_WITHIN:?}; the last seen is\n{seen}"
                );
            }
            wait(LOOK_EVERY);
        }
    }

    /// Writes each name that is seldom written.
    pub(crate) fn write_first(&self) {
        let mut client = Client::new(self.lab.a(), self.recorder, false);
        for order in Workload::first_writes() {
            client.perform(&order);
        }
    }

    /// Reads all names on all servers.
    pub(crate) fn read_all(&self) {
        let names = self.workload.all_names();
        thread::scope(|scope| {
            for server in self.lab.servers() {
                let (recorder, names) = (self.recorder, &names);
                scope.spawn(move || {
                    let mut client = Client::new(server, recorder, false);
                    for name in names {
                        client.perform(&Order::get(name.clone()));
                    }
                });
            }
        });
    }
}

/// Whether a table of `universal show servers` has rows, all of them ready.
fn all_ready(table: &str) -> bool {
    let rows = trouble::rows(table);
    !rows.is_empty() && rows.iter().all(|row| row.is_ready)
}

/// Nothing for a while: for how long a fault lasts is what a scenario is about.
pub(crate) fn wait(time: Duration) {
    Stop::default().goes_on_after(time);
}

fn tell(failed: &Mutex<Vec<String>>, text: &str) {
    failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(text.to_owned());
}

fn rate(per_second: u64) -> u32 {
    u32::try_from(per_second).unwrap_or(u32::MAX).max(1)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX) * MILLISECOND
}

/// Where histories are kept.
pub(crate) fn folder() -> PathBuf {
    Lab::target_folder().join("cluster")
}
