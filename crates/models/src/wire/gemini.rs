//! Gemini (Gemini API reference, `models.streamGenerateContent`, v1beta). This wire has no end marker of its own: the
//! last chunk is the one with a finish reason, and a stream without it was cut.

use crate::answer::{Answer, Stop};
use crate::fault::{self, Fault};
use crate::json;
use crate::prompt;
use serde::Deserialize;
use serde_json::Value;

mod request;

pub(super) use request::body;

/// The mark of our signatures. The place is the index of the call that the signature stands on, or [`ON_TEXT`].
const TAG: &str = "gemini";
const ON_TEXT: &str = "text";

#[derive(Debug, Default)]
pub(crate) struct Decoder;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    #[serde(default)]
    candidates: Vec<Candidate>,
    #[serde(default)]
    prompt_feedback: Option<Feedback>,
    #[serde(default)]
    usage_metadata: Option<Usage>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    #[serde(default)]
    content: Option<Content>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    #[serde(default)]
    thought_signature: Option<String>,
    #[serde(default)]
    function_call: Option<Call>,
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    name: String,
    #[serde(default)]
    args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    #[serde(default)]
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Usage {
    #[serde(default)]
    prompt_token_count: Option<u64>,
    #[serde(default)]
    candidates_token_count: Option<u64>,
    #[serde(default)]
    thoughts_token_count: Option<u64>,
    #[serde(default)]
    cached_content_token_count: Option<u64>,
    #[serde(default)]
    tool_use_prompt_token_count: Option<u64>,
}

impl Decoder {
    pub(super) fn frame(&mut self, frame: &[u8], answer: &mut Answer) -> Result<(), Fault> {
        let chunk: Chunk = json::read(frame)?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            let body = serde_json::json!({ "error": error });
            return Err(fault::of_body(&body).unwrap_or(Fault::Unreadable));
        }
        let blocked = chunk
            .prompt_feedback
            .and_then(|feedback| feedback.block_reason);
        if blocked.is_some() {
            return Err(Fault::Filtered);
        }
        if let Some(usage) = chunk.usage_metadata {
            usage.report(answer);
        }
        let Some(candidate) = chunk.candidates.into_iter().next() else {
            return Ok(());
        };
        for part in candidate.content.into_iter().flat_map(|one| one.parts) {
            part.add(answer)?;
        }
        match candidate.finish_reason.as_deref() {
            None | Some("" | "FINISH_REASON_UNSPECIFIED") => return Ok(()),
            Some("STOP") => answer.stop = Some(Stop::End),
            Some("MAX_TOKENS") => answer.stop = Some(Stop::Length),
            Some("MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL") => {
                return Err(Fault::MalformedCall);
            }
            // SAFETY, RECITATION, BLOCKLIST, PROHIBITED_CONTENT, SPII, LANGUAGE, OTHER and those to come.
            Some(_) => return Err(Fault::Filtered),
        }
        answer.done = true;
        Ok(())
    }
}

impl Part {
    fn add(self, answer: &mut Answer) -> Result<(), Fault> {
        if let Some(signature) = &self.thought_signature {
            let place = match &self.function_call {
                Some(_) => answer.call_count().to_string(),
                None => ON_TEXT.to_owned(),
            };
            answer.signature(prompt::signature(TAG, &place, signature))?;
        }
        match (self.text, self.thought) {
            (Some(text), true) => answer.reasoning(text)?,
            (Some(text), false) => answer.text(text)?,
            (None, _) => {}
        }
        if let Some(call) = self.function_call {
            let arguments = match call.args {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text,
                Some(args) => args.to_string(),
            };
            answer.call(answer.call_count() as u64, "", &call.name, &arguments)?;
        }
        Ok(())
    }
}

impl Usage {
    fn report(self, answer: &mut Answer) {
        let reported = &mut answer.reported;
        if let Some(prompt) = self.prompt_token_count {
            reported.input = Some(prompt + self.tool_use_prompt_token_count.unwrap_or_default());
        }
        let said = self.candidates_token_count;
        if said.is_some() || self.thoughts_token_count.is_some() {
            let thought = self.thoughts_token_count.unwrap_or_default();
            reported.output = Some(said.unwrap_or_default() + thought);
        }
        reported.cached = self.cached_content_token_count.unwrap_or(reported.cached);
    }
}
