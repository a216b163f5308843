//! The table beside the data of a keyed tool: which call was carried out, and with what result. Written in the same
//! transaction as the effect, it is there exactly if the effect is.

use super::Answer;
use serde_json::{Value, json};

/// Both databases take this. A row without result is a call that is being carried out, seen by nobody but itself.
pub(super) const CREATE: &str = "CREATE TABLE IF NOT EXISTS runyard_call_ledger (
    call_key TEXT NOT NULL PRIMARY KEY,
    tool TEXT NOT NULL,
    result TEXT NOT NULL,
    recorded_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
)";

/// Times in it are UTC in SQLite, and of the session's time zone in PostgreSQL: each database compares its own.
pub(super) const FORGET_SQLITE: &str =
    "DELETE FROM runyard_call_ledger WHERE tool = ?1 AND recorded_at < datetime('now', ?2)";
pub(super) const FORGET_POSTGRES: &str = "DELETE FROM runyard_call_ledger
    WHERE tool = $1 AND recorded_at < localtimestamp - make_interval(secs => $2)";

pub(super) fn recorded(answer: &Answer) -> String {
    json!({ "value": answer.value, "is_error": answer.is_error }).to_string()
}

/// The answer that a row of the ledger tells of. A text that is none is told as such: the effect has happened.
pub(super) fn told(recorded: &str) -> Answer {
    let parsed: Option<Value> = serde_json::from_str(recorded).ok();
    let value = parsed.as_ref().and_then(|parsed| parsed.get("value"));
    let is_error = parsed
        .as_ref()
        .and_then(|parsed| parsed.get("is_error")?.as_bool());
    match (value, is_error) {
        (Some(value), Some(is_error)) => Answer {
            value: value.clone(),
            is_error,
        },
        _ => Answer {
            value: json!({ "message": "this call was carried out before; its result cannot be read any more" }),
            is_error: true,
        },
    }
}
