//! The command line: its words, and which subcommand they run.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::exit::Exit;
use crate::out::{Gone, complain};
use crate::{agent, cache, completion, man, registrations, serve, univar, user};

/// Ties Asterisk servers together: what they share, from a shell.
#[derive(Debug, Parser)]
#[command(name = "tandem", version, propagate_version = true, disable_help_subcommand = true)]
#[command(after_help = crate::exit::HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Univar(univar::Univar),
    Registrations(registrations::Registrations),
    Cache(cache::Cache),
    Serve(serve::Serve),
    Agent(agent::Agent),
    User(user::User),
    Completion(completion::Completion),
    Man(man::Man),
}

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    // clap itself exits with 2 for what it does not understand, and with 0 for --help.
    let cli = Cli::parse();
    match cli.run() {
        Ok(exit) => exit.into(),
        Err(error) if error.is::<Gone>() => Exit::Done.into(),
        Err(error) => {
            complain!("{error:#}");
            Exit::Invalid.into()
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::Univar(command) => command.run(),
            Command::Registrations(command) => command.run(),
            Command::Cache(command) => command.run(),
            Command::Serve(command) => command.run(),
            Command::Agent(command) => command.run(),
            Command::User(command) => command.run(),
            Command::Completion(command) => command.run(Self::command()),
            Command::Man(command) => command.run(Self::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_has_no_contradiction_in_itself() {
        Cli::command().debug_assert();
    }
}
