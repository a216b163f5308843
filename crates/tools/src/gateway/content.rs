//! What a model is told of a call's end: always JSON, always with the tool's name, never longer than allowed.

use crate::builtin::READER;
use crate::executor::{Ended, Tool};
use crate::schema::Failure;
use domain::kept::KeptId;
use domain::tool::{ToolOutcome, ToolResult};
use serde_json::{Value, json};

/// The outcome of an execution, with its result cut to what the tool may tell. `kept` is where the whole of a longer one
/// can be read.
pub(super) fn outcome(tool: &Tool, ended: Ended, kept: Option<&KeptId>) -> ToolOutcome {
    match ended {
        Ended::Answered { value, is_error } => {
            let telling = Telling {
                tool: &tool.spec.name,
                data_from: tool.data_from.as_deref(),
                key: if is_error { "error" } else { "result" },
                bytes_max: tool.result_bytes_max,
                kept,
            };
            let content = telling.of(value);
            ToolOutcome::Committed(ToolResult { content, is_error })
        }
        Ended::Before { why } => {
            ToolOutcome::FailedBeforeEffect(ToolResult::refusal(&tool.spec.name, &why))
        }
        Ended::Unknown { evidence } => ToolOutcome::Unknown { evidence },
    }
}

/// A call that was not sent.
pub(super) fn before(tool: &str, why: &str) -> ToolOutcome {
    ToolOutcome::FailedBeforeEffect(ToolResult::refusal(tool, why))
}

/// Arguments that do not fit the schema.
pub(super) fn misfit(tool: &str, failures: &[Failure]) -> ToolResult {
    let paths: Vec<String> = failures
        .iter()
        .map(|failure| match failure.path.as_str() {
            "" => failure.message.clone(),
            path => format!("`{path}` {}", failure.message),
        })
        .collect();
    let told = json!({
        "tool": tool,
        "error": format!("the arguments do not fit the tool's schema: {}", paths.join("; ")),
        "errors": failures,
    });
    ToolResult::error(told.to_string())
}

/// How a result is put into words.
struct Telling<'a> {
    tool: &'a str,
    data_from: Option<&'a str>,
    key: &'static str,
    bytes_max: usize,
    kept: Option<&'a KeptId>,
}

impl Telling<'_> {
    fn of(&self, value: Value) -> String {
        let text = value.to_string();
        let (bytes, bytes_max) = (text.len(), self.bytes_max);
        if bytes <= bytes_max {
            let mut told = self.head();
            told[self.key] = value;
            return told.to_string();
        }
        // Quotes in the part shown are escaped once more, so it may have to be cut again.
        let mut shown = bytes_max;
        loop {
            while !text.is_char_boundary(shown) {
                shown -= 1;
            }
            let mut told = self.head();
            told["truncated"] = json!(format!(
                "the result has {bytes} bytes, which is over the limit of {bytes_max}; its first {shown} bytes follow as text"
            ));
            if let Some(id) = self.kept {
                told["whole"] = json!({ "result_id": id, "bytes": bytes, "read_with": READER });
            }
            told[format!("{}_begins", self.key)] = json!(&text[..shown]);
            let told = told.to_string();
            if told.len() <= bytes_max + 512 || shown == 0 {
                return told;
            }
            shown = shown * 3 / 4;
        }
    }

    /// Whose words follow stands before them.
    fn head(&self) -> Value {
        let mut head = json!({ "tool": self.tool });
        if let Some(from) = self.data_from {
            head["data_from"] = json!(from);
        }
        head
    }
}

#[cfg(test)]
mod tests;
