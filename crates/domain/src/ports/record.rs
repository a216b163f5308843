//! What the store keeps of decisions, and what it keeps to be sent. Each method is one transaction.

use super::store::StoreResult;
use crate::audit::{Entry, Head, Link};
use crate::webhook::{DeliveryState, Posted, Settled};
use crate::{OrgId, OrgScope, Timestamp};
use async_trait::async_trait;
use std::time::Duration;
use uuid::Uuid;

/// Each org's record of decisions, chained by hashes: SHA-256 of the hash before, the number (eight bytes, the highest
/// first) and the entry's text.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Adds entries in order. What belongs to a transition joins it instead.
    async fn append_audit(&self, scope: &OrgScope, entries: &[Entry]) -> StoreResult<()>;
    /// Links numbered above `after`, in order.
    async fn list_audit(&self, scope: &OrgScope, after: u64, limit: u32) -> StoreResult<Vec<Link>>;
    /// `None` while nothing was recorded.
    async fn audit_head(&self, scope: &OrgScope) -> StoreResult<Option<Head>>;
    /// Orgs, by name.
    async fn system_list_orgs(&self) -> StoreResult<Vec<OrgId>>;
    /// Remembers a fact about the server. Where it is another than before, the entry joins every org's record; a fact that
    /// was not known before is remembered without a word. True if it changed.
    async fn system_note_fact(&self, name: &str, value: &str, entry: &Entry) -> StoreResult<bool>;
}

/// Messages to other systems. They are written with the transitions that they tell of.
#[async_trait]
pub trait OutboxStore: Send + Sync {
    /// Takes messages of an endpoint that are due, oldest first, for the time of `lease`: who is not done by then has
    /// died, and they are due again. Counts as an attempt.
    async fn system_take_deliveries(
        &self,
        endpoint: &str,
        at: Timestamp,
        lease: Duration,
        limit: u32,
    ) -> StoreResult<Vec<Posted>>;
    /// False if somebody else has taken the message since.
    async fn system_settle_delivery(
        &self,
        seq: u64,
        attempts: u32,
        settled: &Settled,
    ) -> StoreResult<bool>;
    /// Newest first; those numbered below `below` only.
    async fn list_deliveries(
        &self,
        scope: &OrgScope,
        state: Option<DeliveryState>,
        below: Option<u64>,
        limit: u32,
    ) -> StoreResult<Vec<Posted>>;
    /// Sends a message again, as if it had never been tried. False if there is no such message.
    async fn replay_delivery(&self, scope: &OrgScope, id: Uuid, at: Timestamp)
    -> StoreResult<bool>;
    /// Removes delivered messages that are older.
    async fn system_sweep_deliveries(&self, before: Timestamp) -> StoreResult<u64>;
}
