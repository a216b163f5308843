//! The worker's own life: its lease, its search for runs that nobody drives, approvals whose time is over, and its end.

use crate::{Engine, EngineError};
use domain::crash::crash_point;
use domain::ports::bus::Notice;
use domain::ports::store::StoreError;
use domain::seeded::Seeded;
use domain::{OrgScope, RunId, WorkerId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Approvals expired in one look.
const DUE_APPROVALS: u32 = 100;

/// Between two questions whether the lease still stands.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Sessions expired in one look.
const DUE_SESSIONS: u32 = 100;

pub(crate) async fn heartbeat(engine: Arc<Engine>) {
    let mut ticks = tokio::time::interval(engine.settings.heartbeat);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = engine.stopping.cancelled() => return,
        }
        let asked = Instant::now();
        match engine
            .store
            .system_heartbeat(engine.worker_id(), engine.settings.lease)
            .await
        {
            Ok(true) => {
                engine.own_lease.renewed(asked);
                engine.counters.renewed();
            }
            Ok(false) => renew_identity(&engine).await,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the lease could not be renewed"
                );
            }
        }
    }
}

/// The lease is gone: runs of the old identity belong to whoever takes them. What still runs here finds its writes
/// refused and stops.
async fn renew_identity(engine: &Engine) {
    let fresh = WorkerId::new(engine.clock.uuid());
    let asked = Instant::now();
    match engine
        .store
        .system_register_worker(fresh, engine.settings.lease)
        .await
    {
        Ok(()) => {
            tracing::warn!(worker.id = %fresh, "the lease was lost; going on under a new one");
            *engine.worker.lock().expect("no holder of this lock panics") = fresh;
            engine.own_lease.begun_anew(asked);
        }
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no new lease could be had"
            );
        }
    }
}

pub(crate) async fn sweep(engine: Arc<Engine>) {
    loop {
        let found = match claim(&engine).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "the sweep failed");
                0
            }
        };
        expire_approvals(&engine).await;
        expire_sessions(&engine).await;
        // A full batch means that there is more: go on, but leave others a share of the herd.
        let full = found >= engine.settings.claim_batch;
        let pause = if full {
            Duration::from_millis(20)
        } else {
            engine.settings.sweep
        };
        let jitter = Duration::from_millis(u64::from(engine.clock.uuid().as_bytes()[15]) % 50);
        tokio::select! {
            () = tokio::time::sleep(pause + jitter), if !Seeded::SweepOff.is_on() => {}
            () = engine.work.notified(), if !full => {}
            () = engine.draining.cancelled() => return,
        }
    }
}

async fn claim(engine: &Arc<Engine>) -> Result<u32, StoreError> {
    let free = u32::try_from(engine.places.available_permits()).unwrap_or(u32::MAX);
    let limit = free.min(engine.settings.claim_batch);
    // Who leaves a run in the store from here on sets it again.
    engine.backlog.store(limit == 0, Ordering::SeqCst);
    if limit == 0 {
        return Ok(0);
    }
    let claimed = engine
        .store
        .system_claim_runs(engine.worker_id(), limit)
        .await?;
    let found = u32::try_from(claimed.len()).unwrap_or(u32::MAX);
    if found >= limit {
        engine.backlog.store(true, Ordering::SeqCst);
    }
    for run in claimed {
        let Ok(place) = engine.places.clone().acquire_owned().await else {
            break;
        };
        engine.spawn_claimed(run, place);
    }
    Ok(found)
}

/// Takes one run that is known to be free, if there is a place for it; else the sweep will.
pub(crate) async fn take(engine: &Arc<Engine>, scope: &OrgScope, run: RunId) {
    if engine.is_draining() {
        return;
    }
    let Some(place) = engine.place() else {
        engine.left_in_store();
        return;
    };
    match engine.store.claim_run(scope, run, engine.worker_id()).await {
        Ok(Some(claimed)) => engine.spawn_claimed(claimed, place),
        Ok(None) => {}
        Err(error) => {
            tracing::warn!(run.id = %run, error = &error as &dyn std::error::Error, "a run that became free could not be taken");
        }
    }
}

async fn expire_approvals(engine: &Arc<Engine>) {
    let due = match engine
        .store
        .system_due_approvals(engine.clock.now(), DUE_APPROVALS)
        .await
    {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "due approvals could not be read"
            );
            return;
        }
    };
    for (org, approval) in due {
        if let Err(error) = engine.expire(&OrgScope::new(org), approval).await {
            tracing::warn!(approval.id = %approval, error = &error as &dyn std::error::Error, "an approval could not be expired");
        }
    }
}

async fn expire_sessions(engine: &Arc<Engine>) {
    let due = match engine
        .store
        .system_due_sessions(engine.clock.now(), DUE_SESSIONS)
        .await
    {
        Ok(due) => due,
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "due sessions could not be read"
            );
            return;
        }
    };
    for (org, session) in due {
        let scope = OrgScope::new(org);
        match engine.open_session(&scope, session).await {
            Ok(_) | Err(EngineError::Terminal { .. } | EngineError::NotFound) => {}
            Err(error) => {
                tracing::warn!(session.id = %session, error = &error as &dyn std::error::Error, "a session could not be expired");
            }
        }
    }
}

impl Engine {
    /// A place for a run at work, if one is free. A run that finds none is left in the store; see `left_in_store`.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// A run that is in the store now waits for a place: the next run that ends makes the sweep look.
    pub(crate) fn left_in_store(&self) {
        self.backlog.store(true, Ordering::SeqCst);
        self.remote.outlet.notice(|| Notice::Work);
        // The last place may have become free in between.
        if self.places.available_permits() > 0 {
            self.work.notify_one();
        }
    }

    /// Right before an effect: is a run that is held under this tenure still this process's? A process that was stopped in
    /// between may be asking long after its lease ended, and another has acted in its place. Only where the lease may be
    /// over is the store asked.
    pub(crate) async fn may_send(&self, tenure: u64) -> bool {
        let holds = || self.own_lease.tenure() == tenure;
        while holds() && !self.own_lease.stands(Instant::now()) {
            let asked = Instant::now();
            let renewed = self
                .store
                .system_heartbeat(self.worker_id(), self.settings.lease)
                .await;
            match renewed {
                Ok(true) => self.own_lease.renewed(asked),
                Ok(false) => return false,
                // Nobody knows while the store does not answer.
                Err(_) => tokio::select! {
                    () = tokio::time::sleep(ASK_AGAIN) => {}
                    () = self.stopping.cancelled() => return false,
                },
            }
        }
        holds()
    }

    /// Takes no more work, waits up to `limit` for what is at work, then lets go of the rest for other workers, or for
    /// this one's next life.
    pub async fn drain(&self, limit: Duration) -> Result<(), EngineError> {
        crash_point("drain.begun");
        self.draining.cancel();
        let idle = async {
            while self.drivers.len() > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let left = tokio::time::timeout(limit, idle).await.is_err();
        if left {
            tracing::info!(
                runs = self.drivers.len(),
                "the drain's time is up; runs are handed over"
            );
        }
        self.stopping.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        crash_point("drain.before_release");
        self.store.system_release_worker(self.worker_id()).await?;
        self.hand_over().await;
        Ok(())
    }
}
