//! `runyard policy`: what would become of a call and why, and whether the rules are in order. Without a server: through
//! the gateway that the server would build from the same files.

use super::agents::Folder;
use super::terminal::{say, visible};
use super::{Context, Failure, Outcome};
use crate::clock::SystemClock;
use crate::config::Settings;
use crate::registry::Registry;
use crate::serve::Stores;
use ::tools::mcp::Unpinned;
use ::tools::rules::{Came, Considered};
use ::tools::{Explained, Gateway};
use clap::Subcommand;
use domain::agent::Agent;
use domain::key::{Principal, Role};
use domain::policy::{Label, Labels, Opinion};
use domain::ports::tools::{CallContext, Proposed};
use domain::run::Verdict;
use domain::tool::Policy;
use domain::{KeyId, OrgId, OrgScope, RunId};
use serde_json::{Map, Value};
use std::process::ExitCode;
use std::sync::Arc;
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub enum Policies {
    /// Say what would become of a call: which rule decides, why, and what a grant would change
    Explain(Explain),
    /// Check the rules of the configuration and of the agents; exit code 1 if one cannot be used
    Check {
        #[command(flatten)]
        folder: Folder,
    },
}

#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The agent that calls
    agent: String,
    /// The tool that is called
    tool: String,
    /// The call's arguments
    #[arg(long, value_name = "JSON", default_value = "{}")]
    args: String,
    /// The org in which it is called
    #[arg(long, default_value = "default")]
    org: String,
    /// Who started the run: a key's role, and its name after a colon
    #[arg(long, value_name = "ROLE[:KEY]", default_value = "developer")]
    caller: String,
    /// The thread's metadata
    #[arg(long, value_name = "JSON", default_value = "{}")]
    thread_metadata: String,
    /// The run's metadata
    #[arg(long, value_name = "JSON", default_value = "{}")]
    run_metadata: String,
    /// What the run has met before: reads_private, reads_untrusted, changes_state
    #[arg(long, value_name = "LABELS", value_delimiter = ',')]
    met: Vec<String>,
    #[command(flatten)]
    places: crate::config::Places,
}

pub async fn policies(command: Policies, context: &Context) -> Outcome {
    match command {
        Policies::Explain(explain) => explain_call(explain, context).await,
        Policies::Check { folder } => {
            let (registry, settings) = super::agents::open(folder, context)?;
            check(&registry, &settings, context).await
        }
    }
}

async fn check(registry: &Registry, settings: &Settings, context: &Context) -> Outcome {
    let built = gateway(settings, context).await;
    if let Err(failure) = &built {
        super::terminal::complain(failure);
    }
    let problems = registry.problems();
    for problem in &problems {
        say(&visible(&problem.to_string()));
    }
    let policy = &settings.tools.policy;
    let of_orgs: usize = policy.orgs.values().map(Vec::len).sum();
    let definitions = registry.definitions();
    let of_agents = definitions.iter().map(|known| known.agent.rules.len());
    let of_agents: usize = of_agents.sum();
    say(&format!(
        "{} rules of the server, {of_orgs} of orgs, {of_agents} of agents",
        policy.rules.len()
    ));
    if built.is_err() || !problems.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// The gateway without the tools of MCP servers, which are known once these run.
async fn gateway(settings: &Settings, context: &Context) -> Result<Arc<Gateway>, Failure> {
    let stores = Stores {
        pins: Arc::new(Unpinned),
        logins: Arc::new(Unpinned),
        make_key: false,
        results: None,
    };
    let tools = crate::serve::tools(settings, &context.env, Arc::new(SystemClock), stores);
    Ok(tools.await?.gateway)
}

async fn explain_call(explain: Explain, context: &Context) -> Outcome {
    let folder = Folder {
        dir: None,
        places: explain.places.clone(),
    };
    let (registry, settings) = super::agents::open(folder, context)?;
    let gateway = gateway(&settings, context).await?;
    let definitions = registry.definitions();
    let known = definitions
        .iter()
        .find(|known| known.agent.agent_type == explain.agent);
    let Some(known) = known else {
        let names = definitions
            .iter()
            .map(|known| known.agent.agent_type.as_str());
        let names: Vec<&str> = names.collect();
        return Err(Failure::new(
            format!("there is no agent {:?} that can be used", explain.agent),
            format!("there are: {}", names.join(", ")),
        ));
    };
    let scope = OrgId::new(&explain.org).map(OrgScope::new).map_err(|_| {
        let what = format!("{:?} is no name of an org", explain.org);
        Failure::new(what, "use small letters, digits, `-` and `_`")
    })?;
    let call = Proposed {
        client_id: None,
        name: explain.tool.clone(),
        arguments: explain.args.clone(),
    };
    let context = call_context(&explain, known.agent.clone())?;
    let explained = gateway.explain(&scope, &context, call).await;
    tell(&explained);
    Ok(ExitCode::SUCCESS)
}

fn call_context(explain: &Explain, agent: Arc<Agent>) -> Result<CallContext, Failure> {
    let (role, key) = match explain.caller.split_once(':') {
        Some((role, key)) => (role, key),
        None => (explain.caller.as_str(), "policy explain"),
    };
    let role = Role::ALL.into_iter().find(|known| known.as_str() == role);
    let role = role.ok_or_else(|| {
        let names: Vec<&str> = Role::ALL.iter().map(|role| role.as_str()).collect();
        let what = format!("{:?} does not begin with a role", explain.caller);
        Failure::new(what, format!("roles are: {}", names.join(", ")))
    })?;
    let mut met = Labels::NONE;
    for word in &explain.met {
        let label = Label::ALL.into_iter().find(|label| label.as_str() == word);
        let label = label.ok_or_else(|| {
            let names: Vec<&str> = Label::ALL.iter().map(|label| label.as_str()).collect();
            let what = format!("{word:?} is no label");
            Failure::new(what, format!("labels are: {}", names.join(", ")))
        })?;
        met = met.and([label].into_iter().collect());
    }
    Ok(CallContext {
        run_id: RunId::new(Uuid::nil()),
        thread_id: None,
        agent,
        caller: Principal {
            key_id: KeyId::new(Uuid::nil()),
            name: key.to_owned(),
            role: Some(role),
        },
        metadata: object("--run-metadata", &explain.run_metadata)?,
        thread_metadata: object("--thread-metadata", &explain.thread_metadata)?,
        met,
        earlier_tools: Vec::new(),
    })
}

fn object(flag: &str, text: &str) -> Result<Map<String, Value>, Failure> {
    serde_json::from_str(text).map_err(|error| {
        let what = format!("{flag} is not a JSON object");
        Failure::new(what, "write it like '{\"team\": \"payments\"}'").because(&error)
    })
}

fn tell(explained: &Explained) {
    let planned = &explained.planned;
    let (outcome, why) = match &planned.verdict {
        Verdict::Run => ("runs", planned.judgement.why()),
        Verdict::Ask { why, .. } => ("asks", why.clone()),
        Verdict::Deny { reason } => ("is denied", reason.clone()),
        Verdict::Reject { result, .. } => ("cannot be made", result.content.clone()),
    };
    say(&format!("{} {outcome}", visible(&planned.name)));
    say(&format!("  why: {}", visible(&why)));
    let Some(told) = &explained.deliberation else {
        return;
    };
    say("considered:");
    for opinion in told.standing.iter().chain(&told.rule_of_two) {
        say(&opinion_line(opinion));
    }
    for rule in &told.rules {
        say(&rule_line(rule));
    }
    if told.rule_of_two.is_none() {
        let (labels, met) = (words(told.labels), words(told.met));
        say(&format!(
            "  -            the rule of two: the call {labels}; met before: {met}"
        ));
    }
    let grant = match planned.judgement.policy {
        Policy::Auto => "none is needed",
        Policy::Ask => "one that covers these arguments would let the call run without asking",
        Policy::AlwaysAsk => "none can answer: whoever always asks is above grants",
        Policy::Deny => "none can answer: a denial is above grants",
    };
    say(&format!("a grant: {grant}"));
}

fn opinion_line(opinion: &Opinion) -> String {
    let why = opinion
        .why
        .as_deref()
        .map_or(String::new(), |why| format!(": {why}"));
    let line = format!("  {:<12} {}{why}", word(opinion.policy), opinion.by);
    visible(&line)
}

fn rule_line(rule: &Considered) -> String {
    let (says, came) = match &rule.came {
        Came::OtherTool => ("-", "is about other tools".to_owned()),
        Came::NoMatch => ("-", "does not match".to_owned()),
        Came::Matched => (word(rule.policy), "matches".to_owned()),
        Came::Failed(error) => (word(rule.policy), format!("cannot be evaluated: {error}")),
    };
    visible(&format!("  {says:<12} {} {came}", rule.by))
}

fn word(policy: Policy) -> &'static str {
    match policy {
        Policy::Auto => "auto",
        Policy::Ask => "ask",
        Policy::AlwaysAsk => "always_ask",
        Policy::Deny => "deny",
    }
}

fn words(labels: Labels) -> String {
    let words: Vec<&str> = labels.iter().map(Label::as_str).collect();
    if words.is_empty() {
        return "nothing".to_owned();
    }
    words.join(", ")
}
