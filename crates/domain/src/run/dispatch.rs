//! Calls on their way out: the intent to send them, and its taking back.

use super::calls::{ask, ledger, open_calls, proceed, replace, started, waiting};
use super::{CallState, Draft, Refused, Transition};
use crate::CallId;
use crate::audit::{Actor, Deed};
use crate::grant::GrantUse;
use crate::step::StepStatus;

/// Commits the intent to send; only then may the driver send.
pub(super) fn dispatching(mut draft: Draft, ids: &[CallId]) -> Result<Transition, Refused> {
    let at = draft.at;
    let run_id = draft.out.run.id;
    let Some(calls) = open_calls(&mut draft) else {
        return draft.refuse("dispatching", "it has no open calls");
    };
    let mut changed = Vec::new();
    let mut uses = Vec::new();
    for call in calls.iter_mut().filter(|call| ids.contains(&call.id)) {
        match call.state {
            CallState::Prepared => {}
            CallState::Granted { grant_id, .. } => uses.push(GrantUse {
                grant_id,
                run_id,
                step_index: call.step_index,
                call_id: call.id.clone(),
                arguments_digest: call.arguments_digest.clone(),
                at,
            }),
            CallState::Waiting { .. }
            | CallState::Dispatched { .. }
            | CallState::Probing { .. }
            | CallState::Settled { .. } => continue,
        }
        call.state = CallState::Dispatched { at };
        changed.push(call.clone());
    }
    for used in &uses {
        let call = changed.iter().find(|call| call.id == used.call_id);
        let deed = Deed::GrantUsed {
            grant_id: used.grant_id.to_string(),
            run_id,
            call_id: used.call_id.clone(),
            tool_name: call.map(|call| call.name.clone()).unwrap_or_default(),
            arguments_digest: used.arguments_digest.clone(),
        };
        draft.audit(Actor::Server, deed);
    }
    draft.out.grant_uses = uses;
    if changed.is_empty() {
        return draft.refuse("dispatching", "none of the calls is prepared");
    }
    for call in &changed {
        started(&mut draft, call);
        ledger(&mut draft, call, StepStatus::Dispatched);
    }
    draft.finish()
}

/// Takes the intent to send back: whoever goes on with the run sends them, and nobody has to be asked what became of them.
pub(super) fn unsent(mut draft: Draft, ids: &[CallId]) -> Result<Transition, Refused> {
    let Some(calls) = open_calls(&mut draft) else {
        return draft.refuse("unsent", "it has no open calls");
    };
    let mut changed = Vec::new();
    for call in calls.iter_mut().filter(|call| ids.contains(&call.id)) {
        if matches!(call.state, CallState::Dispatched { .. }) {
            call.state = CallState::Prepared;
            changed.push(call.clone());
        }
    }
    if changed.is_empty() {
        return draft.refuse("unsent", "none of the calls is dispatched");
    }
    for call in &changed {
        ledger(&mut draft, call, StepStatus::Prepared);
    }
    draft.finish()
}

/// Asks the person for whom a grant stood in.
pub(super) fn grant_gone(mut draft: Draft, id: &CallId) -> Result<Transition, Refused> {
    let found = draft.out.run.calls().iter().find(|call| call.id == *id);
    let Some(mut call) = found.cloned() else {
        return draft.refuse("grant_gone", "it has no such call");
    };
    let CallState::Granted { question, .. } = &call.state else {
        return draft.refuse("grant_gone", "no grant stands in for a person");
    };
    let mut question = question.as_ref().clone();
    question.why = format!(
        "{}; a grant covered the call, but was used up, revoked or over when the call was about to run",
        question.why
    );
    call.judgement.grant = None;
    call.state = waiting(&draft, call.step_index, question.expires_at);
    ask(&mut draft, &call, question);
    ledger(&mut draft, &call, StepStatus::AwaitingApproval);
    replace(&mut draft, call);
    proceed(&mut draft);
    draft.finish()
}
