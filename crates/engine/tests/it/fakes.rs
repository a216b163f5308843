//! A model that follows a script and tools that count their effects. Both outlive the engines of a test, as the world
//! outside outlives a process.

use async_trait::async_trait;
use domain::agent::Agent;
use domain::gate::{GateError, GateInput, GateRule, GateSettings};
use domain::lane::{LaneChoice, LaneInfo, LaneKind, LaneReport, Selection, Wishes};
use domain::limits::APPROVAL_EXPIRY;
use domain::message::Message;
use domain::policy::Judgement;
use domain::ports::clock::Clock;
use domain::ports::gate::{GateRules, PreparedGate};
use domain::ports::model::{AskedCall, ModelError, Models, TurnEvent, TurnFinish, TurnRequest};
use domain::ports::tools::{CallContext, Proposed, Tools};
use domain::run::{Call, Planned, Verdict};
use domain::tool::{
    Effect, Found, Policy, Probed, ToolOutcome, ToolResult, ToolSpec, arguments_digest,
};
use domain::usage::Usage;
use domain::{CallId, OrgScope, Timestamp};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore};
use uuid::Uuid;

/// The machine's time plus what a test adds.
#[derive(Default)]
pub struct TestClock {
    ahead_us: AtomicI64,
}

impl TestClock {
    pub fn advance(&self, span: Duration) {
        let span = i64::try_from(span.as_micros()).expect("a test's span is short");
        self.ahead_us.fetch_add(span, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test's clock is made of the machine's"
    )]
    fn now(&self) -> Timestamp {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let now = i64::try_from(now.as_micros()).expect("before the year 292,000");
        Timestamp::from_micros(now + self.ahead_us.load(Ordering::SeqCst))
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// One step of a scripted turn.
#[derive(Debug, Clone)]
pub enum Say {
    Text(&'static str),
    Call(&'static str, String),
    /// Waits for `FakeModel::open`.
    Gate,
    Fail {
        retry: bool,
    },
    Panic,
}

/// Decides what a turn says from the history that it is given.
pub type Script = dyn Fn(&[Arc<Message>]) -> Vec<Say> + Send + Sync;

pub struct FakeModel {
    script: Mutex<Arc<Script>>,
    gate: Arc<Semaphore>,
    pub turns: Mutex<Vec<Vec<Arc<Message>>>>,
}

impl FakeModel {
    pub fn new() -> Self {
        Self {
            script: Mutex::new(Arc::new(|_| vec![Say::Text("hello "), Say::Text("there")])),
            gate: Arc::new(Semaphore::new(0)),
            turns: Mutex::new(Vec::new()),
        }
    }

    pub fn play(&self, script: impl Fn(&[Arc<Message>]) -> Vec<Say> + Send + Sync + 'static) {
        *self.script.lock().expect("no panic under this lock") = Arc::new(script);
    }

    /// Lets this many waiting turns pass their gate.
    pub fn open(&self, turns: usize) {
        self.gate.add_permits(turns);
    }

    pub fn count(&self) -> usize {
        self.turns.lock().expect("no panic under this lock").len()
    }
}

pub fn fake_lane() -> LaneChoice {
    LaneChoice {
        considered: Vec::new(),
        name: "fake".to_owned(),
        kind: LaneKind::Local,
        model: "fake-1".to_owned(),
        reason: "the only one".to_owned(),
    }
}

impl Models for FakeModel {
    fn turn(&self, request: TurnRequest) -> BoxStream<'static, Result<TurnEvent, ModelError>> {
        let messages: Vec<Arc<Message>> = request.messages.iter().cloned().collect();
        check_history(&messages);
        let script = self
            .script
            .lock()
            .expect("no panic under this lock")
            .clone();
        let says = script(&messages);
        self.turns
            .lock()
            .expect("no panic under this lock")
            .push(messages);
        let gate = self.gate.clone();
        let mut finish = TurnFinish {
            usage: Usage {
                input_tokens: 7,
                output_tokens: 3,
                ..Usage::default()
            },
            ..TurnFinish::default()
        };
        let failed = says.iter().any(|say| matches!(say, Say::Fail { .. }));
        for say in &says {
            if let Say::Call(name, arguments) = say {
                let call = AskedCall {
                    name: (*name).to_owned(),
                    arguments: arguments.clone(),
                };
                finish.calls.push(call);
            }
        }
        let said = futures::stream::iter(says).filter_map(move |say| {
            let gate = gate.clone();
            async move {
                match say {
                    Say::Text(text) => Some(Ok(TurnEvent::Text(text.to_owned()))),
                    Say::Call(..) => None,
                    Say::Gate => {
                        gate.acquire().await.expect("never closed").forget();
                        None
                    }
                    Say::Fail { retry } => {
                        let code = domain::failure::FailureCode::ModelUnavailable;
                        let error = ModelError::new(code, "the fake model failed");
                        Some(Err(ModelError {
                            retry,
                            lane: Some("fake".to_owned()),
                            ..error
                        }))
                    }
                    Say::Panic => panic!("the fake model panics as told"),
                }
            }
        });
        let begin = futures::stream::iter([Ok(TurnEvent::Lane(fake_lane()))]);
        let end = futures::stream::iter((!failed).then_some(Ok(TurnEvent::Finished(finish))));
        begin.chain(said).chain(end).boxed()
    }

    fn lanes(&self) -> Vec<LaneInfo> {
        Vec::new()
    }

    fn select(&self, _: &OrgScope, _: &Wishes) -> Selection {
        Selection {
            candidates: vec![fake_lane()],
            considered: Vec::new(),
        }
    }

    fn reports(&self, _: &OrgScope) -> Vec<LaneReport> {
        Vec::new()
    }
}

/// Every call has exactly one result before the conversation goes on; no provider would take another history.
pub fn check_history(messages: &[Arc<Message>]) {
    let mut open: HashSet<CallId> = HashSet::new();
    for message in messages {
        match &message.tool_call_id {
            Some(id) => assert!(open.remove(id), "a result without its call"),
            None => {
                assert!(open.is_empty(), "a call without its result");
                open.extend(message.tool_calls.iter().map(|call| call.id.clone()));
            }
        }
    }
    assert!(open.is_empty(), "the last calls have no results");
}

/// One execution of a tool: what a real tool would have seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effected {
    pub tool: String,
    pub key: String,
    pub attempt: u32,
    pub arguments: String,
}

/// Tools whose names say what they are: `read*` idempotent, `keyed*` keyed, all others unsafe; `*_ask` are gated,
/// `*_deny` forbidden; `*_slow` wait at a gate after their effect; `*_lost` never tell their outcome.
///
/// The predicate `holds` does, after a wait where a test wants one; every other does not.
pub struct FakeTools {
    pub effects: Mutex<Vec<Effected>>,
    /// When approvals of `*_soon_ask` expire.
    pub soon: Mutex<Timestamp>,
    /// What the probe of `*_probed_lost` finds.
    pub found: Mutex<Found>,
    /// Times that a probe was asked.
    pub asked: AtomicUsize,
    gate: Arc<Semaphore>,
    held_predicates: AtomicBool,
    held_answers: AtomicBool,
    predicates_asked: AtomicUsize,
    version: Mutex<&'static str>,
    released: Notify,
}

impl FakeTools {
    pub fn new() -> Self {
        Self {
            effects: Mutex::new(Vec::new()),
            soon: Mutex::new(Timestamp::from_micros(0)),
            found: Mutex::new(Found::Unclear),
            asked: AtomicUsize::new(0),
            gate: Arc::new(Semaphore::new(0)),
            held_predicates: AtomicBool::new(false),
            held_answers: AtomicBool::new(false),
            predicates_asked: AtomicUsize::new(0),
            version: Mutex::new("1"),
            released: Notify::new(),
        }
    }

    /// From now on predicates wait.
    pub fn hold_predicates(&self) {
        self.predicates_asked.store(0, Ordering::SeqCst);
        self.held_predicates.store(true, Ordering::SeqCst);
    }

    pub fn release_predicates(&self) {
        self.held_predicates.store(false, Ordering::SeqCst);
        self.released.notify_waiters();
    }

    pub fn predicates_asked(&self) -> usize {
        self.predicates_asked.load(Ordering::SeqCst)
    }

    /// From now on calls of `*_slow_ask` wait after their effect.
    pub fn hold_answers(&self) {
        self.held_answers.store(true, Ordering::SeqCst);
    }

    pub fn release_answers(&self) {
        self.held_answers.store(false, Ordering::SeqCst);
        self.released.notify_waiters();
    }

    /// Every tool has this definition from now on.
    pub fn redefine(&self, version: &'static str) {
        *self.version.lock().expect("no panic under this lock") = version;
    }

    async fn while_held(&self, held: &AtomicBool) {
        loop {
            let released = self.released.notified();
            let mut released = std::pin::pin!(released);
            // Registered before the look, so that no release in between is missed.
            released.as_mut().enable();
            if !held.load(Ordering::SeqCst) {
                return;
            }
            released.await;
        }
    }

    pub fn open(&self, calls: usize) {
        self.gate.add_permits(calls);
    }

    pub fn effects(&self) -> Vec<Effected> {
        self.effects
            .lock()
            .expect("no panic under this lock")
            .clone()
    }

    /// Effects by call key.
    pub fn by_key(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for effect in self.effects() {
            *counts.entry(effect.key).or_default() += 1;
        }
        counts
    }
}

fn effect_of(name: &str) -> Effect {
    if name.starts_with("read") {
        Effect::Idempotent
    } else if name.starts_with("keyed") {
        Effect::Keyed
    } else {
        Effect::Unsafe
    }
}

#[async_trait]
impl Tools for FakeTools {
    fn specs(&self, _scope: &OrgScope, agent: &Agent) -> Arc<[ToolSpec]> {
        let spec = |name: &String| ToolSpec {
            name: name.clone(),
            description: "a fake".to_owned(),
            input_schema: serde_json::Map::new(),
            effect: effect_of(name),
            policy: Policy::Auto,
            version: "1".to_owned(),
        };
        agent.tools.iter().map(spec).collect()
    }

    async fn plan(
        &self,
        _scope: &OrgScope,
        _context: &CallContext,
        calls: Vec<Proposed>,
    ) -> Vec<Planned> {
        let soon = *self.soon.lock().expect("no panic under this lock");
        let version = *self.version.lock().expect("no panic under this lock");
        let plan = |call: Proposed| {
            let is_soon = call.name.ends_with("_soon_ask");
            let mut planned = plan_one(call, version);
            if let Verdict::Ask { expires_at, .. } = &mut planned.verdict
                && is_soon
            {
                *expires_at = soon;
            }
            planned
        };
        calls.into_iter().map(plan).collect()
    }

    async fn probe(
        &self,
        _scope: &OrgScope,
        _context: &CallContext,
        call: &Call,
        _limit: Duration,
    ) -> Probed {
        self.asked.fetch_add(1, Ordering::SeqCst);
        Probed {
            tool: "find".to_owned(),
            arguments: serde_json::json!({ "key": call.key }),
            answer: "{\"seen\":1}".to_owned(),
            found: *self.found.lock().expect("no panic under this lock"),
        }
    }

    async fn holds(&self, predicate: &str, _arguments: &serde_json::Value) -> Result<bool, String> {
        self.predicates_asked.fetch_add(1, Ordering::SeqCst);
        self.while_held(&self.held_predicates).await;
        Ok(predicate == "holds")
    }

    async fn execute(
        &self,
        _scope: &OrgScope,
        _context: &CallContext,
        call: &Call,
        _limit: Duration,
    ) -> ToolOutcome {
        self.effects
            .lock()
            .expect("no panic under this lock")
            .push(Effected {
                tool: call.name.clone(),
                key: call.key.to_string(),
                attempt: call.attempt,
                arguments: call.arguments.to_string(),
            });
        if call.name.ends_with("_slow") {
            self.gate.acquire().await.expect("never closed").forget();
        }
        if call.name.ends_with("_slow_ask") {
            self.while_held(&self.held_answers).await;
        }
        if call.name.ends_with("_lost") {
            return ToolOutcome::Unknown {
                evidence: "the answer was lost".to_owned(),
            };
        }
        ToolOutcome::Committed(ToolResult::ok(format!("{{\"tool\":\"{}\"}}", call.name)))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an expiry far from now needs no test clock"
)]
fn plan_one(call: Proposed, version: &str) -> Planned {
    let parsed = serde_json::from_str::<serde_json::Value>(&call.arguments);
    let verdict = match &parsed {
        Err(_) => Verdict::Reject {
            result: ToolResult::refusal(&call.name, "the arguments are not JSON"),
            malformed: true,
        },
        Ok(_) if call.name.ends_with("_ask") => {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("after 1970");
            let now = Timestamp::from_micros(i64::try_from(now.as_micros()).expect("in range"));
            Verdict::Ask {
                risk: "it is gated".to_owned(),
                why: "its name says so".to_owned(),
                terms: domain::approval::Terms::default(),
                expires_at: now.plus(APPROVAL_EXPIRY),
            }
        }
        Ok(_) if call.name.ends_with("_deny") => Verdict::Deny {
            reason: "its name says so".to_owned(),
        },
        Ok(_) => Verdict::Run,
    };
    let policy = if call.name.ends_with("_always_ask") {
        Policy::AlwaysAsk
    } else if call.name.ends_with("_ask") {
        Policy::Ask
    } else {
        Policy::Auto
    };
    let judgement = Judgement {
        policy,
        ..Judgement::default()
    };
    let call_has_probe = call.name.contains("_probed_");
    let arguments = parsed.unwrap_or(serde_json::Value::String(call.arguments));
    Planned {
        client_id: call.client_id,
        effect: effect_of(&call.name),
        name: call.name,
        tool_version: version.to_owned(),
        has_probe: call_has_probe,
        arguments_digest: arguments_digest(&arguments),
        arguments,
        verdict,
        judgement,
    }
}

/// Gates by the substrings that their rules' `phrases` name.
pub struct FakeGates;

struct FakeGate(GateSettings);

impl GateRules for FakeGates {
    fn prepare(&self, agent: &Agent) -> Result<Arc<dyn PreparedGate>, GateError> {
        let gate = agent.intent_gate.as_ref().ok_or(GateError::Empty)?;
        Ok(Arc::new(FakeGate(GateSettings::of(gate)?)))
    }
}

impl PreparedGate for FakeGate {
    fn settings(&self) -> &GateSettings {
        &self.0
    }

    fn first_match(&self, input: &GateInput) -> Option<usize> {
        let found = |rule: &GateRule| {
            rule.phrases
                .iter()
                .any(|phrase| input.text.contains(phrase))
        };
        self.0.rules.iter().position(found)
    }
}
