use crate::on_both_stores;
use crate::world::{ACME, RIVAL, World};
use domain::key::Role;
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores!(
    decisions_are_on_record_for_owners_alone,
    pages_go_on_where_they_ended
);

const AUDIT: &str = "/api/v1/agents/audit";

async fn decisions_are_on_record_for_owners_alone(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    let id = approval["id"].as_str().unwrap();
    let body = json!({"decision": "deny", "reason": "too much"});
    let path = format!("/api/v1/agents/approvals/{id}/resolve");
    world.post(&path, &body).await.ok();
    live.until("done").await;
    let (cancelled, approval) = world.waiting().await;
    let run = approval["run_id"].as_str().unwrap();
    let path = format!("/api/v1/agents/runs/{run}/cancel");
    world.post(&path, &json!({"reason": "enough"})).await.ok();
    drop(cancelled);
    let made = world
        .post(
            "/api/v1/agents/keys",
            &json!({"name": "robot", "role": "viewer"}),
        )
        .await
        .ok();
    let key = made["id"].as_str().unwrap();
    let path = format!("/api/v1/agents/keys/{key}");
    world.owner("DELETE", &path).await.send().await.ok();

    let page = world.get(AUDIT).await.ok();
    let entries = page["entries"].as_array().unwrap();
    let actions: Vec<&Value> = entries.iter().map(|it| &it["entry"]["action"]).collect();
    assert_eq!(
        actions,
        [
            "approval.decided",
            "run.cancelled",
            "key.created",
            "key.revoked"
        ]
    );
    let decided = &entries[0]["entry"];
    assert_eq!(decided["actor"]["name"], "owner of acme");
    let about = &decided["about"];
    for (name, value) in [
        ("tool_name", json!("pay")),
        ("status", json!("denied")),
        ("reason", json!("too much")),
    ] {
        assert_eq!(about[name], value, "{name}");
    }
    assert!(about["arguments_digest"].is_string() && about["tool_version"].is_string());
    assert_eq!(entries[1]["entry"]["about"]["reason"], "enough");
    assert_eq!(page["head"]["seq"], 4);
    assert_eq!(page["head"]["hash"], entries[3]["hash"]);

    for role in [Role::Developer, Role::Approver, Role::Viewer] {
        let secret = world.secret(ACME, role).await;
        let refused = world.ask("GET", AUDIT).key(&secret).send().await;
        refused.problem(403, "role_forbidden");
    }
    let secret = world.secret(RIVAL, Role::Owner).await;
    let theirs = world.ask("GET", AUDIT).key(&secret).send().await.ok();
    assert_eq!(
        theirs,
        json!({"entries": [], "next_after": null, "head": null})
    );
}

async fn pages_go_on_where_they_ended(world: Arc<World>) {
    for number in 0..5 {
        let body = json!({"name": format!("robot {number}"), "role": "viewer"});
        world.post("/api/v1/agents/keys", &body).await.ok();
    }
    let mut after = 0;
    let mut seen = Vec::new();
    loop {
        let page = world
            .get(&format!("{AUDIT}?after={after}&limit=2"))
            .await
            .ok();
        for entry in page["entries"].as_array().unwrap() {
            seen.push(entry["seq"].as_u64().unwrap());
        }
        match page["next_after"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let refused = world.get(&format!("{AUDIT}?limit=0")).await;
    refused.problem(400, "invalid_parameter");
}
