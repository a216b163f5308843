//! A gateway from TOML, and what a run needs to call it.

use crate::approve::approved;
use domain::agent::{Agent, Budget, DataPolicy};
use domain::key::Principal;
use domain::policy::{Labels, RuleText};
use domain::ports::clock::Clock;
use domain::ports::tools::{CallContext, Proposed, Tools};
use domain::run::{Call, CallState, Planned, Verdict};
use domain::tool::{CallKey, Policy, ToolOutcome};
use domain::{CallId, KeyId, OrgId, OrgScope, RunId, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tools::egress::{Lookup, System};
use tools::{
    ConfigError, DatabaseConfig, EgressConfig, Gateway, PlacedRule, PolicyConfig, RuleOfTwo, Setup,
    ToolConfigs,
};
use uuid::Uuid;

/// 2023-11-14T22:13:20Z, always.
pub struct StillClock;

pub const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        NOW
    }

    fn uuid(&self) -> Uuid {
        Uuid::nil()
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    tools: ToolConfigs,
    #[serde(default)]
    databases: BTreeMap<String, DatabaseConfig>,
    #[serde(default)]
    egress: EgressConfig,
    #[serde(default)]
    policy: PolicyTable,
}

/// Rules as the server's configuration spells them.
#[derive(Default, Deserialize)]
struct PolicyTable {
    #[serde(default)]
    rules: Vec<RuleText>,
    #[serde(default)]
    acme: Vec<RuleText>,
    #[serde(default)]
    rule_of_two: RuleOfTwo,
}

impl From<PolicyTable> for PolicyConfig {
    fn from(table: PolicyTable) -> Self {
        let placed = |rules: Vec<RuleText>| {
            let place = "here".to_owned();
            let rules = rules.into_iter();
            rules
                .map(|text| PlacedRule {
                    text,
                    place: place.clone(),
                })
                .collect()
        };
        Self {
            rules: placed(table.rules),
            orgs: BTreeMap::from([("acme".to_owned(), placed(table.acme))]),
            rule_of_two: table.rule_of_two,
        }
    }
}

/// The environment that settings refer to.
pub fn env(name: &str) -> Option<String> {
    match name {
        "TEST_SECRET" => Some("s3cret-canary".to_owned()),
        "TEST_BAD_HEADER" => Some("a\r\nEvil: 1".to_owned()),
        "TEST_POSTGRES" => Some(postgres_url()),
        "PATH" => std::env::var("PATH").ok(),
        _ => None,
    }
}

pub fn try_gateway_with(
    toml: &str,
    data: &Path,
    lookup: Arc<dyn Lookup>,
) -> Result<Gateway, String> {
    // The first TLS client needs it; later installs find it in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let file: File = toml::from_str(toml).map_err(|error| error.to_string())?;
    Gateway::build(Setup {
        tools: file.tools,
        databases: file.databases,
        egress: file.egress,
        policy: file.policy.into(),
        asking: domain::approval::AskOptions::default(),
        clock: Arc::new(StillClock),
        results: None,
        lookup,
        env: &env,
        data,
    })
    .map_err(|error| chain(&error))
}

pub fn try_gateway(toml: &str, data: &Path) -> Result<Gateway, String> {
    try_gateway_with(toml, data, Arc::new(System))
}

pub fn gateway(toml: &str, data: &Path) -> Gateway {
    try_gateway(toml, data).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

fn chain(error: &ConfigError) -> String {
    let mut text = error.to_string();
    let mut at = std::error::Error::source(error);
    while let Some(error) = at {
        text.push_str(&format!(": {error}"));
        at = error.source();
    }
    text
}

pub fn postgres_url() -> String {
    std::env::var("RUNYARD_TEST_POSTGRES")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned())
}

pub fn scope() -> OrgScope {
    OrgScope::new(OrgId::new("acme").unwrap())
}

pub fn agent(tools: &[&str]) -> Agent {
    Agent {
        agent_type: "advisor".to_owned(),
        name: "Advisor".to_owned(),
        description: String::new(),
        version: "0123456789abcdef".to_owned(),
        models: Vec::new(),
        lanes: Vec::new(),
        tools: tools.iter().map(|name| (*name).to_owned()).collect(),
        approvals: BTreeMap::new(),
        rules: Vec::new(),
        daily: Default::default(),
        asking: BTreeMap::new(),
        on_message_while_waiting: None,
        intent_gate: None,
        budget: Budget::default(),
        data_policy: DataPolicy::Any,
        temperature: None,
        max_output_tokens: None,
        input_hints: Vec::new(),
        metadata: Map::new(),
        system_prompt: String::new(),
    }
}

pub fn agent_with(tools: &[&str], approvals: &[(&str, Policy)]) -> Agent {
    let approvals = approvals
        .iter()
        .map(|(name, policy)| ((*name).to_owned(), *policy));
    Agent {
        approvals: approvals.collect(),
        ..agent(tools)
    }
}

pub fn context(agent: Agent) -> CallContext {
    CallContext {
        run_id: RunId::new(Uuid::from_u128(7)),
        thread_id: None,
        agent: Arc::new(agent),
        caller: Principal {
            key_id: KeyId::new(Uuid::from_u128(8)),
            name: "tests".to_owned(),
            role: None,
        },
        metadata: Map::new(),
        thread_metadata: Map::new(),
        met: Labels::NONE,
        earlier_tools: Vec::new(),
    }
}

pub fn proposed(name: &str, arguments: &str) -> Proposed {
    Proposed {
        client_id: None,
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    }
}

pub async fn plan_one(
    gateway: &Gateway,
    context: &CallContext,
    name: &str,
    arguments: &str,
) -> Planned {
    let calls = vec![proposed(name, arguments)];
    let mut plans = gateway.plan(&scope(), context, calls).await;
    assert_eq!(plans.len(), 1);
    plans.remove(0)
}

/// A dispatched call of this run as the engine makes it, with a key of its own.
pub fn call(scope: &OrgScope, run: RunId, planned: Planned) -> Call {
    static STEPS: AtomicU32 = AtomicU32::new(0);
    let step_index = STEPS.fetch_add(1, Ordering::Relaxed);
    let id = CallId::minted(Uuid::from_u128(u128::from(step_index)));
    Call {
        key: CallKey::new(scope.org(), run, step_index, &id),
        id,
        step_index,
        name: planned.name,
        arguments: planned.arguments,
        arguments_digest: planned.arguments_digest,
        asked_digest: None,
        tool_version: planned.tool_version,
        effect: planned.effect,
        requested_at: NOW,
        attempt: 1,
        judgement: planned.judgement,
        has_probe: planned.has_probe,
        warrant: None,
        state: CallState::Dispatched { at: NOW },
    }
}

/// Plans a call and makes it; one that asks is approved, in a run of its own.
pub async fn ready(gateway: &Gateway, name: &str, arguments: Value) -> (CallContext, Call) {
    let context = context(agent(&[name]));
    ready_for(gateway, context, &scope(), name, arguments).await
}

/// The same for this run of this org.
pub async fn ready_for(
    gateway: &Gateway,
    mut context: CallContext,
    scope: &OrgScope,
    name: &str,
    arguments: Value,
) -> (CallContext, Call) {
    let planned = plan_one(gateway, &context, name, &arguments.to_string()).await;
    let call = match planned.verdict {
        Verdict::Run => call(scope, context.run_id, planned),
        Verdict::Ask { .. } => {
            static RUNS: AtomicU32 = AtomicU32::new(1_000);
            let run = RUNS.fetch_add(1, Ordering::Relaxed);
            context.run_id = RunId::new(Uuid::from_u128(u128::from(run)));
            approved(&context, planned).0
        }
        ref other => panic!("it may not run: {other:?}"),
    };
    (context, call)
}

pub const LIMIT: Duration = Duration::from_secs(60);

pub async fn run(gateway: &Gateway, name: &str, arguments: Value) -> ToolOutcome {
    let (context, call) = ready(gateway, name, arguments).await;
    gateway.execute(&scope(), &context, &call, LIMIT).await
}

/// The told result of a call that was answered, and whether it is an error.
pub fn committed(outcome: ToolOutcome) -> (Value, bool) {
    match outcome {
        ToolOutcome::Committed(result) => (
            serde_json::from_str(&result.content).unwrap(),
            result.is_error,
        ),
        other => panic!("not committed: {other:?}"),
    }
}

/// The `result` of a call that went well.
pub async fn result(gateway: &Gateway, name: &str, arguments: Value) -> Value {
    let (mut told, is_error) = committed(run(gateway, name, arguments).await);
    assert!(!is_error, "{told}");
    assert_eq!(told["tool"], name);
    told["result"].take()
}

/// What a call that was not sent was told.
pub fn before(outcome: ToolOutcome) -> String {
    match outcome {
        ToolOutcome::FailedBeforeEffect(result) => {
            assert!(result.is_error);
            let told: Value = serde_json::from_str(&result.content).unwrap();
            assert!(told["tool"].is_string());
            told["error"].as_str().unwrap().to_owned()
        }
        other => panic!("not before its effect: {other:?}"),
    }
}

pub fn unknown(outcome: ToolOutcome) -> String {
    match outcome {
        ToolOutcome::Unknown { evidence } => evidence,
        other => panic!("not unknown: {other:?}"),
    }
}

/// A listener that answers each connection by a script and keeps what it was sent.
pub struct Raw {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    pub requests: Arc<std::sync::Mutex<Vec<String>>>,
}

/// What a `Raw` server does once it has read a request.
#[derive(Clone)]
pub enum Reply {
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Closes without a word.
    Cut,
    /// Keeps the connection open and says nothing (more) after these bytes.
    Silence(Vec<u8>),
    /// Sends the first bytes, then the others over and over until the client goes away.
    Endless(Vec<u8>, Vec<u8>),
}

impl Raw {
    pub async fn start(reply: Reply) -> Self {
        Self::at("127.0.0.1:0", reply).await
    }

    pub async fn at(address: &str, reply: Reply) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let raw = Self {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (Arc::clone(&raw.connections), Arc::clone(&raw.requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (reply, requests) = (reply.clone(), Arc::clone(&requests));
                tokio::spawn(async move {
                    let _ = serve(stream, reply, requests).await;
                });
            }
        });
        raw
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(
    mut stream: TcpStream,
    reply: Reply,
    requests: Arc<std::sync::Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut read = Vec::new();
    while !is_request(&read) {
        let mut chunk = [0; 4_096];
        let bytes = stream.read(&mut chunk).await?;
        if bytes == 0 {
            return Ok(());
        }
        read.extend_from_slice(&chunk[..bytes]);
    }
    requests
        .lock()
        .unwrap()
        .push(String::from_utf8_lossy(&read).into_owned());
    match reply {
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes).await?;
            stream.shutdown().await
        }
        Reply::Cut => Ok(()),
        Reply::Silence(bytes) => {
            stream.write_all(&bytes).await?;
            // Until the client goes away.
            stream.read_to_end(&mut read).await.map(|_| ())
        }
        Reply::Endless(head, body) => {
            stream.write_all(&head).await?;
            loop {
                stream.write_all(&body).await?;
            }
        }
    }
}

/// Whether head and declared body have arrived.
fn is_request(read: &[u8]) -> bool {
    let text = String::from_utf8_lossy(read);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let declared = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= declared.unwrap_or(0)
}

pub fn http(head: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
