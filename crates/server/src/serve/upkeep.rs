//! What a server clears away now and then: old keys of requests, old runs, and tools' old records of calls.

use crate::config::Retention;
use domain::Timestamp;
use domain::ports::clock::Clock;
use domain::ports::store::{Store, StoreResult};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tools::Gateway;

/// How long the answer to a request with an idempotency key is kept.
const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a session's token is kept after its end: long enough to say that it has expired, to whoever looks into why.
const TOKENS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// How long a message that was delivered can be looked at and sent again.
const DELIVERED_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Runs deleted in one transaction: others wait for it.
const RUNS_AT_ONCE: u32 = 100;

pub struct Upkeep {
    pub store: Arc<dyn Store>,
    pub gateway: Arc<Gateway>,
    pub clock: Arc<dyn Clock>,
    pub retention: Retention,
}

impl Upkeep {
    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut tick = interval(self.retention.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is at once, when there is better to do: runs that were cut off are taken up, and look for the
        // records of their calls.
        tick.tick().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => self.clear_away(&stop).await,
            }
        }
    }

    async fn clear_away(&self, stop: &CancellationToken) {
        let keys = self
            .store
            .system_sweep_idempotent(self.ago(IDEMPOTENCY_KEPT))
            .await;
        tell("idempotency keys", keys);
        let tokens = self
            .store
            .system_sweep_session_keys(self.ago(TOKENS_KEPT))
            .await;
        tell("tokens of sessions", tokens);
        let results = self
            .store
            .system_sweep_results(self.ago(::tools::limits::KEPT))
            .await;
        tell("kept results", results);
        let delivered = self
            .store
            .system_sweep_deliveries(self.ago(DELIVERED_KEPT))
            .await;
        tell("delivered messages", delivered);
        if let Some(kept) = self.retention.runs {
            let before = self.ago(kept);
            while !stop.is_cancelled() {
                let gone = self
                    .store
                    .system_delete_old_runs(before, RUNS_AT_ONCE)
                    .await;
                let more = matches!(gone, Ok(count) if count >= u64::from(RUNS_AT_ONCE));
                tell("runs", gone);
                if !more {
                    break;
                }
            }
        }
        tell(
            "records of tools' calls",
            Ok(self.gateway.forget_calls(self.retention.calls).await),
        );
    }

    fn ago(&self, span: Duration) -> Timestamp {
        let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(self.clock.now().as_micros().saturating_sub(span))
    }
}

fn tell(what: &'static str, cleared: StoreResult<u64>) {
    match cleared {
        Ok(0) => {}
        Ok(count) => tracing::debug!(what, count, "cleared away what was old"),
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                what,
                error,
                "what is old could not be cleared away; trying again at the next look"
            );
        }
    }
}
