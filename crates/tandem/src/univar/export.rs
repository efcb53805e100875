//! `tandem univar export`.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use clap::Args;

use super::list::incomplete;
use super::{backup, prefix};
use crate::exit::Exit;
use crate::out::{Out, complain};
use crate::session::{Listing, Session, complain_unread};
use crate::source::Source;

/// Writes variables to a file, as lines of JSON that "tandem univar import" reads.
///
/// With values and the time that they have left. The last line holds their number, so that a file that was cut is
/// noticed. If a cache server could not tell all, the exit code is 4 (3 if there was nothing at all), the last line
/// says so, and the file is put beside its name, as FILE.incomplete: a good old one is not replaced.
#[derive(Debug, Args)]
#[command(after_help = crate::exit::HELP)]
pub(crate) struct Export {
    /// Only names that begin so. Default: all.
    #[arg(value_name = "PREFIX")]
    prefix: Option<OsString>,
    /// The file; only its owner may read it. Default, and "-": standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    pub(super) fn run(self, source: &Source) -> anyhow::Result<Exit> {
        let prefix = prefix(self.prefix.as_ref())?;
        let session = Session::open(source)?;
        let mut sink = match &self.output {
            Some(file) if file.as_os_str() != "-" => Sink::to_file(file)?,
            _ => Sink::Out(Out::new()),
        };
        sink.line(&backup::header(&prefix, unix_now_s())?)?;
        let Listing { names, gaps } = session.list(&[&prefix]);
        let mut count = 0;
        let unread = session.read(&names, true, &mut |name, record| {
            count += 1;
            sink.line(&backup::item(name, &record)?)
        })?;
        complain_unread(&session, &unread);
        let complete = incomplete(&gaps, &unread) == Exit::Done;
        sink.line(&backup::end(count, complete)?)?;
        sink.finish(complete)?;
        Ok(match (complete, count) {
            (true, _) => Exit::Done,
            (false, 0) => Exit::Unreachable,
            (false, _) => Exit::Partly,
        })
    }
}

/// Where lines go.
enum Sink {
    Out(Out),
    /// A file under another name until it is whole; `at` is `None` if it is no plain file, and written as it is.
    File {
        to: BufWriter<File>,
        name: PathBuf,
        at: Option<Unfinished>,
    },
}

/// A file that is not whole. It goes if nothing comes of it: half a file, on a full disk, is of no use.
struct Unfinished {
    path: PathBuf,
    is_kept: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_kept {
            // If it cannot be removed either, that it could not be written says enough.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Sink {
    fn to_file(name: &Path) -> anyhow::Result<Self> {
        let special = fs::metadata(name).is_ok_and(|meta| !meta.is_file());
        let at = (!special).then(|| with_ending(name, ".incomplete"));
        let opened = at.as_deref().unwrap_or(name);
        if at.is_some() {
            // What an earlier run left there may be readable to others, or lead elsewhere.
            let _ = fs::remove_file(opened);
        }
        let mut file = OpenOptions::new();
        file.write(true).create_new(at.is_some()).mode(0o600);
        let file = file.open(opened);
        let file = file.with_context(|| format!("cannot write {}", opened.display()))?;
        let at = at.map(|path| Unfinished { path, is_kept: false });
        Ok(Self::File { to: BufWriter::new(file), name: name.to_owned(), at })
    }

    fn line(&mut self, json: &str) -> anyhow::Result<()> {
        match self {
            Self::Out(out) => out.line(format_args!("{}", crate::text::escaped_json(json))),
            Self::File { to, name, .. } => {
                writeln!(to, "{json}").with_context(|| format!("cannot write {}", name.display()))
            }
        }
    }

    fn finish(self, complete: bool) -> anyhow::Result<()> {
        let (to, name, at) = match self {
            Self::Out(mut out) => return out.flush(),
            Self::File { to, name, at } => (to, name, at),
        };
        let cannot = || format!("cannot write {}", name.display());
        let file = to.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
        let Some(mut at) = at else { return Ok(()) };
        file.sync_all().with_context(cannot)?;
        if complete {
            fs::rename(&at.path, &name).with_context(cannot)?;
        } else {
            complain!("what could be read is in {}", at.path.display());
        }
        at.is_kept = true;
        Ok(())
    }
}

fn with_ending(name: &Path, ending: &str) -> PathBuf {
    let mut whole = name.as_os_str().to_owned();
    whole.push(ending);
    whole.into()
}

pub(super) fn unix_now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
