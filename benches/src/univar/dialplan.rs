//! Loops in Asterisk's dialplan, and how long they took.
//!
//! One line is repeated, [`LINES`] times in a row so that counting the loop costs little, and the time is taken
//! inside of Asterisk: one channel reads the clock, goes through the loop, and reads it again. A channel of its
//! own runs each loop, begun over AMI, and tells the times in a `UserEvent`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tandem_lab::{Ami, Asterisk};

/// Lines in one round of the loop.
pub(crate) const LINES: u32 = 50;
/// How long one loop may take.
const LOOP_WITHIN: Duration = Duration::from_secs(30);
/// What every loop reads, and what the loop that reads nothing sets.
pub(crate) const VALUE: &str = "@127.0.0.11/";

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

/// `extensions.conf` with these loops.
pub(crate) fn extensions(loops: &[Loop]) -> String {
    let mut text = String::from(
        "[idle]\nexten => s,1,Answer()\n same => n,Wait(600)\n same => n,Hangup()\n\n[bench]\n",
    );
    for Loop { name, line, .. } in loops {
        let lines = format!(" same => n,{line}\n").repeat(LINES as usize);
        let (_, rest) = lines.split_at(" same => n,".len());
        // Once through all lines first: connections are open then, and caches warm.
        let _infallible = write!(
            text,
            "exten => {name},1,NoOp()\n{lines} same => n,Set(FROM=${{STRFTIME(,,%s%6q)}})\n \
             same => n(again),{rest} same => n,Set(ROUNDS=$[${{ROUNDS}} - 1])\n \
             same => n,GotoIf($[${{ROUNDS}} > 0]?again)\n \
             same => n,Set(TO=${{STRFTIME(,,%s%6q)}})\n \
             same => n,UserEvent(Bench,Run: ${{RUN}},From: ${{FROM}},To: ${{TO}},X: ${{X}})\n \
             same => n,Hangup()\n\n",
        );
    }
    text
}

/// A session that runs loops on one server.
#[derive(Debug)]
pub(crate) struct Runner {
    ami: Ami,
    runs: u32,
}

impl Runner {
    /// A session with this server, which gets no other events than ours.
    ///
    /// # Errors
    ///
    /// If the server refuses.
    pub(crate) fn new(server: &Asterisk) -> Result<Self> {
        let mut ami = server.ami()?;
        ami.action(&[("Action", "Events"), ("EventMask", "user")])?;
        Ok(Self { ami, runs: 0 })
    }

    /// Nanoseconds that one line of a loop took.
    ///
    /// # Errors
    ///
    /// If the loop does not end, or did not read what it should.
    pub(crate) fn nanoseconds_a_line(&mut self, what: &Loop) -> Result<f64> {
        self.runs += 1;
        let run = self.runs.to_string();
        let variables = format!("RUN={run},ROUNDS={}", what.rounds);
        let mark = self.ami.mark();
        self.ami.action(&[
            ("Action", "Originate"),
            ("Channel", "Local/s@idle/n"),
            ("Context", "bench"),
            ("Exten", what.name),
            ("Priority", "1"),
            ("Async", "true"),
            ("Variable", &variables),
        ])?;
        let waited = format!("the loop {} has ended", what.name);
        let event = self.ami.wait_event_after(mark, &waited, LOOP_WITHIN, |event| {
            event.value("UserEvent") == "Bench" && event.value("Run") == run
        })?;
        let x = event.value("X");
        ensure!(x == VALUE, "the loop {} read '{x}', not '{VALUE}'", what.name);
        let time = |name| {
            let text = event.value(name);
            text.parse::<u64>().with_context(|| format!("{name} is '{text}'"))
        };
        let microseconds = time("To")?.saturating_sub(time("From")?);
        Ok(microseconds as f64 * 1000.0 / f64::from(what.rounds * LINES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_warms_up_and_has_its_label_on_the_first_line_that_counts() {
        let text = extensions(&[Loop { name: "x", line: "Set(X=1)".to_owned(), rounds: 2 }]);
        assert_eq!(text.matches(",Set(X=1)\n").count(), 2 * LINES as usize);
        assert_eq!(text.matches("n(again),Set(X=1)\n").count(), 1);
        assert!(text.lines().all(|line| !line.starts_with("  ")), "{text}");
    }
}
