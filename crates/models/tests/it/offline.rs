//! The stand-in, as a newcomer meets it: with the tools of the sample fleet, played by hand.

use crate::support::{lane, message, request_of, router, said, tool, turn};
use domain::CallId;
use domain::message::{Content, Message, Role, ToolCall};
use domain::tool::ToolSpec;
use models::{LaneConfig, Router};
use scripted::{ErrorKind, Reply, Script, Server, Wire};
use serde_json::{Value, json};
use uuid::Uuid;

fn tools() -> Vec<ToolSpec> {
    let filters = json!({"type": "object", "properties": {"platform": {"type": "string", "enum": ["android", "ios"]}}});
    let one = |name: &str| json!({"type": "object", "properties": {name: {"type": "string"}}, "required": [name]});
    let deployment = json!({
        "type": "object",
        "properties": {
            "model_id": {"type": "string"},
            "device_group": {"type": "string"},
            "environment": {"type": "string", "enum": ["production", "staging", "development"]},
            "channel": {"type": "string", "enum": ["stable", "beta", "canary"]},
            "percent": {"type": "integer", "minimum": 1},
        },
        "required": ["model_id", "device_group", "environment"]
    });
    vec![
        tool("list_models", filters.clone()),
        tool("get_model", one("model_id")),
        tool("list_devices", filters.clone()),
        tool("list_deployments", filters),
        tool("create_deployment", deployment),
        tool("pause_deployment", one("deployment_id")),
    ]
}

/// What the fleet's tools would say.
fn result(name: &str) -> Value {
    let result = match name {
        "list_models" => json!({"rows": [
            {"id": "qwen2.5-0.5b", "name": "qwen2.5:0.5b", "parameters_b": 0.5, "size_mb": 398, "min_memory_mb": 1024},
            {"id": "phi-4-mini", "name": "phi-4-mini", "parameters_b": 3.8, "size_mb": 2490, "min_memory_mb": 4096},
            {"id": "qwen2.5-72b", "name": "qwen2.5:72b", "parameters_b": 72.0, "size_mb": 46000, "min_memory_mb": 65536},
        ]}),
        "get_model" => json!({"id": "phi-4-mini", "license": "MIT", "min_memory_mb": 4096}),
        "list_devices" => json!({"rows": [
            {"id": "dev-001", "name": "Pixel 9 Pro 01", "device_group": "field-phones", "memory_mb": 16384, "last_seen_at": "2026-11-20T08:14:02Z"},
            {"id": "dev-002", "name": "Pixel 8a 07", "device_group": "field-phones", "memory_mb": 8192, "last_seen_at": "2026-11-20T08:02:47Z"},
            {"id": "dev-005", "name": "iPhone 13 21", "device_group": "lab-phones", "memory_mb": 4096, "last_seen_at": "2026-11-18T12:05:55Z"},
        ]}),
        "list_deployments" => json!({"rows": [
            {"id": "dep-1", "model_id": "qwen2.5-0.5b", "status": "active"},
            {"id": "dep-2", "model_id": "phi-4-mini", "status": "paused"},
            {"id": "dep-3", "model_id": "phi-4-mini", "status": "failed"},
        ]}),
        _ => json!({"id": "dep-9", "status": "rolling_out"}),
    };
    json!({"tool": name, "result": result})
}

/// Plays a conversation until the stand-in calls nothing more. Returns the calls and the last text.
async fn converse(router: &Router, words: &str) -> (Vec<(String, Value)>, String) {
    let mut history: Vec<Message> = vec![said(Role::User, words)];
    let mut calls = Vec::new();
    for round in 0..8u128 {
        let answer = turn(router, request_of(history.clone(), tools())).await;
        let finish = answer.finish.unwrap();
        if finish.calls.is_empty() {
            return (calls, answer.text);
        }
        let mut asks = message(Role::Assistant, Content::Text(answer.text));
        let mut results = Vec::new();
        for (index, call) in finish.calls.into_iter().enumerate() {
            let id = CallId::minted(Uuid::from_u128(round * 100 + index as u128));
            let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
            calls.push((call.name.clone(), arguments.clone()));
            let mut told = said(Role::Tool, &result(&call.name).to_string());
            told.tool_call_id = Some(id.clone());
            results.push(told);
            asks.tool_calls.push(ToolCall {
                id,
                name: call.name,
                arguments,
            });
        }
        history.push(asks);
        history.extend(results);
    }
    panic!("it never comes to an end: {calls:?}");
}

fn names(calls: &[(String, Value)]) -> Vec<&str> {
    calls.iter().map(|(name, _)| name.as_str()).collect()
}

fn offline() -> Router {
    router(vec![LaneConfig::offline()])
}

#[tokio::test]
async fn it_says_what_it_is_before_anything_else() {
    let answer = turn(
        &offline(),
        request_of(vec![said(Role::User, "hi")], tools()),
    )
    .await;
    assert!(
        answer
            .text
            .starts_with("I am Runyard's offline stand-in, not a language model")
    );
    assert!(answer.text.contains("OPENAI_API_KEY"), "{}", answer.text);
    assert!(answer.deltas > 20, "word by word");
    assert_eq!(answer.lanes[0].model, "offline-demo");

    let history = vec![
        said(Role::User, "hi"),
        said(Role::Assistant, "…"),
        said(Role::User, "hi"),
    ];
    let later = turn(&offline(), request_of(history, Vec::new())).await;
    assert!(!later.text.contains("stand-in") && later.text.contains("runyard doctor"));
}

#[tokio::test]
async fn which_model_fits_a_device() {
    let (calls, text) = converse(&offline(), "Which model fits the Pixel 9?").await;
    assert_eq!(names(&calls), ["list_models", "list_devices"]);
    let told = "Pixel 9 Pro 01 has 16384 MB of memory. The largest model that fits is phi-4-mini; all \
                that fit: phi-4-mini, qwen2.5:0.5b.";
    assert!(text.starts_with(told), "{text}");
}

#[tokio::test]
async fn a_deployment_is_asked_for_with_what_was_found() {
    let (calls, text) = converse(&offline(), "Deploy phi-4-mini to the lab phones").await;
    let (name, arguments) = calls.last().unwrap();
    assert_eq!(name, "create_deployment");
    assert_eq!(
        arguments,
        &json!({"model_id": "phi-4-mini", "device_group": "lab-phones", "environment": "development"})
    );
    assert!(
        text.contains("`create_deployment` was carried out") && text.contains("dep-9"),
        "{text}"
    );
}

#[tokio::test]
async fn what_fails_is_paused() {
    let (calls, _) = converse(&offline(), "Pause whatever is failing and tell me why.").await;
    let (name, arguments) = calls.last().unwrap();
    assert_eq!(
        (name.as_str(), arguments),
        ("pause_deployment", &json!({"deployment_id": "dep-3"}))
    );
}

#[tokio::test]
async fn what_is_said_of_a_change_is_kept_and_what_is_unclear_is_not_guessed() {
    let words = "Deploy phi-4-mini to 25% of the field phones in production, channel beta";
    let (calls, _) = converse(&offline(), words).await;
    assert_eq!(
        calls.last().unwrap().1,
        json!({
            "model_id": "phi-4-mini", "device_group": "field-phones", "environment": "production",
            "channel": "beta", "percent": 25
        })
    );
    let (calls, text) = converse(&offline(), "Deploy qwen2.5 to the lab phones").await;
    assert!(
        !names(&calls).contains(&"create_deployment"),
        "there are two"
    );
    assert!(text.contains("I would need model id"), "{text}");
}

#[tokio::test]
async fn one_thing_that_is_named_is_looked_at_more_closely() {
    let (calls, text) = converse(&offline(), "Tell me about the model phi-4-mini").await;
    assert_eq!(
        calls.last().unwrap(),
        &("get_model".to_owned(), json!({"model_id": "phi-4-mini"}))
    );
    assert!(text.contains("license MIT"), "{text}");
    let (calls, _) = converse(&offline(), "Tell me about phi-4-mini").await;
    assert_eq!(
        calls.last().unwrap().0,
        "get_model",
        "its name alone is enough"
    );
}

#[tokio::test]
async fn a_question_changes_nothing() {
    for words in [
        "Is it safe to roll the newest speech model out to production?",
        "Should I deploy phi-4-mini to the lab phones?",
        "Which devices do we have, and which of them need attention?",
    ] {
        let (calls, text) = converse(&offline(), words).await;
        assert!(
            names(&calls)
                .iter()
                .all(|name| !name.starts_with("create") && !name.starts_with("pause"))
        );
        assert!(
            !calls.is_empty() && text.contains("a real model would"),
            "{words}: {text}"
        );
    }
}

#[tokio::test]
async fn what_needs_attention_is_told_first() {
    let (_, text) = converse(&offline(), "Which devices need attention?").await;
    assert!(
        text.contains("3 devices, of which these need attention:\n- iPhone 13 21"),
        "{text}"
    );
    assert!(
        text.contains("3 deployments, of which these need attention:\n- dep-2: status paused"),
        "{text}"
    );
    assert!(!text.contains("Pixel"), "{text}");
}

#[tokio::test]
async fn what_is_not_told_is_asked_for_and_not_made_up() {
    let (calls, text) = converse(&offline(), "Deploy something nice").await;
    assert!(!names(&calls).contains(&"create_deployment"));
    assert!(text.contains("I would need device group"), "{text}");
}

#[tokio::test]
async fn a_refused_change_is_told_as_such() {
    let id = CallId::minted(Uuid::from_u128(1));
    let mut asks = said(Role::Assistant, "");
    asks.tool_calls = vec![ToolCall {
        id: id.clone(),
        name: "create_deployment".to_owned(),
        arguments: json!({}),
    }];
    let mut refused = said(
        Role::Tool,
        r#"{"error":"denied: not on a Friday","tool":"create_deployment"}"#,
    );
    refused.tool_call_id = Some(id);
    refused.is_error = true;
    let history = vec![
        said(Role::User, "Deploy phi-4-mini to the lab phones"),
        asks,
        refused,
    ];
    let answer = turn(&offline(), request_of(history, tools())).await;
    assert!(
        answer
            .text
            .contains("not carried out: denied: not on a Friday"),
        "{}",
        answer.text
    );
    assert!(answer.calls().is_empty(), "no second try");
}

#[tokio::test]
async fn it_never_takes_over_from_a_model() {
    let server = Server::with(Script::always(Reply::error(ErrorKind::Auth))).await;
    let router = router(vec![
        lane("cloud", &server, Wire::OpenaiChat),
        LaneConfig::offline(),
    ]);
    let answer = turn(
        &router,
        request_of(vec![said(Role::User, "hi")], Vec::new()),
    )
    .await;
    assert!(answer.failure().failure.message.contains("\"cloud\""));
}

#[tokio::test]
async fn the_same_history_gets_the_same_answer() {
    let router = offline();
    let ask = || request_of(vec![said(Role::User, "Which devices do we have?")], tools());
    let (one, two) = (turn(&router, ask()).await, turn(&router, ask()).await);
    assert_eq!((one.text, one.finish), (two.text, two.finish));
}
