//! The journal of a device that worked without the network, over HTTP.

use crate::client::Answer;
use crate::on_both_stores;
use crate::sessions::{Begun, begin};
use crate::world::World;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;

on_both_stores!(
    reported_steps_are_marked_as_the_clients_word,
    report_that_does_not_follow_names_where,
    what_cannot_be_an_entry_is_refused,
);

fn hash(prev: &str, entry: &str) -> String {
    let hex = Sha256::digest(format!("{prev}\n{entry}").as_bytes());
    hex.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn genesis() -> String {
    "0".repeat(64)
}

/// Chained entries of these texts, from number `seq` on.
fn chain(mut seq: u64, mut prev: String, texts: &[String]) -> Vec<Value> {
    let mut entries = Vec::new();
    for text in texts {
        let hash = hash(&prev, text);
        entries.push(json!({"seq": seq, "prev": prev, "hash": hash, "entry": text}));
        prev = hash;
        seq += 1;
    }
    entries
}

fn said(name: &str) -> String {
    json!({
        "kind": "model_turn", "name": name, "input": {"asked": "é"}, "output": "so",
        "started_at": "2026-01-31T12:00:00+01:00", "completed_at": "2026-01-31T11:00:02Z",
        "usage": {"input_tokens": 7, "output_tokens": 2},
    })
    .to_string()
}

async fn report(world: &World, session: &Begun, entries: &[Value]) -> Answer {
    let ask = world.ask("POST", &session.path("steps"));
    let body = json!({"entries": entries});
    ask.key(&session.token).json(&body).send().await
}

async fn reported_steps_are_marked_as_the_clients_word(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    assert_eq!(
        session.body["journal"],
        json!({"seq": 0, "hash": genesis()})
    );
    let camera = json!({
        "kind": "tool_call", "name": "camera", "is_error": true, "output": "no light",
        "started_at": "2026-01-31T11:00:03Z", "completed_at": "2026-01-31T11:00:03.5Z",
    });
    let entries = chain(1, genesis(), &[said("pocket"), camera.to_string()]);
    let first = report(&world, &session, &entries).await.ok();
    assert_eq!(first["steps"][1]["step_index"], 1);
    assert_eq!(report(&world, &session, &entries).await.ok(), first);
    let execute = json!({"tool_name": "look", "arguments": {}, "tool_call_id": "c"});
    let ask = world.ask("POST", &session.path("execute"));
    ask.key(&session.token).json(&execute).send().await.ok();
    let run = format!("/api/v1/agents/runs/{}", session.id);
    let run = world.get(&run).await.ok();
    let steps = run["steps"].as_array().unwrap();
    let seen: Vec<(&Value, &Value, &Value)> = steps
        .iter()
        .map(|step| (&step["source"], &step["kind"], &step["status"]))
        .collect();
    let word = |text: &str| json!(text);
    assert_eq!(
        seen,
        [
            (&word("client"), &word("model_turn"), &word("completed")),
            (&word("client"), &word("tool_call"), &word("failed")),
            (&word("server"), &word("tool_call"), &word("committed")),
        ]
    );
    assert_eq!(steps[0]["started_at"], "2026-01-31T11:00:00.000000Z");
    assert_eq!(
        (&steps[0]["duration_ms"], &steps[0]["usage"]["input_tokens"]),
        (&json!(2_000), &json!(7))
    );
    assert_eq!(run["usage"]["input_tokens"], 0, "nothing was spent here");
    let path = format!("/api/v1/agents/sessions/{}", session.id);
    let read = world.get(&path).await.ok();
    assert_eq!(
        read["journal"],
        json!({"seq": 2, "hash": entries[1]["hash"]})
    );
    let events = format!("/api/v1/agents/runs/{}/events?follow=false", session.id);
    let events = world.get(&events).await.frames();
    let told: Vec<&Value> = events
        .iter()
        .filter(|frame| frame.event == "step_reported")
        .map(|frame| &frame.data["name"])
        .collect();
    assert_eq!(told, [&word("pocket"), &word("camera")]);
}

async fn report_that_does_not_follow_names_where(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let entries = chain(1, genesis(), &[said("a"), said("b"), said("c")]);
    report(&world, &session, &entries[..1]).await.ok();
    let gap = report(&world, &session, &entries[2..]).await;
    let gap = gap.problem(409, "journal_gap");
    assert_eq!(
        gap["details"],
        json!({"expected_seq": 2, "expected_prev": entries[0]["hash"]})
    );
    let other = chain(1, genesis(), &[said("x"), said("y")]);
    let fork = report(&world, &session, &other).await;
    assert_eq!(fork.problem(409, "journal_fork")["details"]["seq"], 1);
    let fork = report(&world, &session, &other[1..]).await;
    assert_eq!(fork.problem(409, "journal_fork")["details"]["seq"], 2);
    // A tool of the session's cannot have run on the device.
    let text = said("look").replace("model_turn", "tool_call");
    let claimed = chain(2, entries[0]["hash"].as_str().unwrap().to_owned(), &[text]);
    let claimed = report(&world, &session, &claimed).await;
    let claimed = claimed.problem(422, "server_tool_reported");
    assert_eq!(claimed["details"], json!({"seq": 2, "tool": "look"}));
    report(&world, &session, &entries).await.ok();
}

async fn what_cannot_be_an_entry_is_refused(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let good = chain(1, genesis(), &[said("a"), said("b")]);
    let with = |index: usize, field: &str, value: Value| {
        let mut entries = good.clone();
        entries[index][field] = value;
        entries
    };
    let text = |text: &str| chain(1, genesis(), &[text.to_owned()]);
    let long = said(&"n".repeat(70_000));
    for (entries, path) in [
        (vec![], "entries"),
        (with(0, "seq", json!(0)), "entries[0].seq"),
        (with(1, "seq", json!(3)), "entries[1].seq"),
        (with(1, "prev", json!(genesis())), "entries[1].prev"),
        (with(0, "hash", json!(genesis())), "entries[0].hash"),
        (with(0, "entry", json!(said("c"))), "entries[0].hash"),
        (text("nonsense"), "entries[0].entry"),
        (text("[]"), "entries[0].entry"),
        (text("{}"), "entries[0].entry.kind"),
        (text(r#"{"kind":"gate"}"#), "entries[0].entry.kind"),
        (
            text(r#"{"kind":"model_turn","kind":"tool_call"}"#),
            "entries[0].entry",
        ),
        (text(&said("")), "entries[0].entry.name"),
        (
            text(&said("a").replace("2026-01-31T11", "2025-01-31T11")),
            "entries[0].entry.completed_at",
        ),
        (text(&long), "entries[0].entry"),
    ] {
        let problem = report(&world, &session, &entries).await;
        let problem = problem.problem(422, "validation_error");
        assert_eq!(problem["errors"][0]["path"], path, "{problem}");
    }
    let run = format!("/api/v1/agents/runs/{}", session.id);
    assert_eq!(world.get(&run).await.ok()["steps"], json!([]));
}
