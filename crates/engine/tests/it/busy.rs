//! Two requests for one thread.

use crate::fakes::Say;
use crate::on_both_stores;
use crate::world::World;
use domain::RunId;
use domain::event::EventBody;
use domain::run::RunStatus;
use engine::{OnBusy, Started};

on_both_stores!(
    a_second_run_is_refused_and_names_the_first,
    a_second_run_waits_its_turn_and_sees_the_first_ones_answer,
    an_interrupting_run_ends_the_first,
    a_cancelled_queued_run_never_starts,
    a_thousand_pairs_on_one_thread_leave_one_valid_history,
);

async fn a_second_run_is_refused_and_names_the_first(world: World) {
    let process = world.process().await;
    world.model.play(|_| vec![Say::Text("a"), Say::Gate]);
    let thread = world.thread().await;
    let first = world.new_run(thread, "one");
    world.start(&process, first.clone(), OnBusy::Reject).await;
    let second = world
        .start(&process, world.new_run(thread, "two"), OnBusy::Reject)
        .await;
    let Started::Busy { run_id, status } = second else {
        panic!("busy, not {second:?}")
    };
    assert_eq!((run_id, status), (first.id, RunStatus::Running));
    world.model.open(1);
    world.follow(&process, first.id, 0).await;
    world.check_ended(first.id).await;
}

async fn a_second_run_waits_its_turn_and_sees_the_first_ones_answer(world: World) {
    let process = world.process().await;
    world.model.play(|messages| match messages.len() {
        1 => vec![Say::Text("first"), Say::Gate],
        _ => vec![Say::Text("second")],
    });
    let thread = world.thread().await;
    let first = world.new_run(thread, "one");
    world.start(&process, first.clone(), OnBusy::Reject).await;
    let second = world.new_run(thread, "two");
    let queued = world.start(&process, second.clone(), OnBusy::Enqueue).await;
    assert!(matches!(queued, Started::Run(run) if run.status() == RunStatus::Queued));
    world.model.open(1);
    world.follow(&process, second.id, 0).await;
    world.check_ended(first.id).await;
    world.check_ended(second.id).await;
    let turns = world
        .model
        .turns
        .lock()
        .expect("no panic under this lock")
        .clone();
    let texts: Vec<String> = turns[1]
        .iter()
        .map(|message| message.content.text())
        .collect();
    assert_eq!(texts, ["one", "first", "two"]);
}

async fn an_interrupting_run_ends_the_first(world: World) {
    let process = world.process().await;
    world.model.play(|messages| match messages.len() {
        1 => vec![Say::Text("first"), Say::Gate],
        _ => vec![Say::Text("second")],
    });
    let thread = world.thread().await;
    let first = world.new_run(thread, "one");
    world.start(&process, first.clone(), OnBusy::Reject).await;
    let second = world.new_run(thread, "two");
    world
        .start(&process, second.clone(), OnBusy::Interrupt)
        .await;
    world.follow(&process, second.id, 0).await;
    assert_eq!(world.check_ended(first.id).await, RunStatus::Cancelled);
    assert_eq!(world.check_ended(second.id).await, RunStatus::Completed);
}

async fn a_cancelled_queued_run_never_starts(world: World) {
    let process = world.process().await;
    world.model.play(|_| vec![Say::Text("a"), Say::Gate]);
    let thread = world.thread().await;
    let first = world.new_run(thread, "one");
    world.start(&process, first.clone(), OnBusy::Reject).await;
    let second = world.new_run(thread, "two");
    world.start(&process, second.clone(), OnBusy::Enqueue).await;
    process
        .engine
        .cancel(&world.scope, second.id, None, None)
        .await
        .expect("it is open");
    world.model.open(1);
    world.follow(&process, first.id, 0).await;
    assert_eq!(world.check_ended(second.id).await, RunStatus::Cancelled);
    let log = world.log(second.id).await;
    let started = |body: &EventBody| {
        matches!(
            body,
            EventBody::RunStatus {
                status: RunStatus::Running
            }
        )
    };
    assert!(!log.iter().any(|event| started(&event.body)));
    let third = world.new_run(thread, "three");
    world.start(&process, third.clone(), OnBusy::Reject).await;
    world.model.open(1);
    world.follow(&process, third.id, 0).await;
    world.check_ended(third.id).await;
}

/// A thousand times two requests at once: one runs, the other is refused or waits, as it asked; every history that the
/// model is given is valid (the fake model checks it).
async fn a_thousand_pairs_on_one_thread_leave_one_valid_history(world: World) {
    let process = world.process().await;
    world.model.play(|messages| match messages.last() {
        Some(last) if last.tool_call_id.is_none() && messages.len() % 3 == 0 => {
            vec![Say::Call("read", "{}".to_owned())]
        }
        _ => vec![Say::Text("ok")],
    });
    let threads = 20;
    for _ in 0..threads {
        let thread = world.thread().await;
        let mut runs: Vec<RunId> = Vec::new();
        for pair in 0..50 {
            let other = if pair % 2 == 0 {
                OnBusy::Reject
            } else {
                OnBusy::Enqueue
            };
            let (one, two) = (world.new_run(thread, "one"), world.new_run(thread, "two"));
            let (first, second) = tokio::join!(
                world.start(&process, one, OnBusy::Reject),
                world.start(&process, two, other),
            );
            let started = [first, second]
                .into_iter()
                .filter_map(|started| match started {
                    Started::Run(run) => Some(run.id),
                    Started::Busy { .. } => None,
                    other => panic!("started or busy, not {other:?}"),
                });
            let started: Vec<RunId> = started.collect();
            assert!(!started.is_empty(), "one of two always gets the thread");
            for run in &started {
                world.follow(&process, *run, 0).await;
            }
            runs.extend(started);
        }
        for run in &runs {
            assert_eq!(world.check_ended(*run).await, RunStatus::Completed);
        }
        let messages = world.store.thread_messages(&world.scope, thread).await;
        let users = messages
            .expect("the store answers")
            .iter()
            .filter(|message| message.role == domain::message::Role::User)
            .count();
        assert_eq!(
            users,
            runs.len(),
            "each accepted run's message is there once"
        );
    }
}
