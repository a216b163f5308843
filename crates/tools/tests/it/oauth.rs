//! Servers at which a person logs in: who carries which token where, how it is renewed, and what is said where it is not.

use crate::mcp_world::{Transport, World, echo};
use crate::support::{agent, before, committed, context, ready, ready_for, scope};
use domain::ports::tools::Tools;
use domain::{OrgId, OrgScope};
use futures::future::join_all;
use scripted::{AuthFault, AuthServer, Era, McpServer};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tools::egress::System;
use tools::mcp::Health;
use tools::mcp::oauth::{Login, LoginError, LoginState, login_state};

/// Where nobody listens; the browser's last step is not taken here.
const REDIRECT: &str = "http://127.0.0.1:9/callback";
const LIMIT: Duration = Duration::from_secs(60);
const CONFIG: &str = "
    egress.allow_private = [\"127.0.0.1\"]
    [mcp.files]
    oauth = {}
    effect = \"unsafe\"
";

async fn guarded(era: Era, more: &str) -> (World, AuthServer) {
    let auth = AuthServer::start().await;
    let server = McpServer::start(era, echo(&["read"])).await;
    server.guard(&auth);
    (World::around(server, Transport::Http, more).await, auth)
}

/// What a browser does with the page: it is sent back at once.
async fn browse(page: &str) -> String {
    let browser = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let answer = browser.get(page).send().await.unwrap();
    answer.headers()["location"].to_str().unwrap().to_owned()
}

async fn log_in(world: &World, org: Option<&OrgId>) {
    let login = Login::begin(&world.account(org), REDIRECT).await.unwrap();
    let back = browse(login.page()).await;
    login.finish(&back).await.unwrap();
}

async fn logged_in(era: Era) -> (World, AuthServer) {
    let (world, auth) = guarded(era, CONFIG).await;
    log_in(&world, None).await;
    world.up("files").await;
    (world, auth)
}

async fn read(world: &World, tag: &str) -> (Value, bool) {
    let (context, call) = ready(&world.gateway, "files__read", json!({ "tag": tag })).await;
    let scope = scope();
    let called = world.gateway.execute(&scope, &context, &call, LIMIT);
    committed(called.await)
}

/// What a call is told that was not made.
async fn refused(world: &World, scope: &OrgScope) -> String {
    let run = context(agent(&["files__read"]));
    let tag = json!({ "tag": "no" });
    let (context, call) = ready_for(&world.gateway, run, scope, "files__read", tag).await;
    let called = world.gateway.execute(scope, &context, &call, LIMIT);
    before(called.await)
}

fn down(world: &World) -> String {
    match world.status().health {
        Health::Down { why } => why,
        Health::Starting | Health::Up => String::new(),
    }
}

async fn a_login_is_what_calls_are_made_with(era: Era) {
    let (world, auth) = guarded(era, CONFIG).await;
    let told = || format!("{:?}", world.status());
    world
        .wait(|| down(&world).contains("runyard mcp login files"), &told)
        .await;
    assert!(
        down(&world).starts_with("nobody is logged in"),
        "{}",
        told()
    );
    log_in(&world, None).await;
    world.up("files").await;
    let (told, is_error) = read(&world, "a").await;
    assert!(!is_error, "{told}");
    assert_eq!(world.server.count("read", "a"), 1);
    assert_eq!(auth.renewals(), 0);
    // The authorization server sees codes and verifiers, and never an access token.
    for (path, body) in auth.requests() {
        assert!(
            !path.contains("access-") && !body.contains("access-"),
            "{path} {body}"
        );
    }
    let asked = auth
        .requests()
        .into_iter()
        .find(|(path, _)| path == "/token");
    let (_, asked) = asked.expect("a code was exchanged");
    assert!(
        asked.contains("resource=http"),
        "for this very server: {asked}"
    );
    world.stop().await;
}

#[tokio::test]
async fn a_login_is_what_calls_are_made_with_after_a_handshake() {
    a_login_is_what_calls_are_made_with(Era::Legacy).await;
}

#[tokio::test]
async fn a_login_is_what_calls_are_made_with_without_one() {
    a_login_is_what_calls_are_made_with(Era::Modern).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_calls_with_a_refused_token_renew_it_once() {
    let (world, auth) = logged_in(Era::Modern).await;
    auth.expire_all();
    let tags: Vec<String> = (0..50).map(|index| format!("call-{index}")).collect();
    let called = join_all(tags.iter().map(|tag| read(&world, tag))).await;
    assert!(called.iter().all(|(_, is_error)| !is_error), "{called:?}");
    for tag in &tags {
        assert_eq!(world.server.count("read", tag), 1, "{tag}");
    }
    assert_eq!(auth.renewals(), 1);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_run_out_are_renewed_before_they_are_refused() {
    let (world, auth) = guarded(Era::Modern, CONFIG).await;
    auth.lifetime(Some(4));
    log_in(&world, None).await;
    world.up("files").await;
    auth.lifetime(None);
    tokio::time::sleep(Duration::from_millis(4_100)).await;
    let (_, is_error) = read(&world, "later").await;
    assert!(!is_error);
    assert!(auth.renewals() >= 1);
    let heads = world.server.heads();
    let calls = heads
        .iter()
        .filter(|head| head.contains("mcp-method: tools/call"));
    assert_eq!(
        calls.count(),
        1,
        "none was sent with the old token: {heads:?}"
    );
    world.stop().await;
}

/// Each use of a refresh token makes it void: two servers that used the same one would lose the login.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_on_one_store_do_not_use_a_refresh_token_twice() {
    let (one, auth) = logged_in(Era::Modern).await;
    let two = one.beside(Transport::Http, CONFIG);
    two.up("files").await;
    for round in 0..10 {
        auth.expire_all();
        let tags: Vec<String> = (0..8).map(|index| format!("{round}-{index}")).collect();
        let called = join_all(
            tags.iter()
                .enumerate()
                .map(|(index, tag)| read(if index % 2 == 0 { &one } else { &two }, tag)),
        );
        let called = called.await;
        assert!(
            called.iter().all(|(_, is_error)| !is_error),
            "{round}: {called:?}"
        );
        for tag in &tags {
            assert_eq!(one.server.count("read", tag), 1, "{tag}");
        }
    }
    assert!(auth.renewals() >= 10);
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn a_login_that_is_not_renewed_any_more_says_so_and_is_not_tried_again() {
    let (world, auth) = logged_in(Era::Modern).await;
    auth.expire_all();
    auth.fail(AuthFault::InvalidGrant);
    let told = refused(&world, &scope()).await;
    assert!(told.contains("runyard mcp login files"), "{told}");
    for _ in 0..3 {
        refused(&world, &scope()).await;
    }
    assert_eq!(auth.renewals(), 1);
    auth.fail(AuthFault::None);
    log_in(&world, None).await;
    world.up("files").await;
    let (_, is_error) = read(&world, "again").await;
    assert!(!is_error);
    world.stop().await;
}

#[tokio::test]
async fn an_authorization_server_that_is_down_costs_no_login() {
    let (world, auth) = logged_in(Era::Modern).await;
    auth.expire_all();
    auth.fail(AuthFault::Down);
    let told = refused(&world, &scope()).await;
    assert!(told.contains("could not be renewed just now"), "{told}");
    auth.fail(AuthFault::None);
    let (_, is_error) = read(&world, "back").await;
    assert!(!is_error);
    world.stop().await;
}

#[tokio::test]
async fn a_refresh_token_follows_no_redirect() {
    let (world, auth) = logged_in(Era::Modern).await;
    let other = AuthServer::start().await;
    auth.redirect_to(&format!("{}/token", other.issuer()));
    auth.expire_all();
    auth.fail(AuthFault::Redirects);
    refused(&world, &scope()).await;
    assert_eq!(other.requests(), []);
    world.stop().await;
}

#[tokio::test]
async fn a_scope_that_is_lacking_is_named() {
    let (world, auth) = logged_in(Era::Modern).await;
    auth.demand("files:write");
    let told = refused(&world, &scope()).await;
    assert!(told.contains("`files:write`"), "{told}");
    assert_eq!(world.server.count("read", "no"), 0);
    world.stop().await;
}

#[tokio::test]
async fn orgs_have_logins_of_their_own() {
    let more = format!("{CONFIG}\n[mcp.files.orgs.globex]\n");
    let (world, _auth) = guarded(Era::Modern, &more).await;
    let globex = OrgId::new("globex").unwrap();
    log_in(&world, None).await;
    world.up("files").await;
    let (_, is_error) = read(&world, "all").await;
    assert!(!is_error);
    let their = OrgScope::new(globex.clone());
    let told = refused(&world, &their).await;
    assert!(
        told.contains("runyard mcp login files --org globex"),
        "{told}"
    );
    log_in(&world, Some(&globex)).await;
    let run = context(agent(&["files__read"]));
    let tag = json!({ "tag": "theirs" });
    let (context, call) = ready_for(&world.gateway, run, &their, "files__read", tag).await;
    // The connection is made again within seconds of the login.
    let deadline = std::time::Instant::now() + LIMIT;
    loop {
        let outcome = world.gateway.execute(&their, &context, &call, LIMIT).await;
        if let domain::tool::ToolOutcome::Committed(result) = outcome {
            assert!(!result.is_error, "{result:?}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{outcome:?}");
    }
    let tokens: std::collections::BTreeSet<String> = world
        .server
        .heads()
        .iter()
        .filter_map(|head| {
            head.lines()
                .find(|line| line.starts_with("authorization:"))
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(tokens.len(), 2, "each its own: {tokens:?}");
    world.stop().await;
}

#[tokio::test]
async fn logins_that_go_wrong_leave_nothing() {
    for (fault, wrong) in [
        (AuthFault::NoRegistration, "registers no clients"),
        (AuthFault::WrongIssuer, "cannot be used"),
        (AuthFault::Denies, "access_denied"),
        (AuthFault::ForgedState, "not the answer"),
    ] {
        let (world, auth) = guarded(Era::Modern, CONFIG).await;
        auth.fail(fault);
        let account = world.account(None);
        let tried: Result<(), LoginError> = async {
            let login = Login::begin(&account, REDIRECT).await?;
            let back = browse(login.page()).await;
            login.finish(&back).await
        }
        .await;
        let error = tried.expect_err("it cannot succeed").to_string();
        assert!(error.contains(wrong), "{fault:?}: {error}");
        let state = login_state(account.logins(), &account.of).await.unwrap();
        assert_eq!(state, LoginState::None, "{fault:?}");
        world.stop().await;
    }
}

#[tokio::test]
async fn a_login_elsewhere_is_no_answer_to_this_one() {
    let (world, _auth) = guarded(Era::Modern, CONFIG).await;
    let account = world.account(None);
    let begin = || Login::begin(&account, REDIRECT);
    let (one, two) = (begin().await.unwrap(), begin().await.unwrap());
    let back = browse(two.page()).await;
    let crossed = one.finish(&back).await;
    assert!(
        matches!(crossed, Err(LoginError::Strange(_))),
        "{crossed:?}"
    );
    let nonsense = one.finish("http://127.0.0.1:9/callback?x=1").await;
    assert!(
        matches!(nonsense, Err(LoginError::Strange(_))),
        "{nonsense:?}"
    );
    two.finish(&back).await.unwrap();
    let twice = two.finish(&back).await;
    assert!(twice.is_err(), "a code is good once");
    world.stop().await;
}

#[tokio::test]
async fn settings_that_make_no_login_are_refused() {
    for (settings, wrong) in [
        ("oauth = { client_secret = \"x\" }", "client_id"),
        (
            "oauth = {}\nheaders = { authorization = \"Bearer x\" }",
            "either `oauth`",
        ),
    ] {
        let table: toml::Table =
            toml::from_str(&format!("url = \"http://127.0.0.1:9/mcp\"\n{settings}")).unwrap();
        let built = crate::mcp_world::servers(table, Arc::new(System)).await;
        let error = built.err().expect("it is refused").to_string();
        assert!(error.contains(wrong), "{error}");
    }
}
