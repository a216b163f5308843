//! Threads and their messages.

use super::hot::NewThread;
use super::idempotency::seen_after_loss;
use super::pool::get;
use super::{PostgresStore, statements};
use crate::decode::{self, Column, ThreadRow};
use crate::encode::json;
use crate::idempotency::{CREATED_STATUS, KeyColumns};
use async_trait::async_trait;
use domain::message::Message;
use domain::ports::store::{
    CreateThread, DeleteThread, Idempotency, Page, StoreError, StoreResult, ThreadStore,
};
use domain::thread::{Thread, ThreadPatch};
use domain::{OrgScope, RunId, ThreadId, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

statements! {
    CREATE_THREAD = "SELECT create_thread_1($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
    GET_THREAD = "SELECT t.id, t.agent_type, t.title, t.metadata, t.active_run, r.status, t.message_count,
        t.last_message_preview, t.created_at, t.updated_at
        FROM chat_threads t LEFT JOIN runs r ON r.org = t.org AND r.id = t.active_run
        WHERE t.org = $1 AND t.id = $2";
    LIST_THREADS = "SELECT t.id, t.agent_type, t.title, t.metadata, t.active_run, r.status, t.message_count,
        t.last_message_preview, t.created_at, t.updated_at
        FROM chat_threads t LEFT JOIN runs r ON r.org = t.org AND r.id = t.active_run
        WHERE t.org = $1 AND (t.updated_at, t.id) < ($2, $3)
        ORDER BY t.updated_at DESC, t.id DESC LIMIT $4";
    LIST_THREADS_OF_AGENT = "SELECT t.id, t.agent_type, t.title, t.metadata, t.active_run, r.status,
        t.message_count, t.last_message_preview, t.created_at, t.updated_at
        FROM chat_threads t LEFT JOIN runs r ON r.org = t.org AND r.id = t.active_run
        WHERE t.org = $1 AND t.agent_type = $5 AND (t.updated_at, t.id) < ($2, $3)
        ORDER BY t.updated_at DESC, t.id DESC LIMIT $4";
    UPDATE_THREAD = "WITH t AS (
            UPDATE chat_threads SET
                title = CASE WHEN $3 THEN $4 ELSE title END,
                metadata = coalesce($5, metadata),
                updated_at = greatest(updated_at, $6)
            WHERE org = $1 AND id = $2 RETURNING *)
        SELECT t.id, t.agent_type, t.title, t.metadata, t.active_run, r.status, t.message_count,
        t.last_message_preview, t.created_at, t.updated_at
        FROM t LEFT JOIN runs r ON r.org = t.org AND r.id = t.active_run";
    DELETE_THREAD = "SELECT outcome, active FROM delete_thread_1($1, $2)";
    FORK_THREAD = "WITH source AS (SELECT 1 FROM chat_threads WHERE org = $1 AND id = $10 FOR SHARE),
        made AS (INSERT INTO chat_threads (org, id, agent_type, title, metadata, active_run, message_count,
                last_message_preview, created_at, updated_at)
            SELECT $1, $2, $3, $4, $5, NULL, $6, $7, $8, $9 FROM source RETURNING id),
        copied AS (INSERT INTO messages (org, thread, position, id, body)
            SELECT m.org, $2, m.position, m.id, m.body FROM messages m, made
            WHERE m.org = $1 AND m.thread = $10 AND m.position < $6)
        SELECT count(*) FROM made";
    THREAD_MESSAGES = "SELECT id, body FROM messages WHERE org = $1 AND thread = $2 ORDER BY position";
}

/// Where a page begins, below this time and id, and how long it is.
pub(super) fn below(page: &Page) -> (i64, Uuid, i64) {
    let limit = i64::from(page.limit);
    match page.below {
        Some((at, id)) => (at.as_micros(), id, limit),
        None => (i64::MAX, Uuid::max(), limit),
    }
}

fn thread(row: &Row) -> StoreResult<Thread> {
    Thread::try_from(ThreadRow {
        id: get(row, 0)?,
        agent_type: get(row, 1)?,
        title: get(row, 2)?,
        metadata: get(row, 3)?,
        active_run: get(row, 4)?,
        active_status: get(row, 5)?,
        message_count: get::<i32>(row, 6)?.into(),
        last_message_preview: get(row, 7)?,
        created_at: get(row, 8)?,
        updated_at: get(row, 9)?,
    })
}

#[async_trait]
impl ThreadStore for PostgresStore {
    async fn create_thread(
        &self,
        scope: &OrgScope,
        thread: &Thread,
        idempotency: Option<&Idempotency>,
    ) -> StoreResult<CreateThread> {
        let metadata = json(&thread.metadata)?;
        let Some(key) = idempotency else {
            let thread = NewThread {
                org: scope.org().as_str().to_owned(),
                id: thread.id.uuid(),
                agent_type: thread.agent_type.clone(),
                title: thread.title.clone(),
                metadata,
                created_at: thread.created_at.as_micros(),
                updated_at: thread.updated_at.as_micros(),
            };
            self.new_threads.write(thread).await?;
            return Ok(CreateThread::Created);
        };
        let key = KeyColumns::new(scope, key, thread.created_at);
        let row = self
            .pool
            .write_one(
                CREATE_THREAD,
                &[
                    &scope.org().as_str(),
                    &thread.id.uuid(),
                    &thread.agent_type,
                    &thread.title,
                    &metadata,
                    &thread.created_at.as_micros(),
                    &thread.updated_at.as_micros(),
                    &key.route,
                    &key.key,
                    &key.body_digest.as_slice(),
                    &key.at,
                    &key.forgotten,
                    // As if it were dead: a creation has its answer from the beginning.
                    &key.forgotten,
                    &CREATED_STATUS,
                ],
            )
            .await?;
        match get(&row, 0)? {
            "created" => Ok(CreateThread::Created),
            "seen" => {
                let seen = seen_after_loss(&self.pool, &key).await?;
                Ok(CreateThread::Seen(seen))
            }
            _ => Err(StoreError::Rejected(
                "create_thread_1 said something new".into(),
            )),
        }
    }

    async fn get_thread(&self, scope: &OrgScope, id: ThreadId) -> StoreResult<Option<Thread>> {
        let row = self
            .pool
            .read_one(GET_THREAD, &[&scope.org().as_str(), &id.uuid()])
            .await?;
        row.as_ref().map(thread).transpose()
    }

    async fn list_threads(
        &self,
        scope: &OrgScope,
        agent_type: Option<&str>,
        page: Page,
    ) -> StoreResult<Vec<Thread>> {
        let org = scope.org().as_str();
        let (at, id, limit) = below(&page);
        let rows = match agent_type {
            None => {
                self.pool
                    .read(LIST_THREADS, &[&org, &at, &id, &limit])
                    .await?
            }
            Some(agent_type) => {
                self.pool
                    .read(
                        LIST_THREADS_OF_AGENT,
                        &[&org, &at, &id, &limit, &agent_type],
                    )
                    .await?
            }
        };
        rows.iter().map(thread).collect()
    }

    async fn update_thread(
        &self,
        scope: &OrgScope,
        id: ThreadId,
        patch: &ThreadPatch,
        at: Timestamp,
    ) -> StoreResult<Option<Thread>> {
        let metadata = patch.metadata.as_ref().map(json).transpose()?;
        let rows = self
            .pool
            .write(
                UPDATE_THREAD,
                &[
                    &scope.org().as_str(),
                    &id.uuid(),
                    &patch.title.is_some(),
                    &patch.title.as_ref().and_then(Option::as_deref),
                    &metadata,
                    &at.as_micros(),
                ],
            )
            .await?;
        rows.first().map(thread).transpose()
    }

    async fn delete_thread(&self, scope: &OrgScope, id: ThreadId) -> StoreResult<DeleteThread> {
        let row = self
            .pool
            .write_one(DELETE_THREAD, &[&scope.org().as_str(), &id.uuid()])
            .await?;
        match (get(&row, 0)?, get::<Option<Uuid>>(&row, 1)?) {
            ("deleted", _) => Ok(DeleteThread::Deleted),
            ("missing", _) => Ok(DeleteThread::Missing),
            ("busy", Some(run)) => Ok(DeleteThread::Busy(RunId::new(run))),
            _ => Err(StoreError::Rejected(
                "delete_thread_1 said something new".into(),
            )),
        }
    }

    async fn thread_messages(&self, scope: &OrgScope, id: ThreadId) -> StoreResult<Vec<Message>> {
        let rows = self
            .pool
            .read(THREAD_MESSAGES, &[&scope.org().as_str(), &id.uuid()])
            .await?;
        rows.iter()
            .map(|row| {
                let id: Uuid = get(row, 0)?;
                decode::json(Column("messages", "body"), id, get(row, 1)?)
            })
            .collect()
    }

    async fn fork_thread(
        &self,
        scope: &OrgScope,
        source: ThreadId,
        thread: &Thread,
    ) -> StoreResult<bool> {
        let metadata = json(&thread.metadata)?;
        let count = i32::try_from(thread.message_count).unwrap_or(i32::MAX);
        let row = self
            .pool
            .write_one(
                FORK_THREAD,
                &[
                    &scope.org().as_str(),
                    &thread.id.uuid(),
                    &thread.agent_type,
                    &thread.title,
                    &metadata,
                    &count,
                    &thread.last_message_preview,
                    &thread.created_at.as_micros(),
                    &thread.updated_at.as_micros(),
                    &source.uuid(),
                ],
            )
            .await?;
        Ok(get::<i64>(&row, 0)? == 1)
    }
}
