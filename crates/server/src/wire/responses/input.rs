//! What an inference turn is asked with, and the conversation's messages that its items become.

use domain::message::{Content, Message, Part, Role, ToolCall};
use domain::{CallId, MessageId, RunId, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

/// The Responses form; fields that it has and that are not here are ignored.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(example = json!({"input": "Which model fits the Pixel 9?"}))]
pub struct CreateResponse {
    /// The session's model, if given.
    pub model: Option<String>,
    /// Text, or items: messages, `function_call` and `function_call_output`. An empty list goes on with a response that
    /// waited for its tools.
    pub input: Value,
    #[schema(example = "resp_0198c5a27d7e7cc38a522f1f3b0c9d11")]
    pub previous_response_id: Option<String>,
    #[serde(default)]
    pub stream: Option<bool>,
    /// Only these of the session's tools, by name; a tool that the session does not have is refused.
    #[schema(value_type = Option<Vec<Object>>)]
    pub tools: Option<Vec<Value>>,
    #[schema(minimum = 1)]
    pub max_output_tokens: Option<u32>,
    #[schema(minimum = 0.0, maximum = 2.0)]
    pub temperature: Option<f64>,
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<Map<String, Value>>,
    /// Who runs the tools that the model calls.
    #[serde(default)]
    pub tool_execution: ToolExecution,
    /// Refused: conversations are not kept here, and a turn without the context that its client counts on would mislead.
    #[schema(ignore)]
    pub conversation: Option<Value>,
    /// `auto`, or `none`: the model is offered no tool. Other choices are refused.
    #[schema(value_type = Option<String>)]
    pub tool_choice: Option<Value>,
    /// Refused unless its format is `text`: no answer here is held to a schema.
    #[schema(ignore)]
    pub text: Option<Value>,
    /// Refused if true: a turn is answered by the request that asked for it.
    #[schema(ignore)]
    pub background: Option<Value>,
}

/// `client`: calls come back as `function_call` items. `server`: they are run here, as steps of the session under its
/// policies, and the model goes on with their results.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ToolExecution {
    #[default]
    Client,
    Server,
}

/// An item that cannot be used, and where it stands.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidItem {
    pub path: String,
    pub message: String,
}

impl CreateResponse {
    /// What types cannot say of the numbers and of what is asked for.
    pub fn check(&self) -> Result<(), InvalidItem> {
        if self.conversation.is_some() {
            let message = "conversations are not kept here; continue with previous_response_id";
            return Err(invalid("conversation", message));
        }
        if self.max_output_tokens == Some(0) {
            return Err(invalid("max_output_tokens", "must be at least 1"));
        }
        if self
            .temperature
            .is_some_and(|it| !(0.0..=2.0).contains(&it))
        {
            return Err(invalid("temperature", "must be 0 to 2"));
        }
        self.check_wishes()
    }

    /// What cannot be fulfilled is refused, because an answer that passes it over looks like one that heeds it.
    fn check_wishes(&self) -> Result<(), InvalidItem> {
        let choice = self.tool_choice.as_ref();
        if choice.is_some_and(|it| !matches!(it.as_str(), Some("auto" | "none"))) {
            let message = "must be auto or none; no model is made to call a tool here";
            return Err(invalid("tool_choice", message));
        }
        let format = self.text.as_ref().and_then(|text| text.get("format"));
        if format.is_some_and(|it| it["type"] != "text") {
            let message = "must be of type text; no answer here is held to a schema";
            return Err(invalid("text.format", message));
        }
        if self.background.as_ref().is_some_and(|it| *it != false) {
            let message = "must be false: a turn is answered by the request that asked for it";
            return Err(invalid("background", message));
        }
        Ok(())
    }

    pub fn offers_no_tool(&self) -> bool {
        self.tool_choice.as_ref().is_some_and(|it| it == "none")
    }

    /// The new messages, ids and times given.
    pub fn messages(
        &self,
        session: RunId,
        at: Timestamp,
        mut uuid: impl FnMut() -> Uuid,
    ) -> Result<Vec<Message>, InvalidItem> {
        let mut message = |role, content| Message {
            id: MessageId::new(uuid()),
            role,
            content,
            tool_calls: Vec::new(),
            tool_call_id: None,
            is_error: false,
            reasoning: None,
            run_id: Some(session),
            created_at: at,
        };
        let items = match &self.input {
            Value::String(text) => {
                return Ok(vec![message(Role::User, Content::Text(text.clone()))]);
            }
            Value::Array(items) => items,
            _ => return Err(invalid("input", "must be text or a list of items")),
        };
        let mut messages: Vec<Message> = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("input[{index}]");
            match item["type"].as_str().unwrap_or("message") {
                "message" => {
                    let role = role(item, &path)?;
                    let path = format!("{path}.content");
                    messages.push(message(role, content(&item["content"], &path)?));
                }
                "function_call" => {
                    let call = function_call(item, &path)?;
                    match messages.last_mut() {
                        // Calls of one turn stand beside each other.
                        Some(last) if last.role == Role::Assistant => last.tool_calls.push(call),
                        Some(_) | None => {
                            let mut turn = message(Role::Assistant, Content::Text(String::new()));
                            turn.tool_calls.push(call);
                            messages.push(turn);
                        }
                    }
                }
                "function_call_output" => {
                    let output = content(&item["output"], &format!("{path}.output"))?;
                    let mut result = message(Role::Tool, output);
                    result.tool_call_id = Some(call_id(item, &path)?);
                    messages.push(result);
                }
                // Sent back by clients that keep their own history; the chain here has the model's own.
                "reasoning" => {}
                other => {
                    let message = format!("items of type `{other}` cannot be used here");
                    return Err(InvalidItem {
                        path: format!("{path}.type"),
                        message,
                    });
                }
            }
        }
        Ok(messages)
    }

    /// The names of `tools`, in either of the SDKs' spellings.
    pub fn tool_names(&self) -> Result<Option<Vec<String>>, InvalidItem> {
        if self.offers_no_tool() {
            return Ok(Some(Vec::new()));
        }
        let Some(tools) = &self.tools else {
            return Ok(None);
        };
        let name = |(index, tool): (usize, &Value)| {
            let name = tool["name"]
                .as_str()
                .or_else(|| tool["function"]["name"].as_str());
            name.map(str::to_owned)
                .ok_or_else(|| invalid(&format!("tools[{index}].name"), "must be a tool's name"))
        };
        tools
            .iter()
            .enumerate()
            .map(name)
            .collect::<Result<_, _>>()
            .map(Some)
    }
}

fn role(item: &Value, path: &str) -> Result<Role, InvalidItem> {
    match item["role"].as_str() {
        Some("user") => Ok(Role::User),
        Some("assistant") => Ok(Role::Assistant),
        Some("system" | "developer") => Ok(Role::System),
        _ => Err(invalid(
            &format!("{path}.role"),
            "must be user, assistant, system or developer",
        )),
    }
}

fn content(content: &Value, path: &str) -> Result<Content, InvalidItem> {
    let parts = match content {
        Value::String(text) => return Ok(Content::Text(text.clone())),
        Value::Array(parts) => parts,
        _ => {
            return Err(invalid(path, "must be text or a list of parts"));
        }
    };
    let mut read = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        let text = part["text"].as_str().or_else(|| part["refusal"].as_str());
        match (part["type"].as_str(), text, part["image_url"].as_str()) {
            (Some("input_text" | "output_text" | "text" | "refusal"), Some(text), _) => {
                read.push(Part::Text {
                    text: text.to_owned(),
                });
            }
            (Some("input_image"), _, Some(url)) => read.push(Part::Image {
                url: url.to_owned(),
            }),
            _ => {
                let path = format!("{path}[{index}]");
                return Err(invalid(
                    &path,
                    "must be input_text, output_text or input_image",
                ));
            }
        }
    }
    match read.as_slice() {
        [Part::Text { text }] => Ok(Content::Text(text.clone())),
        _ => Ok(Content::Parts(read)),
    }
}

fn function_call(item: &Value, path: &str) -> Result<ToolCall, InvalidItem> {
    let name = item["name"].as_str();
    let name = name.ok_or_else(|| invalid(&format!("{path}.name"), "must be text"))?;
    let arguments = item["arguments"].as_str();
    let text =
        arguments.ok_or_else(|| invalid(&format!("{path}.arguments"), "must be JSON text"))?;
    let arguments = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    Ok(ToolCall {
        id: call_id(item, path)?,
        name: name.to_owned(),
        arguments,
    })
}

fn call_id(item: &Value, path: &str) -> Result<CallId, InvalidItem> {
    match item["call_id"].as_str() {
        Some(id) if !id.is_empty() && id.len() <= 256 => Ok(CallId::from_client(id.to_owned())),
        _ => Err(invalid(
            &format!("{path}.call_id"),
            "must be 1 to 256 characters",
        )),
    }
}

fn invalid(path: &str, message: &str) -> InvalidItem {
    InvalidItem {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}
