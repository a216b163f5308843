//! An approval as a person reads it before deciding: complete, with nothing that hides or moves other characters. It
//! asks nothing of the server.

use crate::cli::client::text;
use crate::cli::hidden::is_hidden;
use crate::cli::terminal::{Style, brief, visible};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// One line of a list.
pub fn line(approval: &Value, style: Style) -> String {
    let field = |name: &str, max: usize| brief(&text(approval, name).unwrap_or_default(), max);
    format!(
        "{}  {:<9}  {}  {} {}",
        field("id", 36),
        field("status", 9),
        field("requested_at", 19),
        style.bold(&field("tool_name", 60)),
        style.dim(&brief(&approval["arguments"].to_string(), 80)),
    )
}

/// All of an approval, many lines.
pub fn whole(approval: &Value, style: Style) -> String {
    let mut shown = String::new();
    let mut row = |name: &str, value: String| {
        if !value.is_empty() {
            let name = style.dim(&format!("{name:<13}"));
            let _ = writeln!(shown, "{name}{value}");
        }
    };
    let field = |name: &str| visible(&text(approval, name).unwrap_or_default());
    let by = |name: &str| visible(&text(&approval[name], "name").unwrap_or_default());
    row("approval", field("id"));
    row("status", status(approval, style));
    row("kind", field("kind"));
    row("tool", style.bold(&field("tool_name")));
    row("tool version", field("tool_version"));
    row("agent", field("agent_type"));
    row("run", field("run_id"));
    row("thread", field("thread_id"));
    row("call", field("tool_call_id"));
    row("asked by", by("requested_by"));
    row("asked at", field("requested_at"));
    row("expires at", field("expires_at"));
    row("why", field("why"));
    row("risk", field("risk"));
    row("found", field("finding"));
    row("decided by", by("resolved_by"));
    row("reason", field("reason"));
    row("digest", field("arguments_digest"));
    for decision in approval["decisions"].as_array().into_iter().flatten() {
        let _ = writeln!(shown, "{}", style.dim(&decided(approval, decision)));
    }
    for late in approval["late_answers"].as_array().into_iter().flatten() {
        let _ = writeln!(shown, "{}", style.yellow(&answered_late(late)));
    }
    let arguments = &approval["arguments"];
    let _ = writeln!(shown, "{}", style.dim("arguments"));
    let _ = writeln!(shown, "{}", plain_json(arguments));
    let odd = beyond_ascii(arguments);
    if !odd.is_empty() {
        let warning = format!("characters beyond ASCII, which may look like others: {odd}");
        let _ = writeln!(shown, "{}", style.yellow(&warning));
    }
    shown
}

/// What the tool said when nobody waited for it any more.
fn answered_late(late: &Value) -> String {
    let field = |name: &str| visible(&text(late, name).unwrap_or_default());
    let failed = late["is_error"] == Value::Bool(true);
    format!(
        "the answer to attempt {} came late, at {}: {}{}",
        late["attempt"],
        field("at"),
        if failed { "an error, " } else { "" },
        field("output")
    )
}

/// One person's decision, and whether it counts for the arguments as they stand.
fn decided(approval: &Value, decision: &Value) -> String {
    let by = visible(&text(&decision["by"], "name").unwrap_or_default());
    let verb = if decision["approve"] == Value::Bool(true) {
        "approved"
    } else {
        "denied"
    };
    let other = decision["arguments_digest"] != approval["arguments_digest"];
    let about = if other { ", of other arguments" } else { "" };
    format!(
        "{by} {verb}{about}, of {} needed",
        approval["approvals_needed"]
    )
}

fn status(approval: &Value, style: Style) -> String {
    let status = visible(&text(approval, "status").unwrap_or_default());
    match status.as_str() {
        "pending" => style.yellow(&status),
        "approved" => style.green(&status),
        _ => style.red(&status),
    }
}

/// JSON on several lines, every hidden character escaped as JSON does it: still the same value.
pub fn plain_json(value: &Value) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
    let mut plain = String::with_capacity(pretty.len());
    for character in pretty.chars() {
        if character != '\n' && is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(plain, "\\u{unit:04x}");
            }
        } else {
            plain.push(character);
        }
    }
    plain
}

/// Each visible character beyond ASCII with its code point and how often it stands there, e.g. `а U+0430 ×2`.
fn beyond_ascii(value: &Value) -> String {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for character in value.to_string().chars() {
        if !character.is_ascii() && !is_hidden(character) {
            *counts.entry(character).or_default() += 1;
        }
    }
    let all: Vec<String> = counts
        .into_iter()
        .map(|(character, count)| format!("{character} U+{:04X} ×{count}", u32::from(character)))
        .collect();
    all.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_shown_is_the_same_value_without_hidden_characters() {
        let padding = " ".repeat(10_000);
        for value in [
            json!({"to": "a\u{202e}b\u{200b}", "\u{feff}key": "\u{1b}[2J\r\n"}),
            json!({"to": format!("alice{padding}\u{e0041}mallory")}),
            json!({"pаypal": "ﬁle\u{2028}\u{3164}", "n": [1.5, -0.0, 1e300]}),
        ] {
            let shown = plain_json(&value);
            assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
            assert!(
                !shown.chars().any(|it| it != '\n' && is_hidden(it)),
                "{shown:?}"
            );
        }
    }

    #[test]
    fn approval_is_shown_complete() {
        let long = "x".repeat(20_000);
        let approval = json!({
            "id": "0198", "status": "pending", "tool_name": "pay\u{1b}[31m", "why": "the policy asks",
            "requested_by": {"name": "owner\u{202e}"}, "arguments_digest": "ab12",
            "arguments": {"to": "аlice", "note": long},
            "late_answers": [{"attempt": 1, "at": "2026-01-02", "output": "{\"paid\":\"\u{202e}7\"}", "is_error": false}],
        });
        let shown = whole(&approval, Style::plain());
        for part in [
            "pending",
            "pay\\u{1b}[31m",
            "owner\\u{202e}",
            "the policy asks",
            "attempt 1 came late, at 2026-01-02: {\"paid\":\"\\u{202e}7\"}",
            "ab12",
            &long,
            "а U+0430 ×1",
        ] {
            assert!(shown.contains(part), "{part}");
        }
    }
}
