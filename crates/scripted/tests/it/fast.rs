//! The fast mode answers as the usual one does.

use scripted::{Reply, Script, Server, When, Wire, reply};
use serde_json::json;

use crate::client::{ask, ask_body, body, with_result};
use crate::reader;

async fn fast(script: Script) -> Server {
    Server::builder()
        .script(script)
        .fast(true)
        .start()
        .await
        .unwrap()
}

#[tokio::test]
async fn bytes_are_those_of_the_usual_mode() {
    let full = reply()
        .reasoning("r")
        .text_tokens(["a", "é"])
        .tool_call_made_up("t", "{}")
        .build();
    for wire in Wire::ALL {
        for stream in [true, false] {
            let usual = Server::with(Script::always(full.clone())).await;
            let fast = fast(Script::always(full.clone())).await;
            for _ in 0..2 {
                let expected = ask(&usual, wire, stream).await;
                let answer = ask(&fast, wire, stream).await;
                assert_eq!(answer.text(), expected.text(), "{wire:?}");
                assert_eq!(answer.headers, expected.headers);
                assert_eq!(answer.chunks, expected.chunks);
            }
            assert_eq!((fast.count(), fast.requests().len()), (2, 0));
        }
    }
}

#[tokio::test]
async fn tool_loop_is_played_on_each_wire() {
    let server = fast(Script::tool_loop("look", "{}", "so it is")).await;
    for wire in Wire::ALL {
        let first = reader::stream(wire, &ask(&server, wire, true).await.text());
        assert_eq!(first.calls.len(), 1, "{wire:?}");
        let mut sent = with_result(wire, true, "42");
        let after = reader::stream(wire, &ask_body(&server, wire, true, &sent).await.text());
        assert_eq!(after.text, "so it is", "{wire:?}");
        // The next turn of the same conversation calls again.
        let list = crate::client::history_field(wire);
        let said = match wire {
            Wire::Gemini => json!({"role": "model", "parts": [{"text": "so it is"}]}),
            _ => json!({"role": "assistant", "content": "so it is"}),
        };
        let user = body(wire, true)[list][0].clone();
        sent[list].as_array_mut().unwrap().extend([said, user]);
        let next = reader::stream(wire, &ask_body(&server, wire, true, &sent).await.text());
        assert_eq!(next.calls.len(), 1, "{wire:?}");
        assert_ne!(
            first.calls[0].0.is_some(),
            first.calls[0].0 == next.calls[0].0
        );
    }
    assert_eq!((server.count(), server.requests().len()), (15, 0));
}

#[tokio::test]
async fn form_follows_the_request() {
    let server = fast(Script::always(Reply::text("hi"))).await;
    for model in ["one", "two"] {
        let mut sent = body(Wire::OpenaiChat, true);
        sent["model"] = json!(model);
        let text = ask_body(&server, Wire::OpenaiChat, true, &sent)
            .await
            .text();
        assert!(text.contains(&format!("\"model\":\"{model}\"")));
        assert!(text.contains("\"usage\":{"));
        sent["stream_options"] = json!({"include_usage": false});
        let text = ask_body(&server, Wire::OpenaiChat, true, &sent)
            .await
            .text();
        assert!(!text.contains("usage"));
    }
}

#[tokio::test]
async fn script_that_looks_closer_is_played_as_usual() {
    let faulty = reply().text("a").no_usage().build();
    let scripts = [
        Script::always(faulty),
        Script::default().rule(When::last_user("x"), Reply::text("y")),
        Script::replies([Reply::text("z")]),
    ];
    for script in scripts {
        let server = fast(script).await;
        ask(&server, Wire::OpenaiChat, true).await;
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn another_script_takes_effect_on_an_open_connection() {
    use crate::client::Client;
    let server = fast(Script::always(Reply::text("old"))).await;
    let mut client = Client::connect(&server).await;
    let sent = body(Wire::Ollama, true).to_string();
    client.send("POST", "/api/chat", "", sent.as_bytes()).await;
    assert!(client.answer().await.text().contains("old"));
    server.play(Script::always(Reply::text("new")));
    client.send("POST", "/api/chat", "", sent.as_bytes()).await;
    assert!(client.answer().await.text().contains("new"));
}
