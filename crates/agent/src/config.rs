//! `agent.toml`, and what an agent keeps of its enrolment.

use std::fmt;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use link::Rules;
use serde::{Deserialize, Serialize};

use crate::ami::AmiConfig;
use crate::remote::HubUrl;
use crate::tls::Fingerprint;

/// Where the configuration is, if nothing is said.
pub const DEFAULT_PATH: &str = "/etc/tandem/agent.toml";
/// Where the enrolment is kept, if nothing is said.
pub const DEFAULT_STATE: &str = "/var/lib/tandem/agent.toml";

/// `agent.toml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The file that enrolment writes.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// Authorities that vouch for the hub's certificate; else the system's. A hub that made its own
    /// certificate is known by its fingerprint, which its token carries.
    #[serde(default)]
    pub hub_ca: Option<PathBuf>,
    /// The Asterisk to watch.
    pub ami: AmiConfig,
    /// What may be done to it.
    #[serde(default)]
    pub allow: Rules,
}

/// What enrolment leaves: whom to dial, and the key.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Where the hub is.
    pub hub: HubUrl,
    /// What the hub calls this server.
    pub server: String,
    /// The key; whoever has it is this agent.
    pub key: String,
    /// The hub's certificate, if it made it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
}

/// Why a file is of no use. Whoever wrote it erred, or may not read it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("{path}: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not what it should be; the error names the line.
    #[error("{path}: {error}")]
    Parse {
        /// Which.
        path: PathBuf,
        /// Why, and where.
        error: Box<toml::de::Error>,
    },
    /// It cannot be written.
    #[error("{path}: cannot be written: {error}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// There is a secret in it, and everybody may read it.
    #[error("{path}: others may read it, and a secret is in it: chmod o= {path}")]
    Readable {
        /// Which.
        path: PathBuf,
    },
}

fn default_state() -> PathBuf {
    DEFAULT_STATE.into()
}

impl Config {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file and the line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        read_toml(path, |_| true)
    }
}

impl Enrolment {
    /// Reads what was kept; `None` if there is none yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file.
    pub fn read(path: &Path) -> Result<Option<Self>, ConfigError> {
        match read_toml(path, |_| true) {
            Err(ConfigError::Read { error, .. })
                if error.kind() == std::io::ErrorKind::NotFound =>
            {
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    /// Whether it could be kept there: before a token is spent on it.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file.
    pub fn check_place(path: &Path) -> Result<(), ConfigError> {
        let new = path.with_extension("new");
        let check = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&new)?;
            std::fs::remove_file(&new)
        };
        check().map_err(|error| ConfigError::Write { path: path.into(), error })
    }

    /// Keeps it, for the owner's eyes alone. It is whole or not there at all.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the file.
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        let text = toml::to_string(self).expect("it has a form in TOML");
        let new = path.with_extension("new");
        let write = || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut options = std::fs::OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, path)
        };
        write().map_err(|error| ConfigError::Write { path: path.into(), error })
    }
}

/// The key is not shown.
impl fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrolment").field("hub", &self.hub).field("server", &self.server).finish()
    }
}

/// Whether anybody on this machine may read a file.
///
/// # Errors
///
/// The system's.
pub fn is_read_by_others(path: &Path) -> std::io::Result<bool> {
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o007 != 0)
}

/// Reads a file of TOML; one with a secret in it nobody else may read.
///
/// # Errors
///
/// [`ConfigError`] names the file, and the line.
pub fn read_toml<T: serde::de::DeserializeOwned>(
    path: &Path,
    has_secret: impl FnOnce(&T) -> bool,
) -> Result<T, ConfigError> {
    let failed = |error| ConfigError::Read { path: path.into(), error };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    let read: T = toml::from_str(&text)
        .map_err(|error| ConfigError::Parse { path: path.into(), error: Box::new(error) })?;
    if is_read_by_others(path).map_err(failed)? && has_secret(&read) {
        return Err(ConfigError::Readable { path: path.into() });
    }
    Ok(read)
}
