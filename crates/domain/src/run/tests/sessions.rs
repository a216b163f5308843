//! Sessions: the model is with the client.

use super::*;
use crate::failure::FailureCode;
use crate::step::StepStatus;

fn session() -> Run {
    let new = NewRun {
        org: OrgId::new("acme").expect("a valid slug"),
        id: RunId::new(Uuid::from_u128(42)),
        kind: RunKind::session("which model?".to_owned(), "advise".to_owned(), at(3600)),
        agent_type: "helper".to_owned(),
        agent_version: "v1".to_owned(),
        request: RunRequest::default(),
        created_by: principal(),
        lane: Some(lane()),
        input: Vec::new(),
    };
    step(&Run::create(new, T0).run, Input::Start, 0).run
}

fn client_call(id: &str, effect: Effect, verdict: Verdict) -> Input {
    let mut planned = call("get_model", effect, verdict);
    planned.client_id = Some(CallId::from_client(id.to_owned()));
    Input::ClientCall {
        planned: Box::new(planned),
    }
}

#[test]
fn a_client_call_is_a_step_under_the_clients_id_and_leaves_no_message() {
    let asked = step(
        &session(),
        client_call("c1", Effect::Idempotent, Verdict::Run),
        1,
    );
    assert!(matches!(asked.run.next(), Next::AwaitTools(calls) if calls[0].id.as_str() == "c1"));
    let id = CallId::from_client("c1".to_owned());
    let outcomes = vec![(id, ToolOutcome::Committed(ToolResult::ok("{\"n\":1}")))];
    let settled = step(&asked.run, Input::CallsSettled { outcomes }, 2);
    assert!(matches!(settled.run.next(), Next::AwaitClient));
    assert!(
        settled.run.calls().is_empty(),
        "what is over is in the steps alone"
    );
    assert_eq!(settled.steps[0].status, StepStatus::Committed);
    assert!(settled.messages.is_empty());
}

#[test]
fn a_gated_client_call_waits_and_then_runs_without_the_client() {
    let asked = step(&session(), client_call("c1", Effect::Unsafe, ask()), 1);
    assert_eq!(
        asked.run.status(),
        RunStatus::Running,
        "the client goes on meanwhile"
    );
    assert!(matches!(asked.run.next(), Next::AwaitClient));
    let approved = step(&asked.run, decide(&asked, true), 5);
    assert!(matches!(approved.run.next(), Next::Dispatch(calls) if calls.len() == 1));
}

#[test]
fn completing_closes_open_calls_and_clamps_the_confidence() {
    let asked = step(&session(), client_call("c1", Effect::Unsafe, ask()), 1);
    let input = Input::SessionCompleted {
        summary: "done".to_owned(),
        confidence: Some(8.5),
    };
    let ended = step(&asked.run, input, 9);
    let RunState::Completed {
        summary,
        confidence,
        ..
    } = &ended.run.state
    else {
        panic!("completed, not {:?}", ended.run.state);
    };
    assert_eq!((summary.as_deref(), *confidence), (Some("done"), Some(1.0)));
    assert_eq!(ended.closed.len(), 1);
    assert!(done(&ended));
}

#[test]
fn an_abandoned_session_fails_with_its_own_code() {
    let ended = step(&session(), Input::SessionExpired, 3600);
    let RunState::Failed { error, .. } = &ended.run.state else {
        panic!("failed")
    };
    assert_eq!(error.code, FailureCode::SessionExpired);
}

#[test]
fn a_run_of_a_thread_is_no_session() {
    let run = begun();
    let complete = Input::SessionCompleted {
        summary: String::new(),
        confidence: None,
    };
    for input in [
        client_call("c1", Effect::Keyed, Verdict::Run),
        complete,
        Input::SessionExpired,
    ] {
        assert!(run.apply(input, at(1)).is_err());
    }
}
