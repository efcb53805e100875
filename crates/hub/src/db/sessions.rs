//! Who is logged in.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};

use super::users::{Credentials, Role};
use crate::secret::Hash;

/// After how long without use a session ends.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(12 * 3600);
/// After how long it ends whatever happens.
pub(crate) const AGE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);
/// A use is written down again after that long: not every request is a write.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// A session that is good.
#[derive(Clone, Debug)]
pub struct SessionRow {
    /// Whose.
    pub user: String,
    /// What the user may do now.
    pub role: Role,
    /// What requests that change something must carry.
    pub csrf: String,
}

/// A session that is to begin.
#[derive(Clone, Debug)]
pub(crate) struct NewSession {
    pub(crate) hash: Hash,
    pub(crate) user: String,
    pub(crate) csrf: String,
    pub(crate) address: String,
}

/// Begins a session, if the user still has what the login was checked against; says whether it does.
pub(crate) fn begin(
    db: &Connection,
    now_ms: i64,
    new: &NewSession,
    checked: &Credentials,
) -> rusqlite::Result<bool> {
    db.execute(
        "DELETE FROM session WHERE used_ms < ?1 OR created_ms < ?2",
        [now_ms - millis(IDLE_MAX), now_ms - millis(AGE_MAX)],
    )?;
    let NewSession { hash, user, csrf, address } = new;
    let Credentials { password, totp, .. } = checked;
    let begun = db.execute(
        "INSERT INTO session (hash, user, csrf, created_ms, used_ms, address)
         SELECT ?1, name, ?3, ?4, ?4, ?5 FROM user WHERE name = ?2 AND password = ?6 AND totp IS ?7",
        params![hash, user, csrf, now_ms, address, password, totp],
    )?;
    let note = "UPDATE user SET last_login_ms = ?2 WHERE name = ?1";
    db.execute(note, params![user, now_ms])?;
    Ok(begun > 0)
}

/// The user's role, if the session is good.
pub(crate) fn role_of(db: &Connection, now_ms: i64, hash: &Hash) -> rusqlite::Result<Option<Role>> {
    Ok(find(db, now_ms, hash)?.map(|(session, _)| session.role))
}

/// The session, if it is good; it is used now.
pub(crate) fn of(
    db: &Connection,
    now_ms: i64,
    hash: &Hash,
) -> rusqlite::Result<Option<SessionRow>> {
    let Some((session, used_ms)) = find(db, now_ms, hash)? else { return Ok(None) };
    if now_ms - used_ms > millis(NOTED_EVERY) {
        // Who is in stays in while the disk is full; what was not noted is, with the next use.
        let note = "UPDATE session SET used_ms = ?2 WHERE hash = ?1";
        let _noted = db.execute(note, params![hash, now_ms]);
    }
    Ok(Some(session))
}

/// The session, if it is good, and when it was used last.
fn find(db: &Connection, now_ms: i64, hash: &Hash) -> rusqlite::Result<Option<(SessionRow, i64)>> {
    let one = "SELECT user, role, csrf, used_ms, session.created_ms
               FROM session JOIN user ON user.name = session.user WHERE hash = ?1";
    let found = db.query_row(one, [hash], |row| {
        let session = SessionRow { user: row.get(0)?, role: row.get(1)?, csrf: row.get(2)? };
        Ok((session, row.get::<_, i64>(3)?, row.get::<_, i64>(4)?))
    });
    let Some((session, used_ms, created_ms)) = found.optional()? else { return Ok(None) };
    let is_good = now_ms - used_ms <= millis(IDLE_MAX) && now_ms - created_ms <= millis(AGE_MAX);
    Ok(is_good.then_some((session, used_ms)))
}

pub(crate) fn end(db: &Connection, hash: &Hash) -> rusqlite::Result<()> {
    db.execute("DELETE FROM session WHERE hash = ?1", [hash])?;
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
