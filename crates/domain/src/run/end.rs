//! A run ends. What was open is closed with it, so that its history and its inbox stay valid.

use super::calls::{self, tell_results};
use super::{
    Call, CallState, ClosedApproval, Draft, Partial, Refused, RunState, RunStatus, Transition, turn,
};
use crate::approval::ApprovalStatus;
use crate::audit::{Actor, Deed};
use crate::event::EventBody;
use crate::failure::Failure;
use crate::key::Principal;
use crate::limits::TURN_EVENTS_MAX;
use crate::seeded::Seeded;
use crate::step::StepStatus;
use crate::tool::ToolResult;
use serde_json::json;

pub(super) fn complete(draft: &mut Draft) {
    let Some(started_at) = draft.out.run.started_at() else {
        return;
    };
    let summary = draft.out.run.last_text.clone();
    draft.out.run.state = RunState::Completed {
        started_at,
        completed_at: draft.at,
        summary,
        confidence: None,
    };
    done(draft, None);
}

pub(super) fn fail(draft: &mut Draft, error: Failure) {
    draft.event(EventBody::Error {
        error: error.clone(),
    });
    draft.out.run.state = RunState::Failed {
        started_at: draft.out.run.started_at(),
        completed_at: draft.at,
        error: error.clone(),
        summary: draft.out.run.last_text.clone(),
    };
    done(draft, Some(error));
}

pub(super) fn cancel(
    mut draft: Draft,
    reason: Option<String>,
    by: Option<Principal>,
    deltas: Partial,
) -> Result<Transition, Refused> {
    if draft.out.run.status().is_terminal() {
        return draft.refuse("cancel", "it has ended");
    }
    cut_turn(&mut draft, deltas, "cancelled");
    if let Some(by) = by {
        let deed = Deed::RunCancelled {
            run_id: draft.out.run.id,
            reason: reason.clone(),
        };
        draft.audit(Actor::Key(by), deed);
    }
    stop(&mut draft, reason);
    draft.finish()
}

/// Ends the run as cancelled, and everything open with it.
pub(super) fn stop(draft: &mut Draft, reason: Option<String>) {
    close_calls(draft, "cancelled");
    if let RunState::Queued { input } = &mut draft.out.run.state {
        let input = std::mem::take(input);
        draft.out.messages = input;
    }
    draft.out.run.state = RunState::Cancelled {
        started_at: draft.out.run.started_at(),
        completed_at: draft.at,
        reason,
    };
    // Whoever holds the run loses it: nothing of it may be dispatched from here on.
    draft.out.run.epoch += u64::from(!Seeded::CancelKeepsHolder.is_on());
    done(draft, None);
}

/// Ends a run that no worker can carry on.
pub(super) fn set_aside(mut draft: Draft, failure: Failure) -> Result<Transition, Refused> {
    if draft.out.run.status().is_terminal() {
        return draft.refuse("set_aside", "it has ended");
    }
    cut_turn(&mut draft, Partial::Unknown, "set aside");
    close_calls(&mut draft, "the run was set aside");
    fail(&mut draft, failure);
    draft.finish()
}

/// Ends a model turn that is in flight. Its numbers are spent, whether its deltas are known or not.
pub(super) fn cut_turn(draft: &mut Draft, deltas: Partial, why: &str) {
    let Some((_, in_flight)) = turn::in_flight(draft) else {
        return;
    };
    if matches!(deltas, Partial::Unknown) {
        draft.out.run.next_seq += TURN_EVENTS_MAX;
    }
    draft.deltas(deltas.block());
    let output = json!({ "cut": why });
    turn::step(draft, &in_flight, StepStatus::Cancelled, output, None);
}

/// Settles every open call without sending it, and closes what was asked about it. A call already sent keeps its ledger
/// entry open to its late answer, but the history gets a result now: no call may stay without one.
pub(super) fn close_calls(draft: &mut Draft, why: &str) {
    let open: Vec<Call> = draft
        .out
        .run
        .calls()
        .iter()
        .filter(|call| !call.is_settled() && !Seeded::CallsLeftOpen.is_on())
        .cloned()
        .collect();
    let session = draft.out.run.thread_id().is_none();
    for call in open {
        let (status, message) = match &call.state {
            CallState::Dispatched { .. } | CallState::Probing { .. } => (
                StepStatus::OutcomeUnknown,
                format!("{why} while the tool was running; its outcome is not known"),
            ),
            CallState::Waiting { .. }
            | CallState::Prepared
            | CallState::Granted { .. }
            | CallState::Settled { .. } => (
                StepStatus::FailedBeforeEffect,
                format!("{why} before the tool was called"),
            ),
        };
        if let CallState::Waiting { approval_id, .. } = call.state {
            let resolved = EventBody::ApprovalResolved {
                approval_id,
                tool_call_id: call.id.clone(),
                status: ApprovalStatus::Cancelled,
                resolved_by: None,
                reason: Some(why.to_owned()),
            };
            draft.event(resolved);
            draft.out.closed.push(ClosedApproval {
                id: approval_id,
                at: draft.at,
                reason: why.to_owned(),
            });
        }
        let result = ToolResult::refusal(&call.name, &message);
        calls::settle(draft, call, result, status);
    }
    if !session {
        tell_results(draft);
    }
}

fn done(draft: &mut Draft, error: Option<Failure>) {
    let status = draft.out.run.status();
    let summary = match &draft.out.run.state {
        RunState::Completed { summary, .. } | RunState::Failed { summary, .. } => summary.clone(),
        RunState::Queued { .. }
        | RunState::Running { .. }
        | RunState::AwaitingApproval { .. }
        | RunState::Cancelled { .. } => None,
    };
    draft.event(EventBody::RunStatus { status });
    let usage = draft.out.run.usage;
    let done = EventBody::Done {
        status,
        summary,
        usage,
        error,
    };
    if Seeded::DoneTwice.is_on() {
        draft.event(done.clone());
    }
    draft.event(done);
    debug_assert!(matches!(
        status,
        RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled
    ));
}
