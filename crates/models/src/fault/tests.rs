use super::*;
use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use serde_json::{Value, json};

fn fault(status: u16, body: Value) -> Fault {
    of_status(status, &HeaderMap::new(), body.to_string().as_bytes())
}

fn detail(words: &[&str]) -> Detail {
    Detail(words.iter().map(|&word| word.to_owned()).collect())
}

#[test]
fn spend_limits_are_told_from_rate_limits() {
    let quota = [
        (
            429,
            json!({"error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "You exceeded your current quota, please check your plan and billing details."}}),
        ),
        (
            400,
            json!({"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the Anthropic API."}}),
        ),
        (402, json!({"error": {"message": "Insufficient credits"}})),
        (
            429,
            json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota, please check your plan and billing details."}}),
        ),
        (
            429,
            json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota, please check your plan and billing details.",
            "details": [{"violations": [{"quotaId": "GenerateRequestsPerDayPerProject"}]}, {"retryDelay": "40s"}]}}),
        ),
    ];
    for (status, body) in quota {
        assert_eq!(fault(status, body.clone()), Fault::Quota, "{body}");
    }
    let by_the_minute = json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "You exceeded your current quota, please check your plan and billing details.",
        "details": [{"violations": [{"quotaId": "GenerateRequestsPerMinute"}]}, {"retryDelay": "1.5s"}]}});
    let wait = Some(Duration::from_millis(1_500));
    assert_eq!(fault(429, by_the_minute), Fault::RateLimited { wait });
    let plain = json!({"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}});
    assert_eq!(fault(429, plain), Fault::RateLimited { wait: None });
}

#[test]
fn a_conversation_that_is_too_long_is_known_by_each_providers_words() {
    let bodies = [
        json!({"error": {"code": "context_length_exceeded", "message": "This model's maximum context length is 128000 tokens."}}),
        json!({"error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}),
        json!({"error": {"status": "INVALID_ARGUMENT", "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."}}),
        json!({"error": {"type": "exceed_context_size_error", "message": "the request exceeds the available context size"}}),
        json!({"error": "input length exceeds maximum context length"}),
    ];
    for body in bodies {
        assert_eq!(fault(400, body.clone()), Fault::Context, "{body}");
    }
    assert_eq!(fault(413, Value::Null), Fault::Context);
}

#[test]
fn statuses_without_a_readable_body_are_told_by_themselves() {
    let html = |status| of_status(status, &HeaderMap::new(), b"<html>");
    let detail = Detail::default();
    assert_eq!(html(401), Fault::Auth { status: 401 });
    assert_eq!(html(403), Fault::Auth { status: 403 });
    assert_eq!(html(404), Fault::NoModel { status: 404 });
    assert_eq!(html(302), Fault::NotApi { status: 302 });
    let rejected = Fault::Rejected {
        status: 422,
        detail: detail.clone(),
    };
    assert_eq!(html(422), rejected);
    for status in [408, 500, 502, 503, 504, 529] {
        let failed = Fault::Provider {
            status: Some(status),
            wait: None,
            detail: detail.clone(),
        };
        assert_eq!(html(status), failed);
    }
}

#[test]
fn retry_after_is_kept_with_overload_too() {
    let mut headers = HeaderMap::new();
    headers.insert(RETRY_AFTER, HeaderValue::from_static("3"));
    let fault = of_status(503, &headers, b"");
    let wait = Some(Duration::from_secs(3));
    assert_eq!(
        fault,
        Fault::Provider {
            status: Some(503),
            wait,
            detail: Detail::default()
        }
    );
    assert_eq!(fault.remedy(), Remedy::Again(wait));
}

#[test]
fn errors_inside_a_stream_are_told_by_their_words() {
    let inside = |body: Value| of_body(&body);
    assert_eq!(inside(json!({"choices": []})), None);
    assert_eq!(
        inside(
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
        ),
        Some(Fault::Provider {
            status: None,
            wait: None,
            detail: detail(&["overloaded_error"])
        })
    );
    assert_eq!(
        inside(json!({"error": {"code": 502, "message": "upstream"}})),
        Some(Fault::Provider {
            status: Some(502),
            wait: None,
            detail: Detail::default()
        })
    );
    assert_eq!(
        inside(json!({"error": {"code": "rate_limit_exceeded", "message": "slow down"}})),
        Some(Fault::RateLimited { wait: None })
    );
    assert_eq!(
        inside(json!({"error": {"type": "authentication_error"}})),
        Some(Fault::Auth { status: 401 })
    );
}

#[test]
fn only_words_that_look_like_identifiers_are_kept() {
    let words = [
        "invalid_request_error",
        "messages[0].content",
        "sk-proj-abcdefghijklmnop",
        "AIzaSyA1234567890",
        "two words",
        "",
        "invalid_request_error",
    ];
    assert_eq!(
        Detail::new(words.into_iter()),
        detail(&["invalid_request_error", "messages[0].content"])
    );
    let long = "x".repeat(49);
    assert_eq!(Detail::new([long.as_str()].into_iter()), Detail::default());
}

#[test]
fn a_key_in_a_code_is_not_kept_either() {
    let fault = Fault::Rejected {
        status: 400,
        detail: detail(&["invalid_request_error", "canary", "secret_canary_key_x"]),
    };
    assert_eq!(
        fault.without(Some("secret_canary_key")),
        Fault::Rejected {
            status: 400,
            detail: detail(&["invalid_request_error"])
        }
    );
}

#[test]
fn messages_name_the_lane_and_what_to_check() {
    let told = |fault: Fault| fault.failure("cloud", "gpt-5").message;
    assert_eq!(
        told(Fault::Auth { status: 401 }),
        "lane \"cloud\": the provider does not accept the key (HTTP 401); check api_key_env and what the key may use"
    );
    assert_eq!(
        told(Fault::NoModel { status: 404 }),
        "lane \"cloud\": the provider does not know the model \"gpt-5\" (HTTP 404); check models and base_url"
    );
    assert_eq!(
        told(Fault::FirstByte(Duration::from_secs(60))),
        "lane \"cloud\": no answer within 60 s"
    );
    assert_eq!(
        told(Fault::Rejected {
            status: 400,
            detail: detail(&["unsupported_value", "temperature"])
        }),
        "lane \"cloud\": the provider refused the request (HTTP 400, unsupported_value, temperature)"
    );
}
