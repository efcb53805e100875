//! `tandem univar del`.

use std::ffi::OsString;

use clap::Args;
use univar::Op;

use super::{conclude_writes, names};
use crate::exit::Exit;
use crate::session::Session;
use crate::source::Source;

/// Deletes variables. Exit code 1 if one of them was not there.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Del {
    /// The variables' names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<OsString>,
}

impl Del {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let names = names(&self.names)?;
        let session = Session::open(source)?;
        let ops: Vec<Op<'_>> = names.iter().map(|name| Op::Delete { name }).collect();
        let outcomes = session.run(&ops);
        Ok(conclude_writes(&session, &names, &outcomes))
    }
}
