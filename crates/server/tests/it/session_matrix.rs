//! Every session operation of the OpenAPI document × every caller × every state of the session. An operation that the
//! table does not know fails: what it answers to whom is a decision.

use crate::client::Answer;
use crate::on_both_stores;
use crate::operations::{self, Operation};
use crate::world::{ACME, RIVAL, World};
use domain::key::Role;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

on_both_stores!(every_caller_in_every_state_gets_the_right_answer);

const SESSIONS: &str = "/api/v1/agents/sessions";

/// How long a session of the matrix lasts.
const TTL_S: u64 = 600;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Completed,
    Cancelled,
    Expired,
}

const STATES: [State; 4] = [
    State::Open,
    State::Completed,
    State::Cancelled,
    State::Expired,
];

/// What an operation answers to those who may ask, once the session is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Over {
    /// It only looks, or ends something.
    Served,
    /// 409 `run_already_terminal`.
    Refused,
    /// Harmless after itself, else refused.
    ServedIfCompleted,
}

fn row(operation: &str) -> Over {
    match operation {
        "get_session" | "revoke_session_token" => Over::Served,
        "execute_tool"
        | "create_response"
        | "create_session_token"
        | "create_steps"
        | "update_session_lane" => Over::Refused,
        "complete_session" => Over::ServedIfCompleted,
        other => panic!("{other}: what does it answer once the session is over?"),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Nobody,
    Org(Role),
    /// The session's own token.
    Token,
    RevokedToken,
    ExpiredToken,
    TokenOfAnotherSession,
    RivalOrg(Role),
    TokenOfARivalSession,
}

/// In this order, so that what ends the session is asked by those who may at the end.
const CALLERS: [Who; 12] = [
    Who::Nobody,
    Who::RevokedToken,
    Who::ExpiredToken,
    Who::Org(Role::Approver),
    Who::Org(Role::Viewer),
    Who::TokenOfAnotherSession,
    Who::RivalOrg(Role::Owner),
    Who::RivalOrg(Role::Developer),
    Who::TokenOfARivalSession,
    Who::Token,
    Who::Org(Role::Developer),
    Who::Org(Role::Owner),
];

struct Tokens {
    session: String,
    own: String,
    revoked: String,
    expired: String,
    another: String,
    rival: String,
}

fn text(body: &Value, field: &str) -> String {
    body[field].as_str().expect("text").to_owned()
}

async fn begin(world: &World, org: &str) -> Value {
    let secret = world.secret(org, Role::Owner).await;
    let body =
        json!({"agent_type": "clerk", "query": "What is owed?", "context": {}, "ttl_s": TTL_S});
    let ask = world.ask("POST", SESSIONS).key(&secret).json(&body);
    ask.send().await.ok()
}

async fn session_in(world: &World, state: State) -> Tokens {
    let made = begin(world, ACME).await;
    let id = text(&made, "session_id");
    let path = format!("{SESSIONS}/{id}");
    let issue = async |ttl: u64| {
        let issued = world
            .post(&format!("{path}/token"), &json!({"ttl_s": ttl}))
            .await;
        issued.ok()
    };
    let (revoked, expired) = (issue(3_600).await, issue(1).await);
    let key = format!("/api/v1/agents/keys/{}", text(&revoked, "token_id"));
    world.owner("DELETE", &key).await.send().await.ok();
    world.clock.advance(Duration::from_secs(2));
    match state {
        State::Open => {}
        State::Completed => {
            let done = json!({"summary": "5 is owed.", "confidence": 0.8});
            world.post(&format!("{path}/complete"), &done).await.ok();
        }
        State::Cancelled => {
            let cancel = format!("/api/v1/agents/runs/{id}/cancel");
            world.post(&cancel, &json!({})).await.ok();
        }
        State::Expired => world.clock.advance(Duration::from_secs(TTL_S)),
    }
    Tokens {
        own: text(&made, "session_token"),
        session: id,
        revoked: text(&revoked, "session_token"),
        expired: text(&expired, "session_token"),
        another: text(&begin(world, ACME).await, "session_token"),
        rival: text(&begin(world, RIVAL).await, "session_token"),
    }
}

async fn secret(world: &World, tokens: &Tokens, who: Who) -> Option<String> {
    Some(match who {
        Who::Nobody => return None,
        Who::Org(role) => world.secret(ACME, role).await,
        Who::RivalOrg(role) => world.secret(RIVAL, role).await,
        Who::Token => tokens.own.clone(),
        Who::RevokedToken => tokens.revoked.clone(),
        Who::ExpiredToken => tokens.expired.clone(),
        Who::TokenOfAnotherSession => tokens.another.clone(),
        Who::TokenOfARivalSession => tokens.rival.clone(),
    })
}

/// The right answer: its status and code.
fn right(operation: &Operation, state: State, who: Who) -> (u16, &'static str) {
    let by_token = operation.role.as_deref() == Some("session");
    match who {
        Who::Nobody => return (401, "missing_key"),
        Who::RevokedToken | Who::ExpiredToken => return (401, "invalid_key"),
        Who::Org(Role::Approver | Role::Viewer) => return (403, "role_forbidden"),
        Who::Token if !by_token => return (403, "role_forbidden"),
        Who::TokenOfAnotherSession | Who::TokenOfARivalSession if !by_token => {
            return (403, "role_forbidden");
        }
        Who::TokenOfAnotherSession | Who::TokenOfARivalSession | Who::RivalOrg(_) => {
            return (404, "not_found");
        }
        Who::Token | Who::Org(Role::Owner | Role::Developer | Role::Session) => {}
    }
    let served = match (row(&operation.id), state) {
        (_, State::Open) | (Over::Served, _) => true,
        (Over::ServedIfCompleted, state) => state == State::Completed,
        (Over::Refused, _) => false,
    };
    if served {
        (200, "")
    } else {
        (409, "run_already_terminal")
    }
}

/// The operations on a session, with the paths that stand beside the document.
fn session_operations() -> Vec<Operation> {
    let mut all: Vec<Operation> = operations::all()
        .into_iter()
        .filter(|operation| operation.path.contains("{session_id}"))
        .collect();
    let turn = all
        .iter()
        .find(|operation| operation.id == "create_response");
    let turn = turn.expect("turns are made").clone();
    for alias in ["turns", "responses"] {
        all.push(Operation {
            path: format!("{SESSIONS}/{{session_id}}/{alias}"),
            ..turn.clone()
        });
    }
    all
}

async fn every_caller_in_every_state_gets_the_right_answer(world: Arc<World>) {
    let mut tried = 0_u32;
    for operation in session_operations() {
        for state in STATES {
            let tokens = session_in(&world, state).await;
            let path = operation.path.replace("{session_id}", &tokens.session);
            for who in CALLERS {
                tried += 1;
                // Each from an address of its own: many wrong keys from one are refused for that.
                let [_, _, high, low] = tried.to_be_bytes();
                let mut ask = world
                    .ask(&operation.method, &path)
                    .peer(&format!("10.1.{high}.{low}"));
                if let Some(secret) = secret(&world, &tokens, who).await {
                    ask = ask.key(&secret);
                }
                let answer: Answer = match operation.body() {
                    Some(body) => ask.json(&body).send().await,
                    None => ask.send().await,
                };
                let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
                let code = said["code"].as_str().unwrap_or_default();
                assert_eq!(
                    (answer.status, code),
                    right(&operation, state, who),
                    "{} of {path}, {state:?}, as {who:?}: {said}",
                    operation.id
                );
            }
        }
    }
    assert!(tried >= 8 * 4 * 12, "{tried}");
}
