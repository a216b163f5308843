//! The parts of a reply, and their form in a script file.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One part of what the model says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Reasoning, a chunk per token.
    Reasoning(Tokens),
    /// Text, a chunk per token. Parts of text beside each other are one block.
    Text(Tokens),
    /// One chunk of text made of these bytes as they are, valid UTF-8 or not.
    TextBytes(Vec<u8>),
    /// A tool call, its arguments in fragments.
    ToolCall(ToolCall),
    /// The answer waits here until the gate of this name is opened.
    Hold(String),
    /// Text taken from the request.
    Echo(Echo),
    /// A lot of text.
    Flood(Flood),
}

/// Pieces of text; in a script file a string (one piece) or a list of strings.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OneOrMany")]
pub struct Tokens(pub Vec<String>);

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<OneOrMany> for Tokens {
    fn from(tokens: OneOrMany) -> Self {
        match tokens {
            OneOrMany::One(token) => Self(vec![token]),
            OneOrMany::Many(tokens) => Self(tokens),
        }
    }
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The id of the call; made up, and distinct for each answer, if absent.
    #[serde(default)]
    pub id: Option<String>,
    /// The name of the tool, known to the caller or not.
    pub name: String,
    /// The arguments.
    #[serde(default)]
    pub arguments: Arguments,
}

/// The text of a call's arguments, JSON or broken; in a script file a string is taken as it is,
/// anything else as its JSON text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Value", into = "Value")]
pub struct Arguments(pub String);

impl Default for Arguments {
    fn default() -> Self {
        Self("{}".to_owned())
    }
}

impl From<Value> for Arguments {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Self(text),
            Value::Null => Self::default(),
            other => Self(other.to_string()),
        }
    }
}

impl From<Arguments> for Value {
    fn from(arguments: Arguments) -> Self {
        Self::String(arguments.0)
    }
}

impl Arguments {
    /// The arguments cut in fragments of at most 16 characters, as providers stream them.
    pub(crate) fn fragments(&self) -> Vec<String> {
        let characters: Vec<char> = self.0.chars().collect();
        characters
            .chunks(16)
            .map(|chunk| chunk.iter().collect())
            .collect()
    }
}

/// What of the request is said back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Echo {
    /// The text of the last user message.
    LastUser,
    /// The content of the last tool result.
    ToolResult,
    /// The name of the model that was asked for.
    Model,
}

/// A text of many equal tokens, made while it is sent. Frames that repeat the whole text at the end
/// of a stream (Responses wire) leave it out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flood {
    /// The token.
    pub token: String,
    /// How many; without end if absent.
    #[serde(default)]
    pub count: Option<u64>,
}

impl Part {
    /// How many tokens the part counts for in a usage that is made up.
    pub(crate) fn token_count(&self) -> u64 {
        match self {
            Self::Reasoning(tokens) | Self::Text(tokens) => tokens.0.len() as u64,
            Self::ToolCall(call) => call.arguments.fragments().len() as u64,
            Self::TextBytes(_) | Self::Echo(_) => 1,
            Self::Flood(flood) => flood.count.unwrap_or_default(),
            Self::Hold(_) => 0,
        }
    }
}
