//! `tandem univar ttl`.

use std::ffi::OsString;
use std::slice;
use std::time::Duration;

use clap::Args;
use univar::{Op, Outcome};

use super::{conclude, conclude_writes, name};
use crate::exit::Exit;
use crate::out::Out;
use crate::session::Session;
use crate::source::Source;

/// Prints how many seconds a variable will live, or "never" for one that does not end; or changes that.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Ttl {
    /// The variable's name.
    #[arg(value_name = "NAME")]
    name: OsString,
    /// The seconds that it is to live from now, or "never" for one that is to stay.
    #[arg(value_name = "SECONDS|never", value_parser = life)]
    to: Option<Life>,
}

/// How long something lives.
#[derive(Clone, Copy, Debug)]
struct Life(Option<Duration>);

fn life(text: &str) -> Result<Life, &'static str> {
    match text {
        "never" => Ok(Life(None)),
        _ => match text.parse() {
            Ok(seconds @ 1..) => Ok(Life(Some(Duration::from_secs(seconds)))),
            _ => Err("not a number of seconds from 1, and not \"never\""),
        },
    }
}

impl Ttl {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let name = name(&self.name)?;
        let session = Session::open(source)?;
        let outcomes = session.run(&[match self.to {
            Some(Life(ttl)) => Op::Touch { name: &name, ttl },
            None => Op::Life { name: &name },
        }]);
        if let [Outcome::Life(left)] = outcomes[..] {
            let mut out = Out::new();
            match left {
                Some(left) => out.line(format_args!("{}", left.as_secs()))?,
                None => out.line(format_args!("never"))?,
            }
            out.flush()?;
        }
        let names = slice::from_ref(&name);
        Ok(match self.to {
            Some(_) => conclude_writes(&session, names, &outcomes),
            None => conclude(&session, names, &outcomes),
        })
    }
}
