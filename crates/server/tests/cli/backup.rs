//! The embedded store copied while its server works, and brought back elsewhere.

use crate::approvals::waiting;
use crate::program::Home;
use crate::seen::Seen;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_working_store_goes_on_where_and_when_an_operator_says() {
    let (home, server, mut run, approval, _model) = waiting("copied").await;
    let (id, run_id) = (
        approval["id"].as_str().unwrap(),
        approval["run_id"].as_str().unwrap(),
    );
    let copied = home.run(&["backup", "--to", "copy.db"]);
    assert_eq!(copied.code, Some(0), "{copied:?}");
    assert!(copied.out.contains("1 of them open"), "{copied:?}");
    let again = home.run(&["backup", "--to", "copy.db"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("is there already"), "{again:?}");
    // The original goes on and ends.
    let approved = home.run(&["approvals", "approve", id]);
    assert_eq!(approved.code, Some(0), "{approved:?}");
    run.out.until("\"done\"").unwrap();
    server.stop();

    let restored = home.run(&["restore", "--from", "copy.db", "--data", "second"]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert!(
        restored.err.contains("1 open runs are on hold"),
        "{restored:?}"
    );
    let twice = home.run(&["restore", "--from", "copy.db", "--data", "second"]);
    assert!(twice.err.contains("is there already"), "{twice:?}");
    let second = home.serve(&["--data", "second"]);
    let seen = Seen::new(&home, &second);
    let held = home.run(&["runs", "held", "--json", "--data", "second"]);
    assert!(
        held.out.contains(run_id) && held.out.contains("\"restored\""),
        "{held:?}"
    );
    let shown = seen.ask(&format!("/runs/{run_id}"), None).await;
    assert_eq!(shown["status"], "awaiting_approval");
    assert_eq!(shown["hold"]["because"], "restored");
    // A decision is taken, and nothing comes of it yet.
    let decision = json!({ "decision": "approve" });
    seen.ask(&format!("/approvals/{id}/resolve"), Some(decision))
        .await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let shown = seen.ask(&format!("/runs/{run_id}"), None).await;
    assert_eq!(shown["status"], "running", "{shown}");

    let resumed = home.run(&["runs", "resume", "--all", "--data", "second"]);
    assert!(resumed.out.contains("1 runs go on"), "{resumed:?}");
    let ended = seen.until(run_id, "completed").await;
    assert_eq!(ended["hold"], Value::Null);
    let calls = ended["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["kind"] == "tool_call");
    assert_eq!(calls.count(), 1);
    // Its record says what was done to it, and is whole.
    let record = home.run(&["audit", "export", "--data", "second"]);
    for deed in ["store.restored", "run.resumed"] {
        assert!(record.out.contains(deed), "{deed}: {record:?}");
    }
    assert_eq!(
        home.run(&["audit", "verify", "--data", "second"]).code,
        Some(0)
    );
    second.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_run_waits_until_it_is_resumed() {
    let (home, server, _run, approval, _model) = waiting("paused").await;
    let (id, run_id) = (
        approval["id"].as_str().unwrap(),
        approval["run_id"].as_str().unwrap(),
    );
    let seen = Seen::new(&home, &server);
    let paused = home.run(&["runs", "pause", run_id]);
    assert!(paused.out.contains("is on hold"), "{paused:?}");
    assert!(
        home.run(&["runs", "pause", run_id])
            .err
            .contains("nothing changes")
    );
    seen.ask(
        &format!("/approvals/{id}/resolve"),
        Some(json!({ "decision": "approve" })),
    )
    .await;
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(
        seen.ask(&format!("/runs/{run_id}"), None).await["status"],
        "running"
    );
    let resumed = home.run(&["runs", "resume", run_id]);
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    seen.until(run_id, "completed").await;
    let over = home.run(&["runs", "pause", run_id]);
    assert!(over.err.contains("the run is over"), "{over:?}");
    let unknown = home.run(&["runs", "resume", "nonsense"]);
    assert!(unknown.err.contains("no run"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_that_cannot_be_are_refused() {
    let home = Home::new();
    let nothing = home.run(&["backup", "--to", "copy.db"]);
    assert!(nothing.err.contains("is not there"), "{nothing:?}");
    home.write(
        "copy.db",
        "this is no database, and long enough to be looked at as one",
    );
    let broken = home.run(&["restore", "--from", "copy.db"]);
    assert_eq!(broken.code, Some(1), "{broken:?}");
    assert!(!home.data().join("runyard.db").exists());
    let left: Vec<_> = fs::read_dir(home.data())
        .unwrap()
        .flatten()
        .map(|it| it.file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
    let missing = home.run(&["restore", "--from", "nowhere.db"]);
    assert!(missing.err.contains("is not there"), "{missing:?}");
    let elsewhere = home.run(&[
        "backup",
        "--to",
        "copy2.db",
        "--database-url",
        "postgres://127.0.0.1/x",
    ]);
    assert!(elsewhere.err.contains("pg_dump"), "{elsewhere:?}");
}
