//! What the model answers, told without any wire: parts in order, usage, pace, or an error instead.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{CallIds, Faults};

mod builder;
mod parts;

pub use builder::{ReplyBuilder, reply};
pub use parts::{Arguments, Echo, Flood, Part, Tokens, ToolCall};

/// One answer of the model. The same reply can be rendered on each wire, streamed or whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Reply {
    /// What the model says, in order.
    pub parts: Vec<Part>,
    /// Why it stops; if absent, `tool_calls` when it calls a tool and `stop` otherwise.
    pub finish: Option<Finish>,
    /// What it reports to have used; if absent, made up from the parts.
    pub usage: Option<Usage>,
    /// How fast it speaks.
    pub pace: Pace,
    /// An error in the provider's own shape, in place of the parts.
    pub error: Option<ErrorReply>,
    /// A body word for word, in place of the parts.
    pub raw: Option<RawReply>,
    /// More response headers.
    pub headers: Vec<(String, String)>,
    /// What goes wrong on the way.
    pub faults: Faults,
}

/// Why the model stops, told in each provider's own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// It has said what it had to say.
    Stop,
    /// The limit of output tokens.
    Length,
    /// It waits for tools.
    ToolCalls,
    /// The provider's filter.
    ContentFilter,
}

/// Tokens that the model reports to have used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// Input tokens, cached ones included. (Anthropic's wire reports them apart; the rendering
    /// subtracts.)
    pub input: u64,
    /// Output tokens, reasoning included. (Gemini's wire reports them apart; the rendering
    /// subtracts.)
    pub output: u64,
    /// Input tokens read from a cache.
    #[serde(default)]
    pub cached: u64,
    /// Output tokens spent on reasoning.
    #[serde(default)]
    pub reasoning: u64,
}

/// How fast an answer comes, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Wait before the head of the answer.
    pub first_byte_ms: u64,
    /// Wait between two chunks. Deadlines count from the first chunk, so a late one does not delay
    /// the rest.
    pub between_ms: u64,
}

/// An answer that is an error, with the provider's own status and body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorReply {
    /// Which error.
    pub kind: ErrorKind,
    /// The status, when not the provider's usual one.
    #[serde(default)]
    pub status: Option<u16>,
    /// The message, when not the provider's usual one.
    #[serde(default)]
    pub message: Option<String>,
    /// `Retry-After`, word for word (seconds or a date).
    #[serde(default)]
    pub retry_after: Option<String>,
    /// The message ends with the caller's own credentials as they were received: for tests that no
    /// secret leaks.
    #[serde(default)]
    pub echo_credentials: bool,
}

/// Errors that providers answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Too many requests: 429.
    RateLimit,
    /// The account has no money left: 429 `insufficient_quota` with OpenAI, 400 with Anthropic, 429
    /// with Gemini.
    SpendLimit,
    /// The key is wrong: 401 (400 with Gemini).
    Auth,
    /// The input is longer than the model's context: 400.
    ContextOverflow,
    /// The request is refused for another reason: 400.
    Invalid,
    /// The model does not exist: 404.
    NotFound,
    /// The provider failed: 500.
    Server,
    /// The provider has no capacity: 529 with Anthropic, 503 elsewhere.
    Overloaded,
}

/// An answer word for word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawReply {
    /// The status.
    #[serde(default = "ok")]
    pub status: u16,
    /// The body: a string as it is, anything else as its JSON text.
    #[serde(default)]
    pub body: Value,
    /// The content type.
    #[serde(default = "json")]
    pub content_type: String,
}

fn ok() -> u16 {
    200
}

fn json() -> String {
    "application/json".to_owned()
}

impl Reply {
    /// A reply of one text, streamed word by word.
    #[must_use]
    pub fn text(text: &str) -> Self {
        reply().text_words(text).build()
    }

    /// A reply of `count` short tokens of text.
    #[must_use]
    pub fn tokens(count: usize) -> Self {
        reply().token_count(count).build()
    }

    /// A reply that calls one tool; the call's id is made up. `arguments` is their JSON text.
    #[must_use]
    pub fn tool_call(name: &str, arguments: &str) -> Self {
        reply().tool_call_made_up(name, arguments).build()
    }

    /// An error of the kind, as the provider words it.
    #[must_use]
    pub fn error(kind: ErrorKind) -> Self {
        reply().error(kind).build()
    }

    /// 429, with `Retry-After` if given.
    #[must_use]
    pub fn rate_limited(retry_after: Option<&str>) -> Self {
        let mut reply = Self::error(ErrorKind::RateLimit);
        if let Some(error) = &mut reply.error {
            error.retry_after = retry_after.map(str::to_owned);
        }
        reply
    }

    /// Any status with any body.
    #[must_use]
    pub fn status(status: u16, body: Value) -> Self {
        let raw = RawReply {
            status,
            body,
            content_type: json(),
        };
        Self {
            raw: Some(raw),
            ..Self::default()
        }
    }

    /// Whether the reply depends on the request beyond model, wire and stream options, so that it
    /// cannot be rendered once for many requests.
    pub(crate) fn reads_request(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Echo(_)))
            || self
                .error
                .as_ref()
                .is_some_and(|error| error.echo_credentials)
    }

    /// The finish reason, given or derived.
    pub(crate) fn finish_reason(&self) -> Finish {
        let calls = self
            .parts
            .iter()
            .any(|part| matches!(part, Part::ToolCall(_)));
        self.finish.unwrap_or(if calls {
            Finish::ToolCalls
        } else {
            Finish::Stop
        })
    }

    /// The usage to report: none if the fault says so, else the given one, else one made up from
    /// the parts.
    pub(crate) fn reported_usage(&self) -> Option<Usage> {
        if self.faults.no_usage {
            return None;
        }
        Some(self.usage.unwrap_or_else(|| {
            let count = |wanted: fn(&Part) -> bool| {
                let parts = self.parts.iter().filter(|part| wanted(part));
                parts.map(Part::token_count).sum::<u64>()
            };
            let reasoning = count(|part| matches!(part, Part::Reasoning(_)));
            Usage {
                input: 10,
                output: count(|_| true),
                cached: 0,
                reasoning,
            }
        }))
    }

    /// The id of each call in order, after the faults; `None` where the field is left out. One that
    /// is made up begins with `prefix`.
    pub(crate) fn call_ids(&self, prefix: &str) -> Vec<Option<String>> {
        let calls = self.parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(call),
            _ => None,
        });
        let mut ids: Vec<Option<String>> = Vec::new();
        for (index, call) in calls.enumerate() {
            let own = || match &call.id {
                Some(id) => id.clone(),
                None => format!("{prefix}_{}{index:02}", crate::wire::ID_MARKER),
            };
            ids.push(match self.faults.call_ids {
                CallIds::Kept => Some(own()),
                CallIds::Duplicate => ids.first().cloned().flatten().or_else(|| Some(own())),
                CallIds::Missing => None,
                CallIds::Empty => Some(String::new()),
            });
        }
        ids
    }
}
