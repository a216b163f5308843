use crate::client::Answer;
use crate::on_both_stores;
use crate::world::{ACME, RIVAL, World};
use domain::key::Role;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

on_both_stores!(
    repeated_thread_is_one_thread,
    repeated_run_joins_the_first,
    refused_run_does_not_use_up_its_key,
    same_key_with_another_request_is_refused,
    orgs_do_not_share_keys,
    repeated_decision_is_answered_alike,
    repeated_cancel_is_answered_alike,
    repeated_key_is_one_key_without_its_secret,
    failed_request_leaves_its_key_free,
    malformed_keys_are_refused,
    many_at_once_make_one,
);

const THREADS: &str = "/api/v1/agents/threads";

async fn post(world: &World, path: &str, key: &str, body: &Value) -> Answer {
    let ask = world.owner("POST", path).await;
    ask.header("idempotency-key", key).json(body).send().await
}

async fn repeated_thread_is_one_thread(world: Arc<World>) {
    let body = json!({"agent_type": "helper"});
    let first = post(&world, THREADS, "k", &body).await;
    let again = post(&world, THREADS, "k", &body).await;
    assert_eq!(again.ok(), first.ok());
    assert_ne!(post(&world, THREADS, "other", &body).await.ok(), first.ok());
    assert_eq!(
        world.get(THREADS).await.ok()["threads"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

async fn repeated_run_joins_the_first(world: Arc<World>) {
    let thread = world.thread("helper").await;
    let path = format!("{THREADS}/{thread}/runs");
    let body = json!({"input": "hi"});
    let first = post(&world, &path, "k", &body).await;
    let again = post(&world, &path, "k", &body).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    assert_eq!(
        again.header("content-location"),
        first.header("content-location")
    );
    assert_eq!(world.model.calls().len(), 1);
    world.hold();
    let mut live = world
        .owner("POST", &path)
        .await
        .header("idempotency-key", "k2")
        .json(&body)
        .open()
        .await;
    live.until("message_delta").await;
    let mut joined = world
        .owner("POST", &path)
        .await
        .header("idempotency-key", "k2")
        .json(&body)
        .open()
        .await;
    joined.until("message_delta").await;
    world.model.open_gate("gate");
    assert_eq!(live.rest().await, joined.rest().await);
    let quiet = json!({"input": "hi", "stream": false});
    let one = post(&world, &path, "k3", &quiet).await.ok();
    let two = post(&world, &path, "k3", &quiet).await.ok();
    assert_eq!(one["id"], two["id"]);
}

async fn refused_run_does_not_use_up_its_key(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let path = format!("{THREADS}/{thread}/runs");
    let mut live = world.run_open(&thread, &json!({"input": "one"})).await;
    live.until("message_delta").await;
    let body = json!({"input": "two"});
    post(&world, &path, "k", &body)
        .await
        .problem(409, "thread_busy");
    world.model.open_gate("gate");
    live.until("done").await;
    let frames = post(&world, &path, "k", &body).await.frames();
    assert_eq!(frames.last().unwrap().data["status"], "completed");
}

async fn same_key_with_another_request_is_refused(world: Arc<World>) {
    let one = world.thread("helper").await;
    let two = world.thread("helper").await;
    let body = json!({"input": "hi"});
    post(&world, &format!("{THREADS}/{one}/runs"), "k", &body)
        .await
        .frames();
    let other = json!({"input": "ho"});
    for (thread, body) in [(&one, &other), (&two, &body)] {
        let answer = post(&world, &format!("{THREADS}/{thread}/runs"), "k", body).await;
        let problem = answer.problem(422, "idempotency_key_reused");
        assert_eq!(problem["retryable"], false);
    }
    // Another operation has its own keys.
    post(&world, THREADS, "k", &json!({"agent_type": "helper"}))
        .await
        .ok();
    let answer = post(&world, THREADS, "k", &json!({"agent_type": "clerk"})).await;
    answer.problem(422, "idempotency_key_reused");
}

async fn orgs_do_not_share_keys(world: Arc<World>) {
    let body = json!({"agent_type": "helper"});
    let mut made = Vec::new();
    for org in [ACME, RIVAL] {
        let secret = world.secret(org, Role::Developer).await;
        let ask = world
            .ask("POST", THREADS)
            .key(&secret)
            .header("idempotency-key", "k");
        made.push(ask.json(&body).send().await.ok()["id"].clone());
    }
    assert_ne!(made[0], made[1]);
}

async fn repeated_decision_is_answered_alike(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    let path = format!(
        "/api/v1/agents/approvals/{}/resolve",
        approval["id"].as_str().unwrap()
    );
    let body = json!({"decision": "approve"});
    let first = post(&world, &path, "k", &body).await;
    live.until("done").await;
    let again = post(&world, &path, "k", &body).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let other = post(&world, &path, "k", &json!({"decision": "deny"})).await;
    other.problem(422, "idempotency_key_reused");
    assert_eq!(world.paid.load(Ordering::SeqCst), 1);
}

async fn repeated_cancel_is_answered_alike(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    let path = format!(
        "/api/v1/agents/runs/{}/cancel",
        approval["run_id"].as_str().unwrap()
    );
    let first = post(&world, &path, "k", &json!({})).await;
    live.until("done").await;
    let again = post(&world, &path, "k", &json!({})).await;
    assert_eq!((again.ok(), &again.body), (first.ok(), &first.body));
}

async fn repeated_key_is_one_key_without_its_secret(world: Arc<World>) {
    let body = json!({"name": "ci", "role": "viewer"});
    let path = "/api/v1/agents/keys";
    let mut first = post(&world, path, "k", &body).await.ok();
    let again = post(&world, path, "k", &body).await.ok();
    assert!(first["secret"].is_string());
    first["secret"] = Value::Null;
    assert_eq!(again, first);
    assert_eq!(
        world.get(path).await.ok()["keys"].as_array().unwrap().len(),
        2
    );
}

async fn failed_request_leaves_its_key_free(world: Arc<World>) {
    let (live, approval) = world.waiting().await;
    let path = format!(
        "/api/v1/agents/approvals/{}/resolve",
        approval["id"].as_str().unwrap()
    );
    let wrong = json!({"decision": "approve", "arguments": {"amount": 1000}});
    post(&world, &path, "k", &wrong)
        .await
        .problem(422, "invalid_arguments");
    post(&world, &path, "k", &wrong)
        .await
        .problem(422, "invalid_arguments");
    post(&world, &path, "k", &json!({"decision": "approve"}))
        .await
        .ok();
    drop(live);
}

async fn malformed_keys_are_refused(world: Arc<World>) {
    let body = json!({"agent_type": "helper"});
    for key in ["", &"x".repeat(256), "é", "a\tb"] {
        let answer = post(&world, THREADS, key, &body).await;
        answer.problem(400, "invalid_idempotency_key");
    }
    post(&world, THREADS, &"x".repeat(255), &body).await.ok();
    post(&world, THREADS, "~ !", &body).await.ok();
}

async fn many_at_once_make_one(world: Arc<World>) {
    let body = json!({"agent_type": "helper"});
    world.secret(ACME, Role::Owner).await;
    let asks = (0..16).map(|_| post(&world, THREADS, "k", &body));
    let answers = futures::future::join_all(asks).await;
    let mut made = std::collections::BTreeSet::new();
    for answer in answers {
        match answer.status {
            200 => {
                made.insert(answer.json()["id"].to_string());
            }
            _ => {
                answer.problem(409, "idempotency_in_progress");
            }
        }
    }
    assert_eq!(made.len(), 1);
    assert_eq!(
        world.get(THREADS).await.ok()["threads"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}
