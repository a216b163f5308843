use crate::on_both_stores;
use crate::world::World;
use domain::ports::clock::Clock;
use serde_json::{Value, json};
use std::sync::Arc;

on_both_stores!(
    ticket_becomes_a_key_that_expires,
    ticket_from_elsewhere_is_refused_and_stays_good,
);

async fn exchange(world: &World, ticket: &str) -> Value {
    let ask = world.ask("POST", "/console/sign-in");
    ask.json(&json!({ "ticket": ticket })).send().await.ok()
}

async fn ticket_becomes_a_key_that_expires(world: Arc<World>) {
    let ticket = world.app.tickets.issue(world.clock.now()).unwrap();
    let answer = exchange(&world, ticket.expose()).await;
    let key = answer["key"].as_str().unwrap();
    let ask = world.ask("GET", "/api/v1/agents/whoami").key(key);
    let who = ask.send().await.ok();
    assert_eq!(
        (&who["role"], &who["org"], &who["name"]),
        (
            &json!("owner"),
            &json!("default"),
            &json!("console on this machine")
        )
    );
    let keys = world.ask("GET", "/api/v1/agents/keys").key(key);
    let keys = keys.send().await.ok();
    assert!(keys["keys"][0]["expires_at"].is_string(), "{keys}");
    for wrong in [ticket.expose(), "", "another"] {
        let ask = world.ask("POST", "/console/sign-in");
        let answer = ask.json(&json!({ "ticket": wrong })).send().await;
        answer.problem(401, "invalid_ticket");
    }
}

async fn ticket_from_elsewhere_is_refused_and_stays_good(world: Arc<World>) {
    let ticket = world.app.tickets.issue(world.clock.now()).unwrap();
    let ask = || {
        let ask = world.ask("POST", "/console/sign-in");
        ask.json(&json!({ "ticket": ticket.expose() }))
    };
    let far = ask().peer("192.0.2.7").send().await;
    far.problem(401, "invalid_ticket");
    let proxied = ask().header("x-forwarded-for", "192.0.2.7").send().await;
    proxied.problem(401, "invalid_ticket");
    let stranger = ask().header("origin", "https://example.com").send().await;
    stranger.problem(403, "origin_not_allowed");
    exchange(&world, ticket.expose()).await;
}
