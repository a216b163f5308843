//! Servers that share a store and talk over NATS: what one drives, any other shows, stops and decides, at once; and
//! without NATS the same, a little later.

use crate::fakes::Say;
use crate::on_both_stores;
use crate::world::{PATIENCE, World, settings};
use domain::approval::{Choice, Decision};
use domain::event::{Event, EventBody};
use domain::run::RunStatus;
use engine::EngineSettings;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

on_both_stores!(
    words_in_flight_reach_a_watcher_at_another_server,
    a_cancel_at_another_server_ends_the_model_call,
    a_run_without_a_place_is_taken_by_another_server,
    a_server_that_stops_hands_its_runs_over,
    a_decision_at_another_server_is_taken_up,
    streams_of_other_servers_are_the_same_at_every_cursor,
    without_nats_the_store_tells_the_same,
);

/// Longer than a test: whatever happens before was told over NATS.
const NEVER: Duration = Duration::from_secs(3600);

fn nats() -> String {
    std::env::var("RUNYARD_TEST_NATS").unwrap_or_else(|_| "nats://127.0.0.1:4222".to_owned())
}

fn bus(url: &str) -> bus::Settings {
    bus::Settings {
        url: url.to_owned(),
        prefix: format!("test-{}", Uuid::now_v7().simple()),
        credentials: None,
    }
}

/// Looks into the store only when told to.
fn deaf() -> EngineSettings {
    EngineSettings {
        sweep: NEVER,
        remote_poll: Some(NEVER),
        lease: NEVER,
        heartbeat: NEVER,
        ..settings()
    }
}

fn no_places(settings: EngineSettings) -> EngineSettings {
    EngineSettings {
        active_runs_max: 0,
        ..settings
    }
}

fn two_words(world: &World) {
    world
        .model
        .play(|_| vec![Say::Text("one "), Say::Gate, Say::Text("two")]);
}

fn is_delta(body: &EventBody) -> bool {
    matches!(body, EventBody::MessageDelta { .. })
}

async fn words_in_flight_reach_a_watcher_at_another_server(world: World) {
    // So many that a busy machine hears one before they end.
    const WORDS: usize = 3_000;
    let bus = bus(&nats());
    let driver = world.process_as(deaf(), Some(bus.clone())).await;
    let other = world.process_as(deaf(), Some(bus)).await;
    world.model.play(|_| {
        let words = std::iter::repeat_n([Say::Gate, Say::Text("word ")], WORDS);
        words.flatten().collect()
    });
    let run = world.begin(&driver, "go").await;
    let speaking = async {
        for _ in 1..WORDS {
            world.model.open(1);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        std::future::pending::<()>().await;
    };
    let seen = tokio::select! {
        seen = world.follow_until(&other, run.id, 0, is_delta) => seen,
        () = speaking => unreachable!("it speaks until the word is heard"),
    };
    assert!(seen.last().is_some_and(|event| is_delta(&event.body)));
    let stored = world.log(run.id).await;
    assert!(!stored.iter().any(|event| is_delta(&event.body)));
    world.model.open(WORDS);
    let events = world.follow(&other, run.id, 0).await;
    assert_eq!(events, world.log(run.id).await);
    assert_eq!(events[..seen.len()], seen);
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
}

async fn a_cancel_at_another_server_ends_the_model_call(world: World) {
    let bus = bus(&nats());
    let driver = world.process_as(deaf(), Some(bus.clone())).await;
    let other = world.process_as(deaf(), Some(bus)).await;
    two_words(&world);
    let run = world.begin(&driver, "go").await;
    let seen = world.follow_until(&driver, run.id, 0, is_delta).await;
    other
        .engine
        .cancel(&world.scope, run.id, None, None)
        .await
        .expect("it is cancelled");
    // The gate stays shut: the model would never have answered.
    world
        .until("the end of the model call", || async {
            driver.engine.active_runs() == 0
        })
        .await;
    let rest = world
        .follow(&driver, run.id, seen.last().expect("words came").seq)
        .await;
    assert!(rest.last().is_some_and(|event| event.body.is_done()));
    assert_eq!(world.check_ended(run.id).await, RunStatus::Cancelled);
}

async fn a_run_without_a_place_is_taken_by_another_server(world: World) {
    let bus = bus(&nats());
    let full = world.process_as(no_places(deaf()), Some(bus.clone())).await;
    let free = world.process_as(deaf(), Some(bus)).await;
    two_words(&world);
    world.model.open(1);
    let run = world.begin(&full, "go").await;
    let events = world.follow(&full, run.id, 0).await;
    assert_eq!(events, world.log(run.id).await);
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert_eq!(free.engine.active_runs(), 0);
}

async fn a_server_that_stops_hands_its_runs_over(world: World) {
    let bus = bus(&nats());
    let leaving = world.process_as(deaf(), Some(bus.clone())).await;
    let staying = world.process_as(deaf(), Some(bus)).await;
    two_words(&world);
    let run = world.begin(&leaving, "go").await;
    world.follow_until(&leaving, run.id, 0, is_delta).await;
    leaving
        .engine
        .drain(Duration::ZERO)
        .await
        .expect("it lets go");
    world.model.open(2);
    let events = world.follow(&staying, run.id, 0).await;
    assert_eq!(events, world.log(run.id).await);
    let restarted = |event: &&Event| matches!(event.body, EventBody::TurnRestarted { .. });
    assert_eq!(events.iter().filter(restarted).count(), 1);
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
}

async fn a_decision_at_another_server_is_taken_up(world: World) {
    let bus = bus(&nats());
    let asker = world.process_as(deaf(), Some(bus.clone())).await;
    let other = world.process_as(no_places(deaf()), Some(bus)).await;
    world.model.play(|messages| match messages.last() {
        Some(message) if message.tool_call_id.is_some() => vec![Say::Text("paid")],
        _ => vec![Say::Call("pay_ask", "{}".to_owned())],
    });
    let run = world.begin(&asker, "go").await;
    let asked = |body: &EventBody| matches!(body, EventBody::ApprovalRequested { .. });
    let seen = world.follow_until(&other, run.id, 0, asked).await;
    let Some(EventBody::ApprovalRequested { approval }) = seen.last().map(|event| &event.body)
    else {
        panic!("an approval was asked for");
    };
    let decision = Decision {
        choice: Choice::Approve,
        reason: None,
        arguments: None,
        remember: None,
        seen: None,
        by: world.principal(),
    };
    // The one that decides has no place for the run: the one that has must be told of it.
    other
        .engine
        .resolve(&world.scope, approval.id, decision)
        .await
        .expect("it is approved");
    let events = world.follow(&other, run.id, 0).await;
    assert_eq!(events, world.log(run.id).await);
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
    assert_eq!(world.tools.effects().len(), 1);
}

async fn streams_of_other_servers_are_the_same_at_every_cursor(world: World) {
    let bus = bus(&nats());
    let driver = world.process_as(settings(), Some(bus.clone())).await;
    let other = world.process_as(settings(), Some(bus)).await;
    world.model.play(|_| {
        let mut words = vec![Say::Text("a "); 20];
        words.push(Say::Gate);
        words.extend(vec![Say::Text("b "); 20]);
        words
    });
    let run = world.begin(&driver, "go").await;
    let cursors: Vec<u64> = (0..24).collect();
    let watchers = futures::future::join_all(
        cursors
            .iter()
            .map(|after| world.follow(&other, run.id, *after)),
    );
    let opening = async {
        world.follow_until(&driver, run.id, 20, is_delta).await;
        world.model.open(1);
    };
    let (streams, ()) = tokio::join!(watchers, opening);
    let log = world.log(run.id).await;
    for (after, stream) in cursors.iter().zip(streams) {
        let rest: Vec<Event> = log
            .iter()
            .filter(|event| event.seq > *after)
            .cloned()
            .collect();
        assert_eq!(stream, rest, "after {after}");
    }
}

async fn without_nats_the_store_tells_the_same(world: World) {
    let proxy = Proxy::start().await;
    let bus = bus(&proxy.url);
    let driver = world.process_as(settings(), Some(bus.clone())).await;
    let other = world.process_as(settings(), Some(bus)).await;
    two_words(&world);
    let run = world.begin(&driver, "go").await;
    world.follow_until(&driver, run.id, 0, is_delta).await;
    proxy.cut.cancel();
    world.model.open(1);
    let events = tokio::time::timeout(PATIENCE / 2, world.follow(&other, run.id, 0))
        .await
        .expect("the stream ends without NATS");
    assert_eq!(events, world.log(run.id).await);
    assert_eq!(world.check_ended(run.id).await, RunStatus::Completed);
}

/// A way to NATS that can be cut for good.
struct Proxy {
    url: String,
    cut: CancellationToken,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let cut = CancellationToken::new();
        let target = nats().trim_start_matches("nats://").to_owned();
        let until = cut.clone();
        tokio::spawn(async move {
            loop {
                let Some(Ok((mut near, _))) = until.run_until_cancelled(listener.accept()).await
                else {
                    return;
                };
                let (until, target) = (until.clone(), target.clone());
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(target).await.expect("NATS is there");
                    let both = copy_bidirectional(&mut near, &mut far);
                    until.run_until_cancelled(both).await
                });
            }
        });
        Self {
            url: format!("nats://{address}"),
            cut,
        }
    }
}
