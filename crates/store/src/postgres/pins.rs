//! What is trusted of the tools that other servers offer.

use super::pool::get;
use super::{PostgresStore, statements};
use crate::decode::PinRow;
use crate::encode::json;
use async_trait::async_trait;
use domain::Timestamp;
use domain::pin::{ToolOffer, ToolPin};
use domain::ports::store::{PinStore, StoreResult};
use tokio_postgres::Row;

statements! {
    SEE = "INSERT INTO tool_pins AS pin (server, tool, digest, definition, pinned_at)
        SELECT $1, seen.tool, seen.digest, seen.definition, $5
        FROM unnest($2::text[], $3::text[], $4::text[]) AS seen (tool, digest, definition)
        ORDER BY seen.tool
        ON CONFLICT (server, tool) DO UPDATE SET
            offered_digest = CASE WHEN excluded.digest = pin.digest THEN NULL ELSE excluded.digest END,
            offered = CASE WHEN excluded.digest = pin.digest THEN NULL ELSE excluded.definition END,
            offered_at = CASE WHEN excluded.digest = pin.digest THEN NULL
                WHEN excluded.digest = pin.offered_digest THEN pin.offered_at ELSE excluded.pinned_at END
        RETURNING server, tool, digest, definition, pinned_at, offered_digest, offered, offered_at";
    ALL_PINS = "SELECT server, tool, digest, definition, pinned_at, offered_digest, offered, offered_at
        FROM tool_pins ORDER BY server, tool";
    ACCEPT = "UPDATE tool_pins SET digest = offered_digest, definition = offered, pinned_at = $4,
            offered_digest = NULL, offered = NULL, offered_at = NULL
        WHERE server = $1 AND tool = $2 AND offered_digest = $3 RETURNING 1";
}

fn pin(row: &Row) -> StoreResult<ToolPin> {
    ToolPin::try_from(PinRow {
        server: get(row, 0)?,
        tool: get(row, 1)?,
        digest: get(row, 2)?,
        definition: get(row, 3)?,
        pinned_at: get(row, 4)?,
        offered_digest: get(row, 5)?,
        offered: get(row, 6)?,
        offered_at: get(row, 7)?,
    })
}

#[async_trait]
impl PinStore for PostgresStore {
    async fn system_see_tools(
        &self,
        server: &str,
        offers: &[ToolOffer],
        at: Timestamp,
    ) -> StoreResult<Vec<ToolPin>> {
        let names: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
        let digests: Vec<String> = offers.iter().map(ToolOffer::digest).collect();
        let definitions = offers.iter().map(json).collect::<StoreResult<Vec<_>>>()?;
        let rows = self
            .pool
            .write(
                SEE,
                &[&server, &names, &digests, &definitions, &at.as_micros()],
            )
            .await?;
        rows.iter().map(pin).collect()
    }

    async fn system_tool_pins(&self) -> StoreResult<Vec<ToolPin>> {
        let rows = self.pool.read(ALL_PINS, &[]).await?;
        rows.iter().map(pin).collect()
    }

    async fn system_accept_tool(
        &self,
        server: &str,
        tool: &str,
        digest: &str,
        at: Timestamp,
    ) -> StoreResult<bool> {
        let rows = self
            .pool
            .write(ACCEPT, &[&server, &tool, &digest, &at.as_micros()])
            .await?;
        Ok(!rows.is_empty())
    }
}
