//! Tools of MCP servers that behave.

use crate::mcp_world::{Transport, World, echo};
use crate::support::{agent, before, committed, context, ready, ready_for, result, run, scope};
use domain::ports::tools::Tools;
use domain::tool::{Effect, Policy, ToolOutcome};
use scripted::{Does, Era, McpTool};
use serde_json::{Value, json};
use std::time::Duration;
use tools::mcp::{Health, KEY_FIELD, ToolState};

async fn a_tool_is_called(era: Era, transport: Transport) {
    let world = World::new(era, transport, echo(&["read"]), "").await;
    let (context, call) = ready(&world.gateway, "files__read", json!({ "tag": "a" })).await;
    let outcome = world
        .gateway
        .execute(&scope(), &context, &call, Duration::from_secs(20))
        .await;
    let (told, is_error) = committed(outcome);
    assert!(!is_error);
    assert_eq!(told["result"], json!({ "tag": "a" }));
    assert_eq!(told["data_from"], "MCP server `files`");
    let calls = world.server.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["_meta"][KEY_FIELD], call.key.as_str());
    let status = world.status();
    assert_eq!(status.health, Health::Up);
    let version = match era {
        Era::Legacy => "2025-11-25",
        Era::Modern => "2026-07-28",
    };
    assert_eq!(status.protocol.as_deref(), Some(version));
    world.stop().await;
}

#[tokio::test]
async fn a_program_with_a_handshake_is_called() {
    a_tool_is_called(Era::Legacy, Transport::Stdio).await;
}

#[tokio::test]
async fn a_program_without_a_handshake_is_called() {
    a_tool_is_called(Era::Modern, Transport::Stdio).await;
}

#[tokio::test]
async fn a_remote_server_with_a_handshake_is_called() {
    a_tool_is_called(Era::Legacy, Transport::Http).await;
}

#[tokio::test]
async fn a_remote_server_without_a_handshake_is_called() {
    a_tool_is_called(Era::Modern, Transport::Http).await;
}

#[tokio::test]
async fn the_operator_picks_and_renames_tools() {
    let more = r#"
        [mcp.files]
        tools = ["write"]
        policy = "ask"
        [tools.look]
        kind = "mcp"
        server = "files"
        tool = "read"
        effect = "idempotent"
        description = "Looks."
        policy = "auto"
    "#;
    let world = World::new(
        Era::Legacy,
        Transport::Stdio,
        echo(&["read", "write", "other"]),
        more,
    )
    .await;
    assert_eq!(world.gateway.names(), ["files__write", "look"]);
    let agent = crate::support::agent(&["look", "files__write"]);
    let specs = world.gateway.specs(&scope(), &agent);
    let told: Vec<(Effect, Policy, &str)> = specs
        .iter()
        .map(|spec| (spec.effect, spec.policy, spec.description.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Effect::Idempotent, Policy::Auto, "Looks."),
            (Effect::Unsafe, Policy::Ask, "Does write."),
        ]
    );
    assert_eq!(
        result(&world.gateway, "look", json!({ "tag": "b" })).await,
        json!({ "tag": "b" })
    );
    assert_eq!(world.server.count("read", "b"), 1);
    world.stop().await;
}

/// The effect of a tool with these annotations, under these settings.
async fn effect(annotations: Value, settings: &str) -> Effect {
    let tool = McpTool::new("read", Does::Echo).annotated(annotations);
    let more = format!("[mcp.files]\n{settings}");
    let world = World::new(Era::Legacy, Transport::Stdio, vec![tool], &more).await;
    let agent = crate::support::agent(&["files__read"]);
    let effect = world.gateway.specs(&scope(), &agent)[0].effect;
    world.stop().await;
    effect
}

#[tokio::test]
async fn hints_never_make_a_call_repeatable_by_themselves() {
    let reads = json!({ "readOnlyHint": true });
    assert_eq!(effect(reads.clone(), "").await, Effect::Unsafe);
    let trusted = "trust_annotations = true";
    assert_eq!(effect(reads, trusted).await, Effect::Idempotent);
    assert_eq!(effect(Value::Null, trusted).await, Effect::Unsafe);
    let keyed = "effect = \"keyed\"";
    assert_eq!(effect(Value::Null, keyed).await, Effect::Keyed);
    let destroys = json!({ "destructiveHint": true });
    assert_eq!(effect(destroys, keyed).await, Effect::Unsafe);
}

#[tokio::test]
async fn every_page_is_read_and_changes_are_heard() {
    let world = World::new(
        Era::Legacy,
        Transport::Stdio,
        echo(&["a", "b", "c", "d", "e"]),
        "",
    );
    let world = world.await;
    assert_eq!(world.gateway.names().len(), 5);
    world.server.page(2);
    world.server.offer(echo(&["a", "b", "c", "d", "f"]), true);
    world
        .until(|names| names.contains(&"files__f".to_owned()))
        .await;
    assert_eq!(
        world.gateway.names(),
        ["files__a", "files__b", "files__c", "files__d", "files__f"]
    );
    world.stop().await;
}

#[tokio::test]
async fn no_server_takes_the_name_of_another_tool() {
    let more = r#"
        [tools.files__read]
        kind = "builtin"
        builtin = "current_time"
        [tools.other]
        kind = "mcp"
        server = "files"
        tool = "absent"
    "#;
    let world = World::new(
        Era::Legacy,
        Transport::Stdio,
        echo(&["read", "write"]),
        more,
    )
    .await;
    world
        .until(|names| names.contains(&"files__write".to_owned()))
        .await;
    let time = result(&world.gateway, "files__read", json!({})).await;
    assert!(time["utc"].is_string());
    let status = world.status();
    let read = status
        .tools
        .iter()
        .find(|tool| tool.tool == "read")
        .unwrap();
    assert!(matches!(read.state, ToolState::Unusable { .. }), "{read:?}");
    assert!(world.server.calls().is_empty());
    world.stop().await;
}

#[tokio::test]
async fn pictures_are_described() {
    let tools = vec![McpTool::new("draw", Does::Picture)];
    let world = World::new(Era::Modern, Transport::Http, tools, "").await;
    let drawn = result(&world.gateway, "files__draw", json!({ "tag": "x" })).await;
    assert_eq!(
        drawn,
        json!({ "content": [
            { "type": "image", "mime_type": "image/png", "left_out": "3 bytes that are not text" }
        ] })
    );
    world.stop().await;
}

#[tokio::test]
async fn a_failure_of_the_tool_is_an_error_of_its_call() {
    let tools = vec![McpTool::new("try", Does::Fail)];
    let world = World::new(Era::Legacy, Transport::Http, tools, "").await;
    let (told, is_error) = committed(run(&world.gateway, "files__try", json!({ "tag": "" })).await);
    assert!(is_error);
    assert_eq!(told["error"], "it did not work");
    world.stop().await;
}

#[tokio::test]
async fn an_org_calls_with_its_own_credentials() {
    let more = r#"
        [mcp.files]
        orgs_only = true
        headers = { Accept-Language = "en", Authorization = "Bearer common" }
        [mcp.files.orgs.acme]
        headers = { Authorization = { env = "TEST_SECRET", prefix = "Bearer " } }
    "#;
    let world = World::new(Era::Legacy, Transport::Http, echo(&["read"]), more).await;
    result(&world.gateway, "files__read", json!({ "tag": "a" })).await;
    for head in world.server.heads() {
        assert!(
            head.contains("authorization: Bearer s3cret-canary"),
            "{head}"
        );
        assert!(
            head.contains("accept-language: en") && !head.contains("common"),
            "{head}"
        );
    }
    let stranger = domain::OrgScope::new(domain::OrgId::new("stranger").unwrap());
    let (context, call) = ready_for(
        &world.gateway,
        context(agent(&["files__read"])),
        &stranger,
        "files__read",
        json!({ "tag": "b" }),
    )
    .await;
    let refused = world
        .gateway
        .execute(&stranger, &context, &call, Duration::from_secs(5))
        .await;
    assert!(before(refused).contains("no credentials"));
    assert_eq!(world.server.count("read", "b"), 0);
    world.stop().await;
}

#[tokio::test]
async fn a_call_that_is_dropped_is_taken_back() {
    for transport in [Transport::Stdio, Transport::Http] {
        let tools = vec![McpTool::new("wait", Does::Wait)];
        let world = World::new(Era::Legacy, transport, tools, "").await;
        let (context, call) = ready(&world.gateway, "files__wait", json!({ "tag": "a" })).await;
        let scope = scope();
        let limit = Duration::from_secs(20);
        let calling = world.gateway.execute(&scope, &context, &call, limit);
        let called = world.eventually(|server| server.count("wait", "a") == 1);
        let dropped: Option<ToolOutcome> = tokio::select! {
            outcome = calling => Some(outcome),
            () = called => None,
        };
        assert!(dropped.is_none());
        world.eventually(|server| server.cancelled() >= 1).await;
        world.stop().await;
    }
}
