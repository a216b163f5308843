//! Workers' leases, by the database's clock, and who holds which run.

use super::pool::get;
use super::{PostgresStore, claims, db_now, statements};
use crate::decode::{self, Column};
use async_trait::async_trait;
use domain::ports::store::{Claimed, HeldRun, StoreResult, WorkerStore};
use domain::seeded::Seeded;
use domain::{OrgScope, RunId, WorkerId};
use std::time::Duration;

statements! {
    REGISTER = concat!("INSERT INTO workers (id, lease_until) VALUES ($1, ", db_now!(), " + $2)
        ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until");
    HEARTBEAT = concat!("UPDATE workers SET lease_until = ", db_now!(), " + $2 WHERE id = $1 RETURNING 1");
    HELD = "SELECT org, id, epoch FROM runs WHERE owner = $1";
    LET_GO_ONE = "UPDATE runs SET owner = NULL WHERE org = $1 AND id = $2 AND owner = $3 AND epoch = $4
        RETURNING 1";
    RELEASE = "WITH gone AS (DELETE FROM workers WHERE id = $1)
        UPDATE runs SET owner = NULL WHERE owner = $1";
}

/// Both are sent as reads are: said twice they are the same, so a connection that breaks leaves nothing unknown.
fn micros(lease: Duration) -> i64 {
    i64::try_from(lease.as_micros()).unwrap_or(i64::MAX)
}

#[async_trait]
impl WorkerStore for PostgresStore {
    async fn system_register_worker(&self, worker: WorkerId, lease: Duration) -> StoreResult<()> {
        self.leases
            .read(REGISTER, &[&worker.uuid(), &micros(lease)])
            .await?;
        Ok(())
    }

    async fn system_heartbeat(&self, worker: WorkerId, mut lease: Duration) -> StoreResult<bool> {
        if Seeded::LeaseUnrenewed.is_on() {
            lease = Duration::ZERO;
        }
        let rows = self
            .leases
            .read(HEARTBEAT, &[&worker.uuid(), &micros(lease)])
            .await?;
        Ok(!rows.is_empty())
    }

    async fn system_release_worker(&self, worker: WorkerId) -> StoreResult<()> {
        self.pool.write(RELEASE, &[&worker.uuid()]).await?;
        Ok(())
    }

    async fn system_claim_runs(&self, worker: WorkerId, limit: u32) -> StoreResult<Vec<Claimed>> {
        claims::claim_any(&self.pool, worker, limit).await
    }

    async fn system_runs_of_worker(&self, worker: WorkerId) -> StoreResult<Vec<HeldRun>> {
        let rows = self.pool.read(HELD, &[&worker.uuid()]).await?;
        rows.iter()
            .map(|row| {
                Ok(HeldRun {
                    org: decode::org(Column("runs", "org"), get(row, 0)?)?,
                    id: RunId::new(get(row, 1)?),
                    epoch: get::<i64>(row, 2)?.cast_unsigned(),
                })
            })
            .collect()
    }

    async fn let_go(
        &self,
        scope: &OrgScope,
        id: RunId,
        worker: WorkerId,
        epoch: u64,
    ) -> StoreResult<bool> {
        let org = scope.org().as_str();
        let rows = self
            .pool
            .write(
                LET_GO_ONE,
                &[&org, &id.uuid(), &worker.uuid(), &epoch.cast_signed()],
            )
            .await?;
        Ok(!rows.is_empty())
    }

    async fn claim_run(
        &self,
        scope: &OrgScope,
        id: RunId,
        worker: WorkerId,
    ) -> StoreResult<Option<Claimed>> {
        claims::claim_one(&self.pool, scope, id, worker).await
    }
}
