//! What every handler shares: the ports, the settings of the HTTP surface, and who is calling right now. It does not
//! know where any of it comes from; `serve` puts it together.

use crate::caller::{KeyRing, Rates};
use crate::console::tickets::Tickets;
use crate::hosts::Hosts;
use crate::idempotency::AtWork;
use crate::thread_types::ThreadTypes;
use domain::agent::Agent;
use domain::ports::clock::Clock;
use domain::ports::model::Models;
use domain::ports::store::Store;
use domain::ports::tools::Tools;
use engine::Engine;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where agents come from.
pub trait AgentSource: Send + Sync {
    /// The agent as it is now; `None` if there is none or its definition cannot be read.
    fn get(&self, agent_type: &str) -> Option<Arc<Agent>>;

    /// All of them by name, those that cannot be read included.
    fn list(&self) -> Vec<AgentEntry>;
}

/// One definition of the registry.
#[derive(Debug, Clone)]
pub struct AgentEntry {
    pub agent_type: String,
    pub state: AgentState,
}

#[derive(Debug, Clone)]
pub enum AgentState {
    Ready(Arc<Agent>),
    /// Fit to be shown to the org's people: no file contents.
    Broken {
        message: String,
    },
}

/// The outside of the HTTP surface.
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub engine: Arc<Engine>,
    pub agents: Arc<dyn AgentSource>,
    pub tools: Arc<dyn Tools>,
    pub models: Arc<dyn Models>,
    pub clock: Arc<dyn Clock>,
}

/// Every limit and choice of the HTTP surface with its default.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Bytes of one request's body.
    pub body_bytes_max: usize,
    /// Bytes of one request's line and headers together.
    pub header_bytes_max: usize,
    /// Headers of one request.
    pub headers_max: usize,
    /// How long a connection may take to send a request's headers, its idle time before them included.
    pub header_timeout: Duration,
    /// How long a request may take to send its body.
    pub body_timeout: Duration,
    /// How long sent bytes may stay unacknowledged, or a reader's window closed, before its connection is cut.
    pub send_timeout: Duration,
    /// Silence on a connection before the system asks whether the other side is still there.
    pub keepalive: Duration,
    /// Connections open at once; more wait to be accepted.
    pub connections_max: usize,
    /// Silence on a stream before a heartbeat is written.
    pub heartbeat: Duration,
    /// How long a key is believed without asking the store: the longest that a key revoked by another process works.
    pub key_ttl: Duration,
    /// Failed logins in a row from one address, and the time in which one of them is forgotten.
    pub failed_logins_max: u32,
    pub failed_login_forgotten_after: Duration,
    /// Requests of one org in a second, on average and in a burst; 0 a second sets no bound.
    pub org_requests_per_s: u32,
    pub org_requests_burst: u32,
    /// A server that only carries runs answers nobody but those who look after it.
    pub serves_api: bool,
    /// Names under which this server may be asked, beside loopback names, literal addresses and the listen address.
    /// `*` stands for every name.
    pub allowed_hosts: Vec<String>,
    /// Origins whose pages may call this server; closed if empty.
    pub allowed_origins: Vec<String>,
    /// How often the approvals' inbox looks for news.
    pub inbox_poll: Duration,
    /// How long open requests may go on once the server stops.
    pub drain_timeout: Duration,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 << 20,
            header_bytes_max: 32 << 10,
            headers_max: 100,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            keepalive: Duration::from_secs(30),
            connections_max: 32_768,
            heartbeat: Duration::from_secs(15),
            key_ttl: Duration::from_secs(2),
            failed_logins_max: 30,
            failed_login_forgotten_after: Duration::from_secs(2),
            org_requests_per_s: 0,
            org_requests_burst: 100,
            serves_api: true,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            inbox_poll: Duration::from_secs(1),
            drain_timeout: Duration::from_secs(10),
        }
    }
}

/// The shared state of all handlers; clones are the same one.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub store: Arc<dyn Store>,
    pub engine: Arc<Engine>,
    pub agents: Arc<dyn AgentSource>,
    pub tools: Arc<dyn Tools>,
    pub models: Arc<dyn Models>,
    pub clock: Arc<dyn Clock>,
    pub settings: HttpSettings,
    pub hosts: Hosts,
    pub thread_types: ThreadTypes,
    pub keys: KeyRing,
    pub tickets: Tickets,
    pub rates: Rates,
    pub keyed: Arc<AtWork>,
    /// Cancelled when the server begins to stop.
    pub stop: CancellationToken,
    /// Work that goes on after its request; the server waits for it before it ends.
    pub tasks: TaskTracker,
    readiness: Mutex<Option<(Instant, bool)>>,
}

/// How long one look at the store answers for `/readyz`, which anybody may ask.
const READINESS_TTL: Duration = Duration::from_millis(500);

/// How often keys of open streams are looked up again and last uses written.
const UPKEEP_EVERY: Duration = Duration::from_secs(2);

impl App {
    /// `stop` is cancelled by whoever ends the server; `tasks` is waited for by them.
    pub fn new(
        ports: Ports,
        settings: HttpSettings,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        Self(Arc::new(Parts {
            rates: Rates::new(settings.org_requests_per_s, settings.org_requests_burst),
            keys: KeyRing::new(ports.store.clone(), ports.clock.clone(), &settings),
            hosts: Hosts::new(&settings.allowed_hosts, &settings.allowed_origins),
            thread_types: ThreadTypes::default(),
            keyed: Arc::default(),
            tickets: Tickets::default(),
            store: ports.store,
            engine: ports.engine,
            agents: ports.agents,
            tools: ports.tools,
            models: ports.models,
            clock: ports.clock,
            settings,
            stop,
            tasks,
            readiness: Mutex::new(None),
        }))
    }

    /// True if a new request would be served: the store answers and the server is not stopping.
    pub async fn is_ready(&self) -> bool {
        if self.stop.is_cancelled() || self.engine.is_draining() {
            return false;
        }
        let mut seen = self.readiness.lock().await;
        if let Some((at, ready)) = *seen
            && at.elapsed() < READINESS_TTL
        {
            return ready;
        }
        let ready = match self.store.check().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the store is not ready"
                );
                false
            }
        };
        *seen = Some((Instant::now(), ready));
        ready
    }

    /// Runs until the server stops: notices keys revoked elsewhere, whose streams it ends, and writes when keys were
    /// last used.
    pub async fn upkeep(self) {
        let mut tick = tokio::time::interval(UPKEEP_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                _ = tick.tick() => self.keys.look_again().await,
            }
        }
        self.keys.write_last_uses().await;
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
