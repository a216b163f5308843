//! Client-side sessions: one call, one effect, one answer.

use crate::on_both_stores;
use crate::world::{Process, World};
use domain::approval::Decision;
use domain::ports::clock::Clock;
use domain::run::{NewRun, Run, RunKind, RunStatus};
use domain::{CallId, ThreadId};
use engine::{ClientCall, EngineError, Executed, OnBusy, Started};
use std::time::Duration;
use uuid::Uuid;

on_both_stores!(
    a_call_asked_twice_at_once_has_one_effect_and_one_answer,
    a_call_asked_again_after_a_crash_follows_its_effect,
    an_asker_waits_no_longer_than_its_patience_whatever_the_tool_does,
    a_gated_call_runs_once_approved_and_is_answered_then,
    an_id_with_other_arguments_is_its_own_call_only_after_the_first,
    a_completed_session_refuses_calls_and_completes_again,
    an_expired_session_is_over,
    a_thread_run_is_not_a_session,
);

const SHORT: Duration = Duration::from_secs(20);

pub async fn session(world: &World, process: &Process, ttl: Duration) -> Run {
    let new = NewRun {
        kind: RunKind::session("q".to_owned(), "p".to_owned(), world.clock.now().plus(ttl)),
        lane: Some(crate::fakes::fake_lane()),
        request: domain::run::RunRequest {
            model: Some("fake-1".to_owned()),
            ..Default::default()
        },
        input: Vec::new(),
        ..world.new_run(ThreadId::new(Uuid::nil()), "")
    };
    match world.start(process, new, OnBusy::Reject).await {
        Started::Run(run) => *run,
        other => panic!("started, not {other:?}"),
    }
}

fn call(id: &str, name: &str, n: u32) -> ClientCall {
    ClientCall {
        id: CallId::from_client(id.to_owned()),
        name: name.to_owned(),
        arguments: serde_json::json!({ "n": n }),
    }
}

async fn execute(world: &World, process: &Process, run: &Run, call: ClientCall) -> Executed {
    process
        .engine
        .execute(&world.scope, run.id, call, SHORT)
        .await
        .expect("the session is open")
}

async fn a_call_asked_twice_at_once_has_one_effect_and_one_answer(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, SHORT * 100).await;
    assert_eq!(run.status(), RunStatus::Running);
    for round in 0..50 {
        let before = world.tools.effects().len();
        let id = format!("c{round}");
        let (one, two) = tokio::join!(
            execute(&world, &process, &run, call(&id, "pay", round)),
            execute(&world, &process, &run, call(&id, "pay", round)),
        );
        assert_eq!(one, two, "round {round}");
        assert_eq!(world.tools.effects().len(), before + 1, "round {round}");
        assert_eq!(
            execute(&world, &process, &run, call(&id, "pay", round)).await,
            one
        );
    }
    let steps = world
        .store
        .run_steps(&world.scope, run.id)
        .await
        .expect("the store answers");
    assert_eq!(steps.len(), 50, "a step a call");
}

async fn a_call_asked_again_after_a_crash_follows_its_effect(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, SHORT * 100).await;
    let (engine, scope, id) = (process.engine.clone(), world.scope.clone(), run.id);
    let asking = tokio::spawn(async move {
        let _ = engine
            .execute(&scope, id, call("c1", "keyed_slow", 1), SHORT)
            .await;
    });
    world
        .until("the effect", || async { world.tools.effects().len() == 1 })
        .await;
    process.kill();
    asking.abort();
    let process = world.process().await;
    world.tools.open(2);
    let answer = execute(&world, &process, &run, call("c1", "keyed_slow", 1)).await;
    assert!(
        matches!(
            answer,
            Executed::Settled {
                is_error: false,
                ..
            }
        ),
        "{answer:?}"
    );
    assert_eq!(
        world.tools.by_key().len(),
        1,
        "repeated, if at all, under its one key"
    );
}

async fn an_asker_waits_no_longer_than_its_patience_whatever_the_tool_does(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, SHORT * 100).await;
    let ask = |patience| {
        let call = call("c1", "pay_slow", 1);
        process.engine.execute(&world.scope, run.id, call, patience)
    };
    // The tool has had its effect and says nothing; each asks again, and nothing is done twice.
    for _ in 0..3 {
        let answer = ask(Duration::from_millis(100)).await.expect("an answer");
        assert_eq!(answer, Executed::Unfinished { step_index: 0 });
    }
    world.tools.open(1);
    let answer = ask(SHORT).await.expect("an answer");
    assert!(
        matches!(
            answer,
            Executed::Settled {
                is_error: false,
                ..
            }
        ),
        "{answer:?}"
    );
    assert_eq!(world.tools.effects().len(), 1);
}

async fn a_gated_call_runs_once_approved_and_is_answered_then(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, SHORT * 100).await;
    let asked = execute(&world, &process, &run, call("c1", "pay_ask", 1)).await;
    let Executed::Waiting {
        approval_id,
        step_index,
    } = asked.clone()
    else {
        panic!("it waits, not {asked:?}")
    };
    assert_eq!(
        execute(&world, &process, &run, call("c1", "pay_ask", 1)).await,
        asked
    );
    assert!(world.tools.effects().is_empty());
    let decision = Decision {
        choice: domain::approval::Choice::Approve,
        seen: None,
        reason: None,
        arguments: None,
        remember: None,
        by: world.principal(),
    };
    process
        .engine
        .resolve(&world.scope, approval_id, decision)
        .await
        .expect("it is open");
    let answer = execute(&world, &process, &run, call("c1", "pay_ask", 1)).await;
    assert!(
        matches!(answer, Executed::Settled { step_index: step, is_error: false, .. } if step == step_index),
        "{answer:?}"
    );
    assert_eq!(world.tools.effects().len(), 1);
}

async fn an_id_with_other_arguments_is_its_own_call_only_after_the_first(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, SHORT * 100).await;
    execute(&world, &process, &run, call("c1", "pay_ask", 1)).await;
    let taken = execute(&world, &process, &run, call("c1", "pay_ask", 2)).await;
    assert!(matches!(taken, Executed::IdTaken { .. }));
    execute(&world, &process, &run, call("c2", "pay", 1)).await;
    execute(&world, &process, &run, call("c2", "pay", 2)).await;
    assert_eq!(world.tools.effects().len(), 2);
}

async fn a_completed_session_refuses_calls_and_completes_again(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, SHORT * 100).await;
    for _ in 0..2 {
        let done =
            process
                .engine
                .complete_session(&world.scope, run.id, "ok".to_owned(), Some(-0.5));
        assert_eq!(
            done.await.expect("it is open or done").status(),
            RunStatus::Completed
        );
    }
    let late = process
        .engine
        .execute(&world.scope, run.id, call("c1", "pay", 1), SHORT)
        .await;
    assert!(matches!(
        late,
        Err(EngineError::Terminal {
            status: RunStatus::Completed
        })
    ));
    assert!(world.tools.effects().is_empty());
    world.check_ended(run.id).await;
}

async fn an_expired_session_is_over(world: World) {
    let process = world.process().await;
    let run = session(&world, &process, Duration::from_secs(60)).await;
    world.clock.advance(Duration::from_secs(61));
    let late = process
        .engine
        .execute(&world.scope, run.id, call("c1", "pay", 1), SHORT)
        .await;
    assert!(
        matches!(
            late,
            Err(EngineError::Terminal {
                status: RunStatus::Failed
            })
        ),
        "{late:?}"
    );
    assert_eq!(world.check_ended(run.id).await, RunStatus::Failed);
}

async fn a_thread_run_is_not_a_session(world: World) {
    let process = world.process().await;
    let run = world.begin(&process, "hi").await;
    let asked = process
        .engine
        .execute(&world.scope, run.id, call("c1", "pay", 1), SHORT)
        .await;
    assert!(matches!(asked, Err(EngineError::NotFound)));
    world.follow(&process, run.id, 0).await;
}
