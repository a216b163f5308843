//! What judging one call costs: the schema, and no rules, rules about other tools, or conditions on its arguments.

use super::caller::{Still, context, scope};
use crate::report::{Cell, Report};
use crate::run::{Plan, progress};
use crate::stats;
use domain::policy::RuleText;
use domain::ports::tools::{Proposed, Tools};
use domain::tool::{Effect, Policy};
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;
use tools::{Definition, Ended, Executor, Gateway, PlacedRule, PolicyConfig, Tool, Work};

pub const NAME: &str = "policy";
/// Calls of one sample.
const CALLS: u32 = 5_000;
const COLUMNS: [&str; 3] = ["rules", "a call, µs", "of that without rules"];
/// Rules, and the tool that they are about.
const CASES: [(&str, usize, &str); 4] = [
    ("none", 0, "deploy"),
    ("20 about other tools", 20, "other"),
    ("1 condition", 1, "deploy"),
    ("20 conditions", 20, "deploy"),
];

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let gateways = CASES.map(|(_, count, tool)| gateway(count, tool));
    let mut samples = [const { Vec::new() }; CASES.len()];
    for round in 0..plan.rounds {
        progress(&format!("{NAME}: round {} of {}", round + 1, plan.rounds));
        let until = Instant::now() + plan.time;
        while samples.iter().any(Vec::is_empty) || Instant::now() < until {
            for (gateway, samples) in gateways.iter().zip(&mut samples) {
                samples.push(
                    sample(
                        gateway
                            .as_ref()
                            .map_err(|error| anyhow::anyhow!("{error}"))?,
                    )
                    .await?,
                );
            }
        }
    }
    let title = "judging one call of three arguments, without making it";
    let mut report = Report::new(NAME, title, &COLUMNS);
    let bare = stats::median(&samples[0]);
    for ((name, ..), samples) in CASES.iter().zip(&samples) {
        let each = stats::median(samples);
        report.rows.push(vec![
            Cell::text(*name),
            Cell::Number(each, 2),
            Cell::Number(each / bare, 2),
        ]);
    }
    Ok(report)
}

/// Microseconds a call.
async fn sample(gateway: &Gateway) -> anyhow::Result<f64> {
    let (scope, context) = (scope()?, context("deploy"));
    let begun = Instant::now();
    for _ in 0..CALLS {
        let call = Proposed {
            client_id: None,
            name: "deploy".to_owned(),
            arguments: r#"{"environment":"staging","percent":10,"model":"m"}"#.to_owned(),
        };
        let planned = gateway.plan(&scope, &context, vec![call]).await;
        anyhow::ensure!(planned.len() == 1, "a plan for each call");
    }
    Ok(begun.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS))
}

fn gateway(rules: usize, about: &str) -> Result<Gateway, tools::ConfigError> {
    let rule = |number| PlacedRule {
        text: RuleText {
            name: format!("r{number}"),
            tools: vec![about.to_owned()],
            when: Some("args.environment == \"production\" && args.percent > 25".to_owned()),
            policy: Policy::Ask,
            why: None,
        },
        place: "here".to_owned(),
    };
    let definition = Definition::new("deploy", "deploys", Effect::Idempotent);
    let tool = Tool::new(definition, Arc::new(Nothing))?;
    let policy = PolicyConfig {
        rules: (0..rules).map(rule).collect(),
        ..PolicyConfig::default()
    };
    Gateway::governed(vec![tool], policy, Arc::new(Still))
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
