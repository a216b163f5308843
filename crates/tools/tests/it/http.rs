//! The HTTP tool against real servers: what is sent, and what each end of a request amounts to.

use crate::support::{
    LIMIT, Raw, Reply, before, committed, gateway, http, ready, result, run, scope, unknown,
};
use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::routing::any;
use domain::ports::tools::Tools;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tools::Gateway;

/// Tells what it was sent.
async fn echo() -> u16 {
    let app = Router::new().fallback(any(|request: Request| async move {
        let (parts, body) = request.into_parts();
        let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let headers: serde_json::Map<String, Value> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), json!(value.to_str().unwrap())))
            .collect();
        let body =
            serde_json::from_slice::<Value>(&body).unwrap_or(json!(String::from_utf8_lossy(&body)));
        axum::Json(json!({
            "method": parts.method.as_str(),
            "uri": parts.uri.to_string(),
            "headers": headers,
            "body": body,
        }))
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    port
}

/// A gateway with one tool `t`, allowed to reach this port on the loopback.
fn tool(port: u16, settings: &str) -> Gateway {
    let folder = TempDir::new().unwrap();
    let settings = settings.replace("BASE", &format!("http://127.0.0.1:{port}"));
    gateway(
        &format!(
            "[egress]\nallow_private = [\"127.0.0.1:{port}\"]\n[tools.t]\nkind = \"http\"\n{settings}"
        ),
        folder.path(),
    )
}

#[tokio::test]
async fn arguments_fill_path_query_headers_and_body() {
    let port = echo().await;
    let gateway = tool(
        port,
        r#"
        method = "POST"
        url = "BASE/v1/{id}/scale?api=2"
        query = {lang = "{lang}", tag = "{tags}", none = "{none}"}
        headers = {Authorization = {env = "TEST_SECRET", prefix = "Bearer "}, X-Org = "{runyard_org}", X-None = "{none}", X-Id = "id-{id}"}
        body = {count = "{count}", note = "scale {id} to {count}", tags = "{tags}", none = "{none}", by = "{runyard_run_id}"}
        input_schema = {type = "object", required = ["id", "count"], properties = {id = {type = "string"}, count = {type = "integer"}, lang = {}, tags = {}, none = {}}}
        "#,
    );
    let told = result(
        &gateway,
        "t",
        json!({"id": "a/../b?c#d", "count": 3, "lang": "de&x=1", "tags": ["x y", "\r\nz"]}),
    )
    .await;
    assert_eq!(told["status"], 200);
    let sent = &told["body"];
    assert_eq!(sent["method"], "POST");
    assert_eq!(
        sent["uri"],
        "/v1/a%2F..%2Fb%3Fc%23d/scale?api=2&lang=de%26x%3D1&tag=x+y&tag=%0D%0Az"
    );
    let headers = &sent["headers"];
    assert_eq!(headers["authorization"], "Bearer s3cret-canary");
    assert_eq!(headers["x-org"], "acme");
    assert_eq!(headers["x-id"], "id-a/../b?c#d");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["accept-encoding"], "identity");
    for absent in ["x-none", "idempotency-key", "cookie", "referer"] {
        assert!(headers.get(absent).is_none(), "{absent}");
    }
    assert_eq!(
        sent["body"],
        json!({"count": 3, "note": "scale a/../b?c#d to 3", "tags": ["x y", "\r\nz"], "by": "00000000-0000-0000-0000-000000000007"})
    );
}

#[tokio::test]
async fn line_breaks_never_reach_a_header_or_request_line() {
    let raw = Raw::start(Reply::Bytes(http("200 OK", b"{}"))).await;
    let gateway = tool(
        raw.port,
        r#"
        url = "BASE/x/{p}"
        query = {q = "{q}"}
        headers = {X-H = "{h}"}
        input_schema = {type = "object", required = ["p"], properties = {p = {type = "string"}, q = {type = "string"}, h = {type = "string"}}}
        "#,
    );
    for evil in [
        "a\r\nEvil: 1",
        "a\nEvil: 1",
        "a\rEvil: 1",
        "\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    ] {
        result(&gateway, "t", json!({"p": evil, "q": evil})).await;
        let told = before(run(&gateway, "t", json!({"p": "a", "h": evil})).await);
        assert!(told.contains("x-h"), "{told}");
    }
    for request in raw.requests() {
        assert!(
            !request
                .lines()
                .any(|line| line.to_lowercase().starts_with("evil")),
            "{request}"
        );
        assert!(request.starts_with("GET /x/"), "{request}");
    }
    assert_eq!(raw.requests().len(), 4);
}

#[tokio::test]
async fn keyed_calls_carry_their_key() {
    let port = echo().await;
    let gateway = tool(
        port,
        "method = \"POST\"\nurl = \"BASE/\"\neffect = \"keyed\"",
    );
    let (context, call) = ready(&gateway, "t", json!({})).await;
    for _ in 0..2 {
        let (told, _) = committed(gateway.execute(&scope(), &context, &call, LIMIT).await);
        assert_eq!(
            told["result"]["body"]["headers"]["idempotency-key"],
            call.key.as_str()
        );
    }
}

#[tokio::test]
async fn any_answer_is_committed_and_bad_statuses_are_errors() {
    for (status, is_error) in [
        ("200 OK", false),
        ("201 Created", false),
        ("302 Found\r\nlocation: http://127.0.0.1:1/x", true),
        ("400 Bad Request", true),
        ("404 Not Found", true),
        ("429 Too Many Requests", true),
        ("500 Internal Server Error", true),
        ("503 Service Unavailable", true),
    ] {
        let raw = Raw::start(Reply::Bytes(http(status, br#"{"why":"because"}"#))).await;
        let gateway = tool(raw.port, "method = \"POST\"\nurl = \"BASE/\"");
        let (told, told_error) = committed(run(&gateway, "t", json!({})).await);
        assert_eq!(told_error, is_error, "{status}");
        let key = if is_error { "error" } else { "result" };
        assert_eq!(told[key]["status"], status[..3].parse::<u16>().unwrap());
        assert_eq!(told[key]["body"], json!({"why": "because"}));
        assert_eq!(raw.requests().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn bodies_that_are_no_json_are_told_for_what_they_are() {
    for (head, body, expected) in [
        (
            "200 OK",
            &b"plain \"text\""[..],
            json!({"status": 200, "body": "plain \"text\""}),
        ),
        ("204 No Content", b"", json!({"status": 204, "body": null})),
        (
            "200 OK\r\ncontent-type: image/png",
            b"\x89PNG\xff\xfe",
            json!({"status": 200, "note": "the body is not text: 6 bytes of `image/png`"}),
        ),
        (
            "200 OK\r\ncontent-encoding: gzip",
            b"\x1f\x8b\x08",
            json!({"status": 200, "note": "the body is packed as `gzip` and was not read"}),
        ),
        (
            "200 OK",
            b"{\"a\":1",
            json!({"status": 200, "body": "{\"a\":1"}),
        ),
    ] {
        let raw = Raw::start(Reply::Bytes(http(head, body))).await;
        let gateway = tool(raw.port, "url = \"BASE/\"");
        assert_eq!(result(&gateway, "t", json!({})).await, expected, "{head}");
    }
}

#[tokio::test]
async fn endless_bodies_are_cut_at_the_cap() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n".to_vec();
    let raw = Raw::start(Reply::Endless(head, "ä".repeat(4_096).into_bytes())).await;
    let gateway = tool(raw.port, "url = \"BASE/\"\nmax_result_bytes = 10001");
    let begun = Instant::now();
    let (told, is_error) = committed(run(&gateway, "t", json!({})).await);
    assert!(begun.elapsed() < Duration::from_secs(60));
    assert!(is_error && told.to_string().len() < 10_100);
    assert!(
        told["error"]["body"].as_str().unwrap().ends_with("ää"),
        "{told}"
    );
    assert!(
        told["error"]["note"]
            .as_str()
            .unwrap()
            .contains("over the limit"),
        "{told}"
    );
}

#[tokio::test]
async fn a_declared_length_is_told_when_a_body_is_cut() {
    let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_vec();
    bytes.extend(vec![b'x'; 5_000]);
    let raw = Raw::start(Reply::Silence(bytes)).await;
    let gateway = tool(raw.port, "url = \"BASE/\"\nmax_result_bytes = 300");
    let (told, _) = committed(run(&gateway, "t", json!({})).await);
    assert!(told.to_string().contains("1000000000"), "{told}");
}

#[tokio::test]
async fn nothing_was_sent_when_nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let gateway = tool(port, "method = \"POST\"\nurl = \"BASE/\"");
    let told = before(run(&gateway, "t", json!({})).await);
    assert_eq!(told, "the service cannot be reached; nothing was sent");
}

#[tokio::test]
async fn nothing_was_sent_when_tls_fails() {
    // Answers the greeting with something that is no TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        }
    });
    let gateway = tool(
        port,
        &format!("method = \"POST\"\nurl = \"https://127.0.0.1:{port}/\""),
    );
    let told = before(run(&gateway, "t", json!({})).await);
    assert_eq!(told, "the service cannot be reached; nothing was sent");
}

#[tokio::test]
async fn a_cut_after_an_unsafe_request_is_unknown() {
    for reply in [Reply::Cut, Reply::Bytes(b"HTTP/1.1 2".to_vec())] {
        let raw = Raw::start(reply).await;
        let gateway = tool(
            raw.port,
            "method = \"POST\"\nurl = \"BASE/pay/{secret}\"\ninput_schema = {type = \"object\", required = [\"secret\"], properties = {secret = {type = \"string\"}}}",
        );
        let evidence = unknown(run(&gateway, "t", json!({"secret": "s3cret-canary"})).await);
        assert!(
            evidence.contains("sent POST") && evidence.contains("call key"),
            "{evidence}"
        );
        assert!(!evidence.contains("canary"), "{evidence}");
        assert_eq!(raw.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_cut_keyed_request_is_sent_once_more_with_its_key() {
    let raw = Raw::start(Reply::Cut).await;
    let gateway = tool(
        raw.port,
        "method = \"POST\"\nurl = \"BASE/\"\neffect = \"keyed\"",
    );
    unknown(run(&gateway, "t", json!({})).await);
    let requests = raw.requests();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].contains("idempotency-key: "));
    assert_eq!(requests[0], requests[1]);
}

#[tokio::test]
async fn an_unsafe_timeout_is_unknown() {
    for sent in [&b""[..], b"HTTP/1.1 200 OK\r\n"] {
        let raw = Raw::start(Reply::Silence(sent.to_vec())).await;
        let gateway = tool(
            raw.port,
            "method = \"POST\"\nurl = \"BASE/\"\ntimeout_s = 0.3",
        );
        let begun = Instant::now();
        let evidence = unknown(run(&gateway, "t", json!({})).await);
        assert!(begun.elapsed() < Duration::from_secs(60));
        assert!(evidence.contains("no answer within 0.3 s"), "{evidence}");
        assert_eq!(raw.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_slow_body_after_a_status_is_committed_as_an_error() {
    let raw = Raw::start(Reply::Silence(
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc".to_vec(),
    ))
    .await;
    let gateway = tool(
        raw.port,
        "method = \"POST\"\nurl = \"BASE/\"\ntimeout_s = 0.3",
    );
    let (told, is_error) = committed(run(&gateway, "t", json!({})).await);
    assert!(is_error);
    assert_eq!(
        told["error"],
        json!({"status": 200, "body": "abc", "note": "the body did not end in time"})
    );
}

#[tokio::test]
async fn a_body_that_is_cut_is_committed_as_an_error() {
    let raw = Raw::start(Reply::Bytes(
        b"HTTP/1.1 201 Created\r\ncontent-length: 10\r\n\r\nabc".to_vec(),
    ))
    .await;
    let gateway = tool(raw.port, "method = \"POST\"\nurl = \"BASE/\"");
    let (told, is_error) = committed(run(&gateway, "t", json!({})).await);
    assert!(is_error);
    assert_eq!(told["error"]["status"], 201);
    assert_eq!(
        told["error"]["note"],
        "the connection ended in the middle of the body"
    );
}

#[tokio::test]
async fn redirects_are_followed_only_as_far_as_allowed() {
    let target = Raw::start(Reply::Bytes(http("200 OK", b"\"there\""))).await;
    let hop = Raw::start(Reply::Bytes(http(
        &format!(
            "302 Found\r\nlocation: http://127.0.0.1:{}/next",
            target.port
        ),
        b"",
    )))
    .await;
    let settings = |redirects| {
        format!(
            "[egress]\nallow_private = [\"127.0.0.1\"]\n[tools.t]\nkind = \"http\"\nurl = \"http://127.0.0.1:{}/\"\nredirects = {redirects}\nheaders = {{Authorization = {{env = \"TEST_SECRET\"}}}}",
            hop.port
        )
    };
    let folder = TempDir::new().unwrap();
    let never = gateway(&settings(0), folder.path());
    let (told, is_error) = committed(run(&never, "t", json!({})).await);
    assert!(is_error && told["error"]["status"] == 302, "{told}");
    assert_eq!(target.connections(), 0);
    let once = gateway(&settings(1), folder.path());
    assert_eq!(result(&once, "t", json!({})).await["body"], "there");
    // The secret was meant for the first origin.
    assert!(
        hop.requests()
            .iter()
            .all(|request| request.contains("s3cret-canary"))
    );
    assert!(
        target
            .requests()
            .iter()
            .all(|request| !request.contains("s3cret-canary"))
    );
}

#[tokio::test]
async fn a_chain_of_redirects_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().fallback(any(|| async {
        (
            axum::http::StatusCode::TEMPORARY_REDIRECT,
            [("location", "/again")],
        )
    }));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let gateway = tool(port, "url = \"BASE/\"\nredirects = 5");
    let (told, is_error) = committed(run(&gateway, "t", json!({})).await);
    assert!(is_error && told["error"]["status"] == 307, "{told}");
}
