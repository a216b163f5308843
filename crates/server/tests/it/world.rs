//! A server with everything that belongs to it, made anew for each test.

use crate::client::{Answer, Ask, Live};
use crate::clock::TestClock;
use crate::scratch::{Database, Scratch};
use ::tools::{Definition, Ended, Executor, Gateway, Tool, Work};
use domain::agent::{Agent, Budget, DataPolicy, OnMessage};
use domain::approval::AskOptions;
use domain::audit::{Actor, Deed, Entry};
use domain::key::{Key, KeyDigest, Role};
use domain::ports::clock::Clock;
use domain::ports::store::Store;
use domain::tool::{Effect, Policy};
use domain::{KeyId, OrgId, OrgScope};
use engine::{Engine, EngineParts, EngineSettings};
use futures::FutureExt;
use futures::future::BoxFuture;
use models::{LaneConfig, Router, RouterSettings};
use scripted::{Script, reply};
use serde_json::{Value, json};
use server::app::{AgentEntry, AgentSource, AgentState, App, HttpSettings, Ports};
use server::front::Front;
use server::keys::Secret;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub const ACME: &str = "acme";
pub const RIVAL: &str = "rival";

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// An agent type that makes the registry panic.
pub const PANICS: &str = "panics";

/// Enough for a test to see a heartbeat.
pub const HEARTBEAT: Duration = Duration::from_millis(50);

pub struct World {
    pub app: App,
    pub front: Arc<Front>,
    pub model: Arc<scripted::Server>,
    pub engine: Arc<Engine>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<TestClock>,
    pub agents: Arc<Agents>,
    pub spare: Option<scripted::Server>,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    /// Calls of the tool `pay`.
    pub paid: Arc<AtomicUsize>,
    secrets: Mutex<BTreeMap<(String, &'static str), String>>,
}

/// Runs a test on a fresh database. Its end fails if work is left over.
pub fn run<F: Future<Output = ()>>(database: Database, test: impl FnOnce(Arc<World>) -> F) {
    run_with(database, HttpSettings::default(), test);
}

/// A world with a second model server, whose lane `spare` has the model `tiny` too.
pub fn run_with_spare<F: Future<Output = ()>>(
    database: Database,
    test: impl FnOnce(Arc<World>) -> F,
) {
    run_in(database, HttpSettings::default(), Spare::Yes, test);
}

pub fn run_with<F: Future<Output = ()>>(
    database: Database,
    settings: HttpSettings,
    test: impl FnOnce(Arc<World>) -> F,
) {
    run_in(database, settings, Spare::No, test);
}

/// Whether there is a second model server.
enum Spare {
    Yes,
    No,
}

fn run_in<F: Future<Output = ()>>(
    database: Database,
    settings: HttpSettings,
    spare: Spare,
    test: impl FnOnce(Arc<World>) -> F,
) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime can be made");
    let scratch = Scratch::new(database);
    runtime.block_on(async {
        let world = Arc::new(World::new(&scratch, settings, spare).await);
        tokio::time::timeout(PATIENCE, test(world.clone()))
            .await
            .expect("the test ends in time");
        world.end().await;
    });
    runtime.shutdown_timeout(Duration::from_secs(5));
}

impl World {
    async fn new(scratch: &Scratch, settings: HttpSettings, spare: Spare) -> Self {
        let opened = store::open(&scratch.address(), store::OpenMode::Serve).await;
        let store = opened.unwrap_or_else(|error| panic!("{}: {error}", scratch.remedy()));
        let clock = Arc::new(TestClock::default());
        let model = Arc::new(scripted::Server::with(Script::always(said("Hello."))).await);
        let (lanes, spare) = lanes(&model, spare).await;
        let router = Router::new(lanes, RouterSettings::default()).expect("a router");
        let agents = Arc::new(Agents::new());
        let paid = Arc::new(AtomicUsize::new(0));
        let tools = Arc::new(Gateway::with(tools(&paid), clock.clone()));
        let engine = Engine::start(EngineParts {
            store: store.clone(),
            models: Arc::new(router.clone()),
            tools: tools.clone(),
            gates: Arc::new(::tools::Gates::default()),
            clock: clock.clone(),
            bus: None,
            settings: EngineSettings {
                sweep: Duration::from_millis(100),
                remote_poll: Some(Duration::from_millis(50)),
                ..EngineSettings::default()
            },
            heart: tokio::runtime::Handle::current(),
        });
        let engine = engine.await.expect("the engine starts");
        let ports = Ports {
            store: store.clone(),
            engine: engine.clone(),
            agents: agents.clone(),
            tools,
            models: Arc::new(router),
            clock: clock.clone(),
        };
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let app = App::new(ports, settings, stop.clone(), tasks.clone());
        tasks.spawn(app.clone().upkeep());
        Self {
            front: Arc::new(Front::new(app.clone())),
            app,
            agents,
            spare,
            model,
            engine,
            store,
            clock,
            stop,
            tasks,
            paid,
            secrets: Mutex::new(BTreeMap::new()),
        }
    }

    async fn end(&self) {
        if self.front.app().store.check().await.is_err() {
            // The test has closed the store: nothing can be put in order any more.
            return;
        }
        self.stop.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(PATIENCE, self.tasks.wait()).await;
        ended.expect("no work of a request is left over");
        self.engine
            .drain(Duration::ZERO)
            .await
            .expect("the engine drains");
        self.store.close().await;
    }

    pub fn scope(&self, org: &str) -> OrgScope {
        OrgScope::new(OrgId::new(org).expect("a slug"))
    }

    /// The secret of the org's key of this role, made when first asked for.
    pub async fn secret(&self, org: &str, role: Role) -> String {
        let place = (org.to_owned(), role.as_str());
        let known = self.secrets.lock().unwrap().get(&place).cloned();
        if let Some(secret) = known {
            return secret;
        }
        let (_, secret) = self.new_key(org, role, None).await;
        self.secrets.lock().unwrap().insert(place, secret.clone());
        secret
    }

    pub async fn new_key(&self, org: &str, role: Role, ttl: Option<Duration>) -> (KeyId, String) {
        let secret = Secret::generate().expect("randomness").expose().to_owned();
        let now = self.clock.now();
        let key = Key {
            org: OrgId::new(org).expect("a slug"),
            id: KeyId::new(self.clock.uuid()),
            name: format!("{} of {org}", role.as_str()),
            role,
            digest: KeyDigest::of(&secret),
            session: None,
            created_at: now,
            expires_at: ttl.map(|ttl| now.plus(ttl)),
            revoked_at: None,
            last_used_at: None,
        };
        let inserted = self.store.insert_key(&self.scope(org), &key).await;
        inserted.expect("the key is stored");
        (key.id, secret)
    }

    /// The record of a key's revocation.
    pub fn entry(&self, key_id: KeyId) -> Entry {
        Entry {
            at: self.clock.now(),
            actor: Actor::Operator,
            deed: Deed::KeyRevoked { key_id },
        }
    }

    pub fn ask(&self, method: &str, path: &str) -> Ask {
        Ask::new(&self.front, method, path)
    }

    /// As the owner of `acme`.
    pub async fn owner(&self, method: &str, path: &str) -> Ask {
        let secret = self.secret(ACME, Role::Owner).await;
        self.ask(method, path).key(&secret)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.owner("GET", path).await.send().await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.owner("POST", path).await.json(body).send().await
    }

    pub async fn thread(&self, agent_type: &str) -> String {
        let body = json!({"agent_type": agent_type});
        let thread = self.post("/api/v1/agents/threads", &body).await.ok();
        thread["id"].as_str().expect("an id").to_owned()
    }

    /// Starts a run and reads its whole stream.
    pub async fn run_to_end(&self, thread: &str, input: &str) -> Answer {
        let body = json!({"input": input});
        self.post(&format!("/api/v1/agents/threads/{thread}/runs"), &body)
            .await
    }

    /// Starts a run and hands over its stream.
    pub async fn run_open(&self, thread: &str, body: &Value) -> Live {
        let path = format!("/api/v1/agents/threads/{thread}/runs");
        let live = self.owner("POST", &path).await.json(body).open().await;
        assert_eq!(live.status, 200);
        live
    }

    /// A run that waits for approval of a call of `pay`, its stream, and the approval.
    pub async fn waiting(&self) -> (Live, Value) {
        self.waiting_of("clerk").await
    }

    pub async fn waiting_of(&self, agent_type: &str) -> (Live, Value) {
        self.model
            .play(Script::tool_loop("pay", r#"{"amount":5}"#, "Paid."));
        let thread = self.thread(agent_type).await;
        let mut live = self.run_open(&thread, &json!({"input": "pay"})).await;
        let asked = live.until("approval_requested").await;
        (live, asked.data["approval"].clone())
    }

    /// The model waits at the gate `gate` in the middle of its answer.
    pub fn hold(&self) {
        let held = reply().text("one ").hold("gate").text("two").build();
        self.model.play(Script::always(held));
    }
}

/// The lane to `model`, and beside it one to a second server if there is to be one.
async fn lanes(
    model: &scripted::Server,
    spare: Spare,
) -> (Vec<LaneConfig>, Option<scripted::Server>) {
    let mut lane: LaneConfig = serde_json::from_value(json!({
        "name": "scripted",
        "kind": "local",
        "wire": "openai-chat",
        "base_url": format!("{}/v1", model.url()),
        "models": ["tiny", "big"],
        "price": {"input_micro_usd": 1_000_000, "output_micro_usd": 2_000_000},
    }))
    .expect("a lane");
    match spare {
        Spare::No => (vec![lane], None),
        Spare::Yes => {
            let server = scripted::Server::with(Script::always(said("Spared."))).await;
            (lane.retries.base_ms, lane.retries.max_ms) = (1, 2);
            let mut second = lane.clone();
            second.name = "spare".to_owned();
            second.base_url = Some(format!("{}/v1", server.url()));
            (vec![lane, second], Some(server))
        }
    }
}

pub fn said(text: &str) -> scripted::Reply {
    reply().text_words(text).build()
}

fn tools(paid: &Arc<AtomicUsize>) -> Vec<Tool> {
    let mut look = Definition::new("look", "looks something up", Effect::Idempotent);
    look.input_schema = schema(json!({"what": {"type": "string"}}));
    let mut pay = Definition::new("pay", "pays an amount", Effect::Unsafe);
    pay.policy = Policy::Ask;
    pay.input_schema = schema(json!({"amount": {"type": "integer", "maximum": 100}}));
    vec![
        Tool::new(look, Arc::new(Look)).expect("a tool"),
        Tool::new(pay, Arc::new(Pay(paid.clone()))).expect("a tool"),
    ]
}

fn schema(properties: Value) -> serde_json::Map<String, Value> {
    let schema = json!({"type": "object", "properties": properties, "additionalProperties": false});
    schema.as_object().expect("an object").clone()
}

struct Look;

impl Executor for Look {
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Ended> {
        let value = json!({"found": work.arguments.get("what")});
        std::future::ready(Ended::Answered {
            value,
            is_error: false,
        })
        .boxed()
    }
}

struct Pay(Arc<AtomicUsize>);

impl Executor for Pay {
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Ended> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let value = json!({"paid": work.arguments.get("amount")});
        std::future::ready(Ended::Answered {
            value,
            is_error: false,
        })
        .boxed()
    }
}

/// A registry of three, one of them broken; tests may add to it.
pub struct Agents {
    list: Mutex<Vec<AgentEntry>>,
}

impl Agents {
    fn new() -> Self {
        let helper = agent("helper", &[]);
        let clerk = agent("clerk", &["look", "pay"]);
        let strict = AskOptions {
            other_person: Some(true),
            approvals_needed: Some(2),
            expires_in_s: Some(600),
        };
        let treasurer = Agent {
            asking: BTreeMap::from([("pay".to_owned(), strict)]),
            on_message_while_waiting: Some(OnMessage::DenyAndContinue),
            ..agent("treasurer", &["pay"])
        };
        let list = vec![
            entry(clerk),
            entry(helper),
            AgentEntry {
                agent_type: "torn".to_owned(),
                state: AgentState::Broken {
                    message: "line 2: unknown field `modle`".to_owned(),
                },
            },
            entry(treasurer),
        ];
        Self {
            list: Mutex::new(list),
        }
    }
}

fn entry(agent: Agent) -> AgentEntry {
    AgentEntry {
        agent_type: agent.agent_type.clone(),
        state: AgentState::Ready(Arc::new(agent)),
    }
}

fn agent(name: &str, tools: &[&str]) -> Agent {
    Agent {
        agent_type: name.to_owned(),
        name: name.to_uppercase(),
        description: format!("is a {name}"),
        version: format!("{name}-1"),
        models: vec!["tiny".to_owned()],
        lanes: Vec::new(),
        tools: tools.iter().map(|&tool| tool.to_owned()).collect(),
        approvals: BTreeMap::new(),
        rules: Vec::new(),
        daily: Default::default(),
        asking: BTreeMap::new(),
        on_message_while_waiting: None,
        intent_gate: None,
        budget: Budget {
            max_steps: Some(10),
            ..Budget::default()
        },
        data_policy: DataPolicy::Any,
        temperature: None,
        max_output_tokens: None,
        input_hints: vec!["ask me".to_owned()],
        metadata: serde_json::Map::new(),
        system_prompt: "SECRET PROMPT".to_owned(),
    }
}

impl Agents {
    /// An agent like `helper`, changed by the test.
    pub fn add(&self, name: &str, change: impl FnOnce(&mut Agent)) {
        let mut added = agent(name, &["look"]);
        change(&mut added);
        self.list.lock().unwrap().push(entry(added));
    }
}

impl AgentSource for Agents {
    fn get(&self, agent_type: &str) -> Option<Arc<Agent>> {
        assert_ne!(agent_type, PANICS, "told to");
        let list = self.list.lock().unwrap();
        list.iter().find_map(|entry| match &entry.state {
            AgentState::Ready(agent) if agent.agent_type == agent_type => Some(agent.clone()),
            AgentState::Ready(_) | AgentState::Broken { .. } => None,
        })
    }

    fn list(&self) -> Vec<AgentEntry> {
        self.list.lock().unwrap().clone()
    }
}
