use crate::on_both_stores;
use crate::scratch::Database;
use crate::world::{ACME, World, run_with};
use axum::body::Body;
use bytes::Bytes;
use domain::key::Role;
use domain::ports::clock::Clock;
use futures::stream;
use server::app::HttpSettings;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

on_both_stores!(
    requests_without_a_live_key_are_refused,
    either_header_carries_the_key,
    caller_is_known_before_the_body_is_read,
    session_tokens_open_nothing_here,
    key_revoked_elsewhere_is_refused_within_seconds,
);

const AGENTS: &str = "/api/v1/agents";

async fn requests_without_a_live_key_are_refused(world: Arc<World>) {
    let answer = world.ask("GET", AGENTS).send().await;
    answer.problem(401, "missing_key");
    assert_eq!(
        answer.header("www-authenticate"),
        "Bearer realm=\"runyard\""
    );
    let secret = world.secret(ACME, Role::Owner).await;
    let (_, expired) = world.new_key(ACME, Role::Owner, Some(Duration::ZERO)).await;
    let cut = &secret[..secret.len() - 1];
    for wrong in [
        "x",
        cut,
        &format!("{secret}x"),
        &secret.to_uppercase(),
        &expired,
    ] {
        let answer = world.ask("GET", AGENTS).key(wrong).send().await;
        answer.problem(401, "invalid_key");
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"runyard\""
        );
        assert!(!String::from_utf8_lossy(&answer.body).contains(wrong) || wrong == "x");
    }
    for header in ["Bearer", "Bearer ", "Basic abc", &secret] {
        let answer = world
            .ask("GET", AGENTS)
            .header("authorization", header)
            .send()
            .await;
        answer.problem(401, "missing_key");
    }
}

async fn either_header_carries_the_key(world: Arc<World>) {
    let secret = world.secret(ACME, Role::Viewer).await;
    let other = world.secret(ACME, Role::Owner).await;
    world
        .ask("GET", AGENTS)
        .header("x-api-key", &secret)
        .send()
        .await
        .ok();
    world
        .ask("GET", AGENTS)
        .key(&secret)
        .header("x-api-key", &secret)
        .send()
        .await
        .ok();
    let answer = world
        .ask("GET", AGENTS)
        .key(&secret)
        .header("x-api-key", &other)
        .send()
        .await;
    answer.problem(401, "missing_key");
    let answer = world
        .ask("GET", &format!("{AGENTS}?api_key={secret}"))
        .send()
        .await;
    answer.problem(401, "missing_key");
}

async fn caller_is_known_before_the_body_is_read(world: Arc<World>) {
    let never = || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
    let path = "/api/v1/agents/threads";
    world
        .ask("POST", path)
        .body(never())
        .send()
        .await
        .problem(401, "missing_key");
    world
        .ask("POST", path)
        .key("x")
        .body(never())
        .send()
        .await
        .problem(401, "invalid_key");
    let viewer = world.secret(ACME, Role::Viewer).await;
    let answer = world
        .ask("POST", path)
        .key(&viewer)
        .body(never())
        .send()
        .await;
    answer.problem(403, "role_forbidden");
}

async fn session_tokens_open_nothing_here(world: Arc<World>) {
    let token = world.secret(ACME, Role::Session).await;
    for path in [AGENTS, "/api/v1/agents/threads", "/api/v1/agents/runs/x"] {
        let answer = world.ask("GET", path).key(&token).send().await;
        assert_eq!(answer.problem(403, "role_forbidden")["error"], "forbidden");
    }
}

async fn key_revoked_elsewhere_is_refused_within_seconds(world: Arc<World>) {
    let (id, secret) = world.new_key(ACME, Role::Viewer, None).await;
    world.ask("GET", AGENTS).key(&secret).send().await.ok();
    let now = world.clock.now();
    assert!(
        world
            .store
            .revoke_key(&world.scope(ACME), id, now, &world.entry(id))
            .await
            .expect("the store answers")
    );
    let begun = std::time::Instant::now();
    while world.ask("GET", AGENTS).key(&secret).send().await.status == 200 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "a revoked key still works"
        );
        tokio::task::yield_now().await;
    }
}

#[test]
fn guessing_is_slowed_by_address() {
    let settings = HttpSettings {
        failed_logins_max: 3,
        failed_login_forgotten_after: Duration::from_secs(3600),
        key_ttl: Duration::ZERO,
        ..HttpSettings::default()
    };
    run_with(Database::Sqlite, settings, async |world: Arc<World>| {
        let good = world.secret(ACME, Role::Viewer).await;
        let late = world.secret(ACME, Role::Approver).await;
        let guesser = "192.0.2.7";
        world
            .ask("GET", AGENTS)
            .peer(guesser)
            .key(&good)
            .send()
            .await
            .ok();
        for _ in 0..3 {
            let ask = world.ask("GET", AGENTS).peer(guesser).key("guess");
            ask.send().await.problem(401, "invalid_key");
        }
        let answer = world
            .ask("GET", AGENTS)
            .peer(guesser)
            .key("guess")
            .send()
            .await;
        assert_eq!(
            answer.problem(429, "too_many_failed_logins")["error"],
            "rate_limited"
        );
        assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
        // Not even a good key is looked up for the guesser, unless it was good a moment ago.
        let answer = world
            .ask("GET", AGENTS)
            .peer(guesser)
            .key(&late)
            .send()
            .await;
        answer.problem(429, "too_many_failed_logins");
        world
            .ask("GET", AGENTS)
            .peer(guesser)
            .key(&good)
            .send()
            .await
            .ok();
        world
            .ask("GET", AGENTS)
            .peer("192.0.2.8")
            .key(&late)
            .send()
            .await
            .ok();
    });
}
