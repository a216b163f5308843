//! A call was sent and its answer was lost: the tool's probe is asked first, a person only where that cannot tell. The
//! call itself is never sent again from here.

use super::calls::{self, ask_about_unknown, open_calls, replace, settle};
use super::{Call, CallState, Draft, Refused, Transition};
use crate::CallId;
use crate::step::{Step, StepKind, StepStatus};
use crate::tool::{Found, Probed, ToolResult};
use serde_json::{Value, json};

/// Puts a call of unknown outcome before its probe, or before a person.
pub(super) fn lost(draft: &mut Draft, call: &mut Call, evidence: String) {
    if call.has_probe {
        call.state = CallState::Probing { evidence };
        calls::ledger(draft, call, StepStatus::OutcomeUnknown);
    } else {
        ask_about_unknown(draft, call, evidence);
    }
}

/// Takes what the probe found, as a step of its own.
pub(super) fn probed(mut draft: Draft, id: &CallId, probe: Probed) -> Result<Transition, Refused> {
    let open = open_calls(&mut draft).and_then(|calls| calls.iter().find(|call| call.id == *id));
    let Some(mut call) = open.cloned() else {
        return draft.refuse("probed", "there is no such call");
    };
    let CallState::Probing { evidence } = call.state.clone() else {
        return draft.refuse("probed", "nobody asked what became of the call");
    };
    record(&mut draft, &call, &probe);
    let answer: Value = serde_json::from_str(&probe.answer).unwrap_or(Value::Null);
    match probe.found {
        Found::Happened => {
            let told = json!({
                "tool": call.name,
                "note": "the call's own answer was lost; the tool was asked and says that the call took effect",
                "asked": probe.tool,
                "answer": answer,
            });
            let result = ToolResult::ok(told.to_string());
            settle(&mut draft, call, result, StepStatus::Committed);
        }
        Found::DidNot => {
            let message = "the call's answer was lost; the tool was asked and says that the call did not take effect";
            let result = ToolResult::refusal(&call.name, message);
            settle(&mut draft, call, result, StepStatus::FailedBeforeEffect);
        }
        Found::Unclear => {
            let evidence = format!(
                "{evidence}; `{}` was asked what became of it and could not tell: {}",
                probe.tool, probe.answer
            );
            ask_about_unknown(&mut draft, &mut call, evidence);
            replace(&mut draft, call);
        }
    }
    calls::proceed(&mut draft);
    draft.finish()
}

fn record(draft: &mut Draft, call: &Call, probe: &Probed) {
    let step_index = draft.take_step();
    draft.out.steps.push(Step {
        step_index,
        kind: StepKind::Probe,
        status: match probe.found {
            Found::Happened | Found::DidNot => StepStatus::Completed,
            Found::Unclear => StepStatus::Failed,
        },
        name: probe.tool.clone(),
        input: json!({ "about": call.id, "arguments": probe.arguments }),
        output: Value::String(probe.answer.clone()),
        is_error: probe.found == Found::Unclear,
        started_at: draft.at,
        completed_at: Some(draft.at),
        usage: None,
        attempt: call.attempt,
        call: None,
        reported: None,
    });
}
