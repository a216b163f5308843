//! What tools answered to servers that had lost the run by then.

use super::pool::{Pool, get};
use super::statements;
use domain::ports::store::StoreResult;
use domain::step::LateAnswer;
use domain::tool::ToolResult;
use domain::{CallId, OrgScope, RunId, Timestamp};

statements! {
    ATTACH = "INSERT INTO late_answers (org, run, call_id, attempt, at, content, is_error)
        SELECT org, id, $3, $4, $5, $6, $7 FROM runs WHERE org = $1 AND id = $2 ON CONFLICT DO NOTHING";
    LIST = "SELECT call_id, attempt, at, content, is_error FROM late_answers
        WHERE org = $1 AND run = $2 ORDER BY at, call_id, attempt";
}

pub(super) async fn attach(
    pool: &Pool,
    scope: &OrgScope,
    run: RunId,
    late: &LateAnswer,
) -> StoreResult<()> {
    let attempt = i32::try_from(late.attempt).unwrap_or(i32::MAX);
    pool.write(
        ATTACH,
        &[
            &scope.org().as_str(),
            &run.uuid(),
            &late.call.as_str(),
            &attempt,
            &late.at.as_micros(),
            &late.result.content,
            &late.result.is_error,
        ],
    )
    .await?;
    Ok(())
}

pub(super) async fn list(
    pool: &Pool,
    scope: &OrgScope,
    run: RunId,
) -> StoreResult<Vec<LateAnswer>> {
    let rows = pool
        .read(LIST, &[&scope.org().as_str(), &run.uuid()])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(LateAnswer {
                call: CallId::from_client(get(row, 0)?),
                attempt: get::<i32>(row, 1)?.unsigned_abs(),
                at: Timestamp::from_micros(get(row, 2)?),
                result: ToolResult {
                    content: get(row, 3)?,
                    is_error: get(row, 4)?,
                },
            })
        })
        .collect()
}
