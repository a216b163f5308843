//! Which runs a worker may take, and the taking.

use super::pool::{Pool, get};
use super::{db_now, runs, statements};
use domain::ports::store::{Claimed, StoreResult};
use domain::{OrgScope, RunId, WorkerId};
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    // Dead workers are forgotten first, so that a late heartbeat tells them that they lost their runs; a heartbeat that
    // comes at the same moment wins, since the deletion waits for it and looks again. A worker whose own lease is over
    // takes nothing. Ranks are by the statement's snapshot; a run that another took since then has another epoch.
    CLAIM_ANY = concat!("WITH live AS (SELECT 1 FROM workers WHERE id = $1 AND lease_until > ", db_now!(), "),
        dead AS (DELETE FROM workers WHERE id <> $1 AND lease_until <= ", db_now!(), "
            AND EXISTS (SELECT 1 FROM live) RETURNING id),
        ranked AS (
            SELECT org, id, epoch, created_at,
                row_number() OVER (PARTITION BY org ORDER BY created_at, id) AS turn
            FROM runs
            WHERE runnable AND hold IS NULL AND EXISTS (SELECT 1 FROM live)
            AND (owner IS NULL OR owner IN (SELECT id FROM dead)
                OR owner NOT IN (SELECT id FROM workers))),
        picked AS (
            SELECT r.org, r.id, r.owner FROM ranked
            JOIN runs r ON r.org = ranked.org AND r.id = ranked.id AND r.epoch = ranked.epoch AND r.runnable
                AND r.hold IS NULL
            ORDER BY ranked.turn, ranked.created_at, ranked.id LIMIT $2
            FOR UPDATE OF r SKIP LOCKED)
        UPDATE runs SET owner = $1, epoch = epoch + 1, version = version + 1
        FROM picked WHERE runs.org = picked.org AND runs.id = picked.id
        RETURNING runs.id, runs.body, runs.epoch, runs.version, runs.hold, picked.owner");
    CLAIM_ONE = concat!("WITH live AS (SELECT 1 FROM workers WHERE id = $1 AND lease_until > ", db_now!(), "),
        dead AS (DELETE FROM workers WHERE id <> $1 AND lease_until <= ", db_now!(), "
            AND EXISTS (SELECT 1 FROM live) RETURNING id),
        picked AS (
            SELECT r.org, r.id, r.owner, r.epoch FROM runs r
            WHERE r.org = $2 AND r.id = $3 AND r.runnable AND r.hold IS NULL AND EXISTS (SELECT 1 FROM live)
            AND (r.owner IS NULL OR r.owner IN (SELECT id FROM dead)
                OR r.owner NOT IN (SELECT id FROM workers)))
        UPDATE runs SET owner = $1, epoch = runs.epoch + 1, version = version + 1
        FROM picked
        WHERE runs.org = picked.org AND runs.id = picked.id AND runs.epoch = picked.epoch AND runs.runnable
            AND runs.hold IS NULL
        RETURNING runs.id, runs.body, runs.epoch, runs.version, runs.hold, picked.owner");
}

fn claimed(row: &Row) -> StoreResult<Claimed> {
    Ok(Claimed {
        run: runs::run(row)?,
        crashed: get::<Option<Uuid>>(row, 5)?.is_some(),
    })
}

pub(super) async fn claim_any(
    pool: &Pool,
    worker: WorkerId,
    limit: u32,
) -> StoreResult<Vec<Claimed>> {
    let rows = pool
        .write(CLAIM_ANY, &[&worker.uuid(), &i64::from(limit)])
        .await?;
    rows.iter().map(claimed).collect()
}

pub(super) async fn claim_one(
    pool: &Pool,
    scope: &OrgScope,
    id: RunId,
    worker: WorkerId,
) -> StoreResult<Option<Claimed>> {
    let rows = pool
        .write(
            CLAIM_ONE,
            &[&worker.uuid(), &scope.org().as_str(), &id.uuid()],
        )
        .await?;
    rows.first().map(claimed).transpose()
}
