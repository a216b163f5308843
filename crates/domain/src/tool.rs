//! What a tool is, what a call of it may do to the world, and how a call ended. It does not execute anything.

use crate::{CallId, OrgId, RunId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// What repeating a call does. The default is the cautious one.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Repeating changes nothing more: reads, and writes of a fixed value.
    Idempotent,
    /// May be repeated with the same call key, which the tool uses to recognise the repetition.
    Keyed,
    /// Never repeated by the server on its own.
    #[default]
    Unsafe,
}

/// Whether a call needs a person. Ordered: the strictest of several rules is the greatest.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    #[default]
    Auto,
    Ask,
    /// As `Ask`, and no grant stands in for the person.
    AlwaysAsk,
    Deny,
}

/// A tool as a model and a client are told of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    pub name: String,
    pub description: String,
    /// A JSON Schema of type `object`; never empty.
    pub input_schema: Map<String, Value>,
    pub effect: Effect,
    pub policy: Policy,
    /// BLAKE3 (hex) of name, description, schema and effect: a changed definition is another tool.
    pub version: String,
}

/// The key of one call's effect: the same through every attempt, different for every other call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallKey(String);

impl CallKey {
    /// BLAKE3 over org, run, step and call id, each with its length, so that no two different calls can collide by
    /// their concatenation. 64 hex characters.
    pub fn new(org: &OrgId, run: RunId, step_index: u32, call: &CallId) -> Self {
        let mut hasher = blake3::Hasher::new();
        let index = step_index.to_string();
        for part in [org.as_str(), &run.to_string(), &index, call.as_str()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Self(hasher.finalize().to_hex().to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CallKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a dispatched call ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum ToolOutcome {
    /// The tool answered, well or badly; its effect, if any, has happened.
    Committed(ToolResult),
    /// It certainly did not happen: refused, not reachable, cancelled before it was sent.
    FailedBeforeEffect(ToolResult),
    /// Sent, but no answer: nobody here knows. `evidence` tells a person what is known.
    Unknown { evidence: String },
}

/// What a tool's probe told of a call whose answer was lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Probed {
    /// The tool that was asked.
    pub tool: String,
    pub arguments: Value,
    /// Its answer, or why there is none.
    pub answer: String,
    pub found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Happened,
    DidNot,
    /// No answer, or none that tells.
    Unclear,
}

/// What the model is given. `content` is JSON as text and says for itself what was asked and what happened, since some
/// clients drop `is_error`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    pub content: String,
    pub is_error: bool,
}

impl ToolResult {
    pub fn ok(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            is_error: false,
        }
    }

    pub fn error(content: impl Into<String>) -> Self {
        Self {
            content: content.into(),
            is_error: true,
        }
    }

    /// An error result naming the tool: `{"error": message, "tool": name}`.
    pub fn refusal(tool: &str, message: &str) -> Self {
        Self::error(serde_json::json!({ "error": message, "tool": tool }).to_string())
    }
}

/// The digest that a decision is bound to: BLAKE3 (hex) of the canonical form of the arguments (keys sorted, no white
/// space, numbers as serde_json prints them).
pub fn arguments_digest(arguments: &Value) -> String {
    let mut hasher = blake3::Hasher::new();
    hash_canonical(arguments, &mut hasher);
    hasher.finalize().to_hex().to_string()
}

fn hash_canonical(value: &Value, hasher: &mut blake3::Hasher) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort_unstable();
            hasher.update(b"{");
            for key in keys {
                hasher.update(Value::String(key.clone()).to_string().as_bytes());
                hasher.update(b":");
                hash_canonical(&map[key], hasher);
                hasher.update(b",");
            }
            hasher.update(b"}");
        }
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                hash_canonical(item, hasher);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            hasher.update(value.to_string().as_bytes());
        }
    }
}
