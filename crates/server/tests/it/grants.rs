use crate::on_both_stores;
use crate::world::{ACME, World};
use domain::key::Role;
use scripted::Script;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

on_both_stores!(
    a_remembered_approval_lets_the_next_calls_through_until_it_is_used_up,
    a_revoked_grant_lets_nothing_through,
    the_last_identical_approvals_propose_the_narrowest_grant,
    a_proposal_is_taken_as_it_is,
);

const APPROVALS: &str = "/api/v1/agents/approvals";
const GRANTS: &str = "/api/v1/agents/grants";

async fn approve(world: &World, approval: &Value, remember: Value) -> Value {
    let id = approval["id"].as_str().unwrap();
    let path = format!("{APPROVALS}/{id}/resolve");
    let body = json!({"decision": "approve", "remember": remember});
    world.post(&path, &body).await.ok()
}

/// Runs `pay` on a new thread; whether anybody was asked, once the run is over or waits.
async fn is_asked(world: &World, arguments: &'static str) -> bool {
    world
        .model
        .play(Script::tool_loop("pay", arguments, "Paid."));
    let thread = world.thread("clerk").await;
    let mut live = world.run_open(&thread, &json!({"input": "pay"})).await;
    loop {
        let frame = live.next().await.expect("the stream ends with done");
        match frame.event.as_str() {
            "approval_requested" => return true,
            "done" => return false,
            _ => {}
        }
    }
}

async fn only_grant(world: &World) -> Value {
    let listed = world.get(GRANTS).await.ok();
    let grants = listed["grants"].as_array().unwrap();
    assert_eq!(grants.len(), 1, "{listed}");
    let id = grants[0]["id"].as_str().unwrap();
    world.get(&format!("{GRANTS}/{id}")).await.ok()
}

async fn a_remembered_approval_lets_the_next_calls_through_until_it_is_used_up(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    let remember = json!({"predicate": "args.amount <= 10", "uses": 2});
    approve(&world, &approval, remember).await;
    live.until("done").await;
    assert!(!is_asked(&world, r#"{"amount":7}"#).await);
    assert!(is_asked(&world, r#"{"amount":11}"#).await);
    assert!(!is_asked(&world, r#"{"amount":10}"#).await);
    let grant = only_grant(&world).await;
    assert_eq!(
        (&grant["used"], &grant["status"]),
        (&json!(2), &json!("used_up"))
    );
    let calls = grant["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 2);
    for call in calls {
        let run = call["run_id"].as_str().unwrap();
        let run = world.get(&format!("/api/v1/agents/runs/{run}")).await.ok();
        let index = call["step_index"].as_u64().unwrap();
        let steps = run["steps"].as_array().unwrap();
        let step = steps
            .iter()
            .find(|step| step["step_index"] == index)
            .unwrap();
        assert_eq!(step["policy"]["grant_id"], grant["id"], "{step}");
        assert_eq!(step["status"], "committed");
    }
    assert!(is_asked(&world, r#"{"amount":7}"#).await);
    assert_eq!(world.paid.load(Ordering::SeqCst), 3);
}

async fn a_revoked_grant_lets_nothing_through(world: Arc<World>) {
    let (mut live, approval) = world.waiting().await;
    approve(&world, &approval, json!({"predicate": "args.amount == 5"})).await;
    live.until("done").await;
    assert!(!is_asked(&world, r#"{"amount":5}"#).await);
    let grant = only_grant(&world).await;
    let path = format!("{GRANTS}/{}", grant["id"].as_str().unwrap());
    let approver = world.secret(ACME, Role::Approver).await;
    let revoked = world.ask("DELETE", &path).key(&approver).send().await.ok();
    assert_eq!(revoked["status"], "revoked");
    let again = world.ask("DELETE", &path).key(&approver).send().await.ok();
    assert_eq!(again["revoked_at"], revoked["revoked_at"]);
    assert!(is_asked(&world, r#"{"amount":5}"#).await);
}

async fn the_last_identical_approvals_propose_the_narrowest_grant(world: Arc<World>) {
    let (mut live, first) = world.waiting().await;
    let shown = |approval: &Value| format!("{APPROVALS}/{}", approval["id"].as_str().unwrap());
    let alone = world.get(&shown(&first)).await.ok();
    assert_eq!(alone["proposed_grant"], Value::Null);
    approve(&world, &first, Value::Null).await;
    live.until("done").await;
    let (_live, second) = world.waiting().await;
    let proposed = world.get(&shown(&second)).await.ok();
    assert_eq!(
        proposed["proposed_grant"],
        json!({
            "predicate": r#"args.all(name, name in ["amount"]) && args["amount"] == 5"#,
            "ttl_s": 86_400,
            "uses": 10,
            "covers": 2
        })
    );
    // Nobody proposes anything about what is decided.
    let decided = world.get(&shown(&first)).await.ok();
    assert_eq!(decided["proposed_grant"], Value::Null);
}

async fn a_proposal_is_taken_as_it_is(world: Arc<World>) {
    let (mut live, first) = world.waiting().await;
    approve(&world, &first, Value::Null).await;
    live.until("done").await;
    let (mut live, second) = world.waiting().await;
    let path = format!("{APPROVALS}/{}", second["id"].as_str().unwrap());
    let proposal = world.get(&path).await.ok()["proposed_grant"].clone();
    approve(&world, &second, proposal).await;
    live.until("done").await;
    assert!(!is_asked(&world, r#"{"amount":5}"#).await);
    assert!(is_asked(&world, r#"{"amount":6}"#).await);
}
