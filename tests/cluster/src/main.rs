//! `cluster run` makes faults on real servers and judges what happened; `cluster check FILE` judges saved histories.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
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
cluster check FILE...        judge saved histories";

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, files)) if command == "check" && !files.is_empty() => check_files(files),
        Some((command, options)) if command == "run" => run_all(&plan(options)?),
        Some((help, _)) if help == "--help" || help == "-h" => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("{USAGE}"),
    }
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
    let say = |text: &str| eprintln!("{:>4} s  {text}", begun.elapsed().as_secs());
    let reports = run(plan, &say)?;
    println!("{}", Report::head());
    for report in &reports {
        print!("{report}");
    }
    let sum = |part: fn(&Report) -> usize| reports.iter().map(part).sum::<usize>();
    let violations = sum(|report| report.violations.len());
    println!(
        "\n{} operations, {} faults, {} excused, {} s\nviolations {violations}",
        sum(|report| report.operations),
        sum(|report| report.faults),
        sum(|report| report.excused.len()),
        begun.elapsed().as_secs()
    );
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn check_files(files: &[String]) -> Result<ExitCode> {
    let mut violations = 0;
    for file in files {
        let report = check(&History::read(Path::new(file))?);
        println!("{file}: {} operations, {} faults", report.operations, report.faults);
        println!("{}\n{report}", Report::head());
        violations += report.violations.len();
    }
    println!("violations {violations}");
    Ok(if violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
