//! What is trusted of the tools that other servers offer.

use super::{SqliteStore, statements};
use crate::decode::PinRow;
use crate::encode::json;
use async_trait::async_trait;
use domain::Timestamp;
use domain::pin::{ToolOffer, ToolPin};
use domain::ports::store::{PinStore, StoreResult};
use rusqlite::{Row, params};

statements! {
    SEE = "INSERT INTO tool_pins (server, tool, digest, definition, pinned_at)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (server, tool) DO UPDATE SET
            offered_digest = CASE WHEN excluded.digest = digest THEN NULL ELSE excluded.digest END,
            offered = CASE WHEN excluded.digest = digest THEN NULL ELSE excluded.definition END,
            offered_at = CASE WHEN excluded.digest = digest THEN NULL
                WHEN excluded.digest = offered_digest THEN offered_at ELSE excluded.pinned_at END
        RETURNING server, tool, digest, definition, pinned_at, offered_digest, offered, offered_at";
    ALL_PINS = "SELECT server, tool, digest, definition, pinned_at, offered_digest, offered, offered_at
        FROM tool_pins ORDER BY server, tool";
    ACCEPT = "UPDATE tool_pins SET digest = offered_digest, definition = offered, pinned_at = ?4,
            offered_digest = NULL, offered = NULL, offered_at = NULL
        WHERE server = ?1 AND tool = ?2 AND offered_digest = ?3";
}

fn pin_row(row: &Row<'_>) -> rusqlite::Result<PinRow> {
    Ok(PinRow {
        server: row.get(0)?,
        tool: row.get(1)?,
        digest: row.get(2)?,
        definition: row.get(3)?,
        pinned_at: row.get(4)?,
        offered_digest: row.get(5)?,
        offered: row.get(6)?,
        offered_at: row.get(7)?,
    })
}

#[async_trait]
impl PinStore for SqliteStore {
    async fn system_see_tools(
        &self,
        server: &str,
        offers: &[ToolOffer],
        at: Timestamp,
    ) -> StoreResult<Vec<ToolPin>> {
        let server = server.to_owned();
        let mut rows = Vec::with_capacity(offers.len());
        for offer in offers {
            rows.push((offer.name.clone(), offer.digest(), json(offer)?));
        }
        self.write(move |db| {
            let mut statement = db.prepare_cached(SEE)?;
            let mut pins = Vec::with_capacity(rows.len());
            for (tool, digest, definition) in &rows {
                let row = statement.query_row(
                    params![server, tool, digest, definition, at.as_micros()],
                    pin_row,
                )?;
                pins.push(ToolPin::try_from(row)?);
            }
            Ok(pins)
        })
        .await
    }

    async fn system_tool_pins(&self) -> StoreResult<Vec<ToolPin>> {
        self.read(|db| {
            let mut statement = db.prepare_cached(ALL_PINS)?;
            let rows = statement.query_map([], pin_row)?;
            let mut pins = Vec::new();
            for row in rows {
                pins.push(ToolPin::try_from(row?)?);
            }
            Ok(pins)
        })
        .await
    }

    async fn system_accept_tool(
        &self,
        server: &str,
        tool: &str,
        digest: &str,
        at: Timestamp,
    ) -> StoreResult<bool> {
        let (server, tool, digest) = (server.to_owned(), tool.to_owned(), digest.to_owned());
        self.write(move |db| {
            let changed = db.prepare_cached(ACCEPT)?.execute(params![
                server,
                tool,
                digest,
                at.as_micros()
            ])?;
            Ok(changed == 1)
        })
        .await
    }
}
