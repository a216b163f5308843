//! `runyard serve`: puts the parts together in an order in which each failure is found before anything is changed, runs
//! until told to stop, and then stops in good order. It decides nothing about runs.

mod banner;
mod bus;
mod folder;
mod lanes;
mod open;
mod openapi;
mod record;
mod signals;
mod start;
mod stop;
mod tools;
mod upkeep;

pub use bus::connect as connect_bus;
pub use folder::prepare as prepare_folder;
pub use lanes::detect as detect_lanes;
pub use open::{mend, open_store};
pub use start::bind_failed;
pub use tools::{Stores, Tools, is_known as is_known_tool, tools};

use crate::app::{App, Ports};
use crate::cli::{self, Failure};
use crate::clock::StoreClock;
use crate::config::{self, Env, Flags, Role, Settings};
use crate::first_start::{self, NewOwner};
use crate::registry::{self, Registry};
use crate::{listen, logging};
use ::store::OpenMode;
use ::tools::Gateway;
use ::tools::mcp::Servers;
use banner::Banner;
use domain::audit::Actor;
use domain::ports::bus::Bus;
use domain::ports::clock::Clock;
use domain::ports::store::Store;
use engine::{Engine, EngineParts, Metered};
use lanes::Lanes;
use signals::Signals;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upkeep::Upkeep;

/// How long threads that are still at work keep the process after everything is written.
const THREADS_WAIT: Duration = Duration::from_millis(200);

/// Runs a server until it is told to stop.
pub fn main(flags: &Flags, env: &Env, here: &Path, demo: bool) -> Result<ExitCode, Failure> {
    let settings = config::load(flags, env, here)?;
    logging::start(&settings)?;
    let runtime = threads(None)?;
    // However busy the runs keep the others, this one has time for the lease.
    let heart = threads(Some(1))?;
    let outcome = runtime.block_on(serve(&settings, env, demo, heart.handle()));
    runtime.shutdown_timeout(THREADS_WAIT);
    heart.shutdown_timeout(THREADS_WAIT);
    outcome
}

/// A runtime with so many threads, or one for each processor.
fn threads(count: Option<usize>) -> Result<Runtime, Failure> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(count) = count {
        builder.worker_threads(count);
    }
    builder.enable_all().build().map_err(|error| {
        Failure::new("the system gives no threads", "close other programs").because(&error)
    })
}

async fn serve(
    settings: &Settings,
    env: &Env,
    demo: bool,
    heart: &Handle,
) -> Result<ExitCode, Failure> {
    let signals = Signals::listen()?;
    folder::prepare(&settings.data.value)?;
    let store = open_store(&settings.database, OpenMode::Serve).await?;
    let found = start::look_for_owner(settings, &*store).await?;
    let listener = start::bind(&settings.listen)?;
    let address = settings.listen.value;
    let address = listener.local_addr().unwrap_or(address);
    let first = matches!(found, start::Owner::None);
    start::samples(settings, first)?;
    let clock = Arc::new(StoreClock::of(&*store).await);
    let stores = Stores {
        pins: store.clone(),
        logins: store.clone(),
        make_key: true,
        results: Some(store.clone()),
    };
    let Tools { gateway, servers } = tools(settings, env, clock.clone(), stores).await?;
    let parts = Parts {
        clock: clock.clone(),
        registry: Arc::new(Registry::open(&settings.agents.value)),
        gateway,
        servers,
        lanes: Lanes::build(settings).await?,
        bus: bus::join(settings).await?,
        store,
    };
    let owner = start::owner(found, settings, &*parts.store).await?;
    let (running, app) = parts.run(settings, listener, heart).await?;
    let url = folder::announce(settings, address)?;
    let ticket = ticket(&app, address, demo);
    // The demonstration ends with the link; above it, it would be out of sight.
    let link = ticket.as_ref().filter(|_| !demo);
    let link = link.map(|ticket| cli::sign_in_link(&url, "/", ticket));
    parts.tell(settings, &url, owner.as_ref(), link.as_deref());
    if demo {
        // Told to stop in the middle of it, the server stops.
        let demonstration = start::demonstration(
            &url,
            ticket.as_deref(),
            owner.as_ref(),
            settings,
            &*parts.store,
        );
        let finished = async {
            if let Err(failure) = demonstration.await {
                tracing::error!("{failure}");
            }
            std::future::pending().await
        };
        return Ok(running.until_stopped(settings, signals, finished).await);
    }
    let nothing = std::future::pending();
    Ok(running.until_stopped(settings, signals, nothing).await)
}

/// What lets a browser on this machine sign in. It is shown on a terminal, or where the demonstration was asked for: what
/// else is written ends in logs.
fn ticket(app: &App, address: SocketAddr, demo: bool) -> Option<String> {
    let ip = address.ip();
    let is_reached_here = ip.is_loopback() || ip.is_unspecified();
    if !is_reached_here || !(demo || io::stdout().is_terminal()) {
        return None;
    }
    // Without randomness there is no ticket, and signing in with a key is left.
    let ticket = app
        .tickets
        .issue(&first_start::scope(), Actor::Operator, app.clock.now())
        .ok()?;
    Some(ticket.expose().to_owned())
}

/// What a server is made of, before it runs.
struct Parts {
    store: Arc<dyn Store>,
    clock: Arc<StoreClock>,
    registry: Arc<Registry>,
    gateway: Arc<Gateway>,
    servers: Servers,
    lanes: Lanes,
    bus: Option<Arc<dyn Bus>>,
}

impl Parts {
    /// Starts the engine, what goes on beside it, and the HTTP server.
    #[expect(
        clippy::too_many_lines,
        reason = "one part after the other, in the order in which they need each other"
    )]
    async fn run(
        &self,
        settings: &Settings,
        listener: TcpListener,
        heart: &Handle,
    ) -> Result<(stop::Running, App), Failure> {
        // Before runs are taken up again: what is trusted already is there when they go on.
        self.servers.remember(&self.gateway).await;
        let engine = Engine::start(EngineParts {
            store: self.store.clone(),
            models: Arc::new(Metered::new(
                self.lanes.models(),
                self.store.clone(),
                self.clock.clone(),
                settings.budgets.clone(),
            )),
            tools: self.gateway.clone(),
            gates: Arc::new(::tools::Gates::default()),
            clock: self.clock.clone(),
            bus: self.bus.clone(),
            settings: settings.engine(),
            heart: heart.clone(),
        })
        .await
        .map_err(|error| {
            Failure::new(
                "the engine did not start",
                "`runyard doctor` looks at the store",
            )
            .because(&error)
        })?;
        let ports = Ports {
            store: self.store.clone(),
            engine: engine.clone(),
            agents: self.registry.clone(),
            tools: self.gateway.clone(),
            models: self.lanes.models(),
            clock: self.clock.clone(),
        };
        let hosts = settings.allowed_hosts.clone();
        let mut http = settings
            .limits
            .http(hosts, settings.allowed_origins.clone());
        http.serves_api = settings.role.value != Role::Worker;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        // Calls under way end before their servers do.
        let drained = CancellationToken::new();
        tasks.spawn(
            self.servers
                .clone()
                .run(self.gateway.clone(), drained.clone()),
        );
        let app = App::new(ports, http, stop.clone(), tasks.clone());
        tasks.spawn(registry::watch(self.registry.clone(), stop.clone()));
        tasks.spawn(app.clone().upkeep());
        tasks.spawn(self.clock.clone().keep(self.store.clone(), stop.clone()));
        let upkeep = Upkeep {
            store: self.store.clone(),
            gateway: self.gateway.clone(),
            clock: self.clock.clone(),
            retention: settings.limits.retention(),
        };
        tasks.spawn(upkeep.run(stop.clone()));
        tasks.spawn(self.lanes.clone().search(stop.clone()));
        tasks.spawn(record::record(
            record::Recorder {
                store: self.store.clone(),
                clock: self.clock.clone(),
                registry: self.registry.clone(),
            },
            record::policy_digest(settings.file.as_deref()),
            stop.clone(),
        ));
        let clock: Arc<dyn Clock> = self.clock.clone();
        for courier in tools::couriers(settings, &self.store, &engine, &clock, &stop)? {
            tasks.spawn(courier.run());
        }
        let server = tokio::spawn(listen::serve(listener, app.clone()));
        let running = stop::Running {
            store: self.store.clone(),
            engine,
            server,
            stop,
            drained,
            tasks,
        };
        Ok((running, app))
    }

    /// Tells the person who started the server what there is and what is wrong with it.
    fn tell(&self, settings: &Settings, url: &str, owner: Option<&NewOwner>, link: Option<&str>) {
        let lanes = self.lanes.now();
        let names: Vec<String> = lanes.iter().map(|lane| lane.name.clone()).collect();
        let known = (!settings.detect_lanes).then_some(names.as_slice());
        let names = self.gateway.names();
        let is_known =
            |name: &str| self.servers.may_offer(name) || names.iter().any(|known| known == name);
        start::tell_problems(&self.registry, &is_known, known);
        Banner {
            url,
            owner,
            link,
            registry: &self.registry,
            settings,
            lanes: &lanes,
        }
        .print();
    }
}
