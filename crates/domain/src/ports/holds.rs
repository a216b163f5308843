//! Runs that are kept where they are.

use super::store::{Expected, Page, StoreResult};
use crate::OrgScope;
use crate::audit::Entry;
use crate::run::Run;
use async_trait::async_trait;

#[async_trait]
pub trait HoldStore: Send + Sync {
    /// Writes a run as it is with another hold or without one, if it is still as `expected` and not over, else `Stale`.
    /// Nobody holds its lease afterwards. With it the entry joins the org's record.
    async fn set_hold(
        &self,
        scope: &OrgScope,
        run: &Run,
        expected: Expected,
        entry: &Entry,
    ) -> StoreResult<()>;
    /// Runs on hold that are not over, by `created_at`, then id, descending.
    async fn list_held(&self, scope: &OrgScope, page: Page) -> StoreResult<Vec<Run>>;
}
