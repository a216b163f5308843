//! A worker takes over a run that another left in flight.

use super::{CallState, Draft, Phase, Refused, RunState, Transition, calls, end, probe, turn};
use crate::failure::{Failure, FailureCode};
use crate::limits::{CRASHES_MAX, TURN_EVENTS_MAX};
use crate::seeded::Seeded;
use crate::step::StepStatus;
use crate::tool::Effect;
use crate::usage::Usage;
use serde_json::json;

/// `crashed` is false when the earlier worker handed the run over. The caller has raised `epoch` in the store.
pub(super) fn recovered(mut draft: Draft, crashed: bool) -> Result<Transition, Refused> {
    if draft.out.run.status().is_terminal() {
        return draft.refuse("recovered", "it has ended");
    }
    if (crashed && !Seeded::CrashUncounted.is_on()) || Seeded::HandOverCounted.is_on() {
        draft.out.run.crashes += 1;
    }
    if draft.out.run.crashes >= CRASHES_MAX {
        let message = format!("the run took down its worker {CRASHES_MAX} times and was set aside");
        return end::set_aside(draft, Failure::new(FailureCode::Poisoned, message));
    }
    match draft.out.run.state.clone() {
        RunState::Running {
            started_at,
            phase: Phase::Model(in_flight),
        } => {
            // The dead attempt may have told watchers of any number of its block.
            if !Seeded::NumbersReused.is_on() {
                draft.out.run.next_seq += TURN_EVENTS_MAX;
            }
            let unknown = Usage {
                estimated: true,
                ..Usage::default()
            };
            draft.out.run.usage.add(&unknown);
            let output = json!({ "error": "the worker stopped in mid-turn" });
            turn::step(
                &mut draft,
                &in_flight,
                StepStatus::Failed,
                output,
                Some(unknown),
            );
            let reason = "the server stopped in mid-turn";
            turn::restart(&mut draft, started_at, in_flight, reason, None);
        }
        RunState::Running {
            phase: Phase::Tools { calls } | Phase::Client { calls },
            ..
        } => {
            for call in calls {
                retake(&mut draft, call);
            }
            calls::proceed(&mut draft);
        }
        // A judgement has no effect, so it is simply made again.
        RunState::Running {
            phase: Phase::Gate { .. },
            ..
        }
        | RunState::Queued { .. }
        | RunState::AwaitingApproval { .. }
        | RunState::Completed { .. }
        | RunState::Failed { .. }
        | RunState::Cancelled { .. } => {}
    }
    draft.finish()
}

/// A call that was perhaps sent: sent again where that is allowed, else put before a person.
fn retake(draft: &mut Draft, mut call: super::Call) {
    if Seeded::UnsafeRepeated.is_on() {
        call.effect = Effect::Keyed;
    }
    match (&call.state, call.effect) {
        (CallState::Dispatched { .. }, Effect::Idempotent | Effect::Keyed) => {
            call.attempt += 1;
            call.state = CallState::Dispatched { at: draft.at };
            calls::started(draft, &call);
            calls::ledger(draft, &call, StepStatus::Dispatched);
        }
        (CallState::Dispatched { at }, Effect::Unsafe) => {
            let evidence = format!(
                "the server stopped after {at}, when the call was about to be sent; no answer was recorded"
            );
            probe::lost(draft, &mut call, evidence);
        }
        // A probe is asked again by whoever holds the run.
        (
            CallState::Waiting { .. }
            | CallState::Prepared
            | CallState::Granted { .. }
            | CallState::Probing { .. }
            | CallState::Settled { .. },
            _,
        ) => return,
    }
    calls::replace(draft, call);
}
