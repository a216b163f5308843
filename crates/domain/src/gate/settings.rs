//! A gate as an agent's front matter writes it, checked as far as that needs no pattern to be compiled.

use super::{GateVerdict, Opinion};
use crate::agent::{Agent, IntentGate};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const RULES_MAX: usize = 200;
const TIMEOUT_MS_MAX: u64 = 60_000;
const TOKENS_MAX: u32 = 2_000;

/// What an agent's gate does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateSettings {
    /// In order; the first that matches decides.
    pub rules: Vec<GateRule>,
    /// Asked about what the rules leave open.
    pub model: Option<GateModel>,
    /// Decides what rules leave open where no model is asked.
    pub otherwise: GateVerdict,
    pub on_error: OnError,
    /// What a refused user is told.
    pub refusal: Option<String>,
    /// What a user is asked whose input is not clear.
    pub question: Option<String>,
}

/// One rule: it matches where all that it looks for is there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateRule {
    pub name: String,
    /// A regular expression, searched in linear time: in the input as it came, and in its folded form (lower case, no
    /// accents, no invisible characters); either may match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Any of these, as whole words of the folded input; `*` at the end of a word stands for its rest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phrases: Vec<String>,
    /// Any of these in the letters alone, digits and signs that stand for letters read as such: what is spelt apart or
    /// disguised is still found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub squeezed: Vec<String>,
    /// At most so many words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words_max: Option<usize>,
    /// Only where the agent has not spoken yet (true) or has (false).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opening: Option<bool>,
    pub decision: GateVerdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the user is told or asked, instead of the gate's usual words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
}

/// A small model that is asked for a structured answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GateModel {
    /// Models by preference; empty means what the lane has first.
    pub models: Vec<String>,
    /// Lanes by preference, by name or kind; empty means any.
    pub lanes: Vec<String>,
    /// What is in scope and what is not, in words for the model.
    pub instructions: Option<String>,
    pub timeout_ms: u64,
    pub max_tokens: u32,
}

/// What stands where the gate cannot tell: a model that does not answer, or not in the form asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The input is refused.
    #[default]
    Closed,
    /// The input is let through.
    Open,
}

/// A gate that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    #[error("intent_gate: {0}")]
    Form(String),
    #[error("intent_gate: a rule has no name")]
    Unnamed,
    #[error(
        "intent_gate: rule {rule:?} looks for nothing; give regex, phrases, squeezed or words_max"
    )]
    Test { rule: String },
    #[error("intent_gate: rule {rule:?} cannot be used: {why}")]
    Rule { rule: String, why: String },
    #[error("intent_gate: two rules are named {rule:?}")]
    Twice { rule: String },
    #[error("intent_gate: confidence of rule {rule:?} must be between 0 and 1")]
    Confidence { rule: String },
    #[error("intent_gate: at most {RULES_MAX} rules")]
    TooMany,
    #[error("intent_gate: {field} must be between 1 and {max}")]
    Bounds { field: &'static str, max: u64 },
    #[error("intent_gate: give rules, a model or both")]
    Empty,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            model: None,
            otherwise: GateVerdict::Allow,
            on_error: OnError::default(),
            refusal: None,
            question: None,
        }
    }
}

impl Default for GateModel {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            lanes: Vec::new(),
            instructions: None,
            timeout_ms: 8_000,
            max_tokens: 200,
        }
    }
}

impl GateSettings {
    /// The settings of an agent's gate.
    pub fn of(gate: &IntentGate) -> Result<Self, GateError> {
        let value = Value::Object(gate.settings.clone());
        let settings: Self =
            serde_json::from_value(value).map_err(|error| GateError::Form(error.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), GateError> {
        if self.rules.is_empty() && self.model.is_none() {
            return Err(GateError::Empty);
        }
        if self.rules.len() > RULES_MAX {
            return Err(GateError::TooMany);
        }
        for (index, rule) in self.rules.iter().enumerate() {
            let name = || rule.name.clone();
            if rule.name.is_empty() {
                return Err(GateError::Unnamed);
            }
            if !rule.looks_for_something() {
                return Err(GateError::Test { rule: name() });
            }
            if self.rules[..index]
                .iter()
                .any(|other| other.name == rule.name)
            {
                return Err(GateError::Twice { rule: name() });
            }
            if rule
                .confidence
                .is_some_and(|value| !(0.0..=1.0).contains(&value))
            {
                return Err(GateError::Confidence { rule: name() });
            }
        }
        let Some(model) = &self.model else {
            return Ok(());
        };
        if !(1..=TIMEOUT_MS_MAX).contains(&model.timeout_ms) {
            return Err(GateError::Bounds {
                field: "model.timeout_ms",
                max: TIMEOUT_MS_MAX,
            });
        }
        if !(1..=TOKENS_MAX).contains(&model.max_tokens) {
            return Err(GateError::Bounds {
                field: "model.max_tokens",
                max: u64::from(TOKENS_MAX),
            });
        }
        Ok(())
    }

    pub(super) fn refusal(&self, agent: &Agent) -> String {
        self.refusal.clone().unwrap_or_else(|| {
            let name = &agent.name;
            match agent.description.trim_end_matches('.') {
                "" => format!("I cannot help with that here. I am {name}."),
                what => format!("I cannot help with that here. {name}: {what}."),
            }
        })
    }

    pub(super) fn question(&self, agent: &Agent) -> String {
        self.question.clone().unwrap_or_else(|| {
            let hint = agent.input_hints.first();
            hint.map_or_else(
                || {
                    "Could you say in a sentence what you would like to know or have done?"
                        .to_owned()
                },
                |hint| format!("Could you say more exactly what you mean? For example: {hint}"),
            )
        })
    }
}

impl GateRule {
    fn looks_for_something(&self) -> bool {
        self.regex.is_some()
            || !self.phrases.is_empty()
            || !self.squeezed.is_empty()
            || self.words_max.is_some()
    }

    pub fn opinion(&self) -> Opinion {
        Opinion {
            decision: self.decision,
            intent: self.intent.clone(),
            confidence: self.confidence,
            reason: self
                .reason
                .clone()
                .unwrap_or_else(|| format!("rule {}", self.name)),
            reply: self.reply.clone(),
        }
    }
}
