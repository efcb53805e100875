//! Tokens for programs.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

use super::users::Role;
use crate::secret::Hash;

/// A token, without its secret.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct TokenRow {
    /// Its number.
    pub id: i64,
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub role: Role,
    /// When it was made.
    pub created_ms: i64,
    /// When it was used last, to the minute.
    pub last_used_ms: Option<i64>,
    /// When it ends, if it does.
    pub expires_ms: Option<i64>,
}

/// A use is written down again after that long.
const NOTED_EVERY_MS: i64 = 60_000;

pub(crate) fn add(
    db: &Connection,
    now_ms: i64,
    name: &str,
    role: Role,
    hash: &Hash,
    expires_ms: Option<i64>,
) -> rusqlite::Result<i64> {
    db.execute(
        "INSERT INTO token (name, role, hash, created_ms, expires_ms) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![name, role, hash, now_ms, expires_ms],
    )?;
    Ok(db.last_insert_rowid())
}

pub(crate) fn list(db: &Connection) -> rusqlite::Result<Vec<TokenRow>> {
    let mut all = db.prepare_cached(
        "SELECT id, name, role, created_ms, used_ms, expires_ms FROM token ORDER BY id",
    )?;
    let rows = all.query_map([], |row| {
        Ok(TokenRow {
            id: row.get(0)?,
            name: row.get(1)?,
            role: row.get(2)?,
            created_ms: row.get(3)?,
            last_used_ms: row.get(4)?,
            expires_ms: row.get(5)?,
        })
    })?;
    rows.collect()
}

pub(crate) fn remove(db: &Connection, id: i64) -> rusqlite::Result<bool> {
    Ok(db.execute("DELETE FROM token WHERE id = ?1", [id])? > 0)
}

/// Its name and role, if it is good; it is used now.
pub(crate) fn of(
    db: &Connection,
    now_ms: i64,
    hash: &Hash,
) -> rusqlite::Result<Option<(String, Role)>> {
    let one = "SELECT id, name, role, used_ms FROM token
               WHERE hash = ?1 AND (expires_ms IS NULL OR expires_ms > ?2)";
    let found = db.query_row(one, params![hash, now_ms], |row| {
        Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get::<_, Option<i64>>(3)?))
    });
    let Some((id, name, role, used_ms)) = found.optional()? else { return Ok(None) };
    if used_ms.is_none_or(|used_ms| now_ms - used_ms > NOTED_EVERY_MS) {
        // A full disk keeps no program out; what was not noted is, with the next use.
        let _noted = db.execute("UPDATE token SET used_ms = ?2 WHERE id = ?1", [id, now_ms]);
    }
    Ok(Some((name, role)))
}
