//! The program: how it is started, and that it can be told and asked from outside.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::client::{Answer, Client};

/// The program running; killed when dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(options: &[&str]) -> Running {
    let program = env!("CARGO_BIN_EXE_scripted-model");
    let mut child = Command::new(program)
        .args(options)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut url)
        .unwrap();
    let address = url.trim().strip_prefix("http://").unwrap().parse().unwrap();
    Running { child, address }
}

impl Running {
    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut client = Client::connect_to(self.address).await;
        client.send(method, path, "", body.as_bytes()).await;
        client.answer().await
    }

    async fn post(&self, path: &str, body: Value) -> String {
        self.ask("POST", path, &body.to_string()).await.text()
    }

    async fn get(&self, path: &str) -> Value {
        self.ask("GET", path, "").await.json()
    }
}

fn chat() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
}

#[tokio::test]
async fn default_answer_has_the_tokens_of_the_options() {
    let running = start(&["--listen", "127.0.0.1:0", "--tokens", "3"]);
    let text = running.post("/v1/chat/completions", chat()).await;
    assert!(text.contains("\"tok0 tok1 tok2 \""), "{text}");
    assert_eq!(running.get("/__count").await, json!({"count": 1}));
    assert_eq!(running.get("/__requests").await[0]["body"], chat());
    running
        .post(
            "/__script",
            json!({"otherwise": {"parts": [{"text": "new"}]}}),
        )
        .await;
    assert!(
        running
            .post("/v1/chat/completions", chat())
            .await
            .contains("\"new\"")
    );
}

#[tokio::test]
async fn fast_program_calls_the_tool_of_the_options_first() {
    let running = start(&[
        "--fast",
        "--tool",
        "look",
        "--tool-args",
        r#"{"a":1}"#,
        "--threads",
        "1",
    ]);
    let text = running.post("/v1/chat/completions", chat()).await;
    assert!(
        text.contains(r#""name":"look","arguments":"{\"a\":1}""#),
        "{text}"
    );
    assert_eq!(running.get("/__requests").await, json!([]));
}

#[tokio::test]
async fn script_is_read_from_a_file_or_taken_as_it_is() {
    let script = json!({"otherwise": {"parts": [{"text": "from script"}]}}).to_string();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    for given in [script.as_str(), file.path().to_str().unwrap()] {
        let running = start(&["--script", given]);
        assert!(
            running
                .post("/api/chat", chat())
                .await
                .contains("from script")
        );
    }
    let program = env!("CARGO_BIN_EXE_scripted-model");
    let failed = Command::new(program)
        .args(["--script", "{\"no\": 1}"])
        .output()
        .unwrap();
    assert!(!failed.status.success());
    assert!(String::from_utf8_lossy(&failed.stderr).contains("unknown field"));
}
