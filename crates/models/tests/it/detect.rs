//! Model servers found, lists read, lanes examined.

use crate::support::{KEY, base_url, lane, lane_at, router, wire_of};
use domain::lane::LaneKind;
use models::{Candidate, LaneConfig, detect_at, probe_within, with_listed_models};
use scripted::{AcceptFault, RawReply, Script, Server, Wire, reply};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;

const WAIT: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(200);

fn candidate(name: &str, url: &str, wire: Wire) -> Candidate {
    Candidate {
        name: name.to_owned(),
        wire: wire_of(wire),
        base_url: base_url(url, wire),
    }
}

#[tokio::test]
async fn servers_that_answer_become_lanes_with_their_models() {
    router(Vec::new());
    let models = ["qwen3:latest", "nomic-embed-text", "phi-4-mini"];
    let ollama = Server::with(Script::default().models(&models).serves(&[Wire::Ollama])).await;
    let vllm = Server::with(
        Script::default()
            .models(&["qwen"])
            .serves(&[Wire::OpenaiChat]),
    )
    .await;
    let silent = Server::with(Script::default().accept(AcceptFault::Stall)).await;
    let empty = Server::with(Script::default().models(&[])).await;
    let gone = Server::start().await;
    let gone_url = gone.url();
    gone.stop().await;
    let found = detect_at(
        vec![
            candidate("silent", &silent.url(), Wire::OpenaiChat),
            candidate("ollama", &ollama.url(), Wire::Ollama),
            candidate("gone", &gone_url, Wire::OpenaiChat),
            // Something else than Ollama answers there.
            candidate("mistaken", &vllm.url(), Wire::Ollama),
            candidate("empty", &empty.url(), Wire::OpenaiChat),
            candidate("vllm", &vllm.url(), Wire::OpenaiChat),
        ],
        WAIT,
    )
    .await;
    let found: Vec<(&str, LaneKind, Vec<&str>)> = found
        .iter()
        .map(|lane| {
            let models = lane.models.iter().map(String::as_str).collect();
            (lane.name.as_str(), lane.kind, models)
        })
        .collect();
    assert_eq!(
        found,
        [
            (
                "ollama",
                LaneKind::Local,
                vec!["qwen3", "qwen3:latest", "phi-4-mini"]
            ),
            ("vllm", LaneKind::Local, vec!["qwen"]),
        ]
    );
}

/// A model server that answers nobody before as many servers are asked as share the barrier.
async fn answering_with(others: Arc<Barrier>) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4_096];
        let _ = stream.read(&mut request).await.unwrap();
        others.wait().await;
        let list = r#"{"data":[{"id":"patient"}]}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", list.len());
        stream
            .write_all(format!("{head}{list}").as_bytes())
            .await
            .unwrap();
    });
    format!("http://{address}")
}

#[tokio::test]
async fn all_places_are_asked_at_once() {
    router(Vec::new());
    let others = Arc::new(Barrier::new(4));
    let mut places = Vec::new();
    for name in ["a", "b", "c", "d"] {
        let url = answering_with(others.clone()).await;
        places.push(candidate(name, &url, Wire::OpenaiChat));
    }
    // One after the other, the first would wait in vain for the second to be asked.
    let found = detect_at(places, WAIT).await;
    let names: Vec<&str> = found.iter().map(|lane| lane.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_lane_without_models_asks_for_them() {
    router(Vec::new());
    for wire in Wire::ALL {
        let script = Script::default()
            .models(&["first", "second"])
            .serves(&[wire]);
        let server = Server::with(script).await;
        let mut open = lane("cloud", &server, wire);
        open.models.clear();
        let listed = with_listed_models(open.clone(), WAIT).await;
        assert_eq!(listed.models, ["first", "second"], "{wire:?}");

        open.models = vec!["named".to_owned(), "*".to_owned()];
        let settled = with_listed_models(open, WAIT).await;
        assert_eq!(settled.models, ["named", "*"]);
    }
}

#[tokio::test]
async fn a_lane_that_can_work_is_told_so() {
    router(Vec::new());
    for wire in Wire::ALL {
        let server = Server::with(Script::default().serves(&[wire])).await;
        let report = probe_within(&lane("cloud", &server, wire), WAIT)
            .await
            .unwrap();
        assert_eq!(report.models, ["scripted"], "{wire:?}");
        assert!(
            report.message.ends_with("answers and has one model"),
            "{}",
            report.message
        );
    }
    let report = probe_within(&LaneConfig::offline(), WAIT).await.unwrap();
    assert!(report.message.contains("no language model"));
}

async fn mend(lane: &LaneConfig) -> String {
    let error = probe_within(lane, SHORT).await.unwrap_err();
    let text = error.to_string();
    assert!(
        !text.contains(KEY) && !format!("{error:?}").contains(KEY),
        "{text}"
    );
    text
}

#[tokio::test]
async fn a_lane_that_cannot_is_told_how_to_mend_it() {
    router(Vec::new());
    let server = Server::with(Script::default().models(&["phi-4-mini"])).await;
    let mut missing = lane("local", &server, Wire::Ollama);
    missing.models = vec!["qwen3".to_owned()];
    assert!(
        mend(&missing)
            .await
            .ends_with("has no model qwen3: run `ollama pull qwen3`")
    );
    missing.wire = Some(models::Wire::OpenaiChat);
    missing.base_url = Some(format!("{}/v1", server.url()));
    assert!(
        mend(&missing)
            .await
            .ends_with("change models; there is, for instance, phi-4-mini")
    );
    missing.base_url = Some(format!("{}/wrong", server.url()));
    missing.wire = Some(models::Wire::Gemini);
    let told = mend(&missing).await;
    assert!(
        told.contains("for instance") || told.contains("base_url"),
        "{told}"
    );

    let silent = Server::with(Script::default().accept(AcceptFault::Stall)).await;
    let told = mend(&lane("silent", &silent, Wire::OpenaiChat)).await;
    assert!(told.contains("did not answer within 200 ms"), "{told}");

    let gone = Server::start().await;
    let url = gone.url();
    gone.stop().await;
    let told = mend(&lane_at("gone", &url, Wire::Ollama)).await;
    assert!(
        told.contains("nothing can be reached at 127.0.0.1:") && told.contains("ollama serve"),
        "{told}"
    );

    let mut broken = lane_at("broken", &url, Wire::OpenaiChat);
    broken.base_url = Some("nonsense".to_owned());
    assert!(mend(&broken).await.contains("base_url must be"));
}

/// A server that answers one request with this and closes.
async fn answering(head: &'static str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(head.as_bytes()).await;
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn a_refused_key_is_named_by_its_variable() {
    router(Vec::new());
    let head = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let mut lane = lane_at("cloud", &answering(head).await, Wire::OpenaiChat);
    lane.api_key_env = Some("MY_KEY".to_owned());
    let told = mend(&lane).await;
    assert!(
        told.contains("does not accept the key") && told.contains("MY_KEY"),
        "{told}"
    );
    lane.api_key = None;
    lane.api_key_env = None;
    assert!(mend(&lane).await.contains("set api_key_env"));
}

#[tokio::test]
async fn something_that_is_no_model_server_is_left_alone() {
    router(Vec::new());
    let page = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n<html>";
    let url = answering(page).await;
    let found = detect_at(vec![candidate("page", &url, Wire::OpenaiChat)], WAIT).await;
    assert!(found.is_empty());
    assert!(
        mend(&lane_at("page", &url, Wire::OpenaiChat))
            .await
            .contains("not with a list of models")
    );
    let raw = RawReply {
        status: 200,
        body: serde_json::json!({}),
        content_type: String::new(),
    };
    let odd =
        Server::with(Script::always(reply().raw(raw).build()).serves(&[Wire::OpenaiChat])).await;
    assert!(
        mend(&lane("odd", &odd, Wire::Ollama))
            .await
            .contains("HTTP 404")
    );
}
