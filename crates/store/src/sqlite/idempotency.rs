//! Idempotency keys.

use super::fault::Work;
use super::{SqliteStore, claims, statements};
use crate::idempotency::{CREATED_STATUS, KeyColumns, SeenRow, lease_over};
use async_trait::async_trait;
use domain::ports::store::{Idempotency, IdempotencyStore, Seen, StoreResult, StoredReply};
use domain::{OrgScope, Timestamp, WorkerId};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

statements! {
    FIND = "SELECT body_digest, begun_at, status, body, resource FROM idempotency
        WHERE org = ?1 AND route = ?2 AND key = ?3";
    PUT = "INSERT INTO idempotency (org, route, key, body_digest, begun_at, status, body, resource, holder)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (org, route, key) DO UPDATE SET body_digest = excluded.body_digest,
        begun_at = excluded.begun_at, status = excluded.status, body = excluded.body, resource = excluded.resource,
        holder = excluded.holder";
    HOLDER = "SELECT holder FROM idempotency WHERE org = ?1 AND route = ?2 AND key = ?3";
    FINISH = "UPDATE idempotency SET status = ?5, body = ?6, resource = ?7
        WHERE org = ?1 AND route = ?2 AND key = ?3 AND body_digest = ?4 AND holder = ?8 AND status IS NULL";
    DROP = "DELETE FROM idempotency
        WHERE org = ?1 AND route = ?2 AND key = ?3 AND body_digest = ?4 AND holder = ?5 AND status IS NULL";
    SWEEP = "DELETE FROM idempotency WHERE begun_at < ?1";
}

fn seen_row(row: &Row<'_>) -> rusqlite::Result<SeenRow> {
    Ok(SeenRow {
        body_digest: row.get(0)?,
        begun_at: row.get(1)?,
        status: row.get(2)?,
        body: row.get(3)?,
        resource: row.get::<_, Option<_>>(4)?.map(Uuid::from_bytes),
    })
}

fn find(db: &Connection, org: &str, route: &str, key: &str) -> Work<Option<SeenRow>> {
    let row = db
        .prepare_cached(FIND)?
        .query_row(params![org, route, key], seen_row)
        .optional()?;
    Ok(row)
}

/// `None` where the caller is the first.
pub(super) fn look(db: &Connection, key: &KeyColumns) -> Work<Option<Seen>> {
    match find(db, &key.org, &key.route, &key.key)? {
        Some(row) => Ok(row.judge(key)?),
        None => Ok(None),
    }
}

/// Remembers that the request made `resource`.
pub(super) fn remember_created(db: &Connection, key: &KeyColumns, resource: Uuid) -> Work<()> {
    put(db, key, Some(CREATED_STATUS), Some(resource), None)
}

/// `None` where the caller is the first, also because the first is dead.
fn begin(db: &Connection, key: &KeyColumns, worker: WorkerId, now: i64) -> Work<Option<Seen>> {
    if !claims::is_live(db, worker.uuid().into_bytes(), now)? {
        return Err(lease_over().into());
    }
    if let Some(row) = find(db, &key.org, &key.route, &key.key)? {
        let answered = row.status.is_some();
        if let Some(seen) = row.judge(key)?
            && (answered || has_live_holder(db, key, now)?)
        {
            return Ok(Some(seen));
        }
    }
    put(db, key, None, None, Some(worker))?;
    Ok(None)
}

fn has_live_holder(db: &Connection, key: &KeyColumns, now: i64) -> Work<bool> {
    let holder: Option<[u8; 16]> = db
        .prepare_cached(HOLDER)?
        .query_row(params![key.org, key.route, key.key], |row| row.get(0))?;
    // A dead worker is forgotten, so that a late heartbeat tells it what it lost.
    claims::forget_dead(db, now)?;
    match holder {
        Some(holder) => claims::is_live(db, holder, now),
        None => Ok(false),
    }
}

fn put(
    db: &Connection,
    key: &KeyColumns,
    status: Option<i32>,
    resource: Option<Uuid>,
    holder: Option<WorkerId>,
) -> Work<()> {
    db.prepare_cached(PUT)?.execute(params![
        key.org,
        key.route,
        key.key,
        key.body_digest,
        key.at,
        status,
        None::<&[u8]>,
        resource.map(Uuid::into_bytes),
        holder.map(|worker| worker.uuid().into_bytes()),
    ])?;
    Ok(())
}

#[async_trait]
impl IdempotencyStore for SqliteStore {
    async fn begin_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
        worker: WorkerId,
        at: Timestamp,
    ) -> StoreResult<Option<Seen>> {
        let (key, leases) = (KeyColumns::new(scope, key, at), self.leases);
        self.write(move |db| begin(db, &key, worker, leases.now()))
            .await
    }

    async fn finish_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
        worker: WorkerId,
        reply: &StoredReply,
    ) -> StoreResult<bool> {
        let org = scope.org().as_str().to_owned();
        let (key, reply) = (key.clone(), reply.clone());
        self.write(move |db| {
            let finished = db.prepare_cached(FINISH)?.execute(params![
                org,
                key.route,
                key.key,
                key.body_digest,
                reply.status,
                reply.body,
                reply.resource.map(Uuid::into_bytes),
                worker.uuid().into_bytes(),
            ])?;
            Ok(finished == 1)
        })
        .await
    }

    async fn drop_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
        worker: WorkerId,
    ) -> StoreResult<()> {
        let org = scope.org().as_str().to_owned();
        let key = key.clone();
        self.write(move |db| {
            let holder = worker.uuid().into_bytes();
            db.prepare_cached(DROP)?.execute(params![
                org,
                key.route,
                key.key,
                key.body_digest,
                holder
            ])?;
            Ok(())
        })
        .await
    }

    async fn find_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
    ) -> StoreResult<Option<Seen>> {
        let org = scope.org().as_str().to_owned();
        let key = key.clone();
        self.read(move |db| {
            let row = find(db, &org, &key.route, &key.key)?;
            let seen = row.map(|row| row.seen(&key.body_digest, &key.key));
            Ok(seen.transpose()?)
        })
        .await
    }

    async fn system_sweep_idempotent(&self, before: Timestamp) -> StoreResult<u64> {
        self.write(move |db| {
            let swept = db
                .prepare_cached(SWEEP)?
                .execute(params![before.as_micros()])?;
            Ok(swept as u64)
        })
        .await
    }
}
