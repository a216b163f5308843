//! A server that is stopped between the commit that dispatches a call and its sending, for longer than its lease: the
//! other server has settled the call by the time it goes on, so it must not send it any more.

use crate::database::Database;
use proof::clients::{BASE, Client};
use proof::http::{Ask, PATIENCE};
use proof::kinds::Kind;
use proof::limit::{LIMIT, within};
use proof::program::{Program, Start};
use proof::world::{QUICK, World};
use serde_json::Value;
use std::time::{Duration, Instant};

/// What it says when it finds out: right before the sending, or already when it looks at the run.
const FOUND_OUT: [&str; 2] = [
    "a call was not sent",
    "the run went to another worker or ended",
];

/// A world in which the first server was stopped at the point, the second has ended the client's run, and the first has gone
/// on and found out.
async fn frozen(kind: Kind, point: &str) -> Frozen {
    let world = Database::Postgres.world().await.set(&QUICK);
    let second = world.start().await;
    let mut command = world.command();
    command
        .env("FAILPOINTS", format!("{point}=1*return(stop)"))
        .env("RUNYARD_LOG", "info");
    let first = match Program::start(command).await {
        Start::Ready(program) => *program,
        Start::Ended(status, said) => panic!("{point}: ended at its start, {status}: {said}"),
    };
    let tag = format!("frozen-{kind:?}");
    let mut client = Client::new(kind, tag.clone());
    let live = client.begin(first.address).await.expect("it begins");
    let finished = client.finish(&world, second.address).await;
    let finished = finished.unwrap_or_else(|complaint| panic!("{complaint}"));
    assert_eq!(finished.history.violations(), []);
    let before = world.ledger.entry(&tag);
    first.go_on().await;
    let until = Instant::now() + PATIENCE;
    while !FOUND_OUT.iter().any(|words| first.said().contains(words)) {
        assert!(
            Instant::now() < until,
            "it does not say so:\n{}",
            first.said()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.ledger.entry(&tag), before, "{}", first.said());
    let effects = client.effects(&world, second.address).await;
    let effects = effects.unwrap_or_else(|complaint| panic!("{complaint}"));
    assert_eq!(effects.violations(), []);
    drop(live);
    Frozen {
        _world: world,
        second,
        client,
        _first: first,
    }
}

struct Frozen {
    _world: World,
    second: Program,
    client: Client,
    _first: Program,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answer_that_a_stopped_server_has_in_hand_is_kept_beside_the_run() {
    within(LIMIT, async {
        let frozen = frozen(Kind::Unsafe, "tool.after_effect").await;
        let run = frozen.client.run.as_deref().expect("it has begun");
        let until = Instant::now() + PATIENCE;
        let step = loop {
            let asked = Ask::get(format!("{BASE}/runs/{run}"))
                .send(frozen.second.address)
                .await;
            let shown = asked.expect("it answers").body;
            let steps = shown["steps"].as_array().expect("a run has steps").clone();
            let its = |step: &Value| step["kind"] == "tool_call" && step["late_answers"].is_array();
            if let Some(step) = steps.into_iter().find(its) {
                break step;
            }
            assert!(Instant::now() < until, "no late answer: {shown}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        // A person had let it be, and nothing of that changes.
        assert_eq!(step["status"], "outcome_unknown");
        assert_eq!(step["attempt"], 1);
        let late = &step["late_answers"];
        assert_eq!(late.as_array().map(Vec::len), Some(1), "{late}");
        assert_eq!(late[0]["attempt"], 1);
        assert_eq!(late[0]["is_error"], false);
        assert_ne!(late[0]["output"], step["output"], "the tool's own words");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_was_stopped_before_an_unsafe_call_does_not_send_it_late() {
    within(LIMIT, async {
        frozen(Kind::Unsafe, "tool.after_dispatch_commit").await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_that_was_stopped_before_a_keyed_call_does_not_send_it_late() {
    within(LIMIT, async {
        // It is dispatched by the commit of the turn that asks for it.
        frozen(Kind::Keyed, "turn.after_commit").await;
    })
    .await;
}
