//! OpenAI chat completions (OpenAI API reference, "Chat completions" and "Streaming events"), with the dialects of the
//! servers that copy it: `reasoning_content` (DeepSeek, llama.cpp, vLLM), `reasoning` (OpenRouter, Ollama), and content
//! as a list of chunks (Mistral).

use crate::answer::{Answer, Stop};
use crate::fault::{self, Detail, Fault};
use crate::json;
use crate::prompt;
use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use std::fmt;

mod request;

pub(super) use request::body;

/// The mark of our signatures. This wire signs nothing; the place says in which field the reasoning came, since the
/// servers that send `reasoning_content` want it back within a loop of calls.
const TAG: &str = "openai-chat";
const REASONING_CONTENT: &str = "reasoning_content";

#[derive(Debug, Default)]
pub(crate) struct Decoder {
    reasoning_content: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<Content>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    refusal: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    reasoning_content: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    reasoning: Option<String>,
    #[serde(default)]
    tool_calls: Option<Vec<ToolDelta>>,
}

enum Content {
    Text(String),
    Chunks(Vec<Value>),
}

/// By hand, since every token passes here and an untagged enum would copy each into a value first.
impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Content;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of parts")
            }

            fn visit_str<E>(self, text: &str) -> Result<Content, E> {
                Ok(Content::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
                let mut chunks = Vec::new();
                while let Some(chunk) = seq.next_element()? {
                    chunks.push(chunk);
                }
                Ok(Content::Chunks(chunks))
            }
        }
        from.deserialize_any(Visit)
    }
}

#[derive(Deserialize)]
struct ToolDelta {
    #[serde(default)]
    index: Option<u64>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    function: Option<FunctionDelta>,
}

#[derive(Deserialize)]
struct FunctionDelta {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<Value>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    /// DeepSeek's word for cached tokens.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl Decoder {
    pub(super) fn frame(&mut self, frame: &[u8], answer: &mut Answer) -> Result<(), Fault> {
        if frame == b"[DONE]" {
            answer.done = true;
            return Ok(());
        }
        let chunk: Chunk = json::read(frame)?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let body = serde_json::json!({ "error": error });
            return Err(fault::of_body(&body).unwrap_or(Fault::Unreadable));
        }
        if let Some(usage) = chunk.usage {
            usage.report(answer);
        }
        // More choices than one are never asked for.
        let Some(choice) = chunk.choices.into_iter().next() else {
            return Ok(());
        };
        if let Some(delta) = choice.delta {
            self.delta(delta, answer)?;
        }
        match choice.finish_reason.as_deref() {
            None => {}
            Some("length") => answer.stop = Some(Stop::Length),
            Some("content_filter") => return Err(Fault::Filtered),
            Some("error") => {
                return Err(Fault::Provider {
                    status: None,
                    wait: None,
                    detail: Detail::default(),
                });
            }
            Some(_) => answer.stop = Some(Stop::End),
        }
        Ok(())
    }

    fn delta(&mut self, delta: Delta, answer: &mut Answer) -> Result<(), Fault> {
        if let Some(reasoning) = delta.reasoning_content.filter(|text| !text.is_empty()) {
            if !self.reasoning_content {
                self.reasoning_content = true;
                answer.signature(prompt::signature(TAG, REASONING_CONTENT, ""))?;
            }
            answer.reasoning(reasoning)?;
        } else if let Some(reasoning) = delta.reasoning {
            answer.reasoning(reasoning)?;
        }
        match delta.content {
            Some(Content::Text(text)) => answer.text(text)?,
            Some(Content::Chunks(chunks)) => content_chunks(&chunks, answer)?,
            None => {}
        }
        if let Some(refusal) = delta.refusal {
            answer.text(refusal)?;
        }
        for call in delta.tool_calls.unwrap_or_default() {
            call.add(answer)?;
        }
        Ok(())
    }
}

/// Mistral: `[{"type":"thinking","thinking":[{"type":"text","text":…}]},{"type":"text","text":…}]`.
fn content_chunks(chunks: &[Value], answer: &mut Answer) -> Result<(), Fault> {
    for chunk in chunks {
        if let Some(text) = chunk["text"].as_str() {
            answer.text(text.to_owned())?;
        }
        for part in chunk["thinking"].as_array().into_iter().flatten() {
            if let Some(text) = part["text"].as_str() {
                answer.reasoning(text.to_owned())?;
            }
        }
    }
    Ok(())
}

impl ToolDelta {
    fn add(self, answer: &mut Answer) -> Result<(), Fault> {
        let id = self.id.unwrap_or_default();
        let (name, arguments) = match self.function {
            Some(function) => (function.name.unwrap_or_default(), function.arguments),
            None => (String::new(), None),
        };
        // Some servers send no index: a name begins a call then, anything else goes on with the last.
        let next = answer.call_count() as u64;
        let key = self.index.unwrap_or_else(|| {
            if name.is_empty() {
                answer.last_key().unwrap_or(next)
            } else {
                next
            }
        });
        match arguments {
            Some(Value::String(text)) => answer.call(key, &id, &name, &text),
            None | Some(Value::Null) => answer.call(key, &id, &name, ""),
            Some(value) => answer.call(key, &id, &name, &value.to_string()),
        }
    }
}

impl Usage {
    fn report(self, answer: &mut Answer) {
        let cached = self
            .prompt_tokens_details
            .and_then(|details| details.cached_tokens);
        let reported = &mut answer.reported;
        reported.input = self.prompt_tokens.or(reported.input);
        reported.output = self.completion_tokens.or(reported.output);
        reported.cached = cached
            .or(self.prompt_cache_hit_tokens)
            .unwrap_or(reported.cached);
    }
}
