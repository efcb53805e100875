//! `tandem univar list`.

use std::ffi::OsString;

use clap::Args;
use univar::Name;

use super::get::Row;
use super::prefix;
use crate::exit::Exit;
use crate::out::{Out, complain};
use crate::session::{Listing, Session, Unread, complain_unread};
use crate::source::Source;

/// Lists variables by name.
///
/// A list that may not be complete is printed too, but ends with exit code 3, and standard error says which cache
/// server is to blame. Names that come and go meanwhile may be there or not.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct List {
    /// Only names that begin so. Default: all.
    #[arg(value_name = "PREFIX")]
    prefix: Option<OsString>,
    /// Prints NAME=VALUE.
    #[arg(long)]
    values: bool,
    /// Prints a line of JSON for each name.
    #[arg(long)]
    json: bool,
    /// With --json: also "ttl", the seconds that are left, or null for ever.
    #[arg(long, requires = "json")]
    ttl: bool,
}

impl List {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let prefix = prefix(self.prefix.as_ref())?;
        let session = Session::open(source)?;
        let Listing { names, gaps } = session.list(&[&prefix]);
        let mut out = Out::new();
        // Without values there is nothing to read, unless a name may be that of a deleted variable.
        let read = self.values || self.ttl || names.iter().any(|name| session.may_be_deleted(name));
        let unread = if read {
            self.print_values(&session, &names, &mut out)?
        } else {
            for name in &names {
                self.print_name(name, &mut out)?;
            }
            Unread::default()
        };
        out.flush()?;
        complain_unread(&session, &unread);
        Ok(incomplete(&gaps, &unread))
    }

    fn print_name(&self, name: &Name, out: &mut Out) -> anyhow::Result<()> {
        if self.json {
            return out.json(&Row::new(name, None, None));
        }
        out.raw(&[name.as_bytes()])?;
        out.end_line()
    }

    fn print_values(
        &self,
        session: &Session,
        names: &[Name],
        out: &mut Out,
    ) -> anyhow::Result<Unread> {
        session.read(names, self.ttl, &mut |name, record| {
            if !self.values && !self.ttl {
                return self.print_name(name, out);
            }
            if self.json {
                let value = self.values.then_some(&record.value[..]);
                return out.json(&Row::new(name, value, record.life));
            }
            out.raw(&[name.as_bytes(), b"=", &record.value])?;
            out.end_line()
        })
    }
}

/// Says on standard error what is missing in a list, and gives the exit code.
pub(crate) fn incomplete(gaps: &[String], unread: &Unread) -> Exit {
    for gap in gaps {
        complain!("{gap}");
    }
    if !gaps.is_empty() {
        complain!("the list may not be complete");
    }
    if !gaps.is_empty() || !unread.unreachable.is_empty() {
        Exit::Unreachable
    } else if !unread.invalid.is_empty() {
        Exit::Invalid
    } else {
        Exit::Done
    }
}
