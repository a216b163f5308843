//! Plans proposed calls: read strictly, checked against the schema, with the verdict that follows from what policy says
//! of them. Without effect.

use super::catalog::Catalog;
use super::content;
use super::policies::{Case, Deliberation};
use crate::arguments;
use crate::executor::Tool;
use domain::Timestamp;
use domain::agent::Agent;
use domain::approval::AskOptions;
use domain::limits::CALLS_PER_TURN_MAX;
use domain::policy::Judgement;
use domain::ports::tools::Proposed;
use domain::run::{Planned, Verdict};
use domain::tool::{Effect, Policy, ToolResult, arguments_digest};
use serde_json::Value;

/// Where calls are judged.
pub(super) struct Place<'a> {
    pub catalog: &'a Catalog,
    pub agent: &'a Agent,
    /// How approvals of every tool are decided.
    pub asking: &'a AskOptions,
    pub now: Timestamp,
}

/// The strictest of the tool's policy and the agent's for it.
pub(super) fn policy(tool: &Tool, agent: &Agent) -> Policy {
    let asked = agent.approvals.get(&tool.spec.name).copied();
    tool.spec.policy.max(asked.unwrap_or_default())
}

/// The agent's tool of this name, or what to tell instead.
pub(super) fn find<'a>(
    catalog: &'a Catalog,
    agent: &Agent,
    name: &str,
) -> Result<&'a Tool, String> {
    if agent.tools.iter().any(|listed| listed == name)
        && let Some(tool) = catalog.get(name)
    {
        return Ok(tool);
    }
    let offered: Vec<&str> = agent
        .tools
        .iter()
        .filter(|listed| catalog.get(listed).is_some())
        .map(String::as_str)
        .collect();
    Err(match offered.as_slice() {
        [] => "there is no such tool; this agent has none".to_owned(),
        names => format!("there is no such tool; there are: {}", names.join(", ")),
    })
}

impl Place<'_> {
    /// Reads the call that is `index`th of its turn; its verdict is to run if it could be made at all.
    pub(super) fn read(&self, index: usize, call: Proposed) -> Planned {
        let Proposed {
            client_id,
            name,
            arguments,
        } = call;
        let read = arguments::parse(&arguments);
        let tool = find(self.catalog, self.agent, &name);
        let known = tool.as_ref().ok();
        let (effect, tool_version) = known.map_or((Effect::Unsafe, String::new()), |tool| {
            (tool.spec.effect, tool.spec.version.clone())
        });
        let has_probe = known.is_some_and(|tool| tool.probe.is_some());
        let reject = |result, malformed| Verdict::Reject { result, malformed };
        let malformed = read.is_err();
        let (arguments, unread) = match read {
            Ok(map) => (Value::Object(map), None),
            Err(error) => (Value::String(arguments), Some(error)),
        };
        let verdict = if index >= CALLS_PER_TURN_MAX {
            let why =
                format!("a turn may ask for {CALLS_PER_TURN_MAX} calls; ask again in the next");
            reject(ToolResult::refusal(&name, &why), false)
        } else {
            match (tool, unread) {
                (Err(why), _) => reject(ToolResult::refusal(&name, &why), malformed),
                (Ok(_), Some(error)) => {
                    reject(ToolResult::refusal(&name, &error.to_string()), malformed)
                }
                (Ok(tool), None) => match tool.schema.check(&arguments) {
                    Ok(()) => Verdict::Run,
                    Err(failures) => reject(content::misfit(&name, &failures), false),
                },
            }
        };
        Planned {
            client_id,
            arguments_digest: arguments_digest(&arguments),
            name,
            arguments,
            effect,
            tool_version,
            has_probe,
            verdict,
            judgement: Judgement::default(),
        }
    }

    /// The strictest of the server's, the tool's and the agent's settings.
    fn asking(&self, tool: &str) -> AskOptions {
        let mut asking = self.asking.clone();
        if let Some(tool) = self.catalog.get(tool) {
            asking = asking.strictest(&tool.asking);
        }
        match self.agent.asking.get(tool) {
            Some(agent) => asking.strictest(agent),
            None => asking,
        }
    }

    /// The calls that could be made.
    pub(super) fn cases<'p>(&'p self, plans: &'p [Planned]) -> Vec<Case<'p>> {
        let could = plans
            .iter()
            .filter(|planned| planned.verdict == Verdict::Run);
        could
            .filter_map(|planned| {
                Some(Case {
                    tool: self.catalog.get(&planned.name)?,
                    arguments: &planned.arguments,
                })
            })
            .collect()
    }

    /// Puts what was said of the calls of `cases` into their plans.
    pub(super) fn decide(&self, plans: &mut [Planned], judged: &[Deliberation]) {
        let could = plans
            .iter_mut()
            .filter(|planned| planned.verdict == Verdict::Run);
        for (planned, deliberation) in could.zip(judged) {
            let judgement = deliberation.judgement();
            planned.verdict = match judgement.policy {
                Policy::Auto => Verdict::Run,
                Policy::Ask | Policy::AlwaysAsk => Verdict::Ask {
                    risk: self.risk(&planned.name),
                    why: judgement.why(),
                    terms: self.asking(&planned.name).terms(),
                    expires_at: self.asking(&planned.name).expires_at(self.now),
                },
                Policy::Deny => Verdict::Deny {
                    reason: judgement.why(),
                },
            };
            planned.judgement = judgement;
        }
    }

    fn risk(&self, tool: &str) -> String {
        let tool = self.catalog.get(tool);
        tool.map(|tool| tool.risk.clone()).unwrap_or_default()
    }
}
