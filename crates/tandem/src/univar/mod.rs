//! `tandem univar`: universal variables, a file a subcommand.

mod backup;
mod del;
mod export;
mod feed;
mod get;
mod import;
mod inc;
mod list;
mod set;
mod ttl;
mod watch;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use univar::{Name, Outcome};
use universal::Status;

use crate::exit::Exit;
use crate::out::complain;
use crate::session::Session;
use crate::source::Source;
use crate::text::escaped;

pub(crate) use list::incomplete;

/// Reads, writes, lists and watches universal variables.
///
/// A name takes 1 to 250 bytes, with no blanks or control bytes. A value takes any bytes, up to memcached's 1 MB.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Univar {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, Subcommand)]
enum Command {
    Get(get::Get),
    Set(set::Set),
    Del(del::Del),
    Inc(inc::Inc),
    Ttl(ttl::Ttl),
    List(list::List),
    Watch(watch::Watch),
    Export(export::Export),
    Import(import::Import),
}

impl Univar {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        // What is wrong in itself is said before any cache server is asked.
        match self.command {
            Command::Get(command) => command.run(&self.source),
            Command::Set(command) => command.run(&self.source),
            Command::Del(command) => command.run(&self.source),
            Command::Inc(command) => command.run(&self.source),
            Command::Ttl(command) => command.run(&self.source),
            Command::List(command) => command.run(&self.source),
            Command::Watch(command) => command.run(&self.source),
            Command::Export(command) => command.run(&self.source),
            Command::Import(command) => command.run(&self.source),
        }
    }
}

fn name(text: &OsStr) -> anyhow::Result<Name> {
    let bytes = text.as_bytes();
    Name::new(bytes).with_context(|| format!("name \"{}\"", escaped(bytes)))
}

fn names(texts: &[OsString]) -> anyhow::Result<Vec<Name>> {
    texts.iter().map(|text| name(text)).collect()
}

/// A prefix: the beginning of a name, or nothing.
fn prefix(text: Option<&OsString>) -> anyhow::Result<Vec<u8>> {
    let bytes = text.map_or(&[][..], |text| text.as_bytes());
    part_of_name("prefix", bytes)?;
    Ok(bytes.to_vec())
}

/// Whether a name can begin so, or end so; nothing will do.
pub(crate) fn part_of_name(what: &str, bytes: &[u8]) -> anyhow::Result<()> {
    if !bytes.is_empty() {
        Name::new(bytes).with_context(|| format!("{what} \"{}\"", escaped(bytes)))?;
    }
    Ok(())
}

fn seconds(ttl: Option<u64>) -> Option<Duration> {
    ttl.map(Duration::from_secs)
}

/// What became of a name, for `UNIVARSTATUS`.
fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Value(_) | Outcome::Done | Outcome::Number(_) | Outcome::Life(_) => Status::Ok,
        // Another's record, or one that was there before an add: certainly not ours.
        Outcome::Missing | Outcome::Exists | Outcome::Foreign => Status::Missing,
        Outcome::Unreachable => Status::Unreachable,
        Outcome::Invalid(_) => Status::Invalid,
    }
}

/// [`conclude`] for what was written.
fn conclude_writes(session: &Session, names: &[Name], outcomes: &[Outcome]) -> Exit {
    session.settle();
    conclude(session, names, outcomes)
}

/// Says on standard error what did not go well, and gives the exit code.
fn conclude(session: &Session, names: &[Name], outcomes: &[Outcome]) -> Exit {
    let mut unreachable = Vec::new();
    for (name, outcome) in names.iter().zip(outcomes) {
        let shown = escaped(name.as_bytes());
        match outcome {
            Outcome::Missing => complain!("{shown} is not there"),
            Outcome::Exists | Outcome::Foreign => complain!("{shown} is there already"),
            Outcome::Invalid(why) => complain!("{shown}: {why}"),
            Outcome::Unreachable => {
                complain!("{shown}: unreachable");
                unreachable.push(name);
            }
            _ => {}
        }
    }
    if !unreachable.is_empty() {
        session.explain(unreachable);
    }
    outcomes.iter().map(|outcome| status(outcome).into()).max().unwrap_or(Exit::Done)
}
