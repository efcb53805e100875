//! The tables, and how older ones become them.

use rusqlite::{Connection, TransactionBehavior};

/// Each brings the schema one number up. Never changed once they were released: a new one is added.
const MIGRATIONS: [&str; 3] = [
    r"
CREATE TABLE user (
    name TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'administrator')),
    password TEXT NOT NULL,                -- argon2id, as a PHC string
    totp TEXT,                             -- the secret, once it was confirmed
    totp_step INTEGER NOT NULL DEFAULT 0,  -- the last step that was used: a code is good once
    created_ms INTEGER NOT NULL,
    last_login_ms INTEGER
) STRICT;
CREATE TABLE session (
    hash BLOB PRIMARY KEY,
    user TEXT NOT NULL REFERENCES user ON DELETE CASCADE ON UPDATE CASCADE,
    csrf TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    used_ms INTEGER NOT NULL,
    address TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE token (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'administrator')),
    created_ms INTEGER NOT NULL,
    used_ms INTEGER,
    expires_ms INTEGER
) STRICT;
CREATE TABLE agent (
    server TEXT PRIMARY KEY,
    key BLOB,                              -- its hash; none before it has enrolled
    token BLOB,                            -- the hash of a one-time token that waits
    token_expires_ms INTEGER,
    enrolled_ms INTEGER,
    seen_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX agent_key ON agent (key);
CREATE UNIQUE INDEX agent_token ON agent (token);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    user TEXT NOT NULL,
    address TEXT NOT NULL,
    action TEXT NOT NULL,
    server TEXT,
    target TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('done', 'refused', 'failed')),
    detail TEXT
) STRICT;
CREATE TABLE peer_history (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    server TEXT NOT NULL,
    driver TEXT NOT NULL,
    name TEXT NOT NULL,
    registration TEXT NOT NULL,
    address TEXT
) STRICT;
CREATE INDEX peer_history_of ON peer_history (server, driver, name, at_ms);
CREATE INDEX peer_history_at ON peer_history (at_ms);
-- When the hub was last there, to within half a minute: what follows is not known.
CREATE TABLE alive (one INTEGER PRIMARY KEY CHECK (one = 1), at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE call_history (
    id INTEGER PRIMARY KEY,
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    server TEXT NOT NULL,
    linkedid TEXT NOT NULL,
    direction TEXT NOT NULL,
    answered INTEGER NOT NULL,
    from_number TEXT, from_name TEXT, from_peer TEXT,
    to_number TEXT, to_name TEXT, to_peer TEXT,
    UNIQUE (server, linkedid)
) STRICT;
CREATE INDEX call_history_at ON call_history (began_ms);
",
    r"
-- Else it was there at ended_ms, and gone when its server was seen again.
ALTER TABLE call_history ADD COLUMN end_seen INTEGER NOT NULL DEFAULT 1;
",
    r"
-- The audit log names tokens by their number: none is given twice.
CREATE TABLE token_numbered (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'operator', 'administrator')),
    created_ms INTEGER NOT NULL,
    used_ms INTEGER,
    expires_ms INTEGER
) STRICT;
INSERT INTO token_numbered SELECT id, name, hash, role, created_ms, used_ms, expires_ms FROM token;
INSERT INTO sqlite_sequence (name, seq) SELECT 'token_numbered', 0
    WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'token_numbered');
UPDATE sqlite_sequence SET seq = max(seq, coalesce(
    (SELECT max(CAST(target AS INTEGER)) FROM audit WHERE action = 'token remove'), 0))
    WHERE name = 'token_numbered';
DROP TABLE token;
ALTER TABLE token_numbered RENAME TO token;
",
];

pub(super) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Settings of the connection, and the schema. Says the number of the schema that it found, or made.
pub(super) fn prepare(connection: &mut Connection) -> rusqlite::Result<i64> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // What was told to a person as done must survive the machine's end, too.
    connection.pragma_update(None, "synchronous", "full")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut version: i64 =
        transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    while let Some(migration) = usize::try_from(version).ok().and_then(|at| MIGRATIONS.get(at)) {
        transaction.execute_batch(migration)?;
        version += 1;
        transaction.pragma_update(None, "user_version", version)?;
    }
    transaction.commit()?;
    Ok(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_version_wrote_is_there_after_it_was_brought_up_to_date() {
        let mut db = Connection::open_in_memory().expect("a database");
        db.execute_batch(MIGRATIONS[0]).expect("its tables");
        db.pragma_update(None, "user_version", 1).expect("its number");
        db.execute_batch(
            "INSERT INTO call_history (began_ms, ended_ms, server, linkedid, direction, answered)
             VALUES (1, 2, 'A', '1.1', 'in', 1)",
        )
        .expect("a call");
        let add = "INSERT INTO token (name, hash, role, created_ms) VALUES (?1, cast(?1 AS BLOB), 'viewer', 1)";
        db.execute(add, ["first"]).expect("a token");
        db.execute_batch(
            "INSERT INTO audit (at_ms, user, address, action, target, outcome)
             VALUES (1, 'ada', '::1', 'token remove', '5', 'done')",
        )
        .expect("another was there");
        assert_eq!(prepare(&mut db), Ok(VERSION));
        let calls = crate::db::history::calls(&db, 10, 10).expect("its past");
        assert_eq!(
            calls.iter().map(|call| (call.ended_ms, call.end_seen)).collect::<Vec<_>>(),
            [(2, true)]
        );
        let tokens = crate::db::tokens::list(&db).expect("the tokens");
        assert_eq!(tokens.iter().map(|it| (it.id, &*it.name)).collect::<Vec<_>>(), [(1, "first")]);
        crate::db::tokens::remove(&db, 1).expect("it is there");
        db.execute(add, ["second"]).expect("another");
        assert_eq!(db.last_insert_rowid(), 6, "no number is given twice");
        assert_eq!(prepare(&mut db), Ok(VERSION), "and once is enough");
    }
}
