//! `cluster run` makes faults on real servers and judges what happened; `cluster check FILE` judges saved histories.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};
use tandem_cluster::check::{Report, check};
use tandem_cluster::history::History;
use tandem_cluster::{Plan, run};

const USAGE: &str = "\
cluster run [OPTION...]      make faults, and judge what happened
  --short                    a minute of them
  --only TEXT                scenarios whose name contains TEXT; may be repeated
  --seed NUMBER              what random choices are made from
  --rate NUMBER              operations in a second (700)
  --deadline NUMBER          deadline of an operation in ms (300: the machine may be busy)
  --copies NUMBER            copies of each name (2)
  --module FILE              app_universal.so; else the one built beside this program
  --switch-off RULE          with a module of the feature switch-off: without that rule
cluster check FILE...        judge saved histories
The exit code is 0 if all promises were kept, 1 if not, and 2 if nothing could be run or judged.";

/// What could not be run or judged, as opposed to what was judged and found wrong.
const NOT_DONE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.split_first() {
        Some((command, files)) if command == "check" => check_files(files),
        Some((command, options)) if command == "run" => {
            plan(options).and_then(|plan| run_all(&plan))
        }
        Some((help, _)) if is_help(help) => {
            say(format_args!("{USAGE}"));
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(anyhow!("{USAGE}")),
    };
    done.unwrap_or_else(|error| {
        eprintln!("cluster: {error:#}");
        ExitCode::from(NOT_DONE)
    })
}

fn is_help(argument: &str) -> bool {
    matches!(argument, "--help" | "-h")
}

/// A line on standard output. Whoever does not read on wants no more of it; the exit code tells the rest.
fn say(line: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

fn plan(options: &[String]) -> Result<Plan> {
    let mut plan = Plan::default();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || options.next().with_context(|| format!("{option} needs a value"));
        match option.as_str() {
            "--short" => plan.short = true,
            "--only" => plan.only.push(value()?.clone()),
            "--seed" => plan.seed = value()?.parse().context("--seed")?,
            "--rate" => plan.rate = value()?.parse().context("--rate")?,
            "--deadline" => plan.deadline_ms = value()?.parse().context("--deadline")?,
            "--copies" => plan.copies = value()?.parse().context("--copies")?,
            "--module" => plan.module = Some(value()?.into()),
            "--switch-off" => plan.switched_off = Some(value()?.clone()),
            _ => bail!("no such option: {option}\n{USAGE}"),
        }
    }
    Ok(plan)
}

fn run_all(plan: &Plan) -> Result<ExitCode> {
    let begun = Instant::now();
    let tell = |text: &str| eprintln!("{:>4} s  {text}", begun.elapsed().as_secs());
    let reports = run(plan, &tell)?;
    say(format_args!("{}", Report::head()));
    for report in &reports {
        say(format_args!("{}", report.to_string().trim_end()));
    }
    let sum = |part: fn(&Report) -> usize| reports.iter().map(part).sum::<usize>();
    let violations = sum(|report| report.violations.len());
    say(format_args!(
        "\n{} operations, {} faults, {} excused, {} s\nviolations {violations}",
        sum(|report| report.operations),
        sum(|report| report.faults),
        sum(|report| report.excused.len()),
        begun.elapsed().as_secs()
    ));
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_files(files: &[String]) -> Result<ExitCode> {
    if let Some(option) = files.iter().find(|file| file.starts_with('-')) {
        if is_help(option) {
            say(format_args!("{USAGE}"));
            return Ok(ExitCode::SUCCESS);
        }
        bail!("no such option: {option}\n{USAGE}");
    }
    if files.is_empty() {
        bail!("which history?\n{USAGE}");
    }
    let mut violations = 0;
    for file in files {
        let report = check(&History::read(Path::new(file))?);
        say(format_args!("{file}: {} operations, {} faults", report.operations, report.faults));
        say(format_args!("{}\n{report}", Report::head()));
        violations += report.violations.len();
    }
    say(format_args!("violations {violations}"));
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
