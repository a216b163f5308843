//! Agents as the registry shows them: never the system prompt.

use domain::agent::{Agent as Definition, GateMode};
use domain::tool::{Effect, Policy, ToolSpec};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct AgentList {
    pub agents: Vec<Agent>,
    /// Definitions that cannot be read, and why.
    pub broken: Vec<BrokenAgent>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct BrokenAgent {
    #[schema(example = "billing")]
    pub agent_type: String,
    #[schema(example = "line 4: unknown field `modle`")]
    pub message: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Agent {
    #[schema(example = "support")]
    pub agent_type: String,
    #[schema(example = "Support")]
    pub name: String,
    pub description: String,
    /// Changes with the definition.
    #[schema(example = "3f1c9a0b7d2e4f68")]
    pub version: String,
    /// The preferred model; `null` if any will do.
    #[schema(example = "gpt-5-mini")]
    pub model: Option<String>,
    /// Lanes by preference; empty means every lane.
    pub lanes: Vec<String>,
    pub tools: Vec<Tool>,
    pub intent_gate: Option<IntentGate>,
    pub input_hints: Vec<String>,
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Tool {
    #[schema(example = "refund_order")]
    pub name: String,
    pub description: String,
    /// What repeating a call does: `idempotent`, `keyed` or `unsafe`.
    pub effect: ToolEffect,
    /// Whether a call needs a person; rules on arguments may be stricter.
    pub approval: ToolApproval,
    /// JSON Schema of the arguments; calls that miss it are not run.
    #[schema(value_type = Object)]
    pub input_schema: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolEffect {
    Idempotent,
    Keyed,
    Unsafe,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolApproval {
    Auto,
    Ask,
    Deny,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct IntentGate {
    pub mode: IntentGateMode,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntentGateMode {
    Enforce,
    Shadow,
    Off,
}

impl Agent {
    pub fn new(agent: &Definition, tools: &[ToolSpec]) -> Self {
        let tool = |spec: &ToolSpec| {
            let own = agent.approvals.get(&spec.name).copied().unwrap_or_default();
            Tool {
                name: spec.name.clone(),
                description: spec.description.clone(),
                effect: spec.effect.into(),
                approval: spec.policy.max(own).into(),
                input_schema: spec.input_schema.clone(),
            }
        };
        Self {
            agent_type: agent.agent_type.clone(),
            name: agent.name.clone(),
            description: agent.description.clone(),
            version: agent.version.clone(),
            model: agent.models.first().cloned(),
            lanes: agent.lanes.clone(),
            tools: tools.iter().map(tool).collect(),
            intent_gate: agent.intent_gate.as_ref().map(|gate| IntentGate {
                mode: gate.mode.into(),
            }),
            input_hints: agent.input_hints.clone(),
            metadata: agent.metadata.clone(),
        }
    }
}

impl From<Effect> for ToolEffect {
    fn from(effect: Effect) -> Self {
        match effect {
            Effect::Idempotent => Self::Idempotent,
            Effect::Keyed => Self::Keyed,
            Effect::Unsafe => Self::Unsafe,
        }
    }
}

impl From<Policy> for ToolApproval {
    fn from(policy: Policy) -> Self {
        match policy {
            Policy::Auto => Self::Auto,
            Policy::Ask | Policy::AlwaysAsk => Self::Ask,
            Policy::Deny => Self::Deny,
        }
    }
}

impl From<GateMode> for IntentGateMode {
    fn from(mode: GateMode) -> Self {
        match mode {
            GateMode::Enforce => Self::Enforce,
            GateMode::Shadow => Self::Shadow,
            GateMode::Off => Self::Off,
        }
    }
}
