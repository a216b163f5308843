//! Events of a run as they stand in a stream's `data` lines. How frames are written is in `sse`.

use super::approvals::{Approval, ApprovalStatus};
use super::principal::Principal;
use super::runs::{Lane, RunError, RunStatus};
use super::steps::StepKind;
use super::threads::Message;
use super::usage::Usage;
use domain::event::{Event as DomainEvent, EventBody};
use domain::{MessageId, RunId, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Which event of which run.
#[derive(Debug, Serialize, ToSchema)]
pub struct Place {
    #[schema(value_type = String, format = "uuid")]
    pub run_id: RunId,
    /// Rises; the same number as the frame's `id`. It jumps where a model turn was made again.
    #[schema(example = 3)]
    pub seq: u64,
    #[schema(value_type = String, format = "date-time")]
    pub at: Timestamp,
}

/// One event of a run. New types may be added: ignore those you do not know.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    RunCreated(RunCreated),
    RunStatus(RunStatusChanged),
    GateDecided(GateDecided),
    MessageDelta(Delta),
    ReasoningDelta(Delta),
    MessageCompleted(MessageCompleted),
    ToolCallRequested(ToolCallRequested),
    ToolCallStarted(ToolCallStarted),
    ToolCallCompleted(ToolCallCompleted),
    ApprovalRequested(ApprovalRequested),
    ApprovalResolved(ApprovalResolved),
    StepReported(StepReported),
    LaneChanged(LaneChanged),
    TurnRestarted(TurnRestarted),
    Usage(UsageAdded),
    Error(ErrorTold),
    Done(Done),
}

/// Always the first.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunCreated {
    #[serde(flatten)]
    pub place: Place,
    #[schema(format = "uuid")]
    pub thread_id: Option<String>,
    pub agent_type: String,
    pub agent_version: String,
    pub status: RunStatus,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RunStatusChanged {
    #[serde(flatten)]
    pub place: Place,
    pub status: RunStatus,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct GateDecided {
    #[serde(flatten)]
    pub place: Place,
    pub step_index: u32,
    /// `allow`, `refuse` or `clarify`.
    pub decision: String,
    pub intent: Option<String>,
    pub confidence: Option<f64>,
    pub reason: String,
    /// `enforce` or `shadow`.
    pub mode: String,
}

/// Text or reasoning of a message that is being written.
#[derive(Debug, Serialize, ToSchema)]
pub struct Delta {
    #[serde(flatten)]
    pub place: Place,
    #[schema(value_type = String, format = "uuid")]
    pub message_id: MessageId,
    #[schema(example = "Your order ")]
    pub delta: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct MessageCompleted {
    #[serde(flatten)]
    pub place: Place,
    pub message: Message,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ToolCallRequested {
    #[serde(flatten)]
    pub place: Place,
    pub step_index: u32,
    pub tool_call_id: String,
    pub tool_name: String,
    /// An object; what a model wrote that is none, as text.
    pub arguments: Value,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ToolCallStarted {
    #[serde(flatten)]
    pub place: Place,
    pub step_index: u32,
    pub tool_call_id: String,
    pub tool_name: String,
    pub attempt: u32,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ToolCallCompleted {
    #[serde(flatten)]
    pub place: Place,
    pub step_index: u32,
    pub tool_call_id: String,
    pub tool_name: String,
    /// JSON as text.
    pub content: String,
    pub is_error: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalRequested {
    #[serde(flatten)]
    pub place: Place,
    pub approval: Box<Approval>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ApprovalResolved {
    #[serde(flatten)]
    pub place: Place,
    pub approval_id: String,
    pub tool_call_id: String,
    pub status: ApprovalStatus,
    pub resolved_by: Option<Principal>,
    pub reason: Option<String>,
}

/// The client told what it did without the network; its word.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepReported {
    #[serde(flatten)]
    pub place: Place,
    pub step_index: u32,
    pub kind: StepKind,
    pub name: String,
    pub is_error: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct LaneChanged {
    #[serde(flatten)]
    pub place: Place,
    pub from: Option<String>,
    pub lane: Lane,
    pub model: String,
}

/// The turn is made again: every delta of `message_id` told so far is void.
#[derive(Debug, Serialize, ToSchema)]
pub struct TurnRestarted {
    #[serde(flatten)]
    pub place: Place,
    pub turn: u32,
    pub attempt: u32,
    pub message_id: String,
    pub reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct UsageAdded {
    #[serde(flatten)]
    pub place: Place,
    pub step_index: u32,
    pub usage: Usage,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorTold {
    #[serde(flatten)]
    pub place: Place,
    pub error: RunError,
}

/// Always the last, exactly once.
#[derive(Debug, Serialize, ToSchema)]
pub struct Done {
    #[serde(flatten)]
    pub place: Place,
    pub status: RunStatus,
    pub summary: Option<String>,
    pub usage: Usage,
    pub error: Option<RunError>,
}

impl Event {
    pub fn new(run_id: RunId, event: &DomainEvent) -> Self {
        let place = Place {
            run_id,
            seq: event.seq,
            at: event.at,
        };
        convert(place, event.body.clone())
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one arm for each type of event, none with a decision"
)]
fn convert(place: Place, body: EventBody) -> Event {
    match body {
        EventBody::RunCreated {
            thread_id,
            agent_type,
            agent_version,
            status,
        } => Event::RunCreated(RunCreated {
            place,
            thread_id: thread_id.map(|id| id.to_string()),
            agent_type,
            agent_version,
            status: status.into(),
        }),
        EventBody::RunStatus { status } => Event::RunStatus(RunStatusChanged {
            place,
            status: status.into(),
        }),
        EventBody::GateDecided {
            step_index,
            decision,
            intent,
            confidence,
            reason,
            mode,
        } => Event::GateDecided(GateDecided {
            place,
            step_index,
            decision,
            intent,
            confidence,
            reason,
            mode,
        }),
        EventBody::MessageDelta { message_id, delta } => Event::MessageDelta(Delta {
            place,
            message_id,
            delta,
        }),
        EventBody::ReasoningDelta { message_id, delta } => Event::ReasoningDelta(Delta {
            place,
            message_id,
            delta,
        }),
        EventBody::MessageCompleted { message } => Event::MessageCompleted(MessageCompleted {
            place,
            message: (*message).into(),
        }),
        EventBody::ToolCallRequested {
            step_index,
            tool_call_id,
            tool_name,
            arguments,
        } => Event::ToolCallRequested(ToolCallRequested {
            place,
            step_index,
            tool_call_id: tool_call_id.to_string(),
            tool_name,
            arguments,
        }),
        EventBody::ToolCallStarted {
            step_index,
            tool_call_id,
            tool_name,
            attempt,
        } => Event::ToolCallStarted(ToolCallStarted {
            place,
            step_index,
            tool_call_id: tool_call_id.to_string(),
            tool_name,
            attempt,
        }),
        EventBody::ToolCallCompleted {
            step_index,
            tool_call_id,
            tool_name,
            content,
            is_error,
        } => Event::ToolCallCompleted(ToolCallCompleted {
            place,
            step_index,
            tool_call_id: tool_call_id.to_string(),
            tool_name,
            content,
            is_error,
        }),
        EventBody::ApprovalRequested { approval } => Event::ApprovalRequested(ApprovalRequested {
            place,
            approval: Box::new((*approval).into()),
        }),
        EventBody::ApprovalResolved {
            approval_id,
            tool_call_id,
            status,
            resolved_by,
            reason,
        } => Event::ApprovalResolved(ApprovalResolved {
            place,
            approval_id: approval_id.to_string(),
            tool_call_id: tool_call_id.to_string(),
            status: status.into(),
            resolved_by: resolved_by.map(Principal::from),
            reason,
        }),
        EventBody::StepReported {
            step_index,
            kind,
            name,
            is_error,
        } => Event::StepReported(StepReported {
            place,
            step_index,
            kind: kind.into(),
            name,
            is_error,
        }),
        EventBody::LaneChanged { from, lane } => Event::LaneChanged(LaneChanged {
            place,
            from,
            model: lane.model.clone(),
            lane: lane.into(),
        }),
        EventBody::TurnRestarted {
            turn,
            attempt,
            message_id,
            reason,
        } => Event::TurnRestarted(TurnRestarted {
            place,
            turn,
            attempt,
            message_id: message_id.to_string(),
            reason,
        }),
        EventBody::Usage { step_index, usage } => Event::Usage(UsageAdded {
            place,
            step_index,
            usage: usage.into(),
        }),
        EventBody::Error { error } => Event::Error(ErrorTold {
            place,
            error: error.into(),
        }),
        EventBody::Done {
            status,
            summary,
            usage,
            error,
        } => Event::Done(Done {
            place,
            status: status.into(),
            summary,
            usage: usage.into(),
            error: error.map(RunError::from),
        }),
    }
}
