//! What the server keeps of what it was asked, and its own paths.

use scripted::{Outcome, Reply, Script, Server, Wire};
use serde_json::{Value, json};

use crate::client::{Client, Ended, ask, ask_body, body, request, with_result};

#[tokio::test]
async fn request_is_kept_with_headers_and_body() {
    let server = Server::start().await;
    for wire in Wire::ALL {
        server.clear();
        let mut client = Client::connect(&server).await;
        let sent = with_result(wire, true, "42");
        let headers = "Authorization: Bearer k\r\n";
        client
            .send(
                "POST",
                &wire.path("m-1", true),
                headers,
                sent.to_string().as_bytes(),
            )
            .await;
        client.answer().await;
        let kept = server
            .wait_for(|all| all[0].outcome == Outcome::Sent)
            .await
            .remove(0);
        assert_eq!((kept.wire, kept.method.as_str()), (Some(wire), "POST"));
        assert_eq!(kept.path, wire.path("m-1", true));
        assert_eq!(kept.header("authorization"), Some("Bearer k"));
        assert_eq!(kept.body, sent);
        assert_eq!((kept.model(), kept.streamed()), ("m-1", true), "{wire:?}");
        assert_eq!(kept.last_user().as_deref(), Some("hello"), "{wire:?}");
        assert!(kept.last_tool_result().unwrap().contains("42"), "{wire:?}");
        assert!(kept.ends_with_tool_result());
    }
    assert_eq!(server.count(), 5);
}

#[tokio::test]
async fn system_prompt_and_tools_are_read_on_each_wire() {
    let server = Server::start().await;
    let tool = json!({"name": "look", "description": "", "parameters": {}});
    for wire in Wire::ALL {
        let mut sent = body(wire, false);
        match wire {
            Wire::OpenaiChat | Wire::Ollama => {
                let system = json!({"role": "system", "content": "be kind"});
                sent["messages"].as_array_mut().unwrap().insert(0, system);
                sent["tools"] = json!([{"type": "function", "function": tool}]);
            }
            Wire::OpenaiResponses => {
                sent["instructions"] = json!("be kind");
                sent["tools"] = json!([{"type": "function", "name": "look"}]);
            }
            Wire::Anthropic => {
                sent["system"] = json!([{"type": "text", "text": "be kind"}]);
                sent["tools"] = json!([tool]);
            }
            Wire::Gemini => {
                sent["systemInstruction"] = json!({"parts": [{"text": "be kind"}]});
                sent["tools"] = json!([{"functionDeclarations": [tool]}]);
            }
        }
        ask_body(&server, wire, false, &sent).await;
        let kept = server.calls().pop().unwrap();
        assert_eq!(kept.system(), "be kind", "{wire:?}");
        assert_eq!(kept.tools(), ["look"], "{wire:?}");
        assert!(!kept.ends_with_tool_result());
    }
}

#[tokio::test]
async fn requests_beyond_the_bound_are_forgotten_oldest_first() {
    let server = Server::builder().keep(2).start().await.unwrap();
    for _ in 0..3 {
        ask(&server, Wire::OpenaiChat, false).await;
    }
    let indexes: Vec<u64> = server.requests().iter().map(|kept| kept.index).collect();
    assert_eq!((indexes, server.count()), (vec![1, 2], 3));
}

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let server = Server::with(Script::replies(["a", "b"].map(Reply::text))).await;
    let mut client = Client::connect(&server).await;
    // Both are sent before the first is answered.
    for wire in [Wire::OpenaiChat, Wire::Ollama] {
        let bytes = body(wire, true).to_string();
        client
            .send("POST", &wire.path("m-1", true), "", bytes.as_bytes())
            .await;
    }
    assert!(client.answer().await.text().contains("\"a\""));
    let second = client.answer().await;
    assert_eq!(
        (second.ended, second.text().contains("\"b\"")),
        (Ended::Whole, true)
    );
}

#[tokio::test]
async fn chunked_request_and_close_are_understood() {
    use tokio::io::AsyncWriteExt;
    let server = Server::start().await;
    let mut client = Client::connect(&server).await;
    let head = "POST /v1/chat/completions HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let chunks = "8\r\n{\"model\"\r\n6\r\n:\"m2\"}\r\n0\r\n\r\n";
    client.stream.write_all(head.as_bytes()).await.unwrap();
    client.stream.write_all(chunks.as_bytes()).await.unwrap();
    assert_eq!(client.answer().await.json()["model"], "m2");
    assert_eq!(client.more().await, Some(Ended::Fin));
}

#[tokio::test]
async fn unknown_path_and_odd_body_are_kept_too() {
    let server = Server::start().await;
    assert_eq!(request(&server, "GET", "/nothing", "").await.status, 404);
    assert_eq!(
        request(&server, "POST", "/v1/chat/completions", "not json")
            .await
            .status,
        200
    );
    let kept = server.requests();
    assert_eq!(
        (kept[0].wire, kept[0].call, &kept[0].body),
        (None, None, &Value::Null)
    );
    assert_eq!((kept[1].call, &kept[1].body), (Some(0), &json!("not json")));
    assert_eq!(server.calls().len(), 1);
}

#[tokio::test]
async fn drivers_paths_read_and_change_the_server() {
    let server = Server::start().await;
    let script = json!({"otherwise": {"parts": [{"hold": "g"}, {"text": "hi"}]}}).to_string();
    assert_eq!(
        request(&server, "POST", "/__script", &script).await.status,
        200
    );
    assert_eq!(request(&server, "POST", "/__gates/g", "").await.status, 200);
    assert!(
        ask(&server, Wire::OpenaiChat, false)
            .await
            .text()
            .contains("\"hi\"")
    );
    let count = request(&server, "GET", "/__count", "").await.json();
    assert_eq!(count, json!({"count": 1}));
    server.wait_for(|all| all[0].outcome == Outcome::Sent).await;
    let kept = request(&server, "GET", "/__requests", "").await.json();
    assert_eq!(
        (&kept[0]["wire"], &kept[0]["outcome"]),
        (&"openai-chat".into(), &"sent".into())
    );
    assert_eq!(kept.as_array().unwrap().len(), 1);
    request(&server, "DELETE", "/__requests", "").await;
    assert_eq!(
        request(&server, "GET", "/__requests", "").await.json(),
        json!([])
    );
    let refused = request(&server, "POST", "/__script", r#"{"no": 1}"#).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("unknown field"));
    assert_eq!(request(&server, "GET", "/__nothing", "").await.status, 404);
}

#[tokio::test]
async fn stopped_server_closes_port_and_connections() {
    let server = Server::start().await;
    let address = server.address();
    let mut client = Client::connect(&server).await;
    client.send("GET", "/v1/models", "", b"").await;
    assert_eq!(client.answer().await.status, 200);
    server.stop().await;
    assert!(client.more().await.is_some());
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
