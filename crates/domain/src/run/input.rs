//! What can happen to a run, as values.

use crate::approval::{Approval, Decision, Terms};
use crate::event::DeltaBlock;
use crate::failure::Failure;
use crate::gate::GateRecord;
use crate::journal::Entry;
use crate::key::Principal;
use crate::lane::LaneChoice;
use crate::message::Reasoning;
use crate::policy::Judgement;
use crate::response::Response;
use crate::session::Client;
use crate::tool::{Effect, Probed, ToolOutcome, ToolResult};
use crate::usage::Usage;
use crate::{CallId, Timestamp};
use serde_json::Value;

/// Everything that can happen to a run. Each has its file.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// A worker begins a queued run.
    Start,
    /// The intent gate has judged the input.
    GateDecided(Box<GateRecord>),
    TurnCompleted(Box<TurnAnswer>),
    /// An attempt failed; with `retry` the turn is made again.
    TurnFailed(FailedAttempt),
    /// The named prepared calls are about to be sent.
    Dispatching {
        calls: Vec<CallId>,
    },
    /// The grant of a call can no longer let it through.
    GrantGone {
        call: CallId,
    },
    /// Calls that were about to be sent were not, and this worker will not send them.
    Unsent {
        calls: Vec<CallId>,
    },
    /// Dispatched calls ended.
    CallsSettled {
        outcomes: Vec<(CallId, ToolOutcome)>,
    },
    /// The tool's probe was asked what became of a call.
    Probed {
        call: CallId,
        probe: Probed,
    },
    /// A person decided.
    Resolved {
        approval: Box<Approval>,
        decision: Decision,
    },
    /// An approval's time is over; it counts as denied.
    Expired {
        approval: Box<Approval>,
    },
    Cancel {
        reason: Option<String>,
        /// Who asked for it; `None` for the server itself.
        by: Option<Principal>,
        deltas: Partial,
    },
    /// A worker took over a run that another left in flight.
    Recovered {
        crashed: bool,
    },
    /// The run's time is up.
    DeadlineReached {
        deltas: Partial,
    },
    /// The client asks for a tool.
    ClientCall {
        planned: Box<Planned>,
    },
    /// An inference turn that the server made for the client's session.
    ClientTurn(Box<ClientTurn>),
    /// The client's model goes on in another lane, chosen by selection.
    LaneMoved {
        lane: Box<LaneChoice>,
        /// The device as it describes itself now, if it does.
        client: Option<Client>,
        reason: Option<String>,
    },
    /// What the client says it did without the network; each entry follows the one before it.
    ClientSteps(Vec<Entry>),
    SessionCompleted {
        summary: String,
        confidence: Option<f64>,
    },
    SessionExpired,
    /// The run cannot be carried on.
    SetAside {
        failure: Failure,
    },
}

/// What is known of the deltas of a turn that is cut short.
#[derive(Debug, Clone, PartialEq)]
pub enum Partial {
    /// The run's own worker: exactly these were told.
    Known(Option<DeltaBlock>),
    /// Another process: any number of the reserved block may have been told.
    Unknown,
}

/// A finished model turn.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnAnswer {
    pub text: String,
    pub reasoning: Option<Reasoning>,
    pub calls: Vec<Planned>,
    pub deltas: Option<DeltaBlock>,
    pub usage: Usage,
    pub lane: LaneChoice,
    /// True if the model stopped because of its output limit.
    pub truncated: bool,
}

/// A session's inference turn, over.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientTurn {
    pub started_at: Timestamp,
    /// What the intent gate said of the input, if one was asked. Where it stops, no model was called.
    pub gate: Option<Box<GateRecord>>,
    pub deltas: Option<DeltaBlock>,
    pub usage: Usage,
    /// Where the model ran; absent if none could be reached.
    pub lane: Option<LaneChoice>,
    /// The response to keep, or why there is none.
    pub outcome: Result<Response, Failure>,
}

/// An attempt of a model turn that came to nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct FailedAttempt {
    pub failure: Failure,
    /// The turn may be made again.
    pub retry: bool,
    pub deltas: Option<DeltaBlock>,
    pub usage: Usage,
    /// The lane that failed after its first token; the next attempt passes it over.
    pub lane: Option<String>,
}

/// A call with the gateway's verdict on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// A client's own id. A server-side turn's calls get theirs here, because providers repeat and omit them.
    pub client_id: Option<CallId>,
    pub name: String,
    /// A JSON object, or the model's text as a JSON string where it cannot be parsed.
    pub arguments: Value,
    pub effect: Effect,
    pub tool_version: String,
    pub arguments_digest: String,
    /// The tool can be asked what became of a call.
    pub has_probe: bool,
    pub verdict: Verdict,
    /// Whose opinions made the verdict; of a call that cannot be made, nobody's.
    pub judgement: Judgement,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    Run,
    Ask {
        risk: String,
        why: String,
        terms: Terms,
        expires_at: Timestamp,
    },
    /// Policy says no; the model is told.
    Deny {
        reason: String,
    },
    /// The call cannot be made (unknown tool, arguments off the schema); the model is told.
    Reject {
        result: ToolResult,
        malformed: bool,
    },
}

impl Partial {
    pub(super) fn block(self) -> Option<DeltaBlock> {
        match self {
            Self::Known(block) => block,
            Self::Unknown => None,
        }
    }
}
