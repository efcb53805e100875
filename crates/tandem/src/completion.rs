//! `tandem completion`: for the shell's Tab key.

use clap::{Args, Command, ValueEnum};

use crate::exit::Exit;

/// Prints a completion script for a shell.
///
/// For example: tandem completion bash > /etc/bash_completion.d/tandem
#[derive(Debug, Args)]
pub(crate) struct Completion {
    /// The shell.
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Completion {
    pub(crate) fn run(self, mut command: Command) -> anyhow::Result<Exit> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        // Not straight to standard output: clap_complete panics if that is closed.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut command, "tandem", &mut script);
        let mut out = crate::out::Out::new();
        out.line(format_args!("{}", String::from_utf8_lossy(&script)))?;
        out.flush()?;
        Ok(Exit::Done)
    }
}
