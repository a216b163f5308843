//! What tools answered to servers that had lost the run by then.

use super::fault::Work;
use super::statements;
use domain::step::LateAnswer;
use domain::tool::ToolResult;
use domain::{CallId, RunId, Timestamp};
use rusqlite::{Connection, params};

statements! {
    ATTACH = "INSERT INTO late_answers (org, run, call_id, attempt, at, content, is_error)
        SELECT org, id, ?3, ?4, ?5, ?6, ?7 FROM runs WHERE org = ?1 AND id = ?2 ON CONFLICT DO NOTHING";
    LIST = "SELECT call_id, attempt, at, content, is_error FROM late_answers
        WHERE org = ?1 AND run = ?2 ORDER BY at, call_id, attempt";
}

pub(super) fn attach(db: &Connection, org: &str, run: RunId, late: &LateAnswer) -> Work<()> {
    db.prepare_cached(ATTACH)?.execute(params![
        org,
        run.uuid().as_bytes(),
        late.call.as_str(),
        late.attempt,
        late.at.as_micros(),
        late.result.content,
        late.result.is_error,
    ])?;
    Ok(())
}

pub(super) fn list(db: &Connection, org: &str, run: RunId) -> Work<Vec<LateAnswer>> {
    let mut statement = db.prepare_cached(LIST)?;
    let rows = statement.query_map(params![org, run.uuid().as_bytes()], |row| {
        Ok(LateAnswer {
            call: CallId::from_client(row.get(0)?),
            attempt: row.get(1)?,
            at: Timestamp::from_micros(row.get(2)?),
            result: ToolResult {
                content: row.get(3)?,
                is_error: row.get(4)?,
            },
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
