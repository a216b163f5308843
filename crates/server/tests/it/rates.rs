//! An org that asks too often, and a server that is not there to be asked.

use crate::scratch::Database;
use crate::world::{ACME, RIVAL, World, run_with};
use domain::key::Role;
use domain::ports::clock::Clock;
use futures::future::join_all;
use serde_json::json;
use server::app::HttpSettings;
use std::sync::Arc;

const THREADS: &str = "/api/v1/agents/threads";

#[test]
fn org_that_asks_too_often_is_told_when_to_come_again() {
    let settings = HttpSettings {
        org_requests_per_s: 1,
        org_requests_burst: 3,
        ..HttpSettings::default()
    };
    run_with(Database::Sqlite, settings, async |world: Arc<World>| {
        let (owner, viewer, other) = (
            world.secret(ACME, Role::Owner).await,
            world.secret(ACME, Role::Viewer).await,
            world.secret(RIVAL, Role::Owner).await,
        );
        // Keys of one org share its pace.
        let asks = (0..40).map(|n| {
            let secret = if n % 2 == 0 { &owner } else { &viewer };
            world.ask("GET", THREADS).key(secret).send()
        });
        let answers = join_all(asks).await;
        let (good, bad): (Vec<_>, Vec<_>) = answers.iter().partition(|it| it.status == 200);
        assert!(good.len() >= 3 && !bad.is_empty(), "{}", good.len());
        for answer in bad {
            let problem = answer.problem(429, "rate_limited");
            assert_eq!(problem["retryable"], true);
            assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
        }
        world.ask("GET", THREADS).key(&other).send().await.ok();
        // Whoever looks after the server is no org.
        assert_eq!(world.ask("GET", "/readyz").send().await.status, 200);
    });
}

#[test]
fn server_that_only_carries_runs_answers_only_who_looks_after_it() {
    let settings = HttpSettings {
        serves_api: false,
        ..HttpSettings::default()
    };
    run_with(Database::Sqlite, settings, async |world: Arc<World>| {
        let owner = world.secret(ACME, Role::Owner).await;
        for path in ["/healthz", "/readyz", "/metrics"] {
            let answer = world.ask("GET", path).send().await;
            assert_eq!(answer.status, 200, "{path}");
        }
        let unknown = world.clock.uuid();
        for (method, path) in [
            ("GET", format!("/api/v1/agents/runs/{unknown}")),
            ("POST", format!("/api/v1/agents/threads/{unknown}/runs")),
            ("GET", "/console".to_owned()),
        ] {
            let ask = world.ask(method, &path).key(&owner);
            let answer = ask.json(&json!({"input": "hi"})).send().await;
            answer.problem(404, "route_not_found");
        }
    });
}
