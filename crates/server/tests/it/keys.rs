use crate::on_both_stores;
use crate::world::World;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

on_both_stores!(
    key_is_made_used_and_revoked,
    key_expires_by_its_time,
    keys_that_cannot_be_are_refused,
    use_of_a_key_is_noted,
);

const KEYS: &str = "/api/v1/agents/keys";
const AGENTS: &str = "/api/v1/agents";

async fn key_is_made_used_and_revoked(world: Arc<World>) {
    let made = world
        .post(KEYS, &json!({"name": "ci", "role": "viewer"}))
        .await
        .ok();
    let (id, secret) = (
        made["id"].as_str().unwrap(),
        made["secret"].as_str().unwrap(),
    );
    assert!(server::keys::is_well_formed(secret), "{secret}");
    assert_eq!(
        (&made["role"], &made["expires_at"]),
        (&json!("viewer"), &Value::Null)
    );
    world.ask("GET", AGENTS).key(secret).send().await.ok();
    let listed = world.get(KEYS).await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(secret));
    let listed = listed.ok();
    let keys = listed["keys"].as_array().unwrap();
    let names: Vec<&str> = keys
        .iter()
        .map(|key| key["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["ci", "owner of acme"]);
    assert!(keys[0].get("secret").is_none());
    let path = format!("{KEYS}/{id}");
    let revoked = world.owner("DELETE", &path).await.send().await.ok();
    assert_eq!(revoked, json!({"id": id, "revoked": true}));
    world
        .ask("GET", AGENTS)
        .key(secret)
        .send()
        .await
        .problem(401, "invalid_key");
    let first = world.get(KEYS).await.ok()["keys"][0]["revoked_at"].clone();
    assert!(first.is_string());
    assert_eq!(
        world.owner("DELETE", &path).await.send().await.ok(),
        revoked
    );
    assert_eq!(world.get(KEYS).await.ok()["keys"][0]["revoked_at"], first);
}

async fn key_expires_by_its_time(world: Arc<World>) {
    let body = json!({"name": "short", "role": "developer", "ttl_s": 60});
    let made = world.post(KEYS, &body).await.ok();
    assert!(made["expires_at"].as_str() > made["created_at"].as_str());
    let secret = made["secret"].as_str().unwrap();
    world.ask("GET", AGENTS).key(secret).send().await.ok();
    world.clock.advance(Duration::from_secs(61));
    world
        .ask("GET", AGENTS)
        .key(secret)
        .send()
        .await
        .problem(401, "invalid_key");
}

async fn keys_that_cannot_be_are_refused(world: Arc<World>) {
    for (body, wrong) in [
        (json!({"role": "viewer"}), "name"),
        (json!({"name": " ", "role": "viewer"}), "name"),
        (json!({"name": "x".repeat(101), "role": "viewer"}), "name"),
        (json!({"name": "x"}), "role"),
        (json!({"name": "x", "role": "session"}), "role"),
        (json!({"name": "x", "role": "root"}), "role"),
        (json!({"name": "x", "role": "viewer", "ttl_s": 0}), "ttl_s"),
        (
            json!({"name": "x", "role": "viewer", "ttl_s": u64::MAX}),
            "ttl_s",
        ),
    ] {
        let problem = world
            .post(KEYS, &body)
            .await
            .problem(422, "validation_error");
        assert_eq!(problem["errors"][0]["path"], wrong, "{problem}");
    }
    assert_eq!(
        world.get(KEYS).await.ok()["keys"].as_array().unwrap().len(),
        1
    );
}

async fn use_of_a_key_is_noted(world: Arc<World>) {
    let made = world
        .post(KEYS, &json!({"name": "ci", "role": "viewer"}))
        .await
        .ok();
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(made["last_used_at"], Value::Null);
    world.ask("GET", AGENTS).key(secret).send().await.ok();
    world.app.keys.write_last_uses().await;
    let listed = world.get(KEYS).await.ok();
    assert!(listed["keys"][0]["last_used_at"].as_str() >= made["created_at"].as_str());
}
