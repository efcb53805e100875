//! What must outlive the process, in SQLite: users, sessions, tokens, agents, history, audit.
//!
//! One connection, one statement after the other, on threads that may block. It is written ahead
//! (WAL), so a process that is killed at any moment leaves the last whole transaction.

pub(crate) mod agents;
pub mod audit;
pub(crate) mod history;
mod schema;
pub(crate) mod sessions;
#[cfg(test)]
mod tests;
pub(crate) mod tokens;
pub mod users;

use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::ErrorCode;

pub use agents::AgentRow;
pub use audit::{Entry, Outcome};
pub use history::{CallRow, PeerRow};
pub use rusqlite::Connection;
pub use sessions::SessionRow;
pub use tokens::TokenRow;
pub use users::{NotChanged, Role, User};

/// The database. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Db {
    connection: Arc<Mutex<Connection>>,
    path: Arc<PathBuf>,
}

/// Why it did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// The folder or the file cannot be made.
    #[error("{path}: {error}: the folder and all in it must belong to the user that runs the hub")]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is of a later version of this program.
    #[error(
        "{path} was written by a later version of tandem (schema {found}; this one knows {known})"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its schema's number.
        found: i64,
        /// The largest that is known.
        known: i64,
    },
    /// There is no room.
    #[error("{0}: the disk is full: free some space there; nothing was changed")]
    Full(PathBuf),
    /// It may not be written.
    #[error("{0}: it cannot be written: its folder and it must belong to the user that runs this")]
    ReadOnly(PathBuf),
    /// It is damaged, or no database.
    #[error("{0}: it is damaged or no database of tandem's: move it away, or restore a copy ({1})")]
    Damaged(PathBuf, rusqlite::Error),
    /// Something else.
    #[error("{0}: {1}")]
    Sqlite(PathBuf, rusqlite::Error),
    /// The work was ended with the process.
    #[error("the program is ending")]
    Ending,
}

impl Db {
    /// Opens the database, makes it if it is not there, and brings its schema up to date.
    ///
    /// # Errors
    ///
    /// [`DbError`] names the file and the cure.
    pub fn open(path: &Path) -> Result<Self, DbError> {
        if let Some(folder) = path.parent() {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| DbError::Create { path: folder.into(), error })?;
        }
        // Hashes of passwords are in it; SQLite gives its other files the same mode.
        let made = make(path);
        made.map_err(|error| DbError::Create { path: path.into(), error })?;
        let connection = Connection::open(path).map_err(|error| named(path, error))?;
        let db = Self { connection: Arc::new(Mutex::new(connection)), path: Arc::new(path.into()) };
        let version = db.now(schema::prepare)?;
        if version > schema::VERSION {
            let (found, known) = (version, schema::VERSION);
            return Err(DbError::Newer { path: path.into(), found, known });
        }
        Ok(db)
    }

    /// Does it on this thread.
    ///
    /// # Errors
    ///
    /// [`DbError`]: nothing was changed, for each of our operations is one transaction.
    pub fn now<T>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> Result<T, DbError> {
        // A panic within a transaction has rolled it back.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut connection).map_err(|error| named(&self.path, error))
    }

    /// Does it on a thread that may block.
    ///
    /// # Errors
    ///
    /// [`DbError`]: nothing was changed.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DbError> {
        let db = self.clone();
        let done = tokio::task::spawn_blocking(move || db.now(act)).await;
        done.unwrap_or_else(|error| match error.try_into_panic() {
            // As if it had been done here.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(DbError::Ending),
        })
    }
}

/// Makes the file if it is not there; for whoever owns the folder, since root may be the first who comes.
fn make(path: &Path) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
    let folder = std::fs::metadata(path.parent().unwrap_or(Path::new(".")))?;
    let is = file.metadata()?;
    if is.len() == 0 && is.uid() != folder.uid() {
        std::os::unix::fs::fchown(&file, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(())
}

fn named(path: &Path, error: rusqlite::Error) -> DbError {
    let path = path.to_path_buf();
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => DbError::Full(path),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen) => DbError::ReadOnly(path),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => DbError::Damaged(path, error),
        _ => DbError::Sqlite(path, error),
    }
}
