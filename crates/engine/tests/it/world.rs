//! A store, a model and tools that stay, and engines that come and go on them as processes do.

use crate::fakes::{FakeGates, FakeModel, FakeTools, TestClock};
use bus::NatsBus;
use domain::agent::{Agent, Budget, DataPolicy};
use domain::budget::DayBudget;
use domain::event::{Event, EventBody};
use domain::key::Principal;
use domain::message::{Content, Message, Role};
use domain::ports::bus::Bus;
use domain::ports::clock::Clock;
use domain::ports::model::Models;
use domain::ports::store::Store;
use domain::run::{NewRun, Run, RunKind, RunRequest, RunStatus};
use domain::thread::{Thread, ThreadStatus};
use domain::{KeyId, MessageId, OrgId, OrgScope, RunId, ThreadId};
use engine::{Engine, EngineParts, EngineSettings, Followed, OnBusy, StartRun, Started};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

pub const LEASE: Duration = Duration::from_millis(600);
/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(240);

#[derive(Debug, Clone, Copy)]
pub enum Database {
    Sqlite,
    Postgres,
}

pub struct World {
    pub store: Arc<dyn Store>,
    pub model: Arc<FakeModel>,
    pub tools: Arc<FakeTools>,
    pub clock: Arc<TestClock>,
    pub scope: OrgScope,
    /// Of the database, for tests that meddle with it.
    pub address: String,
    daily: Mutex<DayBudget>,
}

/// Threads of a process for its runs.
const THREADS: usize = 2;

/// An engine in runtimes of its own. `kill` ends it as a process ends: every task of it is gone, wherever it was.
pub struct Process {
    pub engine: Arc<Engine>,
    runtime: Option<Runtime>,
    heart: Option<Runtime>,
}

impl Process {
    /// Work of this process: it ends when the process does.
    pub fn spawn<F>(&self, work: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.as_ref().expect("alive").spawn(work)
    }

    pub fn kill(self) {
        drop(self);
    }

    /// Holds up every thread of the runs until the answer is dropped.
    pub async fn block(&self) -> Vec<std::sync::mpsc::Sender<()>> {
        let (entered, mut entering) = tokio::sync::mpsc::unbounded_channel();
        let mut held = Vec::new();
        for _ in 0..THREADS {
            let (hold, released) = std::sync::mpsc::channel::<()>();
            let entered = entered.clone();
            self.runtime.as_ref().expect("alive").spawn(async move {
                entered.send(()).expect("it is waited for");
                // Blocking on purpose; ends with the sender.
                let _ = released.recv();
            });
            held.push(hold);
        }
        for _ in 0..THREADS {
            entering.recv().await.expect("a sender is left");
        }
        held
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for runtime in [self.runtime.take(), self.heart.take()] {
            runtime.expect("alive").shutdown_background();
        }
    }
}

/// What a process of a test goes by.
pub fn settings() -> EngineSettings {
    EngineSettings {
        lease: LEASE,
        heartbeat: LEASE / 4,
        sweep: Duration::from_millis(100),
        remote_poll: Some(Duration::from_millis(50)),
        ..EngineSettings::default()
    }
}

async fn connect(settings: &bus::Settings) -> Arc<NatsBus> {
    let connected = bus::connect(settings, bus::Patience::Now).await;
    connected.unwrap_or_else(|error| {
        panic!("NATS: {error:?}; `cargo xtask services` starts it");
    })
}

/// Runs a test on a fresh database.
pub fn run<F: Future<Output = ()>>(database: Database, test: impl FnOnce(World) -> F) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime can be made");
    let scratch = Scratch::new(database);
    runtime.block_on(async {
        let opened = store::open(&scratch.address(), store::OpenMode::Serve).await;
        let store = opened.unwrap_or_else(|error| panic!("{}: {error}", scratch.remedy()));
        let world = World {
            store: store.clone(),
            model: Arc::new(FakeModel::new()),
            tools: Arc::new(FakeTools::new()),
            clock: Arc::new(TestClock::default()),
            scope: OrgScope::new(OrgId::new("acme").expect("a slug")),
            address: scratch.address(),
            daily: Mutex::default(),
        };
        // The long form of the races takes its time.
        let patience = match std::env::var_os("RUNYARD_RACES") {
            Some(_) => PATIENCE * 60,
            None => PATIENCE,
        };
        tokio::time::timeout(patience, test(world))
            .await
            .expect("the test ends in time");
        store.close().await;
    });
}

/// A database of one test, gone with it.
struct Scratch {
    folder: tempfile::TempDir,
    postgres: Option<String>,
}

impl Scratch {
    fn new(database: Database) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(format!("engine_{}", Uuid::now_v7().simple())),
        };
        let scratch = Self { folder, postgres };
        if let Some(name) = &scratch.postgres {
            scratch.psql(&format!("create database {name}"));
        }
        scratch
    }

    fn server() -> String {
        std::env::var("RUNYARD_TEST_POSTGRES")
            .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
    }

    fn psql(&self, statement: &str) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let connected = tokio_postgres::connect(&Self::server(), tokio_postgres::NoTls).await;
            let (client, connection) =
                connected.unwrap_or_else(|error| panic!("{}: {error}", self.remedy()));
            let talk = tokio::spawn(connection);
            client
                .batch_execute(statement)
                .await
                .expect("the server obeys");
            drop(client);
            talk.await.expect("no panic").expect("a clean end");
        });
    }

    fn address(&self) -> String {
        match &self.postgres {
            None => format!(
                "sqlite://{}",
                self.folder.path().join("runyard.db").display()
            ),
            Some(name) => {
                let server = Self::server();
                let (base, _) = server.rsplit_once('/').expect("an address with a database");
                format!("{base}/{name}")
            }
        }
    }

    fn remedy(&self) -> &'static str {
        "the test's database cannot be opened; `cargo xtask services` starts PostgreSQL"
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Some(name) = &self.postgres {
            self.psql(&format!("drop database if exists {name} with (force)"));
        }
    }
}

impl World {
    pub async fn process(&self) -> Process {
        self.process_with(EngineSettings::default().active_runs_max)
            .await
    }

    /// A process that has room for this many runs at once.
    pub async fn process_with(&self, active_runs_max: usize) -> Process {
        let settings = EngineSettings {
            active_runs_max,
            ..settings()
        };
        self.process_as(settings, None).await
    }

    pub async fn process_with_lease(&self, lease: Duration) -> Process {
        let settings = EngineSettings {
            lease,
            heartbeat: lease / 4,
            ..settings()
        };
        self.process_as(settings, None).await
    }

    /// A process that talks with others over NATS.
    pub async fn process_as(
        &self,
        settings: EngineSettings,
        bus: Option<bus::Settings>,
    ) -> Process {
        self.process_of(self.model.clone(), settings, bus).await
    }

    /// A process whose models are these.
    pub async fn process_on(&self, models: Arc<dyn Models>) -> Process {
        self.process_of(models, settings(), None).await
    }

    async fn process_of(
        &self,
        models: Arc<dyn Models>,
        settings: EngineSettings,
        bus: Option<bus::Settings>,
    ) -> Process {
        let threads = |count| {
            let runtime = Builder::new_multi_thread()
                .worker_threads(count)
                .enable_all()
                .build();
            runtime.expect("a runtime can be made")
        };
        let (runtime, heart) = (threads(THREADS), threads(1));
        let parts = EngineParts {
            gates: Arc::new(FakeGates),
            store: self.store.clone(),
            models,
            tools: self.tools.clone(),
            clock: self.clock.clone(),
            bus: None,
            settings,
            heart: heart.handle().clone(),
        };
        let starting = async move {
            let bus = match bus {
                Some(settings) => Some(connect(&settings).await as Arc<dyn Bus>),
                None => None,
            };
            Engine::start(EngineParts { bus, ..parts }).await
        };
        let engine = runtime
            .spawn(starting)
            .await
            .expect("no panic")
            .expect("it starts");
        Process {
            engine,
            runtime: Some(runtime),
            heart: Some(heart),
        }
    }

    /// What the agent's runs may take of a day from now on.
    pub fn limit_agent(&self, daily: DayBudget) {
        *self.daily.lock().expect("no panic under this lock") = daily;
    }

    pub fn agent(&self) -> Arc<Agent> {
        let daily = *self.daily.lock().expect("no panic under this lock");
        Arc::new(Agent {
            agent_type: "helper".to_owned(),
            name: "Helper".to_owned(),
            description: "helps".to_owned(),
            version: format!("v{}", daily.max_tokens.unwrap_or(1)),
            models: Vec::new(),
            lanes: Vec::new(),
            tools: vec!["read_books".to_owned()],
            approvals: BTreeMap::new(),
            rules: Vec::new(),
            daily,
            asking: BTreeMap::new(),
            on_message_while_waiting: None,
            intent_gate: None,
            budget: Budget::default(),
            data_policy: DataPolicy::Any,
            temperature: None,
            max_output_tokens: None,
            input_hints: Vec::new(),
            metadata: serde_json::Map::new(),
            system_prompt: "help".to_owned(),
        })
    }

    pub async fn thread(&self) -> ThreadId {
        let at = self.clock.now();
        let thread = Thread {
            id: ThreadId::new(self.clock.uuid()),
            agent_type: "helper".to_owned(),
            title: None,
            metadata: serde_json::Map::new(),
            status: ThreadStatus::Idle,
            active_run: None,
            created_at: at,
            updated_at: at,
            message_count: 0,
            last_message_preview: None,
        };
        self.store
            .create_thread(&self.scope, &thread, None)
            .await
            .expect("a thread is made");
        thread.id
    }

    pub fn principal(&self) -> Principal {
        Principal {
            key_id: KeyId::new(Uuid::from_u128(1)),
            name: "tester".to_owned(),
            role: None,
        }
    }

    pub fn new_run(&self, thread: ThreadId, text: &str) -> NewRun {
        let message = Message {
            id: MessageId::new(self.clock.uuid()),
            role: Role::User,
            content: Content::Text(text.to_owned()),
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            reasoning: None,
            run_id: None,
            created_at: self.clock.now(),
        };
        NewRun {
            org: self.scope.org().clone(),
            id: RunId::new(self.clock.uuid()),
            kind: RunKind::Thread { thread_id: thread },
            agent_type: "helper".to_owned(),
            agent_version: self.agent().version.clone(),
            request: RunRequest::default(),
            created_by: self.principal(),
            lane: None,
            input: vec![message],
        }
    }

    pub async fn start(&self, process: &Process, new: NewRun, on_busy: OnBusy) -> Started {
        let start = StartRun {
            new,
            agent: self.agent(),
            on_busy,
            on_waiting: None,
            idempotency: None,
        };
        let (engine, scope) = (process.engine.clone(), self.scope.clone());
        let runtime = process.runtime.as_ref().expect("alive");
        let started = runtime.spawn(async move { engine.start_run(&scope, start).await });
        started
            .await
            .expect("no panic")
            .expect("the engine answers")
    }

    /// Starts a run on a new thread.
    pub async fn begin(&self, process: &Process, text: &str) -> Run {
        let thread = self.thread().await;
        match self
            .start(process, self.new_run(thread, text), OnBusy::Reject)
            .await
        {
            Started::Run(run) => *run,
            other => panic!("started, not {other:?}"),
        }
    }

    /// Every event above `after` until `done`, as a watcher of this process gets them.
    pub async fn follow(&self, process: &Process, run: RunId, after: u64) -> Vec<Event> {
        self.follow_until(process, run, after, |body| body.is_done())
            .await
    }

    pub async fn follow_until(
        &self,
        process: &Process,
        run: RunId,
        after: u64,
        last: impl Fn(&EventBody) -> bool,
    ) -> Vec<Event> {
        let mut stream = std::pin::pin!(process.engine.follow(&self.scope, run, after, true));
        let mut events = Vec::new();
        loop {
            let next = tokio::time::timeout(PATIENCE / 4, stream.next()).await;
            let Ok(next) = next else {
                let status = self.stored(run).await.status();
                panic!(
                    "nothing comes any more after {} events of a run that is {status:?}",
                    events.len()
                );
            };
            let Some(followed) = next else {
                return events;
            };
            match followed.expect("the stream does not fail") {
                Followed::Events(batch) => {
                    for event in batch {
                        let over = last(&event.body);
                        events.push((*event).clone());
                        if over {
                            return events;
                        }
                    }
                }
                Followed::Moved => return events,
            }
        }
    }

    pub async fn stored(&self, run: RunId) -> Run {
        self.store
            .get_run(&self.scope, run)
            .await
            .expect("the store answers")
            .expect("it is there")
    }

    /// The whole log as stored.
    pub async fn log(&self, run: RunId) -> Vec<Event> {
        let records = self.store.read_log(&self.scope, run, 0, u32::MAX).await;
        let records = records.expect("the store answers");
        records
            .into_iter()
            .flat_map(|record| record.events_after(0))
            .collect()
    }

    /// What must hold of any run that is over.
    pub async fn check_ended(&self, run: RunId) -> RunStatus {
        let stored = self.stored(run).await;
        assert!(
            stored.status().is_terminal(),
            "{run} is {:?}",
            stored.status()
        );
        let log = self.log(run).await;
        for pair in log.windows(2) {
            let jump = matches!(
                pair[1].body,
                EventBody::TurnRestarted { .. }
                    | EventBody::RunStatus { .. }
                    | EventBody::ApprovalResolved { .. }
                    | EventBody::Error { .. }
            );
            assert!(
                pair[1].seq == pair[0].seq + 1 || (jump && pair[1].seq > pair[0].seq),
                "{run}: {:?} after {:?}",
                pair[1],
                pair[0]
            );
        }
        let done = log.iter().filter(|event| event.body.is_done()).count();
        assert_eq!(done, 1, "{run} is done once");
        assert!(
            log.last().is_some_and(|event| event.body.is_done()),
            "{run} ends with done"
        );
        if let Some(thread) = stored.thread_id() {
            let messages = self.store.thread_messages(&self.scope, thread).await;
            let messages: Vec<_> = messages
                .expect("the store answers")
                .into_iter()
                .map(Arc::new)
                .collect();
            crate::fakes::check_history(&messages);
        }
        stored.status()
    }

    /// A patient wait for something that another task brings about.
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, condition: impl Fn() -> F) {
        let deadline = tokio::time::Instant::now() + PATIENCE / 2;
        while !condition().await {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{what} did not come about"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
