//! A client-side session: the model runs with the client, the tools run here.

use super::calls::{self, announce};
use super::{
    ClientTurn, Draft, Partial, Phase, Planned, Refused, Run, RunKind, RunState, Transition,
    TurnInFlight, end, gate, turn,
};
use crate::event::{DeltaBlock, EventBody};
use crate::failure::{Failure, FailureCode};
use crate::journal::{Entry, Head, Mark};
use crate::lane::LaneChoice;
use crate::response::Response;
use crate::session::Client;
use crate::step::{Step, StepStatus};
use crate::usage::Usage;
use crate::{MessageId, Timestamp};
use serde_json::json;

impl Run {
    /// Where a session's journal has come to.
    pub fn journal(&self) -> Head {
        match &self.kind {
            RunKind::Session { journal, .. } => journal.clone().unwrap_or_default(),
            RunKind::Thread { .. } => Head::default(),
        }
    }
}

pub(super) fn client_call(mut draft: Draft, planned: Planned) -> Result<Transition, Refused> {
    if !in_client_phase(&draft) {
        return draft.refuse("client_call", "it is not a session at work");
    }
    if draft
        .out
        .run
        .calls()
        .iter()
        .any(|open| Some(&open.id) == planned.client_id.as_ref())
    {
        return draft.refuse("client_call", "a call of this id is under way");
    }
    seen(&mut draft);
    let (call, question) = calls::plan(&mut draft, vec![planned]);
    if let Some(open) = calls::open_calls(&mut draft) {
        open.extend(call.iter().cloned());
    }
    announce(&mut draft, &call, question);
    calls::proceed(&mut draft);
    draft.finish()
}

/// Records an inference turn: its step, its text for watchers, and its response.
pub(super) fn client_turn(mut draft: Draft, turn: ClientTurn) -> Result<Transition, Refused> {
    if !in_client_phase(&draft) {
        return draft.refuse("client_turn", "it is not a session at work");
    }
    seen(&mut draft);
    let ClientTurn {
        started_at,
        gate,
        deltas,
        usage,
        lane,
        outcome,
    } = turn;
    let stopped = gate.as_ref().is_some_and(|gate| gate.decision.stops());
    let gate_step = gate.map(|gate| gate::note(&mut draft, &gate));
    // Told only now, so the numbers are those that are free now.
    let first_seq = draft.out.run.next_seq;
    draft.deltas(deltas.map(|block| DeltaBlock { first_seq, ..block }));
    let step_index = match gate_step.filter(|_| stopped) {
        Some(gate_step) => gate_step,
        None => model_step(&mut draft, started_at, usage, lane, &outcome),
    };
    if let Ok(response) = outcome {
        let message = Box::new(response.output.clone());
        draft.event(EventBody::MessageCompleted { message });
        draft.out.responses.push(response);
    }
    if !stopped {
        draft.event(EventBody::Usage { step_index, usage });
    }
    draft.finish()
}

/// The step of a turn that a model was called for.
fn model_step(
    draft: &mut Draft,
    started_at: Timestamp,
    usage: Usage,
    lane: Option<LaneChoice>,
    outcome: &Result<Response, Failure>,
) -> u32 {
    draft.out.run.usage.add(&usage);
    draft.out.run.turns += 1;
    if let Some(from) = lane.and_then(|lane| turn::note_lane(draft, lane)) {
        turn::lane_step(draft, &from, None);
    }
    let step_index = draft.take_step();
    let (status, output) = match outcome {
        Ok(response) => (StepStatus::Completed, json!({ "response_id": response.id })),
        Err(failure) => (StepStatus::Failed, json!({ "error": failure })),
    };
    let in_flight = TurnInFlight {
        turn: draft.out.run.turns,
        attempt: 1,
        step_index,
        message_id: MessageId::new(draft.derive("message", step_index)),
        started_at,
        failed_lanes: Vec::new(),
    };
    turn::step(draft, &in_flight, status, output, Some(usage));
    step_index
}

/// The next turn is made elsewhere; the transcript, the tools and the policy stay.
pub(super) fn lane_moved(
    mut draft: Draft,
    lane: LaneChoice,
    client: Option<Client>,
    reason: Option<String>,
) -> Result<Transition, Refused> {
    if !in_client_phase(&draft) {
        return draft.refuse("lane_moved", "it is not a session at work");
    }
    seen(&mut draft);
    draft.out.run.request.model = Some(lane.model.clone());
    if let RunKind::Session { client: known, .. } = &mut draft.out.run.kind
        && client.is_some()
    {
        *known = client;
    }
    if let Some(from) = turn::note_lane(&mut draft, lane) {
        turn::lane_step(&mut draft, &from, reason);
    }
    draft.finish()
}

/// Records what the client says it did, each entry as a step that is marked so.
pub(super) fn client_steps(mut draft: Draft, entries: Vec<Entry>) -> Result<Transition, Refused> {
    if !in_client_phase(&draft) {
        return draft.refuse("client_steps", "it is not a session at work");
    }
    let mut head = draft.out.run.journal();
    for entry in entries {
        if !head.is_followed_by(&entry) {
            return draft.refuse("client_steps", "an entry does not follow the one before");
        }
        head = head.after(&entry);
        report(&mut draft, entry);
    }
    seen(&mut draft);
    if let RunKind::Session { journal, .. } = &mut draft.out.run.kind {
        *journal = Some(head);
    }
    draft.finish()
}

fn report(draft: &mut Draft, entry: Entry) {
    let step_index = draft.take_step();
    let step = entry.step;
    draft.event(EventBody::StepReported {
        step_index,
        kind: step.kind,
        name: step.name.clone(),
        is_error: step.is_error,
    });
    draft.out.steps.push(Step {
        step_index,
        kind: step.kind,
        status: if step.is_error {
            StepStatus::Failed
        } else {
            StepStatus::Completed
        },
        name: step.name,
        input: step.input,
        output: step.output,
        is_error: step.is_error,
        started_at: step.started_at,
        completed_at: Some(step.completed_at),
        usage: step.usage,
        attempt: 1,
        call: None,
        reported: Some(Mark {
            seq: entry.seq,
            hash: entry.hash,
        }),
    });
}

/// `confidence` is clamped to 0..=1: published clients send values outside it.
pub(super) fn completed(
    mut draft: Draft,
    summary: String,
    confidence: Option<f64>,
) -> Result<Transition, Refused> {
    if !in_client_phase(&draft) {
        return draft.refuse("session_completed", "it is not a session at work");
    }
    seen(&mut draft);
    end::close_calls(&mut draft, "the session was completed");
    draft.out.run.last_text = Some(summary);
    end::complete(&mut draft);
    if let RunState::Completed {
        confidence: stored, ..
    } = &mut draft.out.run.state
    {
        *stored = confidence.map(|value| value.clamp(0.0, 1.0));
    }
    draft.finish()
}

pub(super) fn expired(mut draft: Draft) -> Result<Transition, Refused> {
    if draft.out.run.status().is_terminal() || draft.out.run.thread_id().is_some() {
        return draft.refuse("session_expired", "it is not a session at work");
    }
    end::cut_turn(&mut draft, Partial::Unknown, "the session expired");
    end::close_calls(&mut draft, "the session expired");
    let message = "nobody completed the session in time";
    end::fail(
        &mut draft,
        Failure::new(FailureCode::SessionExpired, message),
    );
    draft.finish()
}

/// Notes that the client is there.
fn seen(draft: &mut Draft) {
    let at = draft.at;
    if let RunKind::Session { seen_at, .. } = &mut draft.out.run.kind {
        *seen_at = Some(at);
    }
}

fn in_client_phase(draft: &Draft) -> bool {
    matches!(
        draft.out.run.state,
        RunState::Running {
            phase: Phase::Client { .. },
            ..
        }
    )
}
