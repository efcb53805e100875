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

/// Lines that are kept; the oldest go.
const LINES_MAX: i64 = 1_000_000;
/// Longest text that is kept of a target, or of what came of it, in bytes.
const TEXT_MAX_BYTES: usize = 512;

impl Entry {
    /// Something done in a shell of the hub's machine, by whoever may write the database.
    #[must_use]
    pub fn shell(at_ms: i64, action: &str, target: &str) -> Self {
        let (user, address) = ("shell".into(), "local".into());
        let (action, target) = (action.into(), target.into());
        let (server, outcome, detail) = (None, Outcome::Done, None);
        Self { id: 0, at_ms, user, address, action, server, target, outcome, detail }
    }
}

/// Changes something and writes it down: both, or neither. Nothing is changed, nor written, where `act` says why not.
///
/// # Errors
///
/// SQLite's.
pub fn change<T, E>(
    db: &mut Connection,
    mut entry: Entry,
    act: impl FnOnce(&Connection, &mut Entry) -> rusqlite::Result<Result<T, E>>,
) -> rusqlite::Result<Result<T, E>> {
    let transaction = db.transaction()?;
    let done = act(&transaction, &mut entry)?;
    if done.is_ok() {
        add(&transaction, &entry)?;
        transaction.commit()?;
    }
    Ok(done)
}

/// Writes a line, and gives its number.
pub(crate) fn add(db: &Connection, entry: &Entry) -> rusqlite::Result<i64> {
    add_of(db, entry, LINES_MAX)
}

fn add_of(db: &Connection, entry: &Entry, lines_max: i64) -> rusqlite::Result<i64> {
    db.execute(
        "INSERT INTO audit (at_ms, user, address, action, server, target, outcome, detail)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            entry.at_ms,
            entry.user,
            entry.address,
            entry.action,
            entry.server,
            cut(&entry.target),
            entry.outcome,
            entry.detail.as_deref().map(cut)
        ],
    )?;
    let id = db.last_insert_rowid();
    db.execute("DELETE FROM audit WHERE id <= ?1", [id - lines_max])?;
    Ok(id)
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_MAX_BYTES)]
}

/// What came of it in the end.
pub(crate) fn conclude(
    db: &Connection,
    id: i64,
    outcome: Outcome,
    detail: Option<&str>,
) -> rusqlite::Result<()> {
    let set = "UPDATE audit SET outcome = ?2, detail = ?3 WHERE id = ?1";
    db.execute(set, params![id, outcome, detail.map(cut)])?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_fills_the_log() {
        let mut db = Connection::open_in_memory().expect("a database");
        super::super::schema::prepare(&mut db).expect("its tables");
        for number in 0..20 {
            let target = format!("{number} {}", "ü".repeat(1000));
            add_of(&db, &Entry::shell(number, "a", &target), 5).expect("it is written");
        }
        let kept = list(&db, i64::MAX, 100).expect("the log");
        assert_eq!(kept.iter().map(|line| line.at_ms).collect::<Vec<_>>(), [19, 18, 17, 16, 15]);
        assert!(kept.iter().all(|line| line.target.len() <= TEXT_MAX_BYTES));
    }

    #[test]
    fn what_is_not_done_is_not_written_down_and_what_is_not_written_down_is_not_done() {
        let mut db = Connection::open_in_memory().expect("a database");
        super::super::schema::prepare(&mut db).expect("its tables");
        let users = |db: &Connection| {
            db.query_row("SELECT count(*) FROM user", [], |row| row.get::<_, i64>(0))
        };
        let make = |db: &Connection, name: &str| {
            super::super::users::add(db, 0, name, super::super::Role::Viewer, "hash")
        };
        let entry = || Entry::shell(0, "user add", "ann");
        let refused = change(&mut db, entry(), |db, _| make(db, "ann").map(|_| Err::<(), _>("no")));
        assert_eq!(refused, Ok(Err("no")));
        assert_eq!((users(&db), list(&db, i64::MAX, 1).map(|all| all.len())), (Ok(0), Ok(0)));
        db.execute("DROP TABLE audit", []).expect("it is gone");
        let failed = change(&mut db, entry(), |db, _| make(db, "ann").map(Ok::<_, ()>));
        assert!(failed.is_err());
        assert_eq!(users(&db), Ok(0));
    }
}
