//! Approvals, read; they are written with their run's transitions.

use super::pool::get;
use super::threads::below;
use super::{PostgresStore, statements};
use crate::decode::{ApprovalBody, Column, org};
use async_trait::async_trait;
use domain::approval::Approval;
use domain::ports::store::{ApprovalFilter, ApprovalStore, Page, StoreResult};
use domain::{ApprovalId, OrgId, OrgScope, Timestamp};
use tokio_postgres::Row;

statements! {
    GET_APPROVAL = "SELECT id, status, resolved_at, reason, body FROM approvals WHERE org = $1 AND id = $2";
    LIST_APPROVALS = "SELECT id, status, resolved_at, reason, body FROM approvals
        WHERE org = $1 AND (requested_at, id) < ($2, $3) ORDER BY requested_at DESC, id DESC LIMIT $4";
    LIST_APPROVALS_OF_RUN = "SELECT id, status, resolved_at, reason, body FROM approvals
        WHERE org = $1 AND run = $5 AND (requested_at, id) < ($2, $3) AND ($6::text IS NULL OR status = $6)
        ORDER BY requested_at DESC, id DESC LIMIT $4";
    LIST_APPROVALS_BY_STATUS = "SELECT id, status, resolved_at, reason, body FROM approvals
        WHERE org = $1 AND status = $5 AND (requested_at, id) < ($2, $3)
        ORDER BY requested_at DESC, id DESC LIMIT $4";
    DUE_APPROVALS = "SELECT org, id FROM approvals WHERE status = 'pending' AND expires_at <= $1
        AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.org = approvals.org AND runs.id = approvals.run
            AND runs.hold IS NOT NULL)
        ORDER BY expires_at LIMIT $2";
}

fn approval(row: &Row) -> StoreResult<Approval> {
    Approval::try_from(ApprovalBody {
        id: get(row, 0)?,
        status: get(row, 1)?,
        resolved_at: get(row, 2)?,
        reason: get(row, 3)?,
        body: get(row, 4)?,
    })
}

#[async_trait]
impl ApprovalStore for PostgresStore {
    async fn get_approval(
        &self,
        scope: &OrgScope,
        id: ApprovalId,
    ) -> StoreResult<Option<Approval>> {
        let row = self
            .pool
            .read_one(GET_APPROVAL, &[&scope.org().as_str(), &id.uuid()])
            .await?;
        row.as_ref().map(approval).transpose()
    }

    async fn list_approvals(
        &self,
        scope: &OrgScope,
        filter: &ApprovalFilter,
        page: Page,
    ) -> StoreResult<Vec<Approval>> {
        let org = scope.org().as_str();
        let (at, id, limit) = below(&page);
        let status = filter.status.map(|status| status.as_str());
        let rows = match (filter.run, status) {
            (Some(run), status) => {
                let run = run.uuid();
                self.pool
                    .read(
                        LIST_APPROVALS_OF_RUN,
                        &[&org, &at, &id, &limit, &run, &status],
                    )
                    .await?
            }
            (None, Some(status)) => {
                self.pool
                    .read(LIST_APPROVALS_BY_STATUS, &[&org, &at, &id, &limit, &status])
                    .await?
            }
            (None, None) => {
                self.pool
                    .read(LIST_APPROVALS, &[&org, &at, &id, &limit])
                    .await?
            }
        };
        rows.iter().map(approval).collect()
    }

    async fn system_due_approvals(
        &self,
        at: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<(OrgId, ApprovalId)>> {
        let rows = self
            .pool
            .read(DUE_APPROVALS, &[&at.as_micros(), &i64::from(limit)])
            .await?;
        rows.iter()
            .map(|row| {
                let name = org(Column("approvals", "org"), get(row, 0)?)?;
                Ok((name, ApprovalId::new(get(row, 1)?)))
            })
            .collect()
    }
}
