//! What becomes of a proposed call before anything runs.

use crate::support::{NOW, agent_with, context, gateway, plan_one, proposed, scope};
use domain::approval::Terms;
use domain::limits::{APPROVAL_EXPIRY, CALLS_PER_TURN_MAX};
use domain::ports::tools::Tools;
use domain::run::Verdict;
use domain::tool::{Effect, Policy, arguments_digest};
use serde_json::{Value, json};
use tempfile::TempDir;
use tools::Gateway;

const TOOLS: &str = r#"
[tools.look]
kind = "http"
url = "http://203.0.113.1/{id}"
effect = "idempotent"
input_schema = {type = "object", required = ["id"], properties = {id = {type = "string", maxLength = 5}}}

[tools.asks]
kind = "http"
url = "http://203.0.113.1/"
policy = "ask"
risk = "wakes the night shift"

[tools.never]
kind = "http"
url = "http://203.0.113.1/"
policy = "deny"
"#;

fn tools() -> (Gateway, TempDir) {
    let folder = TempDir::new().unwrap();
    (gateway(TOOLS, folder.path()), folder)
}

fn rejected(verdict: &Verdict) -> (Value, bool) {
    match verdict {
        Verdict::Reject { result, malformed } => {
            assert!(result.is_error);
            (serde_json::from_str(&result.content).unwrap(), *malformed)
        }
        other => panic!("not rejected: {other:?}"),
    }
}

#[tokio::test]
async fn readable_calls_of_allowed_tools_run() {
    let (gateway, _folder) = tools();
    let context = context(agent_with(&["look"], &[]));
    let planned = plan_one(&gateway, &context, "look", r#" {"id" : "abc"} "#).await;
    assert_eq!(planned.verdict, Verdict::Run);
    assert_eq!(planned.arguments, json!({"id": "abc"}));
    assert_eq!(
        planned.arguments_digest,
        arguments_digest(&json!({"id": "abc"}))
    );
    assert_eq!(planned.effect, Effect::Idempotent);
    assert_eq!(
        planned.tool_version,
        gateway.specs(&scope(), &context.agent)[0].version
    );
}

#[tokio::test]
async fn unknown_tools_are_rejected_with_those_that_exist() {
    let (gateway, _folder) = tools();
    let context = context(agent_with(&["look", "gone", "asks"], &[]));
    // One that nobody has, one that the agent lists but nobody offers, one that the agent may not use.
    for name in ["nothing", "gone", "never", ""] {
        let planned = plan_one(&gateway, &context, name, "{}").await;
        let (told, malformed) = rejected(&planned.verdict);
        assert_eq!(
            told,
            json!({"tool": name, "error": "there is no such tool; there are: look, asks"})
        );
        assert!(!malformed);
        assert_eq!(
            (planned.effect, planned.tool_version.as_str()),
            (Effect::Unsafe, "")
        );
    }
}

#[tokio::test]
async fn unreadable_arguments_are_malformed_and_kept_as_text() {
    let (gateway, _folder) = tools();
    let context = context(agent_with(&["look"], &[]));
    for text in [
        "{\"id\":",
        "[1]",
        "null",
        "{\"id\":\"a\",\"id\":\"b\"}",
        "{\"id\":1e999}",
        "look(id)",
    ] {
        let planned = plan_one(&gateway, &context, "look", text).await;
        let (told, malformed) = rejected(&planned.verdict);
        assert!(malformed, "{text}");
        assert_eq!(told["tool"], "look");
        assert_eq!(planned.arguments, json!(text));
        assert_eq!(planned.arguments_digest, arguments_digest(&json!(text)));
    }
}

#[tokio::test]
async fn arguments_off_the_schema_are_rejected_by_path() {
    let (gateway, _folder) = tools();
    let context = context(agent_with(&["look"], &[]));
    for (text, path) in [
        ("", "id"),
        ("{}", "id"),
        (r#"{"id":5}"#, "id"),
        (r#"{"id":"abcdef"}"#, "id"),
    ] {
        let planned = plan_one(&gateway, &context, "look", text).await;
        let (told, malformed) = rejected(&planned.verdict);
        assert!(!malformed);
        assert_eq!(told["tool"], "look");
        assert_eq!(told["errors"][0]["path"], path, "{told}");
        assert!(told["error"].as_str().unwrap().contains("`id`"), "{told}");
    }
}

#[tokio::test]
async fn the_strictest_policy_decides() {
    let (gateway, _folder) = tools();
    use Policy::{Ask, Auto, Deny};
    for (tool, asked, expected) in [
        ("look", None, Auto),
        ("look", Some(Auto), Auto),
        ("look", Some(Ask), Ask),
        ("look", Some(Deny), Deny),
        ("asks", None, Ask),
        ("asks", Some(Auto), Ask),
        ("asks", Some(Deny), Deny),
        ("never", None, Deny),
        ("never", Some(Auto), Deny),
        ("never", Some(Ask), Deny),
    ] {
        let approvals: Vec<(&str, Policy)> =
            asked.into_iter().map(|policy| (tool, policy)).collect();
        let context = context(agent_with(&[tool], &approvals));
        let planned = plan_one(&gateway, &context, tool, r#"{"id":"a"}"#).await;
        let decided = match planned.verdict {
            Verdict::Run => Auto,
            Verdict::Ask { .. } => Ask,
            Verdict::Deny { .. } => Deny,
            Verdict::Reject { result, .. } => panic!("{result:?}"),
        };
        assert_eq!(decided, expected, "{tool} {asked:?}");
        assert_eq!(gateway.specs(&scope(), &context.agent)[0].policy, expected);
    }
}

#[tokio::test]
async fn approvals_say_risk_reason_and_expiry() {
    let (gateway, _folder) = tools();
    let ask = async |tool, approvals: &[(&str, Policy)]| {
        let context = context(agent_with(&[tool], approvals));
        plan_one(&gateway, &context, tool, r#"{"id":"a"}"#)
            .await
            .verdict
    };
    assert_eq!(
        ask("asks", &[]).await,
        Verdict::Ask {
            risk: "wakes the night shift".to_owned(),
            why: "the policy of the tool asks for approval".to_owned(),
            terms: Terms::default(),
            expires_at: NOW.plus(APPROVAL_EXPIRY),
        }
    );
    assert_eq!(
        ask("look", &[("look", Policy::Ask)]).await,
        Verdict::Ask {
            risk: "repeating the call changes nothing more".to_owned(),
            why: "the policy of agent `advisor` for this tool asks for approval".to_owned(),
            terms: Terms::default(),
            expires_at: NOW.plus(APPROVAL_EXPIRY),
        }
    );
    assert_eq!(
        ask("never", &[("never", Policy::Deny)]).await,
        Verdict::Deny {
            reason: "the policy of the tool denies it; the policy of agent `advisor` for this tool denies it"
                .to_owned()
        }
    );
}

#[tokio::test]
async fn surplus_calls_of_a_turn_are_rejected() {
    let (gateway, _folder) = tools();
    let context = context(agent_with(&["look"], &[]));
    let calls = (0..CALLS_PER_TURN_MAX + 3)
        .map(|_| proposed("look", r#"{"id":"a"}"#))
        .collect();
    let plans = gateway.plan(&scope(), &context, calls).await;
    assert_eq!(plans.len(), CALLS_PER_TURN_MAX + 3);
    for (index, planned) in plans.iter().enumerate() {
        if index < CALLS_PER_TURN_MAX {
            assert_eq!(planned.verdict, Verdict::Run);
        } else {
            let (told, malformed) = rejected(&planned.verdict);
            assert!(
                told["error"].as_str().unwrap().contains("64 calls") && !malformed,
                "{told}"
            );
        }
    }
}

#[tokio::test]
async fn hostile_text_never_panics() {
    let (gateway, _folder) = tools();
    let context = context(agent_with(&["look", "asks", "never"], &[]));
    let nested = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let objects = "{\"a\":".repeat(50_000);
    let texts = [
        nested.as_str(),
        objects.as_str(),
        "\u{feff}{}",
        "{\"\\u202egnp\":\"\\u200b\"}",
        "{\"id\":\"\\ud83d\\ude00\"}",
        "{\"id\":\"\u{202e}\"}",
        "\"",
        "\\",
        "{\"id\":-}",
        "{\"id\":--1}",
        "{\"id\":1e}",
        "{\"id\":.5}",
        "{\"id\":0x10}",
        "{\"id\":1E+2147483648}",
        "{\"id\":1e99999999999999999999}",
        "\0",
    ];
    for text in texts {
        for name in ["look", "asks", "never", "x\u{0}y", "\u{202e}"] {
            let planned = plan_one(&gateway, &context, name, text).await;
            if let Verdict::Reject { result, .. } = &planned.verdict {
                serde_json::from_str::<Value>(&result.content).unwrap();
            }
        }
    }
}
