//! Inference turns whose tools run here, as the SDKs are told of them.

use crate::client::{Answer, Frame};
use crate::on_both_stores;
use crate::sessions::{Begun, begin};
use crate::world::World;
use scripted::Script;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

on_both_stores!(
    tools_run_here_and_the_answer_comes_whole,
    stream_tells_the_same_in_order,
    gated_call_ends_the_response_and_goes_on_once_approved,
    same_request_goes_on_where_it_waited,
    repeated_stream_is_told_again_without_the_model,
);

async fn turn(world: &World, session: &Begun, body: Value) -> Answer {
    let ask = world.ask("POST", &session.path("responses"));
    ask.key(&session.token).json(&body).send().await
}

fn looks(world: &World) {
    let script = Script::tool_loop("look", r#"{"what":"x"}"#, "Found.");
    world.model.play(script);
}

fn pays(world: &World) {
    let script = Script::tool_loop("pay", r#"{"amount":5}"#, "Paid.");
    world.model.play(script);
}

fn asking() -> Value {
    json!({"input": "go", "tool_execution": "server"})
}

fn types(response: &Value) -> Vec<&str> {
    let items = response["output"].as_array().expect("items").iter();
    items
        .map(|item| item["type"].as_str().expect("a type"))
        .collect()
}

async fn steps(world: &World, session: &Begun) -> Vec<(String, String)> {
    let run = format!("/api/v1/agents/runs/{}", session.id);
    let run = world.get(&run).await.ok();
    let steps = run["steps"].as_array().expect("steps").iter();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    steps
        .map(|step| (text(&step["kind"]), text(&step["status"])))
        .collect()
}

async fn approve(world: &World, response: &Value) {
    let approval = response["metadata"]["approval_ids"].as_str().expect("ids");
    let path = format!("/api/v1/agents/approvals/{approval}/resolve");
    world
        .post(&path, &json!({"decision": "approve"}))
        .await
        .ok();
}

async fn tools_run_here_and_the_answer_comes_whole(world: Arc<World>) {
    looks(&world);
    let session = begin(&world, json!({})).await;
    let response = turn(&world, &session, asking()).await.ok();
    assert_eq!(types(&response), ["mcp_call", "message"]);
    let call = &response["output"][0];
    assert_eq!(
        (&call["name"], &call["arguments"], &call["status"]),
        (
            &json!("look"),
            &json!(r#"{"what":"x"}"#),
            &json!("completed")
        )
    );
    assert_eq!(call["output"], r#"{"result":{"found":"x"},"tool":"look"}"#);
    assert_eq!(
        (&call["server_label"], &call["error"]),
        (&json!("runyard"), &Value::Null)
    );
    assert_eq!(response["output"][1]["content"][0]["text"], "Found.");
    let both: u64 = 2;
    assert_eq!(world.model.calls().len() as u64, both);
    let run = world
        .get(&format!("/api/v1/agents/runs/{}", session.id))
        .await
        .ok();
    assert_eq!(
        response["usage"]["input_tokens"], run["usage"]["input_tokens"],
        "the answer counts both rounds"
    );
    let step = |kind: &str, status: &str| (kind.to_owned(), status.to_owned());
    // The session began on its device, as far as the server knew.
    assert_eq!(
        steps(&world, &session).await,
        [
            step("lane_change", "completed"),
            step("model_turn", "completed"),
            step("tool_call", "committed"),
            step("model_turn", "completed"),
        ]
    );
    let on = json!({"input": "and?", "previous_response_id": response["id"]});
    turn(&world, &session, on).await.ok();
    world
        .model
        .calls()
        .iter()
        .for_each(scripted::assert_valid_history);
}

async fn stream_tells_the_same_in_order(world: Arc<World>) {
    looks(&world);
    let session = begin(&world, json!({})).await;
    let whole = turn(&world, &session, asking()).await.ok();
    looks(&world);
    let mut body = asking();
    body["stream"] = json!(true);
    let answer = turn(&world, &session, body).await;
    let frames: Vec<Frame> = answer.frames();
    let mut added = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!(frame.data["sequence_number"], number);
        assert_eq!(frame.data["type"], frame.event);
        if frame.event == "response.output_item.added" {
            added.push(frame.data["output_index"].clone());
        }
    }
    assert_eq!(added, [json!(0), json!(1)]);
    let call: Vec<&str> = frames
        .iter()
        .map(|frame| frame.event.as_str())
        .filter(|event| event.contains("mcp_call"))
        .collect();
    assert_eq!(
        call,
        [
            "response.mcp_call.in_progress",
            "response.mcp_call_arguments.delta",
            "response.mcp_call_arguments.done",
            "response.mcp_call.completed",
        ]
    );
    let last = frames.last().expect("frames");
    assert_eq!(last.event, "response.completed");
    let told = &last.data["response"];
    assert_eq!(told["id"], frames[0].data["response"]["id"]);
    assert_eq!(types(told), types(&whole));
    assert_eq!(told["usage"], whole["usage"]);
    let done: Vec<&Value> = frames
        .iter()
        .filter(|frame| frame.event == "response.output_item.done")
        .map(|frame| &frame.data["item"])
        .collect();
    assert_eq!(
        done,
        told["output"]
            .as_array()
            .unwrap()
            .iter()
            .collect::<Vec<_>>()
    );
}

async fn gated_call_ends_the_response_and_goes_on_once_approved(world: Arc<World>) {
    pays(&world);
    let session = begin(&world, json!({})).await;
    let waiting = turn(&world, &session, asking()).await.ok();
    // As the Responses API has it: an answer that is complete but for the person.
    assert_eq!(waiting["status"], "completed");
    assert_eq!(types(&waiting), ["mcp_approval_request"]);
    assert_eq!(waiting["output"][0]["arguments"], r#"{"amount":5}"#);
    assert_eq!(world.paid.load(Ordering::SeqCst), 0);
    let on =
        json!({"input": [], "previous_response_id": waiting["id"], "tool_execution": "server"});
    let still = turn(&world, &session, on.clone()).await.ok();
    assert_eq!(still["metadata"], waiting["metadata"]);
    assert_ne!(still["id"], waiting["id"]);
    approve(&world, &waiting).await;
    let paid = turn(&world, &session, on).await.ok();
    assert_eq!(types(&paid), ["mcp_call", "message"]);
    assert_eq!(world.paid.load(Ordering::SeqCst), 1);
    assert_eq!(world.model.calls().len(), 2);
    let orphan = json!({"input": [], "tool_execution": "server"});
    let orphan = turn(&world, &session, orphan).await;
    orphan.problem(422, "validation_error");
}

async fn same_request_goes_on_where_it_waited(world: Arc<World>) {
    pays(&world);
    let session = begin(&world, json!({})).await;
    let ask = async || {
        let ask = world.ask("POST", &session.path("responses"));
        let ask = ask.key(&session.token).header("idempotency-key", "1");
        ask.json(&asking()).send().await.ok()
    };
    let waiting = ask().await;
    assert_eq!(types(&waiting), ["mcp_approval_request"]);
    approve(&world, &waiting).await;
    let paid = ask().await;
    assert_eq!(types(&paid), ["mcp_call", "message"]);
    assert_eq!(paid["id"], waiting["id"]);
    assert_eq!(ask().await, paid);
    assert_eq!(world.paid.load(Ordering::SeqCst), 1);
    assert_eq!(world.model.calls().len(), 2);
}

async fn repeated_stream_is_told_again_without_the_model(world: Arc<World>) {
    looks(&world);
    let session = begin(&world, json!({})).await;
    let stream = async |input: &str| {
        let ask = world.ask("POST", &session.path("responses"));
        let ask = ask.key(&session.token).header("idempotency-key", "1");
        let body = json!({"input": input, "tool_execution": "server", "stream": true});
        ask.json(&body).send().await
    };
    let last = |answer: &Answer| answer.frames().last().expect("frames").data["response"].clone();
    let first = last(&stream("go").await);
    let again = last(&stream("go").await);
    assert_eq!(
        (&again["id"], &again["output"], &again["usage"]),
        (&first["id"], &first["output"], &first["usage"])
    );
    assert_eq!(world.model.calls().len(), 2);
    stream("other").await.problem(422, "idempotency_key_reused");
}
