//! Tool calls of a turn: planned, sent, settled, and their results told to the model in the order asked.

use super::probe;
use super::turn::begin_turn;
use super::{Call, CallState, Draft, Phase, Planned, Refused, RunState, Transition, Verdict};
use crate::approval::{Approval, ApprovalKind, ApprovalStatus, Terms};
use crate::event::EventBody;
use crate::limits::APPROVAL_EXPIRY;
use crate::message::{Content, Message, Role, ToolCall};
use crate::seeded::Seeded;
use crate::step::{LedgerCall, Step, StepKind, StepStatus};
use crate::tool::{CallKey, Effect, ToolOutcome, ToolResult};
use crate::{ApprovalId, CallId, MessageId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What is asked of a person about a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    pub kind: ApprovalKind,
    pub risk: String,
    pub why: String,
    pub terms: Terms,
    pub expires_at: Timestamp,
}

impl Call {
    pub fn as_tool_call(&self) -> ToolCall {
        ToolCall {
            id: self.id.clone(),
            name: self.name.clone(),
            arguments: self.arguments.clone(),
        }
    }

    pub fn is_settled(&self) -> bool {
        matches!(self.state, CallState::Settled { .. })
    }
}

/// The model sent something that is not a call of a tool with readable arguments.
pub(super) fn is_malformed(planned: &Planned) -> bool {
    matches!(
        planned.verdict,
        Verdict::Reject {
            malformed: true,
            ..
        }
    )
}

/// Calls from plans, each with its step, and what must be asked about them.
pub(super) fn plan(draft: &mut Draft, plans: Vec<Planned>) -> (Vec<Call>, Vec<Option<Question>>) {
    plans
        .into_iter()
        .map(|planned| plan_one(draft, planned))
        .unzip()
}

fn plan_one(draft: &mut Draft, planned: Planned) -> (Call, Option<Question>) {
    let step_index = draft.take_step();
    let id = planned
        .client_id
        .unwrap_or_else(|| CallId::minted(draft.derive("call", step_index)));
    let mut question = None;
    let state = match planned.verdict {
        // Repeating these is harmless, so the intent to send needs no commit of its own.
        Verdict::Run if planned.effect != Effect::Unsafe => CallState::Dispatched { at: draft.at },
        Verdict::Run => CallState::Prepared,
        Verdict::Ask {
            risk,
            why,
            terms,
            expires_at,
        } => {
            let asked = Question {
                kind: ApprovalKind::ToolCall,
                risk,
                why,
                terms,
                expires_at,
            };
            match planned.judgement.grant {
                Some(grant_id) => CallState::Granted {
                    grant_id,
                    question: Box::new(asked),
                },
                None => {
                    question = Some(asked);
                    waiting(draft, step_index, expires_at)
                }
            }
        }
        Verdict::Deny { reason } => CallState::Settled {
            result: ToolResult::refusal(&planned.name, &reason),
        },
        Verdict::Reject { result, .. } => CallState::Settled { result },
    };
    let run = &draft.out.run;
    let call = Call {
        key: CallKey::new(&run.org, run.id, step_index, &id),
        id,
        step_index,
        name: planned.name,
        arguments: planned.arguments,
        arguments_digest: planned.arguments_digest,
        asked_digest: None,
        tool_version: planned.tool_version,
        effect: planned.effect,
        requested_at: draft.at,
        attempt: 1,
        judgement: planned.judgement,
        has_probe: planned.has_probe,
        warrant: None,
        state,
    };
    (call, question)
}

pub(super) fn waiting(draft: &Draft, step_index: u32, expires_at: Timestamp) -> CallState {
    CallState::Waiting {
        approval_id: ApprovalId::new(draft.derive("approval", step_index)),
        kind: ApprovalKind::ToolCall,
        expires_at,
    }
}

/// Tells of planned calls: requested, and whatever they are already.
pub(super) fn announce(draft: &mut Draft, calls: &[Call], questions: Vec<Option<Question>>) {
    for (call, question) in calls.iter().zip(questions) {
        draft.event(EventBody::ToolCallRequested {
            step_index: call.step_index,
            tool_call_id: call.id.clone(),
            tool_name: call.name.clone(),
            arguments: call.arguments.clone(),
        });
        if let Some(question) = question {
            ask(draft, call, question);
        }
        match &call.state {
            CallState::Dispatched { .. } => started(draft, call),
            CallState::Settled { result } => completed(draft, call, result),
            CallState::Waiting { .. }
            | CallState::Prepared
            | CallState::Granted { .. }
            | CallState::Probing { .. } => {}
        }
        let status = match &call.state {
            CallState::Waiting { .. } => StepStatus::AwaitingApproval,
            CallState::Prepared | CallState::Granted { .. } => StepStatus::Prepared,
            CallState::Dispatched { .. } => StepStatus::Dispatched,
            CallState::Probing { .. } => StepStatus::OutcomeUnknown,
            CallState::Settled { .. } => StepStatus::Denied,
        };
        ledger(draft, call, status);
    }
}

/// Takes the outcomes of dispatched calls; those of other calls are dropped (a late answer of a call already settled).
pub(super) fn settled(
    mut draft: Draft,
    outcomes: Vec<(CallId, ToolOutcome)>,
) -> Result<Transition, Refused> {
    let mut any = false;
    for (id, outcome) in outcomes {
        let Some(mut call) = open_calls(&mut draft)
            .and_then(|calls| calls.iter().find(|call| call.id == id).cloned())
        else {
            continue;
        };
        if !matches!(call.state, CallState::Dispatched { .. }) {
            continue;
        }
        any = true;
        match outcome {
            ToolOutcome::Committed(result) => {
                settle(&mut draft, call, result, StepStatus::Committed)
            }
            ToolOutcome::FailedBeforeEffect(result) => {
                settle(&mut draft, call, result, StepStatus::FailedBeforeEffect);
            }
            ToolOutcome::Unknown { evidence } if call.effect == Effect::Unsafe => {
                probe::lost(&mut draft, &mut call, evidence);
                replace(&mut draft, call);
            }
            ToolOutcome::Unknown { evidence } => {
                let result = ToolResult::refusal(&call.name, &evidence);
                settle(&mut draft, call, result, StepStatus::OutcomeUnknown);
            }
        }
    }
    if !any {
        return draft.refuse("calls_settled", "none of the calls is dispatched");
    }
    proceed(&mut draft);
    draft.finish()
}

/// Puts a call of unknown outcome before a person.
pub(super) fn ask_about_unknown(draft: &mut Draft, call: &mut Call, evidence: String) {
    let expires_at = draft.at.plus(APPROVAL_EXPIRY);
    let purpose = format!("unknown-{}", call.attempt);
    call.state = CallState::Waiting {
        approval_id: ApprovalId::new(draft.derive(&purpose, call.step_index)),
        kind: ApprovalKind::OutcomeUnknown,
        expires_at,
    };
    let question = Question {
        kind: ApprovalKind::OutcomeUnknown,
        risk: "the call may have taken effect; running it again may double it".to_owned(),
        why: evidence,
        terms: Terms::default(),
        expires_at,
    };
    ask(draft, call, question);
    ledger(draft, call, StepStatus::OutcomeUnknown);
}

/// Ends a call with its result.
pub(super) fn settle(draft: &mut Draft, mut call: Call, result: ToolResult, status: StepStatus) {
    completed(draft, &call, &result);
    call.state = CallState::Settled { result };
    ledger(draft, &call, status);
    replace(draft, call);
}

pub(super) fn replace(draft: &mut Draft, call: Call) {
    if let Some(slot) = open_calls(draft).and_then(|calls| {
        calls
            .iter_mut()
            .find(|open| open.step_index == call.step_index)
    }) {
        *slot = call;
    }
}

/// Moves on from the calls as they now are: to the next turn when all are settled, to waiting when only people can
/// help, or stays.
pub(super) fn proceed(draft: &mut Draft) {
    let Some(started_at) = draft.out.run.started_at() else {
        return;
    };
    if let RunState::Running {
        phase: Phase::Client { calls },
        ..
    } = &mut draft.out.run.state
    {
        calls.retain(|call| !call.is_settled());
        return;
    }
    let calls = draft.out.run.calls();
    if calls.iter().all(Call::is_settled) {
        count_wait(draft);
        tell_results(draft);
        begin_turn(draft, started_at);
        return;
    }
    let waiting =
        |call: &Call| call.is_settled() || matches!(call.state, CallState::Waiting { .. });
    let all_wait = calls.iter().all(waiting);
    let calls = calls.to_vec();
    let before = draft.out.run.status();
    count_wait(draft);
    draft.out.run.state = if all_wait {
        RunState::AwaitingApproval {
            started_at,
            since: draft.at,
            calls,
        }
    } else {
        RunState::Running {
            started_at,
            phase: Phase::Tools { calls },
        }
    };
    let after = draft.out.run.status();
    if before != after {
        draft.event(EventBody::RunStatus { status: after });
    }
}

/// Adds the wait that ends here to the run's total.
fn count_wait(draft: &mut Draft) {
    if let RunState::AwaitingApproval { since, .. } = draft.out.run.state {
        let waited = draft.at.since(since).as_micros();
        draft.out.run.waited_us += u64::try_from(waited).unwrap_or(0);
    }
}

/// Adds the results of all calls to the history, in the order asked: each call has exactly one.
pub(super) fn tell_results(draft: &mut Draft) {
    let mut calls = draft.out.run.calls().to_vec();
    let moved = usize::from(Seeded::ResultsReordered.is_on()).min(calls.len());
    calls.rotate_left(moved);
    for call in calls {
        let CallState::Settled { result } = &call.state else {
            continue;
        };
        draft.out.messages.push(Message {
            id: MessageId::new(draft.derive("result", call.step_index)),
            role: Role::Tool,
            content: Content::Text(result.content.clone()),
            tool_calls: Vec::new(),
            tool_call_id: Some(call.id.clone()),
            is_error: result.is_error,
            reasoning: None,
            run_id: Some(draft.out.run.id),
            created_at: draft.at,
        });
    }
}

pub(super) fn open_calls(draft: &mut Draft) -> Option<&mut Vec<Call>> {
    match &mut draft.out.run.state {
        RunState::Running {
            phase: Phase::Tools { calls } | Phase::Client { calls },
            ..
        }
        | RunState::AwaitingApproval { calls, .. } => Some(calls),
        RunState::Running {
            phase: Phase::Model(_) | Phase::Gate { .. },
            ..
        }
        | RunState::Queued { .. }
        | RunState::Completed { .. }
        | RunState::Failed { .. }
        | RunState::Cancelled { .. } => None,
    }
}

pub(super) fn ask(draft: &mut Draft, call: &Call, question: Question) {
    let CallState::Waiting { approval_id, .. } = call.state else {
        return;
    };
    let run = &draft.out.run;
    let approval = Approval {
        id: approval_id,
        run_id: run.id,
        thread_id: run.thread_id(),
        agent_type: run.agent_type.clone(),
        kind: question.kind,
        call_id: call.id.clone(),
        tool_name: call.name.clone(),
        tool_version: call.tool_version.clone(),
        arguments: call.arguments.clone(),
        arguments_digest: call.arguments_digest.clone(),
        risk: question.risk,
        why: question.why,
        status: ApprovalStatus::Pending,
        requested_by: run.created_by.clone(),
        requested_at: draft.at,
        expires_at: question.expires_at,
        resolved_by: None,
        resolved_at: None,
        reason: None,
        terms: question.terms,
        decisions: Vec::new(),
        finding: None,
    };
    draft.event(EventBody::ApprovalRequested {
        approval: Box::new(approval.clone()),
    });
    draft.out.approvals.push(approval);
}

/// The call is about to be sent: from here on its run has met what it touches.
pub(super) fn started(draft: &mut Draft, call: &Call) {
    draft.out.run.met = draft.out.run.met.and(call.judgement.labels);
    draft.event(EventBody::ToolCallStarted {
        step_index: call.step_index,
        tool_call_id: call.id.clone(),
        tool_name: call.name.clone(),
        attempt: call.attempt,
    });
}

fn completed(draft: &mut Draft, call: &Call, result: &ToolResult) {
    draft.event(EventBody::ToolCallCompleted {
        step_index: call.step_index,
        tool_call_id: call.id.clone(),
        tool_name: call.name.clone(),
        content: result.content.clone(),
        is_error: result.is_error,
    });
}

/// Writes the call's ledger entry as it now is. A later entry of the same commit replaces an earlier one.
pub(super) fn ledger(draft: &mut Draft, call: &Call, status: StepStatus) {
    let (output, is_error, over) = match &call.state {
        CallState::Settled { result } => {
            (Value::String(result.content.clone()), result.is_error, true)
        }
        CallState::Waiting { .. }
        | CallState::Prepared
        | CallState::Granted { .. }
        | CallState::Dispatched { .. }
        | CallState::Probing { .. } => (Value::Null, false, false),
    };
    draft
        .out
        .steps
        .retain(|step| step.step_index != call.step_index);
    draft.out.steps.push(Step {
        step_index: call.step_index,
        kind: StepKind::ToolCall,
        status,
        name: call.name.clone(),
        input: call.arguments.clone(),
        output,
        is_error,
        started_at: call.requested_at,
        completed_at: over.then_some(draft.at),
        usage: None,
        attempt: call.attempt,
        call: Some(LedgerCall {
            id: call.id.clone(),
            key: call.key.clone(),
            effect: call.effect,
            arguments_digest: call.arguments_digest.clone(),
            judgement: call.judgement.clone(),
            asked_digest: call.asked_digest.clone(),
        }),
        reported: None,
    });
}
