//! The body of a request for a response.

use super::TAG;
use crate::encode;
use crate::prompt::{self, Prompt, arguments_object, call_id};
use crate::wire::tools;
use domain::message::{Content, Message, Part, Role};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;

#[derive(Serialize)]
struct Body<'a, T> {
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    input: Input<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<T>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<bool>,
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    include: &'a [&'a str],
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u32>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

/// An item with a type; messages have none.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item<'a> {
    Reasoning {
        id: &'a str,
        summary: [(); 0],
        encrypted_content: &'a str,
    },
    FunctionCall {
        call_id: Cow<'a, str>,
        name: &'a str,
        arguments: String,
    },
    FunctionCallOutput {
        call_id: Cow<'a, str>,
        output: Cow<'a, str>,
    },
}

#[derive(Serialize)]
struct Said<'a> {
    role: &'static str,
    content: Words<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Words<'a> {
    Text(Cow<'a, str>),
    Parts(Vec<PartOut<'a>>),
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PartOut<'a> {
    InputText { text: &'a str },
    InputImage { image_url: &'a str },
}

struct Input<'a>(&'a Prompt<'a>);

pub(in crate::wire) fn body(prompt: &Prompt<'_>) -> serde_json::Result<Vec<u8>> {
    // Models that do not reason refuse to be asked for encrypted reasoning.
    let wants_reasoning = reasons(prompt.model) && !prompt.overrides("include");
    let include: &[&str] = if wants_reasoning {
        &["reasoning.encrypted_content"]
    } else {
        &[]
    };
    let tokens = prompt.request.max_output_tokens;
    let body = Body {
        model: prompt.model,
        instructions: prompt.system(),
        input: Input(prompt),
        tools: tools::flat(prompt),
        stream: true,
        store: Some(false).filter(|_| !prompt.overrides("store")),
        include,
        temperature: prompt.temperature(),
        max_output_tokens: tokens.filter(|_| !prompt.overrides("max_output_tokens")),
        extra: &prompt.lane.extra_body,
    };
    encode::to_vec(&body, prompt.capacity())
}

/// OpenAI's models that reason, by their names: `o1`, `o3-mini`, `gpt-5` and later, but not their chat variants.
fn reasons(model: &str) -> bool {
    let number = |text: &str| {
        let digits = text.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse::<u32>().ok())
    };
    let o_series = model.strip_prefix('o').and_then(number).is_some();
    let gpt = model.strip_prefix("gpt-").and_then(number);
    (o_series || gpt.is_some_and(|version| version >= 5)) && !model.contains("chat")
}

impl Serialize for Input<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for message in self.0.request.messages.iter() {
            match message.role {
                Role::System => list.serialize_element(&said("system", message))?,
                Role::User => list.serialize_element(&said("user", message))?,
                Role::Assistant => self.assistant(message, &mut list)?,
                Role::Tool => {
                    let id = message.tool_call_id.as_ref();
                    list.serialize_element(&Item::FunctionCallOutput {
                        call_id: id.map(call_id).unwrap_or_default(),
                        output: text(message),
                    })?;
                }
            }
        }
        list.end()
    }
}

impl Input<'_> {
    fn assistant<L: SerializeSeq>(&self, message: &Message, list: &mut L) -> Result<(), L::Error> {
        let mut follows = !message.tool_calls.is_empty();
        let says = text(message);
        follows |= !says.is_empty();
        // A reasoning item must be followed by what it led to.
        if follows {
            for (id, encrypted_content) in prompt::signatures(message.reasoning.as_ref(), TAG) {
                list.serialize_element(&Item::Reasoning {
                    id,
                    summary: [],
                    encrypted_content,
                })?;
            }
        }
        if !says.is_empty() {
            list.serialize_element(&Said {
                role: "assistant",
                content: Words::Text(says),
            })?;
        }
        for call in &message.tool_calls {
            list.serialize_element(&Item::FunctionCall {
                call_id: call_id(&call.id),
                name: self.0.names.told(&call.name),
                arguments: arguments_object(&call.arguments).to_string(),
            })?;
        }
        Ok(())
    }
}

fn text(message: &Message) -> Cow<'_, str> {
    match &message.content {
        Content::Text(text) => Cow::Borrowed(text),
        Content::Parts(_) => Cow::Owned(message.content.text()),
    }
}

fn said<'a>(role: &'static str, message: &'a Message) -> Said<'a> {
    let content = match &message.content {
        Content::Parts(parts) if message.role == Role::User => {
            Words::Parts(parts.iter().map(part).collect())
        }
        Content::Parts(_) | Content::Text(_) => Words::Text(text(message)),
    };
    Said { role, content }
}

fn part(part: &Part) -> PartOut<'_> {
    match part {
        Part::Text { text } => PartOut::InputText { text },
        Part::Image { url } => PartOut::InputImage { image_url: url },
    }
}
