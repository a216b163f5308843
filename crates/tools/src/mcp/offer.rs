//! What becomes of a server's tools here: their names, effects and policies, and which of them are not used and why.

use super::config::McpConfig;
use super::{BETWEEN, call::McpCall, server::Server};
use crate::config::Common;
use crate::error::ConfigError;
use crate::executor::{Definition, Executor, Tool, outside};
use crate::limits;
use domain::pin::{ToolOffer, ToolPin};
use domain::tool::Effect;
use serde_json::Value;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// What the operator says of a server's tools.
pub(super) struct Rules {
    pub config: McpConfig,
    pub timeout: Duration,
    pub picks: Vec<Pick>,
}

/// A `[tools.NAME]` of kind `mcp`.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    pub name: String,
    pub tool: String,
    pub common: Common,
}

/// What became of one tool of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolStatus {
    /// The server's name for it.
    pub tool: String,
    /// Its name here.
    pub name: String,
    pub state: ToolState,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolState {
    Ready,
    /// Its definition is not the one that is trusted; this is the digest of the new one.
    Changed {
        digest: String,
    },
    /// It cannot be used.
    Unusable {
        why: String,
    },
}

impl Rules {
    /// Whether the operator wants this tool at all.
    pub(super) fn wants(&self, tool: &str) -> bool {
        let chosen = |tools: &Vec<String>| tools.iter().any(|chosen| chosen == tool);
        self.config.tools.as_ref().is_none_or(chosen) || self.pick(tool).is_some()
    }

    fn pick(&self, tool: &str) -> Option<&Pick> {
        self.picks.iter().find(|pick| pick.tool == tool)
    }

    /// The tools that come of these pins, and what became of each. `taken` says whether a name is another source's.
    pub(super) fn tools(
        &self,
        server: &Arc<Server>,
        pins: &[ToolPin],
        taken: &dyn Fn(&str) -> bool,
    ) -> (Vec<Tool>, Vec<ToolStatus>) {
        let mut used = HashSet::new();
        let (mut tools, mut statuses) = (Vec::new(), Vec::new());
        for pin in pins {
            let pick = self.pick(&pin.trusted.name);
            let name = match pick {
                Some(pick) => pick.name.clone(),
                None => name(&server.name, &pin.trusted.name),
            };
            let state = match &pin.offered {
                Some(other) => ToolState::Changed {
                    digest: other.digest.clone(),
                },
                None if taken(&name) || used.contains(&name) => ToolState::Unusable {
                    why: format!("another tool has the name `{name}`"),
                },
                None => match self.tool(server, pin, pick, &name) {
                    Ok(tool) => {
                        used.insert(name.clone());
                        tools.push(tool);
                        ToolState::Ready
                    }
                    Err(why) => ToolState::Unusable { why },
                },
            };
            statuses.push(ToolStatus {
                tool: pin.trusted.name.clone(),
                name,
                state,
            });
        }
        (tools, statuses)
    }

    fn tool(
        &self,
        server: &Arc<Server>,
        pin: &ToolPin,
        pick: Option<&Pick>,
        name: &str,
    ) -> Result<Tool, String> {
        let offer = &pin.trusted;
        if offer.description.len() > limits::MCP_DESCRIPTION_BYTES_MAX {
            let max = limits::MCP_DESCRIPTION_BYTES_MAX;
            return Err(format!("its description is longer than {max} bytes"));
        }
        let effect = self.effect(offer, pick);
        let common = pick.map(|pick| &pick.common);
        let own = common.filter(|common| !common.description.is_empty());
        let definition = Definition {
            name: name.to_owned(),
            description: own
                .map_or_else(|| offer.description.clone(), |own| own.description.clone()),
            input_schema: schema(offer),
            effect,
            policy: common.map_or(self.config.policy, |common| common.policy),
            risk: common.and_then(|common| common.risk.clone()),
            labels: common
                .and_then(|common| common.labels)
                .unwrap_or_else(|| outside(effect)),
            data_from: Some(format!("MCP server `{}`", server.name)),
            asking: common.map_or_else(Default::default, |common| common.approval.clone()),
            probe: common.and_then(|common| common.probe.clone()),
            timeout: self.timeout(common),
            result_bytes_max: common
                .map(|common| common.max_result_bytes)
                .filter(|bytes| *bytes != limits::RESULT_BYTES_DEFAULT)
                .unwrap_or(self.config.max_result_bytes),
            concurrency_max: common
                .map_or(limits::CONCURRENCY_MAX, |common| common.max_concurrency),
        };
        let executor: Arc<dyn Executor> = Arc::new(McpCall {
            server: Arc::clone(server),
            tool: offer.name.clone(),
            digest: pin.digest.clone(),
            effect,
        });
        Tool::new(definition, executor).map_err(|error| match error {
            ConfigError::Schema { source, .. } => format!("its schema cannot be used: {source}"),
            other => other.to_string(),
        })
    }

    /// The tool's own, unless that is only the default.
    fn timeout(&self, common: Option<&Common>) -> Duration {
        common
            .and_then(|common| Duration::try_from_secs_f64(common.timeout_s).ok())
            .filter(|timeout| *timeout != limits::TIMEOUT_DEFAULT)
            .unwrap_or(self.timeout)
    }

    /// The operator's word goes before the server's, and the server's alone never makes a call repeatable: it counts
    /// only where the operator trusts it, or where it makes the call more dangerous.
    fn effect(&self, offer: &ToolOffer, pick: Option<&Pick>) -> Effect {
        if let Some(effect) = pick.and_then(|pick| pick.common.effect) {
            return effect;
        }
        let says = |hint: &str| offer.annotations.get(hint).and_then(Value::as_bool);
        let reads = says("readOnlyHint") == Some(true);
        if let Some(effect) = self.config.effect {
            let destroys = says("destructiveHint") == Some(true) && !reads;
            return if destroys { Effect::Unsafe } else { effect };
        }
        if self.config.trust_annotations && (reads || says("idempotentHint") == Some(true)) {
            return Effect::Idempotent;
        }
        Effect::Unsafe
    }
}

/// Some servers leave out what goes without saying.
fn schema(offer: &ToolOffer) -> serde_json::Map<String, Value> {
    let mut schema = offer.input_schema.clone();
    schema.remove("$schema");
    if !schema.is_empty() {
        schema
            .entry("type")
            .or_insert_with(|| Value::from("object"));
    }
    schema
}

/// `SERVER__TOOL`, in the letters that models allow. A name that is too long keeps its beginning and is told apart by a
/// hash.
fn name(server: &str, tool: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let plain = |c: char| if allowed(c) { c } else { '_' };
    let whole: String = format!("{server}{BETWEEN}{tool}")
        .chars()
        .map(plain)
        .collect();
    if whole.len() <= limits::NAME_CHARS_MAX {
        return whole;
    }
    let hash = domain::tool::arguments_digest(&Value::from(tool));
    let kept = limits::NAME_CHARS_MAX - 9;
    format!("{}_{}", &whole[..kept], &hash[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_models_allow() {
        assert_eq!(name("files", "read_file"), "files__read_file");
        assert_eq!(name("files", "läs/fil"), "files__l_s_fil");
        let (one, two) = ("x".repeat(80) + "1", "x".repeat(80) + "2");
        let (one, two) = (name("files", &one), name("files", &two));
        assert_eq!((one.len(), two.len()), (64, 64));
        assert_ne!(one, two);
    }
}
