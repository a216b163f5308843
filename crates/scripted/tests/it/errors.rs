//! Errors of providers: in place of an answer, and inside a stream.

use scripted::{ErrorKind, ErrorReply, Reply, StreamError, Wire, reply};
use serde_json::{Value, json};

use crate::client::{Client, Ended, ask, body, playing};
use crate::reader;

#[tokio::test]
async fn errors_have_each_providers_status_and_shape() {
    let statuses = |wire| match wire {
        Wire::OpenaiChat | Wire::OpenaiResponses => [429, 429, 401, 400, 400, 404, 500, 503],
        Wire::Anthropic => [429, 400, 401, 400, 400, 404, 500, 529],
        Wire::Gemini => [429, 429, 400, 400, 400, 404, 500, 503],
        Wire::Ollama => [429, 429, 401, 400, 400, 404, 500, 503],
    };
    let kinds = [
        ErrorKind::RateLimit,
        ErrorKind::SpendLimit,
        ErrorKind::Auth,
        ErrorKind::ContextOverflow,
        ErrorKind::Invalid,
        ErrorKind::NotFound,
        ErrorKind::Server,
        ErrorKind::Overloaded,
    ];
    for wire in Wire::ALL {
        for (kind, status) in kinds.into_iter().zip(statuses(wire)) {
            let answer = ask(&playing(Reply::error(kind)).await, wire, true).await;
            assert_eq!(answer.status, status, "{wire:?} {kind:?}");
            let body = answer.json();
            let message = match wire {
                Wire::Ollama => &body["error"],
                _ => &body["error"]["message"],
            };
            assert!(
                message.as_str().is_some_and(|text| text.len() > 5),
                "{wire:?}: {body}"
            );
            match wire {
                Wire::Anthropic => assert_eq!(body["type"], "error"),
                Wire::Gemini => assert_eq!(body["error"]["code"], status),
                _ => {}
            }
        }
    }
    let server = playing(Reply::error(ErrorKind::SpendLimit)).await;
    let quota = ask(&server, Wire::OpenaiChat, true).await;
    assert_eq!(quota.json()["error"]["code"], "insufficient_quota");
}

#[tokio::test]
async fn rate_limit_tells_when_to_retry_only_if_scripted() {
    for wire in Wire::ALL {
        let told = ask(&playing(Reply::rate_limited(Some("7"))).await, wire, true).await;
        assert_eq!((told.status, told.header("retry-after")), (429, Some("7")));
        let silent = ask(&playing(Reply::rate_limited(None)).await, wire, true).await;
        assert_eq!((silent.status, silent.header("retry-after")), (429, None));
    }
}

#[tokio::test]
async fn any_status_body_and_header_can_be_scripted() {
    let mut odd = Reply::status(418, json!({"short": "stout"}));
    odd.headers.push(("x-odd".to_owned(), "yes".to_owned()));
    let answer = ask(&playing(odd).await, Wire::Anthropic, true).await;
    assert_eq!((answer.status, answer.header("x-odd")), (418, Some("yes")));
    assert_eq!(answer.text(), r#"{"short":"stout"}"#);
    let page = Reply::status(502, Value::from("<html>"));
    assert_eq!(
        ask(&playing(page).await, Wire::Gemini, true).await.text(),
        "<html>"
    );
}

#[tokio::test]
async fn credentials_come_back_in_an_error_when_scripted() {
    let error = ErrorReply {
        kind: ErrorKind::Auth,
        status: None,
        message: None,
        retry_after: None,
        echo_credentials: true,
    };
    let server = playing(reply().error_reply(error).build()).await;
    for wire in Wire::ALL {
        let mut client = Client::connect(&server).await;
        let headers = "Authorization: Bearer sk-canary-1\r\nx-api-key: canary-2\r\n";
        let body = body(wire, true).to_string();
        client
            .send("POST", &wire.path("m-1", true), headers, body.as_bytes())
            .await;
        let text = client.answer().await.text();
        assert!(
            text.contains("Bearer sk-canary-1") && text.contains("canary-2"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn error_inside_a_stream_comes_after_its_chunks_and_is_last() {
    let broken = reply()
        .text_tokens(["a", "b", "c"])
        .stream_error(2, ErrorKind::Overloaded);
    let server = playing(broken.build()).await;
    for wire in Wire::ALL {
        let answer = ask(&server, wire, true).await;
        assert_eq!(
            (answer.status, answer.ended),
            (200, Ended::Whole),
            "{wire:?}"
        );
        let text = answer.text();
        let heard = reader::stream(wire, &text);
        assert_eq!(
            (heard.text.as_str(), heard.marked),
            ("ab", false),
            "{wire:?}"
        );
        let error = heard.error.expect("the error is in the stream");
        assert!(
            reader::events(wire, &text)
                .last()
                .unwrap()
                .1
                .contains("error")
        );
        match wire {
            Wire::OpenaiChat => assert_eq!(error["type"], "server_error"),
            Wire::OpenaiResponses => {
                let events = reader::events(wire, &text);
                assert_eq!(error["sequence_number"], events.len() - 1);
            }
            Wire::Anthropic => assert_eq!(error["type"], "overloaded_error"),
            Wire::Gemini => assert_eq!(error["status"], "UNAVAILABLE"),
            Wire::Ollama => assert!(error.as_str().unwrap().contains("busy")),
        }
        let whole = ask(&server, wire, false).await;
        assert_eq!(
            (whole.status, whole.json()["error"].is_null()),
            (200, false),
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn responses_error_can_be_a_failed_response() {
    let error = StreamError {
        after_chunks: 1,
        kind: ErrorKind::RateLimit,
        message: Some("slow down".to_owned()),
        as_failed: true,
    };
    let failed = reply()
        .text_tokens(["a", "b"])
        .stream_error_reply(error)
        .build();
    let text = ask(&playing(failed).await, Wire::OpenaiResponses, true)
        .await
        .text();
    let events = reader::events(Wire::OpenaiResponses, &text);
    let (name, data) = events.last().unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        (name.as_str(), &data["response"]["status"]),
        ("response.failed", &"failed".into())
    );
    assert_eq!(
        data["response"]["error"],
        json!({"code": "rate_limit_exceeded", "message": "slow down"})
    );
}
