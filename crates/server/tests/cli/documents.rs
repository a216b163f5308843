//! What the page on sessions tells its readers to type, typed at a server as it comes.

use crate::program::{Home, finish};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::process::{Command, Stdio};

const PAGE: &str = include_str!("../../../../docs/sessions.md");

/// The blocks of the page that are typed at a shell.
fn blocks() -> Vec<&'static str> {
    let blocks = PAGE.split("```sh\n").skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

struct Shell {
    home: Home,
    variables: Vec<(&'static str, String)>,
}

impl Shell {
    /// Each line of what the block prints, as JSON.
    fn type_in(&self, block: &str) -> Vec<Value> {
        let api = &self.variables[0].1;
        let block = block
            .replace("API=http://127.0.0.1:8080/api/v1/agents\n", "")
            // So that an answer which is an error fails, and several answers can be told apart.
            .replace("curl -s ", "curl -sS --fail-with-body -w '\\n' ");
        let typed = Command::new("bash")
            .args(["-e", "-c", &block])
            .current_dir(self.home.path())
            .envs(self.variables.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = finish(typed, &[&block]);
        assert_eq!(said.code, Some(0), "{block}\n{api}\n{said:?}");
        let lines = said.out.lines().filter(|line| !line.trim().is_empty());
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn set(&mut self, name: &'static str, value: &Value) {
        self.variables
            .push((name, value.as_str().unwrap().to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_page_on_sessions_do_what_it_says() {
    let home = Home::new();
    let server = home.serve(&[]);
    let variables = vec![
        ("API", format!("{}/api/v1/agents", server.url)),
        ("RUNYARD_KEY", home.owner_key().trim().to_owned()),
    ];
    let mut shell = Shell { home, variables };
    let [create, execute, complete, tokens, report, relocate] = blocks()[..] else {
        panic!("the page has other blocks than it had: {:#?}", blocks());
    };
    let [session] = &shell.type_in(create)[..] else {
        panic!("one answer")
    };
    let session = session.clone();
    shell.set("ID", &session["session_id"]);
    shell.set("TOKEN", &session["session_token"]);
    let executed = &shell.type_in(execute)[0];
    assert_eq!(executed["is_error"], false, "{executed}");
    assert_eq!(executed["tool_call_id"], "call_1", "{executed}");

    let text = r#"{"kind":"model_turn","name":"phi-4-mini","started_at":"2026-01-01T00:00:00Z","completed_at":"2026-01-01T00:00:01Z"}"#;
    let prev = "0".repeat(64);
    let digest = Sha256::digest(format!("{prev}\n{text}").as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let entry = serde_json::json!({ "seq": 1, "prev": prev, "hash": hash, "entry": text });
    let journal = serde_json::json!({ "entries": [entry] });
    shell.home.write("journal.json", &journal.to_string());
    let reported = &shell.type_in(report)[0];
    assert_eq!(
        reported["steps"].as_array().map(Vec::len),
        Some(1),
        "{reported}"
    );

    let moved = &shell.type_in(relocate)[0];
    assert_eq!(moved["lane"]["kind"], "device", "{moved}");

    let renewed = shell.type_in(tokens);
    assert!(renewed[0]["session_token"].is_string(), "{renewed:?}");
    // All of them were revoked by the block's last line.
    shell.set("TOKEN", &shell.variables[1].1.clone().into());
    let completed = &shell.type_in(complete)[0];
    assert_eq!(completed["status"], "completed", "{completed}");
}
