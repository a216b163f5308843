//! Carries runs: claims them, feeds their state machine, commits, performs what follows, and tells watchers. It knows
//! the ports, not who stands behind them.

mod commands;
mod counters;
mod driver;
mod error;
mod feed;
mod follow;
mod fork;
mod gate;
mod history;
mod infer;
mod journal;
mod late;
mod lease;
mod metered;
mod orphans;
mod planning;
mod remote;
mod sessions;
mod settings;
mod start;
mod supervise;
mod turnstile;
mod worker;

pub use counters::{Counts, Timings};
pub use error::EngineError;
pub use follow::Followed;
pub use fork::ForkError;
pub use gate::{Gatekeeper, Overrule, gate_of};
pub use infer::{InferError, InferEvent, InferRequest, Inference, Stop};
pub use journal::{JournalError, Journaled};
pub use metered::{DayBudgets, Metered};
pub use sessions::{ClientCall, Executed};
pub use settings::EngineSettings;
pub use start::{OnBusy, StartRun, Started};

use crate::counters::Counters;
use crate::driver::Drivers;
use crate::feed::Feeds;
use crate::history::Histories;
use crate::infer::{Answering, Chains};
use crate::lease::Lease;
use crate::remote::Remote;
use crate::turnstile::Turnstiles;
use domain::agent::Agent;
use domain::ports::bus::{Bus, Notice};
use domain::ports::clock::Clock;
use domain::ports::gate::GateRules;
use domain::ports::model::Models;
use domain::ports::store::{Store, StoreError};
use domain::ports::tools::Tools;
use domain::{RunId, WorkerId};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What the engine stands on.
pub struct EngineParts {
    pub store: Arc<dyn Store>,
    pub models: Arc<dyn Models>,
    pub tools: Arc<dyn Tools>,
    pub gates: Arc<dyn GateRules>,
    pub clock: Arc<dyn Clock>,
    /// How other servers on the same store are told of news; `None` where there are none, or only the store to meet in.
    pub bus: Option<Arc<dyn Bus>>,
    pub settings: EngineSettings,
    /// Where the lease is renewed: best a runtime of its own, which no run's work can hold up.
    pub heart: Handle,
}

/// One worker: it lives as long as the process and holds a lease in the store.
pub struct Engine {
    store: Arc<dyn Store>,
    models: Arc<dyn Models>,
    tools: Arc<dyn Tools>,
    gatekeeper: Gatekeeper,
    clock: Arc<dyn Clock>,
    settings: EngineSettings,
    worker: Mutex<WorkerId>,
    own_lease: Lease,
    remote: Remote,
    counters: Counters,
    feeds: Arc<Feeds>,
    drivers: Arc<Drivers>,
    turnstiles: Arc<Turnstiles>,
    histories: Histories,
    chains: Chains,
    answering: Arc<Answering>,
    /// Definitions by version that are known to be in the store.
    agents: Mutex<HashMap<String, Arc<Agent>>>,
    /// Places for runs at work.
    places: Arc<Semaphore>,
    /// Rung when a run may be waiting for a worker.
    work: Notify,
    /// Runs may be waiting in the store because there was no place for them.
    backlog: AtomicBool,
    /// Rung whenever an approval was asked for or decided in this process.
    inbox: Notify,
    /// Rung whenever a commit of this process left messages to send.
    outbox: Notify,
    tasks: TaskTracker,
    draining: CancellationToken,
    /// Pulled at the end of a drain: what still runs lets go.
    stopping: CancellationToken,
}

impl Engine {
    /// Registers the worker and begins to look for work.
    pub async fn start(parts: EngineParts) -> Result<Arc<Self>, EngineError> {
        let worker = WorkerId::new(parts.clock.uuid());
        let (store, lease) = (parts.store.clone(), parts.settings.lease);
        // From where the lease will be renewed: a connection that is kept for that belongs to the runtime it was made in.
        let begun = Instant::now();
        let register = async move { store.system_register_worker(worker, lease).await };
        let registered = parts.heart.spawn(register).await;
        registered.map_err(|error| StoreError::Unavailable(Box::new(error)))??;
        let (remote, speaker) = Remote::new(parts.bus);
        let engine = Arc::new(Self {
            places: Arc::new(Semaphore::new(parts.settings.active_runs_max)),
            histories: Histories::new(parts.settings.history_cache_bytes),
            chains: Chains::new(parts.settings.history_cache_bytes),
            answering: Arc::default(),
            store: parts.store,
            gatekeeper: Gatekeeper {
                rules: parts.gates,
                models: parts.models.clone(),
            },
            models: parts.models,
            tools: parts.tools,
            clock: parts.clock,
            settings: parts.settings,
            worker: Mutex::new(worker),
            own_lease: Lease::new(lease, begun),
            counters: Counters::default(),
            feeds: Arc::new(Feeds::new(remote.outlet.clone())),
            remote,
            drivers: Arc::default(),
            turnstiles: Arc::default(),
            agents: Mutex::new(HashMap::new()),
            work: Notify::new(),
            backlog: AtomicBool::new(false),
            inbox: Notify::new(),
            outbox: Notify::new(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            stopping: CancellationToken::new(),
        });
        let heartbeat = worker::heartbeat(engine.clone());
        engine.tasks.spawn_on(heartbeat, &parts.heart);
        engine.tasks.spawn(worker::sweep(engine.clone()));
        engine.tasks.spawn(orphans::look(engine.clone()));
        if let Some(speaker) = speaker {
            engine.tasks.spawn(speaker.speak(engine.clone()));
            engine.tasks.spawn(engine.clone().hear_notices());
        }
        Ok(engine)
    }

    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// Runs that this process drives right now.
    pub fn active_runs(&self) -> usize {
        self.drivers.len()
    }

    /// Resolves when a commit of this process after the call left messages to send.
    pub async fn outbox_changed(&self) {
        self.outbox.notified().await;
    }

    /// Resolves when an approval was asked for or decided in this process after the call.
    pub async fn inbox_changed(&self) {
        self.inbox.notified().await;
    }

    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// The name that this process's lease is held under; another one after a lease was lost.
    pub fn worker_id(&self) -> WorkerId {
        *self.worker.lock().expect("no holder of this lock panics")
    }

    /// Tells everybody who shows open approvals to look again.
    fn inbox_moved(&self, org: &domain::OrgId) {
        self.inbox.notify_waiters();
        let org = org.clone();
        self.remote.outlet.notice(|| Notice::Inbox { org });
    }

    /// Looks at once for the named run, which another's end has set free.
    fn wake(self: &Arc<Self>, org: &domain::OrgId, run: RunId) {
        let (engine, scope) = (self.clone(), domain::OrgScope::new(org.clone()));
        self.tasks
            .spawn(async move { worker::take(&engine, &scope, run).await });
    }
}
