//! Grants stand in for people, for exactly as long as they may.

use crate::fakes::Say;
use crate::on_both_stores;
use crate::world::{Process, World};
use domain::approval::{ApprovalStatus, Decision};
use domain::event::EventBody;
use domain::grant::{Grant, Remember};
use domain::ports::store::{ApprovalFilter, Page};
use domain::run::{Run, RunStatus};
use engine::EngineError;
use std::time::Duration;

on_both_stores!(
    a_granted_call_runs_without_asking_and_is_counted_once,
    a_grant_revoked_between_decision_and_dispatch_lets_nothing_through,
    two_calls_for_one_last_use_are_told_apart,
    a_crash_around_a_granted_dispatch_neither_loses_nor_doubles_its_use,
    a_grant_does_not_answer_for_another_definition,
    what_no_predicate_allows_is_not_remembered,
);

const PAGE: Page = Page {
    limit: 50,
    below: None,
};

/// One turn with these calls, then the end.
fn play(world: &World, calls: &'static [&'static str]) {
    world.model.play(move |messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("done")],
        _ => calls
            .iter()
            .map(|name| Say::Call(name, "{}".to_owned()))
            .collect(),
    });
}

/// Runs until somebody is asked or it is over; whether somebody is asked.
async fn is_asked(world: &World, process: &Process) -> (Run, bool) {
    let run = world.begin(process, "go").await;
    let halts = |body: &EventBody| {
        let waits = matches!(
            body,
            EventBody::RunStatus {
                status: RunStatus::AwaitingApproval
            }
        );
        waits || body.is_done()
    };
    let events = world.follow_until(process, run.id, 0, halts).await;
    let over = events.last().is_some_and(|event| event.body.is_done());
    (run, !over)
}

async fn approve(
    world: &World,
    process: &Process,
    run: &Run,
    remember: Option<Remember>,
) -> Result<(), EngineError> {
    let filter = ApprovalFilter {
        status: Some(ApprovalStatus::Pending),
        run: Some(run.id),
    };
    let pending = world.store.list_approvals(&world.scope, &filter, PAGE);
    let pending = pending.await.expect("it answers");
    let decision = Decision {
        choice: domain::approval::Choice::Approve,
        seen: None,
        reason: None,
        arguments: None,
        remember,
        by: world.principal(),
    };
    let engine = &process.engine;
    engine
        .resolve(&world.scope, pending[0].id, decision)
        .await
        .map(|_| ())
}

fn remember(uses: u32) -> Remember {
    Remember {
        predicate: "holds".to_owned(),
        ttl: Duration::from_secs(3600),
        uses,
    }
}

/// Has a call of the tool approved and remembered.
async fn granted(world: &World, process: &Process, tool: &'static [&'static str], uses: u32) {
    play(world, tool);
    let (run, asked) = is_asked(world, process).await;
    assert!(asked);
    approve(world, process, &run, Some(remember(uses)))
        .await
        .expect("open");
    world.follow(process, run.id, 0).await;
}

async fn grant(world: &World) -> Grant {
    let grants = world.store.list_grants(&world.scope, PAGE).await;
    let mut grants = grants.expect("it answers");
    assert_eq!(grants.len(), 1);
    grants.remove(0)
}

async fn a_granted_call_runs_without_asking_and_is_counted_once(world: World) {
    let process = world.process().await;
    granted(&world, &process, &["pay_ask"], 2).await;
    for used in 1..=2 {
        let (run, asked) = is_asked(&world, &process).await;
        assert!(!asked);
        assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
        assert_eq!(grant(&world).await.used, used);
    }
    let (_, asked) = is_asked(&world, &process).await;
    assert!(asked, "it is used up");
    assert_eq!(world.tools.effects().len(), 3);
}

async fn a_grant_revoked_between_decision_and_dispatch_lets_nothing_through(world: World) {
    let process = world.process().await;
    granted(&world, &process, &["pay_ask"], 9).await;
    world.tools.hold_predicates();
    let run = world.begin(&process, "go").await;
    let tools = world.tools.clone();
    world
        .until("the predicate is asked", || {
            let tools = tools.clone();
            async move { tools.predicates_asked() > 0 }
        })
        .await;
    let id = grant(&world).await.id;
    let by = world.principal();
    let now = domain::ports::clock::Clock::now(&*world.clock);
    let revoked = world.store.revoke_grant(&world.scope, id, &by, now).await;
    assert!(revoked.expect("it answers").is_some());
    world.tools.release_predicates();
    let waits = |body: &EventBody| {
        matches!(
            body,
            EventBody::RunStatus {
                status: RunStatus::AwaitingApproval
            }
        )
    };
    let events = world.follow_until(&process, run.id, 0, waits).await;
    let asked = events.iter().find_map(|event| match &event.body {
        EventBody::ApprovalRequested { approval } => Some(approval.why.clone()),
        _ => None,
    });
    assert!(asked.expect("a person is asked").contains("revoked"));
    assert_eq!(world.tools.effects().len(), 1, "only the approved one ran");
    assert_eq!(grant(&world).await.used, 0);
    approve(&world, &process, &run, None).await.expect("open");
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert_eq!(world.tools.effects().len(), 2);
}

async fn two_calls_for_one_last_use_are_told_apart(world: World) {
    let process = world.process().await;
    granted(&world, &process, &["pay_ask"], 1).await;
    play(&world, &["pay_ask", "pay_ask"]);
    let (run, asked) = is_asked(&world, &process).await;
    assert!(asked);
    approve(&world, &process, &run, None).await.expect("open");
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert_eq!(grant(&world).await.used, 1);
    assert_eq!(world.tools.effects().len(), 3);
}

async fn a_crash_around_a_granted_dispatch_neither_loses_nor_doubles_its_use(world: World) {
    let process = world.process().await;
    granted(&world, &process, &["keyed_slow_ask"], 9).await;
    let before = world.tools.effects().len();
    world.tools.hold_answers();
    let run = world.begin(&process, "go").await;
    let tools = world.tools.clone();
    world
        .until("the call is under way", || {
            let tools = tools.clone();
            async move { tools.effects().len() > before }
        })
        .await;
    process.kill();
    world.tools.release_answers();
    let process = world.process().await;
    world.follow(&process, run.id, 0).await;
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert_eq!(grant(&world).await.used, 1);
    let uses = world.store.grant_uses(&world.scope, grant(&world).await.id);
    assert_eq!(uses.await.expect("it answers").len(), 1);
    let keys: Vec<String> = world.tools.effects()[before..]
        .iter()
        .map(|effect| effect.key.clone())
        .collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "one call, one key");
}

async fn a_grant_does_not_answer_for_another_definition(world: World) {
    let process = world.process().await;
    granted(&world, &process, &["pay_ask"], 9).await;
    world.tools.redefine("2");
    let (_, asked) = is_asked(&world, &process).await;
    assert!(asked);
    assert_eq!(grant(&world).await.used, 0);
}

async fn what_no_predicate_allows_is_not_remembered(world: World) {
    let process = world.process().await;
    play(&world, &["pay_ask"]);
    let (run, asked) = is_asked(&world, &process).await;
    assert!(asked);
    let never = Remember {
        predicate: "never".to_owned(),
        ..remember(1)
    };
    let refused = approve(&world, &process, &run, Some(never)).await;
    assert!(
        matches!(refused, Err(EngineError::InvalidGrant { .. })),
        "{refused:?}"
    );
    play(&world, &["pay_always_ask"]);
    let (run, asked) = is_asked(&world, &process).await;
    assert!(asked);
    let refused = approve(&world, &process, &run, Some(remember(1))).await;
    assert!(
        matches!(refused, Err(EngineError::InvalidGrant { .. })),
        "{refused:?}"
    );
}
