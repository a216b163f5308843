//! What the store keeps of remembered approvals. Each method is one transaction.

use super::store::{Page, StoreResult};
use crate::grant::{Grant, GrantScope, GrantUse};
use crate::key::Principal;
use crate::{GrantId, OrgScope, Timestamp};
use async_trait::async_trait;

/// Grants are made and used by the runs' transitions.
#[async_trait]
pub trait GrantStore: Send + Sync {
    /// Grants that are live at `at`, newest first, at most `limits::GRANTS_TRIED_MAX`.
    async fn live_grants(
        &self,
        scope: &OrgScope,
        of: &GrantScope,
        at: Timestamp,
    ) -> StoreResult<Vec<Grant>>;
    /// By `created_at`, then id, descending; revoked and used ones included.
    async fn list_grants(&self, scope: &OrgScope, page: Page) -> StoreResult<Vec<Grant>>;
    async fn get_grant(&self, scope: &OrgScope, id: GrantId) -> StoreResult<Option<Grant>>;
    /// What a grant let through, newest first, at most `limits::GRANT_USES_SHOWN_MAX`.
    async fn grant_uses(&self, scope: &OrgScope, id: GrantId) -> StoreResult<Vec<GrantUse>>;
    /// From its return on, no call is dispatched by the grant. The grant as it is then; the first revocation stands
    /// and is in the org's record.
    async fn revoke_grant(
        &self,
        scope: &OrgScope,
        id: GrantId,
        by: &Principal,
        at: Timestamp,
    ) -> StoreResult<Option<Grant>>;
}
