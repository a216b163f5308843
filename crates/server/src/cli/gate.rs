//! `runyard gate`: puts labelled inputs to an agent's gate, and shows those that people have corrected.

use super::client::{Client, strange};
use super::terminal::{brief, note, say};
use super::{Context, Failure, Outcome, Target};
use crate::config::{self, Flags, Settings};
use crate::registry::Registry;
use crate::trial::{Case, Confusion, Tried, read_cases, report, try_all};
use clap::{Args, Subcommand};
use domain::agent::Agent;
use domain::{OrgId, OrgScope};
use engine::Gatekeeper;
use models::{LaneConfig, Router};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tools::Gates;

#[derive(Debug, Subcommand)]
pub enum Gate {
    /// Put labelled inputs to an agent's gate; prints precision, recall, the confusion table and each disagreement
    Test(Test),
    /// Print the decisions that people have overruled, as lines of a cases file
    Cases(Cases),
}

#[derive(Debug, Args)]
pub struct Test {
    /// The agent's type
    agent: String,
    /// Files of cases, one JSON object a line; without any, NAME.gate.jsonl beside the agent
    #[arg(long, value_name = "FILE")]
    cases: Vec<PathBuf>,
    /// Exit code 1 if fewer of a hundred are right
    #[arg(long, value_name = "PERCENT")]
    at_least: Option<f64>,
    /// Org whose policy holds for the gate's model
    #[arg(long, value_name = "NAME", default_value = "default")]
    org: String,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
pub struct Cases {
    /// The agent's type
    agent: String,
    #[command(flatten)]
    target: Target,
}

pub async fn gate(gate: Gate, context: &Context) -> Outcome {
    match gate {
        Gate::Test(test) => tested(test, context).await,
        Gate::Cases(cases) => listed(cases, context).await,
    }
}

async fn listed(cases: Cases, context: &Context) -> Outcome {
    let client = Client::find(&cases.target, context)?;
    let path = format!("gate/cases?agent_type={}", cases.agent);
    let answer = client.get(&path).await?;
    let cases = answer["cases"].as_array();
    for case in cases.ok_or_else(|| strange("the answer has no cases"))? {
        say(&case["case"].to_string());
    }
    Ok(ExitCode::SUCCESS)
}

async fn tested(test: Test, context: &Context) -> Outcome {
    let flags = Flags::from(test.target.places.clone());
    let settings = config::load(&flags, &context.env, &context.here)?;
    let folder = settings.agents.value.clone();
    let agent = find(&folder, &test.agent)?;
    let files = if test.cases.is_empty() {
        vec![folder.join(format!("{}.gate.jsonl", test.agent))]
    } else {
        test.cases
            .iter()
            .map(|file| context.here.join(file))
            .collect()
    };
    let mut cases = Vec::new();
    for file in &files {
        cases.extend(read(file)?);
    }
    let scope = OrgId::new(&test.org).map(OrgScope::new).map_err(|error| {
        Failure::new(format!("{:?} is no name of an org", test.org), "check it").because(&error)
    })?;
    let keeper = keeper(settings)?;
    let tried = try_all(&keeper, &scope, &agent, cases).await;
    say(report(&tried).trim_end());
    disagreements(&tried);
    let accuracy = Confusion::of(&tried).accuracy().unwrap_or(1.0) * 100.0;
    match test.at_least {
        Some(least) if accuracy < least => {
            note(&format!(
                "{accuracy:.1}% are right, and {least}% were asked for"
            ));
            Ok(ExitCode::FAILURE)
        }
        Some(_) | None => Ok(ExitCode::SUCCESS),
    }
}

fn find(folder: &Path, agent_type: &str) -> Result<Arc<Agent>, Failure> {
    let registry = Registry::open(folder);
    for problem in registry.problems() {
        note(&problem.to_string());
    }
    let definitions = registry.definitions();
    let found = definitions
        .iter()
        .find(|found| found.agent.agent_type == agent_type);
    let agent = found.map(|found| found.agent.clone()).ok_or_else(|| {
        Failure::new(
            format!("there is no agent {agent_type:?} in {}", folder.display()),
            "`runyard agents list` shows them",
        )
    })?;
    if agent.intent_gate.is_none() {
        return Err(Failure::new(
            format!("the agent {agent_type:?} has no intent gate"),
            "give it one; docs/intent-gate.md says how",
        ));
    }
    Ok(agent)
}

fn read(file: &Path) -> Result<Vec<Case>, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(
            format!("{shown} cannot be read"),
            "name a file of cases with --cases",
        )
        .because(&error)
    })?;
    read_cases(&text).map_err(|error| {
        Failure::new(
            format!("{shown} is no file of cases: {error}"),
            "write one JSON object a line, with input and label",
        )
    })
}

/// Gates as the server makes them, over the configured lanes.
fn keeper(settings: Settings) -> Result<Gatekeeper, Failure> {
    let lanes = if settings.lanes.is_empty() {
        vec![LaneConfig::offline()]
    } else {
        settings.lanes
    };
    let router = Router::with_orgs(lanes, settings.router, Arc::new(settings.org_lanes));
    let router = router.map_err(|error| {
        Failure::new(
            "the lanes cannot be used",
            "change them; docs/configuration.md says how",
        )
        .because(&error)
    })?;
    Ok(Gatekeeper {
        rules: Arc::new(Gates::default()),
        models: Arc::new(router),
    })
}

fn disagreements(tried: &[Tried]) {
    let wrong: Vec<&Tried> = tried.iter().filter(|one| !one.is_right()).collect();
    if wrong.is_empty() {
        return;
    }
    say(&format!("\n{} disagreements:", wrong.len()));
    for one in wrong {
        say(&format!(
            "  should {:7}  did {:7}  ({})  {}",
            one.case.label.as_str(),
            one.decision.decision.as_str(),
            one.decided_by(),
            brief(&one.case.input, 100)
        ));
    }
}
