//! `tandem univar import`.

use std::io::Read as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use univar::{Name, Op, Outcome};

use super::backup::{self, Item};
use super::export::unix_now_s;
use crate::exit::Exit;
use crate::out::{Out, complain};
use crate::session::{BATCH_OPS, NAMES_TOLD_MAX, Session, complain_names};
use crate::source::Source;
use crate::text::escaped;

/// A batch of writes is closed when its values have this many bytes.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Writes the variables that "tandem univar export" has put into a file.
///
/// The file is read and checked as a whole before anything is written: one that was cut, or is no export, changes
/// nothing. Variables end when they would have ended had they stayed: what is over since is left out.
///
/// The exit code is 4 if some could not be written, or the export was not complete; 3 if none could be.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Import {
    /// The file; "-" is standard input. It must fit into memory.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Leaves alone what is there already.
    #[arg(long)]
    add: bool,
    /// Checks the file and says what there is to do, and asks no cache server.
    #[arg(long)]
    dry_run: bool,
    /// Counts each variable's time from now on, not from the export.
    #[arg(long)]
    restart_ttl: bool,
}

/// What became of the variables.
#[derive(Default)]
struct Tally {
    written: usize,
    there: usize,
    over: usize,
    unreachable: Vec<Name>,
    invalid: usize,
}

impl Import {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let shown = self.file.display();
        let backup = backup::read(&self.bytes()?).with_context(|| format!("{shown}"))?;
        if !backup.complete {
            complain!("{shown}: the export was not complete: a cache server could not tell all");
        }
        let whole = if backup.complete { Exit::Done } else { Exit::Partly };
        let age = match self.restart_ttl {
            true => Duration::ZERO,
            false => Duration::from_secs(unix_now_s().saturating_sub(backup.header.exported)),
        };
        let mut items = backup.items;
        let all = items.len();
        for item in &mut items {
            item.life = item.life.map(|life| life.saturating_sub(age));
        }
        items.retain(|item| item.life != Some(Duration::ZERO));
        let mut tally = Tally { over: all - items.len(), ..Tally::default() };
        if self.dry_run {
            source.settings()?;
            let mut out = Out::new();
            out.line(format_args!("would import {}, expired {}", items.len(), tally.over))?;
            out.flush()?;
            return Ok(whole);
        }
        let session = Session::open(source)?;
        self.write(&session, &items, &mut tally);
        session.settle();
        Ok(tally.tell(&session)?.max(whole))
    }

    fn bytes(&self) -> anyhow::Result<Vec<u8>> {
        if self.file.as_os_str() != "-" {
            let cannot = || format!("cannot read {}", self.file.display());
            return std::fs::read(&self.file).with_context(cannot);
        }
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("cannot read standard input")?;
        Ok(bytes)
    }

    fn write(&self, session: &Session, items: &[Item], tally: &mut Tally) {
        let mut rest = items;
        while !rest.is_empty() {
            let (batch, after) = rest.split_at(batch_len(rest));
            rest = after;
            let ops: Vec<Op<'_>> = batch.iter().map(|item| self.op(item)).collect();
            // Writing the same again is harmless; of an addition that came through the answer is "there".
            for (item, outcome) in batch.iter().zip(session.run_again(&ops)) {
                tally.count(item, outcome);
            }
        }
    }

    fn op<'i>(&self, item: &'i Item) -> Op<'i> {
        let Item { name, value, life } = item;
        let ttl = *life;
        if self.add { Op::Add { name, value, ttl } } else { Op::Set { name, value, ttl } }
    }
}

impl Tally {
    fn count(&mut self, item: &Item, outcome: Outcome) {
        match outcome {
            Outcome::Done => self.written += 1,
            Outcome::Exists => self.there += 1,
            Outcome::Invalid(why) => {
                self.invalid += 1;
                if self.invalid <= NAMES_TOLD_MAX {
                    complain!("{}: {why}", escaped(item.name.as_bytes()));
                }
            }
            _ => self.unreachable.push(item.name.clone()),
        }
    }

    fn tell(self, session: &Session) -> anyhow::Result<Exit> {
        complain_names(self.unreachable.iter(), "unreachable");
        session.explain(&self.unreachable);
        let failed = self.unreachable.len() + self.invalid;
        let Self { written, there, over, .. } = self;
        let mut out = Out::new();
        out.line(format_args!(
            "imported {written}, already there {there}, expired {over}, failed {failed}"
        ))?;
        out.flush()?;
        Ok(match (failed, written + there) {
            (0, _) => Exit::Done,
            (_, 0) if self.invalid == 0 => Exit::Unreachable,
            _ => Exit::Partly,
        })
    }
}

/// How many of `items` go into one batch; at least one.
fn batch_len(items: &[Item]) -> usize {
    let mut bytes = 0;
    let fits = items.iter().take(BATCH_OPS).take_while(|item| {
        let fits = bytes == 0 || bytes + item.value.len() <= BATCH_BYTES;
        bytes += item.value.len();
        fits
    });
    fits.count().max(1)
}
