//! What policy says of a call, from every level, and what a run's labels add.

use crate::support::{agent, agent_with, context, gateway, plan_one, proposed, scope, try_gateway};
use domain::agent::Agent;
use domain::key::Role;
use domain::policy::{By, Label, Labels, Level, RuleText};
use domain::ports::tools::{CallContext, Tools, Wants};
use domain::run::Verdict;
use domain::tool::Policy;
use domain::{OrgId, OrgScope};
use serde_json::json;
use tempfile::TempDir;
use tools::Gateway;
use tools::rules::Came;

const TOOLS: &str = r#"
[tools.deploy]
kind = "http"
url = "http://203.0.113.1/{environment}"
effect = "keyed"
input_schema = {type = "object", required = ["environment"], additionalProperties = false, properties = {environment = {type = "string"}}}

[tools.look]
kind = "http"
url = "http://203.0.113.1/"
effect = "idempotent"

[tools.secrets]
kind = "http"
url = "http://203.0.113.1/"
effect = "idempotent"
labels = ["reads_private"]
"#;

const RULES: &str = r#"
[[policy.rules]]
name = "production"
tools = ["deploy"]
when = 'args.environment == "production"'
policy = "ask"
why = "people live there"

[[policy.acme]]
name = "no-test"
when = 'has(args.environment) && args.environment.startsWith("test")'
policy = "deny"
why = "nobody tests here"
"#;

fn world(rules: &str) -> (Gateway, TempDir) {
    let folder = TempDir::new().unwrap();
    (gateway(&format!("{TOOLS}{rules}"), folder.path()), folder)
}

fn rule(name: &str, when: Option<&str>, policy: Policy) -> RuleText {
    RuleText {
        name: name.to_owned(),
        tools: Vec::new(),
        when: when.map(str::to_owned),
        policy,
        why: None,
    }
}

fn why(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Ask { why, .. } => why,
        Verdict::Deny { reason } => reason,
        other => panic!("nobody objects: {other:?}"),
    }
}

async fn deploy(gateway: &Gateway, context: &CallContext, environment: &str) -> Verdict {
    let arguments = json!({ "environment": environment }).to_string();
    plan_one(gateway, context, "deploy", &arguments)
        .await
        .verdict
}

#[tokio::test]
async fn a_rule_on_arguments_decides_and_says_why() {
    let (gateway, _folder) = world(RULES);
    let context = context(agent(&["deploy"]));
    assert_eq!(deploy(&gateway, &context, "staging").await, Verdict::Run);
    let asked = deploy(&gateway, &context, "production").await;
    assert_eq!(
        why(&asked),
        "server rule `production` asks for approval: people live there"
    );
    let denied = deploy(&gateway, &context, "test-1").await;
    assert!(matches!(denied, Verdict::Deny { .. }));
    assert_eq!(
        why(&denied),
        "org rule `no-test` denies it: nobody tests here"
    );
}

#[tokio::test]
async fn the_judgement_is_kept_with_the_plan() {
    let (gateway, _folder) = world(RULES);
    let context = context(agent(&["deploy"]));
    let planned = plan_one(
        &gateway,
        &context,
        "deploy",
        r#"{"environment":"production"}"#,
    )
    .await;
    assert_eq!(planned.judgement.policy, Policy::Ask);
    assert_eq!(planned.judgement.decided_by.len(), 1);
    assert_eq!(
        planned.judgement.decided_by[0].by,
        By::Rule {
            level: Level::Server,
            name: "production".to_owned()
        }
    );
    assert!(planned.judgement.labels.has(Label::ChangesState));
    let free = plan_one(&gateway, &context, "deploy", r#"{"environment":"x"}"#).await;
    assert!(free.judgement.decided_by.is_empty());
}

#[tokio::test]
async fn rules_of_one_org_do_not_hold_in_another() {
    let (gateway, _folder) = world(RULES);
    let context = context(agent(&["deploy"]));
    let other = OrgScope::new(OrgId::new("globex").unwrap());
    let call = proposed("deploy", r#"{"environment":"test-1"}"#);
    let planned = gateway.plan(&other, &context, vec![call]).await;
    assert_eq!(planned[0].verdict, Verdict::Run);
}

#[tokio::test]
async fn the_strictest_level_wins_and_agents_only_tighten() {
    let (gateway, _folder) = world(RULES);
    let loose = agent_with(&["deploy"], &[("deploy", Policy::Auto)]);
    let asked = deploy(&gateway, &context(loose), "production").await;
    assert!(matches!(asked, Verdict::Ask { .. }), "{asked:?}");
    let strict = Agent {
        rules: vec![rule(
            "mine",
            Some("args.environment == 'production'"),
            Policy::Deny,
        )],
        ..agent(&["deploy"])
    };
    let denied = deploy(&gateway, &context(strict), "production").await;
    assert_eq!(why(&denied), "agent rule `mine` denies it");
}

#[tokio::test]
async fn rules_see_the_caller_the_agent_the_tool_and_the_thread() {
    let (gateway, _folder) = world("");
    for (when, holds) in [
        ("caller.role == 'viewer'", false),
        ("caller.role == 'developer'", true),
        ("caller.key == 'tests'", true),
        ("agent.type == 'advisor'", true),
        ("agent.metadata.team == 'a'", true),
        ("tool.name == 'deploy' && tool.effect == 'keyed'", true),
        ("'changes_state' in tool.labels", true),
        ("'reads_private' in tool.labels", false),
        ("thread.metadata.customer == 'vip'", true),
        ("run.metadata.source == 'cron'", true),
    ] {
        let mut agent = agent(&["deploy"]);
        agent.rules = vec![rule("r", Some(when), Policy::Ask)];
        agent.metadata = json!({"team": "a"}).as_object().unwrap().clone();
        // Another version each time, as an edited file has.
        agent.version = when.to_owned();
        let mut context = context(agent);
        context.caller.role = Some(Role::Developer);
        context.metadata = json!({"source": "cron"}).as_object().unwrap().clone();
        context.thread_metadata = json!({"customer": "vip"}).as_object().unwrap().clone();
        let verdict = deploy(&gateway, &context, "x").await;
        assert_eq!(verdict != Verdict::Run, holds, "{when}: {verdict:?}");
    }
}

#[tokio::test]
async fn a_rule_that_cannot_see_counts_as_a_match() {
    let (gateway, _folder) = world("");
    for policy in [Policy::Ask, Policy::AlwaysAsk, Policy::Deny] {
        let mut agent = agent(&["look"]);
        agent.version = format!("{policy:?}");
        agent.rules = vec![rule("r", Some("args.amount > 100"), policy)];
        let planned = plan_one(&gateway, &context(agent), "look", "{}").await;
        assert_eq!(planned.judgement.policy, policy);
        assert!(
            planned
                .judgement
                .why()
                .contains("its condition could not be evaluated: there is no `amount`"),
            "{}",
            planned.judgement.why()
        );
    }
}

#[tokio::test]
async fn a_stored_agents_rule_that_cannot_be_read_any_more_holds_for_every_call() {
    let (gateway, _folder) = world("");
    let mut agent = agent(&["look"]);
    agent.rules = vec![rule("old", Some("args.gone("), Policy::Ask)];
    let planned = plan_one(&gateway, &context(agent), "look", "{}").await;
    assert_eq!(planned.judgement.policy, Policy::Ask);
}

#[test]
fn a_wrong_rule_keeps_the_gateway_from_being_built_and_is_named() {
    let folder = TempDir::new().unwrap();
    for (rule, said) in [
        (
            "name = 'r'\nwhen = 'args.environmet == \"x\"'\ntools = ['deploy']\npolicy = 'ask'",
            "rule `r` looks at `args.environmet`, which none of its tools has: deploy",
        ),
        (
            "name = 'r'\nwhen = 'caller.role == \"admin\"'\npolicy = 'ask'",
            "here: rule `r` cannot be used: `when` cannot be used: \"admin\" is never there",
        ),
        ("name = 'r'\npolicy = 'auto'", "demands nothing"),
        ("name = 'r'\npolicy = 'ask'\nif = 'x'", "unknown field `if`"),
    ] {
        let toml = format!("{TOOLS}\n[[policy.rules]]\n{rule}\n");
        let error = try_gateway(&toml, folder.path()).err().expect(rule);
        assert!(error.contains(said), "{error}");
    }
    let twice = "[[policy.rules]]\nname = 'r'\npolicy = 'ask'\n".repeat(2);
    let error = try_gateway(&format!("{TOOLS}{twice}"), folder.path()).err();
    assert!(error.unwrap().contains("there is another rule `r`"));
}

#[tokio::test]
async fn an_explanation_tells_every_rule_and_agrees_with_the_plan() {
    let (gateway, _folder) = world(RULES);
    let context = context(agent(&["deploy", "look"]));
    let call = || proposed("deploy", r#"{"environment":"production"}"#);
    let explained = gateway.explain(&scope(), &context, call()).await;
    let planned = gateway.plan(&scope(), &context, vec![call()]).await;
    assert_eq!(vec![explained.planned], planned);
    let told = explained.deliberation.unwrap();
    let came: Vec<_> = told.rules.iter().map(|rule| rule.came.clone()).collect();
    assert_eq!(came, [Came::Matched, Came::NoMatch]);
    let other = gateway
        .explain(&scope(), &context, proposed("look", "{}"))
        .await;
    let told = other.deliberation.unwrap();
    assert_eq!(told.rules[0].came, Came::OtherTool);
    let unknown = gateway
        .explain(&scope(), &context, proposed("gone", "{}"))
        .await;
    assert_eq!(unknown.deliberation, None);
}

fn labels(labels: &[Label]) -> Labels {
    labels.iter().copied().collect()
}

#[tokio::test]
async fn labels_come_from_the_kind_the_effect_or_the_operator() {
    let (gateway, _folder) = world("");
    let context = context(agent(&["deploy", "look", "secrets"]));
    for (tool, arguments, expected) in [
        (
            "deploy",
            r#"{"environment":"x"}"#,
            &[Label::ReadsUntrusted, Label::ChangesState][..],
        ),
        ("look", "{}", &[Label::ReadsUntrusted]),
        ("secrets", "{}", &[Label::ReadsPrivate]),
    ] {
        let planned = plan_one(&gateway, &context, tool, arguments).await;
        assert_eq!(planned.judgement.labels, labels(expected), "{tool}");
    }
}

#[tokio::test]
async fn the_call_that_brings_the_three_labels_together_is_asked_about() {
    let (gateway, _folder) = world("");
    let mut context = context(agent_with(
        &["deploy", "look", "secrets"],
        &[("deploy", Policy::Auto)],
    ));
    context.met = labels(&[Label::ReadsPrivate]);
    let planned = plan_one(&gateway, &context, "deploy", r#"{"environment":"x"}"#).await;
    assert_eq!(planned.judgement.policy, Policy::AlwaysAsk);
    assert!(why(&planned.verdict).starts_with("the rule of two always asks for approval"));
    // A read does not complete what lacks a change.
    let read = plan_one(&gateway, &context, "look", "{}").await;
    assert_eq!(read.verdict, Verdict::Run);
    // But it does after one.
    context.met = labels(&[Label::ReadsPrivate, Label::ChangesState]);
    let read = plan_one(&gateway, &context, "look", "{}").await;
    assert!(matches!(read.verdict, Verdict::Ask { .. }));
    // Once complete, each further change asks, and reading goes on.
    context.met = Label::ALL.into_iter().collect();
    let read = plan_one(&gateway, &context, "secrets", "{}").await;
    assert_eq!(read.verdict, Verdict::Run);
    let change = plan_one(&gateway, &context, "deploy", r#"{"environment":"x"}"#).await;
    assert!(matches!(change.verdict, Verdict::Ask { .. }));
}

#[tokio::test]
async fn labels_add_up_within_one_turn_in_the_order_asked() {
    let (gateway, _folder) = world("");
    let context = context(agent(&["deploy", "look", "secrets"]));
    let calls = vec![
        proposed("secrets", "{}"),
        proposed("deploy", r#"{"environment":"x"}"#),
        proposed("look", "{}"),
    ];
    let planned = gateway.plan(&scope(), &context, calls).await;
    let policies: Vec<Policy> = planned.iter().map(|call| call.judgement.policy).collect();
    assert_eq!(policies, [Policy::Auto, Policy::AlwaysAsk, Policy::Auto]);
}

#[tokio::test]
async fn an_earlier_run_of_the_conversation_counts_as_read_but_not_as_changed() {
    let (gateway, _folder) = world("");
    let mut context = context(agent(&["deploy", "look", "secrets"]));
    context.earlier_tools = vec!["secrets".to_owned(), "deploy".to_owned()];
    let planned = plan_one(&gateway, &context, "look", "{}").await;
    assert_eq!(planned.verdict, Verdict::Run);
    let planned = plan_one(&gateway, &context, "deploy", r#"{"environment":"x"}"#).await;
    assert_eq!(planned.judgement.policy, Policy::AlwaysAsk);
    // What nobody offers any more may have read anything.
    context.earlier_tools = vec!["gone".to_owned()];
    let planned = plan_one(&gateway, &context, "deploy", r#"{"environment":"x"}"#).await;
    assert_eq!(planned.judgement.policy, Policy::AlwaysAsk);
}

#[tokio::test]
async fn the_operator_may_let_grants_answer_or_switch_the_rule_of_two_off() {
    for (setting, policy) in [
        ("always_ask", Policy::AlwaysAsk),
        ("ask", Policy::Ask),
        ("off", Policy::Auto),
    ] {
        let (gateway, _folder) = world(&format!("[policy]\nrule_of_two = '{setting}'\n"));
        let mut context = context(agent(&["deploy", "look", "secrets"]));
        context.met = labels(&[Label::ReadsPrivate, Label::ReadsUntrusted]);
        let planned = plan_one(&gateway, &context, "deploy", r#"{"environment":"x"}"#).await;
        assert_eq!(planned.judgement.policy, policy, "{setting}");
    }
}

#[tokio::test]
async fn only_what_matters_is_wanted() {
    let (gateway, _folder) = world("");
    let nothing = Wants::default();
    assert_eq!(gateway.wants(&scope(), &agent(&["look"])), nothing);
    let all = agent(&["deploy", "look", "secrets"]);
    assert!(gateway.wants(&scope(), &all).conversation);
    let mut looks = agent(&["look"]);
    looks.rules = vec![rule("r", Some("has(thread.metadata.x)"), Policy::Ask)];
    assert!(gateway.wants(&scope(), &looks).thread_metadata);
}

#[tokio::test]
async fn a_predicate_looks_at_arguments_alone() {
    let (gateway, _folder) = world("");
    let arguments = json!({"environment": "staging"});
    assert_eq!(
        gateway
            .holds("args.environment == 'staging'", &arguments)
            .await,
        Ok(true)
    );
    assert_eq!(
        gateway
            .holds("args.environment == 'production'", &arguments)
            .await,
        Ok(false)
    );
    for (predicate, said) in [
        ("caller.role == 'owner'", "not at `caller`"),
        ("true", "looks at nothing"),
        ("args.environment", "not true or false"),
        ("args.gone == 1", "there is no `gone`"),
        ("args.(", ""),
    ] {
        let error = gateway
            .holds(predicate, &arguments)
            .await
            .expect_err(predicate);
        assert!(error.contains(said), "{predicate}: {error}");
    }
}
