//! Runs and their steps, read and written.

use super::create::NewRun;
use super::fault::Work;
use super::threads::below;
use super::{SqliteStore, commit, create, late, log, retention, statements};
use crate::decode::{self, Column, RunBody};
use crate::encode::Rows;
use crate::idempotency::KeyColumns;
use async_trait::async_trait;
use domain::event::Record;
use domain::ports::store::{
    Committed, CreateRun, CreatedRun, Expected, Holder, Page, RunFilter, RunStore, StoreResult,
};
use domain::run::{Run, Transition};
use domain::seeded::Seeded;
use domain::step::{LateAnswer, Step};
use domain::{CallId, OrgScope, RunId, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

statements! {
    GET_RUN = "SELECT id, body, epoch, version, hold FROM runs WHERE org = ?1 AND id = ?2";
    RUN_STEPS = "SELECT body FROM steps WHERE org = ?1 AND run = ?2 ORDER BY step_index";
    FIND_CALL = "SELECT body FROM steps WHERE org = ?1 AND run = ?2 AND call_id = ?3
        ORDER BY step_index DESC LIMIT 1";
    LIST_RUNS = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = ?1 AND (created_at, id) < (?2, ?3) ORDER BY created_at DESC, id DESC LIMIT ?4";
    LIST_RUNS_OF_THREAD = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = ?1 AND thread = ?5 AND (created_at, id) < (?2, ?3)
        AND (?6 IS NULL OR status = ?6) AND (?7 IS NULL OR agent_type = ?7)
        ORDER BY created_at DESC, id DESC LIMIT ?4";
    LIST_RUNS_BY_STATUS = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = ?1 AND status = ?5 AND (created_at, id) < (?2, ?3)
        AND (?6 IS NULL OR agent_type = ?6) ORDER BY created_at DESC, id DESC LIMIT ?4";
    LIST_RUNS_OF_AGENT = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = ?1 AND agent_type = ?5 AND (created_at, id) < (?2, ?3)
        ORDER BY created_at DESC, id DESC LIMIT ?4";
}

pub(super) fn run_body(row: &Row<'_>) -> rusqlite::Result<RunBody> {
    Ok(RunBody {
        id: Uuid::from_bytes(row.get(0)?),
        body: row.get(1)?,
        epoch: row.get(2)?,
        version: row.get(3)?,
        hold: row.get(4)?,
    })
}

fn list(db: &Connection, org: &str, filter: &RunFilter, page: &Page) -> Work<Vec<Run>> {
    let (at, id) = below(page);
    let status = filter.status.map(|status| status.as_str());
    let mut statement;
    let rows = match (filter.thread, status, &filter.agent_type) {
        (Some(thread), status, agent_type) => {
            statement = db.prepare_cached(LIST_RUNS_OF_THREAD)?;
            let thread = thread.uuid().into_bytes();
            statement.query_map(
                params![org, at, id, page.limit, thread, status, agent_type],
                run_body,
            )?
        }
        (None, Some(status), agent_type) => {
            statement = db.prepare_cached(LIST_RUNS_BY_STATUS)?;
            statement.query_map(
                params![org, at, id, page.limit, status, agent_type],
                run_body,
            )?
        }
        (None, None, Some(agent_type)) => {
            statement = db.prepare_cached(LIST_RUNS_OF_AGENT)?;
            statement.query_map(params![org, at, id, page.limit, agent_type], run_body)?
        }
        (None, None, None) => {
            statement = db.prepare_cached(LIST_RUNS)?;
            statement.query_map(params![org, at, id, page.limit], run_body)?
        }
    };
    let mut runs = Vec::new();
    for row in rows {
        runs.push(Run::try_from(row?)?);
    }
    Ok(runs)
}

fn step(run: RunId, row: &Row<'_>) -> Work<Step> {
    let body = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
    Ok(decode::json(Column("steps", "body"), run, body)?)
}

#[async_trait]
impl RunStore for SqliteStore {
    async fn create_run(&self, scope: &OrgScope, create: &CreateRun) -> StoreResult<CreatedRun> {
        let at = create.started.run.created_at;
        let new = NewRun {
            started: Rows::of(scope, &create.started)?,
            queued: create
                .queued
                .as_ref()
                .map(|queued| Rows::of(scope, queued))
                .transpose()?,
            worker: create.worker.uuid(),
            key: create
                .idempotency
                .as_ref()
                .map(|key| KeyColumns::new(scope, key, at)),
        };
        self.write(move |db| create::create(db, &new)).await
    }

    async fn commit_run(
        &self,
        scope: &OrgScope,
        transition: &Transition,
        expected: Expected,
        holder: Holder,
    ) -> StoreResult<Committed> {
        let rows = Rows::of(scope, transition)?;
        self.write(move |db| commit::commit(db, &rows, expected, holder))
            .await
    }

    async fn get_run(&self, scope: &OrgScope, id: RunId) -> StoreResult<Option<Run>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| {
            let sql = match Seeded::OrgForgotten.is_on() {
                true => "SELECT id, body, epoch, version FROM runs WHERE ?1 <> '' AND id = ?2",
                false => GET_RUN,
            };
            let row = db
                .prepare_cached(sql)?
                .query_row(params![org, id.uuid().as_bytes()], run_body)
                .optional()?;
            Ok(row.map(Run::try_from).transpose()?)
        })
        .await
    }

    async fn run_steps(&self, scope: &OrgScope, id: RunId) -> StoreResult<Vec<Step>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| {
            let mut statement = db.prepare_cached(RUN_STEPS)?;
            let mut rows = statement.query(params![org, id.uuid().as_bytes()])?;
            let mut steps = Vec::new();
            while let Some(row) = rows.next()? {
                steps.push(step(id, row)?);
            }
            Ok(steps)
        })
        .await
    }

    async fn find_call(
        &self,
        scope: &OrgScope,
        id: RunId,
        call: &CallId,
    ) -> StoreResult<Option<Step>> {
        let org = scope.org().as_str().to_owned();
        let call = call.clone();
        self.read(move |db| {
            let mut statement = db.prepare_cached(FIND_CALL)?;
            let mut rows = statement.query(params![org, id.uuid().as_bytes(), call.as_str()])?;
            rows.next()?.map(|row| step(id, row)).transpose()
        })
        .await
    }

    async fn attach_late_answer(
        &self,
        scope: &OrgScope,
        id: RunId,
        answer: &LateAnswer,
    ) -> StoreResult<()> {
        let (org, answer) = (scope.org().as_str().to_owned(), answer.clone());
        self.write(move |db| late::attach(db, &org, id, &answer))
            .await
    }

    async fn late_answers(&self, scope: &OrgScope, id: RunId) -> StoreResult<Vec<LateAnswer>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| late::list(db, &org, id)).await
    }

    async fn list_runs(
        &self,
        scope: &OrgScope,
        filter: &RunFilter,
        page: Page,
    ) -> StoreResult<Vec<Run>> {
        let org = scope.org().as_str().to_owned();
        let filter = filter.clone();
        self.read(move |db| list(db, &org, &filter, &page)).await
    }

    async fn read_log(
        &self,
        scope: &OrgScope,
        id: RunId,
        after: u64,
        limit: u32,
    ) -> StoreResult<Vec<Record>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| log::read(db, &org, id, after, limit))
            .await
    }

    async fn system_delete_old_runs(&self, before: Timestamp, limit: u32) -> StoreResult<u64> {
        // Looking is left to a reader, which keeps no other write waiting.
        let old = self
            .read(move |db| retention::old_runs(db, before.as_micros(), limit))
            .await?;
        let count = old.len() as u64;
        if count > 0 {
            self.write(move |db| retention::delete(db, &old)).await?;
        }
        Ok(count)
    }
}
