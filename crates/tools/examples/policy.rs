//! What judging one call costs: `cargo run --release -p tools --example policy`. Prints a table of microseconds a call,
//! for a gateway without rules, with rules about other tools, and with 1 and 20 conditions to evaluate.

#![expect(clippy::print_stdout, reason = "its output is a table")]

use domain::agent::{Agent, Budget, DataPolicy};
use domain::key::Principal;
use domain::policy::{Labels, RuleText};
use domain::ports::clock::Clock;
use domain::ports::tools::{CallContext, Proposed, Tools};
use domain::tool::{Effect, Policy};
use domain::{KeyId, OrgId, OrgScope, RunId, Timestamp};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use tools::{Definition, Ended, Executor, Gateway, PlacedRule, PolicyConfig, Tool, Work};
use uuid::Uuid;

const CALLS: u32 = 20_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    println!("| Rules | µs a call |");
    println!("|---|---|");
    for (name, rules) in [
        ("none", Vec::new()),
        ("20 about other tools", rules(20, "other")),
        ("1 condition", rules(1, "deploy")),
        ("20 conditions", rules(20, "deploy")),
    ] {
        let gateway = gateway(rules)?;
        let context = context();
        let scope = OrgScope::new(OrgId::new("acme")?);
        let took = runtime.block_on(async {
            judge(&gateway, &scope, &context, CALLS / 10).await;
            let begun = Instant::now();
            judge(&gateway, &scope, &context, CALLS).await;
            begun.elapsed()
        });
        println!(
            "| {name} | {:.2} |",
            took.as_secs_f64() * 1e6 / f64::from(CALLS)
        );
    }
    Ok(())
}

async fn judge(gateway: &Gateway, scope: &OrgScope, context: &CallContext, calls: u32) {
    for _ in 0..calls {
        let call = Proposed {
            client_id: None,
            name: "deploy".to_owned(),
            arguments: r#"{"environment":"staging","percent":10,"model":"m"}"#.to_owned(),
        };
        let planned = gateway.plan(scope, context, vec![call]).await;
        assert_eq!(planned.len(), 1);
    }
}

fn rules(count: usize, tool: &str) -> Vec<PlacedRule> {
    let rule = |number| PlacedRule {
        text: RuleText {
            name: format!("r{number}"),
            tools: vec![tool.to_owned()],
            when: Some("args.environment == \"production\" && args.percent > 25".to_owned()),
            policy: Policy::Ask,
            why: None,
        },
        place: "here".to_owned(),
    };
    (0..count).map(rule).collect()
}

fn gateway(rules: Vec<PlacedRule>) -> Result<Gateway, tools::ConfigError> {
    let definition = Definition::new("deploy", "deploys", Effect::Idempotent);
    let tool = Tool::new(definition, Arc::new(Nothing))?;
    let policy = PolicyConfig {
        rules,
        ..PolicyConfig::default()
    };
    Gateway::governed(vec![tool], policy, Arc::new(Still))
}

fn context() -> CallContext {
    CallContext {
        run_id: RunId::new(Uuid::nil()),
        thread_id: None,
        agent: Arc::new(Agent {
            agent_type: "deployer".to_owned(),
            name: "Deployer".to_owned(),
            description: String::new(),
            version: "1".to_owned(),
            models: Vec::new(),
            lanes: Vec::new(),
            tools: vec!["deploy".to_owned()],
            approvals: BTreeMap::new(),
            rules: Vec::new(),
            asking: Default::default(),
            on_message_while_waiting: None,
            intent_gate: None,
            budget: Budget::default(),
            daily: Default::default(),
            data_policy: DataPolicy::Any,
            temperature: None,
            max_output_tokens: None,
            input_hints: Vec::new(),
            metadata: Map::new(),
            system_prompt: String::new(),
        }),
        caller: Principal {
            key_id: KeyId::new(Uuid::nil()),
            name: "bench".to_owned(),
            role: None,
        },
        metadata: Map::new(),
        thread_metadata: Map::new(),
        met: Labels::NONE,
        earlier_tools: Vec::new(),
    }
}

struct Nothing;

impl Executor for Nothing {
    fn execute<'a>(&'a self, _: Work<'a>) -> BoxFuture<'a, Ended> {
        std::future::ready(Ended::Answered {
            value: Value::Null,
            is_error: false,
        })
        .boxed()
    }
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(0)
    }

    fn uuid(&self) -> Uuid {
        Uuid::nil()
    }
}
