//! The body of a request for a message, with marks up to where the provider may cache it: the tools and the system
//! prompt, and the whole history, which the next turn repeats.

use super::{REDACTED, TAG};
use crate::encode;
use crate::prompt::{self, List, Prompt, Speaker, arguments_object, call_id, data_url};
use domain::message::{Content, Message, Part, Reasoning, Role};
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::ops::Range;

/// Output tokens where nobody set a limit: this wire requires one, and its models allow at least so many.
const MAX_TOKENS: u32 = 16_384;

#[derive(Serialize)]
struct Body<'a, M, T> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: M,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<T>,
    stream: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Map<String, Value>,
}

#[derive(Serialize)]
struct Said<B> {
    role: &'static str,
    content: B,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block<'a> {
    Text {
        text: Cow<'a, str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
    Image {
        source: Source<'a>,
    },
    Thinking {
        thinking: &'a str,
        signature: &'a str,
    },
    RedactedThinking {
        data: &'a str,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Cow<'a, Value>,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: Cow<'a, str>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        cache_control: Option<CacheControl>,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source<'a> {
    Base64 { media_type: &'a str, data: &'a str },
    Url { url: &'a str },
}

#[derive(Serialize, Clone, Copy)]
struct CacheControl {
    #[serde(rename = "type")]
    kind: &'static str,
}

const CACHE: Option<CacheControl> = Some(CacheControl { kind: "ephemeral" });

pub(in crate::wire) fn body(prompt: &Prompt<'_>) -> serde_json::Result<Vec<u8>> {
    let tools = List(|| {
        prompt.request.tools.iter().map(|tool| Tool {
            name: prompt.names.told(&tool.name),
            description: &tool.description,
            input_schema: &tool.input_schema,
        })
    });
    let tokens = prompt.request.max_output_tokens.unwrap_or(MAX_TOKENS);
    let body = Body {
        model: prompt.model,
        max_tokens: Some(tokens).filter(|_| !prompt.overrides("max_tokens")),
        system: system(prompt),
        messages: Messages(prompt),
        tools: Some(tools).filter(|_| prompt.has_tools()),
        stream: true,
        temperature: prompt.temperature(),
        extra: &prompt.lane.extra_body,
    };
    encode::to_vec(&body, prompt.capacity())
}

fn system<'a>(prompt: &'a Prompt<'_>) -> Vec<Block<'a>> {
    let own = Some(Cow::Borrowed(prompt.system()));
    let later = prompt.system_texts().map(Cow::Owned);
    let texts = own
        .into_iter()
        .chain(later)
        .filter(|text| !text.trim().is_empty());
    let mut blocks: Vec<Block<'a>> = texts
        .map(|text| Block::Text {
            text,
            cache_control: None,
        })
        .collect();
    if let Some(Block::Text { cache_control, .. }) = blocks.last_mut() {
        *cache_control = CACHE;
    }
    blocks
}

struct Messages<'a>(&'a Prompt<'a>);

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let turns = self.0.speakers();
        let mut list = serializer.serialize_seq(None)?;
        // The first word must be the user's.
        if matches!(turns.first(), Some((Speaker::Model, _)) | None) {
            list.serialize_element(&Said {
                role: "user",
                content: "(The conversation begins.)",
            })?;
        }
        let last = turns.len().saturating_sub(1);
        for (index, (speaker, range)) in turns.into_iter().enumerate() {
            let role = match speaker {
                Speaker::User => "user",
                Speaker::Model => "assistant",
            };
            let content = Blocks {
                prompt: self.0,
                range,
                cached: index == last,
            };
            list.serialize_element(&Said { role, content })?;
        }
        list.end()
    }
}

/// The blocks of several messages as one; the last may bear the mark of the cache.
struct Blocks<'a> {
    prompt: &'a Prompt<'a>,
    range: Range<usize>,
    cached: bool,
}

impl Serialize for Blocks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        let last = self.range.end - 1;
        let messages = self.prompt.request.messages.range(self.range.clone());
        for (index, message) in self.range.clone().zip(messages) {
            let cache = CACHE.filter(|_| self.cached && index == last);
            match message.role {
                Role::System => {}
                Role::User => said(message, cache, &mut list)?,
                Role::Tool => list.serialize_element(&result(message, cache))?,
                Role::Assistant => {
                    thinking(message.reasoning.as_ref(), &mut list)?;
                    said(message, None, &mut list)?;
                    for call in &message.tool_calls {
                        list.serialize_element(&Block::ToolUse {
                            id: call_id(&call.id),
                            name: self.prompt.names.told(&call.name),
                            input: arguments_object(&call.arguments),
                        })?;
                    }
                }
            }
        }
        list.end()
    }
}

fn result(message: &Message, cache_control: Option<CacheControl>) -> Block<'_> {
    let content = match &message.content {
        Content::Text(text) => Cow::Borrowed(text.as_str()),
        Content::Parts(_) => Cow::Owned(message.content.text()),
    };
    let id = message.tool_call_id.as_ref();
    Block::ToolResult {
        tool_use_id: id.map(call_id).unwrap_or_default(),
        content,
        is_error: message.is_error,
        cache_control,
    }
}

fn said<L: SerializeSeq>(
    message: &Message,
    cache: Option<CacheControl>,
    list: &mut L,
) -> Result<(), L::Error> {
    let parts = match &message.content {
        Content::Text(text) => return words(text, cache, list),
        Content::Parts(parts) => parts,
    };
    let last = parts.len().saturating_sub(1);
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Text { text } => words(text, cache.filter(|_| index == last), list)?,
            Part::Image { url } => {
                let source = match data_url(url) {
                    Some((media_type, data)) => Source::Base64 { media_type, data },
                    None => Source::Url { url },
                };
                list.serialize_element(&Block::Image { source })?;
            }
        }
    }
    Ok(())
}

/// Text that is only white space is refused by this provider.
fn words<L: SerializeSeq>(
    text: &str,
    cache_control: Option<CacheControl>,
    list: &mut L,
) -> Result<(), L::Error> {
    if text.trim().is_empty() {
        return Ok(());
    }
    list.serialize_element(&Block::Text {
        text: Cow::Borrowed(text),
        cache_control,
    })
}

/// The thinking blocks as they came, each with the part of the text that it signs.
fn thinking<L: SerializeSeq>(reasoning: Option<&Reasoning>, list: &mut L) -> Result<(), L::Error> {
    let Some(reasoning) = reasoning else {
        return Ok(());
    };
    let blocks: Vec<(&str, &str)> = prompt::signatures(Some(reasoning), TAG).collect();
    for (index, (place, payload)) in blocks.iter().enumerate() {
        if *place == REDACTED {
            list.serialize_element(&Block::RedactedThinking { data: payload })?;
            continue;
        }
        let start = place.parse().unwrap_or(usize::MAX);
        let mut later = blocks[index + 1..].iter();
        let end = later.find_map(|(place, _)| place.parse().ok());
        let end = end.unwrap_or(reasoning.text.len());
        if let Some(thinking) = reasoning.text.get(start..end)
            && !payload.is_empty()
        {
            list.serialize_element(&Block::Thinking {
                thinking,
                signature: payload,
            })?;
        }
    }
    Ok(())
}
