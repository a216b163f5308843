//! Which runs a worker may take, and the taking.

use super::fault::Work;
use super::runs::run_body;
use super::statements;
use domain::WorkerId;
use domain::ports::store::Claimed;
use domain::run::Run;
use domain::seeded::Seeded;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

statements! {
    // The oldest of every org, then the second of every org, and so on.
    CANDIDATES = "SELECT org, id FROM (
            SELECT org, id, created_at,
                row_number() OVER (PARTITION BY org ORDER BY created_at, id) AS turn
            FROM runs
            WHERE runnable = 1 AND hold IS NULL
            AND (owner IS NULL OR owner NOT IN (SELECT id FROM workers WHERE lease_until > ?1)))
        ORDER BY turn, created_at, id LIMIT ?2";
    IS_LIVE = "SELECT EXISTS (SELECT 1 FROM workers WHERE id = ?1 AND lease_until > ?2)";
    FORGET_DEAD = "DELETE FROM workers WHERE lease_until <= ?1";
    FREE = "SELECT id, body, epoch, version, hold, owner FROM runs
        WHERE org = ?1 AND id = ?2 AND runnable = 1 AND hold IS NULL
        AND (owner IS NULL OR owner NOT IN (SELECT id FROM workers))";
    TAKE = "UPDATE runs SET owner = ?3, epoch = epoch + 1, version = version + 1
        WHERE org = ?1 AND id = ?2";
}

pub(super) fn is_live(db: &Connection, worker: [u8; 16], now: i64) -> Work<bool> {
    let live = db
        .prepare_cached(IS_LIVE)?
        .query_row(params![worker, now], |row| row.get(0))?;
    Ok(live)
}

pub(super) fn forget_dead(db: &Connection, now: i64) -> Work<()> {
    db.prepare_cached(FORGET_DEAD)?.execute(params![now])?;
    Ok(())
}

pub(super) fn candidates(db: &Connection, now: i64, limit: u32) -> Work<Vec<(String, Uuid)>> {
    let mut statement = db.prepare_cached(CANDIDATES)?;
    let rows = statement.query_map(params![now, limit], |row| {
        Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Takes those that are still free. A worker whose own lease is over takes nothing: others may hold its runs already.
pub(super) fn claim(
    db: &Connection,
    worker: WorkerId,
    now: i64,
    found: &[(String, Uuid)],
) -> Work<Vec<Claimed>> {
    let id = worker.uuid().into_bytes();
    if !is_live(db, id, now)? && !Seeded::DeadWorkerClaims.is_on() {
        return Ok(Vec::new());
    }
    // From here on a late heartbeat of a dead worker tells it that it lost its runs.
    forget_dead(db, now)?;
    let mut claimed = Vec::new();
    for (org, run) in found {
        let free = db
            .prepare_cached(FREE)?
            .query_row(params![org, run.as_bytes()], |row| {
                Ok((run_body(row)?, row.get::<_, Option<[u8; 16]>>(5)?))
            })
            .optional()?;
        let Some((mut body, owner)) = free else {
            continue;
        };
        db.prepare_cached(TAKE)?
            .execute(params![org, run.as_bytes(), id])?;
        body.epoch += 1;
        body.version += 1;
        claimed.push(Claimed {
            run: Run::try_from(body)?,
            crashed: owner.is_some(),
        });
    }
    Ok(claimed)
}
