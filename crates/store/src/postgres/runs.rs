//! Runs, their steps and their log.

use super::hot::{Commit, NewRun};
use super::idempotency::seen_after_loss;
use super::notes::Notes;
use super::parts::Parts;
use super::pool::{Pool, get};
use super::threads::below;
use super::{PostgresStore, grants, late, retention, statements};
use crate::decode::{self, Column, RunBody};
use crate::encode::Rows;
use crate::idempotency::{CREATED_STATUS, KeyColumns};
use async_trait::async_trait;
use domain::event::Record;
use domain::limits::QUEUED_PER_THREAD_MAX;
use domain::ports::store::{
    Committed, CreateRun, CreatedRun, Expected, Holder, Page, RunFilter, RunStore, StoreError,
    StoreResult,
};
use domain::run::{Run, Transition};
use domain::seeded::Seeded;
use domain::step::{LateAnswer, Step};
use domain::{CallId, OrgScope, RunId, Timestamp};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

statements! {
    CREATE_RUN = "SELECT outcome, history, active, active_status FROM create_run_1(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
        $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41,
        $42, $43, $44, $45, $46, $47, $48, $49, $50, $51)";
    // As `CREATE_NOTED_RUNS`, for one.
    CREATE_NOTED_RUN = "WITH done AS MATERIALIZED (SELECT outcome, history, active, active_status FROM create_run_1(
        $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
        $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35, $36, $37, $38, $39, $40, $41,
        $42, $43, $44, $45, $46, $47, $48, $49, $50, $51)),
        noted AS MATERIALIZED (SELECT write_notes_6(CASE WHEN outcome = 'started' THEN ARRAY[1::bigint] END,
            ARRAY[$1], $52, $53, $54, $55, $56, $57, $58, $59) AS n FROM done)
        SELECT outcome, history, active, active_status, n FROM done CROSS JOIN noted";
    GET_RUN = "SELECT id, body, epoch, version, hold FROM runs WHERE org = $1 AND id = $2";
    RUN_STEPS = "SELECT body FROM steps WHERE org = $1 AND run = $2 ORDER BY step_index";
    FIND_CALL = "SELECT body FROM steps WHERE org = $1 AND run = $2 AND call_id = $3
        ORDER BY step_index DESC LIMIT 1";
    LIST_RUNS = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = $1 AND (created_at, id) < ($2, $3) ORDER BY created_at DESC, id DESC LIMIT $4";
    LIST_RUNS_OF_THREAD = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = $1 AND thread = $5 AND (created_at, id) < ($2, $3)
        AND ($6::text IS NULL OR status = $6) AND ($7::text IS NULL OR agent_type = $7)
        ORDER BY created_at DESC, id DESC LIMIT $4";
    LIST_RUNS_BY_STATUS = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = $1 AND status = $5 AND (created_at, id) < ($2, $3)
        AND ($6::text IS NULL OR agent_type = $6) ORDER BY created_at DESC, id DESC LIMIT $4";
    LIST_RUNS_OF_AGENT = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = $1 AND agent_type = $5 AND (created_at, id) < ($2, $3)
        ORDER BY created_at DESC, id DESC LIMIT $4";
    // Each row holds at least one record, so this many are enough.
    READ_LOG = "SELECT body FROM run_log WHERE org = $1 AND run = $2 AND last_seq > $3
        ORDER BY last_seq LIMIT $4";
}

pub(super) fn run(row: &Row) -> StoreResult<Run> {
    Run::try_from(RunBody {
        id: get(row, 0)?,
        body: get(row, 1)?,
        epoch: get(row, 2)?,
        version: get(row, 3)?,
        hold: get(row, 4)?,
    })
}

/// The waiting form of a run: it has begun nothing, so there is nothing of it but its own row and its log.
struct Waiting<'a> {
    body: Option<&'a str>,
    epoch: Option<i64>,
    version: Option<i64>,
    at: Option<i64>,
    log_first: Option<i64>,
    log_last: Option<i64>,
    log_body: Option<&'a str>,
}

impl<'a> Waiting<'a> {
    fn of(rows: Option<&'a Rows>) -> StoreResult<Self> {
        let bare = |rows: &Rows| {
            rows.run.queued
                && rows.steps.is_empty()
                && rows.messages.is_empty()
                && rows.approvals.is_empty()
                && rows.closed.is_empty()
        };
        if rows.is_some_and(|rows| !bare(rows)) {
            let why = "the waiting form of a run is not queued";
            return Err(StoreError::Rejected(why.into()));
        }
        let log = rows.and_then(|rows| rows.log.as_ref());
        Ok(Self {
            body: rows.map(|rows| rows.run.body.as_str()),
            epoch: rows.map(|rows| rows.run.epoch),
            version: rows.map(|rows| rows.run.version),
            at: rows.map(|rows| rows.run.at),
            log_first: log.map(|log| log.first_seq),
            log_last: log.map(|log| log.last_seq),
            log_body: log.map(|log| log.body.as_str()),
        })
    }
}

async fn create(
    pool: &Pool,
    rows: &Rows,
    waiting: &Waiting<'_>,
    owner: Option<Uuid>,
    key: Option<&KeyColumns>,
) -> StoreResult<Row> {
    let run = &rows.run;
    let parts = Parts::of(rows)?;
    let (route, name) = (key.map(|key| &key.route), key.map(|key| &key.key));
    let digest = key.map(|key| key.body_digest.as_slice());
    let (at, forgotten) = (key.map(|key| key.at), key.map(|key| key.forgotten));
    let waiting_max = i64::from(QUEUED_PER_THREAD_MAX);
    let head: [&(dyn ToSql + Sync); 16] = [
        &run.org,
        &run.id,
        &run.thread,
        &run.agent_type,
        &run.agent_version,
        &run.status,
        &run.runnable,
        &owner,
        &run.epoch,
        &run.version,
        &run.body,
        &run.expires_at,
        &run.created_at,
        &run.at,
        &run.terminal,
        &rows.preview,
    ];
    let tail: [&(dyn ToSql + Sync); 15] = [
        &waiting.body,
        &waiting.epoch,
        &waiting.version,
        &waiting.at,
        &waiting_max,
        &waiting.log_first,
        &waiting.log_last,
        &waiting.log_body,
        &route,
        &name,
        &digest,
        &at,
        &forgotten,
        // As if it were dead: a creation has its answer from the beginning.
        &forgotten,
        &CREATED_STATUS,
    ];
    let params = [head.as_slice(), &parts.params(), &tail].concat();
    match Notes::of(std::iter::once(rows)) {
        None => pool.write_one(CREATE_RUN, &params).await,
        Some(notes) => {
            let params = [params.as_slice(), &notes.params()].concat();
            pool.write_one(CREATE_NOTED_RUN, &params).await
        }
    }
}

#[async_trait]
impl RunStore for PostgresStore {
    async fn create_run(&self, scope: &OrgScope, create: &CreateRun) -> StoreResult<CreatedRun> {
        let rows = Rows::of(scope, &create.started)?;
        let queued = create.queued.as_ref().map(|queued| Rows::of(scope, queued));
        let queued = queued.transpose()?;
        let waiting = Waiting::of(queued.as_ref())?;
        let at = create.started.run.created_at;
        let key = create.idempotency.as_ref();
        let key = key.map(|key| KeyColumns::new(scope, key, at));
        // A run that has not begun waits for any worker; one that is over needs none.
        let run = &rows.run;
        let owner = (!run.terminal && !run.queued).then(|| create.worker.uuid());
        if key.is_none() {
            let rows = rows.clone();
            if let Some(history) = self.new_runs.write(NewRun { rows, owner }).await? {
                return Ok(CreatedRun::Started { history });
            }
        }
        let row = self::create(&self.pool, &rows, &waiting, owner, key.as_ref()).await?;
        let active: Option<Uuid> = get(&row, 2)?;
        match (get(&row, 0)?, active, key) {
            ("started", _, _) => Ok(CreatedRun::Started {
                history: get::<i32>(&row, 1)?.unsigned_abs(),
            }),
            ("queued", _, _) => Ok(CreatedRun::Queued),
            ("busy", Some(active), _) => Ok(CreatedRun::Busy {
                run_id: RunId::new(active),
                status: decode::run_status(active, get(&row, 3)?)?,
            }),
            ("full", _, _) => Ok(CreatedRun::QueueFull),
            ("missing", _, _) => Ok(CreatedRun::NoThread),
            ("seen", _, Some(key)) => {
                let seen = seen_after_loss(&self.pool, &key).await?;
                Ok(CreatedRun::Seen(seen))
            }
            _ => Err(StoreError::Rejected(
                "create_run_1 said something new".into(),
            )),
        }
    }

    async fn commit_run(
        &self,
        scope: &OrgScope,
        transition: &Transition,
        expected: Expected,
        holder: Holder,
    ) -> StoreResult<Committed> {
        let rows = Rows::of(scope, transition)?;
        let (keep_owner, owner) = match holder {
            _ if rows.run.terminal => (false, None),
            Holder::Unchanged => (true, None),
            Holder::Worker(worker) => (false, Some(worker.uuid())),
            Holder::Nobody => (false, None),
        };
        let commit = Commit {
            rows,
            expected_epoch: expected.epoch.cast_signed(),
            expected_version: expected.version.cast_signed(),
            keep_owner,
            owner,
        };
        let committed = if commit.rows.grants.is_empty() && commit.rows.grant_uses.is_empty() {
            self.commits.write(commit).await?
        } else {
            grants::commit(&self.pool, &commit).await?
        };
        match committed {
            None if Seeded::StaleWritePostgres.is_on() => Ok(Committed { promoted: None }),
            committed => committed.ok_or(StoreError::Stale),
        }
    }

    async fn get_run(&self, scope: &OrgScope, id: RunId) -> StoreResult<Option<Run>> {
        let sql = match Seeded::OrgForgotten.is_on() {
            true => "SELECT id, body, epoch, version FROM runs WHERE $1 <> '' AND id = $2",
            false => GET_RUN,
        };
        let row = self
            .pool
            .read_one(sql, &[&scope.org().as_str(), &id.uuid()])
            .await?;
        row.as_ref().map(run).transpose()
    }

    async fn run_steps(&self, scope: &OrgScope, id: RunId) -> StoreResult<Vec<Step>> {
        let rows = self
            .pool
            .read(RUN_STEPS, &[&scope.org().as_str(), &id.uuid()])
            .await?;
        rows.iter()
            .map(|row| decode::json(Column("steps", "body"), id, get(row, 0)?))
            .collect()
    }

    async fn find_call(
        &self,
        scope: &OrgScope,
        id: RunId,
        call: &CallId,
    ) -> StoreResult<Option<Step>> {
        let org = scope.org().as_str();
        let row = self
            .pool
            .read_one(FIND_CALL, &[&org, &id.uuid(), &call.as_str()])
            .await?;
        row.map(|row| decode::json(Column("steps", "body"), id, get(&row, 0)?))
            .transpose()
    }

    async fn attach_late_answer(
        &self,
        scope: &OrgScope,
        id: RunId,
        answer: &LateAnswer,
    ) -> StoreResult<()> {
        late::attach(&self.pool, scope, id, answer).await
    }

    async fn late_answers(&self, scope: &OrgScope, id: RunId) -> StoreResult<Vec<LateAnswer>> {
        late::list(&self.pool, scope, id).await
    }

    async fn list_runs(
        &self,
        scope: &OrgScope,
        filter: &RunFilter,
        page: Page,
    ) -> StoreResult<Vec<Run>> {
        let org = scope.org().as_str();
        let (at, id, limit) = below(&page);
        let status = filter.status.map(|status| status.as_str());
        let agent = filter.agent_type.as_deref();
        let rows = match (filter.thread, status, agent) {
            (Some(thread), status, agent) => {
                let thread = thread.uuid();
                let params: [&(dyn ToSql + Sync); 7] =
                    [&org, &at, &id, &limit, &thread, &status, &agent];
                self.pool.read(LIST_RUNS_OF_THREAD, &params).await?
            }
            (None, Some(status), agent) => {
                let params: [&(dyn ToSql + Sync); 6] = [&org, &at, &id, &limit, &status, &agent];
                self.pool.read(LIST_RUNS_BY_STATUS, &params).await?
            }
            (None, None, Some(agent)) => {
                let params: [&(dyn ToSql + Sync); 5] = [&org, &at, &id, &limit, &agent];
                self.pool.read(LIST_RUNS_OF_AGENT, &params).await?
            }
            (None, None, None) => self.pool.read(LIST_RUNS, &[&org, &at, &id, &limit]).await?,
        };
        rows.iter().map(run).collect()
    }

    async fn read_log(
        &self,
        scope: &OrgScope,
        id: RunId,
        after: u64,
        limit: u32,
    ) -> StoreResult<Vec<Record>> {
        // Numbers in the table never pass the largest signed one.
        let above = i64::try_from(after).unwrap_or(i64::MAX);
        let params: [&(dyn ToSql + Sync); 4] =
            [&scope.org().as_str(), &id.uuid(), &above, &i64::from(limit)];
        let rows = self.pool.read(READ_LOG, &params).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for row in &rows {
            if found.len() >= limit {
                break;
            }
            decode::records(&mut found, id, get(row, 0)?, after, limit)?;
        }
        Ok(found)
    }

    async fn system_delete_old_runs(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        retention::delete_old_runs(&self.pool, before, limit).await
    }
}
