//! Approvals seen and decided from a terminal.

use crate::program::{Home, Running, Said, Serving, lane};
use scripted::{Script, Server as Model};
use serde_json::{Value, json};

const TOOLS: &str = r#"
[databases.book]
url = "book.db"

[tools.note]
kind = "sql"
description = "Notes a text."
database = "book"
sql = "SELECT :text AS noted"
policy = "ask"

[tools.note.input_schema]
type = "object"
required = ["text"]
additionalProperties = false
properties = { text = { type = "string" } }
"#;

/// A home whose agent wants to call the gated tool `note` with `text`, and its model.
pub async fn clerk(text: &str) -> (Home, Model) {
    let arguments = json!({ "text": text }).to_string();
    let model = Model::with(Script::tool_loop("note", &arguments, "Noted.")).await;
    let home = Home::new();
    home.write(
        "agents/clerk.md",
        "---\nname: Clerk\ntools: [note]\n---\nYou note.\n",
    );
    home.write("book.db", "");
    home.write("runyard.toml", &format!("{}{TOOLS}", lane(&model.url())));
    (home, model)
}

/// A server in such a home, the secret of its webhook at hand.
pub fn serve_clerk(home: &Home, secret: &str) -> Serving {
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("HOOK_SECRET", secret);
    Serving::start(command)
}

/// The same with its server and a run that waits.
pub async fn waiting(text: &str) -> (Home, Serving, Running, Value, Model) {
    let (home, model) = clerk(text).await;
    let server = home.serve(&[]);
    let mut run = Running::start(home.command(&["run", "clerk", "note it", "--json"]));
    let asked = run.out.until("\"approval_requested\"").unwrap();
    let asked: Value = serde_json::from_str(&asked).unwrap();
    (home, server, run, asked["approval"].clone(), model)
}

fn json(said: &Said) -> Value {
    assert_eq!(said.code, Some(0), "{said:?}");
    serde_json::from_str(&said.out).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn call_is_shown_complete_and_runs_once_approved() {
    let text = format!("pay \u{202e}alice{}\u{200b}mallory", "-".repeat(10_000));
    let (home, _server, run, approval, _model) = waiting(&text).await;
    let id = approval["id"].as_str().unwrap();

    let listed = home.run(&["approvals", "list"]);
    assert!(
        listed.out.starts_with(id) && listed.out.contains("note"),
        "{listed:?}"
    );
    assert_eq!(json(&home.run(&["approvals", "list", "--json"])), approval);
    // What else is shown of one approval alone.
    let mut alone = approval.clone();
    alone["proposed_grant"] = Value::Null;
    assert_eq!(json(&home.run(&["approvals", "show", id, "--json"])), alone);

    let shown = home.run(&["approvals", "show", id]);
    let escaped = format!("pay \\u202ealice{}\\u200bmallory", "-".repeat(10_000));
    assert!(shown.out.contains(&escaped), "{shown:?}");
    assert!(!shown.out.contains(['\u{202e}', '\u{200b}']), "{shown:?}");

    let other = home.run(&["approvals", "approve", id, "--digest", "00"]);
    assert_eq!(other.code, Some(4), "{other:?}");
    assert!(other.err.contains("runyard approvals show"), "{other:?}");

    let decided = json(&home.run(&["approvals", "approve", id, "--reason", "fine", "--json"]));
    assert_eq!(
        (&decided["status"], &decided["reason"]),
        (&json!("approved"), &json!("fine"))
    );
    let said = run.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    let results: Vec<&str> = said
        .out
        .lines()
        .filter(|line| line.contains("\"tool_call_completed\""))
        .collect();
    assert_eq!(results.len(), 1, "{said:?}");
    assert!(results[0].contains("mallory"), "{said:?}");

    let late = home.run(&["approvals", "deny", id, "--reason", "no"]);
    assert_eq!(late.code, Some(4), "{late:?}");
    assert!(
        late.err.contains("shows the decision that stands"),
        "{late:?}"
    );
    let none = home.run(&["approvals", "list"]);
    assert_eq!((none.code, none.out.as_str()), (Some(0), ""), "{none:?}");
    let all = json(&home.run(&["approvals", "list", "--status", "all", "--json"]));
    assert_eq!(all, decided);
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_edited_from_a_file_and_a_denial_says_why() {
    let (home, _server, run, approval, _model) = waiting("first").await;
    let id = approval["id"].as_str().unwrap();
    home.write("edited.json", "{\"text\": \"a\", \"text\": \"b\"}");
    let twice = home.run(&["approvals", "approve", id, "--arguments", "edited.json"]);
    assert_eq!(twice.code, Some(1), "{twice:?}");
    assert!(twice.err.contains("stands twice"), "{twice:?}");
    home.write("edited.json", "{\"text\": \"second\"}");
    let edited = home.run(&[
        "approvals",
        "approve",
        id,
        "--arguments",
        "edited.json",
        "--json",
    ]);
    assert_eq!(json(&edited)["arguments"], json!({"text": "second"}));
    let said = run.end();
    assert!(
        said.out.contains("second") && said.code == Some(0),
        "{said:?}"
    );

    let (home, _server, run, approval, _model) = waiting("first").await;
    let id = approval["id"].as_str().unwrap();
    let denied = home.run(&["approvals", "deny", id, "--reason", "not today", "--json"]);
    assert_eq!(json(&denied)["status"], "denied");
    let said = run.end();
    assert!(
        said.out.contains("not today") && said.code == Some(0),
        "{said:?}"
    );
    let unknown = home.run(&["approvals", "show", "nonsense"]);
    assert!(unknown.err.contains("no approval's id"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn inbox_is_watched() {
    let (home, _server, run, approval, _model) = waiting("first").await;
    let id = approval["id"].as_str().unwrap();
    let mut watching = Running::start(home.command(&["approvals", "list", "--watch", "--json"]));
    let asked = watching.out.until("approval_requested").unwrap();
    let asked: Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(asked["approval"], approval);
    home.run(&["approvals", "deny", id, "--reason", "no"]);
    watching.out.until("approval_resolved").unwrap();
    watching.signal("INT");
    assert_eq!(watching.end().code, Some(0));
    run.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn record_of_decisions_is_verified_and_exported() {
    let (home, _server, run, approval, _model) = waiting("first").await;
    let id = approval["id"].as_str().unwrap();
    let before = home.run(&["audit", "export"]);
    home.run(&["approvals", "approve", id, "--reason", "fine"]);
    run.end();
    let made = home.run(&["keys", "create", "--name", "robot"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let exported = home.run(&["audit", "export"]);
    let actions: Vec<String> = exported
        .out
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            let body: Value = serde_json::from_str(line["body"].as_str().unwrap()).unwrap();
            body["action"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(actions, ["key.created", "approval.decided", "key.created"]);
    assert!(
        exported
            .out
            .contains(approval["arguments_digest"].as_str().unwrap())
    );
    home.write("early.jsonl", &before.out);
    home.write("late.jsonl", &exported.out);
    home.write("forged.jsonl", &exported.out.replace("fine", "Fine"));
    let longer = format!("{}{}", exported.out, exported.out.lines().last().unwrap());
    home.write("longer.jsonl", &longer);
    let verify = |file: Option<&str>| {
        let mut arguments = vec!["audit", "verify", "--org", "default"];
        arguments.extend(file.iter().flat_map(|file| ["--from", file]));
        home.run(&arguments)
    };
    for file in [None, Some("early.jsonl"), Some("late.jsonl")] {
        let said = verify(file);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.out.contains("default: 3 entries, whole"), "{said:?}");
    }
    let forged = verify(Some("forged.jsonl"));
    assert_eq!(forged.code, Some(1), "{forged:?}");
    assert!(forged.out.contains("entry 2 was altered"), "{forged:?}");
    let longer = verify(Some("longer.jsonl"));
    assert!(longer.out.contains("entry 4 is missing"), "{longer:?}");
}
