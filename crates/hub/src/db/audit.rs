//! Who changed what.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params};
use serde::Serialize;

/// What came of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// The user may not do that.
    Refused,
    /// It could not be done.
    Failed,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

impl ToSql for Outcome {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.word().into())
    }
}

impl FromSql for Outcome {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        [Self::Done, Self::Refused, Self::Failed]
            .into_iter()
            .find(|outcome| Ok(outcome.word()) == value.as_str())
            .ok_or(FromSqlError::InvalidType)
    }
}

/// A line of the log.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct Entry {
    /// Its number; later lines have larger ones. 0 before it is written.
    pub id: i64,
    /// When.
    pub at_ms: i64,
    /// Who; a token is `token:NAME`.
    pub user: String,
    /// From where.
    pub address: String,
    /// What: `hangup`, `user add` …
    pub action: String,
    /// At which server, if at one.
    pub server: Option<String>,
    /// To whom or what.
    pub target: String,
    /// What came of it.
    pub outcome: Outcome,
    /// In words.
    pub detail: Option<String>,
}

/// Writes down what was done in a shell of the hub's machine, by whoever may write the database.
///
/// # Errors
///
/// SQLite's.
pub fn note(db: &Connection, at_ms: i64, action: &str, target: &str) -> rusqlite::Result<()> {
    let (user, address) = ("shell".into(), "local".into());
    let (action, target) = (action.into(), target.into());
    let (server, outcome, detail) = (None, Outcome::Done, None);
    add(db, &Entry { id: 0, at_ms, user, address, action, server, target, outcome, detail })?;
    Ok(())
}

/// Writes a line, and gives its number.
pub(crate) fn add(db: &Connection, entry: &Entry) -> rusqlite::Result<i64> {
    db.execute(
        "INSERT INTO audit (at_ms, user, address, action, server, target, outcome, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            entry.at_ms,
            entry.user,
            entry.address,
            entry.action,
            entry.server,
            entry.target,
            entry.outcome,
            entry.detail
        ],
    )?;
    Ok(db.last_insert_rowid())
}

/// What came of it in the end.
pub(crate) fn conclude(
    db: &Connection,
    id: i64,
    outcome: Outcome,
    detail: Option<&str>,
) -> rusqlite::Result<()> {
    let set = "UPDATE audit SET outcome = ?2, detail = ?3 WHERE id = ?1";
    db.execute(set, params![id, outcome, detail])?;
    Ok(())
}

/// The latest first, from before a line on.
pub(crate) fn list(db: &Connection, before: i64, limit: i64) -> rusqlite::Result<Vec<Entry>> {
    let mut some = db.prepare_cached(
        "SELECT id, at_ms, user, address, action, server, target, outcome, detail FROM audit
         WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let rows = some.query_map([before, limit], |row| {
        Ok(Entry {
            id: row.get(0)?,
            at_ms: row.get(1)?,
            user: row.get(2)?,
            address: row.get(3)?,
            action: row.get(4)?,
            server: row.get(5)?,
            target: row.get(6)?,
            outcome: row.get(7)?,
            detail: row.get(8)?,
        })
    })?;
    rows.collect()
}
