//! `tandem man`: the man pages, made from the command line's own description.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, Command};

use crate::exit::Exit;
use crate::out::Out;

/// Prints a man page, or writes all of them to a folder.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Man {
    /// Which page, for example "univar get"; the top one if left out.
    command: Vec<String>,
    /// Writes every page to this folder, and prints none.
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    output: Option<PathBuf>,
}

impl Man {
    pub(crate) fn run(self, mut command: Command) -> anyhow::Result<Exit> {
        command.build();
        if let Some(folder) = self.output {
            clap_mangen::generate_to(command, &folder)
                .with_context(|| format!("cannot write to {}", folder.display()))?;
            return Ok(Exit::Done);
        }
        for word in &self.command {
            match command.find_subcommand(word) {
                Some(found) => command = found.clone(),
                None => bail!("there is no such subcommand: {}", self.command.join(" ")),
            }
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        let mut out = Out::new();
        out.line(format_args!("{}", String::from_utf8_lossy(&page)))?;
        out.flush()?;
        Ok(Exit::Done)
    }
}
