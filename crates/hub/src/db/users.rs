//! Users and their roles.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};

/// What a user may do; each may also do what those before it may.
#[derive(
    Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// See.
    Viewer,
    /// End, transfer and begin calls, qualify peers, change variables.
    Operator,
    /// Users, tokens, agents, the audit log.
    Administrator,
}

impl Role {
    /// As it is written everywhere.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Self::Viewer, Self::Operator, Self::Administrator]
            .into_iter()
            .find(|role| role.word() == word)
            .ok_or_else(|| format!("{word:?} is not viewer, operator or administrator"))
    }
}

impl ToSql for Role {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.word().into())
    }
}

impl FromSql for Role {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        value.as_str()?.parse().map_err(|_| FromSqlError::InvalidType)
    }
}

/// A user, without the password.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
pub struct User {
    /// The name to log in with.
    pub name: String,
    /// What may be done.
    pub role: Role,
    /// Whether a one-time code is asked for, too.
    pub totp: bool,
    /// When it was made.
    pub created_ms: i64,
    /// The last login, if there was one.
    pub last_login_ms: Option<i64>,
}

/// What a login is checked against.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    pub(crate) role: Role,
    pub(crate) password: String,
    pub(crate) totp: Option<String>,
}

/// Adds a user; says whether the name was free.
///
/// # Errors
///
/// SQLite's.
pub fn add(
    db: &Connection,
    now_ms: i64,
    name: &str,
    role: Role,
    password_hash: &str,
) -> rusqlite::Result<bool> {
    let added = db.execute(
        "INSERT INTO user (name, role, password, created_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO NOTHING",
        params![name, role, password_hash, now_ms],
    )?;
    Ok(added > 0)
}

/// All of them by name.
///
/// # Errors
///
/// SQLite's.
pub fn list(db: &Connection) -> rusqlite::Result<Vec<User>> {
    let mut all = db.prepare_cached(
        "SELECT name, role, totp IS NOT NULL, created_ms, last_login_ms FROM user ORDER BY name",
    )?;
    let rows = all.query_map([], |row| {
        Ok(User {
            name: row.get(0)?,
            role: row.get(1)?,
            totp: row.get(2)?,
            created_ms: row.get(3)?,
            last_login_ms: row.get(4)?,
        })
    })?;
    rows.collect()
}

/// Why a user stays as it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NotChanged {
    /// There is no such user.
    #[error("there is no such user")]
    NotThere,
    /// It would have left nobody who may change users.
    #[error("it is the last administrator")]
    LastAdministrator,
}

/// What came of a change. Only what is `Ok` may be committed.
pub type Changed = rusqlite::Result<Result<(), NotChanged>>;

/// Not a user's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "a user's name has 1 to {NAME_MAX_BYTES} bytes: letters, digits and signs, but no colon, no slash and no dash \
     at its beginning; and `shell` is nobody's name"
)]
pub struct NoName;

/// Longest name, in bytes.
pub const NAME_MAX_BYTES: usize = 64;

/// Whether a user may be called so. A colon would make it look like a token in the audit log, and `shell` there is
/// whoever was at the hub's machine; what nobody sees is no letter.
///
/// # Errors
///
/// [`NoName`].
pub fn check_name(name: &str) -> Result<(), NoName> {
    let is_plain =
        |c: char| !c.is_control() && !c.is_whitespace() && !is_unseen(c) && c != ':' && c != '/';
    let is_name = (1..=NAME_MAX_BYTES).contains(&name.len()) && name.chars().all(is_plain);
    let is_taken = name.starts_with('-') || name.eq_ignore_ascii_case("shell");
    (is_name && !is_taken).then_some(()).ok_or(NoName)
}

/// What nobody sees in a name, or what turns the direction of the text around it.
fn is_unseen(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Removes a user, and with it all sessions.
///
/// # Errors
///
/// SQLite's.
pub fn remove(db: &Connection, name: &str) -> Changed {
    unless_it_is_the_last(db, name, || db.execute("DELETE FROM user WHERE name = ?1", [name]))
}

/// Changes a user; it may stay so if an administrator is left afterwards.
fn unless_it_is_the_last(
    db: &Connection,
    name: &str,
    change: impl FnOnce() -> rusqlite::Result<usize>,
) -> Changed {
    let was: Option<Role> = db
        .query_row("SELECT role FROM user WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    if change()? == 0 {
        return Ok(Err(NotChanged::NotThere));
    }
    let count = "SELECT count(*) FROM user WHERE role = 'administrator'";
    let left: i64 = db.query_row(count, [], |row| row.get(0))?;
    let is_last = was == Some(Role::Administrator) && left == 0;
    Ok(if is_last { Err(NotChanged::LastAdministrator) } else { Ok(()) })
}

/// Gives a new password and ends all sessions but `kept`.
///
/// # Errors
///
/// SQLite's.
pub fn set_password(
    db: &Connection,
    name: &str,
    password_hash: &str,
    kept: Option<&[u8]>,
) -> Changed {
    let set = "UPDATE user SET password = ?2 WHERE name = ?1";
    let changed = db.execute(set, [name, password_hash])?;
    let end = "DELETE FROM session WHERE user = ?1 AND hash IS NOT ?2";
    db.execute(end, params![name, kept])?;
    Ok(if changed > 0 { Ok(()) } else { Err(NotChanged::NotThere) })
}

/// Gives a new role.
///
/// # Errors
///
/// SQLite's.
pub fn set_role(db: &Connection, name: &str, role: Role) -> Changed {
    let set = "UPDATE user SET role = ?2 WHERE name = ?1";
    unless_it_is_the_last(db, name, || db.execute(set, params![name, role]))
}

/// Sets or takes away the secret of one-time codes.
///
/// # Errors
///
/// SQLite's.
pub fn set_totp(db: &Connection, name: &str, secret: Option<&str>) -> Changed {
    let set = "UPDATE user SET totp = ?2, totp_step = 0 WHERE name = ?1";
    let changed = db.execute(set, params![name, secret])?;
    Ok(if changed > 0 { Ok(()) } else { Err(NotChanged::NotThere) })
}

/// Notes that the code of this step was used; says whether it was not before.
pub(crate) fn use_totp(db: &Connection, name: &str, step: i64) -> rusqlite::Result<bool> {
    let set = "UPDATE user SET totp_step = ?2 WHERE name = ?1 AND totp_step < ?2";
    Ok(db.execute(set, params![name, step])? > 0)
}

pub(crate) fn credentials(db: &Connection, name: &str) -> rusqlite::Result<Option<Credentials>> {
    let one = "SELECT role, password, totp FROM user WHERE name = ?1";
    db.query_row(one, [name], |row| {
        Ok(Credentials { role: row.get(0)?, password: row.get(1)?, totp: row.get(2)? })
    })
    .optional()
}
