//! Processes that die, and others that take over.

use crate::fakes::Say;
use crate::on_both_stores;
use crate::world::{LEASE, World};
use domain::event::{Event, EventBody};
use domain::limits::TURN_EVENTS_MAX;
use domain::run::{Run, RunStatus};
use domain::tool::Effect;
use std::time::Duration;

on_both_stores!(
    a_run_cut_in_mid_turn_is_taken_over_and_its_numbers_are_not_used_again,
    a_watcher_of_the_dead_turn_gets_the_restart_and_then_the_rest,
    effects_after_a_crash_follow_what_the_tool_declared,
    many_open_runs_are_taken_up_after_a_start,
    a_live_worker_keeps_a_run_longer_than_a_lease,
    a_lease_is_renewed_while_every_thread_of_the_runs_is_held_up,
    a_run_whose_taking_was_never_heard_of_goes_on,
    a_drained_worker_hands_over_without_counting_a_crash,
    killing_at_random_moments_loses_and_doubles_nothing,
);

/// A run whose process died when it had told a word of its first turn, and what it had told. Its next attempt ends.
async fn died_in_mid_turn(world: &World) -> (Run, Vec<Event>) {
    let process = world.process().await;
    let model = world.model.clone();
    world.model.play(move |_| {
        if model.count() == 0 {
            vec![Say::Text("dead"), Say::Gate]
        } else {
            vec![Say::Text("alive")]
        }
    });
    let run = world.begin(&process, "hi").await;
    let told = world.follow_until(&process, run.id, 0, is_delta).await;
    process.kill();
    (run, told)
}

fn is_delta(body: &EventBody) -> bool {
    matches!(body, EventBody::MessageDelta { .. })
}

async fn a_run_cut_in_mid_turn_is_taken_over_and_its_numbers_are_not_used_again(world: World) {
    let (run, dead) = died_in_mid_turn(&world).await;
    let process = world.process().await;
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    let last_dead = dead.last().expect("a delta was told").seq;
    let log = world.log(run.id).await;
    let restart = log
        .iter()
        .find(|event| matches!(event.body, EventBody::TurnRestarted { .. }));
    assert!(restart.expect("it is told").seq >= TURN_EVENTS_MAX);
    assert!(
        log.iter().all(|event| event.seq != last_dead),
        "the dead delta's number is spent"
    );
}

async fn a_watcher_of_the_dead_turn_gets_the_restart_and_then_the_rest(world: World) {
    let (run, dead) = died_in_mid_turn(&world).await;
    let process = world.process().await;
    let rest = world
        .follow(&process, run.id, dead.last().expect("a delta").seq)
        .await;
    assert!(matches!(rest[0].body, EventBody::TurnRestarted { .. }));
    let first_delta = rest
        .iter()
        .find(|event| is_delta(&event.body))
        .expect("new text");
    assert!(matches!(&first_delta.body, EventBody::MessageDelta { delta, .. } if delta == "alive"));
    world.check_ended(run.id).await;
}

async fn effects_after_a_crash_follow_what_the_tool_declared(world: World) {
    for (tool, effect) in [
        ("read_slow", Effect::Idempotent),
        ("keyed_slow", Effect::Keyed),
        ("pay_slow", Effect::Unsafe),
    ] {
        let process = world.process().await;
        world.model.play(move |messages| match messages.last() {
            Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
            _ => vec![Say::Call(tool, "{}".to_owned())],
        });
        let run = world.begin(&process, "go").await;
        let sent = || async { world.tools.effects().iter().any(|e| e.tool == tool) };
        world.until("the effect", sent).await;
        process.kill();
        let process = world.process().await;
        // One for the repetition; the dead process's call took none.
        world.tools.open(usize::from(effect != Effect::Unsafe));
        let over = |body: &EventBody| {
            body.is_done()
                || matches!(
                    body,
                    EventBody::RunStatus {
                        status: RunStatus::AwaitingApproval
                    }
                )
        };
        world.follow_until(&process, run.id, 0, over).await;
        let effects: Vec<_> = world
            .tools
            .effects()
            .into_iter()
            .filter(|e| e.tool == tool)
            .collect();
        match effect {
            Effect::Idempotent | Effect::Keyed => {
                assert_eq!(effects.len(), 2, "{tool} may be repeated");
                assert_eq!(effects[0].key, effects[1].key, "with its key");
                assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
            }
            Effect::Unsafe => {
                assert_eq!(effects.len(), 1, "{tool} is never repeated");
                assert_eq!(
                    world.stored(run.id).await.status(),
                    RunStatus::AwaitingApproval
                );
            }
        }
        process.kill();
    }
}

async fn many_open_runs_are_taken_up_after_a_start(world: World) {
    let process = world.process().await;
    world.model.play(|_| vec![Say::Text("x"), Say::Gate]);
    let mut runs = Vec::new();
    for _ in 0..200 {
        runs.push(world.begin(&process, "hi").await);
    }
    process.kill();
    world.model.play(|_| vec![Say::Text("done")]);
    let process = world.process().await;
    for run in &runs {
        world.follow(&process, run.id, 0).await;
        assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    }
}

async fn a_live_worker_keeps_a_run_longer_than_a_lease(world: World) {
    // Long enough that a machine that is busy with other things renews it in time.
    let lease = LEASE * 6;
    let one = world.process_with_lease(lease).await;
    let two = world.process_with_lease(lease).await;
    world.model.play(|messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => vec![Say::Call("pay_slow", "{}".to_owned())],
    });
    let run = world.begin(&one, "go").await;
    world
        .until("the effect", || async { world.tools.effects().len() == 1 })
        .await;
    // A lease has room for four renewals.
    let before = one.engine.counts().lease_renewals;
    let renewed = || async { one.engine.counts().lease_renewals >= before + 6 };
    world.until("the lease's renewal", renewed).await;
    world.tools.open(1);
    world.follow(&two, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert_eq!(
        world.tools.effects().len(),
        1,
        "sent once, by the worker that had it all along"
    );
    drop(one);
}

/// More renewals than a lease has room for: it does not last on what was renewed before.
async fn a_lease_is_renewed_while_every_thread_of_the_runs_is_held_up(world: World) {
    let process = world.process().await;
    let held = process.block().await;
    let before = process.engine.counts().lease_renewals;
    world
        .until("the lease's renewal", || async {
            process.engine.counts().lease_renewals >= before + 8
        })
        .await;
    drop(held);
    let run = world.begin(&process, "hi").await;
    world.follow(&process, run.id, 0).await;
    world.check_ended(run.id).await;
}

/// The answer to the write that took it was lost: the store says that it is this worker's, and this worker knows nothing.
async fn a_run_whose_taking_was_never_heard_of_goes_on(world: World) {
    let (lost, _) = died_in_mid_turn(&world).await;
    // Its only place is taken, so that it takes nothing by itself.
    let process = world.process_with(1).await;
    world.model.play(|_| vec![Say::Gate, Say::Text("other")]);
    let other = world.begin(&process, "hi").await;
    let worker = process.engine.worker_id();
    world
        .until("the dead worker's lease's end", || async {
            let taken = world.store.claim_run(&world.scope, lost.id, worker).await;
            taken.expect("the store answers").is_some()
        })
        .await;
    world.model.open(1);
    world.follow(&process, other.id, 0).await;
    world.model.play(|_| vec![Say::Text("alive")]);
    world.follow(&process, lost.id, 0).await;
    assert_eq!(world.check_ended(lost.id).await, RunStatus::Completed);
}

async fn a_drained_worker_hands_over_without_counting_a_crash(world: World) {
    let process = world.process().await;
    let model = world.model.clone();
    world.model.play(move |_| {
        if model.count() == 0 {
            vec![Say::Text("first"), Say::Gate]
        } else {
            vec![Say::Text("second")]
        }
    });
    let run = world.begin(&process, "hi").await;
    let delta = |body: &EventBody| matches!(body, EventBody::MessageDelta { .. });
    world.follow_until(&process, run.id, 0, delta).await;
    process
        .engine
        .drain(Duration::from_millis(50))
        .await
        .expect("it drains");
    let refused = process.engine.start_run(
        &world.scope,
        engine::StartRun {
            new: world.new_run(world.thread().await, "late"),
            agent: world.agent(),
            on_busy: engine::OnBusy::Reject,
            on_waiting: None,
            idempotency: None,
        },
    );
    assert!(matches!(refused.await, Err(engine::EngineError::Draining)));
    let next = world.process().await;
    world.follow(&next, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert_eq!(world.stored(run.id).await.crashes, 0);
}

/// Processes are killed again and again at moments that nobody chose, with runs of every kind of tool under way.
async fn killing_at_random_moments_loses_and_doubles_nothing(world: World) {
    world.model.play(|messages| match messages.len() % 6 {
        1 => vec![
            Say::Text("a"),
            Say::Call("read", "{}".to_owned()),
            Say::Call("keyed", "{}".to_owned()),
            Say::Call("pay", "{}".to_owned()),
        ],
        _ => vec![Say::Text("b"), Say::Text("c")],
    });
    let mut process = world.process().await;
    let mut runs = Vec::new();
    for round in 0..30u64 {
        for _ in 0..4 {
            runs.push(world.begin(&process, "go").await);
        }
        tokio::time::sleep(Duration::from_micros(700 * (round % 13))).await;
        process.kill();
        process = world.process().await;
    }
    for run in &runs {
        let settled = || async {
            let status = world.stored(run.id).await.status();
            status.is_terminal() || status == RunStatus::AwaitingApproval
        };
        world.until("the run's rest", settled).await;
    }
    let effects = world.tools.effects();
    for effect in &effects {
        let same = effects
            .iter()
            .filter(|other| other.key == effect.key && other.tool == "pay");
        assert!(same.count() <= 1, "an unsafe effect was doubled");
    }
    for run in &runs {
        if world.stored(run.id).await.status().is_terminal() {
            world.check_ended(run.id).await;
        }
    }
}
