//! Runs that are this worker's by the store's account and that nobody here drives: the answer to the write that took them
//! was lost. Nobody else would ever take them, because their worker lives.

use crate::Engine;
use domain::OrgScope;
use domain::ports::store::{HeldRun, StoreError};
use std::collections::HashSet;
use std::sync::Arc;

/// Looks now and then, until the process stops. A run counts as lost if it was without a driver at two looks in a row: one
/// that was taken a moment ago is about to get its own.
pub(crate) async fn look(engine: Arc<Engine>) {
    let mut suspects = HashSet::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(engine.settings.lease / 2) => {}
            () = engine.draining.cancelled() => return,
        }
        match undriven(&engine).await {
            Ok(found) => {
                for lost in found.intersection(&suspects) {
                    let_go(&engine, lost).await;
                }
                suspects = found;
            }
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "this worker's runs could not be looked through"
            ),
        }
    }
}

async fn undriven(engine: &Engine) -> Result<HashSet<HeldRun>, StoreError> {
    let held = engine
        .store
        .system_runs_of_worker(engine.worker_id())
        .await?;
    let lost = held
        .into_iter()
        .filter(|run| !engine.drivers.has(&run.org, run.id));
    Ok(lost.collect())
}

async fn let_go(engine: &Engine, lost: &HeldRun) {
    let scope = OrgScope::new(lost.org.clone());
    let worker = engine.worker_id();
    match engine
        .store
        .let_go(&scope, lost.id, worker, lost.epoch)
        .await
    {
        Ok(true) => {
            tracing::warn!(run.id = %lost.id, "a run was this worker's and nobody knew; it is taken up again");
            engine.work.notify_one();
        }
        Ok(false) => {}
        Err(error) => tracing::warn!(
            run.id = %lost.id,
            error = &error as &dyn std::error::Error,
            "a lost run could not be let go"
        ),
    }
}
