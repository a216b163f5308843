//! The wires: how a prompt is written for each provider and how its stream is read. They know nothing of lanes' health,
//! retries or time.
//!
//! They are written here rather than taken from a client library. The library that was tried, `genai` 0.7.2, was run
//! against a server that misbehaves, and fails below its wires, in the transport that all of them share: a line without
//! an end is kept without limit and copied whole at each read (64 MB of it was not read within a minute of computing), an
//! error's body is kept without limit (256 MB sent, 1 GB held), and errors are logged with the provider's text in them.
//! On Gemini's, Ollama's and the Responses wire a stream that was cut ends as if it were whole, with no way to tell.
//! Tool arguments are copied whole for each fragment (1 MB in fragments of 16 bytes: 2.7 s), and a call's index is
//! trusted as a length.

use crate::answer::Answer;
use crate::config::{ConfigError, LaneConfig, Wire};
use crate::fault::Fault;
use crate::frames::Framing;
use crate::prompt::Prompt;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use url::Url;

mod anthropic;
mod gemini;
mod ollama;
mod openai_chat;
mod openai_responses;
mod tools;

/// Reads one stream.
#[derive(Debug)]
pub(crate) enum Decoder {
    OpenaiChat(openai_chat::Decoder),
    OpenaiResponses(openai_responses::Decoder),
    Anthropic(anthropic::Decoder),
    Gemini(gemini::Decoder),
    Ollama(ollama::Decoder),
}

impl Decoder {
    /// `None` for the offline wire, which has no stream.
    pub(crate) fn new(wire: Wire) -> Option<Self> {
        Some(match wire {
            Wire::OpenaiChat => Self::OpenaiChat(openai_chat::Decoder::default()),
            Wire::OpenaiResponses => Self::OpenaiResponses(openai_responses::Decoder::default()),
            Wire::Anthropic => Self::Anthropic(anthropic::Decoder::default()),
            Wire::Gemini => Self::Gemini(gemini::Decoder),
            Wire::Ollama => Self::Ollama(ollama::Decoder),
            Wire::Offline => return None,
        })
    }

    /// Adds what a frame says to the answer.
    pub(crate) fn frame(&mut self, frame: &[u8], answer: &mut Answer) -> Result<(), Fault> {
        match self {
            Self::OpenaiChat(decoder) => decoder.frame(frame, answer),
            Self::OpenaiResponses(decoder) => decoder.frame(frame, answer),
            Self::Anthropic(decoder) => decoder.frame(frame, answer),
            Self::Gemini(decoder) => decoder.frame(frame, answer),
            Self::Ollama(decoder) => decoder.frame(frame, answer),
        }
    }
}

impl Wire {
    pub(crate) fn framing(self) -> Framing {
        match self {
            Self::Ollama => Framing::Lines,
            Self::OpenaiChat
            | Self::OpenaiResponses
            | Self::Anthropic
            | Self::Gemini
            | Self::Offline => Framing::Sse,
        }
    }

    /// The body of a request for a streamed answer.
    pub(crate) fn body(self, prompt: &Prompt<'_>) -> Result<Vec<u8>, Fault> {
        let body = match self {
            Self::OpenaiChat => openai_chat::body(prompt),
            Self::OpenaiResponses => openai_responses::body(prompt),
            Self::Anthropic => anthropic::body(prompt),
            Self::Gemini => gemini::body(prompt),
            Self::Ollama => ollama::body(prompt),
            Self::Offline => return Err(Fault::Unusable),
        };
        body.map_err(|_| Fault::Unusable)
    }

    /// Where a request for an answer of `model` goes.
    pub(crate) fn answer_url(self, base: &Url, model: &str) -> Url {
        match self {
            Self::OpenaiChat | Self::Offline => under(base, &["chat", "completions"]),
            Self::OpenaiResponses => under(base, &["responses"]),
            Self::Anthropic => under_version(base, "v1", &["messages"]),
            Self::Gemini => {
                let call = format!("{model}:streamGenerateContent");
                let mut url = under_version(base, "v1beta", &["models", &call]);
                url.set_query(Some("alt=sse"));
                url
            }
            Self::Ollama => under(base, &["api", "chat"]),
        }
    }

    /// Where the provider lists its models.
    pub(crate) fn models_url(self, base: &Url) -> Url {
        match self {
            Self::OpenaiChat | Self::OpenaiResponses | Self::Offline => under(base, &["models"]),
            Self::Anthropic => under_version(base, "v1", &["models"]),
            Self::Gemini => under_version(base, "v1beta", &["models"]),
            Self::Ollama => under(base, &["api", "tags"]),
        }
    }

    /// The headers that show the key, marked so that no library prints it.
    pub(crate) fn headers(self, lane: &LaneConfig) -> Result<HeaderMap, ConfigError> {
        let mut headers = HeaderMap::new();
        if self == Self::Anthropic {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        let Some(key) = &lane.api_key else {
            return Ok(headers);
        };
        let key = key.expose_secret();
        let (name, text) = match self {
            Self::OpenaiChat | Self::OpenaiResponses | Self::Ollama | Self::Offline => {
                (AUTHORIZATION, format!("Bearer {key}"))
            }
            Self::Anthropic => (HeaderName::from_static("x-api-key"), key.to_owned()),
            Self::Gemini => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
        };
        let mut value = HeaderValue::from_str(&text).map_err(|_| ConfigError::Key {
            lane: lane.name.clone(),
        })?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(headers)
    }
}

/// `base` with more segments, percent-encoded. The base keeps its own path.
fn under(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty();
        for segment in segments {
            // A model's name may have a slash, which stands for itself.
            path.extend(segment.split('/'));
        }
    }
    url
}

/// As `under`, but with the API's version first unless the base has one: both spellings are in use.
fn under_version(base: &Url, version: &str, segments: &[&str]) -> Url {
    let last = base.path_segments().and_then(|mut path| path.next_back());
    let has_version = last.is_some_and(|last| {
        let digits = last.strip_prefix('v').unwrap_or_default();
        digits.starts_with(|c: char| c.is_ascii_digit())
    });
    if has_version {
        return under(base, segments);
    }
    under(&under(base, &[version]), segments)
}

#[cfg(test)]
mod tests;
