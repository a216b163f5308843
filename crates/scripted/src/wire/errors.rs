//! The errors of each provider in its own words: status, body, and the shape inside a stream.

use super::{
    Ask, CREATED, ErrorKind, ErrorReply, Frame, ID_MARKER, Kind, Rendered, StreamError, Wire,
    quoted, request_id_header,
};

/// An error as one provider words it.
struct Words {
    status: u16,
    /// `type` with OpenAI and Anthropic, `status` with Gemini; Ollama has none.
    class: &'static str,
    /// `code` with OpenAI, as JSON.
    code: &'static str,
    message: String,
}

/// Renders an error in place of an answer.
pub(super) fn render(
    error: &ErrorReply,
    ask: &Ask<'_>,
    more_headers: Vec<(String, String)>,
) -> Rendered {
    let mut words = words(error.kind, ask);
    if let Some(status) = error.status {
        words.status = status;
    }
    if let Some(message) = &error.message {
        words.message.clone_from(message);
    }
    if error.echo_credentials {
        words.message.push_str(&credentials(ask));
    }
    let mut headers = request_id_header(ask.wire);
    if let Some(wait) = &error.retry_after {
        headers.push(("retry-after".to_owned(), wait.clone()));
    }
    headers.extend(more_headers);
    Rendered {
        status: words.status,
        content_type: "application/json".to_owned(),
        headers,
        streamed: false,
        frames: vec![Frame::Bytes {
            kind: Kind::Delta,
            bytes: body(&words, ask).into_bytes(),
        }],
    }
}

/// The event of an error inside a stream.
pub(super) fn stream_event(error: &StreamError, ask: &Ask<'_>, sequence: u64) -> String {
    let mut words = words(error.kind, ask);
    if let Some(message) = &error.message {
        words.message.clone_from(message);
    }
    let body = body(&words, ask);
    if !ask.stream {
        return body;
    }
    match ask.wire {
        Wire::OpenaiChat | Wire::Gemini => format!("data: {body}\n\n"),
        Wire::Anthropic => format!("event: error\ndata: {body}\n\n"),
        Wire::Ollama => format!("{body}\n"),
        Wire::OpenaiResponses => {
            let message = quoted(&words.message);
            // The code of this API is a word; the class serves where chat completions have none.
            let code = if words.code == "null" {
                quoted(words.class)
            } else {
                words.code.into()
            };
            if error.as_failed {
                let model = quoted(ask.model);
                let response = format!(
                    r#"{{"id":"resp_{ID_MARKER}","object":"response","created_at":{CREATED},"status":"failed","error":{{"code":{code},"message":{message}}},"incomplete_details":null,"instructions":null,"max_output_tokens":null,"model":{model},"output":[],"parallel_tool_calls":true,"previous_response_id":null,"tool_choice":"auto","tools":[],"usage":null,"metadata":{{}}}}"#
                );
                format!(
                    "event: response.failed\ndata: {{\"type\":\"response.failed\",\"sequence_number\":{sequence},\"response\":{response}}}\n\n"
                )
            } else {
                format!(
                    "event: error\ndata: {{\"type\":\"error\",\"sequence_number\":{sequence},\"code\":{code},\"message\":{message},\"param\":null}}\n\n"
                )
            }
        }
    }
}

fn body(words: &Words, ask: &Ask<'_>) -> String {
    let Words {
        status,
        class,
        code,
        ..
    } = words;
    let message = quoted(&words.message);
    match ask.wire {
        Wire::OpenaiChat | Wire::OpenaiResponses => format!(
            r#"{{"error":{{"message":{message},"type":"{class}","param":null,"code":{code}}}}}"#
        ),
        Wire::Anthropic => format!(
            r#"{{"type":"error","error":{{"type":"{class}","message":{message}}},"request_id":"req_{ID_MARKER}"}}"#
        ),
        Wire::Gemini => {
            format!(r#"{{"error":{{"code":{status},"message":{message},"status":"{class}"}}}}"#)
        }
        Wire::Ollama => format!(r#"{{"error":{message}}}"#),
    }
}

/// Every credential that the caller sent, as it came.
fn credentials(ask: &Ask<'_>) -> String {
    let Some(request) = ask.request else {
        return String::new();
    };
    let names = ["authorization", "x-api-key", "x-goog-api-key", "api-key"];
    let found = names
        .iter()
        .filter_map(|name| Some((name, request.header(name)?)));
    found
        .map(|(name, value)| format!(" [{name}: {value}]"))
        .collect()
}

fn words(kind: ErrorKind, ask: &Ask<'_>) -> Words {
    match ask.wire {
        Wire::OpenaiChat | Wire::OpenaiResponses => openai(kind, ask.model),
        Wire::Anthropic => anthropic(kind, ask.model),
        Wire::Gemini => gemini(kind, ask.model),
        Wire::Ollama => ollama(kind, ask.model),
    }
}

fn openai(kind: ErrorKind, model: &str) -> Words {
    let (status, class, code, message) = match kind {
        ErrorKind::RateLimit => (
            429,
            "requests",
            r#""rate_limit_exceeded""#,
            format!("Rate limit reached for {model} on requests per min (RPM): Limit 3, Used 3."),
        ),
        ErrorKind::SpendLimit => (
            429,
            "insufficient_quota",
            r#""insufficient_quota""#,
            "You exceeded your current quota, please check your plan and billing details.".into(),
        ),
        ErrorKind::Auth => (
            401,
            "invalid_request_error",
            r#""invalid_api_key""#,
            "Incorrect API key provided.".into(),
        ),
        ErrorKind::ContextOverflow => (
            400,
            "invalid_request_error",
            r#""context_length_exceeded""#,
            "This model's maximum context length is 128000 tokens. However, your messages \
             resulted in 140000 tokens. Please reduce the length of the messages."
                .into(),
        ),
        ErrorKind::Invalid => (
            400,
            "invalid_request_error",
            "null",
            "Invalid value in the request.".into(),
        ),
        ErrorKind::NotFound => (
            404,
            "invalid_request_error",
            r#""model_not_found""#,
            format!("The model `{model}` does not exist or you do not have access to it."),
        ),
        ErrorKind::Server => (
            500,
            "server_error",
            "null",
            "The server had an error while processing your request. Sorry about that!".into(),
        ),
        ErrorKind::Overloaded => (
            503,
            "server_error",
            "null",
            "The engine is currently overloaded, please try again later.".into(),
        ),
    };
    Words {
        status,
        class,
        code,
        message,
    }
}

fn anthropic(kind: ErrorKind, model: &str) -> Words {
    let (status, class, message) = match kind {
        ErrorKind::RateLimit => (
            429,
            "rate_limit_error",
            "This request would exceed your account's rate limit. Please try again later.".into(),
        ),
        ErrorKind::SpendLimit => (
            400,
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & \
             Billing to upgrade or purchase credits."
                .into(),
        ),
        ErrorKind::Auth => (401, "authentication_error", "invalid x-api-key".into()),
        ErrorKind::ContextOverflow => (
            400,
            "invalid_request_error",
            "prompt is too long: 210000 tokens > 200000 maximum".into(),
        ),
        ErrorKind::Invalid => (
            400,
            "invalid_request_error",
            "messages: invalid value".into(),
        ),
        ErrorKind::NotFound => (404, "not_found_error", format!("model: {model}")),
        ErrorKind::Server => (500, "api_error", "Internal server error".into()),
        ErrorKind::Overloaded => (529, "overloaded_error", "Overloaded".into()),
    };
    Words {
        status,
        class,
        code: "null",
        message,
    }
}

fn gemini(kind: ErrorKind, model: &str) -> Words {
    let (status, class, message) = match kind {
        ErrorKind::RateLimit => (
            429,
            "RESOURCE_EXHAUSTED",
            "Resource has been exhausted (e.g. check quota).".into(),
        ),
        ErrorKind::SpendLimit => (
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing details.".into(),
        ),
        ErrorKind::Auth => (
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.".into(),
        ),
        ErrorKind::ContextOverflow => (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200000) exceeds the maximum number of tokens allowed \
             (1048576)."
                .into(),
        ),
        ErrorKind::Invalid => (
            400,
            "INVALID_ARGUMENT",
            "Request contains an invalid argument.".into(),
        ),
        ErrorKind::NotFound => (
            404,
            "NOT_FOUND",
            format!("models/{model} is not found for API version v1beta."),
        ),
        ErrorKind::Server => (500, "INTERNAL", "An internal error has occurred.".into()),
        ErrorKind::Overloaded => (
            503,
            "UNAVAILABLE",
            "The model is overloaded. Please try again later.".into(),
        ),
    };
    Words {
        status,
        class,
        code: "null",
        message,
    }
}

fn ollama(kind: ErrorKind, model: &str) -> Words {
    let (status, message) = match kind {
        ErrorKind::RateLimit => (429, "too many requests".into()),
        ErrorKind::SpendLimit => (429, "you have reached your usage limit".into()),
        ErrorKind::Auth => (401, "unauthorized".into()),
        ErrorKind::ContextOverflow => (400, "input length exceeds maximum context length".into()),
        ErrorKind::Invalid => (400, "invalid request".into()),
        ErrorKind::NotFound => (404, format!("model '{model}' not found")),
        ErrorKind::Server => (500, "llama runner process has terminated".into()),
        ErrorKind::Overloaded => (
            503,
            "server busy, please try again.  maximum pending requests exceeded".into(),
        ),
    };
    Words {
        status,
        class: "",
        code: "null",
        message,
    }
}
