use crate::client::Frame;
use crate::on_both_stores;
use crate::world::{World, said};
use scripted::{ErrorKind, Script, Usage, When, reply};
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores!(
    run_streams_from_created_to_done,
    run_is_shown_with_its_steps,
    run_in_the_background_is_answered_at_once,
    turn_in_flight_is_a_running_step,
    busy_thread_names_its_run,
    run_waits_in_line_where_it_may,
    run_interrupts_where_it_may,
    cancelled_run_stays_cancelled,
    ended_run_is_not_cancelled,
    runs_are_listed_and_filtered,
    failed_run_says_why,
    input_may_be_messages,
    input_that_cannot_be_used_is_named,
    request_may_narrow_its_lane_and_model,
    request_may_tighten_its_budget,
    abandoned_request_is_carried_to_its_end,
);

const RUNS: &str = "/api/v1/agents/runs";

fn types(frames: &[Frame]) -> Vec<&str> {
    frames.iter().map(|frame| frame.event.as_str()).collect()
}

async fn run_streams_from_created_to_done(world: Arc<World>) {
    world
        .model
        .play(Script::always(said("Hello there, friend.")));
    let thread = world.thread("helper").await;
    let answer = world.run_to_end(&thread, "hi").await;
    assert_eq!(answer.status, 200);
    let frames = answer.frames();
    let run = frames[0].data["run_id"].as_str().unwrap();
    for (name, value) in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache, no-transform"),
        ("x-accel-buffering", "no"),
        ("content-location", &*format!("{RUNS}/{run}")),
    ] {
        assert_eq!(answer.header(name), value);
    }
    assert!(!answer.header("x-request-id").is_empty());
    let told = types(&frames);
    assert_eq!(told.first(), Some(&"run_created"));
    assert_eq!(told.last(), Some(&"done"));
    assert_eq!(told.iter().filter(|kind| **kind == "done").count(), 1);
    let numbers: Vec<u64> = frames.iter().map(|frame| frame.id.unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    assert!(frames.iter().all(|frame| frame.data["run_id"] == run));
    let text: String = frames
        .iter()
        .filter(|frame| frame.event == "message_delta")
        .map(|frame| frame.data["delta"].as_str().unwrap())
        .collect();
    assert_eq!(text, "Hello there, friend.");
    let message = frames
        .iter()
        .find(|frame| frame.event == "message_completed")
        .unwrap();
    assert_eq!(message.data["message"]["content"], "Hello there, friend.");
    assert_eq!(frames[0].data["thread_id"], *thread);
    let done = &frames.last().unwrap().data;
    assert_eq!(
        (&done["status"], &done["error"]),
        (&json!("completed"), &Value::Null)
    );
    assert_eq!(done["summary"], "Hello there, friend.");
}

async fn run_is_shown_with_its_steps(world: Arc<World>) {
    let usage = Usage {
        input: 100,
        output: 10,
        cached: 0,
        reasoning: 0,
    };
    let call = reply()
        .tool_call("c1", "look", r#"{"what":"x"}"#)
        .usage(usage)
        .build();
    let answer = reply().text("Done.").usage(usage).build();
    world.model.play(Script::replies([call, answer]));
    let thread = world.thread("clerk").await;
    let frames = world.run_to_end(&thread, "go").await.frames();
    let run = frames[0].data["run_id"].as_str().unwrap();
    let shown = world.get(&format!("{RUNS}/{run}")).await.ok();
    for (name, value) in [
        ("id", json!(run)),
        ("run_id", json!(run)),
        ("thread_id", json!(thread)),
        ("agent_type", json!("clerk")),
        ("agent_version", json!("clerk-1")),
        ("kind", json!("thread")),
        ("status", json!("completed")),
        ("model", json!("tiny")),
        ("summary", json!("Done.")),
        ("error", Value::Null),
        ("pending_approvals", json!([])),
        (
            "created_by",
            json!({"key_id": shown["created_by"]["key_id"], "name": "owner of acme"}),
        ),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert_eq!(
        (&shown["lane"]["name"], &shown["lane"]["kind"]),
        (&json!("scripted"), &json!("local"))
    );
    assert_eq!(shown["usage"]["input_tokens"], 200);
    assert_eq!(shown["usage"]["cost_usd"], 0.00024);
    assert!(shown["started_at"].as_str() >= shown["created_at"].as_str());
    assert!(shown["completed_at"].as_str() > shown["started_at"].as_str());
    check_steps(&shown);
    check_include(&world, run).await;
}

fn check_steps(shown: &Value) {
    let steps = shown["steps"].as_array().unwrap();
    let brief: Vec<Value> = steps
        .iter()
        .map(|step| {
            json!([
                step["step_index"],
                step["kind"],
                step["status"],
                step["attempt"]
            ])
        })
        .collect();
    assert_eq!(
        brief,
        [
            json!([0, "model_turn", "completed", 1]),
            json!([1, "tool_call", "committed", 1]),
            json!([2, "model_turn", "completed", 1]),
        ]
    );
    assert_eq!(
        (&steps[1]["name"], &steps[1]["is_error"]),
        (&json!("look"), &json!(false))
    );
    assert!(steps.iter().all(|step| step["duration_ms"].is_u64()));
}

async fn check_include(world: &World, run: &str) {
    let brief = world.get(&format!("{RUNS}/{run}?include=")).await.ok();
    assert!(brief.get("steps").is_none() && brief.get("pending_approvals").is_none());
    let steps = world.get(&format!("{RUNS}/{run}?include=steps")).await.ok();
    assert!(steps.get("steps").is_some() && steps.get("pending_approvals").is_none());
    let answer = world.get(&format!("{RUNS}/{run}?include=stepz")).await;
    answer.problem(400, "invalid_parameter");
}

async fn run_in_the_background_is_answered_at_once(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let path = format!("/api/v1/agents/threads/{thread}/runs");
    let answer = world
        .post(
            &path,
            &json!({"input": "hi", "stream": false, "metadata": {"n": 1}}),
        )
        .await;
    let run = answer.ok();
    let id = run["id"].as_str().unwrap();
    assert_eq!(run["status"], "running");
    assert_eq!(run["metadata"], json!({"n": 1}));
    assert_eq!(answer.header("content-location"), format!("{RUNS}/{id}"));
    world.model.open_gate("gate");
    let events = world.get(&format!("{RUNS}/{id}/events")).await;
    assert_eq!(events.frames().last().unwrap().data["status"], "completed");
}

async fn turn_in_flight_is_a_running_step(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let mut live = world.run_open(&thread, &json!({"input": "hi"})).await;
    let run = live.until("message_delta").await.data["run_id"].clone();
    let path = format!("{RUNS}/{}", run.as_str().unwrap());
    let shown = world.get(&path).await.ok();
    assert_eq!(shown["status"], "running");
    let step = &shown["steps"][0];
    assert_eq!(
        (&step["kind"], &step["status"]),
        (&json!("model_turn"), &json!("running"))
    );
    assert_eq!(
        (&step["completed_at"], &step["duration_ms"]),
        (&Value::Null, &Value::Null)
    );
    world.model.open_gate("gate");
    live.until("done").await;
    let shown = world.get(&path).await.ok();
    assert_eq!(shown["steps"].as_array().unwrap().len(), 1);
    assert_eq!(shown["steps"][0]["status"], "completed");
}

async fn busy_thread_names_its_run(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let mut live = world.run_open(&thread, &json!({"input": "hi"})).await;
    let run = live.until("run_created").await.data["run_id"].clone();
    let problem = world
        .run_to_end(&thread, "again")
        .await
        .problem(409, "thread_busy");
    assert_eq!(
        problem["details"],
        json!({"run_id": run, "status": "running"})
    );
    assert!(
        problem["message"]
            .as_str()
            .unwrap()
            .contains(run.as_str().unwrap())
    );
    assert_eq!(problem["retryable"], true);
    let status = &world
        .get(&format!("/api/v1/agents/threads/{thread}"))
        .await
        .ok()["status"];
    assert_eq!(status, "busy");
    world.model.open_gate("gate");
    live.until("done").await;
}

async fn run_waits_in_line_where_it_may(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let mut first = world.run_open(&thread, &json!({"input": "one"})).await;
    first.until("message_delta").await;
    let body = json!({"input": "two", "on_busy": "enqueue"});
    let mut second = world.run_open(&thread, &body).await;
    let created = second.next().await.unwrap();
    assert_eq!(
        (created.event.as_str(), &created.data["status"]),
        ("run_created", &json!("queued"))
    );
    world.model.open_gate("gate");
    first.until("done").await;
    let started = second.next().await.unwrap();
    assert_eq!(
        (started.event.as_str(), &started.data["status"]),
        ("run_status", &json!("running"))
    );
    assert_eq!(second.until("done").await.data["status"], "completed");
}

async fn run_interrupts_where_it_may(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let mut first = world.run_open(&thread, &json!({"input": "one"})).await;
    first.until("message_delta").await;
    world.model.play(Script::always(said("Two.")));
    let body = json!({"input": "two", "on_busy": "interrupt"});
    let mut second = world.run_open(&thread, &body).await;
    assert_eq!(second.until("done").await.data["status"], "completed");
    assert_eq!(first.until("done").await.data["status"], "cancelled");
}

async fn cancelled_run_stays_cancelled(world: Arc<World>) {
    world.hold();
    let thread = world.thread("helper").await;
    let mut live = world.run_open(&thread, &json!({"input": "hi"})).await;
    let run = live.until("message_delta").await.data["run_id"].clone();
    let path = format!("{RUNS}/{}/cancel", run.as_str().unwrap());
    let cancelled = world.post(&path, &json!({"reason": "enough"})).await.ok();
    assert_eq!(
        (&cancelled["status"], &cancelled["cancel_reason"]),
        (&json!("cancelled"), &json!("enough"))
    );
    assert!(cancelled["completed_at"].is_string());
    assert_eq!(live.until("done").await.data["status"], "cancelled");
    assert_eq!(live.next().await, None);
    // Without a body, and again: nothing changes.
    let again = world.owner("POST", &path).await.send().await.ok();
    assert_eq!(again, cancelled);
}

async fn ended_run_is_not_cancelled(world: Arc<World>) {
    let thread = world.thread("helper").await;
    let frames = world.run_to_end(&thread, "hi").await.frames();
    let path = format!(
        "{RUNS}/{}/cancel",
        frames[0].data["run_id"].as_str().unwrap()
    );
    let problem = world
        .post(&path, &json!({}))
        .await
        .problem(409, "run_already_terminal");
    assert_eq!(problem["error"], "conflict");
    assert_eq!(problem["details"], json!({"status": "completed"}));
    assert_eq!(problem["retryable"], false);
}

async fn runs_are_listed_and_filtered(world: Arc<World>) {
    let (one, two) = (world.thread("helper").await, world.thread("clerk").await);
    let mut made = Vec::new();
    for thread in [&one, &two, &one] {
        let frames = world.run_to_end(thread, "hi").await.frames();
        made.insert(0, frames[0].data["run_id"].as_str().unwrap().to_owned());
    }
    let list = async |query: &str| -> Vec<String> {
        let list = world.get(&format!("{RUNS}?{query}")).await.ok();
        let runs = list["runs"].as_array().unwrap().iter();
        runs.map(|run| run["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(list("").await, made);
    assert_eq!(list("status=completed").await, made);
    assert_eq!(list("status=running").await, Vec::<String>::new());
    assert_eq!(list("agent_type=clerk").await, [made[1].clone()]);
    let of_one = [made[0].clone(), made[2].clone()];
    assert_eq!(list(&format!("thread_id={one}")).await, of_one);
    assert_eq!(list("thread_id=nonsense").await, Vec::<String>::new());
    let page = world.get(&format!("{RUNS}?limit=2")).await.ok();
    let cursor = page["next_cursor"].as_str().unwrap();
    assert_eq!(list(&format!("cursor={cursor}")).await, [made[2].clone()]);
    world
        .get(&format!("{RUNS}?status=finished"))
        .await
        .problem(400, "invalid_parameter");
}

async fn failed_run_says_why(world: Arc<World>) {
    let refused = reply().error(ErrorKind::Invalid).build();
    world.model.play(Script::always(refused));
    let thread = world.thread("helper").await;
    let frames = world.run_to_end(&thread, "hi").await.frames();
    let done = &frames.last().unwrap().data;
    assert_eq!(done["status"], "failed");
    let error = frames.iter().find(|frame| frame.event == "error").unwrap();
    assert_eq!(error.data["error"], done["error"]);
    let run = frames[0].data["run_id"].as_str().unwrap();
    let shown = world.get(&format!("{RUNS}/{run}")).await.ok();
    assert_eq!(shown["error"], done["error"]);
    assert_eq!(shown["error"]["code"], "model_rejected");
    assert!(shown["completed_at"].is_string());
}

async fn input_may_be_messages(world: Arc<World>) {
    let thread = world.thread("helper").await;
    let input = json!([
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": [
            {"type": "text", "text": "three"},
            {"type": "image", "url": "data:image/png;base64,AA=="},
        ]},
    ]);
    let path = format!("/api/v1/agents/threads/{thread}/runs");
    let answer = world.post(&path, &json!({"input": input})).await;
    assert_eq!(answer.frames().last().unwrap().data["status"], "completed");
    let shown = world
        .get(&format!("/api/v1/agents/threads/{thread}"))
        .await
        .ok();
    let messages = shown["messages"].as_array().unwrap();
    let given: Vec<Value> = messages[..3]
        .iter()
        .map(|message| json!({"role": message["role"], "content": message["content"]}))
        .collect();
    assert_eq!(json!(given), input);
}

async fn input_that_cannot_be_used_is_named(world: Arc<World>) {
    let thread = world.thread("helper").await;
    let path = format!("/api/v1/agents/threads/{thread}/runs");
    for (body, wrong) in [
        (json!({}), "input"),
        (json!({"input": ""}), "input"),
        (json!({"input": []}), "input"),
        (json!({"input": 7}), "input"),
        (
            json!({"input": [{"role": "tool", "content": "x"}]}),
            "input[0].role",
        ),
        (json!({"input": [{"role": "user"}]}), "input[0].content"),
        (
            json!({"input": [{"role": "user", "content": ""}]}),
            "input[0].content",
        ),
        (
            json!({"input": [{"role": "user", "content": [{"type": "image", "url": "http://x/"}]}]}),
            "input[0].content[0].url",
        ),
        (json!({"input": "x", "on_busy": "wait"}), "on_busy"),
        (json!({"input": "x", "stream": "yes"}), "stream"),
        (json!({"input": "x", "context": []}), "context"),
        (
            json!({"input": "x", "budget": {"max_steps": -1}}),
            "budget.max_steps",
        ),
        (
            json!({"input": "x", "budget": {"max_cost_usd": -0.5}}),
            "budget.max_cost_usd",
        ),
        (
            json!({"input": vec![json!({"role": "user", "content": "x"}); 257]}),
            "input",
        ),
        (json!(["x"]), ""),
    ] {
        let problem = world
            .post(&path, &body)
            .await
            .problem(422, "validation_error");
        assert_eq!(problem["errors"][0]["path"], wrong, "{problem}");
    }
    assert_eq!(world.get(RUNS).await.ok()["runs"], json!([]));
    assert_eq!(world.model.count(), 0);
}

async fn request_may_narrow_its_lane_and_model(world: Arc<World>) {
    world
        .model
        .play(Script::always(said("small")).rule(When::model("big"), said("large")));
    let thread = world.thread("helper").await;
    let path = format!("/api/v1/agents/threads/{thread}/runs");
    let problem = world
        .post(&path, &json!({"input": "x", "lane": "moon"}))
        .await;
    let problem = problem.problem(422, "unknown_lane");
    assert_eq!(problem["details"]["supported"], json!(["scripted"]));
    let problem = world
        .post(&path, &json!({"input": "x", "model": "huge"}))
        .await;
    let problem = problem.problem(422, "unknown_model");
    assert_eq!(problem["details"]["supported"], json!(["big", "tiny"]));
    let body = json!({"input": "x", "lane": "scripted", "model": "big"});
    let frames = world.post(&path, &body).await.frames();
    assert_eq!(frames.last().unwrap().data["summary"], "large");
}

async fn request_may_tighten_its_budget(world: Arc<World>) {
    world.model.play(Script::always(
        reply().tool_call_made_up("look", r#"{"what":"x"}"#).build(),
    ));
    let thread = world.thread("clerk").await;
    let path = format!("/api/v1/agents/threads/{thread}/runs");
    for (asked, calls) in [(2, 2), (99, 10)] {
        world.model.clear();
        let before = world.model.calls().len();
        let body = json!({"input": "x", "budget": {"max_steps": asked}});
        let frames = world.post(&path, &body).await.frames();
        assert_eq!(frames.last().unwrap().data["error"]["code"], "budget_steps");
        assert_eq!(world.model.calls().len() - before, calls);
    }
}

async fn abandoned_request_is_carried_to_its_end(world: Arc<World>) {
    for polls in 1..20 {
        let thread = world.thread("helper").await;
        let path = format!("/api/v1/agents/threads/{thread}/runs");
        let ask = world
            .owner("POST", &path)
            .await
            .json(&json!({"input": "hi"}));
        let mut asking = Box::pin(ask.open());
        // The client goes away while the request is at work, each time a little later.
        for _ in 0..polls {
            if futures::poll!(&mut asking).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(asking);
        let runs = format!("{RUNS}?thread_id={thread}");
        while world.get(&runs).await.ok()["runs"][0]["status"] != "completed" {
            tokio::task::yield_now().await;
        }
    }
}
