//! Idempotency keys.

use super::pool::{Pool, get};
use super::{PostgresStore, statements};
use crate::idempotency::{KeyColumns, SeenRow, lease_over};
use async_trait::async_trait;
use domain::ports::store::{
    Idempotency, IdempotencyStore, Seen, StoreError, StoreResult, StoredReply,
};
use domain::{OrgScope, Timestamp, WorkerId};
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    FIND = "SELECT body_digest, begun_at, status, body, resource FROM idempotency
        WHERE org = $1 AND route = $2 AND key = $3";
    BEGIN = "SELECT begin_request_1($1, $2, $3, $4, $5, $6, $7)";
    FINISH = "UPDATE idempotency SET status = $5, body = $6, resource = $7
        WHERE org = $1 AND route = $2 AND key = $3 AND body_digest = $4 AND holder = $8 AND status IS NULL
        RETURNING 1";
    DROP = "DELETE FROM idempotency
        WHERE org = $1 AND route = $2 AND key = $3 AND body_digest = $4 AND holder = $5 AND status IS NULL";
    SWEEP = "WITH swept AS (DELETE FROM idempotency WHERE begun_at < $1 RETURNING 1)
        SELECT count(*) FROM swept";
}

/// A key can be dropped between being met and being looked up; more often than this it cannot.
const LOOKS_MAX: u32 = 8;

fn seen_row(row: &Row) -> StoreResult<SeenRow> {
    Ok(SeenRow {
        body_digest: get(row, 0)?,
        begun_at: get(row, 1)?,
        status: get::<Option<i32>>(row, 2)?.map(i64::from),
        body: get(row, 3)?,
        resource: get::<Option<Uuid>>(row, 4)?,
    })
}

async fn find(pool: &Pool, org: &str, route: &str, key: &str) -> StoreResult<Option<SeenRow>> {
    let row = pool.read_one(FIND, &[&org, &route, &key]).await?;
    row.as_ref().map(seen_row).transpose()
}

/// What stands under a key that another request was found to hold.
pub(super) async fn seen_after_loss(pool: &Pool, key: &KeyColumns) -> StoreResult<Seen> {
    match find(pool, &key.org, &key.route, &key.key).await? {
        Some(row) => row.seen(&key.body_digest, &key.key),
        // It was dropped just now: its request failed and will be repeated, as this one should be.
        None => Ok(Seen::InProgress),
    }
}

#[async_trait]
impl IdempotencyStore for PostgresStore {
    async fn begin_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
        worker: WorkerId,
        at: Timestamp,
    ) -> StoreResult<Option<Seen>> {
        let key = KeyColumns::new(scope, key, at);
        for _ in 0..LOOKS_MAX {
            let row = self
                .pool
                .write_one(
                    BEGIN,
                    &[
                        &key.org,
                        &key.route,
                        &key.key,
                        &key.body_digest.as_slice(),
                        &key.at,
                        &key.forgotten,
                        &worker.uuid(),
                    ],
                )
                .await?;
            match get(&row, 0)? {
                "begun" => return Ok(None),
                "seen" => {}
                "lost" => return Err(lease_over()),
                _ => {
                    let odd = "begin_request_1 said something new";
                    return Err(StoreError::Rejected(odd.into()));
                }
            }
            if let Some(row) = find(&self.pool, &key.org, &key.route, &key.key).await? {
                return row.seen(&key.body_digest, &key.key).map(Some);
            }
        }
        Err(StoreError::Unavailable(
            "the idempotency key is begun and dropped over and over".into(),
        ))
    }

    async fn finish_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
        worker: WorkerId,
        reply: &StoredReply,
    ) -> StoreResult<bool> {
        let rows = self
            .pool
            .write(
                FINISH,
                &[
                    &scope.org().as_str(),
                    &key.route,
                    &key.key,
                    &key.body_digest.as_slice(),
                    &i32::from(reply.status),
                    &reply.body,
                    &reply.resource,
                    &worker.uuid(),
                ],
            )
            .await?;
        Ok(!rows.is_empty())
    }

    async fn drop_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
        worker: WorkerId,
    ) -> StoreResult<()> {
        let org = scope.org().as_str();
        let digest = key.body_digest.as_slice();
        self.pool
            .write(DROP, &[&org, &key.route, &key.key, &digest, &worker.uuid()])
            .await?;
        Ok(())
    }

    async fn find_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
    ) -> StoreResult<Option<Seen>> {
        let row = find(&self.pool, scope.org().as_str(), &key.route, &key.key).await?;
        row.map(|row| row.seen(&key.body_digest, &key.key))
            .transpose()
    }

    async fn system_sweep_idempotent(&self, before: Timestamp) -> StoreResult<u64> {
        let row = self.pool.write_one(SWEEP, &[&before.as_micros()]).await?;
        Ok(get::<i64>(&row, 0)?.unsigned_abs())
    }
}
