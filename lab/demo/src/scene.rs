//! The phones of the story, and the few verbs that it is told in.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use tandem_lab::{Asterisk, IaxPhone, Lab, LabError, Phone, wait_until};

use crate::console::Console;
use crate::lookup::{Answer, Lookup};
use crate::narrator::Narrator;
use crate::set::identity;
use crate::watch::Watch;

/// Bound of anything on loopback that should take a moment.
pub(crate) const SOON: Duration = Duration::from_secs(10);
/// How long a desk phone's registration commonly lasts.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
/// The desk phone's and the caller's voices.
pub(crate) const DESK_HZ: u32 = 440;
pub(crate) const CALLER_HZ: u32 = 660;

/// Everything that a step acts with.
pub(crate) struct Scene<'lab> {
    pub(crate) lab: &'lab Lab,
    pub(crate) say: &'lab Narrator,
    /// 200, over SIP.
    pub(crate) desk: Phone,
    /// 201, over IAX2; it answers with an echo.
    pub(crate) radio: IaxPhone,
    /// 300, on the gateway.
    pub(crate) caller: Phone,
    /// 202, which registers for a few seconds at a time, and the watch over its record.
    pub(crate) hasty: Option<(Phone, Watch)>,
    /// The hub, once it is there.
    pub(crate) console: Option<Console>,
}

impl<'lab> Scene<'lab> {
    pub(crate) fn new(lab: &'lab Lab, say: &'lab Narrator) -> Result<Self> {
        let desk = lab.phone("200").tone_hz(DESK_HZ).start()?;
        let radio = lab.iax_phone("201")?;
        let caller = lab.phone("300").tone_hz(CALLER_HZ).start()?;
        caller.add_account(lab.gateway())?;
        Ok(Self { lab, say, desk, radio, caller, hasty: None, console: None })
    }

    /// Waits until every server counts the misses of every cache: a cache that has just been started proves
    /// nothing for a few seconds.
    pub(crate) fn caches_are_ready(&self) -> Result<()> {
        for server in self.lab.servers() {
            let what = format!("{} counts the misses of both caches", server.name());
            wait_until(&what, SOON, &server.log(), || {
                let table = server.cli("universal show servers")?;
                Ok(table.lines().filter(|row| row.contains(" ready ")).count() == 2)
            })?;
        }
        Ok(())
    }

    /// Waits until `server` finds `name`, with the identity of `owner`, and shows that on its console.
    pub(crate) fn finds(
        &self,
        server: &Asterisk,
        name: &str,
        owner: &Asterisk,
    ) -> Result<Duration> {
        let value = identity(owner);
        let took = self.becomes(server, name, &Answer::Value(value.clone()), SOON)?;
        let printed = self.say.console(server, &format!("univar {name}"))?;
        ensure!(
            printed.trim_end() == format!("Universal variable {name} has a value of {value}"),
            "{} printed '{printed}'",
            server.name()
        );
        Ok(took)
    }

    /// Waits until `server` says for certain that there is no `name`, and shows that on its console.
    pub(crate) fn misses(
        &self,
        server: &Asterisk,
        name: &str,
        within: Duration,
    ) -> Result<Duration> {
        let took = self.becomes(server, name, &Answer::Missing, within)?;
        self.say.console(server, &format!("univar {name}"))?;
        Ok(took)
    }

    /// Waits until `name` is `wanted`, seen from `server`.
    pub(crate) fn becomes(
        &self,
        server: &Asterisk,
        name: &str,
        wanted: &Answer,
        within: Duration,
    ) -> Result<Duration> {
        let begun = Instant::now();
        let mut lookup = Lookup::through(server)?;
        let mut last = None;
        let what = format!("{} says of {name}: {wanted:?}", server.name());
        let waited = wait_until(&what, within, &server.log(), || {
            // An error of the session is the last word.
            let Ok(answer) = lookup.get(name).map_err(|error| last = Some(Err(error))) else {
                return Ok(true);
            };
            let found = answer == *wanted;
            last = Some(Ok(answer));
            Ok(found)
        });
        match last {
            Some(Err(error)) => return Err(error),
            Some(Ok(answer)) => {
                waited.with_context(|| format!("its last answer was {answer:?}"))?
            }
            None => waited?,
        }
        Ok(begun.elapsed())
    }

    /// 300 dials `number` at the gateway and 200 answers: both hear each other, and 300 hangs up. Gives the
    /// time from dialling to the answer.
    pub(crate) fn calls_the_desk(&self, number: &str) -> Result<Duration> {
        self.calls(number, &self.desk, DESK_HZ)
    }

    /// As [`Scene::calls_the_desk`], with another phone and its voice.
    pub(crate) fn calls(&self, number: &str, called: &Phone, called_hz: u32) -> Result<Duration> {
        let mark = self.lab.gateway().log_mark()?;
        let dialled = Instant::now();
        self.caller.dial(self.lab.gateway(), number)?;
        let talk = || -> Result<Duration> {
            self.caller.wait_established(SOON)?;
            let answered = dialled.elapsed();
            called.wait_established(SOON)?;
            self.caller.wait_tone(called_hz, SOON)?;
            called.wait_tone(CALLER_HZ, SOON)?;
            self.caller.hang_up()?;
            self.caller.wait_closed(SOON)?;
            called.wait_closed(SOON)?;
            Ok(answered)
        };
        let answered = talk();
        self.say.calls_since(self.lab.gateway(), mark)?;
        let answered = answered.with_context(|| format!("300 calls {number}"))?;
        self.say.holds(&format!(
            "{} answered after {}; 300 heard its {called_hz} Hz, it heard 300's {CALLER_HZ} Hz",
            called.number(),
            seconds(answered)
        ));
        Ok(answered)
    }

    /// 300 dials `number` and is turned away; gives what it was told.
    pub(crate) fn is_turned_away(&self, number: &str) -> Result<String> {
        let mark = self.lab.gateway().log_mark()?;
        self.caller.dial(self.lab.gateway(), number)?;
        let told = self.caller.wait_established(SOON);
        self.say.calls_since(self.lab.gateway(), mark)?;
        match told {
            Err(LabError::Refused { answer, .. }) => Ok(answer),
            Err(error) => Err(error.into()),
            Ok(()) => anyhow::bail!("somebody answered 300's call to {number}"),
        }
    }
}

/// A duration as people say it.
pub(crate) fn seconds(duration: Duration) -> String {
    if duration < Duration::from_millis(100) {
        format!("{} ms", duration.as_millis())
    } else {
        format!("{:.1} s", duration.as_secs_f64())
    }
}
