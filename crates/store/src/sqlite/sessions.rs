//! Sessions listed, their responses, and those whose time is over.

use super::runs::run_body;
use super::threads::below;
use super::{SqliteStore, statements};
use crate::decode::{self, Column};
use async_trait::async_trait;
use domain::ports::store::{Page, SessionFilter, SessionStore, StoreResult};
use domain::response::{Response, ResponseId};
use domain::run::Run;
use domain::{OrgId, OrgScope, RunId, Timestamp};
use rusqlite::{OptionalExtension, params};
use uuid::Uuid;

statements! {
    GET_RESPONSE = "SELECT body FROM responses WHERE org = ?1 AND session = ?2 AND id = ?3";
    LIST_SESSIONS = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = ?1 AND thread IS NULL AND (created_at, id) < (?2, ?3)
        AND (?5 IS NULL OR agent_type = ?5) ORDER BY created_at DESC, id DESC LIMIT ?4";
    LIST_SESSIONS_BY_STATUS = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = ?1 AND status = ?6 AND thread IS NULL AND (created_at, id) < (?2, ?3)
        AND (?5 IS NULL OR agent_type = ?5) ORDER BY created_at DESC, id DESC LIMIT ?4";
    DUE_SESSIONS = "SELECT org, id FROM runs WHERE expires_at <= ?1 AND hold IS NULL
        ORDER BY expires_at LIMIT ?2";
}

#[async_trait]
impl SessionStore for SqliteStore {
    async fn get_response(
        &self,
        scope: &OrgScope,
        session: RunId,
        id: ResponseId,
    ) -> StoreResult<Option<Response>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| {
            let (session, id_bytes) = (session.uuid().into_bytes(), id.uuid().into_bytes());
            let body: Option<String> = db
                .prepare_cached(GET_RESPONSE)?
                .query_row(params![org, session, id_bytes], |row| row.get(0))
                .optional()?;
            let response = body.map(|body| decode::json(Column("responses", "body"), id, &body));
            Ok(response.transpose()?)
        })
        .await
    }

    async fn list_sessions(
        &self,
        scope: &OrgScope,
        filter: &SessionFilter,
        page: Page,
    ) -> StoreResult<Vec<Run>> {
        let org = scope.org().as_str().to_owned();
        let SessionFilter { status, agent_type } = filter.clone();
        self.read(move |db| {
            let (at, id) = below(&page);
            let mut statement;
            let rows = match status.map(|status| status.as_str()) {
                Some(status) => {
                    statement = db.prepare_cached(LIST_SESSIONS_BY_STATUS)?;
                    let filled = params![org, at, id, page.limit, agent_type, status];
                    statement.query_map(filled, run_body)?
                }
                None => {
                    statement = db.prepare_cached(LIST_SESSIONS)?;
                    statement.query_map(params![org, at, id, page.limit, agent_type], run_body)?
                }
            };
            let mut sessions = Vec::new();
            for row in rows {
                sessions.push(Run::try_from(row?)?);
            }
            Ok(sessions)
        })
        .await
    }

    async fn system_due_sessions(
        &self,
        at: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<(OrgId, RunId)>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(DUE_SESSIONS)?;
            let mut rows = statement.query(params![at.as_micros(), limit])?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                let id = RunId::new(Uuid::from_bytes(row.get(1)?));
                due.push((decode::org(Column("runs", "org"), &name)?, id));
            }
            Ok(due)
        })
        .await
    }
}
