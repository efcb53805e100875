//! Loops in Asterisk's dialplan, and how long they took.
//!
//! One line is repeated, [`LINES`] times in a row so that counting the loop costs little, and the time is taken
//! inside of Asterisk: one channel reads the clock, goes through the loop, and reads it again. A channel of its
//! own runs each loop, begun on the console, and logs the times.
//!
//! The server has no manager interface: for that, Asterisk makes an event of each dialplan line and of each
//! variable that is set, in other threads on the same core, and with each loop it falls further behind; the next
//! loop would be measured with what this one left.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tandem_lab::{Asterisk, ServerConfig};

/// Lines in one round of the loop.
pub(crate) const LINES: u32 = 50;
/// How long one loop may take.
const LOOP_WITHIN: Duration = Duration::from_secs(30);
/// Before the times in the log.
const DONE: &str = "bench loop ";
/// How long a loop waits before it begins.
const CALM_SECS: &str = "0.05";
/// What every loop reads, and what the loop that reads nothing sets.
pub(crate) const VALUE: &str = "@127.0.0.11/";

/// How long cache servers may take until their misses count.
const READY_WITHIN: Duration = Duration::from_secs(15);

/// A loop over one dialplan line.
#[derive(Clone, Debug)]
pub(crate) struct Loop {
    /// The extension.
    pub(crate) name: &'static str,
    /// The line; it leaves [`VALUE`] in X.
    pub(crate) line: String,
    /// How often it runs in one measurement, in rounds of [`LINES`].
    pub(crate) rounds: u32,
}

impl Loop {
    /// A loop over `line` in the extension `name`.
    pub(crate) fn new(name: &'static str, line: &str, rounds: u32) -> Self {
        Self { name, line: line.to_owned(), rounds }
    }

    /// The loop that reads nothing: what the others are measured less.
    pub(crate) fn set() -> Self {
        Self::new("set", &format!("Set(X={VALUE})"), 200)
    }
}

/// A server that has these loops, and logs no dialplan lines.
pub(crate) fn server(config: ServerConfig, loops: &[Loop]) -> ServerConfig {
    config
        .extensions(&extensions(loops))
        .append("asterisk.conf", "verbose = 0\n")
        .file(
            "logger.conf",
            "[general]\ndateformat = %F %T.%3q\n[logfiles]\nfull => notice,warning,error\n\
             trouble => warning,error\n",
        )
        .without_manager()
}

/// Waits until both cache servers' misses count.
///
/// # Errors
///
/// If that takes too long.
pub(crate) fn wait_ready(server: &Asterisk) -> Result<()> {
    let what = "both cache servers are ready";
    tandem_lab::wait_until(what, READY_WITHIN, &server.log(), || {
        Ok(server.cli("universal show servers")?.matches("ready").count() >= 2)
    })
    .context("universal show servers")
}

/// `extensions.conf` with these loops.
fn extensions(loops: &[Loop]) -> String {
    let mut text = String::from(
        "[idle]\nexten => s,1,Answer()\n same => n,Wait(600)\n same => n,Hangup()\n\n[bench]\n",
    );
    for Loop { name, line, rounds } in loops {
        let lines = format!(" same => n,{line}\n").repeat(LINES as usize);
        let (_, rest) = lines.split_at(" same => n,".len());
        // The console that began it shall be gone. Then once through all lines: connections are open, and
        // caches warm.
        let _infallible = write!(
            text,
            "exten => {name},1,Wait({CALM_SECS})\n same => n,Set(ROUNDS={rounds})\n{lines} \
             same => n,Set(FROM=${{STRFTIME(,,%s%6q)}})\n \
             same => n(again),{rest} same => n,Set(ROUNDS=$[${{ROUNDS}} - 1])\n \
             same => n,GotoIf($[${{ROUNDS}} > 0]?again)\n \
             same => n,Set(TO=${{STRFTIME(,,%s%6q)}})\n \
             same => n,Log(NOTICE,{DONE}{name} ${{FROM}} ${{TO}} ${{X}})\n \
             same => n,Hangup()\n\n",
        );
    }
    text
}

/// Runs loops on one server.
#[derive(Debug)]
pub(crate) struct Runner<'a> {
    server: &'a Asterisk,
    log: File,
    /// What was read of the log's last line.
    part: String,
}

impl<'a> Runner<'a> {
    /// A runner that reads the server's log from here on.
    ///
    /// # Errors
    ///
    /// If the log cannot be read.
    pub(crate) fn new(server: &'a Asterisk) -> Result<Self> {
        let path = server.log();
        let mut log = File::open(&path).with_context(|| format!("open {}", path.display()))?;
        log.seek(SeekFrom::End(0))?;
        Ok(Self { server, log, part: String::new() })
    }

    /// Nanoseconds of a loop's line beyond those of a line of `set`, which is run right after it.
    ///
    /// # Errors
    ///
    /// As [`Runner::nanoseconds_a_line`].
    pub(crate) fn cost(&mut self, what: &Loop, set: &Loop) -> Result<f64> {
        let whole = self.nanoseconds_a_line(what)?;
        Ok(whole - self.nanoseconds_a_line(set)?)
    }

    /// Nanoseconds that one line of a loop took.
    ///
    /// # Errors
    ///
    /// If the loop does not end, or did not read what it should.
    pub(crate) fn nanoseconds_a_line(&mut self, what: &Loop) -> Result<f64> {
        self.server
            .cli(&format!("channel originate Local/s@idle/n extension {}@bench", what.name))?;
        let done = format!("{DONE}{} ", what.name);
        let waited = format!("the loop {} has ended", what.name);
        let log = self.server.log();
        let (log_file, part) = (&mut self.log, &mut self.part);
        let line = tandem_lab::wait_for(&waited, LOOP_WITHIN, &log, || {
            Ok(next_line(log_file, part)
                .and_then(|line| line.split_once(&done).map(|(_, times)| times.to_owned())))
        })?;
        let fields: Vec<&str> = line.split(' ').collect();
        let [from, to, x] = fields[..] else { bail!("the loop {} says '{line}'", what.name) };
        ensure!(x == VALUE, "the loop {} read '{x}', not '{VALUE}'", what.name);
        let microseconds = to.parse::<u64>()?.saturating_sub(from.parse()?);
        Ok(microseconds as f64 * 1000.0 / f64::from(what.rounds * LINES))
    }
}

/// The log's next whole line, if there is one.
fn next_line(log: &mut File, part: &mut String) -> Option<String> {
    // What cannot be read now is there the next time.
    let _read = log.read_to_string(part);
    let (line, rest) = part.split_once('\n')?;
    let line = line.to_owned();
    *part = rest.to_owned();
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_warms_up_and_has_its_label_on_the_first_line_that_counts() {
        let text = extensions(&[Loop::new("x", "Set(X=1)", 2)]);
        assert_eq!(text.matches(",Set(X=1)\n").count(), 2 * LINES as usize);
        assert_eq!(text.matches("n(again),Set(X=1)\n").count(), 1);
        assert!(text.lines().all(|line| !line.starts_with("  ")), "{text}");
    }
}
