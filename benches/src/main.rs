//! Measures what Tandem promises, beside what a user would take instead: `./bench --help`.
//!
//! This file owns the command line and the list of benches. How a figure comes from noisy runs is in [`stats`],
//! what is printed and kept in [`report`], who runs on which core in [`cpu`],
//! and how a line of dialplan is timed in [`dialplan`].

mod ami;
mod cache;
mod child;
mod cluster;
mod cpu;
mod dialplan;
mod hub;
mod pbx_web;
mod register;
mod report;
mod stats;
mod univar;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::cpu::Core;

/// Pairs of runs, if nothing is said.
const PAIRS: usize = 30;
/// Fewer cannot bound a median.
const PAIRS_MIN: usize = 5;

/// What the command line says.
#[derive(Clone, Debug)]
struct Options {
    /// Pairs of runs for each figure.
    pairs: usize,
    /// The core that what is measured runs on, and the one of all that answers it.
    client: Core,
    servers: Core,
    /// Only figures whose names contain this.
    only: String,
}

impl Options {
    fn wants(&self, figure: &str) -> bool {
        figure.contains(&self.only)
    }

    /// How many rounds a figure has that stands for so many pairs of runs with each of its rounds: two at least.
    fn rounds(&self, pairs_a_round: usize) -> usize {
        (self.pairs / pairs_a_round).max(2)
    }
}

/// One bench.
struct Bench {
    name: &'static str,
    about: &'static str,
    run: fn(&Options) -> Result<()>,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "ami",
        about: "bytes of the manager interface to messages, beside the clients of Rust and Python",
        run: ami::run,
    },
    Bench {
        name: "univar",
        about: "one GetUniVar: system calls, and time beside raw C, func_odbc, CURL() and FastAGI",
        run: univar::run,
    },
    Bench {
        name: "register",
        about: "registrations: processor time for each, time until other servers see it, renewals",
        run: register::run,
    },
    Bench {
        name: "cache",
        about: "the embedded cache beside memcached: requests a second, memory for each item",
        run: cache::run,
    },
    Bench {
        name: "cluster",
        about: "two copies: reads while a cache is dead, hung or being healed, their price, the ring",
        run: cluster::run,
    },
    Bench {
        name: "hub",
        about: "the hub under 20 servers, 10,000 peers and 500 events a second: delay, memory, processor",
        run: hub::run,
    },
    Bench {
        name: "pbx_web",
        about: "the web server inside Asterisk beside Asterisk's own: requests a second",
        run: pbx_web::run,
    },
];

fn main() -> ExitCode {
    // SAFETY: no other thread runs yet, so nobody reads the environment meanwhile. Asterisk inherits it.
    unsafe { std::env::set_var("ODBCSYSINI", univar::odbc_folder()) };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    // The bench starts itself as what is measured; it has one core then.
    if std::env::args().nth(1).as_deref() == Some(cache::SERVE) {
        return cache::serve(std::env::args().skip(2));
    }
    if std::env::args().nth(1).as_deref() == Some(hub::RECORD) {
        let path = std::env::args().nth(2).context("record into which file?")?;
        return hub::record(Path::new(&path));
    }
    // Before anything is pinned, us too.
    let (client, servers) = cpu::client_and_server()?;
    let mut options = Options { pairs: PAIRS, client, servers, only: String::new() };
    let mut wanted: Vec<&Bench> = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "-h" | "--help" => {
                print!("{}", help());
                return Ok(());
            }
            "--pairs" => {
                let pairs = arguments.next().and_then(|number| number.parse().ok());
                match pairs {
                    Some(pairs) if pairs >= PAIRS_MIN => options.pairs = pairs,
                    _ => bail!("--pairs takes a number, {PAIRS_MIN} or more"),
                }
            }
            "--only" => match arguments.next() {
                Some(part) => options.only = part,
                None => bail!("--only takes a part of a figure's name"),
            },
            name => match BENCHES.iter().find(|bench| bench.name == name) {
                Some(bench) => wanted.push(bench),
                None => bail!("no bench is called '{name}'\n\n{}", help()),
            },
        }
    }
    if wanted.is_empty() {
        bail!("which bench?\n\n{}", help());
    }
    for bench in wanted {
        let from = Instant::now();
        println!("== {}: {}", bench.name, bench.about);
        (bench.run)(&options)?;
        println!("== {}: {} s\n", bench.name, from.elapsed().as_secs());
    }
    Ok(())
}

/// The module's XML help: without it Asterisk warns of every application.
fn documentation() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../modules/app_universal/app_universal-en_US.xml")
}

fn help() -> String {
    let list: String =
        BENCHES.iter().map(|bench| format!("  {:10} {}\n", bench.name, bench.about)).collect();
    format!(
        "usage: ./bench [--pairs N] [--only PART] NAME...\n\n{list}\n\
         Each figure is printed as `FIGURE name value unit`: the 95 % bound, on the side that speaks\n\
         against us, of the median of N pairs of runs in ABBA order (N is {PAIRS} if nothing is said).\n\
         --only takes those figures whose names contain PART.\n\
         docs/benchmarks.md says what each one means; the runs are kept in target/bench/NAME/.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_bench() {
        assert!(BENCHES.iter().all(|bench| help().contains(bench.name)));
    }
}
