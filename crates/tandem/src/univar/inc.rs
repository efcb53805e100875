//! `tandem univar inc`.

use std::ffi::OsString;
use std::slice;

use clap::Args;
use univar::{Op, Outcome};

use super::{conclude_writes, name, seconds};
use crate::exit::Exit;
use crate::out::Out;
use crate::session::Session;
use crate::source::Source;

/// Counts a variable up or down, and prints what it is now. One that is not there begins with 0.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Inc {
    /// The variable's name.
    #[arg(value_name = "NAME")]
    name: OsString,
    /// By how much; a negative number counts down.
    #[arg(value_name = "BY", default_value_t = 1, allow_negative_numbers = true)]
    by: i64,
    /// How long a number that is made lives, in seconds. Default: for ever, as what would end after January 2038. One
    /// that is there keeps its own.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    ttl: Option<u64>,
}

impl Inc {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let name = name(&self.name)?;
        let session = Session::open(source)?;
        let op = Op::Increment { name: &name, by: self.by, ttl: seconds(self.ttl) };
        // Never again by ourselves: it may have been counted.
        let outcomes = session.run(&[op]);
        if let [Outcome::Number(number)] = outcomes[..] {
            let mut out = Out::new();
            out.line(format_args!("{number}"))?;
            out.flush()?;
        }
        Ok(conclude_writes(&session, slice::from_ref(&name), &outcomes))
    }
}
