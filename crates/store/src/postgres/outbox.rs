//! Messages to other systems.

use super::pool::get;
use super::{PostgresStore, statements};
use crate::decode::PostedRow;
use async_trait::async_trait;
use domain::ports::store::{OutboxStore, StoreResult};
use domain::webhook::{DeliveryState, Posted, Settled};
use domain::{OrgScope, Timestamp};
use std::time::Duration;
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    POSTS_DUE = "SELECT 1 FROM webhook_deliveries WHERE endpoint = $1 AND state = 'pending' AND due_at <= $2 LIMIT 1";
    TAKE_POSTS = "UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = $3
        WHERE seq IN (SELECT seq FROM webhook_deliveries WHERE endpoint = $1 AND state = 'pending' AND due_at <= $2
            ORDER BY due_at, seq LIMIT $4 FOR UPDATE SKIP LOCKED)
        RETURNING seq, org, id, endpoint, topic, body, created_at, state, attempts, due_at, last_error, delivered_at";
    SETTLE_POST = "UPDATE webhook_deliveries SET state = $3, due_at = coalesce($4, due_at), last_error = $5,
        delivered_at = $6 WHERE seq = $1 AND attempts = $2 AND state = 'pending' RETURNING 1";
    LIST_POSTS = "SELECT seq, org, id, endpoint, topic, body, created_at, state, attempts, due_at, last_error,
        delivered_at FROM webhook_deliveries
        WHERE org = $1 AND seq < $2 AND ($3::text IS NULL OR state = $3) ORDER BY seq DESC LIMIT $4";
    REPLAY_POST = "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = $3, delivered_at = NULL
        WHERE org = $1 AND id = $2 RETURNING 1";
    SWEEP_POSTS = "WITH gone AS (DELETE FROM webhook_deliveries WHERE state = 'delivered' AND delivered_at < $1
        RETURNING 1) SELECT count(*) FROM gone";
}

fn posted(row: &Row) -> StoreResult<Posted> {
    Posted::try_from(PostedRow {
        seq: get(row, 0)?,
        org: get(row, 1)?,
        id: get(row, 2)?,
        endpoint: get(row, 3)?,
        topic: get(row, 4)?,
        body: get(row, 5)?,
        created_at: get(row, 6)?,
        state: get(row, 7)?,
        attempts: get(row, 8)?,
        due_at: get(row, 9)?,
        last_error: get(row, 10)?,
        delivered_at: get(row, 11)?,
    })
}

#[async_trait]
impl OutboxStore for PostgresStore {
    async fn system_take_deliveries(
        &self,
        endpoint: &str,
        at: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> StoreResult<Vec<Posted>> {
        let (now, until) = (at.as_micros(), at.plus(lease).as_micros());
        // Looking costs no write, and most looks find nothing.
        if self
            .pool
            .read_one(POSTS_DUE, &[&endpoint, &now])
            .await?
            .is_none()
        {
            return Ok(Vec::new());
        }
        let rows = self
            .pool
            .write(TAKE_POSTS, &[&endpoint, &now, &until, &i64::from(limit)])
            .await?;
        let mut taken: Vec<Posted> = rows.iter().map(posted).collect::<StoreResult<_>>()?;
        taken.sort_by_key(|posted| posted.seq);
        Ok(taken)
    }

    async fn system_settle_delivery(
        &self,
        seq: u64,
        attempts: u32,
        settled: &Settled,
    ) -> StoreResult<bool> {
        let (state, due, error, delivered) = match settled {
            Settled::Delivered { at } => (DeliveryState::Delivered, None, None, Some(*at)),
            Settled::Retry { at, error } => (DeliveryState::Pending, Some(*at), Some(error), None),
            Settled::Dead { error } => (DeliveryState::Dead, None, Some(error), None),
        };
        let rows = self
            .pool
            .write(
                SETTLE_POST,
                &[
                    &seq.cast_signed(),
                    &attempts.cast_signed(),
                    &state.as_str(),
                    &due.map(Timestamp::as_micros),
                    &error,
                    &delivered.map(Timestamp::as_micros),
                ],
            )
            .await?;
        Ok(!rows.is_empty())
    }

    async fn list_deliveries(
        &self,
        scope: &OrgScope,
        state: Option<DeliveryState>,
        below: Option<u64>,
        limit: u32,
    ) -> StoreResult<Vec<Posted>> {
        let below = below.map_or(i64::MAX, |below| i64::try_from(below).unwrap_or(i64::MAX));
        let state = state.map(DeliveryState::as_str);
        let org = scope.org().as_str();
        let rows = self
            .pool
            .read(LIST_POSTS, &[&org, &below, &state, &i64::from(limit)])
            .await?;
        rows.iter().map(posted).collect()
    }

    async fn replay_delivery(
        &self,
        scope: &OrgScope,
        id: Uuid,
        at: Timestamp,
    ) -> StoreResult<bool> {
        let org = scope.org().as_str();
        let rows = self
            .pool
            .write(REPLAY_POST, &[&org, &id, &at.as_micros()])
            .await?;
        Ok(!rows.is_empty())
    }

    async fn system_sweep_deliveries(&self, before: Timestamp) -> StoreResult<u64> {
        let row = self
            .pool
            .write_one(SWEEP_POSTS, &[&before.as_micros()])
            .await?;
        Ok(get::<i64>(&row, 0)?.unsigned_abs())
    }
}
