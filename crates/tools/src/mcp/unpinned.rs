//! A memory of what is known of servers that keeps nothing.

use async_trait::async_trait;
use domain::Timestamp;
use domain::pin::{ToolOffer, ToolPin};
use domain::ports::logins::{LoginOf, LoginStore, SealedLogin};
use domain::ports::store::{PinStore, StoreResult};
use std::time::Duration;
use uuid::Uuid;

/// Trusts whatever it is told, remembers nothing, and nobody is logged in; for looking at servers without a store.
pub struct Unpinned;

#[async_trait]
impl PinStore for Unpinned {
    async fn system_see_tools(
        &self,
        server: &str,
        offers: &[ToolOffer],
        at: Timestamp,
    ) -> StoreResult<Vec<ToolPin>> {
        let pin = |offer: &ToolOffer| ToolPin {
            server: server.to_owned(),
            digest: offer.digest(),
            trusted: offer.clone(),
            pinned_at: at,
            offered: None,
        };
        Ok(offers.iter().map(pin).collect())
    }

    async fn system_tool_pins(&self) -> StoreResult<Vec<ToolPin>> {
        Ok(Vec::new())
    }

    async fn system_accept_tool(
        &self,
        _: &str,
        _: &str,
        _: &str,
        _: Timestamp,
    ) -> StoreResult<bool> {
        Ok(false)
    }
}

#[async_trait]
impl LoginStore for Unpinned {
    async fn system_find_login(&self, _: &LoginOf) -> StoreResult<Option<SealedLogin>> {
        Ok(None)
    }

    async fn system_put_login(&self, _: &LoginOf, _: &SealedLogin) -> StoreResult<()> {
        Ok(())
    }

    async fn system_delete_login(&self, _: &LoginOf) -> StoreResult<bool> {
        Ok(false)
    }

    async fn system_hold_login(&self, _: &LoginOf, _: Uuid, _: Duration) -> StoreResult<bool> {
        Ok(false)
    }

    async fn system_renew_login(&self, _: &LoginOf, _: Uuid, _: &SealedLogin) -> StoreResult<bool> {
        Ok(false)
    }

    async fn system_release_login(&self, _: &LoginOf, _: Uuid) -> StoreResult<()> {
        Ok(())
    }
}
