use crate::client::Answer;
use crate::on_both_stores;
use crate::world::{ACME, World};
use domain::key::Role;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

on_both_stores!(
    approval_is_shown_whole,
    words_of_decision_are_understood,
    denied_call_is_not_made,
    first_decision_stands,
    decision_is_bound_to_its_arguments,
    edited_arguments_are_checked_and_run,
    what_cannot_be_a_grant_is_refused_and_decides_nothing,
    cancelled_run_closes_its_approvals,
    inbox_tells_what_comes_and_goes,
    two_other_people_must_approve,
    message_to_a_waiting_thread_denies_and_goes_on,
);

const APPROVALS: &str = "/api/v1/agents/approvals";

async fn resolve(world: &World, approval: &Value, body: Value) -> Answer {
    let id = approval["id"].as_str().unwrap();
    world
        .post(&format!("{APPROVALS}/{id}/resolve"), &body)
        .await
}

async fn approval_is_shown_whole(world: Arc<World>) {
    let (live, told) = world.waiting().await;
    let id = told["id"].as_str().unwrap();
    let mut shown = world.get(&format!("{APPROVALS}/{id}")).await.ok();
    // What else is shown of one approval alone.
    let proposed = shown
        .as_object_mut()
        .and_then(|shown| shown.remove("proposed_grant"));
    assert_eq!(proposed, Some(Value::Null));
    assert_eq!(shown, told);
    for (name, value) in [
        ("agent_type", json!("clerk")),
        ("kind", json!("tool_call")),
        ("tool_name", json!("pay")),
        ("arguments", json!({"amount": 5})),
        ("status", json!("pending")),
        ("resolved_by", Value::Null),
        ("resolved_at", Value::Null),
        ("reason", Value::Null),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert_eq!(shown["requested_by"]["name"], "owner of acme");
    assert!(shown["expires_at"].as_str() > shown["requested_at"].as_str());
    let run = shown["run_id"].as_str().unwrap();
    let listed = world.get(&format!("{APPROVALS}?status=pending")).await.ok();
    assert_eq!(listed, json!({"approvals": [shown], "next_cursor": null}));
    let of_run = world.get(&format!("{APPROVALS}?run_id={run}")).await.ok();
    assert_eq!(of_run, listed);
    let none = world
        .get(&format!("{APPROVALS}?status=approved"))
        .await
        .ok();
    assert_eq!(none["approvals"], json!([]));
    let run = world.get(&format!("/api/v1/agents/runs/{run}")).await.ok();
    assert_eq!(
        (&run["status"], &run["pending_approvals"]),
        (&json!("awaiting_approval"), &json!([shown]))
    );
    drop(live);
}

async fn words_of_decision_are_understood(world: Arc<World>) {
    for (word, status) in [
        ("approve", "approved"),
        ("approved", "approved"),
        ("deny", "denied"),
        ("denied", "denied"),
        ("reject", "denied"),
        ("rejected", "denied"),
    ] {
        let (mut live, approval) = world.waiting().await;
        let resolved = resolve(&world, &approval, json!({"decision": word}))
            .await
            .ok();
        assert_eq!(resolved["status"], status, "{word}");
        assert_eq!(resolved["resolved_by"]["name"], "owner of acme");
        assert!(resolved["resolved_at"].is_string());
        live.until("done").await;
    }
    let (live, approval) = world.waiting().await;
    for word in [json!("yes"), json!("Approve"), json!(true), Value::Null] {
        let problem = resolve(&world, &approval, json!({"decision": word})).await;
        let problem = problem.problem(422, "validation_error");
        assert_eq!(problem["errors"][0]["path"], "decision");
    }
    for word in ["happened", "stop"] {
        let problem = resolve(&world, &approval, json!({"decision": word})).await;
        let problem = problem.problem(422, "validation_error");
        assert_eq!(problem["errors"][0]["path"], "decision", "it was not sent");
    }
    drop(live);
}

async fn denied_call_is_not_made(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    let body = json!({"decision": "deny", "reason": "too much"});
    let resolved = resolve(&world, &approval, body).await.ok();
    assert_eq!(resolved["reason"], "too much");
    let told = live.until("approval_resolved").await;
    assert_eq!(
        (&told.data["status"], &told.data["reason"]),
        (&json!("denied"), &json!("too much"))
    );
    let result = live.until("tool_call_completed").await;
    assert_eq!(result.data["is_error"], true);
    assert!(
        result.data["content"]
            .as_str()
            .unwrap()
            .contains("too much")
    );
    assert_eq!(live.until("done").await.data["status"], "completed");
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
}

async fn first_decision_stands(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    let approve = json!({"decision": "approve"});
    let first = resolve(&world, &approval, approve.clone()).await.ok();
    let again = resolve(&world, &approval, approve.clone()).await.ok();
    assert_eq!(again, first);
    let other = resolve(&world, &approval, json!({"decision": "deny"})).await;
    let problem = other.problem(409, "approval_already_resolved");
    assert_eq!(problem["details"]["approval"], first);
    let secret = world.secret(ACME, Role::Approver).await;
    let path = format!("{APPROVALS}/{}/resolve", approval["id"].as_str().unwrap());
    let somebody = world
        .ask("POST", &path)
        .key(&secret)
        .json(&approve)
        .send()
        .await;
    somebody.problem(409, "approval_already_resolved");
    live.until("done").await;
    assert_eq!(world.paid.load(Ordering::SeqCst), 1);
}

async fn decision_is_bound_to_its_arguments(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    let body = json!({"decision": "approve", "arguments_digest": "00"});
    let problem = resolve(&world, &approval, body)
        .await
        .problem(409, "arguments_changed");
    assert_eq!(
        problem["details"]["arguments_digest"],
        approval["arguments_digest"]
    );
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
    let body = json!({"decision": "approve", "arguments_digest": approval["arguments_digest"]});
    resolve(&world, &approval, body).await.ok();
    live.until("done").await;
    assert_eq!(world.paid.load(Ordering::SeqCst), 1);
}

async fn edited_arguments_are_checked_and_run(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    for arguments in [
        json!({"amount": 101}),
        json!({"amount": "5"}),
        json!({"sum": 5}),
    ] {
        let body = json!({"decision": "approve", "arguments": arguments});
        let problem = resolve(&world, &approval, body)
            .await
            .problem(422, "invalid_arguments");
        assert_eq!(problem["errors"][0]["path"], "arguments");
    }
    let body = json!({"decision": "approve", "arguments": [5]});
    resolve(&world, &approval, body)
        .await
        .problem(422, "validation_error");
    let body = json!({"decision": "deny", "arguments": {"amount": 7}});
    resolve(&world, &approval, body)
        .await
        .problem(422, "validation_error");
    let body = json!({"decision": "approve", "arguments": {"amount": 7}});
    let resolved = resolve(&world, &approval, body).await.ok();
    assert_eq!(resolved["arguments"], json!({"amount": 7}));
    assert_ne!(resolved["arguments_digest"], approval["arguments_digest"]);
    let result = live.until("tool_call_completed").await;
    assert!(
        result.data["content"].as_str().unwrap().contains('7'),
        "{result:?}"
    );
    live.until("done").await;
}

async fn what_cannot_be_a_grant_is_refused_and_decides_nothing(world: Arc<World>) {
    let (live, approval) = world.waiting().await;
    for (remember, path) in [
        (json!({"for": "ever"}), "remember"),
        (json!({"predicate": "args.amount =="}), "remember"),
        (json!({"predicate": "args.amount == 6"}), "remember"),
        (json!({"predicate": "true"}), "remember"),
        (json!({"predicate": "caller.role == 'owner'"}), "remember"),
        (
            json!({"predicate": "args.amount == 5", "ttl_s": 0}),
            "remember.ttl_s",
        ),
        (
            json!({"predicate": "args.amount == 5", "ttl_s": 9_999_999}),
            "remember.ttl_s",
        ),
        (
            json!({"predicate": "args.amount == 5", "uses": 0}),
            "remember.uses",
        ),
        (
            json!({"predicate": "args.amount == 5", "uses": 5_000_000_000_u64}),
            "remember.uses",
        ),
    ] {
        let body = json!({"decision": "approve", "remember": remember});
        let problem = resolve(&world, &approval, body)
            .await
            .problem(422, "validation_error");
        let told = problem["errors"][0]["path"].as_str().unwrap();
        assert!(told.starts_with(path), "{told} for {remember}");
    }
    let body = json!({"decision": "deny", "remember": {"predicate": "args.amount == 5"}});
    resolve(&world, &approval, body)
        .await
        .problem(422, "validation_error");
    let shown = world
        .get(&format!("{APPROVALS}/{}", approval["id"].as_str().unwrap()))
        .await
        .ok();
    assert_eq!(shown["status"], "pending");
    drop(live);
}

async fn cancelled_run_closes_its_approvals(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    let run = approval["run_id"].as_str().unwrap();
    world
        .post(&format!("/api/v1/agents/runs/{run}/cancel"), &json!({}))
        .await
        .ok();
    assert_eq!(
        live.until("approval_resolved").await.data["status"],
        "cancelled"
    );
    live.until("done").await;
    let problem = resolve(&world, &approval, json!({"decision": "approve"})).await;
    let problem = problem.problem(409, "approval_already_resolved");
    assert_eq!(problem["details"]["approval"]["status"], "cancelled");
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
}

async fn inbox_tells_what_comes_and_goes(world: Arc<World>) {
    let (mut first_run, first) = world.waiting().await;
    let path = format!("{APPROVALS}/stream");
    let mut inbox = world.owner("GET", &path).await.open().await;
    assert_eq!(inbox.headers["content-type"], "text/event-stream");
    let told = inbox.next().await.unwrap();
    assert_eq!(
        (told.event.as_str(), &told.data["approval"]),
        ("approval_requested", &first)
    );
    let (mut second_run, second) = world.waiting().await;
    let told = inbox.next().await.unwrap();
    assert_eq!(
        (told.event.as_str(), &told.data["approval"]),
        ("approval_requested", &second)
    );
    let resolved = resolve(&world, &first, json!({"decision": "deny"}))
        .await
        .ok();
    let told = inbox.next().await.unwrap();
    assert_eq!(
        (told.event.as_str(), &told.data["approval"]),
        ("approval_resolved", &resolved)
    );
    first_run.until("done").await;
    let now = world.get(&format!("{path}?follow=false")).await.frames();
    assert_eq!(now.len(), 1);
    assert_eq!(now[0].data["approval"], second);
    resolve(&world, &second, json!({"decision": "deny"}))
        .await
        .ok();
    second_run.until("done").await;
}

async fn two_other_people_must_approve(world: Arc<World>) {
    let (mut live, approval) = world.waiting_of("treasurer").await;
    assert_eq!(
        (&approval["approvals_needed"], &approval["other_person"]),
        (&json!(2), &json!(true))
    );
    let approve = json!({"decision": "approve"});
    let own = resolve(&world, &approval, approve.clone()).await;
    own.problem(403, "approver_not_eligible");
    let path = format!("{APPROVALS}/{}/resolve", approval["id"].as_str().unwrap());
    let by = async |role| {
        let secret = world.secret(ACME, role).await;
        let ask = world.ask("POST", &path).key(&secret).json(&approve);
        ask.send().await.ok()
    };
    let first = by(Role::Approver).await;
    assert_eq!(first["status"], "pending");
    let again = by(Role::Approver).await;
    assert_eq!(again, first, "one person counts once");
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
    let second = by(Role::Developer).await;
    assert_eq!(second["status"], "approved");
    let people: Vec<&Value> = second["decisions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|decision| &decision["by"]["name"])
        .collect();
    assert_eq!(people, ["approver of acme", "developer of acme"]);
    live.until("done").await;
    assert_eq!(world.paid.load(Ordering::SeqCst), 1);
}

async fn message_to_a_waiting_thread_denies_and_goes_on(world: Arc<World>) {
    let (mut live, approval) = world.waiting_of("treasurer").await;
    let thread = approval["thread_id"].as_str().unwrap();
    let path = format!("/api/v1/agents/threads/{thread}/runs");
    let busy = json!({"input": "wait", "on_busy": "reject"});
    let refused = world.post(&path, &busy).await;
    refused.problem(409, "thread_busy");
    let body = json!({"input": "never mind", "stream": false});
    let next = world.post(&path, &body).await.ok();
    assert!(["queued", "running"].contains(&next["status"].as_str().unwrap()));
    let resolved = live.until("approval_resolved").await;
    assert_eq!(resolved.data["status"], "denied");
    live.until("done").await;
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
    let run = next["id"].as_str().unwrap();
    let path = format!("/api/v1/agents/runs/{run}/cancel");
    world.post(&path, &json!({})).await.ok();
}
