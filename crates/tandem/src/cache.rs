//! `tandem cache`: the embedded cache server.

use clap::Args;

use crate::exit::Exit;

/// Runs a cache server that speaks memcached's protocol, for those with a single box.
#[derive(Debug, Args)]
#[command(hide = true)]
pub(crate) struct Cache {}

impl Cache {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        anyhow::bail!("this build has no embedded cache server; run memcached")
    }
}
