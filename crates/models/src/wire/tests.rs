use super::*;
use domain::lane::LaneKind;
use secrecy::SecretString;

fn answer_url(wire: Wire, base: &str, model: &str) -> String {
    wire.answer_url(&Url::parse(base).unwrap(), model)
        .to_string()
}

#[test]
fn addresses_are_built_as_people_write_their_beginnings() {
    let cases = [
        (
            Wire::OpenaiChat,
            "https://api.openai.com/v1",
            "https://api.openai.com/v1/chat/completions",
        ),
        (
            Wire::OpenaiResponses,
            "http://host:1/base/v1",
            "http://host:1/base/v1/responses",
        ),
        (
            Wire::Anthropic,
            "https://api.anthropic.com",
            "https://api.anthropic.com/v1/messages",
        ),
        (
            Wire::Anthropic,
            "https://gateway/anthropic/v1",
            "https://gateway/anthropic/v1/messages",
        ),
        (
            Wire::Gemini,
            "https://generativelanguage.googleapis.com",
            "https://generativelanguage.googleapis.com/v1beta/models/a%3Fb:streamGenerateContent?alt=sse",
        ),
        (
            Wire::Gemini,
            "https://host/v1beta",
            "https://host/v1beta/models/a%3Fb:streamGenerateContent?alt=sse",
        ),
        (
            Wire::Ollama,
            "http://127.0.0.1:11434",
            "http://127.0.0.1:11434/api/chat",
        ),
    ];
    for (wire, base, expected) in cases {
        assert_eq!(answer_url(wire, base, "a?b"), expected);
    }
}

#[test]
fn a_models_name_cannot_leave_its_place_in_the_address() {
    let url = answer_url(Wire::Gemini, "https://host", "../../evil?x=");
    assert!(!url.contains("evil?"), "{url}");
    assert!(url.starts_with("https://host/v1beta/"), "{url}");
}

#[test]
fn a_key_that_no_header_can_carry_is_refused_without_being_shown() {
    let mut lane = LaneConfig::new("cloud", LaneKind::Cloud, Wire::OpenaiChat);
    lane.api_key = Some(SecretString::from("canary\nkey"));
    let error = Wire::OpenaiChat.headers(&lane).unwrap_err();
    assert!(matches!(error, ConfigError::Key { .. }));
    assert!(!format!("{error} {error:?}").contains("canary"));
}

#[test]
fn headers_do_not_print_the_key() {
    let mut lane = LaneConfig::new("cloud", LaneKind::Cloud, Wire::OpenaiChat);
    lane.api_key = Some(SecretString::from("canary"));
    for wire in [Wire::OpenaiChat, Wire::Anthropic, Wire::Gemini] {
        let headers = wire.headers(&lane).unwrap();
        assert!(!format!("{headers:?}").contains("canary"));
    }
}

mod bodies;
mod dialects;
