//! A transition is written if the run is still as it was made from; a run that ends hands its thread on.

use super::fault::Work;
use super::{audit, grants, outbox, statements};
use crate::encode::Rows;
use domain::RunId;
use domain::ports::store::{Committed, Expected, Holder, StoreError};
use domain::seeded::Seeded;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

statements! {
    // A queued run stays runnable or waiting as it was: only its thread decides that.
    UPDATE_RUN = "UPDATE runs SET status = ?5,
        runnable = CASE WHEN ?6 THEN runnable ELSE ?7 END,
        owner = CASE WHEN ?8 THEN owner ELSE ?9 END,
        epoch = ?10, version = ?11, body = ?12,
        expires_at = CASE WHEN ?14 THEN NULL ELSE expires_at END, updated_at = max(updated_at, ?13)
        WHERE org = ?1 AND id = ?2 AND epoch = ?3 AND version = ?4
        AND status IN ('queued', 'running', 'awaiting_approval')";
    INSERT_STEP = "INSERT INTO steps (org, run, step_index, call_id, body) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (org, run, step_index) DO UPDATE SET call_id = excluded.call_id, body = excluded.body";
    INSERT_LOG = "INSERT INTO run_log (org, run, last_seq, first_seq, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    INSERT_MESSAGE = "INSERT INTO messages (org, thread, position, id, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    INSERT_APPROVAL = "INSERT INTO approvals
        (org, id, run, status, requested_at, expires_at, resolved_at, reason, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
        ON CONFLICT (org, id) DO UPDATE SET status = excluded.status, expires_at = excluded.expires_at,
        resolved_at = excluded.resolved_at, reason = excluded.reason, body = excluded.body
        WHERE approvals.status = 'pending'";
    CLOSE_APPROVAL = "UPDATE approvals SET status = 'cancelled', resolved_at = ?3, reason = ?4
        WHERE org = ?1 AND id = ?2 AND status = 'pending'";
    INSERT_RESPONSE = "INSERT INTO responses (org, session, id, body) VALUES (?1, ?2, ?3, ?4)";
    THREAD_COUNT = "SELECT message_count, active_run FROM chat_threads WHERE org = ?1 AND id = ?2";
    UPDATE_THREAD = "UPDATE chat_threads SET message_count = ?3, active_run = ?4,
        last_message_preview = coalesce(?5, last_message_preview), updated_at = max(updated_at, ?6)
        WHERE org = ?1 AND id = ?2";
    /// By the order in which they came: the machine's clock may have been set back since.
    OLDEST_WAITING = "SELECT id FROM runs WHERE org = ?1 AND thread = ?2 AND status = 'queued'
        ORDER BY rowid LIMIT 1";
    PROMOTE = "UPDATE runs SET runnable = 1 WHERE org = ?1 AND id = ?2";
}

pub(super) fn commit(
    db: &Connection,
    rows: &Rows,
    expected: Expected,
    holder: Holder,
) -> Work<Committed> {
    let run = &rows.run;
    let (keep, owner) = match holder {
        _ if run.terminal => (false, None),
        Holder::Unchanged => (true, None),
        Holder::Worker(worker) => (false, Some(worker.uuid().into_bytes())),
        Holder::Nobody => (false, None),
    };
    grants::can_use(db, rows)?;
    let changed = db.prepare_cached(UPDATE_RUN)?.execute(params![
        run.org,
        run.id.as_bytes(),
        expected.epoch.cast_signed(),
        expected.version.cast_signed(),
        run.status,
        run.queued,
        run.runnable,
        keep,
        owner,
        run.epoch,
        run.version,
        run.body,
        run.at,
        run.terminal,
    ])?;
    if changed == 0 && !Seeded::StaleWriteSqlite.is_on() {
        return Err(StoreError::Stale.into());
    }
    let Some(thread) = run.thread else {
        write_parts(db, rows, None)?;
        return Ok(Committed { promoted: None });
    };
    if rows.messages.is_empty() && !run.terminal {
        write_parts(db, rows, None)?;
        return Ok(Committed { promoted: None });
    }
    let promoted = hand_on(db, rows, thread)?;
    Ok(Committed { promoted })
}

/// Writes what touches the thread too. Returns the run that may start now.
fn hand_on(db: &Connection, rows: &Rows, thread: Uuid) -> Work<Option<RunId>> {
    let run = &rows.run;
    let found: Option<(u32, Option<[u8; 16]>)> = db
        .prepare_cached(THREAD_COUNT)?
        .query_row(params![run.org, thread.as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((count, active)) = found else {
        return Err(StoreError::Rejected("the run's thread is gone".into()).into());
    };
    write_parts(db, rows, Some((thread, count)))?;
    let mut next = active;
    let mut promoted = None;
    if run.terminal && active == Some(run.id.into_bytes()) && !Seeded::ThreadKept.is_on() {
        next = db
            .prepare_cached(OLDEST_WAITING)?
            .query_row(params![run.org, thread.as_bytes()], |row| row.get(0))
            .optional()?;
        if let Some(waiting) = next {
            db.prepare_cached(PROMOTE)?
                .execute(params![run.org, waiting])?;
            promoted = Some(RunId::new(Uuid::from_bytes(waiting)));
        }
    }
    let added = u32::try_from(rows.messages.len()).unwrap_or(u32::MAX);
    db.prepare_cached(UPDATE_THREAD)?.execute(params![
        run.org,
        thread.as_bytes(),
        count + added,
        next,
        rows.preview,
        run.at,
    ])?;
    Ok(promoted)
}

/// Everything of a transition but the run's and the thread's own rows. `history` is the thread and how many messages it
/// has so far; without it there are no messages to write.
pub(super) fn write_parts(db: &Connection, rows: &Rows, history: Option<(Uuid, u32)>) -> Work<()> {
    let (org, id) = (&rows.run.org, rows.run.id.as_bytes());
    for step in &rows.steps {
        db.prepare_cached(INSERT_STEP)?.execute(params![
            org,
            id,
            step.step_index,
            step.call_id,
            step.body
        ])?;
    }
    if let Some(log) = &rows.log {
        db.prepare_cached(INSERT_LOG)?.execute(params![
            org,
            id,
            log.last_seq,
            log.first_seq,
            log.body
        ])?;
    }
    if let Some((thread, count)) = history {
        for (message, position) in rows.messages.iter().zip(count..) {
            db.prepare_cached(INSERT_MESSAGE)?.execute(params![
                org,
                thread.as_bytes(),
                position,
                message.id.as_bytes(),
                message.body,
            ])?;
        }
    }
    for approval in &rows.approvals {
        db.prepare_cached(INSERT_APPROVAL)?.execute(params![
            org,
            approval.id.as_bytes(),
            approval.run.as_bytes(),
            approval.status,
            approval.requested_at,
            approval.expires_at,
            approval.resolved_at,
            approval.reason,
            approval.body,
        ])?;
    }
    for closed in &rows.closed {
        db.prepare_cached(CLOSE_APPROVAL)?.execute(params![
            org,
            closed.id.as_bytes(),
            closed.at,
            closed.reason
        ])?;
    }
    for response in &rows.responses {
        db.prepare_cached(INSERT_RESPONSE)?.execute(params![
            org,
            id,
            response.id.as_bytes(),
            response.body
        ])?;
    }
    grants::write(db, rows)?;
    audit::append(db, org, &rows.audit)?;
    outbox::insert(db, org, &rows.posts)
}
