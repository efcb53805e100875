//! What was: peers that came and went, and calls that are over.

use rusqlite::{Connection, params};
use serde::Serialize;

/// A peer became so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PeerRow {
    /// When.
    pub at_ms: i64,
    /// Where.
    pub server: String,
    /// Its driver.
    pub driver: String,
    /// Its name.
    pub name: String,
    /// What it became: `registered`, `unregistered` …; `unknown` when the server went out of sight.
    pub registration: String,
    /// From where.
    pub address: Option<String>,
}

/// A call that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct CallRow {
    /// When it began.
    pub began_ms: i64,
    /// When it was gone; of one that was not seen to end, when it was there last.
    pub ended_ms: i64,
    /// Whether it was seen to end: its server may have gone out of sight before.
    pub end_seen: bool,
    /// Where.
    pub server: String,
    /// Asterisk's `Linkedid`.
    pub linkedid: String,
    /// `in`, `out`, `through` or `internal`.
    #[schema(value_type = fleet::Direction)]
    pub direction: String,
    /// Whether it was seen answered.
    pub answered: bool,
    /// Who called: number, name, peer.
    pub from: [Option<String>; 3],
    /// Who was called: likewise.
    pub to: [Option<String>; 3],
}

pub(crate) fn add(
    db: &mut Connection,
    peers: &[PeerRow],
    calls: &[CallRow],
) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    {
        let mut add = transaction.prepare_cached(
            "INSERT INTO peer_history (at_ms, server, driver, name, registration, address)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for peer in peers {
            let PeerRow { at_ms, server, driver, name, registration, address } = peer;
            add.execute(params![at_ms, server, driver, name, registration, address])?;
        }
        let mut add = transaction.prepare_cached(
            "INSERT OR REPLACE INTO call_history (began_ms, ended_ms, end_seen, server, linkedid,
             direction, answered, from_number, from_name, from_peer, to_number, to_name, to_peer)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        for call in calls {
            let CallRow { began_ms, ended_ms, end_seen, server, linkedid, .. } = call;
            let CallRow { direction, answered, from, to, .. } = call;
            let [from_number, from_name, from_peer] = from;
            let [to_number, to_name, to_peer] = to;
            add.execute(params![
                began_ms,
                ended_ms,
                end_seen,
                server,
                linkedid,
                direction,
                answered,
                from_number,
                from_name,
                from_peer,
                to_number,
                to_name,
                to_peer
            ])?;
        }
    }
    transaction.commit()
}

/// A peer's past from one moment to another, and what it was before, the oldest first.
pub(crate) fn peer(
    db: &Connection,
    server: &str,
    driver: &str,
    name: &str,
    [from_ms, to_ms]: [i64; 2],
    limit: i64,
) -> rusqlite::Result<Vec<PeerRow>> {
    let mut some = db.prepare_cached(
        "SELECT at_ms, registration, address FROM peer_history
         WHERE server = ?1 AND driver = ?2 AND name = ?3 AND at_ms < ?5 AND at_ms >= coalesce(
             (SELECT max(at_ms) FROM peer_history
              WHERE server = ?1 AND driver = ?2 AND name = ?3 AND at_ms <= ?4), ?4)
         ORDER BY at_ms, id LIMIT ?6",
    )?;
    let rows = some.query_map(params![server, driver, name, from_ms, to_ms, limit], |row| {
        Ok(PeerRow {
            at_ms: row.get(0)?,
            server: server.into(),
            driver: driver.into(),
            name: name.into(),
            registration: row.get(1)?,
            address: row.get(2)?,
        })
    })?;
    rows.collect()
}

/// Calls that began before a moment, the latest first.
pub(crate) fn calls(db: &Connection, before_ms: i64, limit: i64) -> rusqlite::Result<Vec<CallRow>> {
    let mut some = db.prepare_cached(
        "SELECT began_ms, ended_ms, end_seen, server, linkedid, direction, answered, from_number, from_name,
         from_peer, to_number, to_name, to_peer FROM call_history
         WHERE began_ms < ?1 ORDER BY began_ms DESC LIMIT ?2",
    )?;
    let rows = some.query_map([before_ms, limit], |row| {
        Ok(CallRow {
            began_ms: row.get(0)?,
            ended_ms: row.get(1)?,
            end_seen: row.get(2)?,
            server: row.get(3)?,
            linkedid: row.get(4)?,
            direction: row.get(5)?,
            answered: row.get(6)?,
            from: [row.get(7)?, row.get(8)?, row.get(9)?],
            to: [row.get(10)?, row.get(11)?, row.get(12)?],
        })
    })?;
    rows.collect()
}

/// The hub is there.
pub(crate) fn alive(db: &Connection, now_ms: i64) -> rusqlite::Result<()> {
    let set = "INSERT INTO alive VALUES (1, ?1) ON CONFLICT DO UPDATE SET at_ms = ?1";
    db.execute(set, [now_ms])?;
    Ok(())
}

/// The hub has begun: since it was last there nobody knows of any peer.
pub(crate) fn begin(db: &mut Connection) -> rusqlite::Result<()> {
    let transaction = db.transaction()?;
    transaction.execute(
        "INSERT INTO peer_history (at_ms, server, driver, name, registration)
         SELECT max(at_ms, coalesce((SELECT at_ms FROM alive), at_ms)), server, driver, name, 'unknown'
         FROM peer_history AS last WHERE registration <> 'unknown' AND NOT EXISTS (
             SELECT 1 FROM peer_history AS later WHERE later.server = last.server
             AND later.driver = last.driver AND later.name = last.name
             AND (later.at_ms, later.id) > (last.at_ms, last.id))",
        [],
    )?;
    transaction.commit()
}

/// Rows of each table, whatever `history_days` says: about a gigabyte.
const ROWS_MAX: i64 = 5_000_000;

/// Forgets what was before, and the oldest of what is too much, but for what each peer was then. Says how
/// many were too much.
pub(crate) fn forget(db: &mut Connection, before_ms: i64) -> rusqlite::Result<usize> {
    forget_past(db, before_ms, ROWS_MAX)
}

fn forget_past(db: &mut Connection, before_ms: i64, rows_max: i64) -> rusqlite::Result<usize> {
    let transaction = db.transaction()?;
    transaction.execute("DELETE FROM call_history WHERE began_ms < ?1", [before_ms])?;
    transaction.execute(
        "DELETE FROM peer_history AS old WHERE at_ms < ?1 AND EXISTS (SELECT 1 FROM peer_history AS
         later WHERE later.server = old.server AND later.driver = old.driver AND later.name = old.name
         AND later.at_ms < ?1 AND (later.at_ms, later.id) > (old.at_ms, old.id))",
        [before_ms],
    )?;
    // The ids of both only grow.
    let calls = transaction.execute(
        "DELETE FROM call_history WHERE id <= (SELECT max(id) FROM call_history) - ?1",
        [rows_max],
    )?;
    let peers = transaction.execute(
        "DELETE FROM peer_history AS old WHERE id <= (SELECT max(id) FROM peer_history) - ?1
         AND EXISTS (SELECT 1 FROM peer_history AS later WHERE later.server = old.server
         AND later.driver = old.driver AND later.name = old.name AND later.id > old.id)",
        [rows_max],
    )?;
    transaction.commit()?;
    Ok(calls + peers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_flaps_fills_no_disk_and_the_quiet_ones_stay() {
        let mut db = Connection::open_in_memory().expect("a database");
        super::super::schema::prepare(&mut db).expect("its tables");
        let row = |at_ms, name: &str| PeerRow {
            at_ms,
            server: "A".into(),
            driver: "PJSIP".into(),
            name: name.into(),
            registration: "registered".into(),
            address: None,
        };
        let rows: Vec<_> = std::iter::once(row(1, "quiet"))
            .chain((2..102).map(|at_ms| row(at_ms, "flaps")))
            .collect();
        add(&mut db, &rows, &[]).expect("they are written");
        assert_eq!(forget_past(&mut db, 0, 1000), Ok(0), "there is room");
        assert_eq!(forget_past(&mut db, 0, 10), Ok(90));
        let span = [0, 1000];
        let flaps = peer(&db, "A", "PJSIP", "flaps", span, 1000).expect("its past");
        assert_eq!(
            flaps.iter().map(|row| row.at_ms).collect::<Vec<_>>(),
            (92..102).collect::<Vec<_>>()
        );
        assert_eq!(
            peer(&db, "A", "PJSIP", "quiet", span, 1000).expect("its past"),
            [row(1, "quiet")]
        );
    }
}
