use crate::client::Answer;
use crate::on_both_stores;
use crate::operations::{self, Ids, Operation};
use crate::world::{ACME, RIVAL, World};
use domain::key::Role;
use domain::ports::clock::Clock;
use serde_json::json;
use std::sync::Arc;

on_both_stores!(
    foreign_ids_are_answered_like_unknown_ones,
    lists_show_their_own_org_only,
    cursors_of_another_org_are_refused,
    token_of_another_session_sees_nothing,
);

/// What of `acme` a stranger may try to reach.
struct Victim {
    ids: Ids,
    live: crate::client::Live,
}

async fn victim(world: &World) -> Victim {
    let grant = grant(world).await;
    let (live, approval) = world.waiting().await;
    let (key, _) = world.new_key(ACME, Role::Viewer, None).await;
    let begin = json!({"agent_type": "clerk", "query": "hi", "context": {}});
    let session = world.post("/api/v1/agents/sessions", &begin).await.ok();
    let text = |name: &str| approval[name].as_str().expect("an id").to_owned();
    Victim {
        ids: Ids {
            thread: text("thread_id"),
            run: text("run_id"),
            session: session["session_id"].as_str().expect("an id").to_owned(),
            approval: text("id"),
            key: key.to_string(),
            grant,
        },
        live,
    }
}

/// Remembers an approval of other arguments than those that the victim's run waits with.
async fn grant(world: &World) -> String {
    let (mut live, approval) = world.waiting().await;
    let resolve = format!(
        "/api/v1/agents/approvals/{}/resolve",
        approval["id"].as_str().expect("an id")
    );
    let body = json!({
        "decision": "approve", "arguments": {"amount": 99}, "remember": {"predicate": "args.amount == 99"}
    });
    world.post(&resolve, &body).await.ok();
    live.until("done").await;
    let listed = world.get("/api/v1/agents/grants").await.ok();
    listed["grants"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

async fn ask(world: &World, operation: &Operation, ids: &Ids) -> Answer {
    let secret = world.secret(RIVAL, Role::Owner).await;
    let ask = world
        .ask(&operation.method, &operation.path_with(ids))
        .key(&secret);
    // With one id for all requests, equal answers are equal in every byte.
    let ask = ask.header("x-request-id", "same");
    match operation.body() {
        Some(body) => ask.json(&body).send().await,
        None => ask.send().await,
    }
}

async fn foreign_ids_are_answered_like_unknown_ones(world: Arc<World>) {
    let mut victim = victim(&world).await;
    let run = format!("/api/v1/agents/runs/{}", victim.ids.run);
    let thread = format!("/api/v1/agents/threads/{}", victim.ids.thread);
    let before = (world.get(&run).await.ok(), world.get(&thread).await.ok());
    let with = |id: String| Ids {
        thread: id.clone(),
        run: id.clone(),
        session: id.clone(),
        approval: id.clone(),
        key: id.clone(),
        grant: id,
    };
    let malformed = [
        "x".to_owned(),
        "0".to_owned(),
        victim.ids.run.to_uppercase(),
        victim.ids.run.replace('-', ""),
        format!("{{{}}}", victim.ids.run),
        format!("{}%00", victim.ids.run),
        "%ff".to_owned(),
        "..%2f..".to_owned(),
        "x".repeat(5_000),
    ]
    .map(|id| id.replace('{', "%7B").replace('}', "%7D"));
    let mut tried = 0;
    for operation in operations::all()
        .iter()
        .filter(|operation| operation.has_ids())
    {
        let unknown = ask(&world, operation, &with(world.clock.uuid().to_string())).await;
        unknown.problem(404, "not_found");
        let foreign = ask(&world, operation, &victim.ids).await;
        assert_eq!(foreign, unknown, "{}", operation.id);
        for id in &malformed {
            let answer = ask(&world, operation, &with(id.clone())).await;
            assert_eq!(answer, unknown, "{} {id}", operation.id);
        }
        tried += 1;
    }
    assert!(tried >= 13, "{tried}");
    assert_eq!(
        (world.get(&run).await.ok(), world.get(&thread).await.ok()),
        before
    );
    let keys = world.get("/api/v1/agents/keys").await.ok();
    assert!(
        keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .all(|key| key["revoked_at"].is_null())
    );
    let resolve = format!("/api/v1/agents/approvals/{}/resolve", victim.ids.approval);
    world
        .post(&resolve, &json!({"decision": "approve"}))
        .await
        .ok();
    assert_eq!(victim.live.until("done").await.data["status"], "completed");
}

async fn lists_show_their_own_org_only(world: Arc<World>) {
    let victim = victim(&world).await;
    let secret = world.secret(RIVAL, Role::Owner).await;
    let ids = [
        &victim.ids.thread,
        &victim.ids.run,
        &victim.ids.session,
        &victim.ids.approval,
        &victim.ids.key,
        &victim.ids.grant,
    ];
    let mut tried = 0;
    for operation in operations::all() {
        if operation.method != "GET" || operation.has_ids() || operation.role.is_none() {
            continue;
        }
        let mut paths = vec![operation.path_with(&victim.ids)];
        for query in &operation.queries {
            let value = match query.as_str() {
                "thread_id" => &victim.ids.thread,
                "run_id" => &victim.ids.run,
                "agent_type" => "clerk",
                "status" => "pending",
                "limit" => "50",
                "cursor" | "follow" | "after" | "from" | "to" => continue,
                "bucket" => "hour",
                "by" => "key",
                other => panic!("{}: what may stand in {other}?", operation.id),
            };
            let value = match (operation.id.as_str(), query.as_str()) {
                ("list_runs", "status") => "awaiting_approval",
                ("list_sessions", "status") => "running",
                _ => value,
            };
            paths.push(format!("{}?{query}={value}", operation.path));
        }
        let paths = paths
            .into_iter()
            .filter(|path| operation.id != "stream_approvals" || path.contains('?'));
        for path in paths {
            let answer = world.ask("GET", &path).key(&secret).send().await;
            assert_eq!(answer.status, 200, "{path}");
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            for id in ids {
                assert!(!text.contains(id.as_str()), "{path} shows {id}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 12, "{tried}");
    drop(victim.live);
}

async fn cursors_of_another_org_are_refused(world: Arc<World>) {
    for _ in 0..2 {
        world.thread("helper").await;
    }
    let path = "/api/v1/agents/threads?limit=1";
    let page = world.get(path).await.ok();
    let cursor = page["next_cursor"].as_str().unwrap();
    let path = format!("{path}&cursor={cursor}");
    world.get(&path).await.ok();
    let secret = world.secret(RIVAL, Role::Viewer).await;
    let answer = world.ask("GET", &path).key(&secret).send().await;
    answer.problem(400, "invalid_cursor");
    let path = format!("/api/v1/agents/runs?cursor={cursor}");
    world.get(&path).await.problem(400, "invalid_cursor");
}

/// Paths that stand for an operation of the document without being in it.
const ALIASES: [&str; 2] = ["turns", "responses"];

async fn token_of_another_session_sees_nothing(world: Arc<World>) {
    let begin = json!({"agent_type": "clerk", "query": "hi", "context": {}});
    let mut sessions = Vec::new();
    for _ in 0..2 {
        sessions.push(world.post("/api/v1/agents/sessions", &begin).await.ok());
    }
    let text =
        |session: usize, name: &str| sessions[session][name].as_str().expect("text").to_owned();
    let token = text(0, "session_token");
    let unknown = world.clock.uuid().to_string();
    let mut asked: Vec<(String, String, Option<serde_json::Value>)> = operations::all()
        .iter()
        .filter(|operation| operation.path.contains("{session_id}"))
        .filter(|operation| operation.role.as_deref() == Some("session"))
        .map(|it| (it.method.clone(), it.path.clone(), it.body()))
        .collect();
    for alias in ALIASES {
        let path = format!("/api/v1/agents/sessions/{{session_id}}/{alias}");
        asked.push((
            "POST".to_owned(),
            path,
            Some(json!({"model": "tiny", "input": "hi"})),
        ));
    }
    for (method, path, body) in asked {
        let ask = async |id: &str, secret: &str| {
            let path = path.replace("{session_id}", id);
            let ask = world
                .ask(&method, &path)
                .key(secret)
                .header("x-request-id", "same");
            match &body {
                Some(body) => ask.json(body).send().await,
                None => ask.send().await,
            }
        };
        let nothing = ask(&unknown, &token).await;
        nothing.problem(404, "not_found");
        assert_eq!(ask(&text(1, "session_id"), &token).await, nothing, "{path}");
        let rival = world.secret(RIVAL, Role::Owner).await;
        assert_eq!(ask(&text(1, "session_id"), &rival).await, nothing, "{path}");
    }
    let other = world
        .get(&format!(
            "/api/v1/agents/sessions/{}",
            text(1, "session_id")
        ))
        .await
        .ok();
    assert_eq!(other["status"], "running");
    world
        .ask(
            "GET",
            &format!("/api/v1/agents/sessions/{}", text(0, "session_id")),
        )
        .key(&token)
        .send()
        .await
        .ok();
}
