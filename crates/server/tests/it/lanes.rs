//! Lanes as the API shows them.

use crate::on_both_stores;
use crate::scratch::Database;
use crate::sessions::begin;
use crate::world::{RIVAL, World, run_with_spare};
use domain::agent::DataPolicy;
use domain::key::Role;
use scripted::{CutAt, CutHow, Script, reply};
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores!(
    lanes_show_health_traffic_and_latency,
    a_session_moves_to_the_server_and_back_in_one_run,
    content_of_a_device_never_leaves_it,
    a_decision_is_explained_without_being_made,
);

const LANES: &str = "/api/v1/agents/lanes";

async fn lanes_show_health_traffic_and_latency(world: Arc<World>) {
    let fresh = world.get(LANES).await.ok();
    let lane = &fresh["lanes"][0];
    assert_eq!(lane["name"], "scripted");
    assert_eq!(lane["kind"], "local");
    assert_eq!(lane["wire"], "openai-chat");
    assert_eq!(lane["models"], serde_json::json!(["tiny", "big"]));
    assert_eq!(lane["health"], "healthy");
    assert_eq!(lane["price"]["output_usd"], 2.0);
    assert!(lane["latency"]["error_rate"].is_null());
    assert!(!fresh.to_string().contains("127.0.0.1"), "no address");

    let thread = world.thread("helper").await;
    world.run_to_end(&thread, "hi").await;
    let used = world.get(LANES).await.ok();
    let lane = &used["lanes"][0];
    assert_eq!(lane["traffic"]["answered"], 1);
    assert_eq!(lane["traffic"]["in_flight"], 0);
    assert!(lane["traffic"]["usage"]["input_tokens"].as_u64().unwrap() > 0);
    assert_eq!(lane["latency"]["attempts"], 1);
    assert_eq!(lane["latency"]["error_rate"], 0.0);
    assert!(lane["latency"]["turn_p99_ms"].as_f64().unwrap() > 0.0);

    // How busy another org is stays its own.
    let secret = world.secret(RIVAL, Role::Viewer).await;
    let foreign = world.ask("GET", LANES).key(&secret).send().await.ok();
    assert_eq!(foreign["lanes"][0]["traffic"]["answered"], 0);
    assert_eq!(foreign["lanes"][0]["traffic"]["usage"]["input_tokens"], 0);
}

fn steps(run: &Value, kind: &str) -> Vec<Value> {
    let steps = run["steps"].as_array().expect("steps").iter();
    steps.filter(|step| step["kind"] == kind).cloned().collect()
}

/// The run's moves: from, to, and why.
fn moves(run: &Value) -> Vec<(Value, Value, Value)> {
    let steps = steps(run, "lane_change").into_iter();
    steps
        .map(|step| {
            let (from, to) = (
                step["input"]["from"].clone(),
                step["output"]["name"].clone(),
            );
            (from, to, step["input"]["reason"].clone())
        })
        .collect()
}

async fn a_session_moves_to_the_server_and_back_in_one_run(world: Arc<World>) {
    let client = json!({"platform": "android", "memory_mb": 8_192, "models": ["tiny"]});
    let session = begin(&world, json!({"client": client})).await;
    assert_eq!(session.body["lane"]["name"], "device");
    assert_eq!(session.body["model"], "tiny");

    let path = session.path("inference");
    let ask = |body: Value| {
        let ask = world.ask("POST", &path).key(&session.token);
        async move { ask.json(&body).send().await.ok() }
    };
    let first = ask(json!({"input": "hi"})).await;
    assert_eq!(
        first["model"], "tiny",
        "the server took over with what the agent would use"
    );

    let lane = session.path("lane");
    let back = json!({"kind": "device", "reason": "on the charger again"});
    let back = world
        .ask("POST", &lane)
        .key(&session.token)
        .json(&back)
        .send()
        .await
        .ok();
    assert_eq!(
        (&back["lane"]["name"], &back["model"]),
        (&json!("device"), &json!("tiny"))
    );

    // The device's own turns come back as input; the transcript is one.
    let again = json!({"input": [
        {"type": "message", "role": "user", "content": "and on the device?"},
        {"type": "message", "role": "assistant", "content": "Said on the device."},
        {"type": "message", "role": "user", "content": "and here?"},
    ], "previous_response_id": first["id"]});
    ask(again).await;
    let sent = world.model.calls().last().expect("a call").body.to_string();
    for part in ["hi", "Hello.", "Said on the device.", "and here?"] {
        assert!(sent.contains(part), "{part} is missing in {sent}");
    }

    let run = world
        .get(&format!("/api/v1/agents/runs/{}", session.id))
        .await
        .ok();
    let moves = moves(&run);
    let expected = [
        (json!("device"), json!("scripted"), Value::Null),
        (
            json!("scripted"),
            json!("device"),
            json!("on the charger again"),
        ),
        (json!("device"), json!("scripted"), Value::Null),
    ];
    assert_eq!(moves, expected);
    assert_eq!(steps(&run, "model_turn").len(), 2);
    let events = format!("/api/v1/agents/runs/{}/events?follow=false", session.id);
    let told = world.get(&events).await.frames();
    assert_eq!(
        told.iter()
            .filter(|frame| frame.event == "lane_changed")
            .count(),
        3
    );
}

async fn content_of_a_device_never_leaves_it(world: Arc<World>) {
    world
        .agents
        .add("hermit", |agent| agent.data_policy = DataPolicy::Device);
    let session = begin(&world, json!({"agent_type": "hermit"})).await;
    assert_eq!(session.body["lane"]["kind"], "device");
    let said = &session.body["lane"]["considered"][1];
    assert_eq!(
        (&said["name"], &said["verdict"]),
        (&json!("scripted"), &json!("data_policy"))
    );
    for (operation, body) in [
        ("inference", json!({"input": "hi"})),
        ("lane", json!({"kind": "local"})),
        ("lane", json!({"lane": "scripted"})),
    ] {
        let ask = world
            .ask("POST", &session.path(operation))
            .key(&session.token);
        let problem = ask.json(&body).send().await.problem(409, "no_lane");
        let message = problem["message"].as_str().expect("text");
        assert!(
            message.contains("content may not leave the client's device"),
            "{message}"
        );
    }
    assert_eq!(world.model.count(), 0);
    // A run on a thread has no device at all.
    let thread = world.thread("hermit").await;
    let answer = world.run_to_end(&thread, "hi").await;
    let done = answer.frames().pop().expect("an end");
    assert_eq!(done.data["status"], "failed");
    assert_eq!(world.model.count(), 0);
}

async fn a_decision_is_explained_without_being_made(world: Arc<World>) {
    let explain = format!("{LANES}/explain");
    let weak = json!({"agent_type": "helper", "client": {"models": []}});
    let said = world.post(&explain, &weak).await.ok();
    assert_eq!(said["candidates"][0]["name"], "scripted");
    assert_eq!(said["considered"][0]["verdict"], "device_lacks");
    assert_eq!(
        said["considered"][0]["reason"],
        "the client's device can run no model"
    );
    let run = json!({"agent_type": "helper", "subject": "run", "model": "gpt"});
    let said = world.post(&explain, &run).await.ok();
    assert_eq!(said["candidates"], json!([]));
    assert_eq!(said["considered"][0]["verdict"], "no_model");
    let unknown = json!({"agent_type": "nobody"});
    world
        .post(&explain, &unknown)
        .await
        .problem(422, "unknown_agent_type");
    let runs = world.get("/api/v1/agents/runs").await.ok();
    assert_eq!(runs["runs"], json!([]));
}

/// The preferred lane's server dies before its first token, in mid-stream, and between two turns.
async fn a_dying_lane_is_passed_over_restarted_from_and_left(world: Arc<World>) {
    let spare = world.spare.as_ref().expect("a second server");
    let thread = world.thread("helper").await;

    world.model.play(Script::always(
        reply().cut(CutAt::Head, CutHow::Rst).build(),
    ));
    let frames = world.run_to_end(&thread, "one").await.frames();
    let kinds: Vec<&str> = frames.iter().map(|frame| frame.event.as_str()).collect();
    assert!(!kinds.contains(&"turn_restarted"), "silently: {kinds:?}");
    assert_eq!(frames.last().unwrap().data["summary"], "Spared.");
    let run = run_of(&world, &frames[0].data).await;
    assert_eq!(run["lane"]["name"], "spare");
    let said = &run["lane"]["considered"][0];
    assert_eq!(
        (&said["name"], &said["verdict"]),
        (&json!("scripted"), &json!("failed"))
    );

    let half = reply()
        .text("half a ")
        .text("sentence")
        .text("!")
        .cut(CutAt::Chunk(3), CutHow::Rst);
    world.model.play(Script::always(half.build()));
    let thread = world.thread("helper").await;
    let frames = world.run_to_end(&thread, "two").await.frames();
    let restarted = frames
        .iter()
        .position(|frame| frame.event == "turn_restarted")
        .expect("visibly");
    let void = frames[restarted].data["message_id"].clone();
    let deltas = |of: &dyn Fn(&Value) -> bool| -> String {
        let deltas = frames.iter().filter(|frame| frame.event == "message_delta");
        let deltas = deltas.filter(|frame| of(&frame.data["message_id"]));
        deltas
            .map(|frame| frame.data["delta"].as_str().unwrap())
            .collect()
    };
    assert!(deltas(&|id| *id == void).starts_with("half a "));
    assert_eq!(deltas(&|id| *id != void), "Spared.", "nothing is spliced");
    let run = run_of(&world, &frames[0].data).await;
    let turns = steps(&run, "model_turn");
    assert_eq!(
        (&turns[0]["status"], &turns[0]["input"]["lane"]),
        (&json!("failed"), &json!("scripted"))
    );
    assert_eq!(
        (&turns[1]["status"], &turns[1]["input"]["lane"]),
        (&json!("completed"), &json!("spare"))
    );

    let look = scripted::Reply::tool_call("look", r#"{"what":"x"}"#);
    let dead = reply().cut(CutAt::Head, CutHow::Rst).build();
    world.model.play(Script::replies([look]).otherwise(dead));
    let before = spare.count();
    world.agents.add("looker", |_| ());
    let thread = world.thread("looker").await;
    let frames = world.run_to_end(&thread, "three").await.frames();
    assert_eq!(frames.last().unwrap().data["summary"], "Spared.");
    let run = run_of(&world, &frames[0].data).await;
    let moved = &steps(&run, "lane_change")[0];
    assert_eq!(
        (&moved["input"]["from"], &moved["output"]["name"]),
        (&json!("scripted"), &json!("spare"))
    );
    assert_eq!(spare.count() - before, 1, "one turn was made there");
}

async fn a_turn_of_a_session_survives_its_lane(world: Arc<World>) {
    let half = reply()
        .text("half a ")
        .text("sentence")
        .text("!")
        .cut(CutAt::Chunk(3), CutHow::Rst);
    world.model.play(Script::always(half.build()));
    let session = begin(&world, json!({})).await;
    let ask = |body: Value| {
        let ask = world.ask("POST", &session.path("inference"));
        let ask = ask.key(&session.token).json(&body);
        async move { ask.send().await }
    };
    let response = ask(json!({"input": "one"})).await.ok();
    assert_eq!(response["status"], "completed");
    let output = response["output"].as_array().expect("items");
    assert_eq!(output.len(), 1, "nothing of the first attempt: {response}");
    assert_eq!(output[0]["content"][0]["text"], "Spared.");
    let run = run_of(&world, &json!({"run_id": session.id})).await;
    let turns: Vec<(Value, Value)> = steps(&run, "model_turn")
        .iter()
        .map(|turn| (turn["status"].clone(), turn["input"]["lane"].clone()))
        .collect();
    assert_eq!(
        turns,
        [
            (json!("failed"), json!("scripted")),
            (json!("completed"), json!("spare"))
        ]
    );

    // What a client was told as it came cannot be taken back: it is told that the turn failed, and asks again.
    world.model.play(Script::always(
        reply()
            .text("half a ")
            .text("sentence")
            .cut(CutAt::Chunk(2), CutHow::Rst)
            .build(),
    ));
    let session = begin(&world, json!({"lane": "scripted"})).await;
    let path = session.path("inference");
    let streamed = world.ask("POST", &path).key(&session.token);
    let frames = streamed
        .json(&json!({"input": "two", "stream": true}))
        .send()
        .await
        .frames();
    assert_eq!(frames.last().expect("an end").event, "response.failed");
}

async fn run_of(world: &World, created: &Value) -> Value {
    let id = created["run_id"].as_str().expect("an id");
    world.get(&format!("/api/v1/agents/runs/{id}")).await.ok()
}

#[test]
fn a_dying_lane_is_survived_on_sqlite() {
    run_with_spare(
        Database::Sqlite,
        a_dying_lane_is_passed_over_restarted_from_and_left,
    );
}

#[test]
fn a_dying_lane_is_survived_on_postgres() {
    run_with_spare(
        Database::Postgres,
        a_dying_lane_is_passed_over_restarted_from_and_left,
    );
}

#[test]
fn a_dying_lane_is_survived_by_a_session_on_sqlite() {
    run_with_spare(Database::Sqlite, a_turn_of_a_session_survives_its_lane);
}

#[test]
fn a_dying_lane_is_survived_by_a_session_on_postgres() {
    run_with_spare(Database::Postgres, a_turn_of_a_session_survives_its_lane);
}
