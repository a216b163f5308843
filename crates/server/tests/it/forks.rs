use crate::on_both_stores;
use crate::world::{ACME, World};
use domain::key::Role;
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores!(
    fork_begins_with_the_history_up_to_a_message_or_run,
    fork_goes_on_by_itself,
    fork_is_made_once_for_a_repeated_request,
    wrong_point_is_told,
);

const THREADS: &str = "/api/v1/agents/threads";

/// A thread in which two questions were answered, as it is shown.
async fn talked(world: &World) -> Value {
    let thread = world.thread("helper").await;
    for question in ["one", "two"] {
        let start = json!({"input": question});
        let path = format!("{THREADS}/{thread}/runs");
        assert_eq!(world.post(&path, &start).await.status, 200);
    }
    world.get(&format!("{THREADS}/{thread}")).await.ok()
}

async fn fork(world: &World, source: &Value, body: &Value) -> Value {
    let path = format!("{THREADS}/{}/fork", source["id"].as_str().unwrap());
    let made = world.post(&path, body).await.ok();
    let id = made["id"].as_str().unwrap();
    let shown = world.get(&format!("{THREADS}/{id}")).await.ok();
    assert_eq!(shown["metadata"]["forked_from"], source["id"]);
    assert_eq!(shown["runs"], json!([]));
    assert_eq!(shown["message_count"], made["message_count"]);
    shown
}

async fn fork_begins_with_the_history_up_to_a_message_or_run(world: Arc<World>) {
    let source = talked(&world).await;
    let messages = source["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 4);
    let (third, first_run) = (&messages[2]["id"], &messages[0]["run_id"]);
    for (body, taken) in [
        (json!({}), 4),
        (json!({"message_id": third, "title": "Another way"}), 3),
        (json!({"run_id": first_run}), 2),
    ] {
        let made = fork(&world, &source, &body).await;
        assert_eq!(made["messages"].as_array().unwrap(), &messages[..taken]);
        assert_eq!(made["message_count"], taken);
        let title = body.get("title").unwrap_or(&source["title"]);
        assert_eq!(&made["title"], title);
    }
}

async fn fork_goes_on_by_itself(world: Arc<World>) {
    let source = talked(&world).await;
    let made = fork(
        &world,
        &source,
        &json!({"run_id": source["messages"][0]["run_id"]}),
    )
    .await;
    let id = made["id"].as_str().unwrap();
    let start = json!({"input": "three"});
    let runs = format!("{THREADS}/{id}/runs");
    assert_eq!(world.post(&runs, &start).await.status, 200);
    let gone = format!("{THREADS}/{}", source["id"].as_str().unwrap());
    let untouched = world.get(&gone).await.ok();
    assert_eq!(untouched["messages"], source["messages"]);
    world.owner("DELETE", &gone).await.send().await.ok();
    let kept = world.get(&format!("{THREADS}/{id}")).await.ok();
    assert_eq!(kept["messages"].as_array().unwrap().len(), 4);
    assert_eq!(kept["messages"][2]["content"], "three");
    let calls = world.model.calls();
    let asked = calls.last().unwrap().history();
    assert_eq!(asked.len(), 4, "system, question, answer, question");
}

async fn fork_is_made_once_for_a_repeated_request(world: Arc<World>) {
    let source = talked(&world).await;
    let path = format!("{THREADS}/{}/fork", source["id"].as_str().unwrap());
    let secret = world.secret(ACME, Role::Developer).await;
    let ask = || {
        let ask = world.ask("POST", &path).key(&secret);
        ask.header("idempotency-key", "once").json(&json!({}))
    };
    let first = ask().send().await.ok();
    assert_eq!(ask().send().await.ok(), first);
    let threads = world.get(THREADS).await.ok();
    assert_eq!(threads["threads"].as_array().unwrap().len(), 2);
}

async fn wrong_point_is_told(world: Arc<World>) {
    let source = talked(&world).await;
    let other = talked(&world).await;
    let path = format!("{THREADS}/{}/fork", source["id"].as_str().unwrap());
    let message = &source["messages"][0];
    for body in [
        json!({"message_id": other["messages"][0]["id"]}),
        json!({"run_id": other["messages"][0]["run_id"]}),
        json!({"message_id": "x"}),
        json!({"message_id": message["id"], "run_id": message["run_id"]}),
        json!({"title": "x".repeat(501)}),
    ] {
        world
            .post(&path, &body)
            .await
            .problem(422, "validation_error");
    }
    // A run that waits for a person has a call without its result.
    let (live, approval) = world.waiting().await;
    let thread = approval["thread_id"].as_str().unwrap();
    let path = format!("{THREADS}/{thread}/fork");
    let refused = world.post(&path, &json!({})).await;
    let problem = refused.problem(422, "validation_error");
    assert!(problem["message"].as_str().unwrap().contains("no result"));
    drop(live);
}
