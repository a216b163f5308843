//! A model that does whatever injected text tells it, and clients that lie: nothing gated runs, nothing of another org or
//! of the server's own secrets comes out, and no text can pass for an event.

mod corpus;

use crate::client::Live;
use crate::on_both_stores;
use crate::world::{ACME, RIVAL, World};
use corpus::{Attack, attacks, session_attacks};
use domain::key::Role;
use scripted::{Item, Script, reply};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock};

on_both_stores!(
    model_that_obeys_the_attacker_gets_nothing,
    client_that_lies_gets_nothing
);

const APPROVALS: &str = "/api/v1/agents/approvals";

/// Everything that this process logs, whichever test makes it.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn logged() -> Logged {
    static LOGGED: OnceLock<Logged> = OnceLock::new();
    let install = || {
        let logged = Logged::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_writer(move || writer.clone())
            .finish();
        // Another subscriber would be seen by the assertion that something was logged.
        let _ = tracing::subscriber::set_global_default(subscriber);
        logged
    };
    LOGGED.get_or_init(install).clone()
}

/// What must come out nowhere: the rival's words and ids, and every key.
async fn canaries(world: &World) -> Vec<String> {
    let secret = world.secret(RIVAL, Role::Owner).await;
    let body = json!({"agent_type": "helper", "title": "canary-5d1e9f"});
    let made = world
        .ask("POST", "/api/v1/agents/threads")
        .key(&secret)
        .json(&body)
        .send()
        .await
        .ok();
    vec![
        "canary-5d1e9f".to_owned(),
        made["id"].as_str().unwrap().to_owned(),
        secret,
        world.secret(ACME, Role::Owner).await,
        "SECRET PROMPT".to_owned(),
    ]
}

fn check(what: &str, text: &str, canaries: &[String]) {
    for canary in canaries {
        assert!(
            !text.contains(canary.as_str()),
            "{what}: {canary} in {text}"
        );
    }
}

async fn model_that_obeys_the_attacker_gets_nothing(world: Arc<World>) {
    let logged = logged();
    tracing::info!("the hostile model begins");
    let canaries = canaries(&world).await;
    let foreign = &canaries[1];
    let attacks = attacks(foreign);
    let names: HashSet<&str> = attacks.iter().map(|attack| attack.name.as_str()).collect();
    assert_eq!(names.len(), attacks.len(), "each is another");
    assert!(attacks.len() >= 60, "only {}", attacks.len());
    // An attack names the rival's thread itself; whatever else comes out of it is a leak.
    let leaks: Vec<String> = canaries
        .iter()
        .filter(|it| *it != foreign)
        .cloned()
        .collect();
    for attack in &attacks {
        obey(&world, attack);
        let thread = world.thread("clerk").await;
        let body = json!({"input": "look it up"});
        let live = world.run_open(&thread, &body).await;
        let run = follow(&world, attack, live, &leaks).await;
        let path = format!("/api/v1/agents/runs/{run}");
        let shown = world.get(&path).await.ok();
        check(&attack.name, &shown.to_string(), &leaks);
        for step in shown["steps"].as_array().unwrap() {
            let ran = step["name"] != "look" && step["kind"] == "tool_call";
            assert!(
                !ran || step["status"] == "denied" || step["status"] == "failed_before_effect",
                "{}: {step}",
                attack.name
            );
        }
        assert_eq!(world.paid.load(Ordering::SeqCst), 0, "{}", attack.name);
    }
    let text = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(text.contains("the hostile model begins"), "the log is read");
    // Not the rival's ids: a log is the operator's, and names them.
    check("log", &text, &[canaries[2].clone(), canaries[3].clone()]);
}

/// The model first reads the attacker's words, then does what they ask.
fn obey(world: &World, attack: &Attack) {
    let tells = json!({ "what": attack.tells }).to_string();
    let (does, says) = (attack.does.clone(), attack.says.clone());
    world.model.play(Script::answering(move |request| {
        if !request.ends_with_tool_result() {
            return Some(scripted::Reply::tool_call("look", &tells));
        }
        let obeyed = does.is_empty()
            || request
                .history()
                .iter()
                .filter(|item| matches!(item, Item::Call { .. }))
                .count()
                > 1;
        if obeyed {
            return Some(reply().text(&says).build());
        }
        let mut calls = reply().text(&says);
        for (index, (name, arguments)) in does.iter().enumerate() {
            calls = calls.tool_call(&format!("c{index}"), name, arguments);
        }
        Some(calls.build())
    }));
}

/// Reads the stream to its end, denying what is asked. Returns the run's id.
async fn follow(world: &World, attack: &Attack, mut live: Live, leaks: &[String]) -> String {
    let name = &attack.name;
    let mut run = String::new();
    let mut ended = 0;
    let mut seq = 0;
    let mut denied = HashSet::new();
    while let Some(frame) = live.next().await {
        let id = frame.id.unwrap();
        assert!(id > seq, "{name}: {frame:?}");
        seq = id;
        check(name, &frame.data.to_string(), leaks);
        match frame.event.as_str() {
            "run_created" => frame.data["run_id"].as_str().unwrap().clone_into(&mut run),
            "approval_requested" => {
                let approval = &frame.data["approval"];
                let id = approval["id"].as_str().unwrap();
                denied.insert(id.to_owned());
                let body = json!({"decision": "deny"});
                let path = format!("{APPROVALS}/{id}/resolve");
                world.post(&path, &body).await.ok();
            }
            "approval_resolved" => {
                let id = frame.data["approval_id"].as_str().unwrap();
                assert!(denied.contains(id), "{name}: {frame:?}");
                assert_eq!(frame.data["status"], "denied", "{name}");
            }
            "tool_call_completed" if frame.data["tool_name"] != "look" => {
                assert_eq!(
                    frame.data["is_error"],
                    Value::Bool(true),
                    "{name}: {frame:?}"
                );
            }
            "done" => ended += 1,
            "run_status"
            | "message_delta"
            | "message_completed"
            | "tool_call_requested"
            | "tool_call_started"
            | "tool_call_completed"
            | "lane_changed"
            | "usage"
            | "error"
            | "turn_restarted" => {}
            other => panic!("{name}: the event {other}"),
        }
    }
    assert_eq!(ended, 1, "{name}");
    run
}

async fn client_that_lies_gets_nothing(world: Arc<World>) {
    let canaries = canaries(&world).await;
    let body = json!({"agent_type": "clerk", "query": "pay"});
    for (number, (tool, arguments)) in session_attacks(&canaries[1]).into_iter().enumerate() {
        let session = world.post("/api/v1/agents/sessions", &body).await.ok();
        let id = session["session_id"].as_str().unwrap();
        let token = session["session_token"].as_str().unwrap();
        let path = format!("/api/v1/agents/sessions/{id}/execute");
        let call = json!({"tool_name": tool, "arguments": arguments, "tool_call_id": "c1"});
        let answer = world.ask("POST", &path).key(token).json(&call).send().await;
        assert!(answer.status < 500, "{number}: {}", answer.status);
        let text = String::from_utf8(answer.body.to_vec()).unwrap();
        let leaks = [
            canaries[0].clone(),
            canaries[2].clone(),
            canaries[3].clone(),
        ];
        check(tool, &text, &leaks);
        // The token of a session decides nothing and sees nothing but its session.
        let inbox = world.get(&format!("{APPROVALS}?run_id={id}")).await.ok();
        for approval in inbox["approvals"].as_array().unwrap() {
            let path = format!("{APPROVALS}/{}/resolve", approval["id"].as_str().unwrap());
            let approve = json!({"decision": "approve"});
            let refused = world
                .ask("POST", &path)
                .key(token)
                .json(&approve)
                .send()
                .await;
            refused.problem(403, "role_forbidden");
        }
        for path in ["/api/v1/agents/runs", "/api/v1/agents/audit", APPROVALS] {
            let refused = world.ask("GET", path).key(token).send().await;
            refused.problem(403, "role_forbidden");
        }
        assert_eq!(world.paid.load(Ordering::SeqCst), 0, "{number}");
    }
}
