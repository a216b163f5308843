//! What a request for a run may say, and the checks that its types cannot make.

use crate::problem::FieldError;
use crate::wire::threads::Part;
use domain::agent;
use domain::limits::INPUT_MESSAGES_MAX;
use domain::message::{Content, Message, Role};
use domain::run;
use domain::{MessageId, RunId, Timestamp};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use std::fmt;
use utoipa::ToSchema;
use uuid::Uuid;

/// Bytes of JSON in one `metadata` object.
pub const METADATA_BYTES_MAX: usize = 16 << 10;

#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"input": "Where is order A-1001?"}))]
pub struct CreateRun {
    pub input: RunInput,
    /// Facts for the agent's tools and policies.
    #[schema(value_type = Option<Object>)]
    pub context: Option<Map<String, Value>>,
    /// Instead of the agent's preferred model; a lane that the agent may use must serve it.
    #[schema(example = "gpt-5-mini")]
    pub model: Option<String>,
    /// Exactly this lane; one that the agent may use.
    pub lane: Option<String>,
    /// False: the answer is the run, at once, and it goes on in the background.
    #[serde(default)]
    #[schema(default = true)]
    pub stream: Option<bool>,
    /// What to do when the thread has a run at work.
    #[serde(default)]
    #[schema(default = "reject")]
    pub on_busy: Option<OnBusy>,
    /// What becomes of the run when this stream is dropped.
    #[serde(default)]
    #[schema(default = "continue")]
    pub on_disconnect: Option<OnDisconnect>,
    /// Tightens the agent's own; never loosens it.
    pub budget: Option<Budget>,
    /// Kept with the run and shown again; at most 16 KiB of JSON.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
}

/// The text of one user message, or messages.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub enum RunInput {
    #[schema(example = "Where is order A-1001?")]
    Text(String),
    Messages(Vec<InputMessage>),
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct InputMessage {
    pub role: InputRole,
    #[schema(value_type = crate::wire::threads::Content)]
    pub content: InputContent,
}

/// Calls of tools and their results are not a caller's to say.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputRole {
    User,
    Assistant,
    System,
}

#[derive(Debug)]
pub enum InputContent {
    Text(String),
    Parts(Vec<Part>),
}

/// `reject`: 409 `thread_busy`. `enqueue`: wait. `interrupt`: cancel the run at work first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnBusy {
    #[default]
    Reject,
    Enqueue,
    Interrupt,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    #[default]
    Continue,
    Cancel,
}

/// Ceilings of one run; an absent one does not limit.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub struct Budget {
    /// Model turns.
    #[schema(minimum = 1, example = 8)]
    pub max_steps: Option<u32>,
    /// Input and output together.
    #[schema(minimum = 1, example = 20000)]
    pub max_tokens: Option<u64>,
    #[schema(example = 0.25)]
    pub max_cost_usd: Option<f64>,
    /// Of a million tokens, three read for each one written: dearer lanes are not used.
    #[schema(example = 2.5)]
    pub max_price_usd: Option<f64>,
    /// Seconds from the run's start, waits for approval not counted.
    #[schema(minimum = 1, example = 120)]
    pub timeout_s: Option<u64>,
}

impl CreateRun {
    /// Every value that cannot be used.
    pub fn errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut wrong = |path: String, message: String| errors.push(FieldError { path, message });
        match &self.input {
            RunInput::Text(text) if text.is_empty() => {
                wrong("input".to_owned(), "must not be empty".to_owned());
            }
            RunInput::Text(_) => {}
            RunInput::Messages(messages) if messages.is_empty() => {
                wrong(
                    "input".to_owned(),
                    "must hold at least one message".to_owned(),
                );
            }
            RunInput::Messages(messages) if messages.len() > INPUT_MESSAGES_MAX => {
                let message = format!("must hold at most {INPUT_MESSAGES_MAX} messages");
                wrong("input".to_owned(), message);
            }
            RunInput::Messages(messages) => {
                for (index, message) in messages.iter().enumerate() {
                    if let Some((path, problem)) = message.error() {
                        wrong(format!("input[{index}].content{path}"), problem.to_owned());
                    }
                }
            }
        }
        let budget = self.budget.as_ref();
        let dollars = [
            (
                "max_cost_usd",
                budget.and_then(|budget| budget.max_cost_usd),
            ),
            (
                "max_price_usd",
                budget.and_then(|budget| budget.max_price_usd),
            ),
        ];
        for (name, value) in dollars {
            if value.is_some_and(|value| !(0.0..=1_000_000.0).contains(&value)) {
                let message = "must be between 0 and 1000000".to_owned();
                wrong(format!("budget.{name}"), message);
            }
        }
        if let Some(message) = metadata_error(self.metadata.as_ref()) {
            wrong("metadata".to_owned(), message);
        }
        errors
    }
}

/// What is wrong with a `metadata` object, if anything.
pub fn metadata_error(metadata: Option<&Map<String, Value>>) -> Option<String> {
    let metadata = metadata?;
    let bytes = serde_json::to_vec(metadata).map_or(usize::MAX, |json| json.len());
    (bytes > METADATA_BYTES_MAX)
        .then(|| format!("must be at most {METADATA_BYTES_MAX} bytes of JSON"))
}

impl InputMessage {
    fn error(&self) -> Option<(String, &'static str)> {
        match &self.content {
            InputContent::Text(text) if text.is_empty() => {
                Some((String::new(), "must not be empty"))
            }
            InputContent::Text(_) => None,
            InputContent::Parts(parts) if parts.is_empty() => {
                Some((String::new(), "must hold at least one part"))
            }
            InputContent::Parts(parts) => {
                let wrong = |part: &Part| match part {
                    Part::Text { .. } => false,
                    Part::Image { url } => !url.starts_with("data:") && !url.starts_with("https:"),
                };
                let index = parts.iter().position(wrong)?;
                Some((
                    format!("[{index}].url"),
                    "must be a `data:` or `https:` URL",
                ))
            }
        }
    }
}

impl RunInput {
    /// Messages of the thread's history; `ids` gives each its own.
    pub fn into_messages(
        self,
        run: RunId,
        at: Timestamp,
        mut ids: impl FnMut() -> Uuid,
    ) -> Vec<Message> {
        let mut message = |role, content| Message {
            id: MessageId::new(ids()),
            role,
            content,
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            reasoning: None,
            run_id: Some(run),
            created_at: at,
        };
        match self {
            Self::Text(text) => vec![message(Role::User, Content::Text(text))],
            Self::Messages(messages) => messages
                .into_iter()
                .map(|given| message(given.role.into(), given.content.into()))
                .collect(),
        }
    }
}

impl From<InputRole> for Role {
    fn from(role: InputRole) -> Self {
        match role {
            InputRole::User => Self::User,
            InputRole::Assistant => Self::Assistant,
            InputRole::System => Self::System,
        }
    }
}

impl From<InputContent> for Content {
    fn from(content: InputContent) -> Self {
        match content {
            InputContent::Text(text) => Self::Text(text),
            InputContent::Parts(parts) => Self::Parts(parts.into_iter().map(Into::into).collect()),
        }
    }
}

impl From<OnBusy> for engine::OnBusy {
    fn from(on_busy: OnBusy) -> Self {
        match on_busy {
            OnBusy::Reject => Self::Reject,
            OnBusy::Enqueue => Self::Enqueue,
            OnBusy::Interrupt => Self::Interrupt,
        }
    }
}

impl From<OnDisconnect> for run::OnDisconnect {
    fn from(on_disconnect: OnDisconnect) -> Self {
        match on_disconnect {
            OnDisconnect::Continue => Self::Continue,
            OnDisconnect::Cancel => Self::Cancel,
        }
    }
}

impl From<Budget> for agent::Budget {
    fn from(budget: Budget) -> Self {
        Self {
            max_steps: budget.max_steps,
            max_tokens: budget.max_tokens,
            max_cost_micro_usd: budget.max_cost_usd.map(micro),
            max_price_micro_usd: budget.max_price_usd.map(micro),
            timeout_s: budget.timeout_s,
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be between 0 and a million dollars"
)]
fn micro(dollars: f64) -> u64 {
    (dollars * 1_000_000.0).round() as u64
}

// Written out, because serde's untagged enums lose the path to what is wrong inside.
impl<'de> Deserialize<'de> for RunInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Input;
        impl<'de> Visitor<'de> for Input {
            type Value = RunInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a list of messages")
            }

            fn visit_str<E>(self, text: &str) -> Result<RunInput, E> {
                Ok(RunInput::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RunInput, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(RunInput::Messages)
            }
        }
        deserializer.deserialize_any(Input)
    }
}

impl<'de> Deserialize<'de> for InputContent {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Input;
        impl<'de> Visitor<'de> for Input {
            type Value = InputContent;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text or a list of parts")
            }

            fn visit_str<E>(self, text: &str) -> Result<InputContent, E> {
                Ok(InputContent::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<InputContent, A::Error> {
                Deserialize::deserialize(SeqAccessDeserializer::new(list)).map(InputContent::Parts)
            }
        }
        deserializer.deserialize_any(Input)
    }
}
