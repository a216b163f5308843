//! A run's log, read from any number on.

use super::fault::Work;
use super::statements;
use crate::decode;
use domain::RunId;
use domain::event::Record;
use rusqlite::{Connection, params};

statements! {
    READ_LOG = "SELECT body FROM run_log WHERE org = ?1 AND run = ?2 AND last_seq > ?3 ORDER BY last_seq";
}

pub(super) fn read(
    db: &Connection,
    org: &str,
    id: RunId,
    after: u64,
    limit: u32,
) -> Work<Vec<Record>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // Numbers in the table never pass the largest signed one.
    let above = i64::try_from(after).unwrap_or(i64::MAX);
    let mut statement = db.prepare_cached(READ_LOG)?;
    let mut rows = statement.query(params![org, id.uuid().as_bytes(), above])?;
    let mut found = Vec::new();
    while found.len() < limit {
        let Some(row) = rows.next()? else { break };
        let body = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        decode::records(&mut found, id, body, after, limit)?;
    }
    Ok(found)
}
