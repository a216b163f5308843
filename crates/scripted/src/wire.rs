//! The wires of model providers: which path belongs to which, and how a reply looks on each.

use serde::{Deserialize, Serialize};

use crate::{Echo, ErrorKind, ErrorReply, Finish, Flood, Part, Reply, Request, StreamError, Usage};

mod anthropic;
mod blocks;
mod errors;
mod frames;
mod gemini;
mod lists;
mod ollama;
mod openai_chat;
mod openai_responses;

pub(crate) use blocks::{Answer, Block, Piece};
pub(crate) use frames::{FloodFrame, Frame, Frames, Kind, place_after_chunks};
pub(crate) use lists::list_answer;

/// Stands in rendered bytes for the 16 hexadecimal digits that tell one answer from another.
pub(crate) const ID_MARKER: &str = "SCRIPTEDIDMARKER";

/// The time that every answer claims to be made at, in Unix seconds: fixed, so that answers are the
/// same on each run.
pub(crate) const CREATED: u64 = 1_750_000_000;

/// A wire of a model provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wire {
    /// OpenAI chat completions, `POST …/chat/completions`.
    OpenaiChat,
    /// OpenAI Responses, `POST …/responses`.
    OpenaiResponses,
    /// Anthropic messages, `POST …/messages`.
    Anthropic,
    /// Gemini, `POST …/models/{model}:generateContent` and `:streamGenerateContent`.
    Gemini,
    /// Ollama's own API, `POST …/api/chat`.
    Ollama,
}

impl Wire {
    /// Every wire.
    pub const ALL: [Self; 5] = [
        Self::OpenaiChat,
        Self::OpenaiResponses,
        Self::Anthropic,
        Self::Gemini,
        Self::Ollama,
    ];

    /// The wire that a `POST` to this path speaks; whatever stands before the provider's own path
    /// is ignored.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or(path).trim_end_matches('/');
        if path.ends_with("/chat/completions") {
            Some(Self::OpenaiChat)
        } else if path.ends_with("/responses") {
            Some(Self::OpenaiResponses)
        } else if path.ends_with("/messages") {
            Some(Self::Anthropic)
        } else if path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent") {
            Some(Self::Gemini)
        } else if path.ends_with("/api/chat") {
            Some(Self::Ollama)
        } else {
            None
        }
    }

    /// The path to ask for an answer of `model` on this wire.
    #[must_use]
    pub fn path(self, model: &str, stream: bool) -> String {
        match self {
            Self::OpenaiChat => "/v1/chat/completions".to_owned(),
            Self::OpenaiResponses => "/v1/responses".to_owned(),
            Self::Anthropic => "/v1/messages".to_owned(),
            Self::Gemini if stream => {
                format!("/v1beta/models/{model}:streamGenerateContent?alt=sse")
            }
            Self::Gemini => format!("/v1beta/models/{model}:generateContent"),
            Self::Ollama => "/api/chat".to_owned(),
        }
    }
}

/// The model that Gemini's path names.
pub(crate) fn model_of_path(path: &str) -> Option<&str> {
    let after = path.split("/models/").nth(1)?;
    after.split(':').next()
}

/// What of a request shapes the form of the answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub wire: Wire,
    pub model: &'a str,
    pub stream: bool,
    /// OpenAI chat's `stream_options.include_usage`.
    pub include_usage: bool,
    /// The whole request, where a reply reads it.
    pub request: Option<&'a Request>,
}

/// An answer in the form of its wire, before faults and HTTP framing.
#[derive(Debug, Clone)]
pub(crate) struct Rendered {
    pub status: u16,
    pub content_type: String,
    pub headers: Vec<(String, String)>,
    /// Streamed in chunks, or whole with its length.
    pub streamed: bool,
    pub frames: Vec<Frame>,
}

/// Renders a reply on the wire of the request.
pub(crate) fn render(reply: &Reply, ask: &Ask<'_>) -> Rendered {
    if let Some(raw) = &reply.raw {
        let body = match &raw.body {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        return whole(raw.status, &raw.content_type, reply.headers.clone(), body);
    }
    if let Some(error) = &reply.error {
        return errors::render(error, ask, reply.headers.clone());
    }
    let answer = Answer::of(reply, ask);
    let mut headers = request_id_header(ask.wire);
    headers.extend(reply.headers.iter().cloned());
    let mut rendered = if ask.stream {
        let mut frames = Frames::default();
        match ask.wire {
            Wire::OpenaiChat => openai_chat::stream(&answer, ask, &mut frames),
            Wire::OpenaiResponses => openai_responses::stream(&answer, ask, &mut frames),
            Wire::Anthropic => anthropic::stream(&answer, ask, &mut frames),
            Wire::Gemini => gemini::stream(&answer, ask, &mut frames),
            Wire::Ollama => ollama::stream(&answer, ask, &mut frames),
        }
        headers.push(("cache-control".to_owned(), "no-cache".to_owned()));
        let content_type = match ask.wire {
            Wire::Ollama => "application/x-ndjson",
            Wire::Gemini => "text/event-stream",
            _ => "text/event-stream; charset=utf-8",
        };
        Rendered {
            status: 200,
            content_type: content_type.to_owned(),
            headers,
            streamed: true,
            frames: frames.into_list(),
        }
    } else {
        let body = match ask.wire {
            Wire::OpenaiChat => openai_chat::whole(&answer, ask),
            Wire::OpenaiResponses => openai_responses::whole(&answer, ask),
            Wire::Anthropic => anthropic::whole(&answer, ask),
            Wire::Gemini => gemini::whole(&answer, ask),
            Wire::Ollama => ollama::whole(&answer, ask),
        };
        let mut rendered = whole(200, "application/json", headers, body);
        let holds = answer.holds().map(|gate| Frame::Hold(gate.to_owned()));
        rendered.frames.splice(0..0, holds);
        rendered
    };
    answer.put_bytes(&mut rendered.frames);
    if let Some(error) = &reply.faults.stream_error {
        put_error(&mut rendered.frames, error, ask);
    }
    rendered
}

/// Ends the stream with an error after so many chunks. An answer that is not streamed becomes the
/// error, still with status 200, as some gateways answer.
fn put_error(frames: &mut Vec<Frame>, error: &StreamError, ask: &Ask<'_>) {
    let chunks = if ask.stream { error.after_chunks } else { 0 };
    frames.truncate(frames::place_after_chunks(frames, chunks));
    let text = errors::stream_event(error, ask, frames::event_count(frames));
    frames.push(Frame::Bytes {
        kind: Kind::Structure,
        bytes: text.into_bytes(),
    });
}

fn whole(
    status: u16,
    content_type: &str,
    headers: Vec<(String, String)>,
    body: String,
) -> Rendered {
    let content_type = content_type.to_owned();
    let frames = vec![Frame::Bytes {
        kind: Kind::Delta,
        bytes: body.into_bytes(),
    }];
    Rendered {
        status,
        content_type,
        headers,
        streamed: false,
        frames,
    }
}

/// The header in which a provider names the request.
fn request_id_header(wire: Wire) -> Vec<(String, String)> {
    let name = match wire {
        Wire::OpenaiChat | Wire::OpenaiResponses => "x-request-id",
        Wire::Anthropic => "request-id",
        Wire::Gemini | Wire::Ollama => return Vec::new(),
    };
    vec![(name.to_owned(), format!("req_{ID_MARKER}"))]
}

/// A text as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Arguments on a wire that carries them as a value: the value, or the text as a JSON string where
/// it is not JSON.
pub(crate) fn value_or_text(arguments: &str) -> String {
    match serde_json::from_str::<serde::de::IgnoredAny>(arguments) {
        Ok(_) => arguments.to_owned(),
        Err(_) => quoted(arguments),
    }
}
