//! The intent gate's decision on a run's input: recorded in every mode; the run ends by it where it stops.

use super::turn::begin_turn;
use super::{Draft, Phase, Refused, RunState, Transition, end};
use crate::MessageId;
use crate::event::EventBody;
use crate::gate::{DecidedBy, GateRecord};
use crate::message::{Content, Message, Role};
use crate::step::{Step, StepKind, StepStatus};
use serde_json::json;

pub(super) fn decided(mut draft: Draft, record: GateRecord) -> Result<Transition, Refused> {
    let RunState::Running {
        started_at,
        phase: Phase::Gate { .. },
    } = draft.out.run.state
    else {
        return draft.refuse("gate_decided", "no gate is at work");
    };
    let index = note(&mut draft, &record);
    if record.decision.stops() {
        reply(&mut draft, index, &record.decision.reply);
        end::complete(&mut draft);
    } else {
        begin_turn(&mut draft, started_at);
    }
    draft.finish()
}

/// The decision's step and event. Returns the step's index.
pub(super) fn note(draft: &mut Draft, record: &GateRecord) -> u32 {
    let step_index = draft.take_step();
    let decision = &record.decision;
    draft.out.run.usage.add(&decision.usage);
    draft.out.steps.push(Step {
        step_index,
        kind: StepKind::Gate,
        status: StepStatus::Completed,
        name: "intent_gate".to_owned(),
        input: json!(record.input),
        output: json!(decision),
        is_error: matches!(decision.by, DecidedBy::Error { .. }),
        started_at: record.since,
        completed_at: Some(draft.at),
        usage: Some(decision.usage),
        attempt: 1,
        call: None,
        reported: None,
    });
    draft.event(EventBody::GateDecided {
        step_index,
        decision: decision.decision.as_str().to_owned(),
        intent: decision.intent.clone(),
        confidence: decision.confidence,
        reason: decision.reason.clone(),
        mode: decision.mode.as_str().to_owned(),
    });
    step_index
}

/// The gate's words, as watchers and the history take an answer.
fn reply(draft: &mut Draft, step_index: u32, text: &str) {
    let message_id = MessageId::new(draft.derive("message", step_index));
    // An event of its own and no block of deltas: those were told before they are committed, and nobody told this one.
    draft.event(EventBody::MessageDelta {
        message_id,
        delta: text.to_owned(),
    });
    let message = Message {
        id: message_id,
        role: Role::Assistant,
        content: Content::Text(text.to_owned()),
        tool_calls: Vec::new(),
        tool_call_id: None,
        is_error: false,
        reasoning: None,
        run_id: Some(draft.out.run.id),
        created_at: draft.at,
    };
    draft.out.messages.push(message.clone());
    draft.event(EventBody::MessageCompleted {
        message: Box::new(message),
    });
    draft.out.run.last_text = Some(text.to_owned());
}
