//! What a run has read is not forgotten when its server dies, nor by the next run of its thread: the call that completes
//! the three labels asks.

use crate::database::Database;
use proof::clients::{BASE, good};
use proof::http::{Ask, PATIENCE};
use proof::limit::{LIMIT, within};
use proof::world::{GATE, QUICK};
use scripted::{Reply, Script, reply};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Changes something, and runs by itself as long as the run has not read both kinds of things.
const CHANGE: (&str, &str) = ("plain", r#"{"tag":"change"}"#);

async fn post(address: SocketAddr, path: &str, body: &Value) -> Value {
    let answer = Ask::post(format!("{BASE}/{path}"), body).send(address);
    good(answer.await.expect("it answers")).expect("it is accepted")
}

async fn begin(address: SocketAddr, thread: &str, input: &str) -> String {
    let body = json!({ "input": input, "stream": false });
    let run = post(address, &format!("threads/{thread}/runs"), &body).await;
    run["id"].as_str().expect("an id").to_owned()
}

async fn until(address: SocketAddr, run: &str, status: &str) -> Value {
    let begun = Instant::now();
    loop {
        let asked = Ask::get(format!("{BASE}/runs/{run}")).send(address).await;
        let now = asked.and_then(good).unwrap_or_default();
        if now["status"] == status {
            return now;
        }
        assert!(begun.elapsed() < PATIENCE, "not {status}: {now}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The one question that a run waits for, which must be the rule's.
fn question(run: &Value) -> String {
    let [asked] = run["pending_approvals"].as_array().expect("a list")[..].as_ref() else {
        panic!("one question: {run}");
    };
    assert_eq!(asked["tool_name"], CHANGE.0, "{run}");
    let why = asked["why"].as_str().expect("text");
    assert!(why.contains("rule of two"), "{why}");
    asked["id"].as_str().expect("an id").to_owned()
}

async fn labels_outlive_their_server(database: Database) {
    let held = reply()
        .text("now ")
        .hold(GATE)
        .tool_call_made_up(CHANGE.0, CHANGE.1);
    let script = Script::replies([
        Reply::tool_call("recorded", r#"{"tag":"private"}"#),
        Reply::tool_call("lookup", r#"{"tag":"untrusted"}"#),
        held.build(),
        // Asked again by the server that takes over.
        Reply::tool_call(CHANGE.0, CHANGE.1),
        Reply::text("done"),
        // The next run of the thread begins with it.
        Reply::tool_call(CHANGE.0, CHANGE.1),
        Reply::text("as you wish"),
    ]);
    let world = database.world_with(script).await.set(&QUICK);
    let first = world.start().await;
    let thread = post(first.address, "threads", &json!({ "agent_type": "worker" })).await;
    let thread = thread["id"].as_str().expect("an id").to_owned();
    let run = begin(first.address, &thread, "go").await;
    let begun = Instant::now();
    while world.model.count() < 3 {
        assert!(begun.elapsed() < PATIENCE, "the third turn does not begin");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    first.kill().await;

    let second = world.start().await;
    let asked = question(&until(second.address, &run, "awaiting_approval").await);
    assert_eq!(
        world.ledger.entry("change").plain,
        0,
        "not without a person"
    );
    let resolve = format!("approvals/{asked}/resolve");
    post(second.address, &resolve, &json!({ "decision": "approve" })).await;
    until(second.address, &run, "completed").await;
    assert_eq!(world.ledger.entry("change").plain, 1);

    let next = begin(second.address, &thread, "again").await;
    let asked = question(&until(second.address, &next, "awaiting_approval").await);
    let resolve = format!("approvals/{asked}/resolve");
    post(second.address, &resolve, &json!({ "decision": "deny" })).await;
    until(second.address, &next, "completed").await;
    assert_eq!(world.ledger.entry("change").plain, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_outlive_their_server_on_sqlite() {
    within(LIMIT, labels_outlive_their_server(Database::Sqlite)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn labels_outlive_their_server_on_postgres() {
    within(LIMIT, labels_outlive_their_server(Database::Postgres)).await;
}
