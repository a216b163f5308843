//! Runs that are over and old, and their going.

use super::fault::Work;
use super::statements;
use rusqlite::{Connection, params};
use uuid::Uuid;

statements! {
    // The index is by creation; what is over was created before.
    OLD_RUNS = "SELECT runs.org, runs.id FROM orgs CROSS JOIN runs ON runs.org = orgs.org
        WHERE runs.status IN ('completed', 'failed', 'cancelled') AND runs.created_at < ?1 AND runs.updated_at < ?1
        LIMIT ?2";
    DELETE_STEPS = "DELETE FROM steps WHERE org = ?1 AND run = ?2";
    DELETE_LOG = "DELETE FROM run_log WHERE org = ?1 AND run = ?2";
    DELETE_APPROVALS = "DELETE FROM approvals WHERE org = ?1 AND run = ?2";
    DELETE_RESPONSES = "DELETE FROM responses WHERE org = ?1 AND session = ?2";
    DELETE_LATE_ANSWERS = "DELETE FROM late_answers WHERE org = ?1 AND run = ?2";
    DELETE_RUN = "DELETE FROM runs WHERE org = ?1 AND id = ?2";
}

pub(super) fn old_runs(db: &Connection, before: i64, limit: u32) -> Work<Vec<(String, Uuid)>> {
    let mut statement = db.prepare_cached(OLD_RUNS)?;
    let rows = statement.query_map(params![before, limit], |row| {
        Ok((row.get(0)?, Uuid::from_bytes(row.get(1)?)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Deletes runs that are over, which nothing changes any more.
pub(super) fn delete(db: &Connection, old: &[(String, Uuid)]) -> Work<()> {
    for (org, run) in old {
        for sql in [
            DELETE_STEPS,
            DELETE_LOG,
            DELETE_APPROVALS,
            DELETE_RESPONSES,
            DELETE_LATE_ANSWERS,
            DELETE_RUN,
        ] {
            db.prepare_cached(sql)?
                .execute(params![org, run.as_bytes()])?;
        }
    }
    Ok(())
}
