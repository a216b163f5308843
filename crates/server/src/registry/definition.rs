//! One agent's Markdown file: front matter in YAML between two `---` lines, then the system prompt. It reads text and
//! gives an `Agent` or says what is wrong on which line; it does not know folders.

use domain::agent::{Agent, Budget, DataPolicy, GateMode, IntentGate, OnMessage};
use domain::approval::AskOptions;
use domain::budget::DayBudget;
use domain::policy::{Level, RuleText};
use domain::tool::Policy;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;
use tools::Gate;

/// What is wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct Flaw {
    /// From 1.
    pub line: usize,
    pub message: String,
}

/// A good definition, and where its parts stand, for what is checked against the rest of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Definition {
    pub agent: Arc<Agent>,
    pub agent_type_line: usize,
    /// The lines of `tools`, in the agent's order.
    pub tool_lines: Vec<usize>,
    /// The lines of `lanes`, in the agent's order.
    pub lane_lines: Vec<usize>,
}

/// Either form is natural to write.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::Many(texts) => texts,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    agent_type: Option<Spanned<String>>,
    name: Option<String>,
    #[serde(default)]
    description: String,
    model: Option<OneOrMany>,
    #[serde(default)]
    lanes: Vec<Spanned<String>>,
    #[serde(default)]
    tools: Vec<Spanned<String>>,
    #[serde(default)]
    approvals: BTreeMap<String, Spanned<ApprovalMatter>>,
    on_message_while_waiting: Option<OnMessage>,
    #[serde(default)]
    rules: Vec<Spanned<RuleText>>,
    intent_gate: Option<Spanned<GateMatter>>,
    #[serde(default)]
    budget: BudgetMatter,
    #[serde(default)]
    data_policy: DataPolicy,
    temperature: Option<Spanned<f64>>,
    max_output_tokens: Option<Spanned<u32>>,
    #[serde(default)]
    input_hints: Vec<String>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// A policy alone, or with how calls that ask are decided.
#[derive(Deserialize)]
#[serde(untagged)]
enum ApprovalMatter {
    Policy(Policy),
    Options(AskMatter),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskMatter {
    #[serde(default = "ask")]
    policy: Policy,
    other_person: Option<bool>,
    approvals_needed: Option<u32>,
    expires_in_s: Option<u64>,
}

fn ask() -> Policy {
    Policy::Ask
}

impl ApprovalMatter {
    fn policy(&self) -> Policy {
        match self {
            Self::Policy(policy) => *policy,
            Self::Options(matter) => matter.policy,
        }
    }

    fn asking(&self) -> Option<AskOptions> {
        match self {
            Self::Policy(_) => None,
            Self::Options(matter) => Some(AskOptions {
                other_person: matter.other_person,
                approvals_needed: matter.approvals_needed,
                expires_in_s: matter.expires_in_s,
            }),
        }
    }
}

/// What is not `mode` is read by the gate.
#[derive(Deserialize)]
struct GateMatter {
    mode: Option<GateMode>,
    #[serde(flatten)]
    settings: Map<String, Value>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetMatter {
    max_steps: Option<u32>,
    max_tokens: Option<u64>,
    max_cost_usd: Option<Spanned<f64>>,
    max_price_usd: Option<Spanned<f64>>,
    timeout_s: Option<u64>,
    #[serde(default)]
    daily: DayMatter,
}

/// Ceilings of a day, over all runs of the agent in an org.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DayMatter {
    max_steps: Option<u64>,
    max_tokens: Option<u64>,
    max_cost_usd: Option<Spanned<f64>>,
}

/// Reads a definition. `stem` is the file's name without its ending, which names an agent that does not name itself.
#[expect(clippy::too_many_lines, reason = "one line for each field of the file")]
pub fn parse(source: &str, stem: &str) -> Result<Definition, Flaw> {
    let parts = split(source)?;
    let matter: FrontMatter = serde_saphyr::from_str(parts.matter).map_err(|error| {
        let line = error
            .location()
            .and_then(|at| usize::try_from(at.line()).ok())
            .unwrap_or(1);
        Flaw {
            line: line + parts.matter_line - 1,
            message: plain(&error),
        }
    })?;
    let at = |line: u64| usize::try_from(line).unwrap_or(1) + parts.matter_line - 1;
    let (agent_type, agent_type_line) = match &matter.agent_type {
        Some(word) => (word.value.clone(), at(word.referenced.line())),
        None => (stem.replace('-', "_"), 1),
    };
    check_type(&agent_type, agent_type_line)?;
    check_numbers(&matter, at)?;
    let prompt = parts.body.trim();
    if prompt.is_empty() {
        return Err(Flaw {
            line: parts.body_line,
            message: "the system prompt is missing: write it below the second `---`".to_owned(),
        });
    }
    let tools: Vec<String> = matter.tools.iter().map(|tool| tool.value.clone()).collect();
    check_approvals(&matter, &tools, at)?;
    check_rules(&matter.rules, &tools, at)?;
    let gate = gate(&matter, at)?;
    Ok(Definition {
        agent_type_line,
        tool_lines: matter
            .tools
            .iter()
            .map(|tool| at(tool.referenced.line()))
            .collect(),
        lane_lines: matter
            .lanes
            .iter()
            .map(|lane| at(lane.referenced.line()))
            .collect(),
        agent: Arc::new(Agent {
            name: matter.name.unwrap_or_else(|| title(&agent_type)),
            agent_type,
            description: matter.description,
            version: version(source),
            models: matter.model.map_or_else(Vec::new, OneOrMany::into_vec),
            lanes: matter.lanes.into_iter().map(|lane| lane.value).collect(),
            tools,
            asking: matter
                .approvals
                .iter()
                .filter_map(|(tool, matter)| Some((tool.clone(), matter.value.asking()?)))
                .collect(),
            approvals: matter
                .approvals
                .into_iter()
                .map(|(tool, matter)| (tool, matter.value.policy()))
                .collect(),
            rules: matter.rules.into_iter().map(|rule| rule.value).collect(),
            on_message_while_waiting: matter.on_message_while_waiting,
            intent_gate: gate,
            budget: budget(&matter.budget),
            daily: daily(&matter.budget.daily),
            data_policy: matter.data_policy,
            temperature: matter.temperature.map(|value| value.value),
            max_output_tokens: matter.max_output_tokens.map(|value| value.value),
            input_hints: matter.input_hints,
            metadata: matter.metadata,
            system_prompt: prompt.to_owned(),
        }),
    })
}

/// BLAKE3 of the source, first 16 hex: the same file is the same version everywhere.
fn version(source: &str) -> String {
    blake3::hash(source.as_bytes()).to_hex()[..16].to_owned()
}

struct Parts<'a> {
    matter: &'a str,
    /// Line of the front matter's first line.
    matter_line: usize,
    body: &'a str,
    body_line: usize,
}

fn split(source: &str) -> Result<Parts<'_>, Flaw> {
    let text = source.strip_prefix('\u{feff}').unwrap_or(source);
    let mut lines = text.split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    if first.trim_end() != "---" {
        return Err(Flaw {
            line: 1,
            message: "the file must begin with a line `---`, the front matter and another `---`"
                .to_owned(),
        });
    }
    let mut end = first.len();
    for (index, line) in lines.enumerate() {
        if line.trim_end() == "---" {
            return Ok(Parts {
                matter: &text[first.len()..end],
                matter_line: 2,
                body: &text[end + line.len()..],
                body_line: index + 3,
            });
        }
        end += line.len();
    }
    Err(Flaw {
        line: 1,
        message: "the front matter is not closed: a second line `---` is missing".to_owned(),
    })
}

/// The parser's message on one line, without the place, which the flaw tells.
fn plain(error: &serde_saphyr::Error) -> String {
    if let serde_saphyr::Error::SerdeUnknownField {
        field, expected, ..
    } = error.without_snippet()
    {
        return format!("unknown key `{field}`; known are {}", expected.join(", "));
    }
    let text = error.without_snippet().to_string();
    let first = text.lines().next().unwrap_or_default();
    match first.rsplit_once(" at line ") {
        Some((message, _)) => message.to_owned(),
        None => first.to_owned(),
    }
}

fn check_type(agent_type: &str, line: usize) -> Result<(), Flaw> {
    let bytes = agent_type.as_bytes();
    let fits = (1..=64).contains(&bytes.len())
        && bytes[0].is_ascii_lowercase()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_');
    if fits {
        return Ok(());
    }
    Err(Flaw {
        line,
        message: format!(
            "agent_type {agent_type:?} must be snake_case: a-z, 0-9 and _, beginning with a letter, at most 64"
        ),
    })
}

fn check_numbers(matter: &FrontMatter, at: impl Fn(u64) -> usize) -> Result<(), Flaw> {
    if let Some(value) = &matter.temperature
        && !(0.0..=2.0).contains(&value.value)
    {
        return Err(Flaw {
            line: at(value.referenced.line()),
            message: "temperature must be between 0 and 2".to_owned(),
        });
    }
    if let Some(value) = &matter.max_output_tokens
        && value.value == 0
    {
        return Err(Flaw {
            line: at(value.referenced.line()),
            message: "max_output_tokens must be at least 1".to_owned(),
        });
    }
    let budget = &matter.budget;
    let dollars = [
        ("max_cost_usd", &budget.max_cost_usd),
        ("max_price_usd", &budget.max_price_usd),
        ("max_cost_usd", &budget.daily.max_cost_usd),
    ];
    for (name, value) in dollars {
        if let Some(value) = value
            && !(0.0..=1e9).contains(&value.value)
        {
            return Err(Flaw {
                line: at(value.referenced.line()),
                message: format!("{name} must be a number of dollars, 0 or more"),
            });
        }
    }
    Ok(())
}

/// An approval for a tool that the agent does not have is a slip that would leave another tool ungated.
fn check_approvals(
    matter: &FrontMatter,
    tools: &[String],
    at: impl Fn(u64) -> usize,
) -> Result<(), Flaw> {
    for matter in matter.approvals.values() {
        if let Some(flaw) = matter.value.asking().and_then(|asking| asking.flaw()) {
            return Err(Flaw {
                line: at(matter.referenced.line()),
                message: flaw.to_owned(),
            });
        }
    }
    match matter
        .approvals
        .iter()
        .find(|(tool, _)| !tools.contains(tool))
    {
        None => Ok(()),
        Some((tool, policy)) => Err(Flaw {
            line: at(policy.referenced.line()),
            message: format!("approvals name `{tool}`, which is not among this agent's tools"),
        }),
    }
}

/// An error with its causes.
fn told(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", told(cause)),
        None => error.to_string(),
    }
}

/// A rule that is wrong, or about no tool of the agent, is a gap that nobody would see.
fn check_rules(
    rules: &[Spanned<RuleText>],
    tools: &[String],
    at: impl Fn(u64) -> usize,
) -> Result<(), Flaw> {
    for (index, rule) in rules.iter().enumerate() {
        let text = &rule.value;
        let flaw = |message: String| Flaw {
            line: at(rule.referenced.line()),
            message: format!("rule `{}` {message}", text.name),
        };
        let earlier = rules.iter().take(index);
        if earlier
            .into_iter()
            .any(|other| other.value.name == text.name)
        {
            return Err(flaw("is there twice".to_owned()));
        }
        if !tools.iter().any(|tool| text.is_about(tool)) {
            return Err(flaw("is about none of this agent's tools".to_owned()));
        }
        if let Err(error) = ::tools::rules::Rule::compile(Level::Agent, text.clone()) {
            return Err(flaw(format!("cannot be used: {}", told(&error))));
        }
    }
    Ok(())
}

/// A gate that cannot be used would refuse everything: better to say so here.
fn gate(matter: &FrontMatter, at: impl Fn(u64) -> usize) -> Result<Option<IntentGate>, Flaw> {
    let Some(written) = &matter.intent_gate else {
        return Ok(None);
    };
    let gate = IntentGate {
        mode: written.value.mode.unwrap_or(GateMode::Enforce),
        settings: written.value.settings.clone(),
    };
    Gate::new(&gate).map_err(|error| Flaw {
        line: at(written.referenced.line()),
        message: error.to_string(),
    })?;
    Ok(Some(gate))
}

fn budget(matter: &BudgetMatter) -> Budget {
    Budget {
        max_steps: matter.max_steps,
        max_tokens: matter.max_tokens,
        max_cost_micro_usd: micro(matter.max_cost_usd.as_ref()),
        max_price_micro_usd: micro(matter.max_price_usd.as_ref()),
        timeout_s: matter.timeout_s,
    }
}

fn daily(matter: &DayMatter) -> DayBudget {
    DayBudget {
        max_steps: matter.max_steps,
        max_tokens: matter.max_tokens,
        max_cost_micro_usd: micro(matter.max_cost_usd.as_ref()),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be 0..=1e9 dollars"
)]
fn micro(usd: Option<&Spanned<f64>>) -> Option<u64> {
    usd.map(|usd| (usd.value * 1e6).round() as u64)
}

/// `deployment_advisor` as `Deployment advisor`.
fn title(agent_type: &str) -> String {
    let mut text = agent_type.replace('_', " ");
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

#[cfg(test)]
mod tests;
