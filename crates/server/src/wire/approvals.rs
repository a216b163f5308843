//! Approvals and decisions on the wire.

use super::grants::ProposedGrant;
use super::principal::Principal;
use super::steps::LateAnswer;
use domain::approval;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalList {
    /// Newest first.
    pub approvals: Vec<Approval>,
    pub next_cursor: Option<String>,
}

/// What an inbox's stream tells.
#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalNews {
    #[serde(rename = "type")]
    pub kind: ApprovalNewsKind,
    pub approval: Approval,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalNewsKind {
    ApprovalRequested,
    ApprovalResolved,
}

impl ApprovalNewsKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalRequested => "approval_requested",
            Self::ApprovalResolved => "approval_resolved",
        }
    }
}

/// What a person is asked. What is shown is what runs.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Approval {
    #[schema(format = "uuid", example = "0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11")]
    pub id: String,
    #[schema(format = "uuid")]
    pub run_id: String,
    #[schema(format = "uuid")]
    pub thread_id: Option<String>,
    #[schema(example = "support")]
    pub agent_type: String,
    pub kind: ApprovalKind,
    #[schema(example = "call_0198c5a27d7e7cc38a522f1f3b0c9d11")]
    pub tool_call_id: String,
    #[schema(example = "refund_order")]
    pub tool_name: String,
    /// Changes with the tool's definition.
    pub tool_version: String,
    /// Exactly what the tool is called with.
    #[schema(value_type = Object, example = json!({"order": "A-1001"}))]
    pub arguments: Value,
    /// Send it with the decision to be sure of what is decided.
    pub arguments_digest: String,
    pub risk: String,
    pub why: String,
    pub status: ApprovalStatus,
    pub requested_by: Principal,
    #[schema(format = "date-time")]
    pub requested_at: String,
    /// Undecided by then, it counts as denied.
    #[schema(format = "date-time")]
    pub expires_at: String,
    pub resolved_by: Option<Principal>,
    #[schema(format = "date-time")]
    pub resolved_at: Option<String>,
    pub reason: Option<String>,
    /// People who must approve before the call runs.
    #[schema(example = 1)]
    pub approvals_needed: u32,
    /// Whoever started the run may not approve.
    pub other_person: bool,
    /// Every decision so far, in order; while more people are needed, `status` stays `pending`.
    pub decisions: Vec<Recorded>,
    /// What was found of a call of unknown outcome.
    pub finding: Option<Finding>,
}

/// One approval, with what could be remembered of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ShownApproval {
    #[serde(flatten)]
    pub approval: Approval,
    /// The narrowest grant that would have covered this call and the last ones that were approved like it; absent where
    /// no grant can answer or the calls have no pattern.
    pub proposed_grant: Option<ProposedGrant>,
    /// Of a call of unknown outcome: what its tool answered after the server that had asked it lost the run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub late_answers: Vec<LateAnswer>,
}

/// One person's decision.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Recorded {
    pub by: Principal,
    #[schema(format = "date-time")]
    pub at: String,
    pub approve: bool,
    pub reason: Option<String>,
    /// The arguments that it was about; after an edit, decisions about others do not count.
    pub arguments_digest: String,
}

/// `happened`: it took effect; `run_again`: it did not, and is made again; `left`: nobody can tell, the run goes on
/// without its result; `stopped`: the run ended.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    Happened,
    RunAgain,
    Left,
    Stopped,
}

/// `tool_call`: may this call run? `outcome_unknown`: a call was sent and nobody knows what became of it; `happened`,
/// `approve` (it did not: run it again), `deny` (go on without its result) or `stop`. `budget`: a ceiling is reached; may the run go on?
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    ToolCall,
    OutcomeUnknown,
    Budget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    Pending,
    Approved,
    Denied,
    Expired,
    Cancelled,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct ResolveApproval {
    pub decision: Decision,
    /// Told to the model when the decision is to deny.
    #[schema(example = "the order is not paid", max_length = 2000)]
    pub reason: Option<String>,
    /// Arguments to run instead of those asked for; they must fit the tool's schema.
    #[schema(value_type = Option<Object>)]
    pub arguments: Option<Value>,
    /// The digest of the arguments that the decision is about; another than the approval's is refused.
    pub arguments_digest: Option<String>,
    /// What the call gave, if that is known, where the decision is `happened`.
    pub result: Option<Value>,
    /// Makes a grant: calls like this one are let through without asking, within its limits.
    pub remember: Option<Remember>,
}

/// What to remember of an approval.
#[derive(Debug, Deserialize, ToSchema)]
pub struct Remember {
    /// CEL over `args`; it must hold for the call that is approved.
    #[schema(example = "args.environment == \"staging\"", max_length = 1024)]
    pub predicate: String,
    /// Seconds that the grant lasts.
    #[schema(minimum = 1, maximum = 2_592_000, default = 86_400)]
    pub ttl_s: Option<u64>,
    /// Calls that it lets through.
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    pub uses: Option<u64>,
}

/// `happened` and `stop` are for calls of unknown outcome. Also understood: `approved`, `run_again`; `denied`, `reject`,
/// `rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum Decision {
    Approve,
    Deny,
    Happened,
    Stop,
}

impl<'de> Deserialize<'de> for Decision {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<str>::deserialize(deserializer)?;
        match word.as_ref() {
            "approve" | "approved" | "run_again" => Ok(Self::Approve),
            "deny" | "denied" | "reject" | "rejected" => Ok(Self::Deny),
            "happened" => Ok(Self::Happened),
            "stop" => Ok(Self::Stop),
            other => Err(D::Error::invalid_value(
                Unexpected::Str(other),
                &"`approve`, `deny`, `happened` or `stop`",
            )),
        }
    }
}

impl From<approval::Approval> for Approval {
    fn from(approval: approval::Approval) -> Self {
        Self {
            id: approval.id.to_string(),
            run_id: approval.run_id.to_string(),
            thread_id: approval.thread_id.map(|id| id.to_string()),
            agent_type: approval.agent_type,
            kind: approval.kind.into(),
            tool_call_id: approval.call_id.to_string(),
            tool_name: approval.tool_name,
            tool_version: approval.tool_version,
            arguments: approval.arguments,
            arguments_digest: approval.arguments_digest,
            risk: approval.risk,
            why: approval.why,
            status: approval.status.into(),
            requested_by: approval.requested_by.into(),
            requested_at: approval.requested_at.to_string(),
            expires_at: approval.expires_at.to_string(),
            resolved_by: approval.resolved_by.map(Principal::from),
            resolved_at: approval.resolved_at.map(|at| at.to_string()),
            reason: approval.reason,
            approvals_needed: approval.terms.approvals_needed,
            other_person: approval.terms.other_person,
            decisions: approval.decisions.into_iter().map(Recorded::from).collect(),
            finding: approval.finding.map(Finding::from),
        }
    }
}

impl From<approval::Recorded> for Recorded {
    fn from(recorded: approval::Recorded) -> Self {
        Self {
            by: recorded.by.into(),
            at: recorded.at.to_string(),
            approve: recorded.approve,
            reason: recorded.reason,
            arguments_digest: recorded.arguments_digest,
        }
    }
}

impl From<approval::Finding> for Finding {
    fn from(finding: approval::Finding) -> Self {
        match finding {
            approval::Finding::Happened => Self::Happened,
            approval::Finding::RunAgain => Self::RunAgain,
            approval::Finding::Left => Self::Left,
            approval::Finding::Stopped => Self::Stopped,
        }
    }
}

impl From<approval::ApprovalKind> for ApprovalKind {
    fn from(kind: approval::ApprovalKind) -> Self {
        match kind {
            approval::ApprovalKind::ToolCall => Self::ToolCall,
            approval::ApprovalKind::OutcomeUnknown => Self::OutcomeUnknown,
            approval::ApprovalKind::Budget => Self::Budget,
        }
    }
}

impl From<approval::ApprovalStatus> for ApprovalStatus {
    fn from(status: approval::ApprovalStatus) -> Self {
        match status {
            approval::ApprovalStatus::Pending => Self::Pending,
            approval::ApprovalStatus::Approved => Self::Approved,
            approval::ApprovalStatus::Denied => Self::Denied,
            approval::ApprovalStatus::Expired => Self::Expired,
            approval::ApprovalStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<ApprovalStatus> for approval::ApprovalStatus {
    fn from(status: ApprovalStatus) -> Self {
        match status {
            ApprovalStatus::Pending => Self::Pending,
            ApprovalStatus::Approved => Self::Approved,
            ApprovalStatus::Denied => Self::Denied,
            ApprovalStatus::Expired => Self::Expired,
            ApprovalStatus::Cancelled => Self::Cancelled,
        }
    }
}
