//! What another worker makes of a run that was left in flight.

use super::*;
use crate::approval::ApprovalKind;
use crate::failure::FailureCode;
use crate::limits::TURN_EVENTS_MAX;
use crate::step::StepStatus;

fn recover(run: &Run) -> Transition {
    step(run, Input::Recovered { crashed: true }, 10)
}

#[test]
fn a_turn_that_died_is_made_again_past_every_number_it_may_have_used() {
    let run = begun();
    let recovered = recover(&run);
    assert_eq!(types(&recovered), ["turn_restarted"]);
    assert_eq!(events(&recovered)[0].seq, run.next_seq + TURN_EVENTS_MAX);
    let Next::CallModel(turn) = recovered.run.next() else {
        panic!("the turn is made again")
    };
    assert_eq!((turn.turn, turn.attempt), (1, 2));
    assert!(
        recovered.run.usage.estimated,
        "the dead attempt's use is not known"
    );
}

#[test]
fn only_calls_that_may_be_repeated_are() {
    for (effect, repeated) in [
        (Effect::Idempotent, true),
        (Effect::Keyed, true),
        (Effect::Unsafe, false),
    ] {
        let turned = step(
            &begun(),
            answer("", vec![call("t", effect, Verdict::Run)]),
            1,
        );
        let id = turned.run.calls()[0].id.clone();
        let sent = match effect {
            Effect::Unsafe => step(&turned.run, Input::Dispatching { calls: vec![id] }, 2).run,
            Effect::Idempotent | Effect::Keyed => turned.run,
        };
        let key = sent.calls()[0].key.clone();
        let recovered = recover(&sent);
        let call = &recovered.run.calls()[0];
        assert_eq!(call.key, key, "the key stays the same through attempts");
        if repeated {
            assert!(matches!(call.state, CallState::Dispatched { .. }));
            assert_eq!(call.attempt, 2);
        } else {
            assert_eq!(recovered.approvals[0].kind, ApprovalKind::OutcomeUnknown);
            assert_eq!(recovered.run.status(), RunStatus::AwaitingApproval);
        }
    }
}

#[test]
fn a_call_of_unknown_outcome_is_run_again_only_by_decision() {
    let turned = step(
        &begun(),
        answer("", vec![call("t", Effect::Unsafe, Verdict::Run)]),
        1,
    );
    let id = turned.run.calls()[0].id.clone();
    let sent = step(&turned.run, Input::Dispatching { calls: vec![id] }, 2);
    let unknown = recover(&sent.run);
    assert_eq!(unknown.steps[0].status, StepStatus::OutcomeUnknown);
    let again = step(&unknown.run, decide(&unknown, true), 20);
    assert!(matches!(again.run.next(), Next::Dispatch(calls) if calls[0].attempt == 2));
    let left = step(&unknown.run, decide(&unknown, false), 20);
    assert!(matches!(left.run.next(), Next::CallModel(_)));
    assert!(left.messages[0].content.text().contains("not known"));
}

#[test]
fn a_run_that_keeps_killing_its_worker_is_set_aside() {
    let mut run = begun();
    for _ in 0..2 {
        run = recover(&run).run;
        assert_eq!(run.status(), RunStatus::Running);
    }
    let ended = recover(&run);
    let RunState::Failed { error, .. } = &ended.run.state else {
        panic!("set aside")
    };
    assert_eq!(error.code, FailureCode::Poisoned);
    assert!(done(&ended));
}

#[test]
fn a_handed_over_run_is_not_counted_as_a_crash() {
    let mut run = begun();
    for _ in 0..5 {
        run = step(&run, Input::Recovered { crashed: false }, 1).run;
    }
    assert_eq!((run.crashes, run.status()), (0, RunStatus::Running));
}

#[test]
fn applying_an_input_twice_gives_the_same_bytes() {
    let calls = || vec![call("t", Effect::Unsafe, ask())];
    let run = begun();
    assert_eq!(
        step(&run, answer("x", calls()), 1),
        step(&run, answer("x", calls()), 1)
    );
}
