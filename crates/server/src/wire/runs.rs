//! Runs on the wire; what a request for one may say is in `input`.

mod input;

pub use input::{
    Budget, CreateRun, InputMessage, InputRole, OnBusy, OnDisconnect, RunInput, metadata_error,
};

use super::approvals::Approval;
use super::lanes::ConsideredLane;
use super::principal::Principal;
use super::steps::{self, Step};
use super::usage::Usage;
use domain::failure::Failure;
use domain::lane::{LaneChoice, LaneKind as DomainLaneKind};
use domain::run::{self, RunState};
use domain::{Timestamp, approval, step};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct RunList {
    /// Newest first.
    pub runs: Vec<Run>,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Run {
    #[schema(format = "uuid", example = "0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11")]
    pub id: String,
    /// The same as `id`.
    #[schema(format = "uuid")]
    pub run_id: String,
    #[schema(format = "uuid")]
    pub thread_id: Option<String>,
    #[schema(example = "support")]
    pub agent_type: String,
    /// The version that the run began with and keeps.
    pub agent_version: String,
    pub kind: RunKind,
    pub status: RunStatus,
    /// The model in use, or the one asked for.
    #[schema(example = "gpt-5-mini")]
    pub model: Option<String>,
    pub lane: Option<Lane>,
    pub summary: Option<String>,
    pub confidence: Option<f64>,
    pub error: Option<RunError>,
    /// Why it was cancelled.
    pub cancel_reason: Option<String>,
    pub usage: Usage,
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    #[schema(format = "date-time", example = "2026-01-31T12:00:00.000000Z")]
    pub created_at: String,
    #[schema(format = "date-time")]
    pub started_at: Option<String>,
    #[schema(format = "date-time")]
    pub completed_at: Option<String>,
    pub created_by: Principal,
    /// An operator keeps it from going on; absent of a run that may.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<RunHold>,
}

/// Why a run is kept where it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunHold {
    pub because: HoldReason,
    #[schema(format = "date-time")]
    pub since: String,
}

/// `paused`: somebody paused it; `restored`: the store is a copy, and the run may be going on where that was taken;
/// `exported`: it was written into a file to go on at another server, and takes nothing here; `imported`: it came so.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HoldReason {
    Paused,
    Restored,
    Exported,
    Imported,
}

impl From<run::Hold> for RunHold {
    fn from(hold: run::Hold) -> Self {
        Self {
            because: match hold {
                run::Hold::Paused { .. } => HoldReason::Paused,
                run::Hold::Restored { .. } => HoldReason::Restored,
                run::Hold::Exported { .. } => HoldReason::Exported,
                run::Hold::Imported { .. } => HoldReason::Imported,
            },
            since: hold.at().to_string(),
        }
    }
}

/// A run with what `include` asked for.
#[derive(Debug, Serialize, ToSchema)]
pub struct RunDetail {
    #[serde(flatten)]
    pub run: Run,
    /// By `step_index`; absent if `include` leaves `steps` out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<Vec<Step>>,
    /// Absent if `include` leaves `approvals` out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_approvals: Option<Vec<Approval>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RunBrief {
    #[schema(format = "uuid")]
    pub id: String,
    #[schema(format = "uuid")]
    pub run_id: String,
    pub status: RunStatus,
    #[schema(format = "date-time")]
    pub created_at: String,
    #[schema(format = "date-time")]
    pub completed_at: Option<String>,
}

/// `thread`: on a thread, its model runs here. `session`: its model runs with the client.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    Thread,
    Session,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    Queued,
    Running,
    AwaitingApproval,
    Completed,
    Failed,
    Cancelled,
}

/// Where the model runs, and why there.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Lane {
    #[schema(example = "openai")]
    pub name: String,
    pub kind: LaneKind,
    #[schema(example = "healthy and serves the model")]
    pub reason: String,
    /// What was said of every lane when this one was chosen; absent in events.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub considered: Vec<ConsideredLane>,
}

/// `device`: with the client. `local`: beside the server. `cloud`: with a provider.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LaneKind {
    Device,
    Local,
    Cloud,
}

/// Why a run failed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct RunError {
    /// Stable.
    #[schema(example = "model_unavailable")]
    pub code: String,
    pub message: String,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct CancelRun {
    /// Kept with the run.
    #[schema(example = "no longer needed", max_length = 2000)]
    pub reason: Option<String>,
}

impl RunDetail {
    pub fn new(
        run: run::Run,
        stored: Option<(Vec<step::Step>, Vec<step::LateAnswer>)>,
        pending: Option<Vec<approval::Approval>>,
    ) -> Self {
        let steps = stored.map(|(stored, late)| steps::of(&run, stored, late));
        let pending_approvals =
            pending.map(|pending| pending.into_iter().map(Approval::from).collect());
        Self {
            run: run.into(),
            steps,
            pending_approvals,
        }
    }
}

/// What only ended runs have.
#[derive(Default)]
struct End {
    completed_at: Option<Timestamp>,
    summary: Option<String>,
    confidence: Option<f64>,
    error: Option<RunError>,
    cancel_reason: Option<String>,
}

impl From<RunState> for End {
    fn from(state: RunState) -> Self {
        match state {
            RunState::Queued { .. }
            | RunState::Running { .. }
            | RunState::AwaitingApproval { .. } => Self::default(),
            RunState::Completed {
                completed_at,
                summary,
                confidence,
                ..
            } => Self {
                completed_at: Some(completed_at),
                summary,
                confidence,
                ..Self::default()
            },
            RunState::Failed {
                completed_at,
                error,
                summary,
                ..
            } => Self {
                completed_at: Some(completed_at),
                summary,
                error: Some(error.into()),
                ..Self::default()
            },
            RunState::Cancelled {
                completed_at,
                reason,
                ..
            } => Self {
                completed_at: Some(completed_at),
                cancel_reason: reason,
                ..Self::default()
            },
        }
    }
}

impl From<run::Run> for Run {
    fn from(run: run::Run) -> Self {
        let status = run.status().into();
        let thread_id = run.thread_id().map(|id| id.to_string());
        let started_at = run.started_at().map(|at| at.to_string());
        let end = End::from(run.state);
        let model = run.lane.as_ref().map(|lane| lane.model.clone());
        Self {
            id: run.id.to_string(),
            run_id: run.id.to_string(),
            thread_id,
            agent_type: run.agent_type,
            agent_version: run.agent_version,
            kind: match run.kind {
                run::RunKind::Thread { .. } => RunKind::Thread,
                run::RunKind::Session { .. } => RunKind::Session,
            },
            status,
            model: model.or(run.request.model),
            lane: run.lane.map(Lane::from),
            summary: end.summary,
            confidence: end.confidence,
            error: end.error,
            cancel_reason: end.cancel_reason,
            usage: run.usage.into(),
            metadata: run.request.metadata,
            created_at: run.created_at.to_string(),
            started_at,
            completed_at: end.completed_at.map(|at| at.to_string()),
            created_by: run.created_by.into(),
            hold: run.hold.map(RunHold::from),
        }
    }
}

impl From<run::Run> for RunBrief {
    fn from(run: run::Run) -> Self {
        let status = run.status().into();
        let end = End::from(run.state);
        Self {
            id: run.id.to_string(),
            run_id: run.id.to_string(),
            status,
            created_at: run.created_at.to_string(),
            completed_at: end.completed_at.map(|at| at.to_string()),
        }
    }
}

impl From<LaneChoice> for Lane {
    fn from(lane: LaneChoice) -> Self {
        Self {
            name: lane.name,
            kind: lane.kind.into(),
            reason: lane.reason,
            considered: lane.considered.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<LaneKind> for DomainLaneKind {
    fn from(kind: LaneKind) -> Self {
        match kind {
            LaneKind::Device => Self::Device,
            LaneKind::Local => Self::Local,
            LaneKind::Cloud => Self::Cloud,
        }
    }
}

impl From<DomainLaneKind> for LaneKind {
    fn from(kind: DomainLaneKind) -> Self {
        match kind {
            DomainLaneKind::Device => Self::Device,
            DomainLaneKind::Local => Self::Local,
            DomainLaneKind::Cloud => Self::Cloud,
        }
    }
}

impl From<Failure> for RunError {
    fn from(failure: Failure) -> Self {
        // The code's name on the wire is the one it is stored under.
        let code = serde_json::to_value(failure.code).ok();
        let code = code.as_ref().and_then(Value::as_str).unwrap_or("internal");
        Self {
            code: code.to_owned(),
            message: failure.message,
        }
    }
}

impl From<run::RunStatus> for RunStatus {
    fn from(status: run::RunStatus) -> Self {
        match status {
            run::RunStatus::Queued => Self::Queued,
            run::RunStatus::Running => Self::Running,
            run::RunStatus::AwaitingApproval => Self::AwaitingApproval,
            run::RunStatus::Completed => Self::Completed,
            run::RunStatus::Failed => Self::Failed,
            run::RunStatus::Cancelled => Self::Cancelled,
        }
    }
}

impl From<RunStatus> for run::RunStatus {
    fn from(status: RunStatus) -> Self {
        match status {
            RunStatus::Queued => Self::Queued,
            RunStatus::Running => Self::Running,
            RunStatus::AwaitingApproval => Self::AwaitingApproval,
            RunStatus::Completed => Self::Completed,
            RunStatus::Failed => Self::Failed,
            RunStatus::Cancelled => Self::Cancelled,
        }
    }
}
