//! The sample: installed once, and every tool of it works.

use crate::support::{
    LIMIT, agent, before, committed, context, gateway, plan_one, ready, result, run, scope,
};
use domain::ports::tools::Tools;
use domain::run::Verdict;
use domain::tool::{Effect, Policy};
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::{Gateway, fleet};
use uuid::Uuid;

fn sample() -> (Gateway, TempDir) {
    let folder = TempDir::new().unwrap();
    fleet::install(&folder.path().join("fleet.db"), Uuid::now_v7()).unwrap();
    (gateway(fleet::TOML, folder.path()), folder)
}

#[test]
fn installing_again_leaves_the_file_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fleet.db");
    fleet::install(&path, Uuid::now_v7()).unwrap();
    rusqlite::Connection::open(&path)
        .unwrap()
        .execute_batch("DELETE FROM deployments")
        .unwrap();
    fleet::install(&path, Uuid::now_v7()).unwrap();
    let left: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM deployments", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    let drafts = std::fs::read_dir(folder.path()).unwrap();
    let drafts = drafts.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().ends_with(".new")
    });
    assert_eq!(drafts.count(), 0);
    assert!(fleet::install(&folder.path().join("no/such/folder.db"), Uuid::now_v7()).is_err());
}

#[test]
fn installed_by_several_at_once_it_is_one_whole_file() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("fleet.db");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                fleet::install(&path, Uuid::now_v7()).unwrap();
                // What is changed in it after an installation stays changed, whoever comes later.
                rusqlite::Connection::open(&path)
                    .unwrap()
                    .execute_batch("DELETE FROM deployments")
                    .unwrap();
            });
        }
    });
    let left: i64 = rusqlite::Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM deployments", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
    gateway(fleet::TOML, folder.path());
}

#[tokio::test]
async fn every_tool_is_there_with_its_effect_and_policy() {
    let (gateway, _folder) = sample();
    let names = gateway.names();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let specs = gateway.specs(&scope(), &agent(&names));
    let told: Vec<(&str, Effect, Policy)> = specs
        .iter()
        .map(|spec| (spec.name.as_str(), spec.effect, spec.policy))
        .collect();
    use Effect::{Idempotent, Keyed};
    use Policy::{Ask, Auto};
    assert_eq!(
        told,
        [
            ("create_deployment", Keyed, Ask),
            ("current_time", Idempotent, Auto),
            ("get_model", Idempotent, Auto),
            ("list_deployments", Idempotent, Auto),
            ("list_devices", Idempotent, Auto),
            ("list_models", Idempotent, Auto),
            ("pause_deployment", Idempotent, Ask),
        ]
    );
    assert!(specs.iter().all(|spec| !spec.description.is_empty()));
}

#[tokio::test]
async fn models_are_found() {
    let (gateway, _folder) = sample();
    let model = result(&gateway, "get_model", json!({"model_id": "phi-4-mini"})).await;
    assert_eq!(
        (&model["name"], &model["framework"]),
        (&json!("phi-4-mini"), &json!("onnx"))
    );
    let by_name = result(&gateway, "get_model", json!({"model_id": "qwen2.5:7b"})).await;
    assert_eq!(by_name["id"], "qwen2.5-7b");
    let (told, is_error) =
        committed(run(&gateway, "get_model", json!({"model_id": "gpt-5"})).await);
    assert!(
        is_error && told["error"]["message"] == "nothing found",
        "{told}"
    );
    let all = result(&gateway, "list_models", json!({})).await;
    assert_eq!(all["row_count"], 10);
    let small = result(
        &gateway,
        "list_models",
        json!({"max_memory_mb": 2048, "framework": "gguf"}),
    )
    .await;
    let ids: Vec<&Value> = small["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["id"])
        .collect();
    assert_eq!(ids, ["qwen2.5-0.5b", "qwen2.5-1.5b"]);
}

#[tokio::test]
async fn devices_and_deployments_are_listed() {
    let (gateway, _folder) = sample();
    assert_eq!(
        result(&gateway, "list_devices", json!({})).await["row_count"],
        14
    );
    let edge = result(
        &gateway,
        "list_devices",
        json!({"device_group": "store-edge", "min_memory_mb": 16_000}),
    )
    .await;
    assert_eq!(edge["rows"][0]["id"], "dev-012");
    assert_eq!(edge["row_count"], 1);
    assert_eq!(
        result(&gateway, "list_deployments", json!({})).await["row_count"],
        7
    );
    let paused = result(&gateway, "list_deployments", json!({"status": "paused"})).await;
    assert_eq!(paused["rows"][0]["id"], "dep-1005");
}

#[tokio::test]
async fn deployments_are_created_once_and_paused() {
    let (gateway, _folder) = sample();
    let arguments = json!({"model_id": "phi-4-mini", "device_group": "lab", "environment": "staging", "percent": 5});
    let (context, create) = ready(&gateway, "create_deployment", arguments).await;
    let told = committed(gateway.execute(&scope(), &context, &create, LIMIT).await);
    assert_eq!(
        committed(gateway.execute(&scope(), &context, &create, LIMIT).await),
        told
    );
    let made = &told.0["result"];
    assert_eq!(
        (&made["status"], &made["percent"], &made["channel"]),
        (&json!("rolling_out"), &json!(5), &json!("canary"))
    );
    let listed = result(
        &gateway,
        "list_deployments",
        json!({"model_id": "phi-4-mini"}),
    )
    .await;
    assert_eq!(listed["row_count"], 2);
    let paused = result(
        &gateway,
        "pause_deployment",
        json!({"deployment_id": made["id"]}),
    )
    .await;
    assert_eq!(paused["status"], "paused");
}

#[tokio::test]
async fn impossible_deployments_are_refused_with_a_reason() {
    let (gateway, _folder) = sample();
    let nowhere =
        json!({"model_id": "phi-4-mini", "device_group": "moon", "environment": "staging"});
    let told = before(run(&gateway, "create_deployment", nowhere).await);
    assert!(
        told.contains("FOREIGN KEY") && told.contains("nothing was changed"),
        "{told}"
    );
    let context = context(agent(&["create_deployment"]));
    let planned = plan_one(
        &gateway,
        &context,
        "create_deployment",
        r#"{"model_id":"phi-4-mini","device_group":"lab","environment":"prod"}"#,
    )
    .await;
    let Verdict::Reject { result, .. } = planned.verdict else {
        panic!("{:?}", planned.verdict);
    };
    assert!(result.content.contains("environment"), "{}", result.content);
}

#[tokio::test]
async fn the_time_is_the_clocks() {
    let (gateway, _folder) = sample();
    let told = result(&gateway, "current_time", json!({"utc_offset": "-03:00"})).await;
    assert_eq!(
        (&told["utc"], &told["local"]),
        (
            &json!("2023-11-14T22:13:20Z"),
            &json!("2023-11-14T19:13:20-03:00")
        )
    );
    let context = context(agent(&["current_time"]));
    let planned = plan_one(
        &gateway,
        &context,
        "current_time",
        r#"{"utc_offset":"Europe/Berlin"}"#,
    )
    .await;
    assert!(matches!(planned.verdict, Verdict::Reject { .. }));
}
