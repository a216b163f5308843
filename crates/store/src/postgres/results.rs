//! Results of tools that were too long for a model.

use super::pool::get;
use super::{PostgresStore, statements};
use crate::decode;
use async_trait::async_trait;
use domain::kept::{KeptId, KeptResult};
use domain::ports::store::{ResultStore, StoreResult};
use domain::{OrgScope, RunId, ThreadId, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    // The new result is not among those that the deletion sees, so its bytes are counted apart.
    KEEP = "WITH crowded_out AS (
            DELETE FROM tool_results WHERE org = $1 AND id <> $2 AND id IN (
                SELECT id FROM (
                    SELECT id, sum(bytes) OVER (ORDER BY kept_at DESC, id DESC) AS total
                    FROM tool_results WHERE org = $1 AND id <> $2) AS ranked
                WHERE total > $9::bigint - $6::bigint))
        INSERT INTO tool_results (org, id, run, thread, tool, bytes, content, kept_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (org, id) DO UPDATE SET
            bytes = excluded.bytes, content = excluded.content, kept_at = excluded.kept_at";
    GET = "SELECT id, run, thread, tool, content, kept_at FROM tool_results WHERE org = $1 AND id = $2";
    SWEEP = "WITH swept AS (DELETE FROM tool_results WHERE kept_at < $1 RETURNING 1)
        SELECT count(*) FROM swept";
}

fn kept(row: &Row) -> StoreResult<KeptResult> {
    Ok(KeptResult {
        id: decode::kept_id(get(row, 0)?)?,
        run_id: RunId::new(get(row, 1)?),
        thread_id: get::<Option<Uuid>>(row, 2)?.map(ThreadId::new),
        tool_name: get(row, 3)?,
        content: get(row, 4)?,
        kept_at: Timestamp::from_micros(get(row, 5)?),
    })
}

#[async_trait]
impl ResultStore for PostgresStore {
    async fn keep_result(
        &self,
        scope: &OrgScope,
        result: &KeptResult,
        bytes_max: u64,
    ) -> StoreResult<()> {
        let bytes = i64::try_from(result.content.len()).unwrap_or(i64::MAX);
        let bytes_max = i64::try_from(bytes_max).unwrap_or(i64::MAX);
        self.pool
            .write(
                KEEP,
                &[
                    &scope.org().as_str(),
                    &result.id.as_str(),
                    &result.run_id.uuid(),
                    &result.thread_id.map(|id| id.uuid()),
                    &result.tool_name,
                    &bytes,
                    &result.content,
                    &result.kept_at.as_micros(),
                    &bytes_max,
                ],
            )
            .await?;
        Ok(())
    }

    async fn get_result(&self, scope: &OrgScope, id: &KeptId) -> StoreResult<Option<KeptResult>> {
        let row = self
            .pool
            .read_one(GET, &[&scope.org().as_str(), &id.as_str()])
            .await?;
        row.as_ref().map(kept).transpose()
    }

    async fn system_sweep_results(&self, before: Timestamp) -> StoreResult<u64> {
        let row = self.pool.write_one(SWEEP, &[&before.as_micros()]).await?;
        decode::unsigned(decode::Column("tool_results", "count"), "", get(&row, 0)?)
    }
}
