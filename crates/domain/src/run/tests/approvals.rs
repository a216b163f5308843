//! Calls that wait for people.

use super::*;
use crate::approval::ApprovalStatus;
use crate::step::StepStatus;

fn waiting() -> Transition {
    step(
        &begun(),
        answer("", vec![call("deploy", Effect::Unsafe, ask())]),
        1,
    )
}

#[test]
fn a_gated_call_waits_and_runs_after_approval() {
    let asked = waiting();
    assert_eq!(asked.run.status(), RunStatus::AwaitingApproval);
    assert_eq!(
        asked.approvals[0].arguments,
        serde_json::json!({ "id": "deploy" })
    );
    let approved = step(&asked.run, decide(&asked, true), 5);
    assert_eq!(approved.approvals[0].status, ApprovalStatus::Approved);
    assert!(matches!(approved.run.next(), Next::Dispatch(calls) if calls.len() == 1));
    assert_eq!(approved.run.waited(), Duration::from_secs(4));
}

#[test]
fn a_denied_call_tells_the_model_and_the_run_goes_on() {
    let asked = waiting();
    let denied = step(&asked.run, decide(&asked, false), 5);
    assert!(denied.messages[0].content.text().contains("because"));
    assert!(denied.messages[0].is_error);
    assert!(matches!(denied.run.next(), Next::CallModel(turn) if turn.turn == 2));
}

#[test]
fn edited_arguments_are_what_runs() {
    let asked = waiting();
    let Input::Resolved {
        approval,
        mut decision,
    } = decide(&asked, true)
    else {
        unreachable!()
    };
    decision.arguments = Some(serde_json::json!({ "id": "safer" }));
    let approved = step(&asked.run, Input::Resolved { approval, decision }, 5);
    let call = &approved.run.calls()[0];
    assert_eq!(call.arguments, serde_json::json!({ "id": "safer" }));
    assert_eq!(
        call.arguments_digest,
        crate::tool::arguments_digest(&call.arguments)
    );
    assert_ne!(call.arguments_digest, asked.run.calls()[0].arguments_digest);
}

#[test]
fn a_decision_of_another_call_reaches_nothing() {
    let asked = waiting();
    let Input::Resolved {
        mut approval,
        decision,
    } = decide(&asked, true)
    else {
        unreachable!()
    };
    approval.id = ApprovalId::new(Uuid::from_u128(99));
    assert!(
        asked
            .run
            .apply(Input::Resolved { approval, decision }, at(5))
            .is_err()
    );
}

#[test]
fn an_expired_approval_cannot_be_given_and_counts_as_denied() {
    let asked = waiting();
    assert!(asked.run.apply(decide(&asked, true), at(3600)).is_err());
    let approval = Box::new(asked.approvals[0].clone());
    assert!(
        asked
            .run
            .apply(
                Input::Expired {
                    approval: approval.clone()
                },
                at(10)
            )
            .is_err()
    );
    let expired = step(&asked.run, Input::Expired { approval }, 3600);
    assert_eq!(expired.approvals[0].status, ApprovalStatus::Expired);
    assert!(matches!(expired.run.next(), Next::CallModel(_)));
}

#[test]
fn mixed_decisions_in_the_other_order_reach_their_own_calls() {
    let calls = vec![
        call("one", Effect::Unsafe, ask()),
        call("two", Effect::Unsafe, ask()),
    ];
    let asked = step(&begun(), answer("", calls), 1);
    let decision = |approve| crate::approval::Decision {
        choice: if approve {
            crate::approval::Choice::Approve
        } else {
            crate::approval::Choice::Deny
        },
        seen: None,
        reason: None,
        arguments: None,
        remember: None,
        by: principal(),
    };
    let of = |index: usize| Box::new(asked.approvals[index].clone());
    let denied = step(
        &asked.run,
        Input::Resolved {
            approval: of(1),
            decision: decision(false),
        },
        2,
    );
    assert_eq!(denied.run.status(), RunStatus::AwaitingApproval);
    let both = step(
        &denied.run,
        Input::Resolved {
            approval: of(0),
            decision: decision(true),
        },
        3,
    );
    let Next::Dispatch(calls) = both.run.next() else {
        panic!("the first call is to be sent")
    };
    assert_eq!(
        calls
            .iter()
            .map(|call| call.name.as_str())
            .collect::<Vec<_>>(),
        ["one"]
    );
}

#[test]
fn cancel_closes_what_was_asked_and_leaves_a_valid_history() {
    let asked = waiting();
    let input = Input::Cancel {
        reason: Some("enough".to_owned()),
        by: None,
        deltas: Partial::Unknown,
    };
    let cancelled = step(&asked.run, input, 2);
    assert_eq!(cancelled.closed.len(), 1);
    assert_eq!(cancelled.messages.len(), 1);
    assert_eq!(cancelled.steps[0].status, StepStatus::FailedBeforeEffect);
    assert_eq!(
        cancelled.run.epoch,
        asked.run.epoch + 1,
        "the holder is fenced off"
    );
    assert!(done(&cancelled));
}
