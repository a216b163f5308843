//! The server's own paths, for a driver in another process: the requests that were kept, the count,
//! another script, gates.

use bytes::Bytes;
use serde_json::json;

use super::shared::Shared;
use crate::Script;

/// An answer to the driver.
#[derive(Debug)]
pub(super) struct ControlAnswer {
    pub status: u16,
    pub body: String,
}

fn done(body: serde_json::Value) -> ControlAnswer {
    ControlAnswer {
        status: 200,
        body: body.to_string(),
    }
}

fn failed(status: u16, message: &str) -> ControlAnswer {
    ControlAnswer {
        status,
        body: json!({ "error": message }).to_string(),
    }
}

/// Answers a request to a path that begins with `/__`; `path` is what follows.
pub(super) fn answer(shared: &Shared, method: &str, path: &str, body: &Bytes) -> ControlAnswer {
    let name = path.split('?').next().unwrap_or(path);
    match (method, name) {
        ("GET", "requests") => match serde_json::to_string(&shared.requests()) {
            Ok(body) => ControlAnswer { status: 200, body },
            Err(error) => failed(500, &error.to_string()),
        },
        ("DELETE", "requests") => {
            shared.clear();
            done(json!({ "cleared": true }))
        }
        ("GET", "count") => done(json!({ "count": shared.count() })),
        ("POST", "script") => match serde_json::from_slice::<Script>(body) {
            Ok(script) => {
                shared.play(script);
                done(json!({ "playing": true }))
            }
            Err(error) => failed(400, &error.to_string()),
        },
        ("POST", _) if name.starts_with("gates/") => {
            let gate = &name["gates/".len()..];
            shared.open_gate(gate);
            done(json!({ "open": gate }))
        }
        _ => failed(404, "no such control path"),
    }
}
