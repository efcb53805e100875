//! Which cache servers, as the command line says: a `universal.conf`, a list of servers, or the default cache.
//!
//! A list of servers goes through the same checks as a file, as if it were its `[general]` section; so defaults and
//! messages are the same.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use universal::settings::{self, DEFAULT_SERVER, GENERAL, Problem, RawLine, RawSection, Settings};

use crate::conf;
use crate::out::complain;

/// Where Asterisk has it.
pub(crate) const DEFAULT_FILE: &str = "/etc/asterisk/universal.conf";

/// How long a call may take, unless a section allows more: people wait longer than channels.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(2);

const DEADLINE_MAX_MS: u64 = 60_000;

const WAIT_MAX_S: u64 = 3600;

/// A longer file is no secret.
const SECRET_MAX_BYTES: usize = 4096;

/// What messages call the file if there is none.
const NO_FILE: &str = "the command line";

/// Options of every subcommand that talks to cache servers.
#[derive(Clone, Debug, Args)]
pub(crate) struct Source {
    /// The universal.conf that says which cache servers there are: the one that app_universal reads.
    ///
    /// Default: /etc/asterisk/universal.conf if it is there, otherwise --servers 127.0.0.1:11211 (a "tandem cache"
    /// or memcached on this machine).
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    config: Option<PathBuf>,

    /// The cache servers, with blanks between, instead of a file: "host:port host:port".
    ///
    /// The port's default is 11211. They must be written as in the universal.conf of the servers that use them,
    /// for names are placed by these very texts.
    #[arg(long, value_name = "LIST", global = true, help_heading = HEADING)]
    servers: Option<String>,

    /// With --servers: how many of them hold each name. Default: 2 where there are two servers or more.
    #[arg(long, value_name = "NUMBER", global = true, help_heading = HEADING)]
    copies: Option<String>,

    /// With --servers: a file that holds the secret of universal.conf, and nothing else.
    #[arg(long, value_name = "FILE", global = true, help_heading = HEADING)]
    secret_file: Option<PathBuf>,

    /// How long one call may take, in milliseconds, 1 to 60000. Default: 2000, or the section's if that is longer.
    #[arg(long, value_name = "MS", global = true, help_heading = HEADING)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=DEADLINE_MAX_MS))]
    deadline: Option<u64>,

    /// Who writes, in records with two copies or a secret. Default: the host's name and this process's number.
    #[arg(long, value_name = "NAME", global = true, help_heading = HEADING, value_parser = owner)]
    owner: Option<String>,

    /// Waits until every cache server answers and is healed, so that a miss counts; for this many seconds at most,
    /// 10 if none are given. Heals them itself where nobody else does.
    ///
    /// Where there are two copies, those of all names are compared then, and the older ones written anew; what could
    /// not be compared in that time is said on standard error.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "10", global = true, help_heading = HEADING)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=WAIT_MAX_S))]
    wait: Option<u64>,

    /// Says on standard error which cache servers are used, and how they are.
    #[arg(long, short, global = true, help_heading = HEADING)]
    pub(crate) verbose: bool,
}

const HEADING: &str = "Cache servers";

impl Source {
    /// What is to be used, checked.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        if self.servers.is_some() && self.config.is_some() {
            bail!("--config and --servers exclude each other; give one");
        }
        for (given, option) in
            [(self.copies.is_some(), "--copies"), (self.secret_file.is_some(), "--secret-file")]
        {
            if given && self.servers.is_none() {
                bail!("{option} goes with --servers; a file says it in itself");
            }
        }
        match (&self.servers, &self.config) {
            (Some(servers), _) => self.read_list(servers),
            (None, Some(file)) => self.read_file(file),
            (None, None) => {
                let file = Path::new(DEFAULT_FILE);
                if file.try_exists().unwrap_or(true) {
                    return self.read_file(file);
                }
                if self.verbose {
                    complain!("there is no {DEFAULT_FILE}; the cache server is {DEFAULT_SERVER}");
                }
                checked(NO_FILE, &[])
            }
        }
    }

    /// The longest that one call may take.
    pub(crate) fn deadline(&self, settings: &Settings) -> Duration {
        let longest = settings.sections.iter().map(|section| section.deadline).max();
        let default = longest.unwrap_or_default().max(DEFAULT_DEADLINE);
        self.deadline.map_or(default, Duration::from_millis)
    }

    /// How long to wait for cache servers that are not ready.
    pub(crate) fn wait(&self) -> Option<Duration> {
        self.wait.map(Duration::from_secs)
    }

    /// The name that records carry. Not the node's own: two that write with one name at the same time could give
    /// two values the same version.
    pub(crate) fn owner(&self) -> String {
        self.owner.clone().unwrap_or_else(|| {
            let pid = std::process::id();
            let host = host_name();
            let mut end = host.len().min(univar::OWNER_MAX_BYTES - 12);
            while !host.is_char_boundary(end) {
                end -= 1;
            }
            format!("{}/{pid}", &host[..end])
        })
    }

    fn read_file(&self, file: &Path) -> anyhow::Result<Settings> {
        if self.verbose {
            complain!("the cache servers are those of {}", file.display());
        }
        read(file)
    }

    fn read_list(&self, servers: &str) -> anyhow::Result<Settings> {
        let mut lines = vec![line("servers", servers)];
        lines.extend(self.copies.iter().map(|copies| line("copies", copies)));
        if let Some(file) = &self.secret_file {
            lines.push(line("secret", &secret(file)?));
        }
        let general = RawSection { name: GENERAL.into(), lines };
        checked(NO_FILE, &[general])
    }
}

/// What a universal.conf says, checked.
pub(crate) fn read(file: &Path) -> anyhow::Result<Settings> {
    let shown = file.display();
    match std::fs::metadata(file) {
        Ok(meta) if meta.is_dir() => {
            bail!("{shown} is a folder; --config wants the file, as {shown}/universal.conf")
        }
        Err(error) => return Err(error).with_context(|| format!("cannot use {shown}")),
        Ok(_) => {}
    }
    let name = file.file_name().context("a universal.conf needs a file's name")?;
    // Asterisk looks for included files in its configuration folder, which is where this file is.
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let parsed = conf::read(&name.to_string_lossy(), &mut conf::Folder::new(folder))
        .with_context(|| format!("cannot use {shown}"))?;
    for warning in &parsed.warnings {
        complain!("{warning}");
    }
    let lines = parsed.sections.iter().flat_map(|section| &section.lines);
    let secrets = lines.filter(|line| line.name.eq_ignore_ascii_case("secret"));
    let files: BTreeSet<&str> = secrets.map(|line| &*line.file).collect();
    for file in files {
        // Its group is Asterisk's, as a rule.
        warn_if_read_by_others(Path::new(file), "the secret in it", 0o007, "chmod o=");
    }
    checked(&file.to_string_lossy(), &parsed.sections)
}

/// Says so if those whom `mode` names may read, write or run the file.
fn warn_if_read_by_others(file: &Path, what: &str, mode: u32, cure: &str) {
    let shown = file.display();
    if std::fs::metadata(file).is_ok_and(|meta| meta.permissions().mode() & mode != 0) {
        complain!("{shown}: {what} can be read by others: {cure} {shown}");
    }
}

fn owner(text: &str) -> Result<String, &'static str> {
    match () {
        () if text.is_empty() => Err("it must not be empty"),
        () if text.chars().any(char::is_control) => Err("it has a control character in it"),
        () => Ok(text.to_owned()),
    }
}

/// The secret in a file. It goes into the checks, whose messages do not say it, and nowhere else.
fn secret(file: &Path) -> anyhow::Result<String> {
    let shown = file.display();
    let text = std::fs::read(file).with_context(|| format!("cannot read {shown}"))?;
    let text = String::from_utf8(text).ok().filter(|text| text.len() <= SECRET_MAX_BYTES);
    let text = text.with_context(|| format!("{shown} is no text, or too long for a secret"))?;
    warn_if_read_by_others(file, "it", 0o077, "chmod 600");
    Ok(text.trim().to_owned())
}

fn line(name: &str, value: &str) -> RawLine {
    let (name, value) = (name.into(), value.into());
    RawLine { name, value, file: NO_FILE.into(), line: 0, inherited: false }
}

fn checked(file: &str, sections: &[RawSection]) -> anyhow::Result<Settings> {
    settings::check(file, sections).map_err(|problems| anyhow::anyhow!(all(&problems)))
}

fn all(problems: &[Problem]) -> String {
    let mut text = match problems {
        [one] => return one.to_string(),
        _ => format!("{} mistakes:", problems.len()),
    };
    for problem in problems {
        let _ = write!(text, "\n  {problem}");
    }
    text
}

fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_or_else(|_| "localhost".to_owned(), |name| name.trim().to_owned())
}
