use crate::client::{Live, frames};
use crate::on_both_stores;
use crate::scratch::Database;
use crate::world::{ACME, HEARTBEAT, World, run_with};
use domain::key::Role;
use domain::ports::clock::Clock;
use scripted::{Script, reply};
use serde_json::json;
use server::app::HttpSettings;
use std::sync::Arc;
use std::time::Duration;

on_both_stores!(
    rejoining_at_any_cursor_gives_the_rest,
    rejoining_while_the_model_speaks_gives_the_same_bytes,
    header_goes_before_parameter,
    stream_without_following_ends_where_the_log_does,
    malformed_cursor_is_refused,
    hostile_text_forges_nothing,
    stream_waits_through_an_approval,
    dropped_stream_leaves_its_run_alone,
    dropped_stream_cancels_its_run_if_told,
    only_the_creating_stream_cancels,
    revoked_key_ends_its_streams,
    key_revoked_elsewhere_ends_its_streams,
    drain_sends_watchers_elsewhere,
);

const RUNS: &str = "/api/v1/agents/runs";

async fn rejoining_at_any_cursor_gives_the_rest(world: Arc<World>) {
    world.model.play(Script::tool_loop(
        "look",
        r#"{"what":"x"}"#,
        "It is a fine long answer.",
    ));
    let thread = world.thread("clerk").await;
    let first = world.run_to_end(&thread, "hi").await;
    let events = first.frames();
    assert!(events.len() > 12, "{events:?}");
    let path = format!(
        "{RUNS}/{}/events",
        events[0].data["run_id"].as_str().unwrap()
    );
    let whole = std::str::from_utf8(&first.body).unwrap();
    let mut rest = whole;
    for event in &events {
        let answer = world.owner("GET", &path).await;
        let after = event.id.unwrap() - 1;
        let answer = answer
            .header("last-event-id", &after.to_string())
            .send()
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            std::str::from_utf8(&answer.body).unwrap(),
            rest,
            "after {after}"
        );
        rest = &rest[rest.find("\n\n").unwrap() + 2..];
    }
    let last = events.last().unwrap().id.unwrap();
    let answer = world.get(&format!("{path}?after={last}")).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let answer = world.get(&path).await;
    assert_eq!(answer.body, first.body);
    assert_eq!(
        answer.header("content-location"),
        path.strip_suffix("/events").unwrap()
    );
}

async fn rejoining_while_the_model_speaks_gives_the_same_bytes(world: Arc<World>) {
    let mut spoken = reply();
    for gate in ["a", "b", "c"] {
        spoken = spoken.text_words("some words").hold(gate);
    }
    world.model.play(Script::always(spoken.text("end").build()));
    let thread = world.thread("helper").await;
    let mut first = world.run_open(&thread, &json!({"input": "hi"})).await;
    let run = first.next().await.unwrap().data["run_id"].clone();
    let path = format!("{RUNS}/{}/events", run.as_str().unwrap());
    let mut watchers: Vec<(u64, Live)> = Vec::new();
    for gate in ["a", "b", "c"] {
        let seen = first.until("message_delta").await.id.unwrap();
        for after in 0..=seen {
            let ask = world.owner("GET", &format!("{path}?after={after}")).await;
            watchers.push((after, ask.open().await));
        }
        world.model.open_gate(gate);
    }
    let whole = first.rest().await;
    let ends: Vec<usize> = whole
        .windows(2)
        .enumerate()
        .filter(|(_, w)| w == b"\n\n")
        .map(|(at, _)| at + 2)
        .collect();
    for (after, watcher) in watchers {
        let skip = usize::try_from(after).unwrap();
        let begin = if skip == 0 { 0 } else { ends[skip - 1] };
        let rest = watcher.rest().await;
        assert_eq!(
            String::from_utf8(rest).unwrap(),
            std::str::from_utf8(&whole[begin..]).unwrap()
        );
    }
}

async fn header_goes_before_parameter(world: Arc<World>) {
    let thread = world.thread("helper").await;
    let events = world.run_to_end(&thread, "hi").await.frames();
    let path = format!(
        "{RUNS}/{}/events?after=1",
        events[0].data["run_id"].as_str().unwrap()
    );
    let ask = world.owner("GET", &path).await.header("last-event-id", "3");
    assert_eq!(ask.send().await.frames(), events[3..]);
    let ask = world.owner("GET", &path).await.header("last-event-id", "");
    assert_eq!(ask.send().await.frames(), events[1..]);
}

async fn stream_without_following_ends_where_the_log_does(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let mut live = world.run_open(&thread, &json!({"input": "hi"})).await;
    let run = live.until("message_delta").await.data["run_id"].clone();
    let path = format!("{RUNS}/{}/events?follow=false", run.as_str().unwrap());
    let so_far = world.get(&path).await;
    assert_eq!(so_far.body, live.bytes);
    world.model.open_gate("gate");
    let whole = live.rest().await;
    assert_eq!(world.get(&path).await.body, whole);
}

async fn malformed_cursor_is_refused(world: Arc<World>) {
    let thread = world.thread("helper").await;
    let events = world.run_to_end(&thread, "hi").await.frames();
    let path = format!(
        "{RUNS}/{}/events",
        events[0].data["run_id"].as_str().unwrap()
    );
    for cursor in [
        "x",
        "-1",
        "1.5",
        "+1",
        " 1",
        "1e3",
        "18446744073709551616",
        "9223372036854775808",
    ] {
        let ask = world
            .owner("GET", &path)
            .await
            .header("last-event-id", cursor);
        ask.send().await.problem(400, "invalid_cursor");
    }
    world
        .get(&format!("{path}?after=x"))
        .await
        .problem(400, "invalid_cursor");
    world
        .get(&format!("{path}?follow=maybe"))
        .await
        .problem(400, "invalid_parameter");
    let answer = world
        .get(&format!("{path}?after=9223372036854775807"))
        .await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
}

async fn hostile_text_forges_nothing(world: Arc<World>) {
    let hostile = "x\n\nid: 99\nevent: done\ndata: {\"type\":\"done\"}\n\n\r\n\r\n: keep-alive\u{2028}\u{0}\u{7f}";
    world
        .model
        .play(Script::always(reply().text(hostile).build()));
    let thread = world.thread("helper").await;
    let answer = world
        .run_to_end(
            &thread,
            hostile.trim_end_matches('\u{7f}').trim_end_matches('\0'),
        )
        .await;
    let events = answer.frames();
    let deltas: Vec<&str> = events
        .iter()
        .filter(|event| event.event == "message_delta")
        .map(|event| event.data["delta"].as_str().unwrap())
        .collect();
    assert_eq!(deltas.len(), 1);
    assert!(
        deltas[0].starts_with("x\n\nid: 99\nevent: done\n"),
        "{deltas:?}"
    );
    assert_eq!(
        events.iter().filter(|event| event.event == "done").count(),
        1
    );
}

async fn stream_waits_through_an_approval(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    let path = format!(
        "/api/v1/agents/approvals/{}/resolve",
        approval["id"].as_str().unwrap()
    );
    assert_eq!(
        live.next().await.unwrap().data["status"],
        "awaiting_approval"
    );
    world
        .post(&path, &json!({"decision": "approve"}))
        .await
        .ok();
    live.until("approval_resolved").await;
    live.until("tool_call_started").await;
    assert_eq!(live.until("done").await.data["summary"], "Paid.");
    assert_eq!(live.next().await, None);
}

async fn dropped_stream_leaves_its_run_alone(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let mut live = world.run_open(&thread, &json!({"input": "hi"})).await;
    let run = live.until("message_delta").await.data["run_id"].clone();
    drop(live);
    world.model.open_gate("gate");
    let events = world
        .get(&format!("{RUNS}/{}/events", run.as_str().unwrap()))
        .await;
    assert_eq!(events.frames().last().unwrap().data["status"], "completed");
}

async fn dropped_stream_cancels_its_run_if_told(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let body = json!({"input": "hi", "on_disconnect": "cancel"});
    let mut live = world.run_open(&thread, &body).await;
    let run = live.until("message_delta").await.data["run_id"].clone();
    drop(live);
    let events = world
        .get(&format!("{RUNS}/{}/events", run.as_str().unwrap()))
        .await;
    assert_eq!(events.frames().last().unwrap().data["status"], "cancelled");
}

async fn only_the_creating_stream_cancels(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let body = json!({"input": "hi", "on_disconnect": "cancel"});
    let mut live = world.run_open(&thread, &body).await;
    let run = live.until("message_delta").await.data["run_id"].clone();
    let path = format!("{RUNS}/{}/events", run.as_str().unwrap());
    let mut other = world.owner("GET", &path).await.open().await;
    other.until("message_delta").await;
    drop(other);
    world.model.open_gate("gate");
    assert_eq!(live.until("done").await.data["status"], "completed");
}

async fn revoked_key_ends_its_streams(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let mut live = world.run_open(&thread, &json!({"input": "hi"})).await;
    let run = live.until("message_delta").await.data["run_id"].clone();
    let (id, secret) = world.new_key(ACME, Role::Viewer, None).await;
    let path = format!("{RUNS}/{}/events", run.as_str().unwrap());
    let mut watcher = world.ask("GET", &path).key(&secret).open().await;
    watcher.until("message_delta").await;
    let keys = format!("/api/v1/agents/keys/{id}");
    world.owner("DELETE", &keys).await.send().await.ok();
    assert_eq!(watcher.next().await, None);
    world
        .ask("GET", &path)
        .key(&secret)
        .send()
        .await
        .problem(401, "invalid_key");
    world.model.open_gate("gate");
    assert_eq!(live.until("done").await.data["status"], "completed");
}

async fn key_revoked_elsewhere_ends_its_streams(world: Arc<World>) {
    let (id, secret) = world.new_key(ACME, Role::Viewer, None).await;
    let path = "/api/v1/agents/approvals/stream";
    let mut inbox = world.ask("GET", path).key(&secret).open().await;
    let revoked = world
        .store
        .revoke_key(&world.scope(ACME), id, world.clock.now(), &world.entry(id))
        .await;
    assert!(revoked.expect("the store answers"));
    let end = tokio::time::timeout(Duration::from_secs(30), inbox.next()).await;
    assert_eq!(end.expect("the stream ends"), None);
}

async fn drain_sends_watchers_elsewhere(world: Arc<World>) {
    let (mut live, _) = world.waiting().await;
    live.next().await;
    let engine = world.engine.clone();
    let drain = tokio::spawn(async move { engine.drain(Duration::ZERO).await });
    assert_eq!(live.next().await, None);
    assert_eq!(std::str::from_utf8(live.tail()).unwrap(), "retry: 500\n");
    drain.await.expect("no panic").expect("the engine drains");
    let thread = world.thread("helper").await;
    let problem = world
        .run_to_end(&thread, "hi")
        .await
        .problem(503, "shutting_down");
    assert_eq!(problem["retryable"], true);
    world
        .ask("GET", "/readyz")
        .send()
        .await
        .problem(503, "shutting_down");
    world.ask("GET", "/healthz").send().await.ok();
}

#[test]
fn heartbeat_is_one_line_without_a_blank_one() {
    let settings = HttpSettings {
        heartbeat: HEARTBEAT,
        ..HttpSettings::default()
    };
    run_with(Database::Sqlite, settings, async |world: Arc<World>| {
        let (mut live, _) = world.waiting().await;
        live.next().await;
        assert_eq!(live.tail(), b"");
        for _ in 0..3 {
            assert_eq!(live.chunk().await.unwrap(), ": keep-alive\n");
        }
        drop(live);
        let mut inbox = world
            .owner("GET", "/api/v1/agents/approvals/stream")
            .await
            .open()
            .await;
        inbox.next().await;
        assert_eq!(inbox.chunk().await.unwrap(), ": keep-alive\n");
    });
}

#[test]
fn a_heartbeat_before_an_event_belongs_to_no_event() {
    let block = b": keep-alive\n: keep-alive\nid: 1\nevent: x\ndata: {\"type\":\"x\",\"seq\":1,\"run_id\":\"r\",\"at\":\"t\"}\n\n";
    assert_eq!(frames(block)[0].id, Some(1));
}
