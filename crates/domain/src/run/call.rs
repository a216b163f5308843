//! One tool call of a run, from its asking to its result.

use super::Question;
use crate::approval::{ApprovalKind, Warrant};
use crate::policy::Judgement;
use crate::tool::{CallKey, Effect, ToolResult};
use crate::{ApprovalId, CallId, GrantId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A tool call on its way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub id: CallId,
    pub key: CallKey,
    pub step_index: u32,
    pub name: String,
    pub arguments: Value,
    pub arguments_digest: String,
    /// Of the arguments as they were asked for, where an approver changed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_digest: Option<String>,
    pub tool_version: String,
    pub effect: Effect,
    pub requested_at: Timestamp,
    pub attempt: u32,
    #[serde(default)]
    pub judgement: Judgement,
    /// The tool can be asked what became of the call.
    #[serde(default)]
    pub has_probe: bool,
    /// The decision that lets it run, of a call that was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warrant: Option<Warrant>,
    pub state: CallState,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum CallState {
    Waiting {
        approval_id: ApprovalId,
        kind: ApprovalKind,
        expires_at: Timestamp,
    },
    Prepared,
    /// A grant stands in for a person, if it still can when the commit that dispatches the call counts its use.
    Granted {
        grant_id: GrantId,
        question: Box<Question>,
    },
    Dispatched {
        at: Timestamp,
    },
    /// Sent, no answer came; the tool's probe is asked what became of it.
    Probing {
        evidence: String,
    },
    Settled {
        result: ToolResult,
    },
}
