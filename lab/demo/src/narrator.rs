//! What people see: the story with the servers' own words, or one line for each step.
//!
//! Everything that is told is kept in a file beside the servers' logs too, also where only a line is shown.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result};
use tandem_lab::{Asterisk, Lab};

/// Files and lines of Asterisk whose verbose messages tell the story of a call.
const TOLD_BY: &[&str] =
    &["pbx.c", "app_dial.c", "pbx_builtins.c", "app_voicemail.c", "app_playback.c"];

/// Tells the story.
pub(crate) struct Narrator {
    checks: bool,
    begun: Instant,
    kept: Mutex<Option<File>>,
}

impl Narrator {
    pub(crate) fn new(checks: bool) -> Self {
        Self { checks, begun: Instant::now(), kept: Mutex::new(None) }
    }

    /// Keeps what is told from here on in a file.
    pub(crate) fn keep_in(&self, path: &Path) -> Result<()> {
        let file = File::create(path).with_context(|| format!("create {}", path.display()))?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }

    /// Tells of the start, and how long it took.
    pub(crate) fn start<'lab>(
        &self,
        start: impl FnOnce() -> Result<&'lab Lab>,
    ) -> Result<&'lab Lab> {
        self.show("Starting servers A, B and the gateway, and two memcached ...");
        let lab = start()?;
        for server in lab.servers() {
            self.show(&format!("   {:<8} {}", server.name(), server.address()));
        }
        for number in [1, 2] {
            self.show(&format!("   cache {number}  {}", lab.cache(number).address()));
        }
        self.show(&format!("   {:.1} s; they log to {}", self.seconds(), lab.logs().display()));
        Ok(lab)
    }

    /// A step begins.
    pub(crate) fn step(&self, number: usize, title: &str) {
        self.show(&format!("\n{number:>2}. {title}\n"));
    }

    /// A step is over; this is the line of it that `--check` shows.
    pub(crate) fn over(&self, number: usize, title: &str, begun: Instant, held: &Result<()>) {
        let seconds = begun.elapsed().as_secs_f64();
        let line = match held {
            Ok(()) => format!("ok     {number:>2}. {title} ({seconds:.1} s)"),
            Err(error) => {
                format!("FAILED {number:>2}. {title} ({seconds:.1} s)\n           {error:#}")
            }
        };
        if self.checks || held.is_err() {
            println!("{line}");
        }
        self.keep(&line);
    }

    /// The story is over.
    pub(crate) fn end(&self, failed: Option<usize>, steps: usize, lab: &Lab) {
        let seconds = self.seconds();
        match failed {
            None => println!("\nAll {steps} steps held, in {seconds:.0} s."),
            Some(step) => println!(
                "\nStep {step} did not hold, after {seconds:.0} s. What happened is in {}:\n\
                 story.log, and each server's log/full.",
                lab.logs().display()
            ),
        }
    }

    /// A sentence of the story.
    pub(crate) fn tell(&self, text: &str) {
        self.show(&format!("    {text}"));
    }

    /// Something that was checked, and held.
    pub(crate) fn holds(&self, text: &str) {
        self.show(&format!("    * {text}"));
    }

    /// Runs a command on a server's console, and shows both.
    pub(crate) fn console(&self, server: &Asterisk, command: &str) -> Result<String> {
        let printed = server.cli(command)?;
        self.show(&format!("      {}*CLI> {command}", server.name()));
        for line in printed.lines().filter(|line| !line.trim().is_empty()) {
            self.show(&format!("      {line}"));
        }
        Ok(printed)
    }

    /// Shows what a server said of its calls since [`Asterisk::log_mark`].
    pub(crate) fn calls_since(&self, server: &Asterisk, mark: usize) -> Result<()> {
        for line in server.log_since(mark)?.lines().filter_map(told_line) {
            self.show(&format!("      {line}"));
        }
        Ok(())
    }

    fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn show(&self, line: &str) {
        if !self.checks {
            println!("{line}");
        }
        self.keep(line);
    }

    fn keep(&self, line: &str) {
        if let Some(file) = self.kept.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // The story is not worse for a line that could not be kept.
            let _kept = writeln!(file, "{line}");
        }
    }
}

/// A line of a log as it was on the console, if it tells of a call: without time, thread and file.
fn told_line(line: &str) -> Option<String> {
    let (_, message) = line.split_once("] VERBOSE[")?;
    let message = message.split_once("] ")?.1;
    // With a call's number the head has one more bracket: "VERBOSE[12][C-00000001] pbx.c: ...".
    let (file, text) = message.split_once(": ")?;
    let quiet = text.contains("Local/s@run");
    (TOLD_BY.contains(&file) && !quiet)
        .then(|| format!("    -- {}", text.trim_start_matches(['-', ' '])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_about_a_call_is_told_as_on_the_console_and_others_are_not() {
        let line = "[2026-01-01 00:00:00.000] VERBOSE[12][C-00000001] pbx.c: Executing \
                    [200@from-phones:1] NoOp(\"PJSIP/300-00000000\", \"a: b\") in new stack";
        let told = "    -- Executing [200@from-phones:1] NoOp(\"PJSIP/300-00000000\", \"a: b\") in new stack";
        assert_eq!(told_line(line).as_deref(), Some(told));
        assert_eq!(told_line("[2026-01-01 00:00:00.000] VERBOSE[12] loader.c: x.so => (X)"), None);
        assert_eq!(told_line("[2026-01-01 00:00:00.000] WARNING[12] pbx.c: Odd"), None);
    }
}
