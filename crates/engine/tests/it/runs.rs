//! Runs from start to end: events, tools, failures, cancel.

use crate::fakes::Say;
use crate::on_both_stores;
use crate::world::World;
use domain::event::EventBody;
use domain::run::{RunState, RunStatus};
use domain::step::{StepKind, StepStatus};
use domain::tool::Effect;
use engine::Followed;
use futures::{FutureExt, StreamExt};
use std::sync::Arc;

on_both_stores!(
    a_run_streams_and_the_log_tells_the_same_again,
    a_tool_turn_records_its_steps_and_results,
    parallel_calls_keep_the_order_asked,
    a_turn_that_fails_after_its_first_token_is_made_again_visibly,
    a_turn_that_fails_before_its_first_token_fails_the_run,
    unreadable_arguments_are_told_to_the_model_and_run_nothing,
    cancel_in_mid_turn_keeps_the_text_and_stops,
    cancel_while_a_tool_runs_dispatches_nothing_more,
    a_panic_costs_only_its_own_run,
    a_time_budget_ends_the_run,
    a_slow_watcher_misses_nothing,
    watchers_of_what_is_stored_hold_one_copy,
    a_watcher_that_is_not_run_holds_up_no_other,
    runs_beyond_the_room_wait_and_then_run,
);

async fn a_run_streams_and_the_log_tells_the_same_again(world: World) {
    let process = world.process().await;
    let run = world.begin(&process, "hi").await;
    let told = world.follow(&process, run.id, 0).await;
    let types: Vec<_> = told.iter().map(|event| event.body.type_name()).collect();
    assert_eq!(
        types[..4],
        [
            "run_created",
            "run_status",
            "message_delta",
            "message_delta"
        ]
    );
    assert_eq!(types.last(), Some(&"done"));
    assert_eq!(world.log(run.id).await, told);
    for cursor in 0..told.len() {
        let rest = world.follow(&process, run.id, told[cursor].seq).await;
        assert_eq!(rest, told[cursor + 1..], "the rest after event {cursor}");
    }
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
}

fn tool_then_answer(
    calls: Vec<(&'static str, String)>,
) -> impl Fn(&[std::sync::Arc<domain::message::Message>]) -> Vec<Say> {
    move |messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => calls
            .iter()
            .map(|(name, arguments)| Say::Call(name, arguments.clone()))
            .collect(),
    }
}

async fn a_tool_turn_records_its_steps_and_results(world: World) {
    let process = world.process().await;
    world
        .model
        .play(tool_then_answer(vec![("pay", "{\"n\":1}".to_owned())]));
    let run = world.begin(&process, "pay").await;
    world.follow(&process, run.id, 0).await;
    world.check_ended(run.id).await;
    let steps = world
        .store
        .run_steps(&world.scope, run.id)
        .await
        .expect("the store answers");
    let seen: Vec<_> = steps
        .iter()
        .map(|step| (step.step_index, step.kind, step.status))
        .collect();
    assert_eq!(
        seen,
        [
            (0, StepKind::ModelTurn, StepStatus::Completed),
            (1, StepKind::ToolCall, StepStatus::Committed),
            (2, StepKind::ModelTurn, StepStatus::Completed),
        ]
    );
    assert_eq!(
        steps[1].call.as_ref().map(|call| call.effect),
        Some(Effect::Unsafe)
    );
    assert_eq!(world.tools.effects().len(), 1);
    assert_eq!(world.stored(run.id).await.usage.total_tokens(), 20);
}

async fn parallel_calls_keep_the_order_asked(world: World) {
    let process = world.process().await;
    let calls = vec![
        ("read_slow", "{}".to_owned()),
        ("read_b", "{}".to_owned()),
        ("pay", "{}".to_owned()),
    ];
    world.model.play(tool_then_answer(calls));
    let run = world.begin(&process, "all").await;
    let two_done = |body: &EventBody| matches!(body, EventBody::ToolCallCompleted { tool_name, .. } if tool_name != "read_slow");
    world.follow_until(&process, run.id, 0, two_done).await;
    world.tools.open(1);
    world.follow(&process, run.id, 0).await;
    let turns = world
        .model
        .turns
        .lock()
        .expect("no panic under this lock")
        .clone();
    let results: Vec<String> = turns[1][2..]
        .iter()
        .map(|message| message.content.text())
        .collect();
    assert_eq!(
        results,
        [
            "{\"tool\":\"read_slow\"}",
            "{\"tool\":\"read_b\"}",
            "{\"tool\":\"pay\"}"
        ]
    );
    world.check_ended(run.id).await;
}

async fn a_turn_that_fails_after_its_first_token_is_made_again_visibly(world: World) {
    let process = world.process().await;
    let model = world.model.clone();
    world.model.play(move |_| {
        if model.count() == 0 {
            vec![Say::Text("half"), Say::Fail { retry: true }]
        } else {
            vec![Say::Text("whole")]
        }
    });
    let run = world.begin(&process, "hi").await;
    let told = world.follow(&process, run.id, 0).await;
    let types: Vec<_> = told.iter().map(|event| event.body.type_name()).collect();
    assert_eq!(
        types[2..5],
        ["message_delta", "turn_restarted", "message_delta"]
    );
    assert_eq!(
        world.log(run.id).await,
        told,
        "void text is told again as it was"
    );
    let RunState::Completed { summary, .. } = world.stored(run.id).await.state else {
        panic!("completed")
    };
    assert_eq!(
        summary.as_deref(),
        Some("whole"),
        "texts of two attempts are never joined"
    );
    world.check_ended(run.id).await;
}

async fn a_turn_that_fails_before_its_first_token_fails_the_run(world: World) {
    let process = world.process().await;
    world.model.play(|_| vec![Say::Fail { retry: true }]);
    let run = world.begin(&process, "hi").await;
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Failed);
    assert_eq!(world.model.count(), 1, "the lanes had their retries");
}

async fn unreadable_arguments_are_told_to_the_model_and_run_nothing(world: World) {
    let process = world.process().await;
    world
        .model
        .play(tool_then_answer(vec![("pay", "{\"n\":".to_owned())]));
    let run = world.begin(&process, "pay").await;
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert!(world.tools.effects().is_empty());
    let turns = world
        .model
        .turns
        .lock()
        .expect("no panic under this lock")
        .clone();
    assert!(turns[1].last().is_some_and(|message| message.is_error));
}

async fn cancel_in_mid_turn_keeps_the_text_and_stops(world: World) {
    let process = world.process().await;
    world
        .model
        .play(|_| vec![Say::Text("partly"), Say::Gate, Say::Text("never")]);
    let run = world.begin(&process, "hi").await;
    let delta = |body: &EventBody| matches!(body, EventBody::MessageDelta { .. });
    let mut told = world.follow_until(&process, run.id, 0, delta).await;
    let cancelled = process
        .engine
        .cancel(&world.scope, run.id, None, None)
        .await
        .expect("it is open");
    assert_eq!(cancelled.status(), RunStatus::Cancelled);
    let last = told.last().expect("a delta was told").seq;
    told.extend(world.follow(&process, run.id, last).await);
    assert_eq!(world.log(run.id).await, told);
    assert_eq!(world.check_ended(run.id).await, RunStatus::Cancelled);
    let again = process
        .engine
        .cancel(&world.scope, run.id, None, None)
        .await
        .expect("harmless");
    assert_eq!(again, world.stored(run.id).await);
}

async fn cancel_while_a_tool_runs_dispatches_nothing_more(world: World) {
    let process = world.process().await;
    let calls = vec![("pay_slow", "{}".to_owned())];
    world.model.play(tool_then_answer(calls));
    let run = world.begin(&process, "pay").await;
    world
        .until("the tool's effect", || async {
            world.tools.effects().len() == 1
        })
        .await;
    process
        .engine
        .cancel(&world.scope, run.id, Some("stop".to_owned()), None)
        .await
        .expect("it is open");
    world.tools.open(1);
    assert_eq!(world.check_ended(run.id).await, RunStatus::Cancelled);
    let steps = world
        .store
        .run_steps(&world.scope, run.id)
        .await
        .expect("the store answers");
    assert_eq!(
        steps[1].status,
        StepStatus::OutcomeUnknown,
        "it was sent; nobody knows"
    );
    assert_eq!((world.tools.effects().len(), world.model.count()), (1, 1));
}

async fn a_panic_costs_only_its_own_run(world: World) {
    let process = world.process().await;
    world
        .model
        .play(|messages| match messages[0].content.text().as_str() {
            "bad" => vec![Say::Text("x"), Say::Panic],
            _ => vec![Say::Text("fine")],
        });
    let bad = world.begin(&process, "bad").await;
    let good = world.begin(&process, "good").await;
    world.follow(&process, good.id, 0).await;
    assert_eq!(world.check_ended(good.id).await, RunStatus::Completed);
    world
        .until("the bad run's end", || async {
            world.stored(bad.id).await.status().is_terminal()
        })
        .await;
    let RunState::Failed { error, .. } = world.stored(bad.id).await.state else {
        panic!("failed")
    };
    assert_eq!(error.code, domain::failure::FailureCode::Poisoned);
    world.check_ended(bad.id).await;
}

async fn a_time_budget_ends_the_run(world: World) {
    let process = world.process().await;
    world.model.play(|_| vec![Say::Text("partly"), Say::Gate]);
    let thread = world.thread().await;
    let mut new = world.new_run(thread, "hi");
    new.request.budget.timeout_s = Some(1);
    world
        .start(&process, new.clone(), engine::OnBusy::Reject)
        .await;
    world.follow(&process, new.id, 0).await;
    let RunState::Failed { error, .. } = world.stored(new.id).await.state else {
        panic!("failed")
    };
    assert_eq!(error.code, domain::failure::FailureCode::BudgetTime);
    world.check_ended(new.id).await;
}

async fn a_slow_watcher_misses_nothing(world: World) {
    let process = world.process().await;
    // More turns than a feed keeps events for, so that the store has to help.
    world.model.play(|messages| {
        if messages.len() > 120 {
            vec![Say::Text("end")]
        } else {
            vec![Say::Text("x"), Say::Call("read", "{}".to_owned())]
        }
    });
    let run = world.begin(&process, "long").await;
    let first = world.follow_until(&process, run.id, 0, |_| true).await;
    world
        .until("the run's end", || async {
            world.stored(run.id).await.status().is_terminal()
        })
        .await;
    let mut told = first;
    told.extend(world.follow(&process, run.id, told[0].seq).await);
    assert_eq!(world.log(run.id).await, told);
    world.check_ended(run.id).await;
}

async fn runs_beyond_the_room_wait_and_then_run(world: World) {
    let process = world.process_with(1).await;
    world.model.play(|_| vec![Say::Text("x"), Say::Gate]);
    let mut runs = Vec::new();
    for _ in 0..4 {
        runs.push(world.begin(&process, "hi").await);
    }
    let queued = runs
        .iter()
        .filter(|run| run.status() == RunStatus::Queued)
        .count();
    assert_eq!(queued, 3, "said to be queued, because they are");
    assert_eq!(process.engine.active_runs(), 1);
    world.model.open(4);
    for run in &runs {
        world.follow(&process, run.id, 0).await;
        assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    }
}

async fn watchers_of_what_is_stored_hold_one_copy(world: World) {
    let process = world.process().await;
    let run = world.begin(&process, "hi").await;
    let told = world.follow(&process, run.id, 0).await;
    world.check_ended(run.id).await;
    let watch = |after| Box::pin(process.engine.follow(&world.scope, run.id, after, true));
    // The second begins in the middle of the turn's deltas, which are one record.
    let (mut one, mut two) = (watch(0), watch(told[2].seq));
    let mut held = Vec::new();
    for watcher in [&mut one, &mut two] {
        let first = watcher.next().await.expect("there is news");
        let Followed::Events(events) = first.expect("the store answers") else {
            panic!("nobody goes away");
        };
        held.push(events);
    }
    assert_eq!(held[0].len(), told.len());
    assert_eq!(held[1].len(), told.len() - 3);
    for (one, two) in held[0][3..].iter().zip(&held[1]) {
        assert!(Arc::ptr_eq(one, two), "two copies of event {}", one.seq);
    }
}

/// A client that does not read leaves its stream where it is, also in the middle of a look into the store.
async fn a_watcher_that_is_not_run_holds_up_no_other(world: World) {
    let process = world.process().await;
    let run = world.begin(&process, "hi").await;
    let told = world.follow(&process, run.id, 0).await;
    world.check_ended(run.id).await;
    let mut idle = Box::pin(process.engine.follow(&world.scope, run.id, 0, true));
    assert!(
        idle.next().now_or_never().is_none(),
        "the store takes a while"
    );
    assert_eq!(world.follow(&process, run.id, 0).await, told);
    drop(idle);
}
