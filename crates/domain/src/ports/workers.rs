//! Workers' leases, and who holds which run.

use super::store::StoreResult;
use crate::run::Run;
use crate::{OrgId, OrgScope, RunId, WorkerId};
use async_trait::async_trait;
use std::time::Duration;

/// A run taken over by a worker. `run.epoch` is already the new one.
#[derive(Debug, Clone)]
pub struct Claimed {
    pub run: Run,
    /// The earlier holder's lease ran out; false where nobody held it.
    pub crashed: bool,
}

/// A run that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeldRun {
    pub org: OrgId,
    pub id: RunId,
    pub epoch: u64,
}

#[async_trait]
pub trait WorkerStore: Send + Sync {
    /// Makes the worker known, its lease lasting until `at + lease` by the store's clock.
    async fn system_register_worker(&self, worker: WorkerId, lease: Duration) -> StoreResult<()>;
    /// Renews the lease. False if it ran out and was taken: the worker must stop its runs.
    async fn system_heartbeat(&self, worker: WorkerId, lease: Duration) -> StoreResult<bool>;
    /// Ends the worker's lease and lets go of every run it holds.
    async fn system_release_worker(&self, worker: WorkerId) -> StoreResult<()>;
    /// Takes at most `limit` runs that can go on, that no live worker holds and that are not on hold: queued runs that
    /// are first on their thread, and running ones. Raises their epoch and version. Fair between orgs.
    async fn system_claim_runs(&self, worker: WorkerId, limit: u32) -> StoreResult<Vec<Claimed>>;
    /// Runs that this worker holds by the store's account, with their epochs.
    async fn system_runs_of_worker(&self, worker: WorkerId) -> StoreResult<Vec<HeldRun>>;
    /// Lets go of one of them, if it is still as it was; then anybody may take it.
    async fn let_go(
        &self,
        scope: &OrgScope,
        id: RunId,
        worker: WorkerId,
        epoch: u64,
    ) -> StoreResult<bool>;
    /// Takes one run, if it can go on, no live worker holds it and it is not on hold.
    async fn claim_run(
        &self,
        scope: &OrgScope,
        id: RunId,
        worker: WorkerId,
    ) -> StoreResult<Option<Claimed>>;
}
