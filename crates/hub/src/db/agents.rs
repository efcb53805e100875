//! Which agents may connect, and which may enrol.

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::Serialize;

use crate::secret::Hash;

/// An agent.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct AgentRow {
    /// The server that it stands beside.
    pub server: String,
    /// When it enrolled, if it has.
    pub enrolled_ms: Option<i64>,
    /// When it was connected last.
    pub last_seen_ms: Option<i64>,
    /// Until when a token waits for it, if one does.
    pub token_expires_ms: Option<i64>,
}

/// Makes a one-time token for a server, in place of one that waits. An agent that has a key keeps it
/// until another enrols.
pub(crate) fn invite(
    db: &Connection,
    server: &str,
    token: &Hash,
    expires_ms: i64,
) -> rusqlite::Result<()> {
    db.execute(
        "INSERT INTO agent (server, token, token_expires_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET token = ?2, token_expires_ms = ?3",
        params![server, token, expires_ms],
    )?;
    Ok(())
}

/// Changes a token for a key; whose it is, if the token is good.
pub(crate) fn enrol(
    db: &Connection,
    now_ms: i64,
    token: &Hash,
    key: &Hash,
) -> rusqlite::Result<Option<String>> {
    let change =
        "UPDATE agent SET key = ?2, enrolled_ms = ?3, token = NULL, token_expires_ms = NULL
                  WHERE token = ?1 AND token_expires_ms > ?3 RETURNING server";
    db.query_row(change, params![token, key, now_ms], |row| row.get(0)).optional()
}

/// The server whose agent has this key.
pub(crate) fn of_key(db: &Connection, key: &Hash) -> rusqlite::Result<Option<String>> {
    db.query_row("SELECT server FROM agent WHERE key = ?1", [key], |row| row.get(0)).optional()
}

/// The server that this token is for, if it is good.
pub(crate) fn of_token(
    db: &Connection,
    now_ms: i64,
    token: &Hash,
) -> rusqlite::Result<Option<String>> {
    let one = "SELECT server FROM agent WHERE token = ?1 AND token_expires_ms > ?2";
    db.query_row(one, params![token, now_ms], |row| row.get(0)).optional()
}

pub(crate) fn seen(db: &Connection, now_ms: i64, server: &str) -> rusqlite::Result<()> {
    db.execute("UPDATE agent SET seen_ms = ?2 WHERE server = ?1", params![server, now_ms])?;
    Ok(())
}

pub(crate) fn list(db: &Connection) -> rusqlite::Result<Vec<AgentRow>> {
    let mut all = db.prepare_cached(
        "SELECT server, enrolled_ms, seen_ms, token_expires_ms FROM agent ORDER BY server",
    )?;
    let rows = all.query_map([], |row| {
        Ok(AgentRow {
            server: row.get(0)?,
            enrolled_ms: row.get(1)?,
            last_seen_ms: row.get(2)?,
            token_expires_ms: row.get(3)?,
        })
    })?;
    rows.collect()
}

pub(crate) fn remove(db: &Connection, server: &str) -> rusqlite::Result<bool> {
    Ok(db.execute("DELETE FROM agent WHERE server = ?1", [server])? > 0)
}
