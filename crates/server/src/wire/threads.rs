//! Conversations on the wire.

use super::runs::RunBrief;
use domain::message;
use domain::thread;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateThread {
    /// One of the registry's agents.
    #[schema(example = "support")]
    pub agent_type: String,
    #[schema(example = "Order A-1001", max_length = 500)]
    pub title: Option<String>,
    /// Kept with the thread and shown again; at most 16 KiB of JSON.
    #[serde(default)]
    #[schema(value_type = Option<Object>, example = json!({"customer": "c-17"}))]
    pub metadata: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct UpdateThread {
    /// `null` takes the title away.
    #[serde(default, deserialize_with = "super::present")]
    #[schema(value_type = Option<String>, max_length = 500)]
    pub title: Option<Option<String>>,
    /// Replaces the whole of it.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
}

/// At most one of the two ids; with neither, the whole history is taken.
#[derive(Debug, Deserialize, ToSchema)]
pub struct ForkThread {
    /// The last message of the new thread's history.
    #[schema(format = "uuid")]
    pub message_id: Option<String>,
    /// The run whose last message ends the new thread's history.
    #[schema(format = "uuid")]
    pub run_id: Option<String>,
    /// The source's, if absent.
    #[schema(max_length = 500)]
    pub title: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ThreadList {
    /// By `updated_at`, newest first.
    pub threads: Vec<Thread>,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Thread {
    #[schema(format = "uuid", example = "0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11")]
    pub id: String,
    /// The same as `id`.
    #[schema(format = "uuid")]
    pub thread_id: String,
    #[schema(example = "support")]
    pub agent_type: String,
    #[schema(example = "Order A-1001")]
    pub title: Option<String>,
    pub status: ThreadStatus,
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    #[schema(format = "date-time", example = "2026-01-31T12:00:00.000000Z")]
    pub created_at: String,
    #[schema(format = "date-time")]
    pub updated_at: String,
    #[schema(example = 4)]
    pub message_count: u32,
    pub last_message_preview: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ThreadDetail {
    #[serde(flatten)]
    pub thread: Thread,
    /// The whole history, oldest first.
    pub messages: Vec<Message>,
    /// The newest 50, newest first.
    pub runs: Vec<RunBrief>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct DeletedThread {
    #[schema(format = "uuid")]
    pub id: String,
    #[schema(example = true)]
    pub deleted: bool,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThreadStatus {
    Idle,
    Busy,
    AwaitingApproval,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Message {
    #[schema(format = "uuid")]
    pub id: String,
    pub role: MessageRole,
    pub content: Content,
    /// Calls that the assistant asked for; each is answered by one later message of role `tool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// For messages of role `tool`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_error: bool,
    /// What the model said to itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    #[schema(format = "uuid")]
    pub run_id: Option<String>,
    #[schema(format = "date-time")]
    pub created_at: String,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageRole {
    User,
    Assistant,
    Tool,
    System,
}

/// Text, or parts where there is more than text.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    Text {
        text: String,
    },
    /// An image by `data:` or `https:` URL, passed on to the model and never fetched here.
    Image {
        url: String,
    },
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ToolCall {
    #[schema(example = "call_0198c5a27d7e7cc38a522f1f3b0c9d11")]
    pub id: String,
    #[schema(example = "lookup_order")]
    pub name: String,
    /// An object; what a model wrote that is none, as text.
    pub arguments: Value,
}

impl From<thread::Thread> for Thread {
    fn from(thread: thread::Thread) -> Self {
        Self {
            id: thread.id.to_string(),
            thread_id: thread.id.to_string(),
            agent_type: thread.agent_type,
            title: thread.title,
            status: match thread.status {
                thread::ThreadStatus::Idle => ThreadStatus::Idle,
                thread::ThreadStatus::Busy => ThreadStatus::Busy,
                thread::ThreadStatus::AwaitingApproval => ThreadStatus::AwaitingApproval,
            },
            metadata: thread.metadata,
            created_at: thread.created_at.to_string(),
            updated_at: thread.updated_at.to_string(),
            message_count: thread.message_count,
            last_message_preview: thread.last_message_preview,
        }
    }
}

impl From<message::Message> for Message {
    fn from(message: message::Message) -> Self {
        let calls: Vec<ToolCall> = message.tool_calls.into_iter().map(ToolCall::from).collect();
        Self {
            id: message.id.to_string(),
            role: match message.role {
                message::Role::User => MessageRole::User,
                message::Role::Assistant => MessageRole::Assistant,
                message::Role::Tool => MessageRole::Tool,
                message::Role::System => MessageRole::System,
            },
            content: message.content.into(),
            tool_calls: (!calls.is_empty()).then_some(calls),
            tool_call_id: message.tool_call_id.map(|id| id.to_string()),
            is_error: message.is_error,
            reasoning: message.reasoning.map(|reasoning| reasoning.text),
            run_id: message.run_id.map(|id| id.to_string()),
            created_at: message.created_at.to_string(),
        }
    }
}

impl From<message::Content> for Content {
    fn from(content: message::Content) -> Self {
        match content {
            message::Content::Text(text) => Self::Text(text),
            message::Content::Parts(parts) => {
                Self::Parts(parts.into_iter().map(Part::from).collect())
            }
        }
    }
}

impl From<message::Part> for Part {
    fn from(part: message::Part) -> Self {
        match part {
            message::Part::Text { text } => Self::Text { text },
            message::Part::Image { url } => Self::Image { url },
        }
    }
}

impl From<Part> for message::Part {
    fn from(part: Part) -> Self {
        match part {
            Part::Text { text } => Self::Text { text },
            Part::Image { url } => Self::Image { url },
        }
    }
}

impl From<message::ToolCall> for ToolCall {
    fn from(call: message::ToolCall) -> Self {
        Self {
            id: call.id.to_string(),
            name: call.name,
            arguments: call.arguments,
        }
    }
}
