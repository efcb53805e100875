//! `tandem user`: the hub's users, on its machine, whether it runs or not.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use hub::config::{Config, DEFAULT_PATH};
use hub::db::{Connection, Db, Entry, NotChanged, Role, audit, users};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use serde::Serialize;

use crate::exit::Exit;
use crate::out::{Out, complain};
use crate::text::escaped;

/// Adds, lists, changes and removes users of the hub.
#[derive(Debug, Args)]
pub(crate) struct User {
    /// The hub's configuration.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_PATH, global = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Adds a user. The password is asked for, or is a line of standard input.
    Add {
        /// The name to log in with.
        name: String,
        /// What the user may do: viewer, operator or administrator.
        #[arg(long, value_name = "ROLE")]
        role: Role,
    },
    /// Lists the users.
    List {
        /// Prints a line of JSON for each.
        #[arg(long)]
        json: bool,
    },
    /// Gives a user a new password, and ends all the user's sessions.
    Passwd {
        /// Who.
        name: String,
    },
    /// Gives a user another role.
    Role {
        /// Who.
        name: String,
        /// What the user may do: viewer, operator or administrator.
        role: Role,
    },
    /// Asks a user for no one-time codes any more: the telephone that shows them was lost.
    NoCodes {
        /// Who.
        name: String,
    },
    /// Removes a user, and ends all the user's sessions.
    Del {
        /// Who.
        name: String,
    },
}

#[derive(Serialize)]
struct Row {
    name: String,
    role: Role,
    totp: bool,
    created_ms: i64,
    last_login_ms: Option<i64>,
}

impl User {
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let db = Db::open(&Config::read(&self.config)?.database())?;
        match self.command {
            Command::Add { name, role } => {
                users::check_name(&name)?;
                let hash = password::hash(&ask(&name)?)?;
                let entry = entry("user add", &name);
                let added = db.now(|db| {
                    audit::change(db, entry, |db, _| {
                        let added = users::add(db, now_ms(), &name, role, &hash)?;
                        Ok(added.then_some(()).ok_or(()))
                    })
                })?;
                ensure!(
                    added.is_ok(),
                    "there is a user {name:?} already: \"tandem user passwd\" gives a new password"
                );
                complain!("{name} may log in, as {}", role.word());
                Ok(Exit::Done)
            }
            Command::List { json } => list(&db, json),
            Command::Passwd { name } => {
                let hash = password::hash(&ask(&name)?)?;
                change(&db, "user passwd", &name, |db| users::set_password(db, &name, &hash, None))
            }
            Command::Role { name, role } => {
                change(&db, "user role", &name, |db| users::set_role(db, &name, role))
            }
            Command::NoCodes { name } => {
                change(&db, "user no-codes", &name, |db| users::set_totp(db, &name, None))
            }
            Command::Del { name } => change(&db, "user del", &name, |db| users::remove(db, &name)),
        }
    }
}

/// For the hub's audit log.
fn entry(action: &str, name: &str) -> Entry {
    Entry::shell(now_ms(), action, name)
}

fn change(
    db: &Db,
    action: &str,
    name: &str,
    act: impl FnOnce(&Connection) -> users::Changed,
) -> anyhow::Result<Exit> {
    match db.now(|db| audit::change(db, entry(action, name), |db, _| act(db)))? {
        Ok(()) => Ok(Exit::Done),
        Err(NotChanged::NotThere) => {
            complain!("there is no user {name:?}");
            Ok(Exit::Missing)
        }
        Err(NotChanged::LastAdministrator) => {
            bail!("{name:?} is the last administrator: make somebody else one first")
        }
    }
}

fn list(db: &Db, json: bool) -> anyhow::Result<Exit> {
    let mut out = Out::new();
    let all = db.now(|db| users::list(db))?;
    let width = all.iter().map(|user| user.name.chars().count()).max().unwrap_or_default();
    for user in all {
        let hub::db::User { name, role, totp, created_ms, last_login_ms } = user;
        if json {
            out.json(&Row { name, role, totp, created_ms, last_login_ms })?;
        } else {
            let codes = if totp { "  with codes" } else { "" };
            let name = escaped(name.as_bytes());
            out.line(format_args!("{name:width$}  {}{codes}", role.word()))?;
        }
    }
    out.flush()?;
    Ok(Exit::Done)
}

/// A password: typed twice unseen, or a line of standard input.
fn ask(name: &str) -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return line();
    }
    let first = typed(&format!("Password of {name}: "))?;
    ensure!(first == typed("Once more: ")?, "these were two passwords");
    Ok(first)
}

fn line() -> anyhow::Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).context("standard input")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn typed(prompt: &str) -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    let before = tcgetattr(&stdin).context("the terminal")?;
    let mut unseen = before.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    let mut stderr = std::io::stderr();
    write!(stderr, "{prompt}")?;
    tcsetattr(&stdin, OptionalActions::Flush, &unseen).context("the terminal")?;
    let line = line();
    tcsetattr(&stdin, OptionalActions::Flush, &before).context("the terminal")?;
    writeln!(stderr)?;
    line
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
