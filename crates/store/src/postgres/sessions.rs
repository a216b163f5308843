//! Sessions listed, their responses, and those whose time is over.

use super::pool::get;
use super::runs::run;
use super::threads::below;
use super::{PostgresStore, statements};
use crate::decode::{self, Column};
use async_trait::async_trait;
use domain::ports::store::{Page, SessionFilter, SessionStore, StoreResult};
use domain::response::{Response, ResponseId};
use domain::run::Run;
use domain::{OrgId, OrgScope, RunId, Timestamp};
use tokio_postgres::types::ToSql;

statements! {
    GET_RESPONSE = "SELECT body FROM responses WHERE org = $1 AND session = $2 AND id = $3";
    LIST_SESSIONS = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = $1 AND thread IS NULL AND (created_at, id) < ($2, $3)
        AND ($5::text IS NULL OR agent_type = $5) ORDER BY created_at DESC, id DESC LIMIT $4";
    LIST_SESSIONS_BY_STATUS = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = $1 AND status = $6 AND thread IS NULL AND (created_at, id) < ($2, $3)
        AND ($5::text IS NULL OR agent_type = $5) ORDER BY created_at DESC, id DESC LIMIT $4";
    DUE_SESSIONS = "SELECT org, id FROM runs WHERE expires_at <= $1 AND hold IS NULL
        ORDER BY expires_at LIMIT $2";
}

#[async_trait]
impl SessionStore for PostgresStore {
    async fn get_response(
        &self,
        scope: &OrgScope,
        session: RunId,
        id: ResponseId,
    ) -> StoreResult<Option<Response>> {
        let org = scope.org().as_str();
        let row = self
            .pool
            .read_one(GET_RESPONSE, &[&org, &session.uuid(), &id.uuid()])
            .await?;
        row.map(|row| decode::json(Column("responses", "body"), id, get(&row, 0)?))
            .transpose()
    }

    async fn list_sessions(
        &self,
        scope: &OrgScope,
        filter: &SessionFilter,
        page: Page,
    ) -> StoreResult<Vec<Run>> {
        let org = scope.org().as_str();
        let (at, id, limit) = below(&page);
        let agent_type = filter.agent_type.as_deref();
        let rows = match filter.status.map(|status| status.as_str()) {
            Some(status) => {
                let params: [&(dyn ToSql + Sync); 6] =
                    [&org, &at, &id, &limit, &agent_type, &status];
                self.pool.read(LIST_SESSIONS_BY_STATUS, &params).await?
            }
            None => {
                let params: [&(dyn ToSql + Sync); 5] = [&org, &at, &id, &limit, &agent_type];
                self.pool.read(LIST_SESSIONS, &params).await?
            }
        };
        rows.iter().map(run).collect()
    }

    async fn system_due_sessions(
        &self,
        at: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<(OrgId, RunId)>> {
        let rows = self
            .pool
            .read(DUE_SESSIONS, &[&at.as_micros(), &i64::from(limit)])
            .await?;
        rows.iter()
            .map(|row| {
                let name = decode::org(Column("runs", "org"), get(row, 0)?)?;
                Ok((name, RunId::new(get(row, 1)?)))
            })
            .collect()
    }
}
