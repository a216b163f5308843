//! The intent gate: whether an input is what its agent is there for, decided before the agent's model sees it. Here is
//! what a gate is, what it decides and what follows; patterns and models are asked by others.

mod case;
mod model;
mod settings;

#[cfg(test)]
mod tests;

pub use case::GateCase;
pub use model::{framed, read_answer, system_prompt};
pub use settings::{GateError, GateModel, GateRule, GateSettings, OnError};

use crate::Timestamp;
use crate::agent::{Agent, GateMode};
use crate::message::{Message, Role};
use crate::seeded::Seeded;
use crate::usage::Usage;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Characters of an input that a gate looks at. What is longer is refused unseen, or the harm would be put behind them.
pub const GATE_INPUT_CHARS_MAX: usize = 100_000;

/// Characters of a reason or an intent that are kept.
const WORDS_MAX: usize = 500;

/// What a gate looks at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateInput {
    /// What the user says now.
    pub text: String,
    /// What the agent said last, for answers such as "yes, the second one"; empty at the beginning.
    pub before: String,
}

#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum GateVerdict {
    #[default]
    Allow,
    /// Ask the user what they mean.
    Clarify,
    Refuse,
}

/// What decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum DecidedBy {
    Rule {
        rule: String,
    },
    Model {
        lane: String,
        model: String,
    },
    /// No rule matched and no model is asked: the gate's `otherwise`.
    Otherwise,
    /// The gate could not tell: its `on_error`.
    Error {
        error: String,
    },
}

/// One judgement of a gate, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateDecision {
    pub decision: GateVerdict,
    pub mode: GateMode,
    /// In a word or two, for statistics and tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    pub reason: String,
    #[serde(flatten)]
    pub by: DecidedBy,
    /// What the user is told where the input goes no further.
    pub reply: String,
    /// What the gate's own model used.
    #[serde(default)]
    pub usage: Usage,
}

/// What one source says, before it is a decision of the gate.
#[derive(Debug, Clone, PartialEq)]
pub struct Opinion {
    pub decision: GateVerdict,
    pub intent: Option<String>,
    pub confidence: Option<f64>,
    pub reason: String,
    /// Instead of the gate's usual words.
    pub reply: Option<String>,
}

/// A judgement on its way into a run: what was looked at, from when on, and what came of it.
#[derive(Debug, Clone, PartialEq)]
pub struct GateRecord {
    pub since: Timestamp,
    pub input: GateInput,
    pub decision: GateDecision,
}

impl GateInput {
    /// What a run's gate looks at: the user's messages since the assistant's last, and that.
    pub fn of(messages: &[Arc<Message>]) -> Self {
        let said = |message: &Arc<Message>| message.role == Role::Assistant;
        let last = messages.iter().rposition(said);
        let new = &messages[last.map_or(0, |last| last + 1)..];
        let texts: Vec<String> = new
            .iter()
            .filter(|message| message.role == Role::User)
            .map(|message| message.content.text())
            .collect();
        Self {
            text: texts.join("\n"),
            before: last.map_or_else(String::new, |last| messages[last].content.text()),
        }
    }
}

impl GateDecision {
    /// Whether the input goes no further.
    pub fn stops(&self) -> bool {
        self.mode == GateMode::Enforce && self.decision != GateVerdict::Allow
    }

    pub fn new(
        agent: &Agent,
        settings: &GateSettings,
        mode: GateMode,
        opinion: Opinion,
        by: DecidedBy,
    ) -> Self {
        let reply = match (opinion.reply, opinion.decision) {
            (Some(reply), _) => reply,
            (None, GateVerdict::Allow) => String::new(),
            (None, GateVerdict::Refuse) => settings.refusal(agent),
            (None, GateVerdict::Clarify) => settings.question(agent),
        };
        Self {
            decision: opinion.decision,
            mode,
            intent: opinion.intent.map(|intent| shortened(&intent)),
            confidence: opinion
                .confidence
                .map(|confidence| confidence.clamp(0.0, 1.0)),
            reason: shortened(&opinion.reason),
            by,
            reply,
            usage: Usage::default(),
        }
    }

    /// What stands where the gate cannot tell.
    pub fn of_error(agent: &Agent, settings: &GateSettings, mode: GateMode, error: &str) -> Self {
        let (decision, reason) = match settings.on_error {
            OnError::Closed if !Seeded::GateFailsOpen.is_on() => (
                GateVerdict::Refuse,
                "the gate could not decide, and it fails closed",
            ),
            OnError::Closed | OnError::Open => (
                GateVerdict::Allow,
                "the gate could not decide, and it fails open",
            ),
        };
        let opinion = Opinion {
            decision,
            intent: None,
            confidence: None,
            reason: reason.to_owned(),
            reply: Some(
                "I cannot check your request right now. Please try again later.".to_owned(),
            )
            .filter(|_| decision == GateVerdict::Refuse),
        };
        let error = shortened(error);
        Self::new(agent, settings, mode, opinion, DecidedBy::Error { error })
    }
}

impl GateVerdict {
    pub const ALL: [Self; 3] = [Self::Allow, Self::Clarify, Self::Refuse];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Clarify => "clarify",
            Self::Refuse => "refuse",
        }
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(WORDS_MAX).collect()
}
