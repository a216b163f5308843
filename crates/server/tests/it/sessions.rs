//! Client-side sessions: made, asked for calls of tools, completed, and over.

mod token;

use crate::client::Answer;
use crate::on_both_stores;
use crate::world::{ACME, World};
use domain::key::Role;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

on_both_stores!(
    session_is_made_used_read_and_completed,
    sessions_are_listed_with_their_devices,
    what_cannot_be_a_session_is_refused,
    every_bad_call_is_answered_in_the_shape_of_an_outcome,
    gated_call_waits_and_runs_once,
    denied_call_tells_the_reason,
    calls_at_once_have_one_effect,
    completing_is_lenient_and_final,
    repeated_creation_is_one_session,
    session_that_nobody_completes_expires,
);

const SESSIONS: &str = "/api/v1/agents/sessions";

/// A session and its token.
pub struct Begun {
    pub id: String,
    pub token: String,
    pub body: Value,
}

impl Begun {
    pub fn path(&self, operation: &str) -> String {
        format!("{SESSIONS}/{}/{operation}", self.id)
    }
}

pub async fn begin(world: &World, more: Value) -> Begun {
    let mut create = json!({"agent_type": "clerk", "query": "What is owed?", "context": {}});
    let fields = create.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    let body = world.post(SESSIONS, &create).await.ok();
    let text = |name: &str| body[name].as_str().expect("text").to_owned();
    Begun {
        id: text("session_id"),
        token: text("session_token"),
        body,
    }
}

async fn execute(world: &World, session: &Begun, tool: &str, arguments: Value, id: &str) -> Answer {
    let body = json!({"tool_name": tool, "arguments": arguments, "tool_call_id": id});
    let ask = world.ask("POST", &session.path("execute"));
    ask.key(&session.token).json(&body).send().await
}

/// The outcome's content, which is JSON whatever happened.
async fn content(world: &World, session: &Begun, tool: &str, arguments: Value, id: &str) -> Value {
    let outcome = execute(world, session, tool, arguments, id).await.ok();
    assert_eq!(outcome["tool_call_id"], id);
    let text = outcome["content"].as_str().expect("text");
    serde_json::from_str(text).expect("JSON as text")
}

fn done() -> Value {
    json!({"summary": "5 is owed.", "confidence": 0.8, "evidence": ["the books"], "next_steps": ["pay"]})
}

async fn complete(world: &World, session: &Begun, body: &Value) -> Answer {
    let ask = world.ask("POST", &session.path("complete"));
    ask.key(&session.token).json(body).send().await
}

async fn session_is_made_used_read_and_completed(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let made = &session.body;
    assert_eq!(made["run_id"], made["session_id"]);
    assert_eq!(
        (&made["status"], &made["model"]),
        (&json!("running"), &json!("tiny"))
    );
    assert_eq!(made["system_prompt"], "SECRET PROMPT");
    // The client says nothing of its models, so the agent's is taken to be there.
    assert_eq!(made["lane"]["name"], "device");
    assert_eq!(made["lane"]["considered"].as_array().unwrap().len(), 2);
    for tool in made["tools"].as_array().unwrap() {
        let names: Vec<&String> = tool.as_object().unwrap().keys().collect();
        assert_eq!(names, ["description", "input_schema", "name"]);
        assert!(tool["input_schema"]["properties"].is_object());
    }
    let found = execute(&world, &session, "look", json!({"what": "debts"}), "call_1").await;
    let found = found.ok();
    assert_eq!(
        (&found["step_index"], &found["is_error"]),
        (&json!(0), &json!(false))
    );
    assert_eq!(
        found["content"],
        r#"{"result":{"found":"debts"},"tool":"look"}"#
    );
    let ended = complete(&world, &session, &done()).await.ok();
    assert_eq!(ended["status"], "completed");
    let ask = world.ask("GET", &format!("{SESSIONS}/{}", session.id));
    let read = ask.key(&session.token).send().await.ok();
    assert_eq!(
        (&read["status"], read.get("session_token")),
        (&json!("completed"), None)
    );
    let run = world
        .get(&format!("/api/v1/agents/runs/{}", session.id))
        .await
        .ok();
    assert_eq!(
        (&run["summary"], &run["confidence"]),
        (&json!("5 is owed."), &json!(0.8))
    );
    assert_eq!(run["steps"][0]["tool_call_id"], "call_1");
    assert!(run["completed_at"].is_string() && run["thread_id"].is_null());
    let kept = run.to_string();
    assert!(!kept.contains("the books") && !kept.contains("next_steps"));
}

async fn sessions_are_listed_with_their_devices(world: Arc<World>) {
    let device = json!({
        "platform": "android", "memory_mb": 8192, "models": ["tiny"], "accelerators": ["npu"],
    });
    let session = begin(&world, json!({"client": device})).await;
    let silent = begin(&world, json!({"query": "q".repeat(300)})).await;
    world.run_to_end(&world.thread("helper").await, "hi").await;
    execute(&world, &session, "look", json!({"what": "x"}), "call_1").await;
    complete(&world, &session, &done()).await.ok();
    let list = async |query: &str| {
        let secret = world.secret(ACME, Role::Viewer).await;
        let ask = world.ask("GET", &format!("{SESSIONS}{query}")).key(&secret);
        ask.send().await.ok()
    };
    let ids = |page: &Value| -> Vec<String> {
        let sessions = page["sessions"].as_array().unwrap().iter();
        sessions
            .map(|it| it["session_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let all = list("").await;
    assert_eq!(ids(&all), [silent.id.clone(), session.id.clone()]);
    let (unseen, seen) = (&all["sessions"][0], &all["sessions"][1]);
    assert_eq!(seen["client"], device);
    assert_eq!(
        (&seen["status"], &seen["summary"], &seen["steps"]),
        (&json!("completed"), &json!("5 is owed."), &json!(1))
    );
    assert!(seen["last_seen_at"].is_string() && seen["completed_at"] == seen["last_seen_at"]);
    assert_eq!(
        (&unseen["client"], &unseen["last_seen_at"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(unseen["query"].as_str().unwrap().len(), 200);
    assert!(!all.to_string().contains("session_token") && !all.to_string().contains("SECRET"));
    let completed = [session.id.clone()];
    assert_eq!(ids(&list("?status=completed").await), completed);
    assert_eq!(ids(&list("?agent_type=helper").await), [""; 0]);
    let first = list("?limit=1").await;
    assert_eq!(ids(&first), std::slice::from_ref(&silent.id));
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = list(&format!("?limit=1&cursor={cursor}")).await;
    assert_eq!(ids(&rest), completed);
}

async fn what_cannot_be_a_session_is_refused(world: Arc<World>) {
    for (body, code, path) in [
        (
            json!({"agent_type": "nobody", "query": "x"}),
            "unknown_agent_type",
            "agent_type",
        ),
        (json!({"agent_type": "clerk"}), "validation_error", "query"),
        (
            json!({"agent_type": "clerk", "query": 1}),
            "validation_error",
            "query",
        ),
        (
            json!({"agent_type": "clerk", "query": "x", "context": []}),
            "validation_error",
            "context",
        ),
        (
            json!({"agent_type": "clerk", "query": "x", "ttl_s": 0}),
            "validation_error",
            "ttl_s",
        ),
        (
            json!({"agent_type": "clerk", "query": "x", "ttl_s": 86_401}),
            "validation_error",
            "ttl_s",
        ),
        (
            json!({"agent_type": "clerk", "query": "x", "model": "huge", "client": {"models": []}}),
            "unknown_model",
            "model",
        ),
    ] {
        let problem = world.post(SESSIONS, &body).await.problem(422, code);
        assert_eq!(problem["errors"][0]["path"], path, "{body}");
    }
    let runs = world.get("/api/v1/agents/runs").await.ok();
    assert_eq!(runs["runs"], json!([]));
}

async fn every_bad_call_is_answered_in_the_shape_of_an_outcome(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    for (index, (tool, arguments, said)) in [
        ("look", json!({"what": 7}), "what"),
        ("look", json!({"else": 1}), "else"),
        ("look", json!([1]), "object"),
        ("look", json!("text"), "object"),
        ("nothing", json!({}), "look"),
        ("", json!({}), "look"),
    ]
    .into_iter()
    .enumerate()
    {
        let outcome = execute(&world, &session, tool, arguments, &format!("call_{index}"))
            .await
            .ok();
        assert_eq!(
            (&outcome["is_error"], &outcome["step_index"]),
            (&json!(true), &json!(index))
        );
        let text = outcome["content"].as_str().unwrap();
        let content: Value = serde_json::from_str(text).expect("JSON as text");
        assert_eq!(content["tool"], tool);
        assert!(
            content["error"].as_str().unwrap().contains(said),
            "{content}"
        );
    }
    // Not a call at all: there is no id that an outcome could carry.
    for body in [
        json!({"tool_name": "look", "arguments": {}}),
        json!({"tool_name": "look", "arguments": {}, "tool_call_id": ""}),
        json!({"tool_name": "look", "arguments": {}, "tool_call_id": "x".repeat(257)}),
    ] {
        let ask = world
            .ask("POST", &session.path("execute"))
            .key(&session.token);
        let problem = ask
            .json(&body)
            .send()
            .await
            .problem(422, "validation_error");
        assert_eq!(problem["errors"][0]["path"], "tool_call_id");
    }
}

async fn gated_call_waits_and_runs_once(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let pay = json!({"amount": 5});
    let waiting = content(&world, &session, "pay", pay.clone(), "call_1").await;
    assert_eq!(
        (&waiting["tool"], &waiting["status"]),
        (&json!("pay"), &json!("awaiting_approval"))
    );
    let again = content(&world, &session, "pay", pay.clone(), "call_1").await;
    assert_eq!(again["approval_id"], waiting["approval_id"]);
    let other = content(&world, &session, "pay", json!({"amount": 6}), "call_1").await;
    assert!(other["error"].as_str().unwrap().contains("other arguments"));
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
    let run = world
        .get(&format!("/api/v1/agents/runs/{}", session.id))
        .await
        .ok();
    assert_eq!(run["pending_approvals"][0]["id"], waiting["approval_id"]);
    let resolve = format!(
        "/api/v1/agents/approvals/{}/resolve",
        waiting["approval_id"].as_str().unwrap()
    );
    let approve = json!({"decision": "approve"});
    // The one who asks does not decide.
    let ask = world
        .ask("POST", &resolve)
        .key(&session.token)
        .json(&approve);
    ask.send().await.problem(403, "role_forbidden");
    world.post(&resolve, &approve).await.ok();
    for _ in 0..2 {
        let paid = content(&world, &session, "pay", pay.clone(), "call_1").await;
        assert_eq!(paid["result"]["paid"], 5);
    }
    assert_eq!(world.paid.load(Ordering::SeqCst), 1);
    // The call of this id is over: with other arguments it is another call.
    let next = content(&world, &session, "pay", json!({"amount": 7}), "call_1").await;
    assert_eq!(next["status"], "awaiting_approval");
    assert_ne!(next["approval_id"], waiting["approval_id"]);
}

async fn denied_call_tells_the_reason(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let waiting = content(&world, &session, "pay", json!({"amount": 5}), "call_1").await;
    let approval = waiting["approval_id"].as_str().unwrap();
    let resolve = format!("/api/v1/agents/approvals/{approval}/resolve");
    let deny = json!({"decision": "deny", "reason": "not on a Friday"});
    world.post(&resolve, &deny).await.ok();
    let denied = execute(&world, &session, "pay", json!({"amount": 5}), "call_1").await;
    let denied = denied.ok();
    assert_eq!(denied["is_error"], true);
    assert!(
        denied["content"]
            .as_str()
            .unwrap()
            .contains("not on a Friday")
    );
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
}

async fn calls_at_once_have_one_effect(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let same = (0..16).map(|_| execute(&world, &session, "look", json!({"what": "x"}), "call_1"));
    let answers = futures::future::join_all(same).await;
    for answer in &answers {
        assert_eq!(answer.ok(), answers[0].ok());
    }
    let steps = world
        .get(&format!("/api/v1/agents/runs/{}", session.id))
        .await
        .ok();
    assert_eq!(steps["steps"].as_array().unwrap().len(), 1);
}

async fn completing_is_lenient_and_final(world: Arc<World>) {
    for (body, confidence) in [
        (json!({}), Value::Null),
        (
            json!({"summary": "x".repeat(50_000), "confidence": 8.5}),
            json!(1.0),
        ),
        (json!({"summary": "", "confidence": -0.5}), json!(0.0)),
        (
            json!({"summary": "x", "confidence": null, "evidence": [{"a": 1}], "more": 1}),
            Value::Null,
        ),
    ] {
        let session = begin(&world, json!({})).await;
        let first = complete(&world, &session, &body).await.ok();
        assert_eq!(
            (&first["status"], &first["confidence"]),
            (&json!("completed"), &confidence)
        );
        let again = complete(&world, &session, &json!({"summary": "other"})).await;
        assert_eq!(again.ok(), first);
    }
    // A call that waits for a person ends with its session.
    let session = begin(&world, json!({})).await;
    let waiting = content(&world, &session, "pay", json!({"amount": 5}), "call_1").await;
    complete(&world, &session, &done()).await.ok();
    let approval = waiting["approval_id"].as_str().unwrap();
    let resolve = format!("/api/v1/agents/approvals/{approval}/resolve");
    let late = world.post(&resolve, &json!({"decision": "approve"})).await;
    late.problem(409, "approval_already_resolved");
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
}

async fn repeated_creation_is_one_session(world: Arc<World>) {
    let body = json!({"agent_type": "clerk", "query": "x", "context": {}});
    let mut made = Vec::new();
    for _ in 0..2 {
        let ask = world.owner("POST", SESSIONS).await;
        let ask = ask.header("idempotency-key", "same").json(&body);
        made.push(ask.send().await.ok());
    }
    assert_eq!(made[0]["session_id"], made[1]["session_id"]);
    // The first token may have been lost with its answer.
    for session in &made {
        let path = format!("{SESSIONS}/{}", session["session_id"].as_str().unwrap());
        let ask = world
            .ask("GET", &path)
            .key(session["session_token"].as_str().unwrap());
        ask.send().await.ok();
    }
    // Two sessions may count their keys from 1, with equal bodies.
    for _ in 0..2 {
        let session = begin(&world, json!({})).await;
        let ask = world
            .ask("POST", &session.path("complete"))
            .key(&session.token);
        let ended = ask
            .header("idempotency-key", "1")
            .json(&done())
            .send()
            .await;
        assert_eq!(ended.ok()["session_id"], session.id);
    }
}

async fn session_that_nobody_completes_expires(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let waiting = content(&world, &session, "pay", json!({"amount": 5}), "call_1").await;
    world.clock.advance(Duration::from_secs(3_601));
    let run = format!("/api/v1/agents/runs/{}", session.id);
    let ended = loop {
        let run = world.get(&run).await.ok();
        if run["status"] == "failed" {
            break run;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(ended["error"]["code"], "session_expired");
    assert_eq!(ended["pending_approvals"], json!([]));
    let late = execute(&world, &session, "pay", json!({"amount": 5}), "call_1").await;
    let late = late.problem(409, "run_already_terminal");
    assert_eq!(late["details"]["status"], "failed");
    let approval = waiting["approval_id"].as_str().unwrap();
    let resolve = format!("/api/v1/agents/approvals/{approval}/resolve");
    let decision = json!({"decision": "approve"});
    let late = world.post(&resolve, &decision).await;
    late.problem(409, "approval_already_resolved");
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
    world.clock.advance(Duration::from_secs(3_601));
    let gone = execute(&world, &session, "look", json!({}), "call_2").await;
    gone.problem(401, "invalid_key");
}
