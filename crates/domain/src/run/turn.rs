//! A model turn begins, answers, or fails.

use super::calls;
use super::{
    Call, Draft, FailedAttempt, Phase, Refused, RunState, Transition, TurnAnswer, TurnInFlight,
    budget, end,
};
use crate::event::EventBody;
use crate::failure::{Failure, FailureCode};
use crate::lane::LaneChoice;
use crate::limits::{MALFORMED_TURNS_MAX, SUMMARY_CHARS_MAX, TURN_ATTEMPTS_MAX};
use crate::message::{Content, Message, Reasoning, Role};
use crate::seeded::Seeded;
use crate::step::{Step, StepKind, StepStatus};
use crate::usage::Usage;
use crate::{MessageId, Timestamp};
use serde_json::{Value, json};

/// Enters the model phase, or ends the run where its budget does not allow another turn.
pub(super) fn begin_turn(draft: &mut Draft, started_at: Timestamp) {
    if let Some(failure) = budget::exhausted(&draft.out.run) {
        end::fail(draft, failure);
        return;
    }
    let step_index = draft.take_step();
    draft.out.run.turns += 1;
    let turn = TurnInFlight {
        turn: draft.out.run.turns,
        attempt: 1,
        step_index,
        message_id: MessageId::new(draft.derive("message", step_index)),
        started_at: draft.at,
        failed_lanes: Vec::new(),
    };
    draft.out.run.state = RunState::Running {
        started_at,
        phase: Phase::Model(turn),
    };
}

pub(super) fn completed(mut draft: Draft, answer: TurnAnswer) -> Result<Transition, Refused> {
    let Some((started_at, turn)) = in_flight(&draft) else {
        return draft.refuse("turn_completed", "no model turn is in flight");
    };
    let TurnAnswer {
        text,
        reasoning,
        calls,
        deltas,
        usage,
        lane,
        truncated,
    } = answer;
    draft.deltas(deltas);
    draft.out.run.usage.add(&usage);
    let moved = note_lane(&mut draft, lane);
    let all_malformed = !calls.is_empty() && calls.iter().all(calls::is_malformed);
    let (planned, asked) = calls::plan(&mut draft, calls);

    let message = assistant_message(&draft, &turn, &text, reasoning, &planned);
    draft.out.messages.push(message.clone());
    draft.event(EventBody::MessageCompleted {
        message: Box::new(message),
    });
    draft.event(EventBody::Usage {
        step_index: turn.step_index,
        usage,
    });
    let output = json!({
        "message_id": turn.message_id,
        "tool_calls": planned.len(),
        "truncated": truncated,
    });
    step(
        &mut draft,
        &turn,
        StepStatus::Completed,
        output,
        Some(usage),
    );
    if let Some(from) = moved {
        lane_step(&mut draft, &from, None);
    }
    if !text.is_empty() {
        draft.out.run.last_text = Some(text.chars().take(SUMMARY_CHARS_MAX).collect());
    }

    if planned.is_empty() {
        end::complete(&mut draft);
        return draft.finish();
    }
    draft.out.run.malformed_turns = if all_malformed {
        draft.out.run.malformed_turns + 1
    } else {
        0
    };
    calls::announce(&mut draft, &planned, asked);
    draft.out.run.state = RunState::Running {
        started_at,
        phase: Phase::Tools { calls: planned },
    };
    if draft.out.run.malformed_turns >= MALFORMED_TURNS_MAX {
        give_up_on_calls(&mut draft);
    } else {
        calls::proceed(&mut draft);
    }
    draft.finish()
}

fn assistant_message(
    draft: &Draft,
    turn: &TurnInFlight,
    text: &str,
    reasoning: Option<Reasoning>,
    calls: &[Call],
) -> Message {
    Message {
        id: turn.message_id,
        role: Role::Assistant,
        content: Content::Text(text.to_owned()),
        tool_calls: calls.iter().map(Call::as_tool_call).collect(),
        tool_call_id: None,
        is_error: false,
        reasoning,
        run_id: Some(draft.out.run.id),
        created_at: draft.at,
    }
}

fn give_up_on_calls(draft: &mut Draft) {
    let message = "the model kept asking for tools in a form that cannot be read";
    end::close_calls(draft, "the run ended");
    end::fail(
        draft,
        Failure::new(FailureCode::MalformedToolCalls, message),
    );
}

pub(super) fn failed(mut draft: Draft, attempt: FailedAttempt) -> Result<Transition, Refused> {
    let Some((started_at, turn)) = in_flight(&draft) else {
        return draft.refuse("turn_failed", "no model turn is in flight");
    };
    let FailedAttempt {
        failure,
        retry,
        deltas,
        usage,
        lane,
    } = attempt;
    draft.deltas(deltas);
    draft.out.run.usage.add(&usage);
    let output = json!({ "error": failure });
    step(&mut draft, &turn, StepStatus::Failed, output, Some(usage));
    if let (Some(step), Some(lane)) = (draft.out.steps.last_mut(), &lane) {
        step.input["lane"] = json!(lane);
    }
    if retry && turn.attempt < TURN_ATTEMPTS_MAX {
        restart(&mut draft, started_at, turn, &failure.message, lane);
    } else {
        end::fail(&mut draft, failure);
    }
    draft.finish()
}

/// Tells that the turn's text so far is void and begins its next attempt, under a new step and message id.
pub(super) fn restart(
    draft: &mut Draft,
    started_at: Timestamp,
    turn: TurnInFlight,
    reason: &str,
    failed_lane: Option<String>,
) {
    if !Seeded::RestartUntold.is_on() {
        draft.event(EventBody::TurnRestarted {
            turn: turn.turn,
            attempt: turn.attempt + 1,
            message_id: turn.message_id,
            reason: reason.to_owned(),
        });
    }
    let mut failed_lanes = turn.failed_lanes;
    failed_lanes.extend(failed_lane);
    let step_index = draft.take_step();
    let next = TurnInFlight {
        turn: turn.turn,
        attempt: turn.attempt + 1,
        step_index,
        message_id: MessageId::new(draft.derive("message", step_index)),
        started_at: draft.at,
        failed_lanes,
    };
    draft.out.run.state = RunState::Running {
        started_at,
        phase: Phase::Model(next),
    };
}

/// The attempt in flight and when the run started.
pub(super) fn in_flight(draft: &Draft) -> Option<(Timestamp, TurnInFlight)> {
    match &draft.out.run.state {
        RunState::Running {
            started_at,
            phase: Phase::Model(turn),
        } => Some((*started_at, turn.clone())),
        RunState::Running {
            phase: Phase::Gate { .. } | Phase::Tools { .. } | Phase::Client { .. },
            ..
        }
        | RunState::Queued { .. }
        | RunState::AwaitingApproval { .. }
        | RunState::Completed { .. }
        | RunState::Failed { .. }
        | RunState::Cancelled { .. } => None,
    }
}

pub(super) fn step(
    draft: &mut Draft,
    turn: &TurnInFlight,
    status: StepStatus,
    output: Value,
    usage: Option<Usage>,
) {
    let lane = draft.out.run.lane.as_ref();
    let mut input = json!({ "turn": turn.turn, "lane": lane.map(|lane| &lane.name) });
    if turn.turn == 1
        && let Some(lane) = lane.filter(|lane| !lane.considered.is_empty())
    {
        input["considered"] = json!(lane.considered);
    }
    draft.out.steps.push(Step {
        step_index: turn.step_index,
        kind: StepKind::ModelTurn,
        status,
        name: lane.map_or_else(|| "model".to_owned(), |lane| lane.model.clone()),
        input,
        output,
        is_error: status == StepStatus::Failed,
        started_at: turn.started_at,
        completed_at: Some(draft.at),
        usage,
        attempt: turn.attempt,
        call: None,
        reported: None,
    });
}

/// The lane of now. Returns the one before if the run moved.
pub(super) fn note_lane(draft: &mut Draft, lane: LaneChoice) -> Option<LaneChoice> {
    let before = draft.out.run.lane.replace(lane.clone());
    let same = |before: &LaneChoice| before.name == lane.name && before.model == lane.model;
    if before.as_ref().is_some_and(same) {
        return None;
    }
    draft.event(EventBody::LaneChanged {
        from: before.as_ref().map(|before| before.name.clone()),
        // Watchers find it with the run.
        lane: LaneChoice {
            considered: Vec::new(),
            ..lane
        },
    });
    before
}

/// The record of a move to the lane of now. The first lane of a run is no move: its reasons are with its turn.
pub(super) fn lane_step(draft: &mut Draft, from: &LaneChoice, why: Option<String>) {
    let Some(to) = draft.out.run.lane.clone() else {
        return;
    };
    let step_index = draft.take_step();
    draft.out.steps.push(Step {
        step_index,
        kind: StepKind::LaneChange,
        status: StepStatus::Completed,
        name: to.name.clone(),
        input: json!({ "from": from.name, "from_model": from.model, "reason": why }),
        output: json!(to),
        is_error: false,
        started_at: draft.at,
        completed_at: Some(draft.at),
        usage: None,
        attempt: 1,
        call: None,
        reported: None,
    });
}
