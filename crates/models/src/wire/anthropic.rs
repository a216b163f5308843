//! Anthropic messages (Anthropic API reference, "Messages" and "Streaming messages", version 2023-06-01).

use crate::answer::{Answer, Stop};
use crate::fault::{self, Fault};
use crate::json;
use crate::prompt;
use serde::Deserialize;
use serde_json::Value;

mod request;

pub(super) use request::body;

/// The mark of our signatures. The place is the byte where the block's thinking begins in the reasoning's text, or
/// [`REDACTED`] for a block that is only its payload.
const TAG: &str = "anthropic";
const REDACTED: &str = "redacted";

#[derive(Debug, Default)]
pub(crate) struct Decoder {
    reasoning_bytes: usize,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: Kind,
    #[serde(default)]
    index: u64,
    #[serde(default)]
    message: Option<Head>,
    #[serde(default)]
    content_block: Option<Block>,
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum Kind {
    MessageStart,
    ContentBlockStart,
    ContentBlockDelta,
    MessageDelta,
    MessageStop,
    Error,
    #[default]
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    usage: Option<Usage>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default, deserialize_with = "json::text_if_text")]
    name: Option<String>,
    #[serde(default)]
    input: Option<Value>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    text: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    thinking: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    signature: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    data: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default, deserialize_with = "json::text_if_text")]
    text: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    thinking: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    signature: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    partial_json: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    stop_reason: Option<String>,
}

/// Input tokens without the cached ones; the counts of `message_delta` are totals so far.
#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    cache_read_input_tokens: Option<u64>,
    #[serde(default)]
    cache_creation_input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
}

impl Decoder {
    pub(super) fn frame(&mut self, frame: &[u8], answer: &mut Answer) -> Result<(), Fault> {
        let event: Event = json::read(frame)?;
        match event.kind {
            Kind::MessageStart => {
                if let Some(usage) = event.message.and_then(|head| head.usage) {
                    usage.report(answer);
                    // What it says of the output is a beginning, not a count.
                    answer.reported.output = None;
                }
                Ok(())
            }
            Kind::ContentBlockStart => match event.content_block {
                Some(block) => self.block(event.index, block, answer),
                None => Ok(()),
            },
            Kind::ContentBlockDelta => match event.delta {
                Some(delta) => self.delta(event.index, delta, answer),
                None => Ok(()),
            },
            Kind::MessageDelta => {
                if let Some(usage) = event.usage {
                    usage.report(answer);
                }
                let reason = event.delta.and_then(|delta| delta.stop_reason);
                stop(reason.as_deref(), answer)
            }
            Kind::MessageStop => {
                answer.done = true;
                Ok(())
            }
            Kind::Error => {
                let body = serde_json::json!({ "type": "error", "error": event.error });
                Err(fault::of_body(&body).unwrap_or(Fault::Unreadable))
            }
            Kind::Other => Ok(()),
        }
    }

    fn block(&mut self, index: u64, block: Block, answer: &mut Answer) -> Result<(), Fault> {
        match block.kind.as_str() {
            "text" => answer.text(block.text.unwrap_or_default()),
            "tool_use" => {
                let input = block.input.filter(|input| {
                    let fields = input.as_object();
                    fields.is_some_and(|fields| !fields.is_empty())
                });
                let input = input.map(|input| input.to_string()).unwrap_or_default();
                answer.call(index, "", &block.name.unwrap_or_default(), &input)
            }
            "thinking" => {
                let start = self.reasoning_bytes.to_string();
                let signature = block.signature.unwrap_or_default();
                answer.signature(prompt::signature(TAG, &start, &signature))?;
                self.reasoning(block.thinking.unwrap_or_default(), answer)
            }
            "redacted_thinking" => {
                let data = block.data.unwrap_or_default();
                answer.signature(prompt::signature(TAG, REDACTED, &data))
            }
            _ => Ok(()),
        }
    }

    fn delta(&mut self, index: u64, delta: Delta, answer: &mut Answer) -> Result<(), Fault> {
        if let Some(text) = delta.text {
            answer.text(text)?;
        }
        if let Some(json) = delta.partial_json {
            answer.call_more(index, &json)?;
        }
        if let Some(thinking) = delta.thinking {
            self.reasoning(thinking, answer)?;
        }
        if let Some(signature) = delta.signature {
            answer.extend_signature(&signature)?;
        }
        Ok(())
    }

    fn reasoning(&mut self, text: String, answer: &mut Answer) -> Result<(), Fault> {
        self.reasoning_bytes += text.len();
        answer.reasoning(text)
    }
}

fn stop(reason: Option<&str>, answer: &mut Answer) -> Result<(), Fault> {
    match reason {
        None => Ok(()),
        Some("max_tokens" | "model_context_window_exceeded") => {
            answer.stop = Some(Stop::Length);
            Ok(())
        }
        Some("refusal") => Err(Fault::Filtered),
        Some(_) => {
            answer.stop = Some(Stop::End);
            Ok(())
        }
    }
}

impl Usage {
    fn report(self, answer: &mut Answer) {
        let reported = &mut answer.reported;
        if let Some(plain) = self.input_tokens {
            reported.cached = self.cache_read_input_tokens.unwrap_or_default();
            reported.cache_written = self.cache_creation_input_tokens.unwrap_or_default();
            reported.input = Some(plain + reported.cached + reported.cache_written);
        }
        reported.output = self.output_tokens.or(reported.output);
    }
}
