//! Logins at other servers, as the store keeps them: sealed, so that it holds no token that it could tell.

use super::store::StoreResult;
use crate::{OrgId, Timestamp};
use async_trait::async_trait;
use std::time::Duration;
use uuid::Uuid;

/// Whose login, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginOf {
    /// The name of a declared MCP server.
    pub server: String,
    /// `None` is the login that the operator made for all orgs without one of their own.
    pub org: Option<OrgId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedLogin {
    /// Text that only who has the key can read.
    pub sealed: String,
    pub changed_at: Timestamp,
}

/// Logins at MCP servers. They are the operator's, who makes them for an org or for all.
///
/// Some authorization servers take a refresh token once, so of several servers on one database one at a time may use it:
/// it holds the login for a while.
#[async_trait]
pub trait LoginStore: Send + Sync {
    async fn system_find_login(&self, of: &LoginOf) -> StoreResult<Option<SealedLogin>>;
    /// Puts a new login in the place of whatever is there. Whoever held that holds nothing any more.
    async fn system_put_login(&self, of: &LoginOf, login: &SealedLogin) -> StoreResult<()>;
    /// False if there was none.
    async fn system_delete_login(&self, of: &LoginOf) -> StoreResult<bool>;
    /// True if nobody else holds it now; then nobody else does for the time of `lease`, by the store's clock.
    async fn system_hold_login(
        &self,
        of: &LoginOf,
        holder: Uuid,
        lease: Duration,
    ) -> StoreResult<bool>;
    /// What came of using it. False, and nothing is kept, if it is not held by `holder` any more.
    async fn system_renew_login(
        &self,
        of: &LoginOf,
        holder: Uuid,
        login: &SealedLogin,
    ) -> StoreResult<bool>;
    async fn system_release_login(&self, of: &LoginOf, holder: Uuid) -> StoreResult<()>;
}
