//! `cluster check FILE...`: judges saved histories.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use tandem_cluster::check::{Report, check};
use tandem_cluster::history::History;

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, files)) if command == "check" && !files.is_empty() => check_files(files),
        _ => bail!("cluster check FILE..."),
    }
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
