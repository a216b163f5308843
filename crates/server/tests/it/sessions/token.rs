//! Tokens of sessions: what they open, for how long, how they are renewed and revoked, and from which pages they work.

use super::{Begun, SESSIONS, begin};
use crate::on_both_stores;
use crate::operations;
use crate::scratch::Database;
use crate::world::{World, run_with};
use serde_json::{Value, json};
use server::app::HttpSettings;
use std::sync::Arc;
use std::time::Duration;

on_both_stores!(
    token_opens_its_session_and_nothing_else,
    tokens_are_renewed_and_revoked,
    token_is_short_lived,
);

async fn token_opens_its_session_and_nothing_else(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let ids = operations::Ids {
        thread: world.thread("helper").await,
        run: session.id.clone(),
        session: session.id.clone(),
        approval: session.id.clone(),
        key: session.id.clone(),
        grant: session.id.clone(),
    };
    let (mut opened, mut closed) = (0, 0);
    let mut all = operations::all();
    // What ends the session comes last.
    all.sort_by_key(|operation| operation.id == "complete_session");
    for operation in all.iter().filter(|operation| operation.role.is_some()) {
        let ask = world
            .ask(&operation.method, &operation.path_with(&ids))
            .key(&session.token);
        let answer = match operation.body() {
            Some(body) => ask.json(&body).send().await,
            None => ask.send().await,
        };
        if operation.role.as_deref() == Some("session") {
            answer.ok();
            opened += 1;
        } else {
            answer.problem(403, "role_forbidden");
            closed += 1;
        }
    }
    assert!(opened >= 4 && closed >= 15, "{opened} {closed}");
}

async fn tokens_are_renewed_and_revoked(world: Arc<World>) {
    let session = begin(&world, json!({})).await;
    let path = session.path("token");
    let ask = world.ask("POST", &path).key(&session.token);
    ask.send().await.problem(403, "role_forbidden");
    let renewed = world.post(&path, &json!({"ttl_s": 60})).await.ok();
    let second = renewed["session_token"].as_str().unwrap().to_owned();
    let read = async |token: &str| {
        let path = format!("{SESSIONS}/{}", session.id);
        world.ask("GET", &path).key(token).send().await
    };
    for token in [&session.token, &second] {
        read(token).await.ok();
    }
    // One alone is revoked as the key that it is; then all that are left.
    let key = format!(
        "/api/v1/agents/keys/{}",
        renewed["token_id"].as_str().unwrap()
    );
    world.owner("DELETE", &key).await.send().await.ok();
    read(&second).await.problem(401, "invalid_key");
    read(&session.token).await.ok();
    for revoked in [1, 0] {
        let answer = world.owner("DELETE", &path).await.send().await.ok();
        assert_eq!(
            answer,
            json!({"session_id": session.id, "revoked": revoked})
        );
    }
    read(&session.token).await.problem(401, "invalid_key");
    let last = world.owner("POST", &path).await;
    let last = last.header("idempotency-key", "k").send().await.ok();
    let token = last["session_token"].as_str().unwrap();
    assert_eq!(read(token).await.ok()["status"], "running");
    let again = world.owner("POST", &path).await;
    let again = again.header("idempotency-key", "k").send().await.ok();
    assert_eq!(
        (&again["token_id"], &again["session_token"]),
        (&last["token_id"], &Value::Null)
    );
}

async fn token_is_short_lived(world: Arc<World>) {
    let session = begin(&world, json!({"ttl_s": 86_400})).await;
    let brief = begin(&world, json!({"ttl_s": 86_400, "token_ttl_s": 30})).await;
    let read = async |session: &Begun| {
        let path = format!("{SESSIONS}/{}", session.id);
        world.ask("GET", &path).key(&session.token).send().await
    };
    world.clock.advance(Duration::from_secs(31));
    read(&session).await.ok();
    read(&brief).await.problem(401, "invalid_key");
    world.clock.advance(Duration::from_secs(3_600));
    read(&session).await.problem(401, "invalid_key");
    let renewed = world.post(&brief.path("token"), &json!({})).await.ok();
    let renewed = Begun {
        token: renewed["session_token"].as_str().unwrap().to_owned(),
        ..brief
    };
    read(&renewed).await.ok();
    for (path, body, field) in [
        (
            SESSIONS.to_owned(),
            json!({"agent_type": "clerk", "query": "x", "token_ttl_s": 0}),
            "token_ttl_s",
        ),
        (renewed.path("token"), json!({"ttl_s": 3_601}), "ttl_s"),
    ] {
        let problem = world
            .post(&path, &body)
            .await
            .problem(422, "validation_error");
        assert_eq!(problem["errors"][0]["path"], field);
    }
}

#[test]
fn pages_of_declared_origins_can_use_a_token() {
    let settings = HttpSettings {
        allowed_origins: vec!["https://app.example.com".to_owned()],
        ..HttpSettings::default()
    };
    run_with(Database::Sqlite, settings, async |world: Arc<World>| {
        let session = begin(&world, json!({})).await;
        let preflight = |origin: &str| {
            let ask = world.ask("OPTIONS", &session.path("responses"));
            let ask = ask.header("origin", origin);
            let ask = ask.header("access-control-request-method", "POST");
            ask.header(
                "access-control-request-headers",
                "authorization, x-stainless-os",
            )
        };
        let allowed = preflight("https://app.example.com").send().await;
        assert_eq!(allowed.status, 204);
        let headers = allowed.header("access-control-allow-headers");
        let headers: Vec<&str> = headers.split(',').map(str::trim).collect();
        for wanted in ["authorization", "x-stainless-os", "x-stainless-retry-count"] {
            assert!(headers.contains(&wanted), "{headers:?}");
        }
        let refused = preflight("https://evil.example").send().await;
        refused.problem(403, "origin_not_allowed");
        assert_eq!(refused.header("access-control-allow-origin"), "");
        let body = json!({"model": "tiny", "input": "hi"});
        let ask = world
            .ask("POST", &session.path("responses"))
            .key(&session.token);
        let ask = ask.header("origin", "https://app.example.com").json(&body);
        let answer = ask.send().await;
        answer.ok();
        assert_eq!(
            answer.header("access-control-allow-origin"),
            "https://app.example.com"
        );
    });
}
