use crate::on_both_stores;
use crate::scratch::Database;
use crate::world::{World, run_with};
use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use serde_json::json;
use server::app::HttpSettings;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

on_both_stores!(
    bodies_that_are_no_strict_json_are_refused,
    bodies_of_another_kind_are_refused,
    nothing_of_a_refused_body_is_kept,
);

const THREADS: &str = "/api/v1/agents/threads";

async fn bodies_that_are_no_strict_json_are_refused(world: Arc<World>) {
    let deep = format!("{{\"metadata\":{}{}}}", "[".repeat(70), "]".repeat(70));
    for (body, code) in [
        (&b""[..], "invalid_json"),
        (b"{", "invalid_json"),
        (b"{\"agent_type\":\"helper\"} x", "invalid_json"),
        (
            b"{\"agent_type\":\"helper\",\"agent_type\":\"helper\"}",
            "duplicate_key",
        ),
        (
            b"{\"agent_type\":\"helper\",\"metadata\":{\"a\":{\"b\":1,\"b\":1}}}",
            "duplicate_key",
        ),
        (
            b"{\"agent_type\":\"helper\",\"title\":\"a\\u0000b\"}",
            "null_character",
        ),
        (b"{\"agent_type\":\"\xff\"}", "invalid_encoding"),
        (deep.as_bytes(), "nesting_too_deep"),
    ] {
        let ask = world.owner("POST", THREADS).await.raw(body);
        let answer = ask.header("content-type", "application/json").send().await;
        assert_eq!(answer.problem(400, code)["error"], "bad_request");
    }
    let body = json!([{"agent_type": "helper"}]);
    world
        .post(THREADS, &body)
        .await
        .problem(422, "validation_error");
    let body = json!(["helper"]);
    world
        .post(THREADS, &body)
        .await
        .problem(422, "validation_error");
}

async fn bodies_of_another_kind_are_refused(world: Arc<World>) {
    let body = br#"{"agent_type":"helper"}"#;
    for kind in [
        "text/plain",
        "application/jsonx",
        "application/json; charset=latin1",
        "multipart/form-data",
        "",
    ] {
        let ask = world.owner("POST", THREADS).await.raw(body);
        let answer = ask.header("content-type", kind).send().await;
        answer.problem(415, "unsupported_media_type");
    }
    let ask = world.owner("POST", THREADS).await.raw(body);
    ask.send().await.problem(415, "unsupported_media_type");
    let ask = world.owner("POST", THREADS).await.raw(body);
    let ask = ask.header("content-type", "application/json");
    let answer = ask.header("content-encoding", "gzip").send().await;
    answer.problem(415, "unsupported_media_type");
    for kind in [
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=UTF-8",
        "application/vnd.x+json",
    ] {
        let ask = world.owner("POST", THREADS).await.raw(body);
        ask.header("content-type", kind).send().await.ok();
    }
}

async fn nothing_of_a_refused_body_is_kept(world: Arc<World>) {
    let body = json!({"agent_type": "helper", "title": 7});
    let problem = world
        .post(THREADS, &body)
        .await
        .problem(422, "validation_error");
    assert_eq!(
        problem["errors"],
        json!([{"path": "title", "message": "invalid type: integer `7`, expected a string"}])
    );
    assert_eq!(world.get(THREADS).await.ok()["threads"], json!([]));
}

fn small() -> HttpSettings {
    HttpSettings {
        body_bytes_max: 1000,
        body_timeout: Duration::from_millis(200),
        ..HttpSettings::default()
    }
}

fn chunks(count: usize) -> Body {
    let chunk = || Ok::<_, Infallible>(Bytes::from_static(&[b' '; 100]));
    Body::from_stream(stream::iter((0..count).map(move |_| chunk())))
}

#[test]
fn large_bodies_are_refused_by_length_and_while_reading() {
    run_with(Database::Sqlite, small(), async |world: Arc<World>| {
        // Refused by its word alone: the body never comes.
        let ask = world.owner("POST", THREADS).await;
        let ask = ask
            .header("content-type", "application/json")
            .header("content-length", "1001");
        let never = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let answer = ask.body(never).send().await;
        assert_eq!(
            answer.problem(413, "body_too_large")["error"],
            "payload_too_large"
        );
        let ask = world
            .owner("POST", THREADS)
            .await
            .header("content-type", "application/json");
        ask.body(chunks(11))
            .send()
            .await
            .problem(413, "body_too_large");
        let ask = world
            .owner("POST", THREADS)
            .await
            .header("content-type", "application/json");
        ask.body(chunks(10))
            .send()
            .await
            .problem(400, "invalid_json");
    });
}

#[test]
fn slow_bodies_are_given_up() {
    run_with(Database::Sqlite, small(), async |world: Arc<World>| {
        let start = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"{"))]);
        let body = Body::from_stream(start.chain(stream::pending()));
        let ask = world
            .owner("POST", THREADS)
            .await
            .header("content-type", "application/json");
        ask.body(body).send().await.problem(408, "request_timeout");
    });
}
