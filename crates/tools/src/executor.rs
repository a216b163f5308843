//! The seam between the gateway and what executes a tool. A new kind of tool implements `Executor`; validation,
//! policy, time limits, result caps and the shape of results stay with the gateway.

use crate::error::ConfigError;
use crate::limits;
use crate::probe::Probe;
use crate::schema::Schema;
use domain::OrgScope;
use domain::approval::AskOptions;
use domain::policy::{Label, Labels};
use domain::ports::tools::CallContext;
use domain::run::Call;
use domain::tool::{Effect, Policy, ToolSpec, arguments_digest};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Executes the calls of one tool.
pub trait Executor: Send + Sync {
    /// Executes a call whose arguments fit the tool's schema, and takes no longer than `work.limit`: an executor knows
    /// best whether what it cut off has happened. Dropping the future stops the call where it can be stopped.
    fn execute<'a>(&'a self, work: Work<'a>) -> BoxFuture<'a, Ended>;

    /// What decides what a call does, beside its arguments: the statement, the address. It goes into the tool's version,
    /// so that no decision outlives a change of it. Secrets are left out: one that is renewed changes nothing.
    fn identity(&self) -> Value {
        Value::Null
    }

    /// Forgets calls that were carried out longer ago than `age`, if the executor keeps a record of them. How many
    /// there were.
    fn forget<'a>(&'a self, age: Duration) -> BoxFuture<'a, Result<u64, Unforgotten>> {
        let _ = age;
        std::future::ready(Ok(0)).boxed()
    }
}

/// Why old records of calls are still there.
#[derive(Debug, thiserror::Error)]
#[error("the database did not clear away old records of calls")]
pub struct Unforgotten(#[source] pub Box<dyn std::error::Error + Send + Sync>);

/// One call on its way.
pub struct Work<'a> {
    pub scope: &'a OrgScope,
    pub context: &'a CallContext,
    pub call: &'a Call,
    pub arguments: &'a Map<String, Value>,
    pub limit: Duration,
    /// What the result may take; an executor that reads more than this reads too much.
    pub result_bytes_max: usize,
}

/// Values that no model chooses; templates and statements name them with `runyard_` in front.
pub(crate) const RESERVED: [&str; 4] = [
    "runyard_org",
    "runyard_run_id",
    "runyard_call_key",
    "runyard_arguments",
];

impl Work<'_> {
    /// An argument by name, or one of the `RESERVED` values.
    pub(crate) fn value(&self, name: &str) -> Option<Value> {
        match name {
            "runyard_org" => Some(json!(self.scope.org().as_str())),
            "runyard_run_id" => Some(json!(self.context.run_id.to_string())),
            "runyard_call_key" => Some(json!(self.call.key.as_str())),
            "runyard_arguments" => Some(Value::Object(self.arguments.clone())),
            argument => self.arguments.get(argument).cloned(),
        }
    }
}

/// How an execution ended, before the gateway puts it into words.
#[derive(Debug, Clone, PartialEq)]
pub enum Ended {
    /// The other side answered, well or badly; its effect, if any, has happened.
    Answered { value: Value, is_error: bool },
    /// It certainly did not happen. `why` is for the model: no addresses, no insides.
    Before { why: String },
    /// Sent, but no answer. `evidence` is for a person.
    Unknown { evidence: String },
}

/// What is known of a tool apart from how it is executed.
#[derive(Debug, Clone)]
pub struct Definition {
    pub name: String,
    pub description: String,
    pub input_schema: Map<String, Value>,
    pub effect: Effect,
    pub policy: Policy,
    pub risk: Option<String>,
    /// Who outside gives its results, if somebody does: they are told to models as that one's words.
    pub data_from: Option<String>,
    pub labels: Labels,
    /// How approvals of its calls are decided.
    pub asking: AskOptions,
    /// How to find out what became of a call whose answer was lost.
    pub probe: Option<Probe>,
    pub timeout: Duration,
    pub result_bytes_max: usize,
    pub concurrency_max: usize,
}

impl Definition {
    /// A tool with every limit at its default.
    pub fn new(name: impl Into<String>, description: impl Into<String>, effect: Effect) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            input_schema: Map::new(),
            effect,
            policy: Policy::Auto,
            risk: None,
            data_from: None,
            labels: outside(effect),
            asking: AskOptions::default(),
            probe: None,
            timeout: limits::TIMEOUT_DEFAULT,
            result_bytes_max: limits::RESULT_BYTES_DEFAULT,
            concurrency_max: limits::CONCURRENCY_DEFAULT,
        }
    }
}

/// The labels of a tool of which nothing is known but its effect: whatever answers is outside.
pub fn outside(effect: Effect) -> Labels {
    let changes = (effect != Effect::Idempotent).then_some(Label::ChangesState);
    [Label::ReadsUntrusted].into_iter().chain(changes).collect()
}

/// A tool ready to be called.
pub struct Tool {
    pub(crate) spec: ToolSpec,
    pub(crate) labels: Labels,
    pub(crate) schema: Schema,
    pub(crate) risk: String,
    pub(crate) data_from: Option<String>,
    pub(crate) asking: AskOptions,
    pub(crate) probe: Option<Probe>,
    pub(crate) timeout: Duration,
    pub(crate) result_bytes_max: usize,
    pub(crate) permits: Semaphore,
    pub(crate) executor: Arc<dyn Executor>,
}

impl Tool {
    /// Compiles the schema and hashes the definition. Fails for names that models refuse and for bad schemas.
    pub fn new(definition: Definition, executor: Arc<dyn Executor>) -> Result<Self, ConfigError> {
        let tool = definition.name;
        if !is_name(&tool) {
            return Err(ConfigError::Name { tool });
        }
        let schema = match Schema::compile(definition.input_schema) {
            Ok(schema) => schema,
            Err(source) => return Err(ConfigError::Schema { tool, source }),
        };
        let effect = definition.effect;
        let version = arguments_digest(&json!({
            "name": tool,
            "description": definition.description,
            "input_schema": schema.source(),
            "effect": effect,
            "executes": executor.identity(),
            // It decides whether a lost call is made again.
            "probe": definition.probe,
        }));
        let risk = definition.risk.unwrap_or_else(|| risk(effect).to_owned());
        Ok(Self {
            spec: ToolSpec {
                name: tool,
                description: definition.description,
                input_schema: schema.source().clone(),
                effect,
                policy: definition.policy,
                version,
            },
            schema,
            labels: definition.labels,
            risk,
            data_from: definition.data_from,
            asking: definition.asking,
            probe: definition.probe,
            timeout: definition.timeout,
            result_bytes_max: definition.result_bytes_max,
            permits: Semaphore::new(definition.concurrency_max),
            executor,
        })
    }

    pub fn spec(&self) -> &ToolSpec {
        &self.spec
    }
}

/// OpenAI's and Anthropic's rule for the name of a function.
pub(crate) fn is_name(name: &str) -> bool {
    (1..=limits::NAME_CHARS_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

fn risk(effect: Effect) -> &'static str {
    match effect {
        Effect::Idempotent => "repeating the call changes nothing more",
        Effect::Keyed => "changes something once, even if the call is repeated",
        Effect::Unsafe => {
            "may change something that cannot be taken back or told apart from a repetition"
        }
    }
}
