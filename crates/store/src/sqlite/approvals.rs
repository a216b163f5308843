//! Approvals, read; they are written with their run's transitions.

use super::fault::Work;
use super::threads::below;
use super::{SqliteStore, statements};
use crate::decode::{ApprovalBody, Column, org};
use async_trait::async_trait;
use domain::approval::Approval;
use domain::ports::store::{ApprovalFilter, ApprovalStore, Page, StoreResult};
use domain::{ApprovalId, OrgId, OrgScope, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

statements! {
    GET_APPROVAL = "SELECT id, status, resolved_at, reason, body FROM approvals WHERE org = ?1 AND id = ?2";
    LIST_APPROVALS = "SELECT id, status, resolved_at, reason, body FROM approvals
        WHERE org = ?1 AND (requested_at, id) < (?2, ?3) ORDER BY requested_at DESC, id DESC LIMIT ?4";
    LIST_APPROVALS_OF_RUN = "SELECT id, status, resolved_at, reason, body FROM approvals
        WHERE org = ?1 AND run = ?5 AND (requested_at, id) < (?2, ?3) AND (?6 IS NULL OR status = ?6)
        ORDER BY requested_at DESC, id DESC LIMIT ?4";
    LIST_APPROVALS_BY_STATUS = "SELECT id, status, resolved_at, reason, body FROM approvals
        WHERE org = ?1 AND status = ?5 AND (requested_at, id) < (?2, ?3)
        ORDER BY requested_at DESC, id DESC LIMIT ?4";
    DUE_APPROVALS = "SELECT org, id FROM approvals WHERE status = 'pending' AND expires_at <= ?1
        AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.org = approvals.org AND runs.id = approvals.run
            AND runs.hold IS NOT NULL)
        ORDER BY expires_at LIMIT ?2";
}

fn approval_body(row: &Row<'_>) -> rusqlite::Result<ApprovalBody> {
    Ok(ApprovalBody {
        id: Uuid::from_bytes(row.get(0)?),
        status: row.get(1)?,
        resolved_at: row.get(2)?,
        reason: row.get(3)?,
        body: row.get(4)?,
    })
}

fn list(db: &Connection, org: &str, filter: &ApprovalFilter, page: &Page) -> Work<Vec<Approval>> {
    let (at, id) = below(page);
    let status = filter.status.map(|status| status.as_str());
    let mut statement;
    let rows = match (filter.run, status) {
        (Some(run), status) => {
            statement = db.prepare_cached(LIST_APPROVALS_OF_RUN)?;
            let run = run.uuid().into_bytes();
            statement.query_map(params![org, at, id, page.limit, run, status], approval_body)?
        }
        (None, Some(status)) => {
            statement = db.prepare_cached(LIST_APPROVALS_BY_STATUS)?;
            statement.query_map(params![org, at, id, page.limit, status], approval_body)?
        }
        (None, None) => {
            statement = db.prepare_cached(LIST_APPROVALS)?;
            statement.query_map(params![org, at, id, page.limit], approval_body)?
        }
    };
    let mut approvals = Vec::new();
    for row in rows {
        approvals.push(Approval::try_from(row?)?);
    }
    Ok(approvals)
}

#[async_trait]
impl ApprovalStore for SqliteStore {
    async fn get_approval(
        &self,
        scope: &OrgScope,
        id: ApprovalId,
    ) -> StoreResult<Option<Approval>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| {
            let row = db
                .prepare_cached(GET_APPROVAL)?
                .query_row(params![org, id.uuid().as_bytes()], approval_body)
                .optional()?;
            Ok(row.map(Approval::try_from).transpose()?)
        })
        .await
    }

    async fn list_approvals(
        &self,
        scope: &OrgScope,
        filter: &ApprovalFilter,
        page: Page,
    ) -> StoreResult<Vec<Approval>> {
        let org = scope.org().as_str().to_owned();
        let filter = filter.clone();
        self.read(move |db| list(db, &org, &filter, &page)).await
    }

    async fn system_due_approvals(
        &self,
        at: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<(OrgId, ApprovalId)>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(DUE_APPROVALS)?;
            let mut rows = statement.query(params![at.as_micros(), limit])?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                let id = ApprovalId::new(Uuid::from_bytes(row.get(1)?));
                due.push((org(Column("approvals", "org"), &name)?, id));
            }
            Ok(due)
        })
        .await
    }
}
