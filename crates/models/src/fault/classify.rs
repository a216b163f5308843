//! Reads a provider's error (status, headers, body, or an error object inside a stream) and says which fault it is.
//! Sources: the error pages of the OpenAI, Anthropic, Gemini and Ollama API references; RFC 9110 §10.2.3
//! (`Retry-After`); what llama.cpp and vLLM answer.

use super::{Detail, Fault};
use crate::retry_after;
use reqwest::header::HeaderMap;
use serde_json::Value;
use std::time::Duration;

/// The fault of an answer whose status is an error.
pub(crate) fn of_status(status: u16, headers: &HeaderMap, body: &[u8]) -> Fault {
    let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let wait = retry_after::of_headers(headers);
    classify(Some(status), wait, &body)
}

/// The fault of an error object that came with status 200, in a stream or alone; `None` if it is no error object.
pub(crate) fn of_body(body: &Value) -> Option<Fault> {
    let error = !body["error"].is_null() || body["object"] == "error" || body["type"] == "error";
    error.then(|| classify(None, None, body))
}

/// The fields that the providers' error objects have, whatever their nesting.
struct Told<'a> {
    /// `type`, `code` and `status`: words that programs may rely on.
    words: Vec<&'a str>,
    number: Option<u16>,
    param: Option<&'a str>,
    /// In lower case; looked into, never shown.
    message: String,
    details: &'a Value,
}

fn told(body: &Value) -> Told<'_> {
    let error = match &body["error"] {
        // Gemini wraps some errors of streams in a list.
        Value::Null => match body.get(0) {
            Some(first) => &first["error"],
            None => body,
        },
        error => error,
    };
    let message = error.as_str().or(error["message"].as_str());
    let fields = ["type", "code", "status"];
    let number = ["code", "status_code", "status"]
        .iter()
        .find_map(|field| error[*field].as_u64());
    Told {
        words: fields
            .iter()
            .filter_map(|field| error[*field].as_str())
            .collect(),
        number: number.and_then(|number| u16::try_from(number).ok()),
        param: error["param"].as_str(),
        message: message.unwrap_or_default().to_ascii_lowercase(),
        details: &error["details"],
    }
}

fn classify(status: Option<u16>, wait: Option<Duration>, body: &Value) -> Fault {
    let told = told(body);
    let detail = Detail::new(told.words.iter().copied().chain(told.param));
    let wait = wait.or_else(|| google_delay(told.details));
    let code = status.or(told.number).filter(|code| *code >= 300);
    if says_context(&told) || status == Some(413) {
        return Fault::Context;
    }
    if says_spent(&told, wait) || code == Some(402) {
        return Fault::Quota;
    }
    if says_auth(&told) {
        return Fault::Auth {
            status: code.unwrap_or(401),
        };
    }
    match code {
        Some(status @ (401 | 403)) => Fault::Auth { status },
        Some(status @ 404) => Fault::NoModel { status },
        Some(429) => Fault::RateLimited { wait },
        Some(status @ (408 | 409 | 425 | 500..)) => Fault::Provider {
            status: Some(status),
            wait,
            detail,
        },
        Some(status @ 300..=399) => Fault::NotApi { status },
        Some(status) => Fault::Rejected { status, detail },
        None => of_words(&told, wait, detail),
    }
}

/// The fault of an error that came without any status.
fn of_words(told: &Told<'_>, wait: Option<Duration>, detail: Detail) -> Fault {
    let says = |parts: &[&str]| {
        told.words
            .iter()
            .any(|word| parts.iter().any(|part| word.eq_ignore_ascii_case(part)))
    };
    if says(&[
        "rate_limit_error",
        "rate_limit_exceeded",
        "RESOURCE_EXHAUSTED",
    ]) {
        return Fault::RateLimited { wait };
    }
    if says(&["not_found_error", "model_not_found", "NOT_FOUND"]) {
        return Fault::NoModel { status: 404 };
    }
    if says(&[
        "invalid_request_error",
        "invalid_prompt",
        "INVALID_ARGUMENT",
        "FAILED_PRECONDITION",
    ]) {
        return Fault::Rejected {
            status: 400,
            detail,
        };
    }
    Fault::Provider {
        status: None,
        wait,
        detail,
    }
}

fn says_context(told: &Told<'_>) -> bool {
    let words = [
        "context_length_exceeded",
        "exceed_context_size_error",
        "request_too_large",
    ];
    let phrases = [
        "prompt is too long",
        "maximum context length",
        "context length exceeded",
        "context window",
        "exceeds the maximum number of tokens",
        "exceeds maximum context",
        "exceeds the available context",
        "input is too long",
        "input length exceeds",
        "too many tokens",
    ];
    told.words.iter().any(|word| words.contains(word))
        || phrases.iter().any(|phrase| told.message.contains(phrase))
}

/// A limit that no waiting of ours ends. Gemini says "current quota" of its limits by the minute too, but then tells
/// how long to wait.
fn says_spent(told: &Told<'_>, wait: Option<Duration>) -> bool {
    let words = [
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "credit_balance_too_low",
    ];
    if told.words.iter().any(|word| words.contains(word)) {
        return true;
    }
    let phrases = [
        "credit balance",
        "insufficient credits",
        "insufficient balance",
        "check your plan and billing",
        "usage limit",
        "spending limit",
        "billing hard limit",
    ];
    let phrase = phrases.iter().any(|phrase| told.message.contains(phrase));
    phrase && (wait.is_none() || per_day(told.details))
}

fn per_day(details: &Value) -> bool {
    let violations = details
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|detail| detail["violations"].as_array())
        .flatten();
    violations
        .filter_map(|violation| violation["quotaId"].as_str())
        .any(|quota| quota.contains("PerDay"))
}

fn says_auth(told: &Told<'_>) -> bool {
    let words = [
        "authentication_error",
        "invalid_api_key",
        "permission_error",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
    ];
    told.words.iter().any(|word| words.contains(word))
        || told.message.contains("api key not valid")
        || told.message.contains("api key expired")
}

/// `google.rpc.RetryInfo`: `{"retryDelay": "31.5s"}`.
fn google_delay(details: &Value) -> Option<Duration> {
    let details = details.as_array()?;
    let delay = details
        .iter()
        .find_map(|detail| detail["retryDelay"].as_str())?;
    let seconds: f64 = delay.strip_suffix('s')?.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
