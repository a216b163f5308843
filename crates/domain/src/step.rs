//! What a run did, in order. A tool call's step is also its ledger entry.

use crate::journal::Mark;
use crate::policy::Judgement;
use crate::tool::{CallKey, Effect, ToolResult};
use crate::usage::Usage;
use crate::{CallId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    Gate,
    ModelTurn,
    ToolCall,
    Approval,
    LaneChange,
    /// A tool was asked what became of a call.
    Probe,
}

/// Statuses of every kind of step; the ledger's own begin at `Prepared`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Running,
    Completed,
    Failed,
    Cancelled,
    /// Waits for a person.
    AwaitingApproval,
    /// Refused by policy or by a person; never sent.
    Denied,
    /// Ready to be sent.
    Prepared,
    /// Perhaps sent.
    Dispatched,
    /// Answered.
    Committed,
    /// Certainly not done.
    FailedBeforeEffect,
    /// Sent; nobody knows what became of it.
    OutcomeUnknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub step_index: u32,
    pub kind: StepKind,
    pub status: StepStatus,
    pub name: String,
    pub input: Value,
    pub output: Value,
    pub is_error: bool,
    pub started_at: Timestamp,
    pub completed_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// 1 for the first; higher after a restart.
    pub attempt: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<LedgerCall>,
    /// The client's own report; absent where the server saw it happen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Mark>,
}

impl Step {
    /// Only a call that the server does not repeat is asked about, so only its late answers are kept.
    pub fn may_be_answered_late(&self) -> bool {
        self.call
            .as_ref()
            .is_some_and(|call| call.effect == Effect::Unsafe)
    }
}

/// What a tool answered after the server that had asked it lost the run. Nothing is decided by it; it is there for whoever
/// has to decide what became of the call, and for those who look back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateAnswer {
    pub call: CallId,
    /// Of the call, which may have been made again since.
    pub attempt: u32,
    pub at: Timestamp,
    pub result: ToolResult,
}

/// What makes a tool call's step a ledger entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerCall {
    pub id: CallId,
    pub key: CallKey,
    pub effect: Effect,
    pub arguments_digest: String,
    /// What policy said of the call, and who.
    #[serde(default)]
    pub judgement: Judgement,
    /// Of the arguments as they were asked for, where an approver changed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_digest: Option<String>,
}

impl LedgerCall {
    /// Was this call asked for with these arguments? It may have run with others, if an approver said so.
    pub fn was_asked_with(&self, digest: &str) -> bool {
        self.asked_digest.as_ref().unwrap_or(&self.arguments_digest) == digest
    }
}
