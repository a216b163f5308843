//! Ollama's own API (Ollama API reference, "Generate a chat completion"): lines of JSON, the last with `"done":true`.

use crate::answer::{Answer, Stop};
use crate::fault::{self, Fault};
use crate::json;
use serde::Deserialize;
use serde_json::Value;

mod request;

pub(super) use request::body;

#[derive(Debug, Default)]
pub(crate) struct Decoder;

#[derive(Deserialize)]
struct Line {
    #[serde(default)]
    message: Option<Message>,
    #[serde(default)]
    done: bool,
    #[serde(default)]
    done_reason: Option<String>,
    #[serde(default)]
    prompt_eval_count: Option<u64>,
    #[serde(default)]
    prompt_eval_cached_count: Option<u64>,
    #[serde(default)]
    eval_count: Option<u64>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Option<String>,
    #[serde(default)]
    thinking: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<Call>>,
}

#[derive(Deserialize)]
struct Call {
    function: Function,
}

#[derive(Deserialize)]
struct Function {
    #[serde(default)]
    name: String,
    #[serde(default)]
    arguments: Option<Value>,
}

impl Decoder {
    pub(super) fn frame(&mut self, frame: &[u8], answer: &mut Answer) -> Result<(), Fault> {
        let line: Line = json::read(frame)?;
        if let Some(error) = line.error.filter(|error| !error.is_null()) {
            let body = serde_json::json!({ "error": error });
            return Err(fault::of_body(&body).unwrap_or(Fault::Unreadable));
        }
        if let Some(message) = line.message {
            answer.reasoning(message.thinking.unwrap_or_default())?;
            answer.text(message.content.unwrap_or_default())?;
            for call in message.tool_calls.unwrap_or_default() {
                let arguments = match call.function.arguments {
                    None | Some(Value::Null) => String::new(),
                    Some(Value::String(text)) => text,
                    Some(value) => value.to_string(),
                };
                let key = answer.call_count() as u64;
                answer.call(key, "", &call.function.name, &arguments)?;
            }
        }
        if line.done {
            answer.done = true;
            answer.stop = Some(if line.done_reason.as_deref() == Some("length") {
                Stop::Length
            } else {
                Stop::End
            });
            // Left out when the whole prompt was cached; then it is estimated.
            answer.reported.input = line.prompt_eval_count;
            answer.reported.output = line.eval_count;
            answer.reported.cached = line.prompt_eval_cached_count.unwrap_or_default();
        }
        Ok(())
    }
}
