//! Runs that another process takes or writes to while one drives them, and runs that nobody was told of.

use crate::approvals::decision;
use crate::fakes::Say;
use crate::on_both_stores;
use crate::world::World;
use domain::WorkerId;
use domain::event::EventBody;
use domain::ports::clock::Clock;
use domain::run::RunStatus;
use std::time::Duration;

on_both_stores!(
    a_driver_whose_run_was_taken_writes_nothing_more,
    a_run_that_nobody_was_told_of_is_found,
    watchers_are_told_what_another_process_wrote,
);

/// Much longer than the pause of a sweep.
const SOON: Duration = Duration::from_secs(20);

async fn a_driver_whose_run_was_taken_writes_nothing_more(world: World) {
    let process = world.process().await;
    world.model.play(|_| vec![Say::Text("words"), Say::Gate]);
    let run = world.begin(&process, "hi").await;
    let delta = |body: &EventBody| matches!(body, EventBody::MessageDelta { .. });
    world.follow_until(&process, run.id, 0, delta).await;
    let store = &world.store;
    let holder = process.engine.worker_id();
    store.system_release_worker(holder).await.expect("released");
    let other = WorkerId::new(world.clock.uuid());
    let registered = store.system_register_worker(other, SOON * 6).await;
    registered.expect("it is new");
    let taken = store.claim_run(&world.scope, run.id, other).await;
    let taken = taken.expect("the store works").expect("it is free").run;
    world.model.open(1);
    let ended = || async { process.engine.active_runs() == 0 };
    world.until("the driver's end", ended).await;
    let now = store.get_run(&world.scope, run.id).await;
    assert_eq!(now.expect("the store works"), Some(taken));
}

async fn a_run_that_nobody_was_told_of_is_found(world: World) {
    let dead = world.process().await;
    let model = world.model.clone();
    world.model.play(move |_| match model.count() {
        0 => vec![Say::Text("dead"), Say::Gate],
        _ => vec![Say::Text("alive")],
    });
    let run = world.begin(&dead, "hi").await;
    let delta = |body: &EventBody| matches!(body, EventBody::MessageDelta { .. });
    world.follow_until(&dead, run.id, 0, delta).await;
    let live = world.process().await;
    dead.kill();
    // Nobody tells the other process of it, and its first look came too early.
    let followed = tokio::time::timeout(SOON, world.follow(&live, run.id, 0)).await;
    assert!(followed.is_ok(), "the run was not taken up");
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
}

async fn watchers_are_told_what_another_process_wrote(world: World) {
    let (driver, other) = (world.process().await, world.process().await);
    world.model.play(|messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => vec![
            Say::Call("read_slow", "{}".to_owned()),
            Say::Call("pay_ask", "{}".to_owned()),
        ],
    });
    let run = world.begin(&driver, "go").await;
    let asked = |body: &EventBody| matches!(body, EventBody::ApprovalRequested { .. });
    let seen = world.follow_until(&driver, run.id, 0, asked).await;
    let Some(EventBody::ApprovalRequested { approval }) = seen.last().map(|event| &event.body)
    else {
        panic!("an approval was asked for");
    };
    let watched = world.follow(&driver, run.id, 0);
    let decided = async {
        let denied = decision(false, 1);
        let denied = other.engine.resolve(&world.scope, approval.id, denied);
        denied.await.expect("it is open");
        world.tools.open(1);
    };
    let (watched, ()) = tokio::join!(watched, decided);
    assert_eq!(watched, world.log(run.id).await);
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
}
