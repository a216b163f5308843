//! `runyard lanes`: where models run, how that goes, and why an agent would run in one of them.

use super::client::{Client, strange, text};
use super::terminal::{note, say, visible};
use super::{Context, Failure, Outcome, Target};
use crate::api::lanes::explain;
use crate::config::{self, Flags};
use crate::registry::Registry;
use crate::wire::lanes::ExplainLanes;
use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use domain::{OrgId, OrgScope};
use models::{LaneConfig, Router};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Lanes {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say which lane an agent would take, and what speaks for and against each
    Explain(Explain),
}

#[derive(Debug, Args)]
struct List {
    /// Print the server's answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, Args)]
struct Explain {
    /// The agent's type
    agent: String,
    /// The client's device, such as '{"platform":"android","memory_mb":8192,"models":["phi-4-mini"]}'
    #[arg(long, value_name = "JSON")]
    client: Option<String>,
    /// The model that is asked for
    #[arg(long)]
    model: Option<String>,
    /// The lane that is asked for
    #[arg(long)]
    lane: Option<String>,
    /// The user whose side of a canary is wanted
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// For a run on a thread, which no device can serve
    #[arg(long)]
    run: bool,
    /// Decide for this org from the configuration and the agents here, without a server: every lane counts as healthy
    #[arg(long, value_name = "NAME")]
    org: Option<String>,
    /// Print the decision as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: Target,
}

pub async fn lanes(lanes: Lanes, context: &Context) -> Outcome {
    match lanes.command {
        None => list(lanes.list, context).await,
        Some(Command::Explain(asked)) => explained(asked, context).await,
    }
}

async fn list(list: List, context: &Context) -> Outcome {
    let answer = Client::find(&list.target, context)?.get("lanes").await?;
    if list.json {
        say(&answer.to_string());
        return Ok(ExitCode::SUCCESS);
    }
    let lanes = answer["lanes"].as_array();
    let lanes = lanes.ok_or_else(|| strange("the answer has no lanes"))?;
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "LANE",
        "KIND",
        "WIRE",
        "MODELS",
        "HEALTH",
        "ANSWERED",
        "FAILED",
        "ERRORS",
        "FIRST TOKEN",
        "TURN",
        "WEIGHT",
        "USD/M IN",
        "USD/M OUT",
    ]);
    for lane in lanes {
        table.add_row(row(lane));
    }
    say(&table.trim_fmt());
    note(
        "answered and failed: your org's, since the server began; times: half of the turns and 99 of 100, in ms",
    );
    Ok(ExitCode::SUCCESS)
}

fn row(lane: &Value) -> Vec<String> {
    let word = |field: &str| text(lane, field).map_or("-".to_owned(), |text| visible(&text));
    let models: Vec<&str> = lane["models"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let (latency, traffic, price) = (&lane["latency"], &lane["traffic"], &lane["price"]);
    let both = |p50: &str, p99: &str| match (latency[p50].as_f64(), latency[p99].as_f64()) {
        (Some(half), Some(most)) => format!("{half:.0}/{most:.0}"),
        _ => "-".to_owned(),
    };
    vec![
        word("name"),
        word("kind"),
        word("wire"),
        visible(&models_shown(&models)),
        word("health"),
        traffic["answered"].to_string(),
        traffic["failed"].to_string(),
        latency["error_rate"]
            .as_f64()
            .map_or("-".to_owned(), |rate| format!("{:.1}%", rate * 100.0)),
        both("first_token_p50_ms", "first_token_p99_ms"),
        both("turn_p50_ms", "turn_p99_ms"),
        lane["weight"]
            .as_u64()
            .map_or("-".to_owned(), |weight| weight.to_string()),
        price["input_usd"].to_string(),
        price["output_usd"].to_string(),
    ]
}

fn models_shown(models: &[&str]) -> String {
    match models {
        [] => "any".to_owned(),
        [first] => (*first).to_owned(),
        [first, rest @ ..] => format!("{first} +{}", rest.len()),
    }
}

async fn explained(asked: Explain, context: &Context) -> Outcome {
    let body = request(&asked)?;
    let decision = match &asked.org {
        Some(org) => here(org, &asked, body, context)?,
        None => {
            Client::find(&asked.target, context)?
                .post("lanes/explain", &body)
                .await?
        }
    };
    if asked.json {
        say(&decision.to_string());
    } else {
        tell(&decision);
    }
    let is_served = decision["candidates"]
        .as_array()
        .is_some_and(|lanes| !lanes.is_empty());
    Ok(if is_served {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn request(asked: &Explain) -> Result<Value, Failure> {
    let mut body = Map::new();
    body.insert("agent_type".to_owned(), json!(asked.agent));
    body.insert(
        "subject".to_owned(),
        json!(if asked.run { "run" } else { "session" }),
    );
    let texts = [
        ("model", &asked.model),
        ("lane", &asked.lane),
        ("user_id", &asked.user),
    ];
    for (field, text) in texts {
        if let Some(text) = text {
            body.insert(field.to_owned(), json!(text));
        }
    }
    if let Some(client) = &asked.client {
        let client: Value = serde_json::from_str(client).map_err(|error| {
            Failure::new("--client is no JSON", "quote it as one argument").because(&error)
        })?;
        body.insert("client".to_owned(), client);
    }
    Ok(Value::Object(body))
}

/// The decision by the same code, from the files of this machine.
fn here(org: &str, asked: &Explain, body: Value, context: &Context) -> Result<Value, Failure> {
    let settings = config::load(
        &Flags::from(asked.target.places.clone()),
        &context.env,
        &context.here,
    )?;
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
    let scope = OrgId::new(org).map(OrgScope::new).map_err(|error| {
        Failure::new(format!("{org:?} is no name of an org"), "check it").because(&error)
    })?;
    let registry = Registry::open(&settings.agents.value);
    let definitions = registry.definitions();
    let found = definitions
        .iter()
        .find(|found| found.agent.agent_type == asked.agent);
    let found = found.ok_or_else(|| {
        Failure::new(
            format!("there is no agent {:?}", asked.agent),
            "`runyard agents list` shows them",
        )
    })?;
    let body: ExplainLanes = serde_json::from_value(body).map_err(|error| {
        Failure::new(
            "--client does not describe a device",
            "see its example in --help",
        )
        .because(&error)
    })?;
    let decision = explain(&router, &scope, &found.agent, body);
    serde_json::to_value(decision)
        .map_err(|error| strange("the decision is no JSON").because(&error))
}

fn tell(decision: &Value) {
    let candidates = decision["candidates"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let word = |value: &Value, field: &str| visible(&text(value, field).unwrap_or_default());
    match candidates.first() {
        Some(first) => say(&format!(
            "{} ({}) with {}: {}",
            word(first, "name"),
            word(first, "kind"),
            word(first, "model"),
            word(first, "reason")
        )),
        None => say("no lane can serve this"),
    }
    let later: Vec<String> = candidates
        .iter()
        .skip(1)
        .map(|lane| word(lane, "name"))
        .collect();
    if !later.is_empty() {
        say(&format!("if it fails: {}", later.join(", ")));
    }
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["LANE", "KIND", "MAY SERVE", "WHY"]);
    for lane in decision["considered"].as_array().into_iter().flatten() {
        let may = if lane["eligible"] == true {
            "yes"
        } else {
            "no"
        };
        table.add_row([
            word(lane, "name"),
            word(lane, "kind"),
            may.to_owned(),
            word(lane, "reason"),
        ]);
    }
    say(&table.trim_fmt());
}
