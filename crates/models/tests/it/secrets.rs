//! A key is in no error, however the provider says it back.

use crate::support::{KEY, lane, request, router, turn};
use scripted::{ErrorKind, ErrorReply, Script, Server, StreamError, Wire, reply};

fn assert_clean(text: &str) {
    assert!(!text.contains("canary"), "{text}");
    assert!(!text.contains("0123456789"), "{text}");
}

#[tokio::test]
async fn a_key_that_is_said_back_in_an_error_goes_nowhere() {
    let kinds = [
        ErrorKind::Auth,
        ErrorKind::Invalid,
        ErrorKind::NotFound,
        ErrorKind::RateLimit,
        ErrorKind::SpendLimit,
        ErrorKind::ContextOverflow,
        ErrorKind::Server,
        ErrorKind::Overloaded,
    ];
    for wire in Wire::ALL {
        for kind in kinds {
            let error = ErrorReply {
                kind,
                status: None,
                message: None,
                retry_after: None,
                echo_credentials: true,
            };
            let server = Server::with(Script::always(reply().error_reply(error).build())).await;
            let said = turn(&router(vec![lane("cloud", &server, wire)]), request()).await;
            let sent = serde_json::to_string(&server.calls()[0].headers).unwrap();
            assert!(sent.contains(KEY), "the key was sent, or nothing is tested");
            let error = said.failure();
            assert_clean(&format!("{error} {error:?} {}", error.failure.message));
        }
    }
}

#[tokio::test]
async fn a_key_in_an_error_inside_the_stream_goes_nowhere() {
    for wire in Wire::ALL {
        for as_failed in [false, true] {
            let error = StreamError {
                after_chunks: 1,
                kind: ErrorKind::Invalid,
                message: Some(format!("your key {KEY} is wrong")),
                as_failed,
            };
            let reply = reply()
                .text_words("one two")
                .stream_error_reply(error)
                .build();
            let server = Server::with(Script::always(reply)).await;
            let said = turn(&router(vec![lane("cloud", &server, wire)]), request()).await;
            let error = said.failure();
            assert_clean(&format!("{error} {error:?}"));
        }
    }
}

#[tokio::test]
async fn a_router_can_be_printed() {
    let server = Server::start().await;
    let lanes = Wire::ALL.map(|wire| lane(&format!("{wire:?}"), &server, wire));
    assert_clean(&format!("{:?}", router(lanes.to_vec())));
}
