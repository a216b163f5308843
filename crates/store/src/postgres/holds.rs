//! Runs put on hold and let go.

use super::pool::Guard;
use super::runs::run;
use super::threads::below;
use super::{PostgresStore, statements};
use crate::encode;
use async_trait::async_trait;
use domain::OrgScope;
use domain::audit::Entry;
use domain::ports::store::{Expected, HoldStore, Page, StoreError, StoreResult};
use domain::run::Run;

statements! {
    SET_HOLD = "UPDATE runs SET hold = $5, owner = NULL, epoch = $6, version = $7, body = $8
        WHERE org = $1 AND id = $2 AND epoch = $3 AND version = $4
        AND status IN ('queued', 'running', 'awaiting_approval') RETURNING 1";
    NOTE_HOLD = "SELECT 1 FROM append_audit_6(ARRAY[$1::text], ARRAY[$2::text])";
    LIST_HELD = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = $1 AND hold IS NOT NULL AND (created_at, id) < ($2, $3)
        AND status IN ('queued', 'running', 'awaiting_approval') ORDER BY created_at DESC, id DESC LIMIT $4";
}

#[async_trait]
impl HoldStore for PostgresStore {
    async fn set_hold(
        &self,
        scope: &OrgScope,
        run: &Run,
        expected: Expected,
        entry: &Entry,
    ) -> StoreResult<()> {
        let org = scope.org().as_str();
        let (hold, body, entry) = (encode::hold(run)?, encode::json(run)?, encode::json(entry)?);
        let guard = Guard {
            sql: SET_HOLD,
            params: &[
                &org,
                &run.id.uuid(),
                &expected.epoch.cast_signed(),
                &expected.version.cast_signed(),
                &hold,
                &run.epoch.cast_signed(),
                &run.version.cast_signed(),
                &body,
            ],
        };
        let done = self
            .pool
            .write_guarded(&[guard], NOTE_HOLD, &[&org, &entry])
            .await;
        match done {
            Ok(_) => Ok(()),
            Err(StoreError::GrantGone) => Err(StoreError::Stale),
            Err(error) => Err(error),
        }
    }

    async fn list_held(&self, scope: &OrgScope, page: Page) -> StoreResult<Vec<Run>> {
        let (at, id, limit) = below(&page);
        let org = scope.org().as_str();
        let rows = self.pool.read(LIST_HELD, &[&org, &at, &id, &limit]).await?;
        rows.iter().map(run).collect()
    }
}
