//! `tandem univar set`.

use std::ffi::OsString;
use std::io::{Read as _, stdin};
use std::os::unix::ffi::OsStringExt as _;
use std::slice;

use anyhow::Context as _;
use clap::Args;
use univar::{Op, VALUE_MAX_BYTES};

use super::{conclude_writes, name, seconds};
use crate::exit::Exit;
use crate::session::Session;
use crate::source::Source;

/// Writes a variable.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Set {
    /// The variable's name.
    #[arg(value_name = "NAME")]
    name: OsString,
    /// Its value; "-" takes all of standard input, byte for byte. At most 1048064 bytes.
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: OsString,
    /// How long it lives, in seconds. Default: for ever, as what would end after January 2038.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    ttl: Option<u64>,
    /// Only if it is not there; exit code 1 if it is. Of several that add at once one is told 0: a lock.
    #[arg(long)]
    add: bool,
}

impl Set {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let name = name(&self.name)?;
        let value = if self.value == "-" { from_stdin()? } else { self.value.into_vec() };
        let session = Session::open(source)?;
        let (value, ttl) = (&value[..], seconds(self.ttl));
        let op = match self.add {
            true => Op::Add { name: &name, value, ttl },
            false => Op::Set { name: &name, value, ttl },
        };
        let outcomes = session.run(&[op]);
        Ok(conclude_writes(&session, slice::from_ref(&name), &outcomes))
    }
}

/// One byte more than fits is enough to be refused for it.
fn from_stdin() -> anyhow::Result<Vec<u8>> {
    let mut value = Vec::new();
    let limit = VALUE_MAX_BYTES as u64 + 1;
    stdin().take(limit).read_to_end(&mut value).context("cannot read the value")?;
    anyhow::ensure!(
        value.len() <= VALUE_MAX_BYTES,
        "the value has more than {VALUE_MAX_BYTES} bytes, which is the most that fits"
    );
    Ok(value)
}
