//! Runs that are over and old, and their going.

use super::pool::{Pool, get};
use super::statements;
use domain::Timestamp;
use domain::ports::store::StoreResult;

statements! {
    // The index is by creation; what is over was created before. Servers that clear away at once do not wait for each
    // other.
    DELETE_OLD_RUNS = "WITH old AS (
            SELECT runs.org, runs.id FROM orgs JOIN runs ON runs.org = orgs.org
            WHERE runs.status IN ('completed', 'failed', 'cancelled') AND runs.created_at < $1 AND runs.updated_at < $1
            LIMIT $2 FOR UPDATE OF runs SKIP LOCKED),
        no_steps AS (DELETE FROM steps USING old WHERE steps.org = old.org AND steps.run = old.id),
        no_log AS (DELETE FROM run_log USING old WHERE run_log.org = old.org AND run_log.run = old.id),
        no_approvals AS (DELETE FROM approvals USING old WHERE approvals.org = old.org AND approvals.run = old.id),
        no_responses AS (DELETE FROM responses USING old WHERE responses.org = old.org AND responses.session = old.id),
        no_late_answers AS (DELETE FROM late_answers USING old WHERE late_answers.org = old.org AND late_answers.run = old.id),
        gone AS (DELETE FROM runs USING old WHERE runs.org = old.org AND runs.id = old.id RETURNING 1)
        SELECT count(*) FROM gone";
}

pub(super) async fn delete_old_runs(
    pool: &Pool,
    before: Timestamp,
    limit: u32,
) -> StoreResult<u64> {
    let row = pool
        .write_one(DELETE_OLD_RUNS, &[&before.as_micros(), &i64::from(limit)])
        .await?;
    Ok(get::<i64>(&row, 0)?.unsigned_abs())
}
