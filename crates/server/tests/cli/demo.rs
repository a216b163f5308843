//! The first command of the README.

use crate::program::{Home, PATIENCE, Running};
use serde_json::{Value, json};

/// The key for a ticket, if it is still good for one.
async fn exchange(origin: &str, ticket: &str) -> Option<String> {
    crate::program::tls();
    let answer = reqwest::Client::builder()
        .timeout(PATIENCE)
        .build()
        .unwrap()
        .post(format!("{origin}/console/sign-in"))
        .json(&json!({ "ticket": ticket }))
        .send()
        .await
        .unwrap();
    let body: Value = answer.json().await.unwrap();
    body["key"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn demonstration_needs_nothing_and_shows_a_tool_reading_the_fleet() {
    let home = Home::new();
    let mut server = Running::start({
        let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--demo"]);
        command.env("RUNYARD_LOG", "debug");
        command
    });
    let asked = server.out.until("deployment_advisor is asked: ");
    assert!(asked.is_ok(), "{asked:?}\n{}", server.err.rest());
    server.out.until("answered by").unwrap();
    server.out.until("→ list_").unwrap();
    server.out.until("← ").unwrap();
    server.out.until("completed; ").unwrap();
    let link = server.out.until("#ticket=").unwrap();
    server
        .out
        .until("This server goes on until Ctrl-C.")
        .unwrap();
    let (page, ticket) = link.trim().split_once("#ticket=").unwrap();
    let origin = page.split("/console/threads/").next().unwrap();
    let key = exchange(origin, ticket).await.unwrap();
    assert!(key.starts_with("ry_"), "{key}");
    assert_eq!(exchange(origin, ticket).await, None, "it works once");
    let said = home.run(&["run", "field_guide", "A small grey bird with a red chest."]);
    assert_eq!(said.code, Some(0), "{said:?}");
    server.signal("INT");
    let said = server.end();
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("no language model"), "{said:?}");
    assert!(!said.err.contains(ticket), "the log tells a ticket");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_sign_in_link_is_had_from_the_running_server() {
    let home = Home::new();
    let refused = home.run(&["console", "--url", "http://127.0.0.1:9", "--key", "x"]);
    assert_eq!(refused.code, Some(4), "{refused:?}");
    let server = home.serve(&[]);
    let said = home.run(&["console"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let link = said
        .out
        .lines()
        .find_map(|line| line.trim().split_once("/#ticket="));
    let (origin, ticket) = link.unwrap_or_else(|| panic!("no link: {said:?}"));
    assert!(exchange(origin, ticket).await.is_some());
    assert_eq!(exchange(origin, ticket).await, None, "it works once");
    drop(server);
}
