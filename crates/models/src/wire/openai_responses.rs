//! OpenAI Responses (OpenAI API reference, "Responses" and "Streaming events"), used without the provider keeping
//! anything: the history is ours.

use crate::answer::{Answer, Stop};
use crate::fault::{self, Detail, Fault};
use crate::json;
use crate::prompt;
use serde::Deserialize;
use serde_json::Value;

mod request;

pub(super) use request::body;

/// The mark of our signatures; the place is the reasoning item's id, the payload its encrypted content.
const TAG: &str = "openai-responses";

#[derive(Debug, Default)]
pub(crate) struct Decoder {
    reasoned: bool,
}

/// The fields of all events that matter, in one: the kind decides which are read.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type", default)]
    kind: Kind,
    #[serde(default)]
    output_index: Option<u64>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    delta: Option<String>,
    #[serde(default)]
    item: Option<Item>,
    #[serde(default)]
    response: Option<Response>,
    #[serde(default)]
    error: Option<Value>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    code: Option<String>,
    #[serde(default, deserialize_with = "json::text_if_text")]
    message: Option<String>,
}

#[derive(Deserialize, Default, Clone, Copy)]
enum Kind {
    #[serde(
        rename = "response.output_text.delta",
        alias = "response.refusal.delta"
    )]
    Text,
    #[serde(
        rename = "response.reasoning_text.delta",
        alias = "response.reasoning_summary_text.delta"
    )]
    Reasoning,
    #[serde(rename = "response.reasoning_summary_part.added")]
    ReasoningPart,
    #[serde(rename = "response.output_item.added")]
    ItemAdded,
    #[serde(rename = "response.output_item.done")]
    ItemDone,
    #[serde(rename = "response.function_call_arguments.delta")]
    Arguments,
    #[serde(rename = "response.completed")]
    Completed,
    #[serde(rename = "response.incomplete")]
    Incomplete,
    #[serde(rename = "response.failed", alias = "response.cancelled")]
    Failed,
    #[serde(rename = "error")]
    Error,
    #[default]
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    encrypted_content: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    usage: Option<Usage>,
    #[serde(default)]
    incomplete_details: Option<Incomplete>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Incomplete {
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    input_tokens: Option<u64>,
    #[serde(default)]
    output_tokens: Option<u64>,
    #[serde(default)]
    input_tokens_details: Option<InputDetails>,
}

#[derive(Deserialize)]
struct InputDetails {
    #[serde(default)]
    cached_tokens: Option<u64>,
}

impl Decoder {
    pub(super) fn frame(&mut self, frame: &[u8], answer: &mut Answer) -> Result<(), Fault> {
        // Copies of this API end with it; it says nothing that `response.completed` does not.
        if frame == b"[DONE]" {
            return Ok(());
        }
        let event: Event = json::read(frame)?;
        match event.kind {
            Kind::Text => answer.text(event.delta.unwrap_or_default()),
            Kind::Reasoning => {
                self.reasoned = true;
                answer.reasoning(event.delta.unwrap_or_default())
            }
            Kind::ReasoningPart if self.reasoned => answer.reasoning("\n\n".to_owned()),
            Kind::ReasoningPart | Kind::Other => Ok(()),
            Kind::ItemAdded => item_added(event, answer),
            Kind::ItemDone => item_done(event, answer),
            Kind::Arguments => match event.output_index {
                Some(key) => answer.call_more(key, &event.delta.unwrap_or_default()),
                None => answer.call_more_of_last(&event.delta.unwrap_or_default()),
            },
            Kind::Completed => {
                answer.stop = Some(Stop::End);
                answer.done = true;
                report(event.response, answer);
                Ok(())
            }
            Kind::Incomplete => incomplete(event.response, answer),
            Kind::Failed | Kind::Error => Err(failed(event)),
        }
    }
}

fn item_added(event: Event, answer: &mut Answer) -> Result<(), Fault> {
    let Some(item) = event.item.filter(|item| item.kind == "function_call") else {
        return Ok(());
    };
    let key = event
        .output_index
        .unwrap_or_else(|| answer.call_count() as u64);
    answer.call(key, "", &item.name.unwrap_or_default(), "")
}

fn item_done(event: Event, answer: &mut Answer) -> Result<(), Fault> {
    let Some(item) = event.item else {
        return Ok(());
    };
    match (item.kind.as_str(), item.encrypted_content) {
        ("reasoning", Some(encrypted)) if !encrypted.is_empty() => {
            let id = item.id.unwrap_or_default();
            answer.signature(prompt::signature(TAG, &id, &encrypted))
        }
        ("function_call", _) => {
            let last = answer.last_key();
            let key = event.output_index.or(last).unwrap_or_default();
            let name = item.name.unwrap_or_default();
            answer.call_whole(key, &name, &item.arguments.unwrap_or_default())
        }
        _ => Ok(()),
    }
}

fn incomplete(response: Option<Response>, answer: &mut Answer) -> Result<(), Fault> {
    let details = response
        .as_ref()
        .and_then(|response| response.incomplete_details.as_ref());
    let reason = details.and_then(|details| details.reason.as_deref());
    if reason == Some("content_filter") {
        return Err(Fault::Filtered);
    }
    answer.stop = Some(Stop::Length);
    answer.done = true;
    report(response, answer);
    Ok(())
}

fn report(response: Option<Response>, answer: &mut Answer) {
    let Some(usage) = response.and_then(|response| response.usage) else {
        return;
    };
    answer.reported.input = usage.input_tokens;
    answer.reported.output = usage.output_tokens;
    let details = usage.input_tokens_details;
    answer.reported.cached = details
        .and_then(|details| details.cached_tokens)
        .unwrap_or_default();
}

fn failed(event: Event) -> Fault {
    let nested = event.response.and_then(|response| response.error);
    let error = nested
        .or(event.error)
        .unwrap_or_else(|| serde_json::json!({ "code": event.code, "message": event.message }));
    let unknown = Fault::Provider {
        status: None,
        wait: None,
        detail: Detail::default(),
    };
    fault::of_body(&serde_json::json!({ "error": error })).unwrap_or(unknown)
}
