//! Errors instead of answers, errors inside answers, and answers that are too much.

use crate::support::{Said, lane, request, router, serve, turn};
use domain::failure::FailureCode;
use domain::limits::TURN_BYTES_MAX;
use scripted::{ErrorKind, Outcome, RawReply, Reply, Script, Server, StreamError, Wire, reply};
use std::time::Duration;

async fn answer(wire: Wire, reply: Reply) -> (Said, u64) {
    let (server, router) = serve(wire, Script::always(reply)).await;
    let said = turn(&router, request()).await;
    (said, server.count())
}

#[tokio::test]
async fn errors_that_repeating_cannot_mend_are_not_repeated() {
    let cases = [
        (
            ErrorKind::SpendLimit,
            FailureCode::ModelQuotaExhausted,
            "quota",
        ),
        (ErrorKind::Auth, FailureCode::ModelRejected, "api_key_env"),
        (
            ErrorKind::ContextOverflow,
            FailureCode::ContextOverflow,
            "longer",
        ),
        (ErrorKind::Invalid, FailureCode::ModelRejected, "refused"),
        (
            ErrorKind::NotFound,
            FailureCode::ModelUnavailable,
            "does not know the model",
        ),
    ];
    for wire in Wire::ALL {
        for (kind, code, word) in cases {
            let (said, calls) = answer(wire, Reply::error(kind)).await;
            let error = said.failure();
            assert_eq!(error.failure.code, code, "{wire:?} {kind:?}: {error}");
            assert!(
                error.failure.message.contains(word),
                "{wire:?} {kind:?}: {error}"
            );
            assert!(error.failure.message.contains("\"cloud\""), "{error}");
            assert!(!error.retry);
            assert_eq!(error.lane.as_deref(), Some("cloud"));
            assert_eq!(calls, 1, "{wire:?} {kind:?}");
        }
    }
}

#[tokio::test]
async fn errors_that_pass_are_repeated_a_bounded_number_of_times() {
    for wire in Wire::ALL {
        for kind in [
            ErrorKind::Server,
            ErrorKind::Overloaded,
            ErrorKind::RateLimit,
        ] {
            let (said, calls) = answer(wire, Reply::error(kind)).await;
            let error = said.failure();
            assert_eq!(
                error.failure.code,
                FailureCode::ModelUnavailable,
                "{wire:?} {kind:?}"
            );
            assert!(!error.retry, "the tries were made here");
            assert_eq!(calls, 3, "{wire:?} {kind:?}");
        }
    }
}

#[tokio::test]
async fn errors_that_pass_are_mended_silently() {
    for wire in Wire::ALL {
        let script = Script::replies([
            Reply::error(ErrorKind::Overloaded),
            Reply::error(ErrorKind::Server),
        ])
        .otherwise(Reply::text("there"));
        let (server, router) = serve(wire, script).await;
        let said = turn(&router, request()).await;
        assert_eq!(said.text, "there", "{wire:?}");
        assert_eq!(server.count(), 3, "{wire:?}");
    }
}

#[tokio::test]
async fn an_error_inside_the_stream_ends_it() {
    for wire in Wire::ALL {
        for as_failed in [false, true] {
            let error = StreamError {
                after_chunks: 2,
                kind: ErrorKind::Overloaded,
                message: None,
                as_failed,
            };
            let reply = reply()
                .text_words("one two three four")
                .stream_error_reply(error)
                .build();
            let (said, calls) = answer(wire, reply).await;
            assert_eq!(said.text, "one two ", "{wire:?}");
            assert!(said.failure().retry, "{wire:?}: {:?}", said.error);
            assert_eq!(calls, 1, "after the first token the engine decides");
        }
    }
}

#[tokio::test]
async fn an_error_before_the_first_token_is_mended_silently_even_inside_the_stream() {
    for wire in Wire::ALL {
        let broken = reply().text("x").stream_error(0, ErrorKind::Server).build();
        let script = Script::replies([broken]).otherwise(Reply::text("there"));
        let (server, router) = serve(wire, script).await;
        let said = turn(&router, request()).await;
        assert_eq!(said.text, "there", "{wire:?}: {:?}", said.error);
        assert_eq!(server.count(), 2, "{wire:?}");
    }
}

#[tokio::test]
async fn a_spend_limit_inside_the_stream_is_not_repeated() {
    for wire in Wire::ALL {
        let reply = reply()
            .text("x")
            .stream_error(0, ErrorKind::SpendLimit)
            .build();
        let (said, calls) = answer(wire, reply).await;
        assert_eq!(
            said.failure().failure.code,
            FailureCode::ModelQuotaExhausted,
            "{wire:?}"
        );
        assert_eq!(calls, 1, "{wire:?}");
    }
}

#[tokio::test]
async fn characters_split_over_writes_are_whole() {
    for wire in Wire::ALL {
        for size in [1, 2, 3, 5] {
            let reply = reply()
                .text_tokens(["Zażółć ", "gęślą ", "jaźń 🐢🐢 ", "日本語"])
                .tool_call("call_a", "weather", r#"{"city":"Łódź 🐢"}"#)
                .write_sizes(&[size])
                .build();
            let (said, _) = answer(wire, reply).await;
            assert_eq!(
                said.text, "Zażółć gęślą jaźń 🐢🐢 日本語",
                "{wire:?} {size}"
            );
            assert_eq!(
                said.calls(),
                [("weather", r#"{"city":"Łódź 🐢"}"#)],
                "{wire:?} {size}"
            );
        }
    }
}

#[tokio::test]
async fn bytes_that_are_no_characters_are_replaced() {
    for wire in Wire::ALL {
        let reply = reply().text("a").text_bytes(b"\xFF\xC3").text("b").build();
        let (said, _) = answer(wire, reply).await;
        assert_eq!(
            said.text, "a\u{FFFD}\u{FFFD}b",
            "{wire:?}: {:?}",
            said.error
        );
    }
}

#[tokio::test]
async fn an_endless_answer_is_stopped_and_its_connection_closed() {
    for wire in Wire::ALL {
        let token = "x".repeat(64 << 10);
        let (server, router) =
            serve(wire, Script::always(reply().flood(&token, None).build())).await;
        let said = turn(&router, request()).await;
        let error = said.failure();
        assert_eq!(error.failure.code, FailureCode::OutputTooLarge, "{wire:?}");
        assert!(!error.retry);
        assert!(said.text.len() <= TURN_BYTES_MAX);
        server
            .wait_for(|requests| requests[0].outcome == Outcome::HungUp)
            .await;
    }
}

#[tokio::test]
async fn a_frame_without_end_is_stopped() {
    let raw = RawReply {
        status: 200,
        body: serde_json::Value::String("data: x".repeat(8 << 20)),
        content_type: "text/event-stream".to_owned(),
    };
    let (server, router) = serve(Wire::OpenaiChat, Script::always(reply().raw(raw).build())).await;
    let said = turn(&router, request()).await;
    assert_eq!(said.failure().failure.code, FailureCode::OutputTooLarge);
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn an_endless_error_body_is_not_kept() {
    let body = serde_json::Value::String("x".repeat(32 << 20));
    let (said, _) = answer(Wire::OpenaiChat, Reply::status(400, body)).await;
    assert_eq!(said.failure().failure.code, FailureCode::ModelRejected);
}

#[tokio::test]
async fn something_else_than_a_model_is_named_as_such() {
    let page = |content_type: &str, body: &str| RawReply {
        status: 200,
        body: serde_json::Value::String(body.to_owned()),
        content_type: content_type.to_owned(),
    };
    let pages = [
        page("text/html; charset=utf-8", "<html>router login</html>"),
        page("application/json", r#"{"hello":"world"}"#),
    ];
    for raw in pages {
        let (said, calls) = answer(Wire::OpenaiChat, reply().raw(raw).build()).await;
        assert!(
            said.failure().failure.message.contains("base_url"),
            "{:?}",
            said.error
        );
        assert_eq!(calls, 1);
    }
    let error = page(
        "application/json",
        r#"{"error":{"type":"insufficient_quota","message":"no"}}"#,
    );
    let (said, _) = answer(Wire::OpenaiChat, reply().raw(error).build()).await;
    assert_eq!(
        said.failure().failure.code,
        FailureCode::ModelQuotaExhausted
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Server::start().await;
    let raw = RawReply {
        status: 307,
        body: serde_json::Value::Null,
        content_type: "text/plain".to_owned(),
    };
    let reply = reply()
        .raw(raw)
        .header("location", &format!("{}/v1/chat/completions", target.url()));
    let (said, _) = answer(Wire::OpenaiChat, reply.build()).await;
    assert!(said.failure().failure.message.contains("307"));
    assert_eq!(target.requests().len(), 0, "the key went nowhere else");
}

#[tokio::test]
async fn a_dropped_turn_closes_its_connection_at_once() {
    use domain::ports::model::Models;
    use futures::StreamExt;
    for wire in Wire::ALL {
        let reply = reply().text("first ").hold("never").text("second").build();
        let server = Server::with(Script::always(reply)).await;
        let router = router(vec![lane("cloud", &server, wire)]);
        let mut stream = router.turn(request());
        stream.next().await.unwrap().unwrap();
        stream.next().await.unwrap().unwrap();
        drop(stream);
        let closed = server.wait_for(|requests| requests[0].outcome == Outcome::HungUp);
        tokio::time::timeout(Duration::from_secs(60), closed)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_turn_dropped_before_its_head_closes_its_connection_too() {
    use domain::ports::model::Models;
    use futures::{FutureExt, StreamExt};
    let server = Server::with(Script::always(
        reply().text("x").stall(scripted::Stall::Head).build(),
    ))
    .await;
    let router = router(vec![lane("cloud", &server, Wire::OpenaiChat)]);
    let mut stream = router.turn(request());
    let mut first = stream.next().boxed();
    tokio::select! {
        _ = &mut first => panic!("nothing can come"),
        _ = server.wait_calls(1) => {}
    }
    drop(first);
    drop(stream);
    server
        .wait_for(|requests| requests[0].outcome == Outcome::HungUp)
        .await;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    for wire in Wire::ALL {
        let (server, router) = serve(wire, Script::always(Reply::text("so"))).await;
        for _ in 0..20 {
            assert_eq!(turn(&router, request()).await.text, "so");
        }
        assert_eq!(server.count(), 20, "{wire:?}");
    }
}
