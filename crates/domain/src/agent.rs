//! An agent's definition as the registry hands it out. It does not know that it came from a Markdown file.

use crate::approval::AskOptions;
use crate::budget::DayBudget;
use crate::policy::RuleText;
use crate::tool::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;

/// A definition, immutable under its version. A run keeps the version it began with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// `snake_case`, unique in the registry.
    pub agent_type: String,
    pub name: String,
    pub description: String,
    /// BLAKE3 (first 16 hex) of the definition's source.
    pub version: String,
    /// Models by preference; empty means that any lane's first model will do.
    #[serde(default)]
    pub models: Vec<String>,
    /// Lanes by preference; empty means every lane.
    #[serde(default)]
    pub lanes: Vec<String>,
    /// Tool names; a tool that is not listed cannot be called.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Policies per tool; they may tighten the tool's own, never loosen it.
    #[serde(default)]
    pub approvals: BTreeMap<String, Policy>,
    /// Rules on calls; they may tighten what others say, never loosen it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleText>,
    /// How calls that ask are decided, per tool; with the tool's and the server's own, the strictest counts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub asking: BTreeMap<String, AskOptions>,
    /// What becomes of a message that comes while a run of its thread waits for a person; `None` treats it as any
    /// message to a busy thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_message_while_waiting: Option<OnMessage>,
    #[serde(default)]
    pub intent_gate: Option<IntentGate>,
    #[serde(default)]
    pub budget: Budget,
    /// Ceilings of a day, over all runs of the agent in an org.
    #[serde(default, skip_serializing_if = "DayBudget::is_unlimited")]
    pub daily: DayBudget,
    /// Where this agent's content may go.
    #[serde(default)]
    pub data_policy: DataPolicy,
    #[serde(default)]
    pub temperature: Option<f64>,
    #[serde(default)]
    pub max_output_tokens: Option<u32>,
    #[serde(default)]
    pub input_hints: Vec<String>,
    #[serde(default)]
    pub metadata: Map<String, Value>,
    pub system_prompt: String,
}

/// What becomes of a message to a thread whose run waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMessage {
    /// Its run begins once the one that waits has ended.
    Queue,
    /// It is refused.
    Reject,
    /// What is asked is denied, the run goes on, and the message's run begins after it.
    DenyAndContinue,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IntentGate {
    pub mode: GateMode,
    /// The rest of the gate's settings, read by the gate itself.
    #[serde(default)]
    pub settings: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateMode {
    Enforce,
    /// Judged and recorded, and let through whatever it says.
    Shadow,
    /// Not asked at all.
    Off,
}

impl GateMode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}

/// How far content may travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataPolicy {
    /// Anywhere that a lane leads.
    #[default]
    Any,
    /// Never further than this server and the models beside it.
    Local,
    /// Never off the client's device.
    Device,
}

/// Ceilings of one run; an absent one does not limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Budget {
    /// Model turns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u32>,
    /// Input and output together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_micro_usd: Option<u64>,
    /// Of a million tokens: dearer lanes are not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price_micro_usd: Option<u64>,
    /// Seconds from the run's start, waits for approval not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<u64>,
}

impl Budget {
    /// The tighter of both in each dimension: a request may tighten its agent's budget, never loosen it.
    pub fn tightened(&self, other: &Self) -> Self {
        fn tighter<T: Ord + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (one, None) | (None, one) => one,
            }
        }
        Self {
            max_steps: tighter(self.max_steps, other.max_steps),
            max_tokens: tighter(self.max_tokens, other.max_tokens),
            max_cost_micro_usd: tighter(self.max_cost_micro_usd, other.max_cost_micro_usd),
            max_price_micro_usd: tighter(self.max_price_micro_usd, other.max_price_micro_usd),
            timeout_s: tighter(self.timeout_s, other.timeout_s),
        }
    }

    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_s.map(Duration::from_secs)
    }
}
