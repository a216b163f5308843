//! The body of a request for chat completions.

use super::{REASONING_CONTENT, TAG};
use crate::encode;
use crate::prompt::{self, List, Prompt, arguments_object, call_id};
use crate::wire::tools;
use domain::message::{Content, Message, Part, Role, ToolCall};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::sync::Arc;

#[derive(Serialize)]
struct Body<'a, M, T> {
    model: &'a str,
    messages: M,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<T>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Out<'a> {
    role: &'static str,
    content: Option<Said<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Said<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<PartOut<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartOut<'a> {
    Text { text: &'a str },
    ImageUrl { image_url: ImageUrl<'a> },
}

#[derive(Serialize)]
struct ImageUrl<'a> {
    url: &'a str,
}

#[derive(Serialize)]
struct Call<'a> {
    id: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: String,
}

pub(in crate::wire) fn body(prompt: &Prompt<'_>) -> serde_json::Result<Vec<u8>> {
    let system = Some(prompt.system()).filter(|text| !text.is_empty());
    let system = system.map(|text| Out {
        role: "system",
        content: Some(Said::Text(Cow::Borrowed(text))),
        reasoning_content: None,
        tool_calls: Vec::new(),
        tool_call_id: None,
    });
    let tokens = prompt.request.max_output_tokens;
    let tokens = tokens
        .filter(|_| !prompt.overrides("max_tokens") && !prompt.overrides("max_completion_tokens"));
    // OpenAI's newer models refuse `max_tokens`, which is all that other servers know.
    let newer = is_openai(prompt);
    let body = Body {
        model: prompt.model,
        messages: Messages { system, prompt },
        tools: tools::wrapped(prompt),
        stream: true,
        stream_options: StreamOptions {
            include_usage: true,
        },
        temperature: prompt.temperature(),
        max_tokens: tokens.filter(|_| !newer),
        max_completion_tokens: tokens.filter(|_| newer),
        extra: &prompt.lane.extra_body,
    };
    encode::to_vec(&body, prompt.capacity())
}

fn is_openai(prompt: &Prompt<'_>) -> bool {
    match &prompt.lane.base_url {
        None => true,
        Some(url) => url.contains("api.openai.com") || url.contains(".openai.azure.com"),
    }
}

/// The system message, then the history.
struct Messages<'a> {
    system: Option<Out<'a>>,
    prompt: &'a Prompt<'a>,
}

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (prompt, messages) = (self.prompt, &self.prompt.request.messages);
        let loop_start = prompt.loop_start();
        let mut list = serializer.serialize_seq(None)?;
        if let Some(system) = &self.system {
            list.serialize_element(system)?;
        }
        let mut index = 0;
        for block in messages.blocks() {
            if let Some(bytes) = block.written(TAG, |messages| written(messages, prompt)) {
                list.serialize_element(&Written(bytes))?;
                index += block.messages().len();
                continue;
            }
            for message in block.messages() {
                list.serialize_element(&out(message, index >= loop_start, prompt))?;
                index += 1;
            }
        }
        for message in messages.rest() {
            list.serialize_element(&out(message, index >= loop_start, prompt))?;
            index += 1;
        }
        list.end()
    }
}

/// Messages with commas between.
struct Written<'a>(&'a [u8]);

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Messages that are written alike in every request: what a call is named, and whether its reasoning is sent, depends on
/// the rest of it.
fn written(messages: &[Arc<Message>], prompt: &Prompt<'_>) -> Option<Vec<u8>> {
    let is_fixed = |message: &Arc<Message>| message.tool_calls.is_empty();
    if messages.is_empty() || !messages.iter().all(is_fixed) {
        return None;
    }
    let list = List(|| messages.iter().map(|message| out(message, false, prompt)));
    let mut bytes = encode::to_vec(&list, 0).ok()?;
    bytes.pop();
    bytes.remove(0);
    Some(bytes)
}

fn out<'a>(message: &'a Message, in_loop: bool, prompt: &'a Prompt<'_>) -> Out<'a> {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let calls = &message.tool_calls;
    let reasoning = message.reasoning.as_ref().filter(|reasoning| {
        let mut marks = prompt::signatures(Some(*reasoning), TAG);
        in_loop && !calls.is_empty() && marks.any(|(place, _)| place == REASONING_CONTENT)
    });
    Out {
        role,
        content: said(message),
        reasoning_content: reasoning.map(|reasoning| reasoning.text.as_str()),
        tool_calls: calls.iter().map(|one| call(one, prompt)).collect(),
        tool_call_id: message.tool_call_id.as_ref().map(call_id),
    }
}

fn said(message: &Message) -> Option<Said<'_>> {
    match &message.content {
        Content::Text(text) if text.is_empty() && !message.tool_calls.is_empty() => None,
        Content::Text(text) => Some(Said::Text(Cow::Borrowed(text))),
        // Only a user's message may hold images on this wire.
        Content::Parts(parts) if message.role == Role::User => {
            Some(Said::Parts(parts.iter().map(part).collect()))
        }
        Content::Parts(_) => Some(Said::Text(Cow::Owned(message.content.text()))),
    }
}

fn part(part: &Part) -> PartOut<'_> {
    match part {
        Part::Text { text } => PartOut::Text { text },
        Part::Image { url } => PartOut::ImageUrl {
            image_url: ImageUrl { url },
        },
    }
}

fn call<'a>(call: &'a ToolCall, prompt: &'a Prompt<'_>) -> Call<'a> {
    Call {
        id: call_id(&call.id),
        kind: "function",
        function: Function {
            name: prompt.names.told(&call.name),
            arguments: arguments_object(&call.arguments).to_string(),
        },
    }
}
