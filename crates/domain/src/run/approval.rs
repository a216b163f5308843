//! A person's decision reaches its call, or its time runs out.

use super::calls::{self, open_calls, replace, settle};
use super::{Call, CallState, Draft, Refused, Transition, end};
use crate::GrantId;
use crate::approval::{
    Approval, ApprovalKind, ApprovalStatus, Choice, Decision, Recorded, Warrant,
};
use crate::audit::{Actor, Decided, Deed};
use crate::event::EventBody;
use crate::grant::{Grant, Remember};
use crate::seeded::Seeded;
use crate::step::StepStatus;
use crate::tool::{ToolResult, arguments_digest};
use serde_json::{Value, json};

/// `approval` is the stored one; it must be pending and of a call of this run that still waits for it.
pub(super) fn resolved(
    mut draft: Draft,
    mut approval: Approval,
    decision: Decision,
) -> Result<Transition, Refused> {
    let Some(call) = waiting_call(&mut draft, &approval) else {
        return draft.refuse("resolved", "no call waits for this approval");
    };
    if let Some(why) = objection(&draft, &approval, &decision) {
        return draft.refuse("resolved", why);
    }
    let approves = decision.choice.approves();
    if let Some(arguments) = decision.arguments.filter(|_| approves) {
        approval.arguments_digest = arguments_digest(&arguments);
        approval.arguments = arguments;
    }
    approval.decisions.push(Recorded {
        by: decision.by.clone(),
        at: draft.at,
        approve: approves,
        reason: decision.reason.clone(),
        arguments_digest: approval.arguments_digest.clone(),
    });
    if approves && (approval.approvers().len() as u64) < u64::from(approval.terms.approvals_needed)
    {
        let decided = Decided::of(&approval, decision.reason);
        draft.audit(Actor::Key(decision.by), Deed::ApprovalDecided(decided));
        draft.out.approvals.push(approval);
        return draft.finish();
    }
    approval.status = if approves {
        ApprovalStatus::Approved
    } else {
        ApprovalStatus::Denied
    };
    if approval.kind == ApprovalKind::OutcomeUnknown {
        approval.finding = Some(decision.choice.finding());
    }
    approval.reason = decision.reason;
    approval.resolved_by = Some(decision.by);
    approval.resolved_at = Some(draft.at);
    record(&mut draft, &approval);
    match decision.choice {
        Choice::Approve => {
            if let Some(remember) = decision.remember {
                remembered(&mut draft, &call, &approval, remember);
            }
            release(&mut draft, call, &approval);
        }
        Choice::Deny => refuse_call(&mut draft, call, &approval),
        Choice::Happened { result } => confirm(&mut draft, call, &approval, result),
        Choice::Stop => {
            refuse_call(&mut draft, call, &approval);
            end::stop(&mut draft, approval.reason);
            return draft.finish();
        }
    }
    calls::proceed(&mut draft);
    draft.finish()
}

/// Makes the grant that the approver asked for, where a grant may answer at all.
fn remembered(draft: &mut Draft, call: &Call, approval: &Approval, remember: Remember) {
    let Some(created_by) = approval.resolved_by.clone() else {
        return;
    };
    if approval.kind != ApprovalKind::ToolCall || !call.judgement.is_grantable() {
        return;
    }
    let grant = Grant {
        id: GrantId::new(draft.derive("grant", call.step_index)),
        agent_type: approval.agent_type.clone(),
        tool_name: approval.tool_name.clone(),
        tool_version: approval.tool_version.clone(),
        predicate: remember.predicate,
        created_by,
        created_at: draft.at,
        expires_at: draft.at.plus(remember.ttl),
        uses_max: remember.uses,
        used: 0,
        approval_id: approval.id,
        revoked_at: None,
        revoked_by: None,
    };
    let deed = Deed::GrantCreated {
        grant_id: grant.id.to_string(),
        grant: json!(grant),
    };
    draft.audit(Actor::Key(grant.created_by.clone()), deed);
    draft.out.grants.push(grant);
}

/// Why the decision cannot be taken, if so.
fn objection(draft: &Draft, approval: &Approval, decision: &Decision) -> Option<&'static str> {
    if approval.status != ApprovalStatus::Pending {
        return Some("the approval is resolved");
    }
    if approval.expires_at <= draft.at && !Seeded::LateDecision.is_on() {
        return Some("the approval has expired");
    }
    if decision
        .seen
        .as_ref()
        .is_some_and(|seen| *seen != approval.arguments_digest)
        && !Seeded::SeenUnchecked.is_on()
    {
        return Some("the decision is about other arguments");
    }
    if decision.choice.approves() && !approval.may_approve(&decision.by) {
        return Some("whoever started the run may not approve it");
    }
    misfit(approval.kind, decision)
}

/// Why such a decision cannot be made of an approval of this kind, if so.
pub fn misfit(kind: ApprovalKind, decision: &Decision) -> Option<&'static str> {
    let sent = kind == ApprovalKind::OutcomeUnknown;
    match decision.choice {
        Choice::Approve | Choice::Deny if sent && decision.arguments.is_some() => {
            Some("the arguments of a call that may have happened cannot be edited")
        }
        Choice::Happened { .. } | Choice::Stop if !sent => {
            Some("the call was not sent, so nothing of it can have happened; approve or deny it")
        }
        Choice::Approve | Choice::Deny | Choice::Happened { .. } | Choice::Stop => None,
    }
}

pub(super) fn expired(mut draft: Draft, mut approval: Approval) -> Result<Transition, Refused> {
    let Some(call) = waiting_call(&mut draft, &approval) else {
        return draft.refuse("expired", "no call waits for this approval");
    };
    if approval.status != ApprovalStatus::Pending || approval.expires_at > draft.at {
        return draft.refuse("expired", "the approval is resolved or still has time");
    }
    approval.status = ApprovalStatus::Expired;
    approval.reason = Some("nobody decided in time".to_owned());
    approval.resolved_at = Some(draft.at);
    record(&mut draft, &approval);
    refuse_call(&mut draft, call, &approval);
    calls::proceed(&mut draft);
    draft.finish()
}

fn waiting_call(draft: &mut Draft, approval: &Approval) -> Option<Call> {
    let calls = open_calls(draft)?;
    let waits = |call: &&Call| matches!(&call.state, CallState::Waiting { approval_id, .. } if *approval_id == approval.id);
    calls.iter().find(waits).cloned()
}

fn record(draft: &mut Draft, approval: &Approval) {
    let actor = match &approval.resolved_by {
        Some(by) => Actor::Key(by.clone()),
        None => Actor::Server,
    };
    let decided = Decided::of(approval, approval.reason.clone());
    if !Seeded::DecisionUnrecorded.is_on() {
        draft.audit(actor, Deed::ApprovalDecided(decided));
    }
    draft.event(EventBody::ApprovalResolved {
        approval_id: approval.id,
        tool_call_id: approval.call_id.clone(),
        status: approval.status,
        resolved_by: approval.resolved_by.clone(),
        reason: approval.reason.clone(),
    });
    draft.out.approvals.push(approval.clone());
}

fn release(draft: &mut Draft, mut call: Call, approval: &Approval) {
    if approval.kind == ApprovalKind::OutcomeUnknown {
        call.attempt += 1;
    }
    if call.arguments_digest != approval.arguments_digest {
        call.asked_digest.get_or_insert(call.arguments_digest);
    }
    call.arguments = approval.arguments.clone();
    call.arguments_digest = approval.arguments_digest.clone();
    call.warrant = Some(Warrant::of(&draft.out.run.org, approval, &call));
    call.state = CallState::Prepared;
    calls::ledger(draft, &call, StepStatus::Prepared);
    replace(draft, call);
}

/// A person knows that the call took effect.
fn confirm(draft: &mut Draft, call: Call, approval: &Approval, result: Option<Value>) {
    let told = json!({
        "tool": call.name,
        "note": "the call's own answer was lost; a person confirmed that it took effect",
        "reason": approval.reason,
        "result": result,
    });
    let result = ToolResult::ok(told.to_string());
    settle(draft, call, result, StepStatus::Committed);
}

fn refuse_call(draft: &mut Draft, call: Call, approval: &Approval) {
    let said = approval.reason.as_deref().unwrap_or("no reason was given");
    let (status, message) = match approval.kind {
        ApprovalKind::ToolCall | ApprovalKind::Budget => (
            StepStatus::Denied,
            format!("a person refused this call: {said}"),
        ),
        ApprovalKind::OutcomeUnknown => (
            StepStatus::OutcomeUnknown,
            format!(
                "it is not known whether this call took effect, and it was not repeated: {said}"
            ),
        ),
    };
    settle(
        draft,
        call.clone(),
        ToolResult::refusal(&call.name, &message),
        status,
    );
}
