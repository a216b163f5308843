//! Calls that wait for people, across restarts and races.

use crate::fakes::Say;
use crate::on_both_stores;
use crate::world::{Process, World};
use domain::KeyId;
use domain::agent::OnMessage;
use domain::approval::{Approval, ApprovalKind, ApprovalStatus, Choice, Decision};
use domain::event::EventBody;
use domain::key::Principal;
use domain::ports::store::{ApprovalFilter, Page};
use domain::run::{Run, RunStatus};
use domain::step::{StepKind, StepStatus};
use domain::tool::Found;
use engine::{EngineError, OnBusy, StartRun, Started};
use std::sync::atomic::Ordering;
use std::time::Duration;
use uuid::Uuid;

on_both_stores!(
    an_approved_call_runs_once_and_a_denied_one_never,
    a_decision_after_a_restart_reaches_its_own_call,
    a_race_of_decisions_and_cancel_has_one_winner,
    an_unanswered_approval_expires_as_denied,
    a_call_of_unknown_outcome_waits_for_a_person,
    a_person_says_what_became_of_a_lost_call,
    a_probe_is_asked_before_a_person,
    a_probe_is_asked_again_after_a_crash,
    a_message_to_a_waiting_thread_does_what_its_agent_declares,
);

fn two_gated_calls(world: &World) {
    world.model.play(|messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => vec![
            Say::Call("pay_ask", "{\"n\":1}".to_owned()),
            Say::Call("ship_ask", "{\"n\":2}".to_owned()),
        ],
    });
}

pub async fn pending(world: &World, run: &Run) -> Vec<Approval> {
    let filter = ApprovalFilter {
        status: Some(ApprovalStatus::Pending),
        run: Some(run.id),
    };
    let page = Page {
        limit: 50,
        below: None,
    };
    let mut found = world
        .store
        .list_approvals(&world.scope, &filter, page)
        .await
        .expect("it answers");
    found.sort_by(|a, b| a.tool_name.cmp(&b.tool_name));
    found
}

pub async fn asked(world: &World, process: &Process) -> (Run, Vec<Approval>) {
    let run = world.begin(process, "go").await;
    let waits = |body: &EventBody| {
        matches!(
            body,
            EventBody::RunStatus {
                status: RunStatus::AwaitingApproval
            }
        )
    };
    world.follow_until(process, run.id, 0, waits).await;
    let approvals = pending(world, &run).await;
    (run, approvals)
}

pub fn decision(approve: bool, who: u128) -> Decision {
    Decision {
        choice: if approve {
            domain::approval::Choice::Approve
        } else {
            domain::approval::Choice::Deny
        },
        seen: None,
        reason: Some("because".to_owned()),
        arguments: None,
        remember: None,
        by: Principal {
            key_id: KeyId::new(Uuid::from_u128(who)),
            name: format!("p{who}"),
            role: None,
        },
    }
}

async fn an_approved_call_runs_once_and_a_denied_one_never(world: World) {
    let process = world.process().await;
    two_gated_calls(&world);
    let (run, approvals) = asked(&world, &process).await;
    assert_eq!(approvals.len(), 2);
    let engine = &process.engine;
    let approved = engine
        .resolve(&world.scope, approvals[0].id, decision(true, 1))
        .await;
    assert_eq!(
        approved.expect("it is open").status,
        ApprovalStatus::Approved
    );
    engine
        .resolve(&world.scope, approvals[1].id, decision(false, 1))
        .await
        .expect("it is open");
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    let tools: Vec<String> = world
        .tools
        .effects()
        .into_iter()
        .map(|effect| effect.tool)
        .collect();
    assert_eq!(tools, ["pay_ask"]);
    let again = engine
        .resolve(&world.scope, approvals[0].id, decision(true, 1))
        .await;
    assert_eq!(
        again.expect("the same by the same").status,
        ApprovalStatus::Approved
    );
    let other = engine
        .resolve(&world.scope, approvals[0].id, decision(false, 2))
        .await;
    assert!(matches!(other, Err(EngineError::ApprovalResolved(_))));
}

async fn a_decision_after_a_restart_reaches_its_own_call(world: World) {
    let process = world.process().await;
    two_gated_calls(&world);
    let (run, approvals) = asked(&world, &process).await;
    process
        .engine
        .resolve(&world.scope, approvals[1].id, decision(false, 1))
        .await
        .expect("open");
    process.kill();
    let process = world.process().await;
    process
        .engine
        .resolve(&world.scope, approvals[0].id, decision(true, 2))
        .await
        .expect("open");
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    let effects = world.tools.effects();
    assert_eq!(effects.len(), 1);
    assert_eq!(
        (effects[0].tool.as_str(), effects[0].arguments.as_str()),
        ("pay_ask", "{\"n\":1}")
    );
}

async fn a_race_of_decisions_and_cancel_has_one_winner(world: World) {
    let process = world.process().await;
    world.model.play(|messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => vec![Say::Call("pay_ask", "{}".to_owned())],
    });
    for round in 0..100 {
        let (run, approvals) = asked(&world, &process).await;
        let before = world.tools.effects().len();
        let (engine, scope, id) = (&process.engine, &world.scope, approvals[0].id);
        let (yes, no, cancelled) = tokio::join!(
            engine.resolve(scope, id, decision(true, 1)),
            engine.resolve(scope, id, decision(false, 2)),
            engine.cancel(scope, run.id, None, None),
        );
        world.follow(&process, run.id, 0).await;
        let status = world.check_ended(run.id).await;
        assert!(!(yes.is_ok() && no.is_ok()), "round {round}: two winners");
        let effects = world.tools.effects().len() - before;
        assert!(effects <= 1, "round {round}");
        assert!(
            effects == 0 || yes.is_ok(),
            "round {round}: an effect without its approval"
        );
        if cancelled.is_ok() {
            assert_eq!(status, RunStatus::Cancelled, "round {round}");
        }
        assert!(pending(&world, &run).await.is_empty(), "round {round}");
    }
}

async fn an_unanswered_approval_expires_as_denied(world: World) {
    let process = world.process().await;
    two_gated_calls(&world);
    let (run, approvals) = asked(&world, &process).await;
    world.clock.advance(Duration::from_secs(25 * 3600));
    let late = process
        .engine
        .resolve(&world.scope, approvals[0].id, decision(true, 1))
        .await;
    assert!(
        matches!(late, Err(EngineError::ApprovalResolved(_))),
        "{late:?}"
    );
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert!(world.tools.effects().is_empty());
}

fn one_call(world: &World, name: &'static str) {
    world.model.play(move |messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => vec![Say::Call(name, "{}".to_owned())],
    });
}

async fn a_person_says_what_became_of_a_lost_call(world: World) {
    let process = world.process().await;
    one_call(&world, "pay_lost");
    for (choice, effects, ending) in [
        (Choice::Happened { result: None }, 1, RunStatus::Completed),
        (Choice::Approve, 2, RunStatus::Completed),
        (Choice::Stop, 1, RunStatus::Cancelled),
    ] {
        let (run, approvals) = asked(&world, &process).await;
        let before = world.tools.effects().len();
        let made = Decision {
            choice: choice.clone(),
            ..decision(true, 1)
        };
        let engine = &process.engine;
        let resolved = engine
            .resolve(&world.scope, approvals[0].id, made.clone())
            .await;
        assert_eq!(
            resolved.expect("open").finding,
            Some(choice.finding()),
            "{choice:?}"
        );
        let again = engine.resolve(&world.scope, approvals[0].id, made).await;
        assert!(again.is_ok(), "the same by the same: {again:?}");
        if choice == Choice::Approve {
            // Its answer is lost once more.
            let waits = |body: &EventBody| matches!(body, EventBody::ApprovalRequested { approval } if approval.id != approvals[0].id);
            world.follow_until(&process, run.id, 0, waits).await;
            let second = pending(&world, &run).await;
            engine
                .resolve(&world.scope, second[0].id, decision(false, 1))
                .await
                .expect("open");
        }
        world.follow(&process, run.id, 0).await;
        assert_eq!(world.check_ended(run.id).await, ending, "{choice:?}");
        let after = world.tools.effects();
        assert_eq!(after.len() - before + 1, effects, "{choice:?}");
        if effects == 2 {
            let [.., first, second] = after.as_slice() else {
                unreachable!()
            };
            assert_eq!(first.key, second.key, "the key stays");
            assert_eq!((first.attempt, second.attempt), (1, 2));
        }
    }
}

async fn a_probe_is_asked_before_a_person(world: World) {
    let process = world.process().await;
    one_call(&world, "pay_probed_lost");
    for found in [Found::Happened, Found::DidNot] {
        *world.tools.found.lock().expect("no panic under this lock") = found;
        let run = world.begin(&process, "go").await;
        world.follow(&process, run.id, 0).await;
        assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
        let steps = world.store.run_steps(&world.scope, run.id).await;
        let steps = steps.expect("it answers");
        let status = match found {
            Found::Happened => StepStatus::Committed,
            Found::DidNot | Found::Unclear => StepStatus::FailedBeforeEffect,
        };
        assert_eq!(steps[1].status, status);
        assert_eq!(
            (steps[2].kind, steps[2].name.as_str()),
            (StepKind::Probe, "find")
        );
    }
    *world.tools.found.lock().expect("no panic under this lock") = Found::Unclear;
    let (run, approvals) = asked(&world, &process).await;
    assert!(approvals[0].why.contains("`find`"), "{}", approvals[0].why);
    assert_eq!(world.tools.effects().len(), 3, "one for each run");
    process
        .engine
        .cancel(&world.scope, run.id, None, None)
        .await
        .expect("open");
}

async fn a_probe_is_asked_again_after_a_crash(world: World) {
    let process = world.process().await;
    one_call(&world, "pay_probed_slow");
    let run = world.begin(&process, "go").await;
    let sent = |body: &EventBody| matches!(body, EventBody::ToolCallStarted { .. });
    world.follow_until(&process, run.id, 0, sent).await;
    process.kill();
    *world.tools.found.lock().expect("no panic under this lock") = Found::Happened;
    let process = world.process().await;
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert!(world.tools.effects().len() <= 1, "never sent again");
    assert!(world.tools.asked.load(Ordering::SeqCst) >= 1);
}

async fn a_message_to_a_waiting_thread_does_what_its_agent_declares(world: World) {
    let process = world.process().await;
    one_call(&world, "pay_ask");
    for on_waiting in [
        None,
        Some(OnMessage::Reject),
        Some(OnMessage::Queue),
        Some(OnMessage::DenyAndContinue),
    ] {
        let (run, approvals) = asked(&world, &process).await;
        let thread = run.thread_id().expect("a thread's run");
        let new = world.new_run(thread, "and now?");
        let second = new.id;
        let start = StartRun {
            new,
            agent: world.agent(),
            on_busy: OnBusy::Reject,
            on_waiting,
            idempotency: None,
        };
        let engine = &process.engine;
        let started = engine
            .start_run(&world.scope, start)
            .await
            .expect("answers");
        let refused = matches!(on_waiting, None | Some(OnMessage::Reject));
        match started {
            Started::Busy { run_id, status } => {
                assert!(refused);
                assert_eq!((run_id, status), (run.id, RunStatus::AwaitingApproval));
            }
            Started::Run(queued) => {
                assert!(!refused);
                assert_eq!(queued.id, second);
                // The one before may have ended meanwhile.
                let begun = on_waiting == Some(OnMessage::DenyAndContinue)
                    && queued.status() == RunStatus::Running;
                assert!(begun || queued.status() == RunStatus::Queued);
            }
            other => panic!("{on_waiting:?}: {other:?}"),
        }
        if on_waiting != Some(OnMessage::DenyAndContinue) {
            engine
                .resolve(&world.scope, approvals[0].id, decision(false, 1))
                .await
                .expect("nobody has decided");
        }
        world.follow(&process, run.id, 0).await;
        if !refused {
            // It asks as the first did; the history is whole again once it is over.
            engine
                .cancel(&world.scope, second, None, None)
                .await
                .expect("it goes on");
        }
        assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    }
    assert!(world.tools.effects().is_empty());
}

async fn a_call_of_unknown_outcome_waits_for_a_person(world: World) {
    let process = world.process().await;
    world.model.play(|messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => vec![Say::Call("pay_lost", "{}".to_owned())],
    });
    let (run, approvals) = asked(&world, &process).await;
    assert_eq!(approvals[0].kind, ApprovalKind::OutcomeUnknown);
    assert_eq!(world.tools.effects().len(), 1);
    process
        .engine
        .resolve(&world.scope, approvals[0].id, decision(false, 1))
        .await
        .expect("open");
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert_eq!(
        world.tools.effects().len(),
        1,
        "never repeated without a person's word"
    );
}
