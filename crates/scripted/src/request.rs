//! A request as it was received, and what a script or a test asks of it, on any wire.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::history::{self, Item};
use crate::{Wire, wire};

/// A request that the server received.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// Its place among all requests, from 0.
    pub index: u64,
    /// Its place among the requests for an answer, from 0; none for lists and unknown paths.
    pub call: Option<u64>,
    /// When it was read whole, in milliseconds since the server began.
    pub at_ms: u64,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The headers, names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body; `null` if it is empty, a string if it is not JSON.
    pub body: Value,
    /// The wire, if it asks for an answer.
    pub wire: Option<Wire>,
    /// How the answer ended.
    pub outcome: Outcome,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has not.
    Open,
    /// All of it was written.
    Sent,
    /// A scripted fault cut the connection.
    Cut,
    /// The client closed or reset the connection first.
    HungUp,
}

impl Request {
    /// The value of a header; the name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(held, _)| held == name)
            .map(|(_, value)| value.as_str())
    }

    /// The model that is asked for; empty if none.
    #[must_use]
    pub fn model(&self) -> &str {
        let of_body = self.body["model"].as_str();
        of_body
            .or_else(|| wire::model_of_path(&self.path))
            .unwrap_or_default()
    }

    /// Whether a streamed answer is asked for.
    #[must_use]
    pub fn streamed(&self) -> bool {
        match self.wire {
            Some(Wire::Gemini) => self.path.contains(":streamGenerateContent"),
            // Ollama streams unless told not to.
            Some(Wire::Ollama) => self.body["stream"].as_bool().unwrap_or(true),
            _ => self.body["stream"].as_bool().unwrap_or(false),
        }
    }

    /// Whether the usage is asked for in the stream (OpenAI chat).
    pub(crate) fn include_usage(&self) -> bool {
        self.body["stream_options"]["include_usage"]
            .as_bool()
            .unwrap_or(false)
    }

    /// The history that the request carries, the same on every wire.
    #[must_use]
    pub fn history(&self) -> Vec<Item> {
        history::read(self)
    }

    /// The text of the last user message.
    #[must_use]
    pub fn last_user(&self) -> Option<String> {
        self.history()
            .into_iter()
            .rev()
            .find_map(|item| match item {
                Item::User(text) => Some(text),
                _ => None,
            })
    }

    /// The text of the system prompt, all of it.
    #[must_use]
    pub fn system(&self) -> String {
        let texts = self.history().into_iter().filter_map(|item| match item {
            Item::System(text) => Some(text),
            _ => None,
        });
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The content of the last tool result.
    #[must_use]
    pub fn last_tool_result(&self) -> Option<String> {
        self.history()
            .into_iter()
            .rev()
            .find_map(|item| match item {
                Item::Result { content, .. } => Some(content),
                _ => None,
            })
    }

    /// Whether the history ends with a tool result, so that the model is to go on from it.
    #[must_use]
    pub fn ends_with_tool_result(&self) -> bool {
        matches!(self.history().last(), Some(Item::Result { .. }))
    }

    /// The names of the tools that are offered.
    #[must_use]
    pub fn tools(&self) -> Vec<String> {
        history::tool_names(self)
    }
}
