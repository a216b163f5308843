//! Inference turns in the form of OpenAI's Responses API, as the official SDKs read and write it (openai-python 3.54,
//! openai-node 7.57). What a turn is given is in `input`; what its stream says is in `stream`.

mod input;
pub mod stream;

pub use input::{CreateResponse, InvalidItem, ToolExecution};

use domain::failure::{Failure, FailureCode};
use domain::gate::GateDecision;
use domain::message::ToolCall;
use domain::response::{Response as Turn, ResponseId};
use domain::usage::Usage as Used;
use domain::{ApprovalId, MessageId, Timestamp};
use engine::Stop;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// A response object. Every field that the SDKs' types have is there, for they do not check and users read.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Response {
    #[schema(example = "resp_0198c5a27d7e7cc38a522f1f3b0c9d11")]
    pub id: String,
    #[schema(example = "response")]
    pub object: &'static str,
    /// Seconds since 1970.
    pub created_at: i64,
    pub status: ResponseStatus,
    pub error: Option<ResponseError>,
    pub incomplete_details: Option<IncompleteDetails>,
    pub instructions: Option<String>,
    pub max_output_tokens: Option<u32>,
    pub model: String,
    pub output: Vec<OutputItem>,
    pub parallel_tool_calls: bool,
    pub previous_response_id: Option<String>,
    #[schema(value_type = Object)]
    pub metadata: Map<String, Value>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub tool_choice: &'static str,
    #[schema(value_type = Vec<Object>)]
    pub tools: Vec<Value>,
    pub usage: Option<Usage>,
    pub background: bool,
    pub store: bool,
    pub truncation: &'static str,
    /// What the intent gate said of the input; absent if none was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<Intent>,
}

/// A gate's decision, beside the answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Intent {
    /// `allow`, `clarify` or `refuse`.
    pub decision: &'static str,
    #[schema(example = "out_of_scope")]
    pub intent: Option<String>,
    pub confidence: Option<f64>,
    pub reason: String,
    /// `enforce` or `shadow`.
    pub mode: &'static str,
}

impl From<&GateDecision> for Intent {
    fn from(decision: &GateDecision) -> Self {
        Self {
            decision: decision.decision.as_str(),
            intent: decision.intent.clone(),
            confidence: decision.confidence,
            reason: decision.reason.clone(),
            mode: decision.mode.as_str(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResponseStatus {
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ResponseError {
    /// `server_error`, `rate_limit_exceeded` or `invalid_prompt`.
    pub code: &'static str,
    pub message: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct IncompleteDetails {
    #[schema(example = "max_output_tokens")]
    pub reason: &'static str,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OutputItem {
    Reasoning {
        id: String,
        summary: Vec<SummaryText>,
        status: &'static str,
    },
    Message {
        id: String,
        role: &'static str,
        status: &'static str,
        content: Vec<OutputText>,
    },
    FunctionCall {
        id: String,
        call_id: String,
        name: String,
        arguments: String,
        status: &'static str,
    },
    /// A call that was run here. The SDKs' name for it: nobody is asked to run it.
    McpCall {
        id: String,
        server_label: &'static str,
        name: String,
        arguments: String,
        output: Option<String>,
        error: Option<ToolError>,
        status: &'static str,
    },
    /// A call that waits for a person. It is last; the response goes on from `previous_response_id` once decided.
    McpApprovalRequest {
        /// `mcpr_` and the approval's id without dashes.
        id: String,
        server_label: &'static str,
        name: String,
        arguments: String,
    },
}

/// Why a call that was run here failed, as the SDKs of 2026 read it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ToolError {
    #[serde(rename = "type")]
    #[schema(example = "mcp_tool_execution_error")]
    pub kind: &'static str,
    /// One text: what the model was told.
    pub content: Vec<ToolErrorText>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ToolErrorText {
    #[serde(rename = "type")]
    #[schema(example = "text")]
    pub kind: &'static str,
    pub text: String,
}

impl ToolError {
    fn saying(text: &str) -> Self {
        Self {
            kind: "mcp_tool_execution_error",
            content: vec![ToolErrorText {
                kind: "text",
                text: text.to_owned(),
            }],
        }
    }
}

/// What calls that are run here are said to be run by.
const SERVER_LABEL: &str = "runyard";

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SummaryText {
    #[serde(rename = "type")]
    #[schema(example = "summary_text")]
    pub kind: &'static str,
    pub text: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OutputText {
    #[serde(rename = "type")]
    #[schema(example = "output_text")]
    pub kind: &'static str,
    pub text: String,
    #[schema(value_type = Vec<Object>)]
    pub annotations: Vec<Value>,
    #[schema(value_type = Vec<Object>)]
    pub logprobs: Vec<Value>,
}

/// Tokens of one turn, as the Responses form tells them.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = ResponseUsage)]
pub struct Usage {
    pub input_tokens: u64,
    pub input_tokens_details: InputTokensDetails,
    pub output_tokens: u64,
    pub output_tokens_details: OutputTokensDetails,
    pub total_tokens: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct InputTokensDetails {
    pub cached_tokens: u64,
    pub cache_write_tokens: u64,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OutputTokensDetails {
    pub reasoning_tokens: u64,
}

/// What of the request is told again in its response.
#[derive(Debug, Clone)]
pub struct Echo {
    pub model: String,
    pub previous: Option<ResponseId>,
    pub max_output_tokens: Option<u32>,
    pub temperature: Option<f64>,
    pub metadata: Map<String, Value>,
    /// `auto` or `none`.
    pub tool_choice: &'static str,
    pub tools: Vec<Value>,
}

impl Response {
    /// A turn that has only begun.
    pub fn begun(id: ResponseId, at: Timestamp, echo: Echo) -> Self {
        Self {
            id: id.to_string(),
            object: "response",
            created_at: at.as_micros() / 1_000_000,
            status: ResponseStatus::InProgress,
            error: None,
            incomplete_details: None,
            instructions: None,
            max_output_tokens: echo.max_output_tokens,
            model: echo.model,
            output: Vec::new(),
            parallel_tool_calls: true,
            previous_response_id: echo.previous.map(|id| id.to_string()),
            metadata: echo.metadata,
            temperature: echo.temperature,
            top_p: None,
            tool_choice: echo.tool_choice,
            tools: echo.tools,
            usage: None,
            background: false,
            store: true,
            truncation: "disabled",
            intent: None,
        }
    }

    /// `output` and `usage` are those of all rounds.
    pub fn completed(mut self, turn: &Turn, output: Vec<OutputItem>, usage: Used) -> Self {
        // A gate that stops a turn calls no model.
        if !turn.model.is_empty() {
            self.model.clone_from(&turn.model);
        }
        self.intent = turn.gate.as_deref().map(Intent::from);
        self.output = output;
        self.usage = Some(usage.into());
        self.status = ResponseStatus::Completed;
        if turn.truncated {
            self.status = ResponseStatus::Incomplete;
            self.incomplete_details = Some(IncompleteDetails {
                reason: "max_output_tokens",
            });
        }
        self
    }

    /// Ended before the model was done. One that waits for a person is `completed` and ends with the request, as the
    /// Responses API has it; its approvals are named in `metadata`.
    pub fn stopped(
        mut self,
        stop: &Stop,
        output: Vec<OutputItem>,
        approvals: &[ApprovalId],
        usage: Used,
    ) -> Self {
        self.output = output;
        self.usage = Some(usage.into());
        let reason = match stop {
            Stop::Approval => {
                let ids: Vec<String> = approvals.iter().map(ToString::to_string).collect();
                let metadata = &mut self.metadata;
                metadata.insert("approval_ids".to_owned(), Value::String(ids.join(",")));
                self.status = ResponseStatus::Completed;
                return self;
            }
            Stop::Running => "tool_running",
            Stop::Budget(_) => "budget_exhausted",
            Stop::Rounds => "max_rounds",
        };
        self.status = ResponseStatus::Incomplete;
        self.incomplete_details = Some(IncompleteDetails { reason });
        self
    }

    pub fn failed(mut self, failure: &Failure) -> Self {
        self.status = ResponseStatus::Failed;
        let code = match failure.code {
            FailureCode::ModelQuotaExhausted => "rate_limit_exceeded",
            FailureCode::ContextOverflow => "invalid_prompt",
            _ => "server_error",
        };
        self.error = Some(ResponseError {
            code,
            message: failure.message.clone(),
        });
        self
    }
}

pub(crate) fn reasoning_item(id: MessageId, text: &str, status: &'static str) -> OutputItem {
    let summary = SummaryText {
        kind: "summary_text",
        text: text.to_owned(),
    };
    let summary = if text.is_empty() {
        Vec::new()
    } else {
        vec![summary]
    };
    OutputItem::Reasoning {
        id: format!("rs_{}", id.uuid().simple()),
        summary,
        status,
    }
}

pub(crate) fn message_item(id: MessageId, text: &str, status: &'static str) -> OutputItem {
    let content = if status == "in_progress" {
        Vec::new()
    } else {
        vec![output_text(text)]
    };
    let id = format!("msg_{}", id.uuid().simple());
    OutputItem::Message {
        id,
        role: "assistant",
        status,
        content,
    }
}

pub(crate) fn output_text(text: &str) -> OutputText {
    OutputText {
        kind: "output_text",
        text: text.to_owned(),
        annotations: Vec::new(),
        logprobs: Vec::new(),
    }
}

pub(crate) fn call_item(call: &ToolCall, status: &'static str) -> OutputItem {
    let arguments = if status == "in_progress" {
        String::new()
    } else {
        arguments(call)
    };
    OutputItem::FunctionCall {
        id: format!("fc_{}", bare(call)),
        call_id: call.id.to_string(),
        name: call.name.clone(),
        arguments,
        status,
    }
}

/// A call that was run here; without `outcome` it has only begun.
pub(crate) fn run_item(call: &ToolCall, outcome: Option<(&str, bool)>) -> OutputItem {
    let (output, error) = match outcome {
        Some((content, true)) => (None, Some(ToolError::saying(content))),
        Some((content, false)) => (Some(content.to_owned()), None),
        None => (None, None),
    };
    OutputItem::McpCall {
        id: format!("mcp_{}", bare(call)),
        server_label: SERVER_LABEL,
        name: call.name.clone(),
        arguments: outcome.map_or_else(String::new, |_| arguments(call)),
        status: match (&outcome, &error) {
            (None, _) => "in_progress",
            (Some(_), None) => "completed",
            (Some(_), Some(_)) => "failed",
        },
        output,
        error,
    }
}

pub(crate) fn approval_item(call: &ToolCall, approval: ApprovalId) -> OutputItem {
    OutputItem::McpApprovalRequest {
        id: format!("mcpr_{}", approval.uuid().simple()),
        server_label: SERVER_LABEL,
        name: call.name.clone(),
        arguments: arguments(call),
    }
}

pub(crate) fn arguments(call: &ToolCall) -> String {
    match &call.arguments {
        Value::String(unreadable) => unreadable.clone(),
        readable => readable.to_string(),
    }
}

fn bare(call: &ToolCall) -> &str {
    call.id.as_str().trim_start_matches("call_")
}

impl From<Used> for Usage {
    fn from(used: Used) -> Self {
        Self {
            input_tokens: used.input_tokens,
            input_tokens_details: InputTokensDetails {
                cached_tokens: used.cached_tokens,
                cache_write_tokens: 0,
            },
            output_tokens: used.output_tokens,
            output_tokens_details: OutputTokensDetails {
                reasoning_tokens: 0,
            },
            total_tokens: used.total_tokens(),
        }
    }
}
