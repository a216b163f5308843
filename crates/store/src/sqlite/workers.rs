//! Workers' leases, and who holds which run.

use super::{SqliteStore, claims, statements};
use crate::decode::{self, Column};
use async_trait::async_trait;
use domain::ports::store::{Claimed, HeldRun, StoreResult, WorkerStore};
use domain::seeded::Seeded;
use domain::{OrgScope, RunId, WorkerId};
use rusqlite::params;
use std::time::Duration;
use uuid::Uuid;

statements! {
    REGISTER = "INSERT INTO workers (id, lease_until) VALUES (?1, ?2)
        ON CONFLICT (id) DO UPDATE SET lease_until = excluded.lease_until";
    HEARTBEAT = "UPDATE workers SET lease_until = ?2 WHERE id = ?1";
    FORGET = "DELETE FROM workers WHERE id = ?1";
    HELD = "SELECT org, id, epoch FROM runs WHERE owner = ?1";
    LET_GO_ONE = "UPDATE runs SET owner = NULL WHERE org = ?1 AND id = ?2 AND owner = ?3 AND epoch = ?4";
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

    async fn system_runs_of_worker(&self, worker: WorkerId) -> StoreResult<Vec<HeldRun>> {
        self.read(move |db| {
            let mut statement = db.prepare_cached(HELD)?;
            let mut rows = statement.query(params![worker.uuid().as_bytes()])?;
            let mut held = Vec::new();
            while let Some(row) = rows.next()? {
                let org: String = row.get(0)?;
                held.push(HeldRun {
                    org: decode::org(Column("runs", "org"), &org)?,
                    id: RunId::new(Uuid::from_bytes(row.get(1)?)),
                    epoch: row.get::<_, i64>(2)?.cast_unsigned(),
                });
            }
            Ok(held)
        })
        .await
    }

    async fn let_go(
        &self,
        scope: &OrgScope,
        id: RunId,
        worker: WorkerId,
        epoch: u64,
    ) -> StoreResult<bool> {
        let org = scope.org().as_str().to_owned();
        self.write(move |db| {
            let (id, worker) = (id.uuid(), worker.uuid());
            let row = params![org, id.as_bytes(), worker.as_bytes(), epoch.cast_signed()];
            Ok(db.prepare_cached(LET_GO_ONE)?.execute(row)? > 0)
        })
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
