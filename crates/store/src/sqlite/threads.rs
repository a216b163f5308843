//! Threads and their messages.

use super::fault::Work;
use super::idempotency::{look, remember_created};
use super::{SqliteStore, statements};
use crate::decode::{self, Column, ThreadRow};
use crate::encode::json;
use crate::idempotency::KeyColumns;
use async_trait::async_trait;
use domain::message::Message;
use domain::ports::store::{
    CreateThread, DeleteThread, Idempotency, Page, StoreResult, ThreadStore,
};
use domain::thread::{Thread, ThreadPatch};
use domain::{OrgScope, RunId, ThreadId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

statements! {
    INSERT_THREAD = "INSERT INTO chat_threads
        (org, id, agent_type, title, metadata, active_run, message_count, last_message_preview, created_at, updated_at)
        VALUES (?1, ?2, ?3, ?4, ?5, NULL, 0, NULL, ?6, ?7)";
    GET_THREAD = "SELECT t.id, t.agent_type, t.title, t.metadata, t.active_run, r.status, t.message_count,
        t.last_message_preview, t.created_at, t.updated_at
        FROM chat_threads t LEFT JOIN runs r ON r.org = t.org AND r.id = t.active_run
        WHERE t.org = ?1 AND t.id = ?2";
    LIST_THREADS = "SELECT t.id, t.agent_type, t.title, t.metadata, t.active_run, r.status, t.message_count,
        t.last_message_preview, t.created_at, t.updated_at
        FROM chat_threads t LEFT JOIN runs r ON r.org = t.org AND r.id = t.active_run
        WHERE t.org = ?1 AND (t.updated_at, t.id) < (?2, ?3)
        ORDER BY t.updated_at DESC, t.id DESC LIMIT ?4";
    LIST_THREADS_OF_AGENT = "SELECT t.id, t.agent_type, t.title, t.metadata, t.active_run, r.status,
        t.message_count, t.last_message_preview, t.created_at, t.updated_at
        FROM chat_threads t LEFT JOIN runs r ON r.org = t.org AND r.id = t.active_run
        WHERE t.org = ?1 AND t.agent_type = ?5 AND (t.updated_at, t.id) < (?2, ?3)
        ORDER BY t.updated_at DESC, t.id DESC LIMIT ?4";
    UPDATE_THREAD = "UPDATE chat_threads SET
        title = CASE WHEN ?3 THEN ?4 ELSE title END,
        metadata = coalesce(?5, metadata),
        updated_at = max(updated_at, ?6)
        WHERE org = ?1 AND id = ?2";
    ACTIVE_RUN = "SELECT active_run FROM chat_threads WHERE org = ?1 AND id = ?2";
    DELETE_STEPS = "DELETE FROM steps WHERE org = ?1 AND run IN
        (SELECT id FROM runs WHERE org = ?1 AND thread = ?2)";
    DELETE_LOG = "DELETE FROM run_log WHERE org = ?1 AND run IN
        (SELECT id FROM runs WHERE org = ?1 AND thread = ?2)";
    DELETE_APPROVALS = "DELETE FROM approvals WHERE org = ?1 AND run IN
        (SELECT id FROM runs WHERE org = ?1 AND thread = ?2)";
    DELETE_RUNS = "DELETE FROM runs WHERE org = ?1 AND thread = ?2";
    DELETE_MESSAGES = "DELETE FROM messages WHERE org = ?1 AND thread = ?2";
    DELETE_THREAD = "DELETE FROM chat_threads WHERE org = ?1 AND id = ?2";
    FORK_THREAD = "INSERT INTO chat_threads
        (org, id, agent_type, title, metadata, active_run, message_count, last_message_preview, created_at, updated_at)
        SELECT ?1, ?2, ?3, ?4, ?5, NULL, ?6, ?7, ?8, ?9
        WHERE EXISTS (SELECT 1 FROM chat_threads WHERE org = ?1 AND id = ?10)";
    FORK_MESSAGES = "INSERT INTO messages (org, thread, position, id, body)
        SELECT org, ?3, position, id, body FROM messages WHERE org = ?1 AND thread = ?2 AND position < ?4";
    THREAD_MESSAGES = "SELECT id, body FROM messages WHERE org = ?1 AND thread = ?2 ORDER BY position";
}

/// Where a page begins: below this time and id.
pub(super) fn below(page: &Page) -> (i64, [u8; 16]) {
    match page.below {
        Some((at, id)) => (at.as_micros(), id.into_bytes()),
        None => (i64::MAX, [0xff; 16]),
    }
}

fn thread_row(row: &Row<'_>) -> rusqlite::Result<ThreadRow> {
    Ok(ThreadRow {
        id: Uuid::from_bytes(row.get(0)?),
        agent_type: row.get(1)?,
        title: row.get(2)?,
        metadata: row.get(3)?,
        active_run: row.get::<_, Option<_>>(4)?.map(Uuid::from_bytes),
        active_status: row.get(5)?,
        message_count: row.get(6)?,
        last_message_preview: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}

fn get(db: &Connection, org: &str, id: ThreadId) -> Work<Option<Thread>> {
    let row = db
        .prepare_cached(GET_THREAD)?
        .query_row(params![org, id.uuid().as_bytes()], thread_row)
        .optional()?;
    Ok(row.map(Thread::try_from).transpose()?)
}

fn delete(db: &Connection, org: &str, id: ThreadId) -> Work<DeleteThread> {
    let key = id.uuid().into_bytes();
    let active: Option<Option<[u8; 16]>> = db
        .prepare_cached(ACTIVE_RUN)?
        .query_row(params![org, key], |row| row.get(0))
        .optional()?;
    match active {
        None => return Ok(DeleteThread::Missing),
        Some(Some(run)) => return Ok(DeleteThread::Busy(RunId::new(Uuid::from_bytes(run)))),
        Some(None) => {}
    }
    for sql in [
        DELETE_STEPS,
        DELETE_LOG,
        DELETE_APPROVALS,
        DELETE_RUNS,
        DELETE_MESSAGES,
        DELETE_THREAD,
    ] {
        db.prepare_cached(sql)?.execute(params![org, key])?;
    }
    Ok(DeleteThread::Deleted)
}

#[async_trait]
impl ThreadStore for SqliteStore {
    async fn create_thread(
        &self,
        scope: &OrgScope,
        thread: &Thread,
        idempotency: Option<&Idempotency>,
    ) -> StoreResult<CreateThread> {
        let org = scope.org().as_str().to_owned();
        let key = idempotency.map(|key| KeyColumns::new(scope, key, thread.created_at));
        let metadata = json(&thread.metadata)?;
        let (id, agent_type, title) = (thread.id, thread.agent_type.clone(), thread.title.clone());
        let (created_at, updated_at) = (thread.created_at, thread.updated_at);
        self.write(move |db| {
            if let Some(key) = &key {
                if let Some(seen) = look(db, key)? {
                    return Ok(CreateThread::Seen(seen));
                }
                remember_created(db, key, id.uuid())?;
            }
            db.prepare_cached(INSERT_THREAD)?.execute(params![
                org,
                id.uuid().as_bytes(),
                agent_type,
                title,
                metadata,
                created_at.as_micros(),
                updated_at.as_micros(),
            ])?;
            Ok(CreateThread::Created)
        })
        .await
    }

    async fn get_thread(&self, scope: &OrgScope, id: ThreadId) -> StoreResult<Option<Thread>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| get(db, &org, id)).await
    }

    async fn list_threads(
        &self,
        scope: &OrgScope,
        agent_type: Option<&str>,
        page: Page,
    ) -> StoreResult<Vec<Thread>> {
        let org = scope.org().as_str().to_owned();
        let agent_type = agent_type.map(str::to_owned);
        self.read(move |db| {
            let (at, id) = below(&page);
            let mut statement;
            let rows = match agent_type {
                None => {
                    statement = db.prepare_cached(LIST_THREADS)?;
                    statement.query_map(params![org, at, id, page.limit], thread_row)?
                }
                Some(agent_type) => {
                    statement = db.prepare_cached(LIST_THREADS_OF_AGENT)?;
                    statement.query_map(params![org, at, id, page.limit, agent_type], thread_row)?
                }
            };
            let mut threads = Vec::new();
            for row in rows {
                threads.push(Thread::try_from(row?)?);
            }
            Ok(threads)
        })
        .await
    }

    async fn update_thread(
        &self,
        scope: &OrgScope,
        id: ThreadId,
        patch: &ThreadPatch,
        at: Timestamp,
    ) -> StoreResult<Option<Thread>> {
        let org = scope.org().as_str().to_owned();
        let title = patch.title.clone();
        let metadata = patch.metadata.as_ref().map(json).transpose()?;
        self.write(move |db| {
            db.prepare_cached(UPDATE_THREAD)?.execute(params![
                org,
                id.uuid().as_bytes(),
                title.is_some(),
                title.as_ref().and_then(Option::as_deref),
                metadata,
                at.as_micros(),
            ])?;
            get(db, &org, id)
        })
        .await
    }

    async fn delete_thread(&self, scope: &OrgScope, id: ThreadId) -> StoreResult<DeleteThread> {
        let org = scope.org().as_str().to_owned();
        self.write(move |db| delete(db, &org, id)).await
    }

    async fn thread_messages(&self, scope: &OrgScope, id: ThreadId) -> StoreResult<Vec<Message>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached(THREAD_MESSAGES)?;
            let mut rows = statement.query(params![org, id.uuid().as_bytes()])?;
            let mut messages = Vec::new();
            while let Some(row) = rows.next()? {
                let id = Uuid::from_bytes(row.get(0)?);
                let body = row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?;
                messages.push(decode::json(Column("messages", "body"), id, body)?);
            }
            Ok(messages)
        })
        .await
    }

    async fn fork_thread(
        &self,
        scope: &OrgScope,
        source: ThreadId,
        thread: &Thread,
    ) -> StoreResult<bool> {
        let org = scope.org().as_str().to_owned();
        let metadata = json(&thread.metadata)?;
        let thread = thread.clone();
        self.write(move |db| {
            let (id, source) = (thread.id.uuid().into_bytes(), source.uuid().into_bytes());
            let made = db.prepare_cached(FORK_THREAD)?.execute(params![
                org,
                id,
                thread.agent_type,
                thread.title,
                metadata,
                thread.message_count,
                thread.last_message_preview,
                thread.created_at.as_micros(),
                thread.updated_at.as_micros(),
                source,
            ])?;
            if made == 0 {
                return Ok(false);
            }
            db.prepare_cached(FORK_MESSAGES)?.execute(params![
                org,
                source,
                id,
                thread.message_count
            ])?;
            Ok(true)
        })
        .await
    }
}
