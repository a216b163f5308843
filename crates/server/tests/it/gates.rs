//! The intent gate in front of runs and inference turns.

use crate::on_both_stores;
use crate::sessions::begin;
use crate::world::{World, said};
use domain::agent::{GateMode, IntentGate};
use scripted::Script;
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores!(
    refused_input_ends_the_run_before_any_model_is_called,
    unclear_input_is_answered_with_a_question,
    shadow_records_and_lets_through,
    a_model_decides_what_rules_leave_open,
    a_gate_that_cannot_tell_does_as_declared,
    inference_turns_are_judged_and_say_so,
    an_overruled_decision_becomes_a_case,
);

/// Adds the agent `guarded`, whose gate has these settings beside its rules.
fn guard(world: &World, mode: GateMode, more: Value) {
    let mut settings = json!({
        "rules": [
            {"name": "poetry", "phrases": ["poem*"], "decision": "refuse", "intent": "poetry",
             "confidence": 0.9, "reason": "It is poetry.", "reply": "No poems here."},
            {"name": "fleet", "phrases": ["device*"], "decision": "allow"},
            {"name": "short", "words_max": 1, "opening": true, "decision": "clarify"},
        ],
    });
    let all = settings.as_object_mut().expect("an object");
    all.extend(more.as_object().expect("an object").clone());
    let settings = all.clone();
    world.agents.add("guarded", |agent| {
        agent.intent_gate = Some(IntentGate { mode, settings });
    });
}

/// A run of `guarded`, its events by type, and itself as it ended.
async fn run(world: &World, input: &str) -> (Vec<String>, Value) {
    let thread = world.thread("guarded").await;
    let frames = world.run_to_end(&thread, input).await.frames();
    let id = frames[0].data["run_id"].as_str().expect("an id").to_owned();
    let kinds = frames.into_iter().map(|frame| frame.event).collect();
    let run = world.get(&format!("/api/v1/agents/runs/{id}")).await.ok();
    (kinds, run)
}

fn kinds(run: &Value) -> Vec<&str> {
    let steps = run["steps"].as_array().expect("steps");
    steps
        .iter()
        .map(|step| step["kind"].as_str().expect("a kind"))
        .collect()
}

async fn refused_input_ends_the_run_before_any_model_is_called(world: Arc<World>) {
    guard(&world, GateMode::Enforce, json!({}));
    let (events, run) = run(&world, "Write me a poem").await;
    let expected = [
        "run_created",
        "run_status",
        "gate_decided",
        "message_delta",
        "message_completed",
        "run_status",
        "done",
    ];
    assert_eq!(events, expected);
    assert_eq!(
        (&run["status"], &run["summary"]),
        (&json!("completed"), &json!("No poems here."))
    );
    assert_eq!(kinds(&run), ["gate"]);
    let step = &run["steps"][0];
    assert_eq!(step["input"]["text"], "Write me a poem");
    assert_eq!(
        (&step["output"]["decision"], &step["output"]["rule"]),
        (&json!("refuse"), &json!("poetry"))
    );
    assert_eq!(world.model.count(), 0);
    let thread = run["thread_id"].as_str().expect("an id");
    let thread = world
        .get(&format!("/api/v1/agents/threads/{thread}"))
        .await
        .ok();
    assert_eq!(thread["messages"][1]["content"], "No poems here.");
    assert_eq!(thread["status"], "idle");
}

async fn unclear_input_is_answered_with_a_question(world: Arc<World>) {
    guard(
        &world,
        GateMode::Enforce,
        json!({"question": "What do you mean?"}),
    );
    let (_, asked) = run(&world, "hm").await;
    assert_eq!(asked["summary"], "What do you mean?");
    // The next message is an answer, not an opening.
    let thread = asked["thread_id"].as_str().expect("an id");
    world.run_to_end(thread, "yes").await;
    assert_eq!(world.model.count(), 1);
    let (_, allowed) = run(&world, "Which devices?").await;
    assert_eq!(kinds(&allowed), ["gate", "model_turn"]);
    assert_eq!(allowed["summary"], "Hello.");
}

async fn shadow_records_and_lets_through(world: Arc<World>) {
    guard(&world, GateMode::Shadow, json!({}));
    let (_, run) = run(&world, "Write me a poem").await;
    assert_eq!(kinds(&run), ["gate", "model_turn"]);
    let output = &run["steps"][0]["output"];
    assert_eq!(
        (&output["decision"], &output["mode"]),
        (&json!("refuse"), &json!("shadow"))
    );
    assert_eq!(run["summary"], "Hello.");
}

async fn a_model_decides_what_rules_leave_open(world: Arc<World>) {
    guard(&world, GateMode::Enforce, json!({"model": {}}));
    let answer =
        json!({"decision": "refuse", "intent": "cooking", "confidence": 0.8, "reason": "Soup."});
    world.model.play(Script::always(said(&answer.to_string())));
    let (_, refused) = run(&world, "How do I cook a soup?").await;
    assert_eq!(world.model.count(), 1, "the gate's model alone");
    let output = &refused["steps"][0]["output"];
    assert_eq!(
        (&output["intent"], &output["by"]),
        (&json!("cooking"), &json!("model"))
    );
    assert!(refused["usage"]["input_tokens"].as_u64().expect("a number") > 0);
    assert!(
        refused["summary"]
            .as_str()
            .expect("text")
            .contains("is a guarded")
    );
    // A rule that matches spares the model.
    run(&world, "Write a poem").await;
    assert_eq!(world.model.count(), 1);
}

async fn a_gate_that_cannot_tell_does_as_declared(world: Arc<World>) {
    guard(&world, GateMode::Enforce, json!({"model": {}}));
    let (_, closed) = run(&world, "How do I cook a soup?").await;
    let step = &closed["steps"][0];
    assert_eq!(
        (&step["is_error"], &step["output"]["decision"]),
        (&json!(true), &json!("refuse"))
    );
    assert!(
        step["output"]["error"]
            .as_str()
            .expect("text")
            .contains("not in the form")
    );
    assert_eq!(kinds(&closed), ["gate"]);

    world.agents.add("lenient", |agent| {
        let settings = json!({"model": {}, "on_error": "open"});
        agent.intent_gate = Some(IntentGate {
            mode: GateMode::Enforce,
            settings: settings.as_object().expect("an object").clone(),
        });
    });
    let thread = world.thread("lenient").await;
    let frames = world
        .run_to_end(&thread, "How do I cook a soup?")
        .await
        .frames();
    assert_eq!(frames.last().expect("an end").data["summary"], "Hello.");
}

async fn inference_turns_are_judged_and_say_so(world: Arc<World>) {
    guard(&world, GateMode::Enforce, json!({}));
    let session = begin(&world, json!({"agent_type": "guarded"})).await;
    assert_eq!(session.body["intent_gate"]["mode"], "enforce");
    let path = session.path("inference");
    let ask = |body: Value| {
        let ask = world.ask("POST", &path).key(&session.token);
        async move { ask.json(&body).send().await.ok() }
    };
    let refused = ask(json!({"input": "a poem please"})).await;
    assert_eq!(refused["status"], "completed");
    assert_eq!(refused["output"][0]["content"][0]["text"], "No poems here.");
    assert_eq!(refused["intent"]["decision"], "refuse");
    assert_eq!(
        (
            &refused["intent"]["intent"],
            &refused["intent"]["confidence"]
        ),
        (&json!("poetry"), &json!(0.9))
    );
    assert_eq!(world.model.count(), 0);
    // The refusal is part of the chain, and the next turn goes on from it.
    let next =
        ask(json!({"input": "which device then?", "previous_response_id": refused["id"]})).await;
    assert_eq!(
        (&next["intent"]["decision"], &next["model"]),
        (&json!("allow"), &json!("tiny"))
    );
    let sent = world.model.calls()[0].body.to_string();
    assert!(sent.contains("No poems here."), "{sent}");
    let run = world
        .get(&format!("/api/v1/agents/runs/{}", session.id))
        .await
        .ok();
    assert_eq!(kinds(&run), ["gate", "gate", "lane_change", "model_turn"]);
    // Streamed, the refusal comes as text.
    let body = json!({"input": "a poem please", "stream": true});
    let ask = world.ask("POST", &path).key(&session.token);
    let streamed = ask.json(&body).send().await;
    let text = String::from_utf8_lossy(&streamed.body).into_owned();
    assert!(
        text.contains("No poems here.") && text.contains("response.completed"),
        "{text}"
    );
    assert_eq!(world.model.count(), 1);
}

async fn an_overruled_decision_becomes_a_case(world: Arc<World>) {
    guard(&world, GateMode::Enforce, json!({}));
    let (_, refused) = run(&world, "A poem on our device names").await;
    let id = refused["id"].as_str().expect("an id");
    let overrule = format!("/api/v1/agents/runs/{id}/gate/overrule");
    let body = json!({"label": "allow", "note": "It is about devices."});
    let case = world.post(&overrule, &body).await.ok();
    assert_eq!(
        (&case["decided"], &case["label"]),
        (&json!("refuse"), &json!("allow"))
    );
    let line = json!({"input": "A poem on our device names", "label": "allow", "group": "overruled",
                      "note": "It is about devices."});
    assert_eq!(case["case"], line);
    let cases = "/api/v1/agents/gate/cases?agent_type=guarded";
    let listed = world.get(cases).await.ok();
    assert_eq!(listed["cases"], json!([case]));
    // Said again, it replaces what was said.
    world
        .post(&overrule, &json!({"label": "clarify"}))
        .await
        .ok();
    let listed = world.get(cases).await.ok();
    assert_eq!(listed["cases"].as_array().expect("cases").len(), 1);
    assert_eq!(listed["cases"][0]["label"], "clarify");
    // The run itself stays as it is.
    let after = world.get(&format!("/api/v1/agents/runs/{id}")).await.ok();
    assert_eq!(after, refused);

    let thread = world.thread("helper").await;
    let frames = world.run_to_end(&thread, "hi").await.frames();
    let ungated = frames[0].data["run_id"].as_str().expect("an id");
    let overrule = format!("/api/v1/agents/runs/{ungated}/gate/overrule");
    world
        .post(&overrule, &json!({"label": "allow"}))
        .await
        .problem(409, "no_gate_decision");
    let wrong = world.post(&overrule, &json!({"label": "maybe"})).await;
    wrong.problem(422, "validation_error");
}
