use crate::on_both_stores;
use crate::world::{ACME, World};
use domain::audit::Actor;
use domain::key::Role;
use domain::ports::clock::Clock;
use serde_json::{Value, json};
use server::keys::Secret;
use std::sync::Arc;

on_both_stores!(
    ticket_becomes_a_key_that_expires,
    ticket_from_elsewhere_is_refused_and_stays_good,
    owner_on_this_machine_gets_a_ticket_for_their_own_org,
);

fn ticket(world: &World) -> Secret {
    let scope = world.scope("default");
    let now = world.clock.now();
    let ticket = world.app.tickets.issue(&scope, Actor::Operator, now);
    ticket.expect("there is randomness")
}

async fn exchange(world: &World, ticket: &str) -> Value {
    let ask = world.ask("POST", "/console/sign-in");
    ask.json(&json!({ "ticket": ticket })).send().await.ok()
}

async fn ticket_becomes_a_key_that_expires(world: Arc<World>) {
    let ticket = ticket(&world);
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
    let ticket = ticket(&world);
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

async fn owner_on_this_machine_gets_a_ticket_for_their_own_org(world: Arc<World>) {
    let (_, owner) = world.new_key(ACME, Role::Owner, None).await;
    let (_, developer) = world.new_key(ACME, Role::Developer, None).await;
    let ask = |key: &str| world.ask("POST", "/console/tickets").key(key);
    let answer = ask(&owner).send().await.ok();
    let ticket = answer["ticket"].as_str().expect("a ticket");
    let key = exchange(&world, ticket).await;
    let key = key["key"].as_str().expect("a key");
    let who = world.ask("GET", "/api/v1/agents/whoami").key(key);
    let who = who.send().await.ok();
    assert_eq!(
        (&who["role"], &who["org"]),
        (&json!("owner"), &json!(ACME)),
        "{who}"
    );
    ask(&developer).send().await.problem(403, "role_forbidden");
    let nobody = world.ask("POST", "/console/tickets").send().await;
    nobody.problem(401, "missing_key");
    let far = ask(&owner).peer("192.0.2.7").send().await;
    far.problem(400, "bad_request");
    let proxied = ask(&owner).header("x-forwarded-for", "192.0.2.7");
    proxied.send().await.problem(400, "bad_request");
}
