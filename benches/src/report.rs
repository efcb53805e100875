//! What a bench says and keeps: one `FIGURE` line for each figure, one line for people, and every run as CSV.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::stats::{self, Median, Side};

/// What is to be reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// Exactly this count.
    Exactly(f64),
    /// This or less.
    AtMost(f64),
    /// This or more.
    AtLeast(f64),
    /// Said beside another figure, with no goal of its own.
    None,
}

impl Goal {
    /// The bound that speaks against us.
    fn worst(self, median: Median) -> f64 {
        match self {
            Self::AtLeast(_) => median.low,
            _ => median.high,
        }
    }

    fn verdict(self, median: Median) -> &'static str {
        let told = |met: bool, missed: bool| match (met, missed) {
            (true, _) => "met",
            (_, true) => "MISSED",
            _ => "cannot be told from the noise",
        };
        match self {
            Self::Exactly(goal) => told(median.low == goal && median.high == goal, true),
            Self::AtMost(goal) => told(median.high <= goal, median.low > goal),
            Self::AtLeast(goal) => told(median.low >= goal, median.high < goal),
            Self::None => "",
        }
    }

    fn text(self) -> String {
        match self {
            Self::Exactly(goal) => format!("goal exactly {goal}: "),
            Self::AtMost(goal) => format!("goal <= {goal}: "),
            Self::AtLeast(goal) => format!("goal >= {goal}: "),
            Self::None => String::new(),
        }
    }
}

/// One bench's output.
#[derive(Debug)]
pub(crate) struct Report {
    folder: PathBuf,
}

impl Report {
    /// Makes `target/bench/NAME/TIME/`; TIME is in seconds since 1970.
    ///
    /// # Errors
    ///
    /// If the folder cannot be made.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
        let folder = target_folder().join("bench").join(name).join(now.as_secs().to_string());
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Where the runs are kept.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// A CSV file with these columns.
    ///
    /// # Errors
    ///
    /// If it cannot be made.
    pub(crate) fn table(&self, name: &str, columns: &str) -> Result<Table> {
        let path = self.folder.join(format!("{name}.csv"));
        let mut file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
        writeln!(file, "{columns}")?;
        Ok(Table { file })
    }

    /// A figure with a median: the bound that speaks against us is the value.
    ///
    /// # Errors
    ///
    /// If the figure cannot be kept.
    pub(crate) fn median(
        &self,
        name: &str,
        unit: &str,
        goal: Goal,
        median: Median,
        note: &str,
    ) -> Result<()> {
        let Median { low, middle, high } = median;
        let text = format!(
            "  {}{}; median {middle:.4}, 95 % bounds {low:.4} and {high:.4}; {note}",
            goal.text(),
            goal.verdict(median)
        );
        self.print(name, goal.worst(median), unit, &text)
    }

    /// A figure that was counted, or that is a percentile: one value.
    ///
    /// # Errors
    ///
    /// If the figure cannot be kept.
    pub(crate) fn value(
        &self,
        name: &str,
        unit: &str,
        goal: Goal,
        value: f64,
        note: &str,
    ) -> Result<()> {
        let verdict = goal.verdict(Median { low: value, middle: value, high: value });
        self.print(name, value, unit, &format!("  {}{verdict}; {note}", goal.text()))
    }

    fn print(&self, name: &str, value: f64, unit: &str, text: &str) -> Result<()> {
        let text = text.replace("  ; ", "  ");
        let line = format!("FIGURE {name} {value:.4} {unit}");
        println!("{line}\n{text}");
        let path = self.folder.join("figures.txt");
        let mut file = File::options().create(true).append(true).open(path)?;
        Ok(writeln!(file, "{line}\n{text}")?)
    }
}

/// Raw runs.
#[derive(Debug)]
pub(crate) struct Table {
    file: File,
}

impl Table {
    /// Adds a row.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub(crate) fn row(&mut self, fields: &[&dyn std::fmt::Display]) -> Result<()> {
        let fields: Vec<_> = fields.iter().map(ToString::to_string).collect();
        Ok(writeln!(self.file, "{}", fields.join(","))?)
    }
}

/// The medians of pairs of runs.
#[derive(Clone, Debug)]
pub(crate) struct Pairs {
    ours: Vec<f64>,
    theirs: Vec<f64>,
}

impl Pairs {
    /// Runs `pairs` pairs in ABBA order; `run` measures one side, less is better.
    ///
    /// # Errors
    ///
    /// The first error of `run`.
    pub(crate) fn run(
        pairs: usize,
        table: &mut Table,
        mut run: impl FnMut(Side) -> Result<f64>,
    ) -> Result<Self> {
        let mut all = Self { ours: Vec::new(), theirs: Vec::new() };
        for (pair, order) in stats::abba(pairs).enumerate() {
            for (place, side) in order.into_iter().enumerate() {
                let value = run(side)?;
                let (list, name) = match side {
                    Side::Ours => (&mut all.ours, "ours"),
                    Side::Theirs => (&mut all.theirs, "theirs"),
                };
                list.push(value);
                table.row(&[&pair, &place, &name, &value])?;
            }
        }
        Ok(all)
    }

    /// Ours over theirs, pair by pair.
    pub(crate) fn ours_over_theirs(&self) -> Median {
        ratio(&self.ours, &self.theirs)
    }

    /// Theirs over ours: how many times faster we are.
    pub(crate) fn theirs_over_ours(&self) -> Median {
        ratio(&self.theirs, &self.ours)
    }

    /// All of our runs.
    pub(crate) fn ours(&self) -> &[f64] {
        &self.ours
    }

    /// All of their runs.
    pub(crate) fn theirs(&self) -> &[f64] {
        &self.theirs
    }

    /// The middle of each side, for people.
    pub(crate) fn note(&self, unit: &str) -> String {
        let spread = |values: &[f64]| {
            let [low, high] = [0.25, 0.75].map(|share| stats::percentile(values, share));
            format!("{:.2} {unit} (quartiles {low:.2} to {high:.2})", stats::median(values).middle)
        };
        let pairs = self.ours.len();
        format!("ours {}, theirs {}, {pairs} pairs", spread(&self.ours), spread(&self.theirs))
    }
}

fn ratio(over: &[f64], under: &[f64]) -> Median {
    let ratios: Vec<f64> = over.iter().zip(under).map(|(over, under)| over / under).collect();
    stats::median(&ratios)
}

/// Where cargo builds, beside this program: `target/PROFILE/tandem-benches`.
fn target_folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).map_or_else(|| PathBuf::from("target"), Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(low: f64, high: f64) -> Median {
        Median { low, middle: (low + high) / 2.0, high }
    }

    #[test]
    fn a_goal_inside_the_bounds_cannot_be_told() {
        assert_eq!(Goal::AtMost(1.15).verdict(median(1.0, 1.1)), "met");
        assert_eq!(Goal::AtMost(1.15).verdict(median(1.2, 1.3)), "MISSED");
        assert_eq!(Goal::AtMost(1.15).verdict(median(1.1, 1.2)), "cannot be told from the noise");
        assert_eq!(Goal::AtLeast(3.0).verdict(median(2.9, 3.1)), "cannot be told from the noise");
    }

    #[test]
    fn the_value_is_the_bound_that_speaks_against_us() {
        assert_eq!(Goal::AtMost(1.0).worst(median(1.0, 2.0)), 2.0);
        assert_eq!(Goal::AtLeast(1.0).worst(median(1.0, 2.0)), 1.0);
    }

    #[test]
    fn a_count_is_met_only_exactly() {
        assert_eq!(Goal::Exactly(2.0).verdict(median(2.0, 2.0)), "met");
        assert_eq!(Goal::Exactly(2.0).verdict(median(2.001, 2.001)), "MISSED");
    }

    #[test]
    fn a_pair_is_compared_with_its_neighbour_and_no_other() {
        let pairs = Pairs { ours: vec![2.0, 20.0, 200.0], theirs: vec![1.0, 10.0, 100.0] };
        assert_eq!(pairs.ours_over_theirs().middle, 2.0);
        assert_eq!(pairs.theirs_over_ours().middle, 0.5);
    }
}
