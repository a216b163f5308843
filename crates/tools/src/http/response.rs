//! What an HTTP answer amounts to. Any answer means that the request arrived.

use crate::executor::Ended;
use reqwest::Response;
use serde_json::{Value, json};
use std::time::Instant;
use tokio::time::timeout_at;

/// What status and notes may take of a result.
const ROUND_BYTES: usize = 200;

/// Reads an answer so far that it fits `bytes_max` bytes and tells status and body. Statuses other than 2xx are errors.
pub(super) async fn read(mut response: Response, bytes_max: usize, deadline: Instant) -> Ended {
    let status = response.status();
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let kind = header("content-type").unwrap_or_default();
    let encoding = header("content-encoding").filter(|encoding| encoding != "identity");
    let location = header("location").filter(|_| status.is_redirection());
    let declared = response.content_length();
    // Room for what is put around the body.
    let bytes_max = bytes_max.saturating_sub(ROUND_BYTES);
    let mut body = Vec::new();
    let note = loop {
        match timeout_at(deadline.into(), response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = bytes_max - body.len();
                body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    let whole = match declared {
                        Some(bytes) => format!(" of {bytes}"),
                        None => String::new(),
                    };
                    break Some(format!(
                        "the body is over the limit; these are its first {bytes_max} bytes{whole}"
                    ));
                }
            }
            Ok(Ok(None)) => break None,
            Ok(Err(_)) => break Some("the connection ended in the middle of the body".to_owned()),
            Err(_) => break Some("the body did not end in time".to_owned()),
        }
    };
    let is_whole = note.is_none();
    let mut value = json!({ "status": status.as_u16() });
    match (encoding, text(&body, is_whole)) {
        // It was asked for plain; unpacking is how a small answer becomes a large one.
        (Some(encoding), _) => {
            value["note"] = json!(format!(
                "the body is packed as `{encoding}` and was not read"
            ));
        }
        (None, Some(text)) => value["body"] = parsed(&text, is_whole),
        (None, None) => {
            let bytes = declared.unwrap_or(body.len() as u64);
            value["note"] = json!(format!("the body is not text: {bytes} bytes of `{kind}`"));
        }
    }
    if let Some(note) = note {
        value["note"] = json!(note);
    }
    if let Some(location) = location {
        value["location"] = json!(location);
    }
    Ended::Answered {
        value,
        is_error: !status.is_success() || !is_whole,
    }
}

fn parsed(text: &str, is_whole: bool) -> Value {
    if text.is_empty() {
        return Value::Null;
    }
    let json = if is_whole {
        serde_json::from_str(text).ok()
    } else {
        None
    };
    json.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// The body as text; a cut may have gone through its last character.
fn text(body: &[u8], is_whole: bool) -> Option<String> {
    match std::str::from_utf8(body) {
        Ok(text) => Some(text.to_owned()),
        Err(error) if !is_whole && error.error_len().is_none() => {
            let (text, _) = body.split_at(error.valid_up_to());
            String::from_utf8(text.to_vec()).ok()
        }
        Err(_) => None,
    }
}
