//! Decisions by several people, under separation of duties, and of calls whose answer was lost.

use super::*;
use crate::approval::{ApprovalStatus, AskOptions, Choice, Decision, Finding, Terms};
use crate::audit::{Actor, Deed};
use crate::step::{StepKind, StepStatus};
use crate::tool::{Found, Probed};
use serde_json::json;

fn person(number: u128) -> Principal {
    Principal {
        key_id: KeyId::new(Uuid::from_u128(number)),
        name: format!("person {number}"),
        role: None,
    }
}

fn decided(choice: Choice, by: Principal) -> Decision {
    Decision {
        choice,
        reason: None,
        arguments: None,
        remember: None,
        seen: None,
        by,
    }
}

fn asked(options: &AskOptions) -> Transition {
    let verdict = Verdict::Ask {
        risk: "writes".to_owned(),
        why: "policy".to_owned(),
        terms: options.terms(),
        expires_at: at(3600),
    };
    step(
        &begun(),
        answer("", vec![call("deploy", Effect::Unsafe, verdict)]),
        1,
    )
}

fn by_two() -> AskOptions {
    AskOptions {
        approvals_needed: Some(2),
        ..AskOptions::default()
    }
}

fn decide_on(before: &Transition, decision: Decision) -> Result<Transition, Refused> {
    let approval = Box::new(before.approvals[0].clone());
    before
        .run
        .apply(Input::Resolved { approval, decision }, at(5))
}

#[test]
fn second_person_releases_what_two_must_approve() {
    let asked = asked(&by_two());
    let first = decide_on(&asked, decided(Choice::Approve, person(1))).unwrap();
    assert_eq!(first.approvals[0].status, ApprovalStatus::Pending);
    assert_eq!(first.run.status(), RunStatus::AwaitingApproval);
    let again = decide_on(&first, decided(Choice::Approve, person(1))).unwrap();
    assert_eq!(
        again.approvals[0].status,
        ApprovalStatus::Pending,
        "one person counts once"
    );
    let second = decide_on(&first, decided(Choice::Approve, person(2))).unwrap();
    assert_eq!(second.approvals[0].status, ApprovalStatus::Approved);
    assert_eq!(second.approvals[0].decisions.len(), 2);
    assert!(matches!(second.run.next(), Next::Dispatch(_)));
    let said: Vec<&Deed> = [&first, &second]
        .iter()
        .flat_map(|transition| &transition.audit)
        .map(|entry| &entry.deed)
        .collect();
    let statuses: Vec<ApprovalStatus> = said
        .iter()
        .map(|deed| match deed {
            Deed::ApprovalDecided(decided) => decided.status,
            other => panic!("not a decision: {other:?}"),
        })
        .collect();
    assert_eq!(
        statuses,
        [ApprovalStatus::Pending, ApprovalStatus::Approved]
    );
}

#[test]
fn first_denial_ends_what_two_must_approve() {
    let first = decide_on(&asked(&by_two()), decided(Choice::Approve, person(1))).unwrap();
    let denied = decide_on(&first, decided(Choice::Deny, person(2))).unwrap();
    assert_eq!(denied.approvals[0].status, ApprovalStatus::Denied);
    assert!(matches!(denied.run.next(), Next::CallModel(_)));
}

#[test]
fn edit_voids_approvals_of_other_arguments() {
    let first = decide_on(&asked(&by_two()), decided(Choice::Approve, person(1))).unwrap();
    let mut edit = decided(Choice::Approve, person(2));
    edit.arguments = Some(json!({"id": "other"}));
    let edited = decide_on(&first, edit).unwrap();
    assert_eq!(edited.approvals[0].status, ApprovalStatus::Pending);
    assert_eq!(edited.approvals[0].approvers(), [&person(2)]);
    let mut unseen = decided(Choice::Approve, person(3));
    unseen.seen = Some(first.approvals[0].arguments_digest.clone());
    assert!(decide_on(&edited, unseen).is_err(), "about other arguments");
    let second = decide_on(&edited, decided(Choice::Approve, person(1))).unwrap();
    assert_eq!(second.approvals[0].status, ApprovalStatus::Approved);
    assert_eq!(second.run.calls()[0].arguments, json!({"id": "other"}));
}

#[test]
fn whoever_started_the_run_may_deny_but_not_approve() {
    let options = AskOptions {
        other_person: Some(true),
        ..AskOptions::default()
    };
    let asked = asked(&options);
    let namesake = Principal {
        key_id: KeyId::new(Uuid::from_u128(99)),
        name: principal().name,
        role: None,
    };
    for by in [principal(), namesake] {
        assert!(decide_on(&asked, decided(Choice::Approve, by)).is_err());
    }
    assert!(decide_on(&asked, decided(Choice::Deny, principal())).is_ok());
    assert!(decide_on(&asked, decided(Choice::Approve, person(1))).is_ok());
}

/// A run whose unsafe call was sent and lost.
fn lost(has_probe: bool) -> Transition {
    let planned = Planned {
        has_probe,
        ..call("pay", Effect::Unsafe, Verdict::Run)
    };
    let turned = step(&begun(), answer("", vec![planned]), 1);
    let id = turned.run.calls()[0].id.clone();
    let sent = step(
        &turned.run,
        Input::Dispatching {
            calls: vec![id.clone()],
        },
        2,
    );
    let outcome = ToolOutcome::Unknown {
        evidence: "cut".to_owned(),
    };
    let outcomes = vec![(id, outcome)];
    step(&sent.run, Input::CallsSettled { outcomes }, 3)
}

#[test]
fn person_says_what_became_of_a_lost_call() {
    let lost = lost(false);
    for (choice, status, finding) in [
        (
            Choice::Happened {
                result: Some(json!({"id": 7})),
            },
            StepStatus::Committed,
            Finding::Happened,
        ),
        (Choice::Approve, StepStatus::Prepared, Finding::RunAgain),
        (Choice::Deny, StepStatus::OutcomeUnknown, Finding::Left),
        (Choice::Stop, StepStatus::OutcomeUnknown, Finding::Stopped),
    ] {
        let next = decide_on(&lost, decided(choice.clone(), person(1))).unwrap();
        assert_eq!(next.steps[0].status, status, "{choice:?}");
        assert_eq!(next.approvals[0].finding, Some(finding));
        match choice {
            Choice::Happened { .. } => {
                assert!(next.messages[0].content.text().contains("\"id\":7"));
                assert!(!next.messages[0].is_error);
            }
            Choice::Approve => assert_eq!(next.run.calls()[0].attempt, 2),
            Choice::Deny => assert!(matches!(next.run.next(), Next::CallModel(_))),
            Choice::Stop => {
                assert_eq!(next.run.status(), RunStatus::Cancelled);
                assert_eq!(next.messages.len(), 1, "the history stays valid");
                assert!(done(&next));
            }
        }
    }
    let mut edit = decided(Choice::Approve, person(1));
    edit.arguments = Some(json!({}));
    assert!(decide_on(&lost, edit).is_err(), "it may have happened");
    let gated = asked(&AskOptions::default());
    let happened = decided(Choice::Happened { result: None }, person(1));
    assert!(decide_on(&gated, happened).is_err(), "it was not sent");
}

fn probe(lost: &Transition, found: Found) -> Transition {
    let probe = Probed {
        tool: "find".to_owned(),
        arguments: json!({"key": "k"}),
        answer: "{\"paid\":true}".to_owned(),
        found,
    };
    let call = lost.run.calls()[0].id.clone();
    step(&lost.run, Input::Probed { call, probe }, 4)
}

#[test]
fn probe_is_asked_before_a_person() {
    let lost = lost(true);
    assert!(lost.approvals.is_empty());
    let Next::AwaitTools(calls) = lost.run.next() else {
        panic!("the probe is asked")
    };
    assert!(matches!(calls[0].state, CallState::Probing { .. }));
    let recovered = step(&lost.run, Input::Recovered { crashed: true }, 4);
    assert!(matches!(recovered.run.next(), Next::AwaitTools(_)));

    let happened = probe(&lost, Found::Happened);
    let kinds: Vec<(StepKind, StepStatus)> = happened
        .steps
        .iter()
        .map(|step| (step.kind, step.status))
        .collect();
    assert_eq!(
        kinds,
        [
            (StepKind::Probe, StepStatus::Completed),
            (StepKind::ToolCall, StepStatus::Committed)
        ]
    );
    assert!(
        happened.messages[0]
            .content
            .text()
            .contains("\"paid\":true")
    );
    let did_not = probe(&lost, Found::DidNot);
    assert_eq!(did_not.steps[1].status, StepStatus::FailedBeforeEffect);
    assert!(matches!(did_not.run.next(), Next::CallModel(_)));

    let unclear = probe(&lost, Found::Unclear);
    assert_eq!(unclear.run.status(), RunStatus::AwaitingApproval);
    let why = &unclear.approvals[0].why;
    assert!(why.contains("cut") && why.contains("`find`"), "{why}");
    let cancel = Input::Cancel {
        reason: None,
        by: Some(person(1)),
        deltas: Partial::Unknown,
    };
    let cancelled = step(&lost.run, cancel, 5);
    assert_eq!(cancelled.steps[0].status, StepStatus::OutcomeUnknown);
    assert_eq!(cancelled.audit[0].actor, Actor::Key(person(1)));
}

#[test]
fn run_without_decisions_records_nothing() {
    let turned = step(
        &begun(),
        answer("", vec![call("read", Effect::Idempotent, Verdict::Run)]),
        1,
    );
    let outcome = ToolOutcome::Committed(ToolResult::ok("{}"));
    let outcomes = vec![(turned.run.calls()[0].id.clone(), outcome)];
    let settled = step(&turned.run, Input::CallsSettled { outcomes }, 2);
    let ended = step(&settled.run, answer("done", Vec::new()), 3);
    assert!(ended.run.status().is_terminal());
    for transition in [turned, settled, ended] {
        assert_eq!(transition.audit, []);
    }
    assert_eq!(Terms::default().approvals_needed, 1);
}
