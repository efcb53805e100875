//! What a check found, as a table for people.

use std::fmt;

use super::{Context, Violation};
use crate::history::{Fault, History, Kind, MILLISECOND, Nanos, Op, Outcome, Scenario};

/// How much longer than the deadline a read may take before it is counted as over it: the way through Asterisk's
/// manager is in it.
const SLACK: Nanos = 50 * MILLISECOND;
/// How many lines of the history are named for a violation.
const LINES_SHOWN: usize = 12;
/// How many violations are written out.
const VIOLATIONS_SHOWN: usize = 40;

/// The result of a check.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which group of scenarios this was.
    pub group: String,
    /// All operations, registrations counted in.
    pub operations: usize,
    /// Scenarios that had a fault.
    pub faults: usize,
    /// One for each scenario.
    pub rows: Vec<Row>,
    /// What was promised and not kept, in the order of time.
    pub violations: Vec<Violation>,
    /// What would be a violation, had not two caches had trouble at once.
    pub excused: Vec<Violation>,
}

/// One scenario.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub scenario: String,
    /// Operations that ended in it.
    pub operations: usize,
    /// How many of them were answered `UNREACHABLE`.
    pub unreachable: usize,
    /// How many had no answer, for the server was away.
    pub gone: usize,
    /// Reads that took longer than the deadline, though the machine was not busy.
    pub over: usize,
    /// The slowest read.
    pub slowest_read: Nanos,
    /// From the end of the fault until all was ready.
    pub heal: Option<Nanos>,
    /// What was promised and not kept.
    pub violations: usize,
}

pub(crate) fn report(
    history: &History,
    violations: Vec<Violation>,
    excused: Vec<Violation>,
) -> Report {
    let mut scenarios: Vec<&Scenario> = history.scenarios.iter().map(|(_, s)| s).collect();
    scenarios.sort_by_key(|scenario| scenario.b);
    Report {
        group: history.header.group.clone(),
        operations: history.ops.len() + history.registers.len(),
        faults: scenarios.iter().filter(|scenario| scenario.fault != Fault::None).count(),
        rows: scenarios.iter().map(|scenario| row(history, scenario, &violations)).collect(),
        violations,
        excused,
    }
}

fn row(history: &History, scenario: &Scenario, violations: &[Violation]) -> Row {
    let context = Context { history };
    let within = |time: Nanos| scenario.has(time);
    let ops: Vec<&Op> = history.ops.iter().map(|(_, op)| op).filter(|op| within(op.e)).collect();
    let count = |outcome| ops.iter().filter(|op| op.o == outcome).count();
    let reads = || ops.iter().filter(|op| op.k == Kind::Get && op.o != Outcome::Gone);
    let bound = history.header.deadline_ms * MILLISECOND + SLACK;
    let registers = history.registers.iter().filter(|(_, register)| within(register.e)).count();
    Row {
        scenario: scenario.name.clone(),
        operations: ops.len() + registers,
        unreachable: count(Outcome::Unreachable),
        gone: count(Outcome::Gone),
        over: reads().filter(|op| op.e - op.b > bound && !context.stalled(op.b, op.e)).count(),
        slowest_read: reads().map(|op| op.e - op.b).max().unwrap_or_default(),
        heal: (scenario.fault != Fault::None)
            .then(|| scenario.healed.saturating_sub(scenario.ended)),
        violations: violations.iter().filter(|violation| within(violation.at)).count(),
    }
}

impl Report {
    /// The head of the table that [`Report`] prints the rows of.
    #[must_use]
    pub fn head() -> String {
        format!(
            "{:<26} {:>10} {:>12} {:>12} {:>9} {:>9} {:>10}",
            "scenario",
            "operations",
            "unreachable",
            "slowest read",
            "over it",
            "healed in",
            "violations"
        )
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        let share = 100.0 * self.unreachable as f64 / self.operations.max(1) as f64;
        let heal = self.heal.map_or_else(|| "-".to_owned(), seconds);
        let slowest = format!("{} ms", self.slowest_read / MILLISECOND);
        write!(
            f,
            "{:<26} {:>10} {:>10.2} % {slowest:>12} {:>9} {heal:>9} {:>10}",
            self.scenario, self.operations, share, self.over, self.violations
        )
    }
}

fn seconds(time: Nanos) -> String {
    format!("{}.{} s", time / 1_000_000_000, time / 100_000_000 % 10)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        let excused = self.excused.iter().map(|violation| (violation, "excused: "));
        let violations = self.violations.iter().map(|violation| (violation, ""));
        for (violation, excused) in excused.chain(violations.take(VIOLATIONS_SHOWN)) {
            writeln!(f, "  {excused}{}: {}", violation.rule, violation.text)?;
            let lines: Vec<String> =
                violation.lines.iter().take(LINES_SHOWN).map(usize::to_string).collect();
            let more = if violation.lines.len() > LINES_SHOWN { " ..." } else { "" };
            writeln!(f, "    at {}, lines {}{more}", seconds(violation.at), lines.join(" "))?;
        }
        if self.violations.len() > VIOLATIONS_SHOWN {
            writeln!(f, "  and {} more", self.violations.len() - VIOLATIONS_SHOWN)?;
        }
        Ok(())
    }
}
