use crate::on_both_stores;
use crate::world::{PANICS, World};
use serde_json::json;
use server::problem::Code;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

on_both_stores!(
    unknown_routes_and_methods_have_the_one_form,
    request_ids_are_kept_if_sane,
    problem_has_every_field,
    headers_have_limits,
    probes_and_pages_are_open,
    panic_is_told_like_any_failure_here,
    closed_store_is_unavailable,
);

async fn unknown_routes_and_methods_have_the_one_form(world: Arc<World>) {
    for path in [
        "/nothing",
        "/api/v1/agents/nothing",
        "/api/v1/agents/threads/a/b/c",
        "/api/v1",
        "//",
    ] {
        let answer = world.ask("GET", path).send().await;
        if path == "//" {
            answer.ok();
        } else {
            answer.problem(404, "route_not_found");
        }
    }
    let answer = world.ask("PUT", "/api/v1/agents/threads").send().await;
    assert_eq!(
        answer.problem(405, "method_not_allowed")["error"],
        "method_not_allowed"
    );
    let allowed: BTreeSet<&str> = answer.header("allow").split(',').map(str::trim).collect();
    assert!(
        allowed.is_superset(&BTreeSet::from(["GET", "POST"])),
        "{allowed:?}"
    );
}

async fn request_ids_are_kept_if_sane(world: Arc<World>) {
    let long = "x".repeat(128);
    for id in ["a", "A.b_c-9", &long] {
        let answer = world
            .ask("GET", "/healthz")
            .header("x-request-id", id)
            .send()
            .await;
        assert_eq!(answer.header("x-request-id"), id);
    }
    let too_long = "x".repeat(129);
    let mut made = BTreeSet::new();
    for id in ["", "a b", "a\"b", "<x>", "é", &too_long] {
        let answer = world
            .ask("GET", "/nothing")
            .header("x-request-id", id)
            .send()
            .await;
        let problem = answer.problem(404, "route_not_found");
        let given = problem["request_id"].as_str().unwrap().to_owned();
        assert_eq!(given.len(), 36, "{given}");
        made.insert(given);
    }
    assert_eq!(made.len(), 6);
    let live = world
        .owner("GET", "/api/v1/agents/approvals/stream?follow=false")
        .await;
    let answer = live.header("x-request-id", "on-a-stream").send().await;
    assert_eq!(answer.header("x-request-id"), "on-a-stream");
}

async fn problem_has_every_field(world: Arc<World>) {
    let ask = world.owner("GET", "/api/v1/agents/runs/x").await;
    let answer = ask.header("x-request-id", "r").send().await;
    let text = "Nothing that this API key may see has this id.";
    assert_eq!(
        answer.json(),
        json!({
            "error": "not_found",
            "code": "not_found",
            "message": text,
            "detail": text,
            "status_code": 404,
            "request_id": "r",
            "retryable": false,
            "errors": [],
        })
    );
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

async fn headers_have_limits(world: Arc<World>) {
    let ask = world
        .ask("GET", "/healthz")
        .header("x-long", &"x".repeat(40_000));
    ask.send().await.problem(431, "headers_too_large");
    let mut ask = world.ask("GET", "/healthz");
    for index in 0..101 {
        ask = ask.header(&format!("x-{index}"), "1");
    }
    ask.send().await.problem(431, "headers_too_large");
    let path = format!("/healthz?{}", "x".repeat(40_000));
    world
        .ask("GET", &path)
        .send()
        .await
        .problem(431, "headers_too_large");
    let ask = world.ask("GET", "/healthz").header("content-length", "1");
    let answer = ask.header("transfer-encoding", "chunked").send().await;
    answer.problem(400, "bad_request");
}

async fn probes_and_pages_are_open(world: Arc<World>) {
    assert_eq!(
        world.ask("GET", "/healthz").send().await.ok(),
        json!({"status": "ok"})
    );
    assert_eq!(
        world.ask("GET", "/readyz").send().await.ok(),
        json!({"status": "ready"})
    );
    assert_eq!(world.ask("GET", "/").send().await.ok()["docs"], "/docs");
    let document = world.ask("GET", "/openapi.json").send().await;
    assert_eq!(document.ok()["openapi"], "3.1.0");
    for (path, kind) in [
        ("/docs", "text/html; charset=utf-8"),
        ("/docs/docs.js", "text/javascript; charset=utf-8"),
        ("/docs/docs.css", "text/css; charset=utf-8"),
    ] {
        let answer = world.ask("GET", path).send().await;
        assert_eq!((answer.status, answer.header("content-type")), (200, kind));
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src 'none'")
        );
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            !text.contains("http://") && !text.contains("https://"),
            "{path} needs another host"
        );
    }
}

async fn panic_is_told_like_any_failure_here(world: Arc<World>) {
    let path = "/api/v1/agents/threads";
    let problem = world.post(path, &json!({"agent_type": PANICS})).await;
    let problem = problem.problem(500, "internal_error");
    assert_eq!(
        (&problem["error"], &problem["message"]),
        (
            &json!("internal_error"),
            &json!(Code::internal_error.title())
        )
    );
    world
        .post(path, &json!({"agent_type": "helper"}))
        .await
        .ok();
}

async fn closed_store_is_unavailable(world: Arc<World>) {
    let path = "/api/v1/agents/threads";
    world.get(path).await.ok();
    world.store.close().await;
    let problem = world.get(path).await.problem(503, "store_unavailable");
    assert_eq!(
        (&problem["error"], &problem["retryable"]),
        (&json!("service_unavailable"), &json!(true))
    );
    world
        .ask("GET", "/readyz")
        .send()
        .await
        .problem(503, "store_unavailable");
    world.ask("GET", "/healthz").send().await.ok();
}

#[test]
fn every_code_has_its_page() {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/problems");
    let pages: BTreeSet<String> = std::fs::read_dir(pages)
        .expect("the folder is there")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    let codes = Code::ALL
        .iter()
        .map(|code| format!("{}.md", code.as_str()))
        .collect();
    assert_eq!(pages, codes);
}
