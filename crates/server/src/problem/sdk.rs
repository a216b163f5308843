//! The body of a failure where the official OpenAI SDKs ask: they read `code`, `type` and `param` from an object in
//! `error`, and nothing where that is text. All other fields stand as everywhere.

use super::{Problem, class};
use serde_json::{Value, json};

/// The path that the SDKs add to their base URL. Nobody else has a reason to use it: it is an alias.
pub fn is_asked_by_sdks(path: &str) -> bool {
    path.starts_with("/api/v1/agents/sessions/") && path.ends_with("/responses")
}

impl Problem {
    /// The body's bytes as the SDKs read them.
    pub fn sdk_body(&self, request_id: &str) -> Vec<u8> {
        let body = self.body(request_id);
        let mut body: Value = serde_json::from_slice(&body).expect("made as JSON above");
        let param = self.0.errors.first().map(|error| error.path.as_str());
        body["error"] = json!({
            "message": self.0.message,
            "type": class(self.0.code.status()),
            "param": param,
            "code": self.0.code.as_str(),
        });
        body.to_string().into_bytes()
    }
}
