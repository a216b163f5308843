//! A memory of tools' definitions that keeps nothing.

use async_trait::async_trait;
use domain::Timestamp;
use domain::pin::{ToolOffer, ToolPin};
use domain::ports::store::{PinStore, StoreResult};

/// Trusts whatever it is told and remembers nothing; for looking at servers without a store.
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
