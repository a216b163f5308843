//! From each lower error to its problem. No arm is left to chance: a new variant below must be thought about here.

use super::{Code, Problem};
use domain::approval::ApprovalStatus;
use domain::ports::store::StoreError;
use domain::run::RunStatus;
use domain::thread::ForkRefused;
use engine::{EngineError, ForkError, InferError, JournalError};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(1);

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let problem = match &error {
            StoreError::Stale | StoreError::GrantGone => {
                Self::new(Code::contended).retry_after(SOON)
            }
            StoreError::Unavailable(_) => Self::new(Code::store_unavailable).retry_after(SOON),
            StoreError::Full(_) => Self::new(Code::storage_full).retry_after(SOON),
            StoreError::UnknownOutcome(_) => Self::new(Code::outcome_unknown),
            StoreError::Corrupt { .. } | StoreError::Rejected(_) => Self::new(Code::internal_error),
        };
        problem.because(error)
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NotFound => Self::new(Code::not_found),
            EngineError::Terminal { status } => terminal(status),
            EngineError::NoGateDecision => Self::new(Code::no_gate_decision),
            EngineError::ApprovalResolved(approval) => {
                let message = match approval.status {
                    // Its end is not written yet; it counts as denied.
                    ApprovalStatus::Pending => "The approval's time is over.".to_owned(),
                    ApprovalStatus::Approved
                    | ApprovalStatus::Denied
                    | ApprovalStatus::Expired
                    | ApprovalStatus::Cancelled => {
                        let status = approval.status.as_str();
                        format!("The approval is {status} already, and that stands.")
                    }
                };
                let approval = crate::wire::approvals::Approval::from(*approval);
                let approval = serde_json::to_value(approval).unwrap_or_default();
                Self::saying(Code::approval_already_resolved, message).detail("approval", approval)
            }
            EngineError::DigestMismatch { expected } => {
                Self::new(Code::arguments_changed).detail("arguments_digest", expected)
            }
            EngineError::NotEligible => Self::new(Code::approver_not_eligible),
            EngineError::Misfit { message } => Self::field("decision", message),
            EngineError::InvalidArguments { message } => {
                Self::saying(Code::invalid_arguments, message).at("arguments")
            }
            EngineError::InvalidGrant { message } => Self::field("remember", message),
            EngineError::OnHold => Self::new(Code::run_on_hold),
            EngineError::Draining => Self::new(Code::shutting_down).retry_after(SOON),
            EngineError::Contended => Self::new(Code::contended).retry_after(SOON),
            EngineError::Refused(refused) if refused.status.is_terminal() => {
                terminal(refused.status)
            }
            EngineError::Refused(refused) => Self::new(Code::internal_error).because(refused),
            EngineError::Store(error) => error.into(),
        }
    }
}

impl From<ForkError> for Problem {
    fn from(error: ForkError) -> Self {
        match error {
            ForkError::NotFound => Self::new(Code::not_found),
            ForkError::Refused(ForkRefused::Missing) => {
                Self::field("", "the thread has no message and no run of this id")
            }
            ForkError::Refused(ForkRefused::UnansweredCalls) => Self::field(
                "",
                "a tool call has no result there; name a later message or wait for the run",
            ),
            ForkError::Store(error) => error.into(),
        }
    }
}

impl From<InferError> for Problem {
    fn from(error: InferError) -> Self {
        match error {
            InferError::PreviousNotFound => Self::new(Code::previous_response_not_found),
            InferError::ModelMismatch { session, asked } => {
                let message = format!("The session uses the model {session}, not {asked}.");
                Self::saying(Code::model_mismatch, message)
                    .at("model")
                    .detail("session_model", session)
            }
            InferError::NoLane { considered } => {
                let lanes: Vec<String> = considered
                    .iter()
                    .map(|lane| format!("{}: {}", lane.name, lane.reason))
                    .collect();
                let message = format!(
                    "No lane of this server may serve the session ({}).",
                    lanes.join("; ")
                );
                Self::saying(Code::no_lane, message)
            }
            InferError::ChainTooLong => Self::new(Code::chain_too_long),
            InferError::UnansweredCalls { missing } => {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                let message = format!(
                    "Each call needs its one output in the input, and each output its call: {}.",
                    missing.join(", ")
                );
                Self::saying(Code::unanswered_calls, message).at("input")
            }
            InferError::EmptyInput => Self::field("input", "must be text or a list of items"),
            InferError::InProgress => Self::new(Code::idempotency_in_progress).retry_after(SOON),
            InferError::Exhausted(failure) => {
                let message = format!("No other model turn: {}.", failure.message);
                Self::saying(Code::budget_exhausted, message)
            }
            InferError::UnknownTool { unknown, known } => Self::field(
                "tools",
                format!(
                    "the session has no tool {unknown}; there are: {}",
                    known.join(", ")
                ),
            ),
            InferError::Engine(error) => error.into(),
        }
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Gap { expected, hash } => {
                let message = format!("The journal goes on with entry {expected}.");
                Self::saying(Code::journal_gap, message)
                    .detail("expected_seq", expected)
                    .detail("expected_prev", hash)
            }
            JournalError::Fork { seq } => {
                let message = format!("The journal here is another from entry {seq} on.");
                Self::saying(Code::journal_fork, message).detail("seq", seq)
            }
            JournalError::Full => Self::new(Code::journal_full),
            JournalError::ServerTool { seq, tool } => {
                let message = format!(
                    "Entry {seq} says that the device ran {tool}, which runs on this server only."
                );
                Self::saying(Code::server_tool_reported, message)
                    .detail("seq", seq)
                    .detail("tool", tool)
            }
            JournalError::Engine(error) => error.into(),
        }
    }
}

fn terminal(status: RunStatus) -> Problem {
    let message = format!("The run has ended already: it is {}.", status.as_str());
    Problem::saying(Code::run_already_terminal, message).detail("status", status.as_str())
}
