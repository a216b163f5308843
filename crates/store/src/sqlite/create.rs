//! A run comes into being: on its thread, behind the run that holds the thread, or as a session.

use super::commit::write_parts;
use super::fault::Work;
use super::idempotency::{look, remember_created};
use super::statements;
use crate::decode;
use crate::encode::Rows;
use crate::idempotency::KeyColumns;
use domain::RunId;
use domain::limits::QUEUED_PER_THREAD_MAX;
use domain::ports::store::{CreatedRun, StoreError};
use domain::seeded::Seeded;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

statements! {
    FIND_THREAD = "SELECT t.agent_type, t.message_count, t.active_run, r.status
        FROM chat_threads t LEFT JOIN runs r ON r.org = t.org AND r.id = t.active_run
        WHERE t.org = ?1 AND t.id = ?2";
    COUNT_WAITING = "SELECT count(*) FROM runs
        WHERE org = ?1 AND thread = ?2 AND status = 'queued' AND id <> ?3";
    INSERT_RUN = "INSERT INTO runs (org, id, thread, agent_type, agent_version, status, runnable, owner,
        epoch, version, body, expires_at, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    TAKE_THREAD = "UPDATE chat_threads SET active_run = ?3, message_count = ?4,
        last_message_preview = coalesce(?5, last_message_preview), updated_at = max(updated_at, ?6)
        WHERE org = ?1 AND id = ?2";
    TOUCH_THREAD = "UPDATE chat_threads SET updated_at = max(updated_at, ?3) WHERE org = ?1 AND id = ?2";
}

/// What `create_run` was given, as rows.
pub(super) struct NewRun {
    pub started: Rows,
    pub queued: Option<Rows>,
    pub worker: Uuid,
    pub key: Option<KeyColumns>,
}

struct ThreadState {
    message_count: u32,
    active: Option<(Uuid, String)>,
}

pub(super) fn create(db: &Connection, new: &NewRun) -> Work<CreatedRun> {
    if let Some(key) = &new.key
        && let Some(seen) = look(db, key)?
    {
        return Ok(CreatedRun::Seen(seen));
    }
    let Some(thread) = new.started.run.thread else {
        insert(db, &new.started, Some(new.worker), true)?;
        write_parts(db, &new.started, None)?;
        remember(db, new)?;
        return Ok(CreatedRun::Started { history: 0 });
    };
    let Some(state) = find_thread(db, &new.started, thread)? else {
        return Ok(CreatedRun::NoThread);
    };
    if let Some((active, status)) = &state.active
        && !Seeded::TwoActive.is_on()
    {
        return behind(db, new, thread, *active, status);
    }
    let first = (thread, state.message_count);
    insert(db, &new.started, Some(new.worker), true)?;
    write_parts(db, &new.started, Some(first))?;
    let history = state.message_count + added(&new.started);
    let run = &new.started.run;
    db.prepare_cached(TAKE_THREAD)?.execute(params![
        run.org,
        thread.as_bytes(),
        (!run.terminal).then(|| run.id.into_bytes()),
        history,
        new.started.preview,
        run.at,
    ])?;
    remember(db, new)?;
    Ok(CreatedRun::Started { history })
}

fn added(rows: &Rows) -> u32 {
    u32::try_from(rows.messages.len()).unwrap_or(u32::MAX)
}

fn remember(db: &Connection, new: &NewRun) -> Work<()> {
    match &new.key {
        Some(key) => remember_created(db, key, new.started.run.id),
        None => Ok(()),
    }
}

fn find_thread(db: &Connection, rows: &Rows, thread: Uuid) -> Work<Option<ThreadState>> {
    let found = db
        .prepare_cached(FIND_THREAD)?
        .query_row(params![rows.run.org, thread.as_bytes()], |row| {
            let agent_type: String = row.get(0)?;
            let run: Option<[u8; 16]> = row.get(2)?;
            let status: Option<String> = row.get(3)?;
            let state = ThreadState {
                message_count: row.get(1)?,
                active: run.map(Uuid::from_bytes).zip(status),
            };
            Ok((agent_type, state))
        })
        .optional()?;
    Ok(found
        .filter(|(agent_type, _)| *agent_type == rows.run.agent_type)
        .map(|(_, state)| state))
}

/// The thread is busy: the run waits, if its caller is content with that.
fn behind(
    db: &Connection,
    new: &NewRun,
    thread: Uuid,
    active: Uuid,
    status: &str,
) -> Work<CreatedRun> {
    let Some(queued) = &new.queued else {
        return Ok(CreatedRun::Busy {
            run_id: RunId::new(active),
            status: decode::run_status(active, status)?,
        });
    };
    let run = &queued.run;
    let waiting: u32 = db.prepare_cached(COUNT_WAITING)?.query_row(
        params![run.org, thread.as_bytes(), active.as_bytes()],
        |row| row.get(0),
    )?;
    if waiting >= QUEUED_PER_THREAD_MAX {
        return Ok(CreatedRun::QueueFull);
    }
    if run.thread != Some(thread) || !run.queued {
        return Err(StoreError::Rejected("the waiting form of a run is not queued".into()).into());
    }
    insert(db, queued, None, false)?;
    write_parts(db, queued, None)?;
    db.prepare_cached(TOUCH_THREAD)?
        .execute(params![run.org, thread.as_bytes(), run.at])?;
    remember(db, new)?;
    Ok(CreatedRun::Queued)
}

fn insert(db: &Connection, rows: &Rows, worker: Option<Uuid>, first: bool) -> Work<()> {
    let run = &rows.run;
    // A run that has not begun waits for any worker; one that is over needs none.
    let owner = worker.filter(|_| !run.terminal && !run.queued);
    db.prepare_cached(INSERT_RUN)?.execute(params![
        run.org,
        run.id.as_bytes(),
        run.thread.map(Uuid::into_bytes),
        run.agent_type,
        run.agent_version,
        run.status,
        run.runnable && first,
        owner.map(Uuid::into_bytes),
        run.epoch,
        run.version,
        run.body,
        run.expires_at,
        run.created_at,
        run.at,
    ])?;
    Ok(())
}
