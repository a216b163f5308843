//! Runs put on hold and let go.

use super::runs::run_body;
use super::threads::below;
use super::{SqliteStore, audit, statements};
use crate::encode;
use async_trait::async_trait;
use domain::OrgScope;
use domain::audit::Entry;
use domain::ports::store::{Expected, HoldStore, Page, StoreError, StoreResult};
use domain::run::Run;
use rusqlite::params;

statements! {
    SET_HOLD = "UPDATE runs SET hold = ?5, owner = NULL, epoch = ?6, version = ?7, body = ?8
        WHERE org = ?1 AND id = ?2 AND epoch = ?3 AND version = ?4
        AND status IN ('queued', 'running', 'awaiting_approval')";
    LIST_HELD = "SELECT id, body, epoch, version, hold FROM runs
        WHERE org = ?1 AND hold IS NOT NULL AND (created_at, id) < (?2, ?3)
        AND status IN ('queued', 'running', 'awaiting_approval') ORDER BY created_at DESC, id DESC LIMIT ?4";
}

#[async_trait]
impl HoldStore for SqliteStore {
    async fn set_hold(
        &self,
        scope: &OrgScope,
        run: &Run,
        expected: Expected,
        entry: &Entry,
    ) -> StoreResult<()> {
        let org = scope.org().as_str().to_owned();
        let (hold, body, entry) = (encode::hold(run)?, encode::json(run)?, encode::json(entry)?);
        let (id, epoch, version) = (run.id.uuid(), run.epoch, run.version);
        self.write(move |db| {
            let changed = db.prepare_cached(SET_HOLD)?.execute(params![
                org,
                id.as_bytes(),
                expected.epoch.cast_signed(),
                expected.version.cast_signed(),
                hold,
                epoch.cast_signed(),
                version.cast_signed(),
                body,
            ])?;
            if changed == 0 {
                return Err(StoreError::Stale.into());
            }
            audit::append(db, &org, std::slice::from_ref(&entry))
        })
        .await
    }

    async fn list_held(&self, scope: &OrgScope, page: Page) -> StoreResult<Vec<Run>> {
        let org = scope.org().as_str().to_owned();
        self.read(move |db| {
            let (at, id) = below(&page);
            let mut statement = db.prepare_cached(LIST_HELD)?;
            let rows = statement.query_map(params![org, at, id, page.limit], run_body)?;
            let mut runs = Vec::new();
            for row in rows {
                runs.push(Run::try_from(row?)?);
            }
            Ok(runs)
        })
        .await
    }
}
