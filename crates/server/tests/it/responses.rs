use crate::client::{Answer, Frame};
use crate::on_both_stores;
use crate::sessions::{Begun, begin};
use crate::world::{World, said};
use scripted::{Reply, Script, When, reply};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

on_both_stores!(
    stream_and_whole_answer_say_the_same,
    paths_of_the_sdks_are_the_same_operation,
    calls_come_back_and_outputs_go_on,
    model_is_offered_no_tool_where_none_is_wished,
    forks_of_one_response_stay_apart,
    responses_of_others_are_nothing,
    what_cannot_be_a_turn_is_refused,
    device_that_cannot_is_relieved_for_good,
    turn_is_recorded_when_its_client_has_gone,
    turn_of_a_session_that_ended_meanwhile_fails,
    repeated_turn_asks_the_model_once,
    refusals_tell_the_sdks_whether_to_try_again,
    refusals_on_the_sdks_own_path_have_the_object_that_they_read,
);

async fn turn(world: &World, session: &Begun, body: Value) -> Answer {
    let ask = world.ask("POST", &session.path("inference"));
    ask.key(&session.token).json(&body).send().await
}

fn text(response: &Value) -> &str {
    response["output"][0]["content"][0]["text"]
        .as_str()
        .expect("text")
}

/// The frames of a stream, checked to be numbered densely and without ids.
fn numbered(answer: &Answer) -> Vec<Frame> {
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let frames = answer.frames();
    for (number, frame) in frames.iter().enumerate() {
        assert_eq!(frame.data["sequence_number"], number);
        assert_eq!(frame.id, None);
    }
    frames
}

/// Without what differs between two turns that say the same.
fn timeless(response: &Value) -> Value {
    let mut response = response.clone();
    response["id"] = Value::Null;
    response["created_at"] = Value::Null;
    for item in response["output"].as_array_mut().expect("items") {
        item["id"] = Value::Null;
        if !item["call_id"].is_null() {
            item["call_id"] = Value::Null;
        }
    }
    response
}

async fn stream_and_whole_answer_say_the_same(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let call = || Reply::tool_call("look", r#"{"what":"x"}"#);
    for (script, types) in [
        (said("one two"), vec!["message"]),
        (
            reply().reasoning("hm").text("yes").build(),
            vec!["reasoning", "message"],
        ),
        (call(), vec!["function_call"]),
        (said(""), vec!["message"]),
    ] {
        world.model.play(Script::always(script));
        let whole = turn(&world, &session, json!({"input": "hi"})).await.ok();
        let shown = |response: &Value| -> Vec<String> {
            let items = response["output"].as_array().unwrap().iter();
            items
                .map(|item| item["type"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(shown(&whole), types);
        let streamed = turn(&world, &session, json!({"input": "hi", "stream": true})).await;
        let frames = numbered(&streamed);
        assert_eq!(frames[0].event, "response.created");
        assert_eq!(frames[1].event, "response.in_progress");
        let last = frames.last().unwrap();
        assert_eq!(last.event, "response.completed");
        assert_eq!(timeless(&last.data["response"]), timeless(&whole));
        let of_response = frames.iter().filter_map(|frame| frame.data.get("response"));
        let ids: BTreeSet<&str> = of_response.map(|it| it["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 1);
        for kind in ["added", "done"] {
            let event = format!("response.output_item.{kind}");
            let indexes: Vec<&Value> = frames
                .iter()
                .filter(|frame| frame.event == event)
                .map(|frame| &frame.data["output_index"])
                .collect();
            let expected: Vec<Value> = (0..types.len()).map(|index| json!(index)).collect();
            assert_eq!(indexes, expected.iter().collect::<Vec<_>>());
        }
    }
}

async fn paths_of_the_sdks_are_the_same_operation(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    for name in ["inference", "turns", "responses", "responses/"] {
        let ask = world.ask("POST", &session.path(name)).key(&session.token);
        let response = ask.json(&json!({"input": "hi"})).send().await.ok();
        assert_eq!(text(&response), "Hello.", "{name}");
    }
}

async fn calls_come_back_and_outputs_go_on(world: Arc<World>) {
    world
        .model
        .play(Script::tool_loop("look", r#"{"what":"x"}"#, "Found."));
    let session = begin(&world, json!({})).await;
    let asked = turn(&world, &session, json!({"input": "hi"})).await.ok();
    let call = &asked["output"][0];
    assert_eq!(call["arguments"], r#"{"what":"x"}"#);
    let continued = |input: Value| json!({"input": input, "previous_response_id": asked["id"]});
    let output =
        json!({"type": "function_call_output", "call_id": call["call_id"], "output": "{}"});
    let stray = json!({"type": "function_call_output", "call_id": "stray", "output": "{}"});
    for wrong in [json!("never mind"), json!([stray]), json!([output, stray])] {
        let refused = turn(&world, &session, continued(wrong)).await;
        refused.problem(422, "unanswered_calls");
    }
    let found = turn(&world, &session, continued(json!([output]))).await;
    assert_eq!(text(&found.ok()), "Found.");
    let orphan = turn(&world, &session, json!({"input": [output]})).await;
    orphan.problem(422, "unanswered_calls");
    world
        .model
        .calls()
        .iter()
        .for_each(scripted::assert_valid_history);
}

async fn model_is_offered_no_tool_where_none_is_wished(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    for (choice, offered) in [("auto", true), ("none", false)] {
        let asked =
            json!({"input": "hi", "tool_choice": choice, "text": {"format": {"type": "text"}}});
        let response = turn(&world, &session, asked).await.ok();
        assert_eq!(response["tool_choice"], choice);
        let sent = world.model.calls().last().expect("a call").body.clone();
        let tools = sent["tools"].as_array();
        assert_eq!(tools.is_some_and(|it| !it.is_empty()), offered, "{sent}");
    }
}

async fn forks_of_one_response_stay_apart(world: Arc<World>) {
    let script = Script::always(said("root"))
        .rule(When::last_user("left"), said("to the left"))
        .rule(When::last_user("right"), said("to the right"));
    world.model.play(script);
    let session = begin(&world, json!({})).await;
    let root = turn(&world, &session, json!({"input": "begin"})).await.ok();
    let from =
        |id: &Value, input: &str| json!({"input": input, "previous_response_id": id.clone()});
    let left = turn(&world, &session, from(&root["id"], "left")).await.ok();
    let right = turn(&world, &session, from(&root["id"], "right"))
        .await
        .ok();
    assert_eq!((text(&left), text(&right)), ("to the left", "to the right"));
    turn(&world, &session, from(&left["id"], "on")).await.ok();
    let last = world.model.calls().pop().expect("a request");
    let last = last.body["messages"].to_string();
    assert!(
        last.contains("to the left") && !last.contains("right"),
        "{last}"
    );
}

async fn responses_of_others_are_nothing(world: Arc<World>) {
    let other = begin(&world, json!({})).await;
    let foreign = turn(&world, &other, json!({"input": "hi"})).await.ok();
    let session = begin(&world, json!({})).await;
    let asked = world.model.calls().len();
    let mut answers = Vec::new();
    for id in [
        foreign["id"].as_str().unwrap(),
        &format!("resp_{}", "0".repeat(32)),
        "resp_",
        "x",
        "",
    ] {
        for stream in [false, true] {
            let body = json!({"input": "hi", "previous_response_id": id, "stream": stream});
            let ask = world
                .ask("POST", &session.path("inference"))
                .key(&session.token);
            let ask = ask.header("x-request-id", "same").json(&body);
            let answer = ask.send().await;
            answer.problem(404, "previous_response_not_found");
            answers.push(answer);
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(world.model.calls().len(), asked);
}

async fn what_cannot_be_a_turn_is_refused(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    for (body, path) in [
        (json!({}), "input"),
        (json!({"input": 1}), "input"),
        (json!({"input": []}), "input"),
        (
            json!({"input": "x", "max_output_tokens": 0}),
            "max_output_tokens",
        ),
        (json!({"input": "x", "temperature": 2.1}), "temperature"),
        (
            json!({"input": "x", "conversation": {"id": "conv_1"}}),
            "conversation",
        ),
        (
            json!({"input": "x", "tool_choice": "required"}),
            "tool_choice",
        ),
        (
            json!({"input": "x", "tool_choice": {"type": "function", "name": "add"}}),
            "tool_choice",
        ),
        (
            json!({"input": "x", "text": {"format": {"type": "json_schema", "name": "a", "schema": {}}}}),
            "text.format",
        ),
        (json!({"input": "x", "background": true}), "background"),
        (
            json!({"input": "x", "tools": [{"type": "function", "name": "rm"}]}),
            "tools",
        ),
        (
            json!({"input": "x", "tools": [{"type": "web_search"}]}),
            "tools[0].name",
        ),
        (
            json!({"input": [{"type": "file_search_call"}]}),
            "input[0].type",
        ),
        (
            json!({"input": [{"role": "robot", "content": "x"}]}),
            "input[0].role",
        ),
        (json!({"input": [{"role": "user"}]}), "input[0].content"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_audio"}]}]}),
            "input[0].content[0]",
        ),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "c", "output": 1}]}),
            "input[0].output",
        ),
        (
            json!({"input": [{"type": "function_call_output", "call_id": "", "output": "x"}]}),
            "input[0].call_id",
        ),
    ] {
        let problem = turn(&world, &session, body.clone()).await;
        let problem = problem.problem(422, "validation_error");
        assert_eq!(problem["errors"][0]["path"], path, "{body}");
    }
    let other = json!({"model": "big", "input": "x"});
    let problem = turn(&world, &session, other).await;
    let problem = problem.problem(409, "model_mismatch");
    assert_eq!(problem["details"]["session_model"], "tiny");
    assert!(problem["message"].as_str().unwrap().contains("big"));
    assert_eq!(world.model.calls().len(), 0);
}

async fn device_that_cannot_is_relieved_for_good(world: Arc<World>) {
    let client = json!({"model": "pocket", "client": {"models": ["pocket"]}});
    let session = begin(&world, client).await;
    assert_eq!(session.body["lane"]["kind"], "device");
    assert_eq!(session.body["model"], "pocket");
    let mut previous = Value::Null;
    for _ in 0..3 {
        let body = json!({"model": "pocket", "input": "hi", "previous_response_id": previous});
        let response = turn(&world, &session, body).await.ok();
        assert_eq!(
            (&response["status"], &response["model"]),
            (&json!("completed"), &json!("tiny")),
            "{response}"
        );
        previous = response["id"].clone();
    }
}

async fn turn_is_recorded_when_its_client_has_gone(world: Arc<World>) {
    world.hold();
    let session = begin(&world, json!({})).await;
    let ask = world
        .ask("POST", &session.path("inference"))
        .key(&session.token);
    let body = json!({"input": "hi", "stream": true});
    let mut live = ask.json(&body).open().await;
    let delta = live.until("response.output_text.delta").await;
    assert_eq!(delta.data["delta"], "one ");
    drop(live);
    world.model.open_gate("gate");
    let run = format!("/api/v1/agents/runs/{}", session.id);
    let step = loop {
        let run = world.get(&run).await.ok();
        // The server took over from the device first.
        let mut steps = run["steps"].as_array().into_iter().flatten();
        if let Some(step) = steps.find(|step| step["kind"] == "model_turn") {
            break step.clone();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (&step["kind"], &step["status"]),
        (&json!("model_turn"), &json!("completed"))
    );
}

async fn turn_of_a_session_that_ended_meanwhile_fails(world: Arc<World>) {
    world.hold();
    let session = begin(&world, json!({})).await;
    let ask = world
        .ask("POST", &session.path("inference"))
        .key(&session.token);
    let body = json!({"input": "hi", "stream": true});
    let mut live = ask.json(&body).open().await;
    live.until("response.output_text.delta").await;
    let cancel = format!("/api/v1/agents/runs/{}/cancel", session.id);
    world.post(&cancel, &json!({})).await.ok();
    world.model.open_gate("gate");
    let failed = live.until("response.failed").await;
    assert_eq!(failed.data["response"]["status"], "failed");
    assert_eq!(failed.data["response"]["output"], json!([]));
    assert!(live.next().await.is_none());
}

async fn repeated_turn_asks_the_model_once(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let body = json!({"input": "hi"});
    let mut answers = Vec::new();
    for _ in 0..2 {
        let ask = world
            .ask("POST", &session.path("inference"))
            .key(&session.token);
        answers.push(
            ask.header("idempotency-key", "1")
                .json(&body)
                .send()
                .await
                .ok(),
        );
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(world.model.calls().len(), 1);
    let other = begin(&world, json!({})).await;
    let ask = world
        .ask("POST", &other.path("inference"))
        .key(&other.token);
    let own = ask.header("idempotency-key", "1").json(&body).send().await;
    assert_ne!(own.ok()["id"], answers[0]["id"]);
}

async fn refusals_tell_the_sdks_whether_to_try_again(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let refused = turn(&world, &session, json!({"model": "big", "input": "x"})).await;
    assert_eq!(refused.header("x-should-retry"), "false");
    let answered = turn(&world, &session, json!({"input": "x"})).await;
    assert_eq!(answered.header("x-should-retry"), "");
}

async fn refusals_on_the_sdks_own_path_have_the_object_that_they_read(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let body = json!({"model": "big", "input": "x"});
    for name in ["responses", "responses/", "inference", "turns"] {
        let ask = world.ask("POST", &session.path(name)).key(&session.token);
        let refused = ask.json(&body).send().await;
        let refused = refused.problem(409, "model_mismatch");
        if name.starts_with("responses") {
            let error = json!({
                "message": refused["message"], "type": "conflict", "param": "model", "code": "model_mismatch",
            });
            assert_eq!(refused["error"], error);
        } else {
            assert_eq!(refused["error"], "conflict");
        }
        let ask = world.ask("POST", &session.path(name)).key("ry_unknown");
        let unknown = ask.json(&body).send().await;
        unknown.problem(401, "invalid_key");
    }
}
