//! The run's log: what a watcher is told, numbered. Neutral: each wire is a projection of it, made elsewhere.

use crate::approval::{Approval, ApprovalStatus};
use crate::failure::Failure;
use crate::key::Principal;
use crate::lane::LaneChoice;
use crate::message::Message;
use crate::run::RunStatus;
use crate::step::StepKind;
use crate::usage::Usage;
use crate::{ApprovalId, CallId, MessageId, ThreadId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;

/// One event. `seq` begins at 1, rises by one, and is never used twice in a run; it jumps only at a `TurnRestarted`
/// or the end of a run that was taken over in mid-turn, past every number that the dead attempt may have used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub seq: u64,
    pub at: Timestamp,
    #[serde(flatten)]
    pub body: EventBody,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventBody {
    RunCreated {
        thread_id: Option<ThreadId>,
        agent_type: String,
        agent_version: String,
        status: RunStatus,
    },
    RunStatus {
        status: RunStatus,
    },
    GateDecided {
        step_index: u32,
        decision: String,
        intent: Option<String>,
        confidence: Option<f64>,
        reason: String,
        mode: String,
    },
    MessageDelta {
        message_id: MessageId,
        delta: String,
    },
    ReasoningDelta {
        message_id: MessageId,
        delta: String,
    },
    MessageCompleted {
        message: Box<Message>,
    },
    ToolCallRequested {
        step_index: u32,
        tool_call_id: CallId,
        tool_name: String,
        arguments: Value,
    },
    ToolCallStarted {
        step_index: u32,
        tool_call_id: CallId,
        tool_name: String,
        attempt: u32,
    },
    ToolCallCompleted {
        step_index: u32,
        tool_call_id: CallId,
        tool_name: String,
        content: String,
        is_error: bool,
    },
    ApprovalRequested {
        approval: Box<Approval>,
    },
    ApprovalResolved {
        approval_id: ApprovalId,
        tool_call_id: CallId,
        status: ApprovalStatus,
        resolved_by: Option<Principal>,
        reason: Option<String>,
    },
    /// A client told what it did without the network.
    StepReported {
        step_index: u32,
        kind: StepKind,
        name: String,
        is_error: bool,
    },
    LaneChanged {
        from: Option<String>,
        lane: LaneChoice,
    },
    /// The turn is made again. Every delta of `message_id` is void.
    TurnRestarted {
        turn: u32,
        attempt: u32,
        message_id: MessageId,
        reason: String,
    },
    Usage {
        step_index: u32,
        usage: Usage,
    },
    Error {
        error: Failure,
    },
    Done {
        status: RunStatus,
        summary: Option<String>,
        usage: Usage,
        error: Option<Failure>,
    },
}

/// What one log row holds: an event, or all deltas of one attempt of a model turn, from which their events are made
/// again exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Record {
    Deltas(DeltaBlock),
    Event(Event),
}

/// The deltas of one attempt. Piece `i` is the event `first_seq + i`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeltaBlock {
    pub first_seq: u64,
    pub message_id: MessageId,
    pub started_at: Timestamp,
    pub pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Piece(
    pub PieceKind,
    /* microseconds since the block's start */ pub u64,
    pub String,
);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PieceKind {
    #[serde(rename = "t")]
    Text,
    #[serde(rename = "r")]
    Reasoning,
}

impl DeltaBlock {
    /// Number of the first event after the block.
    pub fn end_seq(&self) -> u64 {
        self.first_seq + self.pieces.len() as u64
    }

    /// The event of piece `index`; `None` past the end.
    pub fn event(&self, index: usize) -> Option<Event> {
        let Piece(kind, offset_us, text) = self.pieces.get(index)?;
        let (message_id, delta) = (self.message_id, text.clone());
        Some(Event {
            seq: self.first_seq + index as u64,
            at: self.started_at.plus(Duration::from_micros(*offset_us)),
            body: match kind {
                PieceKind::Text => EventBody::MessageDelta { message_id, delta },
                PieceKind::Reasoning => EventBody::ReasoningDelta { message_id, delta },
            },
        })
    }
}

impl Record {
    pub fn first_seq(&self) -> u64 {
        match self {
            Self::Deltas(block) => block.first_seq,
            Self::Event(event) => event.seq,
        }
    }

    /// Number of the last event in the record; for an empty block the one before its first.
    pub fn last_seq(&self) -> u64 {
        match self {
            Self::Deltas(block) => block.end_seq().saturating_sub(1),
            Self::Event(event) => event.seq,
        }
    }

    /// The record's events numbered above `after`, in order.
    pub fn events_after(self, after: u64) -> Vec<Event> {
        match self {
            Self::Event(event) => {
                if event.seq > after {
                    vec![event]
                } else {
                    Vec::new()
                }
            }
            Self::Deltas(block) => {
                let skip = usize::try_from((after + 1).saturating_sub(block.first_seq))
                    .unwrap_or(usize::MAX);
                (skip..block.pieces.len())
                    .filter_map(|index| block.event(index))
                    .collect()
            }
        }
    }
}

impl EventBody {
    /// The type's name as it stands on the wire.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::RunCreated { .. } => "run_created",
            Self::RunStatus { .. } => "run_status",
            Self::GateDecided { .. } => "gate_decided",
            Self::MessageDelta { .. } => "message_delta",
            Self::ReasoningDelta { .. } => "reasoning_delta",
            Self::MessageCompleted { .. } => "message_completed",
            Self::ToolCallRequested { .. } => "tool_call_requested",
            Self::ToolCallStarted { .. } => "tool_call_started",
            Self::ToolCallCompleted { .. } => "tool_call_completed",
            Self::ApprovalRequested { .. } => "approval_requested",
            Self::ApprovalResolved { .. } => "approval_resolved",
            Self::StepReported { .. } => "step_reported",
            Self::LaneChanged { .. } => "lane_changed",
            Self::TurnRestarted { .. } => "turn_restarted",
            Self::Usage { .. } => "usage",
            Self::Error { .. } => "error",
            Self::Done { .. } => "done",
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}
