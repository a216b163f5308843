//! The engine's dials, each with a default.

use domain::limits;
use domain::webhook::Subscription;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone)]
pub struct EngineSettings {
    /// How long this worker may be silent before others take its runs.
    pub lease: Duration,
    pub heartbeat: Duration,
    /// How often to look for work that no wake-up told of.
    pub sweep: Duration,
    /// Runs taken from the store in one look.
    pub claim_batch: u32,
    /// Runs at work in this process; more wait in the store.
    pub active_runs_max: usize,
    /// The longest that any tool call may take.
    pub tool_limit: Duration,
    /// Conversation histories kept in memory.
    pub history_cache_bytes: u64,
    /// How often a watcher of a run that other processes may write looks into the store; `None` where this process is
    /// the only writer.
    pub remote_poll: Option<Duration>,
    /// Who is told of what, by messages that join the commits they tell of.
    pub webhooks: Arc<[Subscription]>,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            lease: limits::LEASE,
            heartbeat: limits::HEARTBEAT,
            sweep: limits::SWEEP,
            claim_batch: 64,
            active_runs_max: 10_000,
            tool_limit: Duration::from_secs(900),
            history_cache_bytes: 64 << 20,
            remote_poll: None,
            webhooks: Arc::from([]),
        }
    }
}
