//! What is sent to other systems, and which of it each wants: made from a transition, written in its commit. It does not
//! know addresses or secrets.

use crate::approval::{Approval, ApprovalStatus};
use crate::event::{EventBody, Record};
use crate::run::{Run, RunState, RunStatus, Transition};
use crate::{OrgId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Topic {
    #[serde(rename = "approval.requested")]
    ApprovalRequested,
    #[serde(rename = "approval.resolved")]
    ApprovalResolved,
    #[serde(rename = "run.completed")]
    RunCompleted,
    #[serde(rename = "run.failed")]
    RunFailed,
    #[serde(rename = "run.cancelled")]
    RunCancelled,
}

impl Topic {
    pub const ALL: [Self; 5] = [
        Self::ApprovalRequested,
        Self::ApprovalResolved,
        Self::RunCompleted,
        Self::RunFailed,
        Self::RunCancelled,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApprovalRequested => "approval.requested",
            Self::ApprovalResolved => "approval.resolved",
            Self::RunCompleted => "run.completed",
            Self::RunFailed => "run.failed",
            Self::RunCancelled => "run.cancelled",
        }
    }
}

/// What one endpoint wants to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    pub endpoint: String,
    /// `None`: of every org.
    pub org: Option<OrgId>,
    pub topics: BTreeSet<Topic>,
}

/// One message to one endpoint, as it lies in the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub id: Uuid,
    pub endpoint: String,
    pub topic: Topic,
    /// JSON; the very bytes that are signed and sent.
    pub body: String,
    pub at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    Pending,
    Delivered,
    /// Given up; `replay` sends it again.
    Dead,
}

impl DeliveryState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// A message with what became of it so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Rises with every message of the server; of one run, in the order of its commits.
    pub seq: u64,
    pub org: OrgId,
    pub delivery: Delivery,
    pub state: DeliveryState,
    pub attempts: u32,
    pub due_at: Timestamp,
    /// What the last attempt met.
    pub last_error: Option<String>,
    pub delivered_at: Option<Timestamp>,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    Delivered { at: Timestamp },
    Retry { at: Timestamp, error: String },
    Dead { error: String },
}

/// The messages that a transition makes for those who want them.
pub fn deliveries(transition: &Transition, wanted: &[Subscription]) -> Vec<Delivery> {
    let run = &transition.run;
    let mut made = Vec::new();
    if wanted
        .iter()
        .all(|one| one.org.as_ref().is_some_and(|org| *org != run.org))
    {
        return made;
    }
    for (index, (topic, at, data)) in news(transition).into_iter().enumerate() {
        for one in wanted {
            let concerns = one.org.as_ref().is_none_or(|org| *org == run.org);
            if concerns && one.topics.contains(&topic) {
                made.push(Delivery {
                    id: id(run, index, &one.endpoint, at),
                    endpoint: one.endpoint.clone(),
                    topic,
                    body: json!({"type": topic, "timestamp": at, "data": data}).to_string(),
                    at,
                });
            }
        }
    }
    made
}

/// The same transition makes the same ids: a commit that is made again does not send twice.
fn id(run: &Run, index: usize, endpoint: &str, at: Timestamp) -> Uuid {
    let mut hasher = blake3::Hasher::new();
    hasher.update(run.org.as_str().as_bytes());
    hasher.update(run.id.uuid().as_bytes());
    hasher.update(&run.version.to_le_bytes());
    hasher.update(&(index as u64).to_le_bytes());
    hasher.update(endpoint.as_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&hasher.finalize().as_bytes()[..10]);
    let millis = u64::try_from(at.as_micros() / 1000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

fn news(transition: &Transition) -> Vec<(Topic, Timestamp, Value)> {
    let run = &transition.run;
    let mut news = Vec::new();
    for record in &transition.records {
        let Record::Event(event) = record else {
            continue;
        };
        match &event.body {
            EventBody::ApprovalRequested { approval } => {
                news.push((Topic::ApprovalRequested, event.at, asked(run, approval)));
            }
            EventBody::ApprovalResolved {
                approval_id,
                tool_call_id,
                status,
                resolved_by,
                reason,
            } => {
                let decided = json!({
                    "org": run.org,
                    "approval_id": approval_id,
                    "run_id": run.id,
                    "thread_id": run.thread_id(),
                    "agent_type": run.agent_type,
                    "tool_call_id": tool_call_id,
                    "status": status,
                    "resolved_by": resolved_by,
                    "reason": reason,
                });
                news.push((Topic::ApprovalResolved, event.at, decided));
            }
            EventBody::Done { status, .. } => {
                if let Some(topic) = topic_of(*status) {
                    news.push((topic, event.at, ended(run)));
                }
            }
            EventBody::RunCreated { .. }
            | EventBody::RunStatus { .. }
            | EventBody::GateDecided { .. }
            | EventBody::MessageDelta { .. }
            | EventBody::ReasoningDelta { .. }
            | EventBody::MessageCompleted { .. }
            | EventBody::ToolCallRequested { .. }
            | EventBody::ToolCallStarted { .. }
            | EventBody::ToolCallCompleted { .. }
            | EventBody::StepReported { .. }
            | EventBody::LaneChanged { .. }
            | EventBody::TurnRestarted { .. }
            | EventBody::Usage { .. }
            | EventBody::Error { .. } => {}
        }
    }
    news
}

fn topic_of(status: RunStatus) -> Option<Topic> {
    match status {
        RunStatus::Completed => Some(Topic::RunCompleted),
        RunStatus::Failed => Some(Topic::RunFailed),
        RunStatus::Cancelled => Some(Topic::RunCancelled),
        RunStatus::Queued | RunStatus::Running | RunStatus::AwaitingApproval => None,
    }
}

/// Not the arguments: they may be secret, and a decision needs a look at them as they are then.
fn asked(run: &Run, approval: &Approval) -> Value {
    debug_assert_eq!(approval.status, ApprovalStatus::Pending);
    json!({
        "org": run.org,
        "approval_id": approval.id,
        "run_id": approval.run_id,
        "thread_id": approval.thread_id,
        "agent_type": approval.agent_type,
        "kind": approval.kind,
        "tool_call_id": approval.call_id,
        "tool_name": approval.tool_name,
        "arguments_digest": approval.arguments_digest,
        "risk": approval.risk,
        "why": approval.why,
        "requested_by": approval.requested_by,
        "expires_at": approval.expires_at,
        "status": approval.status,
    })
}

fn ended(run: &Run) -> Value {
    let (summary, error, reason) = match &run.state {
        RunState::Completed { summary, .. } => (summary.as_deref(), None, None),
        RunState::Failed { summary, error, .. } => (summary.as_deref(), Some(error), None),
        RunState::Cancelled { reason, .. } => (None, None, reason.as_deref()),
        RunState::Queued { .. } | RunState::Running { .. } | RunState::AwaitingApproval { .. } => {
            (None, None, None)
        }
    };
    json!({
        "org": run.org,
        "run_id": run.id,
        "thread_id": run.thread_id(),
        "agent_type": run.agent_type,
        "status": run.status(),
        "summary": summary,
        "error": error,
        "reason": reason,
        "usage": run.usage,
    })
}
