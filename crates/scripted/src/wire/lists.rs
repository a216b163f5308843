//! What a server tells of itself: its models and version, by which a client finds out what it
//! speaks.

use super::{CREATED, Wire, quoted};

/// The body of a `GET`, if one of the wires served here has it.
pub(crate) fn list_answer(path: &str, models: &[String], serves: &[Wire]) -> Option<String> {
    let path = path.split('?').next().unwrap_or(path).trim_end_matches('/');
    let has = |wire: Wire| serves.contains(&wire);
    if path.ends_with("/api/version") {
        has(Wire::Ollama).then(|| r#"{"version":"0.12.0"}"#.to_owned())
    } else if path.ends_with("/api/tags") {
        has(Wire::Ollama).then(|| list(models, "models", ollama_model))
    } else if path.ends_with("/v1beta/models") {
        has(Wire::Gemini).then(|| list(models, "models", gemini_model))
    } else if path.ends_with("/models") {
        let openai = has(Wire::OpenaiChat) || has(Wire::OpenaiResponses);
        if openai {
            let data = list(models, "data", openai_model);
            Some(data.replacen('{', r#"{"object":"list","#, 1))
        } else {
            has(Wire::Anthropic).then(|| {
                let data = list(models, "data", anthropic_model);
                data.replacen('{', r#"{"has_more":false,"#, 1)
            })
        }
    } else {
        None
    }
}

fn list(models: &[String], field: &str, model: fn(&str) -> String) -> String {
    let models: Vec<String> = models.iter().map(|name| model(name)).collect();
    format!(r#"{{"{field}":[{}]}}"#, models.join(","))
}

fn openai_model(name: &str) -> String {
    let name = quoted(name);
    format!(r#"{{"id":{name},"object":"model","created":{CREATED},"owned_by":"scripted"}}"#)
}

fn anthropic_model(name: &str) -> String {
    let name = quoted(name);
    format!(
        r#"{{"type":"model","id":{name},"display_name":{name},"created_at":"2025-06-15T15:06:40Z"}}"#
    )
}

fn gemini_model(name: &str) -> String {
    let path = quoted(&format!("models/{name}"));
    format!(
        r#"{{"name":{path},"version":"001","displayName":{},"inputTokenLimit":1048576,"outputTokenLimit":65536,"supportedGenerationMethods":["generateContent","countTokens"]}}"#,
        quoted(name)
    )
}

fn ollama_model(name: &str) -> String {
    let name = quoted(name);
    format!(
        r#"{{"name":{name},"model":{name},"modified_at":"2025-06-15T15:06:40Z","size":4683087332,"digest":"0a8c266910232fd3291e71e5ba1e058cc5af9d411192cf88b6d30e92b6e73163","details":{{"parent_model":"","format":"gguf","family":"qwen3","families":["qwen3"],"parameter_size":"8.2B","quantization_level":"Q4_K_M"}}}}"#
    )
}
