//! `tandem agent`: the agent beside an Asterisk, and its enrolment.

use std::path::PathBuf;

use agent::Ami;
use agent::config::{Config, DEFAULT_PATH, Enrolment};
use agent::remote::{self, HubUrl, Token};
use anyhow::{Context as _, ensure};
use clap::{Args, Subcommand};

use crate::exit::Exit;
use crate::out::{Out, complain};
use crate::serve::{log_to_stderr, runtime, stop};
use crate::systemd::notify;

/// Watches the Asterisk of this machine for a hub, and does what the hub may ask.
#[derive(Debug, Args)]
pub(crate) struct Agent {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the agent in the foreground; SIGTERM and SIGINT (Ctrl-C) end it.
    Run(Run),
    /// Makes this machine known to a hub, with a token that "tandem agent invite" or the console gave.
    Enrol(Enrol),
    /// Makes a token to enrol an agent with; on the hub's machine.
    Invite(Invite),
}

#[derive(Debug, Args)]
struct Run {
    /// The agent's configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Enrol {
    /// Where the hub is: https://HOST[:PORT]
    hub: HubUrl,
    /// The token; "-" reads it from standard input, so that no list of processes shows it.
    token: String,
    /// The agent's configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
}

#[derive(Debug, Args)]
struct Invite {
    /// What the hub is to call the server.
    server: String,
    /// The hub's configuration.
    #[arg(long, value_name = "FILE", default_value = hub::config::DEFAULT_PATH)]
    config: PathBuf,
}

impl Agent {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::Run(command) => command.run(),
            Command::Enrol(command) => command.run(),
            Command::Invite(command) => command.run(),
        }
    }
}

impl Run {
    fn run(self) -> anyhow::Result<Exit> {
        let config = Config::read(&self.config)?;
        let ami =
            Ami::new(&config.ami).with_context(|| format!("{}: [ami]", self.config.display()))?;
        let enrolment = Enrolment::read(&config.state)?.with_context(|| {
            let state = config.state.display();
            format!("this agent has not enrolled ({state} is not there): run \"tandem agent enrol\" first")
        })?;
        log_to_stderr();
        notify("READY=1");
        let ended: anyhow::Result<()> = runtime()?.block_on(async {
            let stop = stop()?;
            tokio::select! {
                ended = remote::run(&config, &ami, &enrolment) => match ended {
                    Ok(never) => match never {},
                    Err(error) => Err(error.into()),
                },
                () = stop => Ok(()),
            }
        });
        notify("STOPPING=1");
        ended.map(|()| Exit::Done)
    }
}

impl Enrol {
    fn run(self) -> anyhow::Result<Exit> {
        let config = Config::read(&self.config)?;
        Enrolment::check_place(&config.state)?;
        let token = match self.token.as_str() {
            "-" => std::io::read_to_string(std::io::stdin()).context("standard input")?,
            token => token.to_owned(),
        };
        let missing = "there is no token: \"tandem agent invite\" makes one, or the console's page Administration";
        ensure!(!token.trim().is_empty(), missing);
        let token: Token = token.parse().context("the token is damaged")?;
        let enrolment = runtime()?.block_on(remote::enrol(&config, &self.hub, &token))?;
        enrolment.write(&config.state)?;
        complain!(
            "enrolled: the hub at {} knows this machine as {}; \"tandem agent run\" goes on from here",
            self.hub,
            enrolment.server
        );
        Ok(Exit::Done)
    }
}

impl Invite {
    fn run(self) -> anyhow::Result<Exit> {
        let config = hub::config::Config::read(&self.config)?;
        let invited = hub::invite(&config, &self.server)?;
        complain!("good once, for a day; beside the Asterisk run:");
        let mut out = Out::new();
        out.line(format_args!("{}", invited.command))?;
        out.flush()?;
        Ok(Exit::Done)
    }
}
