//! How a tool's probe is declared: which tool is asked, with what, and what its answer says. It asks nobody.

use crate::error::ConfigError;
use crate::executor::Tool;
use domain::tool::{Effect, Found};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `[tools.NAME.probe]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// An idempotent tool. Agents need not have it.
    pub tool: String,
    /// Its arguments. A string that is one name in braces becomes that argument of the lost call, or
    /// `{runyard_call_key}`, `{runyard_org}`, `{runyard_run_id}`.
    #[serde(default)]
    pub arguments: Map<String, Value>,
    /// What the answer says if the call took effect.
    pub happened: Test,
    /// What it says if the call certainly did not and never will.
    #[serde(default)]
    pub did_not: Option<Test>,
}

/// A place in the answer (RFC 6901) and what stands there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Test {
    pub pointer: String,
    pub equals: Value,
}

impl Test {
    fn holds(&self, answer: &Value) -> bool {
        answer.pointer(&self.pointer) == Some(&self.equals)
    }
}

impl Probe {
    /// What a good answer tells. One that fits both tests tells nothing.
    pub fn read(&self, answer: &Value) -> Found {
        let happened = self.happened.holds(answer);
        let did_not = self.did_not.as_ref().is_some_and(|test| test.holds(answer));
        match (happened, did_not) {
            (true, false) => Found::Happened,
            (false, true) => Found::DidNot,
            (true, true) | (false, false) => Found::Unclear,
        }
    }

    /// The arguments, made from those of the lost call; a name without a value is left out.
    pub fn arguments(&self, value: impl Fn(&str) -> Option<Value>) -> Map<String, Value> {
        let filled = self.arguments.iter().filter_map(|(name, template)| {
            let named = template.as_str().and_then(reference);
            let filled = match named {
                Some(named) => value(named)?,
                None => template.clone(),
            };
            Some((name.clone(), filled))
        });
        filled.collect()
    }
}

fn reference(text: &str) -> Option<&str> {
    text.strip_prefix('{')?.strip_suffix('}')
}

/// Every probe that names a tool of the configuration names one that may be asked again and again.
pub(crate) fn check(tools: &[Tool]) -> Result<(), ConfigError> {
    for tool in tools {
        let Some(probe) = &tool.probe else { continue };
        let flaw = |flaw| ConfigError::Probe {
            tool: tool.spec.name.clone(),
            probe: probe.tool.clone(),
            flaw,
        };
        if tool.spec.effect != Effect::Unsafe {
            return Err(flaw(
                "is never asked: only calls of unsafe tools can be lost",
            ));
        }
        let asked = tools.iter().find(|other| other.spec.name == probe.tool);
        if asked.is_some_and(|asked| asked.spec.effect != Effect::Idempotent) {
            return Err(flaw("is not idempotent, so it may not be asked"));
        }
    }
    Ok(())
}
