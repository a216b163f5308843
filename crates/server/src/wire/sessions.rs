//! Client-side sessions on the wire. Create, execute and complete are pinned by a published client, which reads
//! `session_id`, `tools` and `system_prompt`, and `tool_call_id`, `content` and `is_error`; the rest is ours.

use super::agents::IntentGate;
use super::journal::JournalHead;
use super::lanes::ConsideredLane;
use super::runs::{Lane, LaneKind, RunError, RunStatus};
use super::usage::Usage;
use domain::lane::LaneChoice;
use domain::limits::PREVIEW_CHARS_MAX;
use domain::run::{Run, RunKind, RunState};
use domain::session;
use domain::tool::ToolSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"agent_type": "deployment_advisor", "query": "Which model fits the Pixel 9?"}))]
pub struct CreateSession {
    #[schema(example = "deployment_advisor")]
    pub agent_type: String,
    /// What the person at the client wants.
    #[schema(max_length = 100_000)]
    pub query: String,
    /// Facts for the agent's tools and policies.
    #[schema(value_type = Option<Object>)]
    pub context: Option<Map<String, Value>>,
    /// The model that the client would use; the agent's preferred one if absent.
    pub model: Option<String>,
    /// Exactly this lane, by its name; one that the agent may use.
    pub lane: Option<String>,
    /// What the client's device can do; unknown if absent.
    pub client: Option<Client>,
    /// Seconds that the session may last.
    #[schema(minimum = 1, maximum = 86_400, default = 3_600)]
    pub ttl_s: Option<u64>,
    /// Seconds that its first token may be used; by default an hour, and an hour past the end of a session that ends
    /// sooner.
    #[schema(minimum = 1, maximum = 3_600)]
    pub token_ttl_s: Option<u64>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"ttl_s": 900}))]
pub struct CreateSessionToken {
    /// Seconds that the token may be used; as for a session's first one if absent.
    #[schema(minimum = 1, maximum = 3_600)]
    pub ttl_s: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SessionToken {
    #[schema(format = "uuid")]
    pub session_id: String,
    /// Revokes this token alone, as a key.
    #[schema(format = "uuid")]
    pub token_id: String,
    /// Shown this once and stored nowhere: an answer repeated for its `Idempotency-Key` has `null` here.
    pub session_token: Option<String>,
    #[schema(format = "date-time")]
    pub expires_at: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RevokedSessionTokens {
    #[schema(format = "uuid")]
    pub session_id: String,
    /// How many tokens were live until now.
    #[schema(example = 1)]
    pub revoked: usize,
}

/// A device as it describes itself.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Client {
    #[schema(example = "android")]
    pub platform: Option<String>,
    #[schema(example = 8192)]
    pub memory_mb: Option<u64>,
    /// Models that it can run, the best first; empty says that it can run none.
    pub models: Option<Vec<String>>,
    #[serde(default)]
    pub accelerators: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct SessionList {
    /// Newest first.
    pub sessions: Vec<SessionBrief>,
    pub next_cursor: Option<String>,
}

/// A session as it stands in a list; its steps are its run's.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionBrief {
    #[schema(format = "uuid")]
    pub session_id: String,
    /// The same as `session_id`.
    #[schema(format = "uuid")]
    pub run_id: String,
    #[schema(example = "deployment_advisor")]
    pub agent_type: String,
    pub status: RunStatus,
    /// The session's model; where another serves, `lane` says so.
    pub model: Option<String>,
    pub lane: Option<Lane>,
    /// What the person at the client wants; at most 200 characters of it.
    pub query: String,
    /// What the device said of itself.
    pub client: Option<Client>,
    /// Inference turns that the server made.
    pub turns: u32,
    /// Steps recorded, the client's own reports included.
    pub steps: u32,
    pub usage: Usage,
    pub summary: Option<String>,
    pub error: Option<RunError>,
    #[schema(format = "date-time")]
    pub created_at: String,
    /// When the client last did something that is recorded; null before it did anything.
    #[schema(format = "date-time")]
    pub last_seen_at: Option<String>,
    #[schema(format = "date-time")]
    pub expires_at: String,
    #[schema(format = "date-time")]
    pub completed_at: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Session {
    #[schema(format = "uuid")]
    pub session_id: String,
    /// The same as `session_id`: a session is a run.
    #[schema(format = "uuid")]
    pub run_id: String,
    pub agent_type: String,
    pub status: RunStatus,
    /// The model that inference turns must name, if they name one.
    pub model: Option<String>,
    pub lane: Option<SessionLane>,
    pub system_prompt: String,
    pub tools: Vec<SessionTool>,
    /// Where the journal of a device that works without the network goes on.
    pub journal: JournalHead,
    /// What the device said of itself.
    pub client: Option<Client>,
    /// When the client last did something that is recorded; null before it did anything.
    #[schema(format = "date-time")]
    pub last_seen_at: Option<String>,
    /// Opens this session and nothing else; told once, when the session is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub token_expires_at: Option<String>,
    #[schema(format = "date-time")]
    pub expires_at: String,
    pub intent_gate: Option<IntentGate>,
}

/// Where the next turns are to be made. Without any field the lane is chosen anew, as at the beginning.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(example = json!({"kind": "device", "reason": "on the charger again"}))]
pub struct MoveSession {
    /// Exactly this lane.
    pub lane: Option<String>,
    /// A lane of this kind.
    pub kind: Option<LaneKind>,
    /// With this model; else with what the agent prefers and the lane has.
    pub model: Option<String>,
    /// The device as it is now; as it was told before if absent.
    pub client: Option<Client>,
    /// Kept with the step.
    #[schema(max_length = 2_000)]
    pub reason: Option<String>,
}

/// Where the session's model runs, and what was said of each lane.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionLane {
    #[schema(example = "device")]
    pub name: String,
    pub kind: LaneKind,
    pub reason: String,
    pub considered: Vec<ConsideredLane>,
}

/// Exactly these keys: the published client takes a `function` key for another form, and drops an empty schema.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionTool {
    #[schema(example = "get_model")]
    pub name: String,
    pub description: String,
    /// A JSON Schema of type `object`.
    #[schema(value_type = Object)]
    pub input_schema: Map<String, Value>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"tool_name": "get_model", "arguments": {"model_id": "phi-4-mini"}, "tool_call_id": "call_0123456789abcdef"}))]
pub struct ExecuteTool {
    #[schema(example = "get_model", max_length = 256)]
    pub tool_name: String,
    /// Whatever JSON the model produced; an object if it kept to the tool's schema.
    #[serde(default)]
    pub arguments: Value,
    /// Chosen by the client. The same id and arguments again give the recorded result, never a second effect.
    #[schema(max_length = 256)]
    pub tool_call_id: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ToolOutput {
    pub tool_call_id: String,
    /// JSON as text. It says for itself what was asked and what happened: some clients hide `is_error` from the model.
    #[schema(example = "{\"tool\":\"get_model\",\"result\":{\"name\":\"Phi-4 mini\"}}")]
    pub content: String,
    pub is_error: bool,
    /// The step that records the call.
    pub step_index: u32,
}

#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"summary": "Phi-4 mini fits.", "confidence": 0.8, "evidence": ["8 GB"], "next_steps": []}))]
pub struct CompleteSession {
    #[serde(default)]
    pub summary: String,
    /// Clamped to 0..=1.
    pub confidence: Option<f64>,
    /// Accepted and not kept.
    #[serde(default)]
    pub evidence: Vec<Value>,
    /// Accepted and not kept.
    #[serde(default)]
    pub next_steps: Vec<Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct CompletedSession {
    #[schema(format = "uuid")]
    pub session_id: String,
    #[schema(format = "uuid")]
    pub run_id: String,
    pub status: RunStatus,
    pub summary: Option<String>,
    pub confidence: Option<f64>,
    #[schema(format = "date-time")]
    pub completed_at: Option<String>,
}

impl SessionTool {
    pub fn new(spec: &ToolSpec) -> Self {
        let mut input_schema = spec.input_schema.clone();
        if input_schema.is_empty() {
            input_schema.insert("type".to_owned(), json!("object"));
        }
        input_schema
            .entry("properties")
            .or_insert_with(|| json!({}));
        Self {
            name: spec.name.clone(),
            description: spec.description.clone(),
            input_schema,
        }
    }
}

impl From<&LaneChoice> for SessionLane {
    fn from(lane: &LaneChoice) -> Self {
        Self {
            name: lane.name.clone(),
            kind: lane.kind.into(),
            reason: lane.reason.clone(),
            considered: lane.considered.iter().cloned().map(Into::into).collect(),
        }
    }
}

impl From<Run> for SessionBrief {
    fn from(run: Run) -> Self {
        let (query, client, seen_at, expires_at) = match run.kind.clone() {
            RunKind::Session {
                query,
                client,
                seen_at,
                expires_at,
                ..
            } => (query, client, seen_at, expires_at),
            RunKind::Thread { .. } => (String::new(), None, None, run.created_at),
        };
        let (turns, steps, model) = (run.turns, run.next_step, run.request.model.clone());
        let shown = super::runs::Run::from(run);
        Self {
            session_id: shown.id,
            run_id: shown.run_id,
            agent_type: shown.agent_type,
            status: shown.status,
            model,
            lane: shown.lane,
            query: query.chars().take(PREVIEW_CHARS_MAX).collect(),
            client: client.map(Client::from),
            turns,
            steps,
            usage: shown.usage,
            summary: shown.summary,
            error: shown.error,
            created_at: shown.created_at,
            last_seen_at: seen_at.map(|at| at.to_string()),
            expires_at: expires_at.to_string(),
            completed_at: shown.completed_at,
        }
    }
}

impl From<session::Client> for Client {
    fn from(client: session::Client) -> Self {
        Self {
            platform: client.platform,
            memory_mb: client.memory_mb,
            models: client.models,
            accelerators: client.accelerators,
        }
    }
}

impl From<Client> for session::Client {
    fn from(client: Client) -> Self {
        Self {
            platform: client.platform,
            memory_mb: client.memory_mb,
            models: client.models,
            accelerators: client.accelerators,
        }
    }
}

impl From<Run> for CompletedSession {
    fn from(run: Run) -> Self {
        let status = run.status().into();
        let (summary, confidence, completed_at) = match run.state {
            RunState::Completed {
                summary,
                confidence,
                completed_at,
                ..
            } => (summary, confidence, Some(completed_at.to_string())),
            RunState::Failed {
                summary,
                completed_at,
                ..
            } => (summary, None, Some(completed_at.to_string())),
            RunState::Cancelled { completed_at, .. } => {
                (None, None, Some(completed_at.to_string()))
            }
            RunState::Queued { .. }
            | RunState::Running { .. }
            | RunState::AwaitingApproval { .. } => (None, None, None),
        };
        let id = run.id.to_string();
        Self {
            session_id: id.clone(),
            run_id: id,
            status,
            summary,
            confidence,
            completed_at,
        }
    }
}
