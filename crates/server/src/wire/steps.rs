//! Steps of a run on the wire, those still open made from the run's own state.

use super::usage::Usage;
use domain::Timestamp;
use domain::policy::Judgement;
use domain::run::{Phase, Run, RunState};
use domain::step;
use domain::tool::Policy;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// One thing that a run did.
#[derive(Debug, Serialize, ToSchema)]
pub struct Step {
    #[schema(example = 0)]
    pub step_index: u32,
    pub kind: StepKind,
    pub status: StepStatus,
    /// The tool's, model's or gate's name.
    #[schema(example = "lookup_order")]
    pub name: String,
    pub input: Value,
    pub output: Value,
    pub is_error: bool,
    #[schema(format = "date-time")]
    pub started_at: String,
    #[schema(format = "date-time")]
    pub completed_at: Option<String>,
    #[schema(example = 118)]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// 1 for the first; higher after a restart.
    #[schema(example = 1)]
    pub attempt: u32,
    /// For tool calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// For tool calls: what policy said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<StepPolicy>,
    pub source: StepSource,
    /// What the tool answered after the server that had asked it lost the run. The step's own outcome does not follow from
    /// it: that is what was found out meanwhile, or decided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub late_answers: Vec<LateAnswer>,
}

/// An answer that came when the run was another server's.
#[derive(Debug, Serialize, ToSchema)]
pub struct LateAnswer {
    /// The attempt that it answers.
    #[schema(example = 1)]
    pub attempt: u32,
    #[schema(format = "date-time")]
    pub at: String,
    /// The tool's result, as for the model.
    pub output: String,
    pub is_error: bool,
}

impl From<step::LateAnswer> for LateAnswer {
    fn from(late: step::LateAnswer) -> Self {
        Self {
            attempt: late.attempt,
            at: late.at.to_string(),
            output: late.result.content,
            is_error: late.result.is_error,
        }
    }
}

/// `server`: it happened here. `client`: the client says so, in its journal.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepSource {
    Server,
    Client,
}

/// What policy said of a call, and who.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepPolicy {
    pub decision: PolicyDecision,
    /// Which rules decided and why.
    #[schema(example = "server rule `production` asks for approval")]
    pub why: String,
    /// The grant that stood in for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub grant_id: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyDecision {
    Auto,
    Ask,
    AlwaysAsk,
    Deny,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
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

/// Tool calls go through `prepared`, `dispatched` and `committed`, or end `failed_before_effect`, `outcome_unknown` or
/// `denied`.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    Running,
    Completed,
    Failed,
    Cancelled,
    AwaitingApproval,
    Denied,
    Prepared,
    Dispatched,
    Committed,
    FailedBeforeEffect,
    OutcomeUnknown,
}

/// The run's steps by index: the stored ones and the model turn in flight, which gets its row when it ends. Each late answer
/// is with its call.
pub fn of(run: &Run, stored: Vec<step::Step>, late: Vec<step::LateAnswer>) -> Vec<Step> {
    let in_flight = turn_in_flight(run)
        .filter(|turn| !stored.iter().any(|step| step.step_index == turn.step_index));
    let mut steps: Vec<Step> = stored.into_iter().map(Step::from).collect();
    for answer in late {
        let its = |step: &&mut Step| step.tool_call_id.as_deref() == Some(answer.call.as_str());
        if let Some(step) = steps.iter_mut().find(its) {
            step.late_answers.push(answer.into());
        }
    }
    steps.extend(in_flight);
    steps.sort_by_key(|step| step.step_index);
    steps
}

fn turn_in_flight(run: &Run) -> Option<Step> {
    let RunState::Running {
        phase: Phase::Model(turn),
        ..
    } = &run.state
    else {
        return None;
    };
    Some(Step {
        step_index: turn.step_index,
        kind: StepKind::ModelTurn,
        status: StepStatus::Running,
        name: run
            .lane
            .as_ref()
            .map_or_else(|| "model".to_owned(), |lane| lane.model.clone()),
        input: Value::Null,
        output: Value::Null,
        is_error: false,
        started_at: turn.started_at.to_string(),
        completed_at: None,
        duration_ms: None,
        usage: None,
        attempt: turn.attempt,
        tool_call_id: None,
        policy: None,
        source: StepSource::Server,
        late_answers: Vec::new(),
    })
}

fn duration_ms(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX)
}

impl From<step::Step> for Step {
    fn from(step: step::Step) -> Self {
        Self {
            step_index: step.step_index,
            kind: step.kind.into(),
            status: step.status.into(),
            name: step.name,
            input: step.input,
            output: step.output,
            is_error: step.is_error,
            started_at: step.started_at.to_string(),
            completed_at: step.completed_at.map(|at| at.to_string()),
            duration_ms: step.completed_at.map(|at| duration_ms(step.started_at, at)),
            usage: step.usage.map(Usage::from),
            attempt: step.attempt,
            tool_call_id: step.call.as_ref().map(|call| call.id.to_string()),
            policy: step.call.map(|call| StepPolicy::from(call.judgement)),
            source: match step.reported {
                Some(_) => StepSource::Client,
                None => StepSource::Server,
            },
            late_answers: Vec::new(),
        }
    }
}

impl From<Judgement> for StepPolicy {
    fn from(judgement: Judgement) -> Self {
        let decision = match judgement.policy {
            Policy::Auto => PolicyDecision::Auto,
            Policy::Ask => PolicyDecision::Ask,
            Policy::AlwaysAsk => PolicyDecision::AlwaysAsk,
            Policy::Deny => PolicyDecision::Deny,
        };
        Self {
            decision,
            why: judgement.why(),
            grant_id: judgement.grant.map(|grant| grant.to_string()),
        }
    }
}

impl From<step::StepKind> for StepKind {
    fn from(kind: step::StepKind) -> Self {
        match kind {
            step::StepKind::Gate => Self::Gate,
            step::StepKind::ModelTurn => Self::ModelTurn,
            step::StepKind::ToolCall => Self::ToolCall,
            step::StepKind::Approval => Self::Approval,
            step::StepKind::LaneChange => Self::LaneChange,
            step::StepKind::Probe => Self::Probe,
        }
    }
}

impl From<step::StepStatus> for StepStatus {
    fn from(status: step::StepStatus) -> Self {
        match status {
            step::StepStatus::Running => Self::Running,
            step::StepStatus::Completed => Self::Completed,
            step::StepStatus::Failed => Self::Failed,
            step::StepStatus::Cancelled => Self::Cancelled,
            step::StepStatus::AwaitingApproval => Self::AwaitingApproval,
            step::StepStatus::Denied => Self::Denied,
            step::StepStatus::Prepared => Self::Prepared,
            step::StepStatus::Dispatched => Self::Dispatched,
            step::StepStatus::Committed => Self::Committed,
            step::StepStatus::FailedBeforeEffect => Self::FailedBeforeEffect,
            step::StepStatus::OutcomeUnknown => Self::OutcomeUnknown,
        }
    }
}
