//! One-time tokens, with which agents enrol.

use agent::tls::Fingerprint;
use serde::Serialize;

use crate::config::{Config, NAME_MAX_BYTES, is_server_name};
use crate::db::{self, Db, DbError, Entry};
use crate::hub::now_ms;
use crate::secret::{self, NoRandom};
use crate::tls::{self, TlsError};

/// A token to enrol with: it is shown this once, and good once, for a day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Invited {
    /// The token.
    pub token: String,
    /// What to run beside the Asterisk.
    pub command: String,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InviteError {
    /// Not a server's name.
    #[error(
        "{0:?} is no name for a server: letters, digits, `-`, `_` and `.`, at most {NAME_MAX_BYTES} bytes, and neither `-` nor `.` first"
    )]
    Name(String),
    /// Nobody elsewhere would find it.
    #[error(
        "the hub listens at all addresses and has no name: set `name` in hub.toml, for agents to dial"
    )]
    NoName,
    /// It needs no agent.
    #[error("{0} is watched by the hub itself: take its `ami` out of hub.toml first")]
    Watched(String),
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The hub's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system.
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
}

/// How long a token waits.
const LIFE_MS: i64 = 86_400_000;

/// Makes a token for the agent of a server, on the hub's machine, whether the hub runs or not. An
/// agent that has a key already keeps it until another enrols.
///
/// # Errors
///
/// [`InviteError`] says what is wrong.
pub fn invite(config: &Config, server: &str) -> Result<Invited, InviteError> {
    let db = Db::open(&config.database())?;
    let fingerprint = if config.is_tls() { tls::prepare(config)?.1 } else { None };
    let invited = make(config, &db, fingerprint, server)?;
    let entry = Entry::shell(now_ms(), "agent invite", server);
    db.now(|db| db::audit::add(db, &entry))?;
    Ok(invited)
}

pub(crate) fn make(
    config: &Config,
    db: &Db,
    fingerprint: Option<Fingerprint>,
    server: &str,
) -> Result<Invited, InviteError> {
    if !is_server_name(server) {
        return Err(InviteError::Name(server.into()));
    }
    if config.name.is_none() && config.listen.ip().is_unspecified() {
        return Err(InviteError::NoName);
    }
    if config.servers.iter().any(|it| it.name == server && it.ami.is_some()) {
        return Err(InviteError::Watched(server.into()));
    }
    let made = secret::new()?;
    let (hash, expires) = (secret::hash(&made), now_ms() + LIFE_MS);
    db.now(|db| db::agents::invite(db, server, &hash, expires))?;
    let token = match fingerprint {
        Some(fingerprint) => format!("{made}.{fingerprint}"),
        None => made,
    };
    let command = format!("tandem agent enrol {} {token}", config.url());
    Ok(Invited { token, command })
}
