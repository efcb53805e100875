//! `tandem univar get`.

use std::ffi::OsString;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use univar::{Name, Op, Outcome};

use super::{conclude, names, status};
use crate::exit::Exit;
use crate::out::Out;
use crate::session::Session;
use crate::source::Source;
use crate::text;

/// Prints variables: one as its value, several as NAME=VALUE lines.
///
/// A terminal gets control characters escaped, a pipe or a file gets the bytes.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Get {
    /// The variables' names.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<OsString>,
    /// Prints one variable's value and nothing else: no line end.
    #[arg(long, short = 'n', conflicts_with = "json")]
    raw: bool,
    /// Prints a line of JSON for each name: name, status, value; with "encoding":"base64" if the value is no UTF-8.
    #[arg(long)]
    json: bool,
    /// With --json: also "ttl", the seconds that are left, or null for ever.
    #[arg(long, requires = "json")]
    ttl: bool,
}

/// A line of `--json`, of `list --json` too.
#[derive(Serialize)]
pub(super) struct Row {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<Option<u64>>,
}

impl Row {
    pub(super) fn new(name: &Name, value: Option<&[u8]>, life: Option<Option<Duration>>) -> Self {
        let (name, name_encoding) = text::encode(name.as_bytes());
        let (value, encoding) = value.map(text::encode).unzip();
        let ttl = life.map(|life| life.map(|life| life.as_secs()));
        Self { name, name_encoding, status: None, value, encoding: encoding.flatten(), ttl }
    }
}

impl Get {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let names = names(&self.names)?;
        if self.raw && names.len() > 1 {
            anyhow::bail!("--raw prints one value; give one name, or use --json");
        }
        let session = Session::open(source)?;
        let mut ops: Vec<Op<'_>> = names.iter().map(|name| Op::Get { name }).collect();
        if self.ttl {
            ops.extend(names.iter().map(|name| Op::Life { name }));
        }
        let mut outcomes = session.run_again(&ops);
        let lives = outcomes.split_off(names.len());
        self.print(&names, &mut outcomes, &lives)?;
        Ok(conclude(&session, &names, &outcomes))
    }

    fn print(
        &self,
        names: &[Name],
        outcomes: &mut [Outcome],
        lives: &[Outcome],
    ) -> anyhow::Result<()> {
        let mut out = Out::new();
        for (at, name) in names.iter().enumerate() {
            let mut life = None;
            match lives.get(at) {
                Some(Outcome::Life(left)) => life = Some(*left),
                // The value without the time asked for is not the answer.
                Some(other) if matches!(outcomes[at], Outcome::Value(_)) => {
                    outcomes[at] = other.clone();
                }
                _ => {}
            }
            let value = match &outcomes[at] {
                Outcome::Value(value) => Some(&value[..]),
                _ => None,
            };
            if self.json {
                let mut row = Row::new(name, value, life.filter(|_| value.is_some()));
                row.status = Some(status(&outcomes[at]).as_str());
                out.json(&row)?;
            } else if let Some(value) = value {
                if names.len() > 1 {
                    out.raw(&[name.as_bytes(), b"="])?;
                }
                out.raw(&[value])?;
                if !self.raw {
                    out.end_line()?;
                }
            }
        }
        out.flush()
    }
}
