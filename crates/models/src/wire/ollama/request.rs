//! The body of a request for a chat completion.

use crate::encode;
use crate::prompt::{Prompt, arguments_object, data_url};
use crate::wire::tools;
use domain::message::{Content, Message, Part, Role, ToolCall};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::HashMap;

#[derive(Serialize)]
struct Body<'a, T> {
    model: &'a str,
    messages: Messages<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<T>,
    stream: bool,
    #[serde(skip_serializing_if = "Map::is_empty")]
    options: Map<String, Value>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

#[derive(Serialize)]
struct Out<'a> {
    role: &'static str,
    content: Cow<'a, str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_name: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: Cow<'a, Value>,
}

pub(in crate::wire) fn body(prompt: &Prompt<'_>) -> serde_json::Result<Vec<u8>> {
    let mut extra = prompt.lane.extra_body.clone();
    let mut options = match extra.remove("options") {
        Some(Value::Object(options)) => options,
        _ => Map::new(),
    };
    if let Some(temperature) = prompt.request.temperature {
        options
            .entry("temperature")
            .or_insert_with(|| temperature.into());
    }
    if let Some(tokens) = prompt.request.max_output_tokens {
        options
            .entry("num_predict")
            .or_insert_with(|| tokens.into());
    }
    let body = Body {
        model: prompt.model,
        messages: Messages(prompt, prompt.tools_by_call()),
        tools: tools::wrapped(prompt),
        stream: true,
        options,
        extra,
    };
    encode::to_vec(&body, prompt.capacity())
}

struct Messages<'a>(&'a Prompt<'a>, HashMap<&'a str, &'a str>);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        if !self.0.system().is_empty() {
            list.serialize_element(&Out {
                role: "system",
                content: Cow::Borrowed(self.0.system()),
                images: Vec::new(),
                tool_calls: Vec::new(),
                tool_name: None,
            })?;
        }
        for message in self.0.request.messages.iter() {
            list.serialize_element(&self.out(message))?;
        }
        list.end()
    }
}

impl<'a> Messages<'a> {
    fn out(&'a self, message: &'a Message) -> Out<'a> {
        let role = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        let id = message.tool_call_id.as_ref();
        let known = id.and_then(|id| self.1.get(id.as_str()));
        let (content, images) = said(&message.content);
        Out {
            role,
            content,
            images,
            tool_calls: message
                .tool_calls
                .iter()
                .map(|one| self.call(one))
                .collect(),
            tool_name: known.copied(),
        }
    }

    fn call(&'a self, call: &'a ToolCall) -> Call<'a> {
        Call {
            function: Function {
                name: self.0.names.told(&call.name),
                arguments: arguments_object(&call.arguments),
            },
        }
    }
}

/// Text and images. An image by address is only named: this provider takes bytes, and nothing is fetched here.
fn said(content: &Content) -> (Cow<'_, str>, Vec<&str>) {
    let parts = match content {
        Content::Text(text) => return (Cow::Borrowed(text), Vec::new()),
        Content::Parts(parts) => parts,
    };
    let mut images = Vec::new();
    let mut lines: Vec<Cow<'_, str>> = Vec::new();
    for part in parts {
        match part {
            Part::Text { text } => lines.push(Cow::Borrowed(text)),
            Part::Image { url } => match data_url(url) {
                Some((_, data)) => images.push(data),
                None => lines.push(Cow::Owned(format!("[image: {url}]"))),
            },
        }
    }
    (Cow::Owned(lines.join("\n")), images)
}
