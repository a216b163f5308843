//! Messages to other systems.

use super::fault::Work;
use super::{SqliteStore, statements};
use crate::decode::PostedRow;
use crate::encode::PostRow;
use async_trait::async_trait;
use domain::ports::store::{OutboxStore, StoreResult};
use domain::webhook::{DeliveryState, Posted, Settled};
use domain::{OrgScope, Timestamp};
use rusqlite::{Connection, Row, params};
use std::time::Duration;
use uuid::Uuid;

statements! {
    INSERT_POST = "INSERT INTO webhook_deliveries
        (org, id, endpoint, topic, body, created_at, state, attempts, due_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'pending', 0, ?6)";
    TAKE_POSTS = "UPDATE webhook_deliveries SET attempts = attempts + 1, due_at = ?3
        WHERE seq IN (SELECT seq FROM webhook_deliveries WHERE endpoint = ?1 AND state = 'pending' AND due_at <= ?2
            ORDER BY due_at, seq LIMIT ?4)
        RETURNING seq, org, id, endpoint, topic, body, created_at, state, attempts, due_at, last_error, delivered_at";
    POSTS_DUE = "SELECT EXISTS (SELECT 1 FROM webhook_deliveries
        WHERE endpoint = ?1 AND state = 'pending' AND due_at <= ?2)";
    SETTLE_POST = "UPDATE webhook_deliveries SET state = ?3, due_at = coalesce(?4, due_at), last_error = ?5,
        delivered_at = ?6 WHERE seq = ?1 AND attempts = ?2 AND state = 'pending'";
    LIST_POSTS = "SELECT seq, org, id, endpoint, topic, body, created_at, state, attempts, due_at, last_error,
        delivered_at FROM webhook_deliveries
        WHERE org = ?1 AND seq < ?2 AND (?3 IS NULL OR state = ?3) ORDER BY seq DESC LIMIT ?4";
    REPLAY_POST = "UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = ?3, delivered_at = NULL
        WHERE org = ?1 AND id = ?2";
    SWEEP_POSTS = "DELETE FROM webhook_deliveries WHERE state = 'delivered' AND delivered_at < ?1";
}

pub(super) fn insert(db: &Connection, org: &str, posts: &[PostRow]) -> Work<()> {
    for post in posts {
        db.prepare_cached(INSERT_POST)?.execute(params![
            org,
            post.id.as_bytes(),
            post.endpoint,
            post.topic,
            post.body,
            post.at,
        ])?;
    }
    Ok(())
}

fn posted_row(row: &Row<'_>) -> rusqlite::Result<PostedRow> {
    Ok(PostedRow {
        seq: row.get(0)?,
        org: row.get(1)?,
        id: Uuid::from_bytes(row.get(2)?),
        endpoint: row.get(3)?,
        topic: row.get(4)?,
        body: row.get(5)?,
        created_at: row.get(6)?,
        state: row.get(7)?,
        attempts: row.get(8)?,
        due_at: row.get(9)?,
        last_error: row.get(10)?,
        delivered_at: row.get(11)?,
    })
}

#[async_trait]
impl OutboxStore for SqliteStore {
    async fn system_take_deliveries(
        &self,
        endpoint: &str,
        at: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> StoreResult<Vec<Posted>> {
        let endpoint = endpoint.to_owned();
        let (now, until) = (at.as_micros(), at.plus(lease).as_micros());
        // Looking costs no write, and most looks find nothing.
        let asked = endpoint.clone();
        let due: bool = self
            .read(move |db| {
                let mut statement = db.prepare_cached(POSTS_DUE)?;
                Ok(statement.query_row(params![asked, now], |row| row.get(0))?)
            })
            .await?;
        if !due {
            return Ok(Vec::new());
        }
        self.write(move |db| {
            let mut statement = db.prepare_cached(TAKE_POSTS)?;
            let rows = statement.query_map(params![endpoint, now, until, limit], posted_row)?;
            let mut taken = Vec::new();
            for row in rows {
                taken.push(Posted::try_from(row?)?);
            }
            taken.sort_by_key(|posted| posted.seq);
            Ok(taken)
        })
        .await
    }

    async fn system_settle_delivery(
        &self,
        seq: u64,
        attempts: u32,
        settled: &Settled,
    ) -> StoreResult<bool> {
        let (state, due, error, delivered) = match settled.clone() {
            Settled::Delivered { at } => (DeliveryState::Delivered, None, None, Some(at)),
            Settled::Retry { at, error } => (DeliveryState::Pending, Some(at), Some(error), None),
            Settled::Dead { error } => (DeliveryState::Dead, None, Some(error), None),
        };
        self.write(move |db| {
            let changed = db.prepare_cached(SETTLE_POST)?.execute(params![
                seq.cast_signed(),
                attempts,
                state.as_str(),
                due.map(Timestamp::as_micros),
                error,
                delivered.map(Timestamp::as_micros),
            ])?;
            Ok(changed == 1)
        })
        .await
    }

    async fn list_deliveries(
        &self,
        scope: &OrgScope,
        state: Option<DeliveryState>,
        below: Option<u64>,
        limit: u32,
    ) -> StoreResult<Vec<Posted>> {
        let org = scope.org().as_str().to_owned();
        let below = below.map_or(i64::MAX, |below| i64::try_from(below).unwrap_or(i64::MAX));
        let state = state.map(DeliveryState::as_str);
        self.read(move |db| {
            let mut statement = db.prepare_cached(LIST_POSTS)?;
            let rows = statement.query_map(params![org, below, state, limit], posted_row)?;
            let mut found = Vec::new();
            for row in rows {
                found.push(Posted::try_from(row?)?);
            }
            Ok(found)
        })
        .await
    }

    async fn replay_delivery(
        &self,
        scope: &OrgScope,
        id: Uuid,
        at: Timestamp,
    ) -> StoreResult<bool> {
        let org = scope.org().as_str().to_owned();
        self.write(move |db| {
            let changed = db.prepare_cached(REPLAY_POST)?.execute(params![
                org,
                id.as_bytes(),
                at.as_micros()
            ])?;
            Ok(changed == 1)
        })
        .await
    }

    async fn system_sweep_deliveries(&self, before: Timestamp) -> StoreResult<u64> {
        self.write(move |db| {
            let gone = db
                .prepare_cached(SWEEP_POSTS)?
                .execute(params![before.as_micros()])?;
            Ok(gone as u64)
        })
        .await
    }
}
