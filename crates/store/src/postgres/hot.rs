//! The three writes of every run, each for many runs at once.

use super::batch::Batched;
use super::notes::Notes;
use super::parts::ManyParts;
use super::pool::{Guard, Pool, get};
use super::statements;
use crate::encode::Rows;
use async_trait::async_trait;
use domain::RunId;
use domain::ports::store::{Committed, StoreError, StoreResult};
use domain::seeded::Seeded;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

statements! {
    CREATE_THREADS = "INSERT INTO chat_threads (org, id, agent_type, title, metadata, active_run, message_count,
            last_message_preview, created_at, updated_at)
        SELECT x.o, x.i, x.a, x.t, x.m, NULL, 0, NULL, x.c, x.u
        FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[])
            AS x(o, i, a, t, m, c, u)";
    CREATE_RUNS = "SELECT item, history FROM create_runs_1(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
        $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41,
        $42, $43, $44)";
    COMMIT_RUNS = "SELECT item, promoted FROM commit_runs_1(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
        $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41,
        $42, $43, $44)";
    // The same with what most transitions do not have. The second part sees what the first has written, and both are one
    // transaction.
    CREATE_NOTED_RUNS = "WITH done AS MATERIALIZED (SELECT item, history FROM create_runs_1(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
        $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41,
        $42, $43, $44)),
        noted AS MATERIALIZED (SELECT write_notes_6(array_agg(item), $1, $45, $46, $47, $48, $49, $50, $51, $52) AS n
            FROM done)
        SELECT item, history, n FROM done CROSS JOIN noted";
    COMMIT_NOTED_RUNS = "WITH done AS MATERIALIZED (SELECT item, promoted FROM commit_runs_1(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
        $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41,
        $42, $43, $44)),
        noted AS MATERIALIZED (SELECT write_notes_6(array_agg(item), $1, $45, $46, $47, $48, $49, $50, $51, $52) AS n
            FROM done)
        SELECT item, promoted, n FROM done CROSS JOIN noted";
}

/// A thread to be created, without an idempotency key.
pub(super) struct NewThread {
    pub org: String,
    pub id: Uuid,
    pub agent_type: String,
    pub title: Option<String>,
    pub metadata: String,
    pub created_at: i64,
    pub updated_at: i64,
}

/// A run to be begun, without an idempotency key.
pub(super) struct NewRun {
    pub rows: Rows,
    pub owner: Option<Uuid>,
}

/// A transition to be committed.
pub(super) struct Commit {
    pub rows: Rows,
    pub expected_epoch: i64,
    pub expected_version: i64,
    pub keep_owner: bool,
    pub owner: Option<Uuid>,
}

/// One column of all writes.
fn column<'a, W, T>(writes: &'a [W], value: impl Fn(&'a W) -> T) -> Vec<T> {
    writes.iter().map(value).collect()
}

fn added(rows: &Rows) -> i32 {
    i32::try_from(rows.messages.len()).unwrap_or(i32::MAX)
}

/// Puts each returned row in its write's place; a write without a row has no answer.
fn by_item<T>(
    count: usize,
    rows: &[tokio_postgres::Row],
    answer: impl Fn(&tokio_postgres::Row) -> StoreResult<T>,
) -> StoreResult<Vec<Option<T>>> {
    let mut answers: Vec<Option<T>> = (0..count).map(|_| None).collect();
    for row in rows {
        let item: i64 = get(row, 0)?;
        let index = usize::try_from(item - 1).ok();
        let slot = index.and_then(|index| answers.get_mut(index));
        let slot = slot.ok_or_else(|| StoreError::Rejected("an answer to no write".into()))?;
        *slot = Some(answer(row)?);
    }
    Ok(answers)
}

#[async_trait]
impl Batched for NewThread {
    type Answer = ();

    fn conflict_key(&self) -> Uuid {
        self.id
    }

    async fn write_many(pool: &Pool, writes: &[Self]) -> StoreResult<Vec<()>> {
        let params: [&(dyn ToSql + Sync); 7] = [
            &column(writes, |write| write.org.as_str()),
            &column(writes, |write| write.id),
            &column(writes, |write| write.agent_type.as_str()),
            &column(writes, |write| write.title.as_deref()),
            &column(writes, |write| write.metadata.as_str()),
            &column(writes, |write| write.created_at),
            &column(writes, |write| write.updated_at),
        ];
        pool.write(CREATE_THREADS, &params).await?;
        Ok(vec![(); writes.len()])
    }
}

#[async_trait]
impl Batched for NewRun {
    /// The thread's message count; `None` where something stood in the way and nothing was written.
    type Answer = Option<u32>;

    fn conflict_key(&self) -> Uuid {
        self.rows.run.thread.unwrap_or(self.rows.run.id)
    }

    async fn write_many(pool: &Pool, writes: &[Self]) -> StoreResult<Vec<Option<u32>>> {
        let parts = ManyParts::of(writes.iter().map(|write| &write.rows))?;
        let head: [&(dyn ToSql + Sync); 17] = [
            &column(writes, |write| write.rows.run.org.as_str()),
            &column(writes, |write| write.rows.run.id),
            &column(writes, |write| write.rows.run.thread),
            &column(writes, |write| write.rows.run.agent_type.as_str()),
            &column(writes, |write| write.rows.run.agent_version.as_str()),
            &column(writes, |write| write.rows.run.status),
            &column(writes, |write| write.rows.run.runnable),
            &column(writes, |write| write.owner),
            &column(writes, |write| write.rows.run.epoch),
            &column(writes, |write| write.rows.run.version),
            &column(writes, |write| write.rows.run.body.as_str()),
            &column(writes, |write| write.rows.run.expires_at),
            &column(writes, |write| write.rows.run.created_at),
            &column(writes, |write| write.rows.run.at),
            &column(writes, |write| write.rows.run.terminal),
            &column(writes, |write| write.rows.preview.as_deref()),
            &column(writes, |write| added(&write.rows)),
        ];
        let params = [head.as_slice(), &parts.params()].concat();
        let notes = Notes::of(writes.iter().map(|write| &write.rows));
        let rows = match &notes {
            None => pool.write(CREATE_RUNS, &params).await?,
            Some(notes) => {
                let params = [params.as_slice(), &notes.params()].concat();
                pool.write(CREATE_NOTED_RUNS, &params).await?
            }
        };
        by_item(writes.len(), &rows, |row| {
            Ok(get::<i32>(row, 1)?.unsigned_abs())
        })
    }
}

#[async_trait]
impl Batched for Commit {
    /// `None` where the run is not as expected.
    type Answer = Option<Committed>;

    fn conflict_key(&self) -> Uuid {
        self.rows.run.thread.unwrap_or(self.rows.run.id)
    }

    async fn write_many(pool: &Pool, writes: &[Self]) -> StoreResult<Vec<Option<Committed>>> {
        commit_many(pool, writes, &[]).await
    }
}

impl Commit {
    /// This one alone, after `guards`, in one transaction. `None` where the run is not as expected.
    pub async fn write_guarded(
        &self,
        pool: &Pool,
        guards: &[Guard<'_>],
    ) -> StoreResult<Option<Committed>> {
        let answers = commit_many(pool, std::slice::from_ref(self), guards).await?;
        Ok(answers.into_iter().next().flatten())
    }
}

async fn commit_many(
    pool: &Pool,
    writes: &[Commit],
    guards: &[Guard<'_>],
) -> StoreResult<Vec<Option<Committed>>> {
    let parts = ManyParts::of(writes.iter().map(|write| &write.rows))?;
    let head: [&(dyn ToSql + Sync); 17] = [
        &column(writes, |write| write.rows.run.org.as_str()),
        &column(writes, |write| write.rows.run.id),
        &column(writes, |write| write.expected_epoch),
        &column(writes, |write| write.expected_version),
        &column(writes, |write| write.rows.run.thread),
        &column(writes, |write| write.rows.run.status),
        &column(writes, |write| write.rows.run.queued),
        &column(writes, |write| write.rows.run.runnable),
        &column(writes, |write| write.keep_owner),
        &column(writes, |write| write.owner),
        &column(writes, |write| write.rows.run.epoch),
        &column(writes, |write| write.rows.run.version),
        &column(writes, |write| write.rows.run.body.as_str()),
        &column(writes, |write| write.rows.run.at),
        &column(writes, |write| {
            write.rows.run.terminal && !Seeded::ThreadKept.is_on()
        }),
        &column(writes, |write| write.rows.preview.as_deref()),
        &column(writes, |write| added(&write.rows)),
    ];
    let mut params = [head.as_slice(), &parts.params()].concat();
    let notes = Notes::of(writes.iter().map(|write| &write.rows));
    let mut sql = COMMIT_RUNS;
    if let Some(notes) = &notes {
        params.extend(notes.params());
        sql = COMMIT_NOTED_RUNS;
    }
    let rows = if guards.is_empty() {
        pool.write(sql, &params).await?
    } else {
        pool.write_guarded(guards, sql, &params).await?
    };
    by_item(writes.len(), &rows, |row| {
        Ok(Committed {
            promoted: get::<Option<Uuid>>(row, 1)?.map(RunId::new),
        })
    })
}
