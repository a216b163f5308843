//! The only place where a failure becomes HTTP: one table of codes, one body, one mapping from each lower error. It does
//! not write the body itself; `front` does, which knows the request's id.

mod lower;
mod sdk;

pub use sdk::is_asked_by_sdks;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Each line is a code as it stands on the wire, its status, and what is said where nothing better is known.
macro_rules! problem_codes {
    ($($code:ident => $status:ident, $title:literal;)*) => {
        #[expect(non_camel_case_types, reason = "the variants are the codes as they stand on the wire")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $($code,)*
        }

        impl Code {
            pub const ALL: &[Self] = &[$(Self::$code,)*];

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => stringify!($code),)*
                }
            }

            pub fn status(self) -> StatusCode {
                match self {
                    $(Self::$code => StatusCode::$status,)*
                }
            }

            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$code => $title,)*
                }
            }
        }
    };
}

problem_codes! {
    bad_request => BAD_REQUEST, "The request is not one that this server understands.";
    invalid_json => BAD_REQUEST, "The body is not valid JSON.";
    invalid_encoding => BAD_REQUEST, "The request holds text that is not valid UTF-8.";
    duplicate_key => BAD_REQUEST, "An object in the body has the same key twice.";
    nesting_too_deep => BAD_REQUEST, "The body is nested too deeply.";
    null_character => BAD_REQUEST, "The body holds the character U+0000, which no text here may.";
    invalid_parameter => BAD_REQUEST, "A parameter of the query cannot be used.";
    invalid_cursor => BAD_REQUEST, "The cursor is not one that this list or stream gave out.";
    invalid_idempotency_key => BAD_REQUEST, "The Idempotency-Key header must be 1 to 255 printable characters.";
    missing_key => UNAUTHORIZED, "An API key is needed: send it as `Authorization: Bearer <key>`.";
    invalid_key => UNAUTHORIZED, "The API key is unknown, expired or revoked.";
    invalid_ticket => UNAUTHORIZED, "The sign-in link was used before, is too old, or was opened on another machine.";
    role_forbidden => FORBIDDEN, "The role of this API key does not allow this operation.";
    host_not_allowed => FORBIDDEN, "This server does not answer under the name that was asked for.";
    origin_not_allowed => FORBIDDEN, "Pages of this origin may not call this server.";
    not_found => NOT_FOUND, "Nothing that this API key may see has this id.";
    previous_response_not_found => NOT_FOUND, "The session has no response of this id, or not any more.";
    route_not_found => NOT_FOUND, "There is no such route; /openapi.json lists those that exist.";
    method_not_allowed => METHOD_NOT_ALLOWED, "This route exists, but not for this method.";
    request_timeout => REQUEST_TIMEOUT, "The request's body took too long to arrive.";
    thread_busy => CONFLICT, "The thread has a run that is not over.";
    run_already_terminal => CONFLICT, "The run has ended already.";
    approver_not_eligible => FORBIDDEN, "Another person than the one who started the run has to approve this.";
    approval_already_resolved => CONFLICT, "The approval is resolved already, and its decision stands.";
    arguments_changed => CONFLICT, "The decision was made about other arguments than those that stand.";
    run_on_hold => CONFLICT, "An operator keeps this run where it is.";
    contended => CONFLICT, "Too many requests changed the same thing at once; nothing was done.";
    model_mismatch => CONFLICT, "The session uses another model than the request names.";
    no_gate_decision => CONFLICT, "No intent gate has judged this run.";
    no_lane => CONFLICT, "No lane may serve this: policy, models or the device leave none.";
    journal_gap => CONFLICT, "Entries of the session's journal before these are missing.";
    journal_fork => CONFLICT, "The session's journal goes on otherwise than the one that was sent.";
    journal_full => CONFLICT, "The session's journal can take no more.";
    budget_exhausted => CONFLICT, "The run's budget allows no other model turn.";
    idempotency_in_progress => CONFLICT, "The first request with this Idempotency-Key is still being answered.";
    body_too_large => PAYLOAD_TOO_LARGE, "The body is larger than this server accepts.";
    unsupported_media_type => UNSUPPORTED_MEDIA_TYPE, "The body must be JSON, with `Content-Type: application/json`.";
    validation_error => UNPROCESSABLE_ENTITY, "A field of the body cannot be used.";
    unknown_agent_type => UNPROCESSABLE_ENTITY, "There is no agent of this type.";
    unknown_lane => UNPROCESSABLE_ENTITY, "There is no such lane, or the agent may not use it.";
    unknown_model => UNPROCESSABLE_ENTITY, "No lane that the agent may use serves this model.";
    chain_too_long => UNPROCESSABLE_ENTITY, "The chain of responses is too long to be continued.";
    unanswered_calls => UNPROCESSABLE_ENTITY, "The input and the calls of the response that it continues do not match.";
    server_tool_reported => UNPROCESSABLE_ENTITY, "A tool of this server's runs here, and not on a device.";
    invalid_arguments => UNPROCESSABLE_ENTITY, "The edited arguments do not fit the tool.";
    idempotency_key_reused => UNPROCESSABLE_ENTITY, "This Idempotency-Key came with another request before.";
    thread_queue_full => TOO_MANY_REQUESTS, "Too many runs wait on this thread already.";
    rate_limited => TOO_MANY_REQUESTS, "This org asks more often than this server allows.";
    too_many_failed_logins => TOO_MANY_REQUESTS, "Too many requests with wrong API keys came from this address.";
    headers_too_large => REQUEST_HEADER_FIELDS_TOO_LARGE, "The request has too many headers, or too large ones.";
    internal_error => INTERNAL_SERVER_ERROR, "Something went wrong here; the log has it under the request id.";
    store_unavailable => SERVICE_UNAVAILABLE, "The store cannot be reached right now; nothing was written.";
    outcome_unknown => SERVICE_UNAVAILABLE, "The store did not say whether this was written; look before you repeat it.";
    storage_full => SERVICE_UNAVAILABLE, "The store has no space left; nothing was written.";
    shutting_down => SERVICE_UNAVAILABLE, "This server is shutting down; ask again in a moment.";
}

/// A value of the body or query that cannot be used, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    /// Dots and brackets from the body's top: `input[0].content`; empty for the top itself.
    #[schema(example = "input.content")]
    pub path: String,
    #[schema(example = "must not be empty")]
    pub message: String,
}

/// A failure on its way to the caller. What is for the log only is `source`.
#[derive(Debug, Clone)]
pub struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    code: Code,
    message: Cow<'static, str>,
    errors: Vec<FieldError>,
    details: Map<String, Value>,
    retry_after: Option<Duration>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The one body of every failure.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem, example = json!({
    "error": "conflict",
    "code": "run_already_terminal",
    "message": "The run has ended already.",
    "detail": "The run has ended already.",
    "status_code": 409,
    "request_id": "0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11",
    "retryable": false,
    "errors": [],
    "details": {"status": "completed"}
}))]
pub struct Body<'a> {
    /// The class of the failure, one for each status.
    #[schema(example = "conflict")]
    error: &'static str,
    /// What exactly happened; stable, each has a page in the documentation.
    #[schema(value_type = String, example = "run_already_terminal")]
    code: &'static str,
    /// For people and models.
    message: &'a str,
    /// The same as `message`, for clients that read it here.
    detail: &'a str,
    #[schema(example = 409)]
    status_code: u16,
    /// The same as the header `X-Request-Id`.
    request_id: &'a str,
    /// True if the same request may succeed later without any change.
    retryable: bool,
    /// Values that cannot be used.
    errors: &'a [FieldError],
    /// Facts of this failure that a program may act on, such as the `run_id` that holds a busy thread.
    #[serde(skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Option<Object>)]
    details: &'a Map<String, Value>,
}

impl Problem {
    pub fn new(code: Code) -> Self {
        Self::saying(code, code.title())
    }

    /// With a message of its own. A 5xx keeps its fixed text: what it would say may be about our insides.
    pub fn saying(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        let message = if code.status().is_server_error() {
            Cow::Borrowed(code.title())
        } else {
            message.into()
        };
        Self(Box::new(Inner {
            code,
            message,
            errors: Vec::new(),
            details: Map::new(),
            retry_after: None,
            source: None,
        }))
    }

    /// One value of the body that cannot be used.
    pub fn field(path: impl Into<String>, message: impl Into<String>) -> Self {
        let error = FieldError {
            path: path.into(),
            message: message.into(),
        };
        Self::fields(vec![error])
    }

    /// `errors` is not empty; the first is told in the message.
    pub fn fields(errors: Vec<FieldError>) -> Self {
        let message = match errors.first() {
            Some(first) if first.path.is_empty() => format!("The body: {}.", first.message),
            Some(first) => format!("{}: {}.", first.path, first.message),
            None => Code::validation_error.title().to_owned(),
        };
        let mut problem = Self::saying(Code::validation_error, message);
        problem.0.errors = errors;
        problem
    }

    /// The same of text that stands at `path` of the body: a value that cannot be used.
    pub fn within(self, path: &str) -> Self {
        let errors: Vec<FieldError> = self
            .0
            .errors
            .iter()
            .map(|error| FieldError {
                path: format!("{path}.{}", error.path)
                    .trim_end_matches('.')
                    .to_owned(),
                message: error.message.clone(),
            })
            .collect();
        if errors.is_empty() {
            return Self::field(path, self.0.message.trim_end_matches('.'));
        }
        Self::fields(errors)
    }

    pub fn at(mut self, path: impl Into<String>) -> Self {
        let message = self.0.message.trim_end_matches('.').to_owned();
        self.0.errors.push(FieldError {
            path: path.into(),
            message,
        });
        self
    }

    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.details.insert(name.to_owned(), value.into());
        self
    }

    /// Whole seconds on the wire, at least one.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The cause, for the log.
    pub fn because(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    pub fn code(&self) -> Code {
        self.0.code
    }

    pub fn source(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.0.source.as_deref()
    }

    /// The body's bytes.
    pub fn body(&self, request_id: &str) -> Vec<u8> {
        let Inner {
            code,
            message,
            errors,
            details,
            ..
        } = &*self.0;
        let body = Body {
            error: class(code.status()),
            code: code.as_str(),
            message,
            detail: message,
            status_code: code.status().as_u16(),
            request_id,
            retryable: self.is_retryable(),
            errors,
            details,
        };
        serde_json::to_vec(&body).expect("strings and numbers are always JSON")
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self.0.code.status() {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::REQUEST_TIMEOUT => self.0.code != Code::outcome_unknown,
            _ => matches!(
                self.0.code,
                Code::thread_busy | Code::contended | Code::idempotency_in_progress
            ),
        }
    }
}

/// The body's `error`: one word for each status.
fn class(status: StatusCode) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => "bad_request",
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
        StatusCode::REQUEST_TIMEOUT => "request_timeout",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PAYLOAD_TOO_LARGE => "payload_too_large",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported_media_type",
        StatusCode::UNPROCESSABLE_ENTITY => "validation_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limited",
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => "headers_too_large",
        StatusCode::SERVICE_UNAVAILABLE => "service_unavailable",
        other if other.is_server_error() => "internal_error",
        _ => "bad_request",
    }
}

impl IntoResponse for Problem {
    /// A response without its body: `front` writes that with the request's id.
    fn into_response(self) -> Response {
        let mut response = self.0.code.status().into_response();
        let headers = response.headers_mut();
        if self.0.code.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer realm=\"runyard\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if let Some(wait) = self.0.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(self);
        response
    }
}
