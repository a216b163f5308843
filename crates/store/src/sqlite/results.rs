//! Results of tools that were too long for a model.

use super::{SqliteStore, statements};
use crate::decode;
use async_trait::async_trait;
use domain::kept::{KeptId, KeptResult};
use domain::ports::store::{ResultStore, StoreResult};
use domain::{OrgScope, RunId, ThreadId, Timestamp};
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

statements! {
    KEEP = "INSERT INTO tool_results (org, id, run, thread, tool, bytes, content, kept_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
        ON CONFLICT (org, id) DO UPDATE SET
            bytes = excluded.bytes, content = excluded.content, kept_at = excluded.kept_at";
    CROWD_OUT = "DELETE FROM tool_results WHERE org = ?1 AND id IN (
        SELECT id FROM (
            SELECT id, sum(bytes) OVER (ORDER BY kept_at DESC, id DESC) AS total
            FROM tool_results WHERE org = ?1)
        WHERE total > ?2)";
    GET = "SELECT id, run, thread, tool, content, kept_at FROM tool_results WHERE org = ?1 AND id = ?2";
    SWEEP = "DELETE FROM tool_results WHERE kept_at < ?1";
}

#[async_trait]
impl ResultStore for SqliteStore {
    async fn keep_result(
        &self,
        scope: &OrgScope,
        result: &KeptResult,
        bytes_max: u64,
    ) -> StoreResult<()> {
        let org = scope.org().as_str().to_owned();
        let result = result.clone();
        let bytes = i64::try_from(result.content.len()).unwrap_or(i64::MAX);
        let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        self.write(move |db| {
            db.prepare_cached(KEEP)?.execute(params![
                org,
                result.id.as_str(),
                result.run_id.uuid().as_bytes(),
                result.thread_id.map(|id| id.uuid().into_bytes()),
                result.tool_name,
                bytes,
                result.content,
                result.kept_at.as_micros(),
            ])?;
            db.prepare_cached(CROWD_OUT)?
                .execute(params![org, bytes_max])?;
            Ok(())
        })
        .await
    }

    async fn get_result(&self, scope: &OrgScope, id: &KeptId) -> StoreResult<Option<KeptResult>> {
        let (org, id) = (scope.org().as_str().to_owned(), id.clone());
        self.read(move |db| {
            let found = db
                .prepare_cached(GET)?
                .query_row(params![org, id.as_str()], |row| {
                    Ok((
                        row.get::<_, String>(0)?,
                        Uuid::from_bytes(row.get(1)?),
                        row.get::<_, Option<_>>(2)?.map(Uuid::from_bytes),
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                    ))
                })
                .optional()?;
            let Some((id, run, thread, tool_name, content, kept_at)) = found else {
                return Ok(None);
            };
            Ok(Some(KeptResult {
                id: decode::kept_id(&id)?,
                run_id: RunId::new(run),
                thread_id: thread.map(ThreadId::new),
                tool_name,
                content,
                kept_at: Timestamp::from_micros(kept_at),
            }))
        })
        .await
    }

    async fn system_sweep_results(&self, before: Timestamp) -> StoreResult<u64> {
        self.write(move |db| {
            let swept = db
                .prepare_cached(SWEEP)?
                .execute(params![before.as_micros()])?;
            Ok(swept as u64)
        })
        .await
    }
}
