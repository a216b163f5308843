//! Workers' leases, and who holds which run.

use super::{SqliteStore, claims, statements};
use async_trait::async_trait;
use domain::ports::store::{Claimed, StoreResult, WorkerStore};
use domain::seeded::Seeded;
use domain::{OrgScope, RunId, WorkerId};
use rusqlite::params;
use std::time::Duration;

statements! {
    REGISTER = "INSERT INTO workers (id, lease_until) VALUES (?1, ?2)
        ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until";
    HEARTBEAT = "UPDATE workers SET lease_until = ?2 WHERE id = ?1";
    FORGET = "DELETE FROM workers WHERE id = ?1";
    LET_GO = "UPDATE runs SET owner = NULL WHERE owner = ?1";
}

fn until(now: i64, lease: Duration) -> i64 {
    now.saturating_add(i64::try_from(lease.as_micros()).unwrap_or(i64::MAX))
}

#[async_trait]
impl WorkerStore for SqliteStore {
    async fn system_register_worker(&self, worker: WorkerId, lease: Duration) -> StoreResult<()> {
        let leases = self.leases;
        self.write(move |db| {
            let until = until(leases.now(), lease);
            db.prepare_cached(REGISTER)?
                .execute(params![worker.uuid().as_bytes(), until])?;
            Ok(())
        })
        .await
    }

    async fn system_heartbeat(&self, worker: WorkerId, mut lease: Duration) -> StoreResult<bool> {
        let leases = self.leases;
        if Seeded::LeaseUnrenewed.is_on() {
            lease = Duration::ZERO;
        }
        self.write(move |db| {
            let until = until(leases.now(), lease);
            let changed = db
                .prepare_cached(HEARTBEAT)?
                .execute(params![worker.uuid().as_bytes(), until])?;
            Ok(changed == 1)
        })
        .await
    }

    async fn system_release_worker(&self, worker: WorkerId) -> StoreResult<()> {
        self.write(move |db| {
            let id = worker.uuid().into_bytes();
            db.prepare_cached(LET_GO)?.execute(params![id])?;
            db.prepare_cached(FORGET)?.execute(params![id])?;
            Ok(())
        })
        .await
    }

    async fn system_claim_runs(&self, worker: WorkerId, limit: u32) -> StoreResult<Vec<Claimed>> {
        let leases = self.leases;
        // Looking is left to a reader: a sweep that finds nothing must not make the writer wait.
        let found = self
            .read(move |db| claims::candidates(db, leases.now(), limit))
            .await?;
        if found.is_empty() {
            return Ok(Vec::new());
        }
        self.write(move |db| claims::claim(db, worker, leases.now(), &found))
            .await
    }

    async fn claim_run(
        &self,
        scope: &OrgScope,
        id: RunId,
        worker: WorkerId,
    ) -> StoreResult<Option<Claimed>> {
        let leases = self.leases;
        let found = vec![(scope.org().as_str().to_owned(), id.uuid())];
        self.write(move |db| {
            let claimed = claims::claim(db, worker, leases.now(), &found)?;
            Ok(claimed.into_iter().next())
        })
        .await
    }
}
