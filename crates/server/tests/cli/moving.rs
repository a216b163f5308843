//! A store that outgrows its file, and a run that goes on at another server.

use crate::approvals::waiting;
use crate::database::Database;
use crate::program::Home;
use crate::seen::Seen;
use serde_json::json;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn store_that_moved_goes_on_in_postgres_and_nowhere_else() {
    let (home, server, _run, approval, _model) = waiting("moved").await;
    let (id, run) = (
        approval["id"].as_str().unwrap(),
        approval["run_id"].as_str().unwrap(),
    );
    let before = Seen::new(&home, &server).all(run).await;
    let database = Database::new();
    let address = database.address();
    let busy = home.run(&["move", "--to", &address]);
    assert_eq!(busy.code, Some(1));
    assert!(busy.err.contains("served by another process"), "{busy:?}");
    server.stop();

    let moved = home.run(&["move", "--to", &address]);
    assert_eq!(moved.code, Some(0), "{moved:?}");
    assert!(moved.out.contains("found equal"), "{moved:?}");
    assert!(!moved.err.contains(&address) && !moved.out.contains(&address));
    for refused in [
        vec!["serve", "--listen", "127.0.0.1:0"],
        vec!["keys", "create", "--name", "late"],
        vec!["move", "--to", &address],
        vec!["move", "--to", &address, "--undo"],
    ] {
        let said = home.run(&refused);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("was moved to"), "{said:?}");
    }

    let server = home.serve(&["--database-url", &address]);
    let seen = Seen::new(&home, &server);
    assert_eq!(seen.all(run).await, before);
    let approved = seen
        .ask(
            &format!("/approvals/{id}/resolve"),
            Some(json!({ "decision": "approve" })),
        )
        .await;
    assert_eq!(approved["status"], "approved");
    seen.until(run, "completed").await;
    seen.is_rejoined(run).await;
    let record = home.run(&["audit", "export", "--database-url", &address]);
    assert!(record.out.contains("store.moved"), "{record:?}");
    let verified = home.run(&["audit", "verify", "--database-url", &address]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

#[test]
fn moves_that_cannot_be_are_refused_with_what_to_do() {
    let home = Home::new();
    for (arguments, word) in [
        (vec!["move", "--to", "mysql://x/y"], "into PostgreSQL only"),
        (vec!["move", "--to", "other.db"], "into PostgreSQL only"),
        (
            vec!["move", "--from", "postgres://x/y", "--to", "postgres://x/y"],
            "only the embedded store",
        ),
        (
            vec![
                "move",
                "--to",
                "postgres://someone:secret-word@127.0.0.1:9/x",
            ],
            "is not there",
        ),
        (
            vec![
                "move",
                "--from",
                "sqlite://nothing.db",
                "--to",
                "postgres://127.0.0.1:9/x",
            ],
            "nothing.db is not there",
        ),
    ] {
        let said = home.run(&arguments);
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains(word), "{said:?}");
        assert!(said.err.contains("what to do:"), "{said:?}");
        assert!(!said.err.contains("secret-word"), "{said:?}");
    }
    home.serve(&[]).stop();
    let down = home.run(&[
        "move",
        "--to",
        "postgres://someone:secret-word@127.0.0.1:9/x",
    ]);
    assert!(down.err.contains("cannot connect"), "{down:?}");
    assert!(!down.err.contains("secret-word"), "{down:?}");
    // Nothing has begun.
    home.serve(&[]).stop();
}

/// Exports the run into `run.json`, twice the same, and returns the key that signed it.
fn exported(home: &Home, run: &str) -> String {
    let early = home.run(&["runs", "export", run, "--to", "run.json"]);
    assert!(early.err.contains("runyard runs pause"), "{early:?}");
    assert_eq!(home.run(&["runs", "pause", run]).code, Some(0));
    let first = home.run(&["runs", "export", run, "--to", "run.json"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let again = home.run(&["runs", "export", run, "--to", "again.json"]);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(read(home, "run.json"), read(home, "again.json"));
    let signer = first.err.split("--trust ").nth(1).unwrap();
    signer.split([' ', '`']).next().unwrap().to_owned()
}

fn read(home: &Home, name: &str) -> String {
    fs::read_to_string(home.path().join(name)).unwrap()
}

/// Nothing changes an exported run where it was.
async fn is_fenced(home: &Home, seen: &Seen<'_>, run: &str, approval: &str) {
    let decision = json!({ "decision": "approve" });
    for (path, body) in [
        (format!("/approvals/{approval}/resolve"), decision),
        (format!("/runs/{run}/cancel"), json!({})),
    ] {
        let (status, answer) = seen.try_ask(&path, Some(body)).await;
        assert_eq!(
            (status, &answer["code"]),
            (409, &json!("run_on_hold")),
            "{path}"
        );
    }
    // Nothing waits for a run that never ends here.
    let thread = seen.ask(&format!("/runs/{run}"), None).await["thread_id"].clone();
    let path = format!("/threads/{}/runs", thread.as_str().unwrap());
    let behind = json!({ "input": "and then?", "stream": false, "on_busy": "enqueue" });
    let (status, answer) = seen.try_ask(&path, Some(behind)).await;
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("run_on_hold")),
        "{answer}"
    );
    let resumed = home.run(&["runs", "resume", run]);
    assert!(resumed.err.contains("--still-here"), "{resumed:?}");
    let resumed = home.run(&["runs", "resume", "--all"]);
    assert!(resumed.out.contains("0 runs go on"), "{resumed:?}");
    let shown = seen.ask(&format!("/runs/{run}"), None).await;
    assert_eq!(
        (&shown["status"], &shown["hold"]["because"]),
        (&json!("awaiting_approval"), &json!("exported"))
    );
    let here = home.run(&["runs", "import", "--from", "run.json"]);
    assert!(here.err.contains("has the run"), "{here:?}");
}

/// Imports `run.json`, once, and no file that is not as it was signed.
fn imports(home: &Home, places: &[&str], signer: &str) {
    let import = |name: &str, trust: &[&str]| {
        let import = ["runs", "import", "--from", name];
        home.run(&[&import, trust, places].concat())
    };
    let stranger = import("run.json", &[]);
    assert!(stranger.err.contains(signer), "{stranger:?}");
    assert!(stranger.err.contains("--trust"), "{stranger:?}");
    let changed = read(home, "run.json").replace("carried", "cariedd");
    home.write("changed.json", &changed);
    home.write("nonsense.json", "{}\n{}");
    let trust = ["--trust", signer];
    for (name, word) in [
        ("changed.json", "was changed"),
        ("nonsense.json", "no run"),
        ("nothing.json", "cannot be read"),
    ] {
        let said = import(name, &trust);
        assert_eq!(said.code, Some(1));
        assert!(said.err.contains(word), "{said:?}");
    }
    let imported = import("run.json", &trust);
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let twice = import("run.json", &trust);
    assert!(twice.err.contains("has the run"), "{twice:?}");
}

/// A run that waits in the embedded store goes on in that of another home with the same agent and tools.
async fn carried(database: Option<Database>) {
    let (home, server, _run, approval, _model) = waiting("carried").await;
    let (id, run) = (
        approval["id"].as_str().unwrap(),
        approval["run_id"].as_str().unwrap(),
    );
    let seen = Seen::new(&home, &server);
    let thread = seen.ask(&format!("/runs/{run}"), None).await["thread_id"].clone();
    let thread = format!("/threads/{}", thread.as_str().unwrap());
    let messages = seen.ask(&thread, None).await["messages"].clone();
    let signer = exported(&home, run);
    is_fenced(&home, &seen, run, id).await;

    let other = Home::new();
    for name in ["agents/clerk.md", "runyard.toml", "book.db", "run.json"] {
        other.write(name, &read(&home, name));
    }
    let address = database.as_ref().map(Database::address);
    let places: Vec<&str> = match &address {
        Some(address) => vec!["--database-url", address],
        None => Vec::new(),
    };
    let second = other.serve(&places);
    imports(&other, &places, &signer);
    let there = Seen::new(&other, &second);
    let shown = there.ask(&format!("/runs/{run}"), None).await;
    assert_eq!(
        (&shown["status"], &shown["hold"]["because"]),
        (&json!("awaiting_approval"), &json!("imported"))
    );
    assert_eq!(there.ask(&thread, None).await["messages"], messages);
    let decision = Some(json!({ "decision": "approve" }));
    there
        .ask(&format!("/approvals/{id}/resolve"), decision)
        .await;
    let resumed = other.run(&[&["runs", "resume", run], &*places].concat());
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let ended = there.until(run, "completed").await;
    let calls = ended["steps"].as_array().unwrap().iter();
    assert_eq!(calls.filter(|step| step["kind"] == "tool_call").count(), 1);
    there.is_rejoined(run).await;
    let record = other.run(&[&["audit", "export"], &*places].concat());
    assert!(
        record.out.contains("run.imported") && record.out.contains(&signer),
        "{record:?}"
    );
    let record = home.run(&["audit", "export"]);
    assert!(record.out.contains("run.exported"), "{record:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_run_goes_on_in_another_file() {
    carried(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_run_goes_on_in_postgres() {
    carried(Some(Database::new())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_run_whose_file_was_brought_in_nowhere_can_stay() {
    let (home, server, _run, approval, _model) = waiting("stays").await;
    let (id, run) = (
        approval["id"].as_str().unwrap(),
        approval["run_id"].as_str().unwrap(),
    );
    assert_eq!(home.run(&["runs", "pause", run]).code, Some(0));
    let unwritable = home.run(&["runs", "export", run, "--to", "no/such/folder/run.json"]);
    assert_eq!(unwritable.code, Some(1), "{unwritable:?}");
    let stays = home.run(&["runs", "resume", run, "--still-here"]);
    assert_eq!(stays.code, Some(0), "{stays:?}");
    let seen = Seen::new(&home, &server);
    let decision = Some(json!({ "decision": "approve" }));
    seen.ask(&format!("/approvals/{id}/resolve"), decision)
        .await;
    seen.until(run, "completed").await;
    let over = home.run(&["runs", "export", run, "--to", "run.json"]);
    assert_eq!(over.code, Some(1), "{over:?}");
    let unknown = home.run(&["runs", "export", "nonsense", "--to", "run.json"]);
    assert!(unknown.err.contains("no run"), "{unknown:?}");
}
