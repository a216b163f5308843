//! Who says what about a call, and what follows: of all opinions the strictest stands, and it says why. It does not
//! know how a rule is written or evaluated.

mod labels;

#[cfg(test)]
mod tests;

pub use labels::{Label, Labels, completes};

use crate::GrantId;
use crate::seeded::Seeded;
use crate::tool::Policy;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a rule is set. None of them loosens what another says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// `[[policy.rules]]` of the server's configuration.
    Server,
    /// `[[orgs.NAME.rules]]` of the server's configuration.
    Org,
    /// `rules` of the agent's front matter.
    Agent,
}

/// A rule as it is written, at any level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    pub name: String,
    /// Names of tools, with `*` at the end for all that begin so; empty is every tool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// A condition in CEL; without it the rule holds for every call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// What the rule demands; never `auto`, which would demand nothing.
    pub policy: Policy,
    /// Told to whoever decides, and to the model that is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl RuleText {
    /// Whether the rule is about this tool at all.
    pub fn is_about(&self, tool: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => tool.starts_with(start),
            None => pattern == tool,
        };
        self.tools.is_empty() || self.tools.iter().any(fits)
    }
}

/// Whose opinion it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum By {
    /// The tool's own `policy`.
    Tool,
    /// The agent's `approvals` for the tool.
    Approvals {
        agent_type: String,
    },
    Rule {
        level: Level,
        name: String,
    },
    /// Private data, untrusted content and a change of state would meet in one run.
    RuleOfTwo,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tool => f.write_str("the policy of the tool"),
            Self::Approvals { agent_type } => {
                write!(f, "the policy of agent `{agent_type}` for this tool")
            }
            Self::Rule { level, name } => {
                let level = match level {
                    Level::Server => "server",
                    Level::Org => "org",
                    Level::Agent => "agent",
                };
                write!(f, "{level} rule `{name}`")
            }
            Self::RuleOfTwo => f.write_str("the rule of two"),
        }
    }
}

/// One demand on a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opinion {
    #[serde(flatten)]
    pub by: By,
    pub policy: Policy,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What holds for a call, and whose opinions made it so. Kept with the call's step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    pub policy: Policy,
    /// The opinions that are as strict as `policy`; none where nobody demands anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decided_by: Vec<Opinion>,
    /// What the call does, for later calls of the run.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// The grant that stands in for the person who would be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
}

/// The strictest opinion stands. Which of them come first does not matter but for the order in which they are told.
pub fn strictest(opinions: impl IntoIterator<Item = Opinion>, labels: Labels) -> Judgement {
    let mut judgement = Judgement {
        labels,
        ..Judgement::default()
    };
    for opinion in opinions {
        if opinion.policy > judgement.policy || Seeded::LastOpinionStands.is_on() {
            judgement.policy = opinion.policy;
            judgement.decided_by.clear();
        }
        if opinion.policy == judgement.policy && opinion.policy != Policy::Auto {
            judgement.decided_by.push(opinion);
        }
    }
    judgement
}

impl Judgement {
    /// In words, for people and models.
    pub fn why(&self) -> String {
        let does = match self.policy {
            Policy::Auto => return "nothing stands in the way".to_owned(),
            Policy::Ask => "asks for approval",
            Policy::AlwaysAsk => "always asks for approval",
            Policy::Deny => "denies it",
        };
        let said: Vec<String> = self
            .decided_by
            .iter()
            .map(|opinion| match &opinion.why {
                Some(why) => format!("{} {does}: {why}", opinion.by),
                None => format!("{} {does}", opinion.by),
            })
            .collect();
        said.join("; ")
    }

    /// Whether a remembered approval may stand in for a new one.
    pub fn is_grantable(&self) -> bool {
        match self.policy {
            Policy::Ask => true,
            Policy::AlwaysAsk => Seeded::AlwaysAskGranted.is_on(),
            Policy::Auto | Policy::Deny => false,
        }
    }
}
