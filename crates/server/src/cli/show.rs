//! A run's events as a person reads them: the answer as it is written, and beside it, dimmed, what the agent does. It
//! asks nothing of the server.

use super::client::text;
use super::events::Event;
use super::markdown::Markdown;
use super::terminal::{Style, brief, visible};
use serde_json::Value;
use std::io::Write;

/// Characters of a tool's arguments or result that are shown.
const BRIEF_MAX: usize = 160;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Completed,
    Failed(String),
    Cancelled,
}

/// Writes the answer to `answer` and what happens beside it to `aside`.
pub struct Show<A, B> {
    answer: A,
    aside: B,
    style: Style,
    /// Styles the answer where there are styles; elsewhere its Markdown is passed on as it is.
    markdown: Option<Markdown>,
    /// The answer's last character was no line end.
    in_line: bool,
    /// Text of the message was shown, so that its completion need not be.
    streamed: bool,
}

impl<A: Write, B: Write> Show<A, B> {
    pub fn new(answer: A, aside: B, style: Style) -> Self {
        Self {
            answer,
            aside,
            style,
            markdown: (!style.is_plain()).then(|| Markdown::new(style)),
            in_line: false,
            streamed: false,
        }
    }

    /// Shows one event; the ending if it was the last.
    pub fn event(&mut self, event: &Event) -> Option<Ending> {
        let data = &event.data;
        match event.kind.as_str() {
            "message_delta" => {
                self.streamed = true;
                let delta = text(data, "delta").unwrap_or_default();
                match &mut self.markdown {
                    Some(markdown) => {
                        let styled = markdown.push(&delta);
                        self.put(&styled);
                    }
                    None => self.put(&visible(&delta)),
                }
            }
            "message_completed" => {
                self.end_line();
                self.streamed = false;
            }
            "lane_changed" => self.lane(data),
            "tool_call_requested" => {
                let arguments = data.get("arguments").map(Value::to_string);
                self.aside(&format!(
                    "→ {} {}",
                    text(data, "tool_name").unwrap_or_default(),
                    brief(&arguments.unwrap_or_default(), BRIEF_MAX)
                ));
            }
            "tool_call_completed" => {
                let failed = data.get("is_error").and_then(Value::as_bool) == Some(true);
                let mark = if failed { "✗" } else { "←" };
                let content = text(data, "content").unwrap_or_default();
                self.aside(&format!("{mark} {}", brief(&content, BRIEF_MAX)));
            }
            "approval_resolved" => {
                let status = text(data, "status").unwrap_or_default();
                self.aside(&format!("the call was {status}"));
            }
            "turn_restarted" => {
                let reason = text(data, "reason").unwrap_or_default();
                self.aside(&format!(
                    "⟲ the answer begins again: {}",
                    brief(&reason, BRIEF_MAX)
                ));
            }
            "gate_decided" => {
                let decision = text(data, "decision").unwrap_or_default();
                let reason = text(data, "reason").unwrap_or_default();
                self.aside(&format!("gate: {decision}, {}", brief(&reason, BRIEF_MAX)));
            }
            "done" => return Some(self.done(data)),
            // Told by what comes with them, or of no interest to a person.
            _ => {}
        }
        None
    }

    /// One dimmed line beside the answer.
    pub fn aside(&mut self, line: &str) {
        self.end_line();
        let _ = writeln!(self.aside, "{}", self.style.dim(line));
        let _ = self.aside.flush();
    }

    /// Writes a part of the answer that is fit to be shown.
    fn put(&mut self, shown: &str) {
        let Some(last) = shown.chars().last() else {
            return;
        };
        self.in_line = last != '\n';
        let _ = self.answer.write_all(shown.as_bytes());
        let _ = self.answer.flush();
    }

    fn end_line(&mut self) {
        if let Some(markdown) = &mut self.markdown {
            let rest = markdown.end();
            self.put(&rest);
        }
        if self.in_line {
            self.put("\n");
        }
    }

    fn lane(&mut self, data: &Value) {
        let lane = data.get("lane").cloned().unwrap_or_default();
        let name = text(&lane, "name").unwrap_or_default();
        let model = text(data, "model").unwrap_or_default();
        let again = if data.get("from").is_some_and(Value::is_string) {
            "now "
        } else {
            ""
        };
        self.aside(&format!(
            "{again}answered by {} in lane {}",
            brief(&model, 80),
            brief(&name, 80)
        ));
    }

    fn done(&mut self, data: &Value) -> Ending {
        self.end_line();
        let status = text(data, "status").unwrap_or_default();
        let tokens = |field: &str| data["usage"][field].as_u64().unwrap_or(0);
        let used = format!(
            "{} tokens in, {} out",
            tokens("input_tokens"),
            tokens("output_tokens")
        );
        match status.as_str() {
            "completed" => {
                self.aside(&format!("completed; {used}"));
                Ending::Completed
            }
            "cancelled" => {
                self.aside(&format!("cancelled; {used}"));
                Ending::Cancelled
            }
            _ => {
                let why = text(&data["error"], "message").unwrap_or_else(|| status.clone());
                let code = text(&data["error"], "code").unwrap_or_default();
                Ending::Failed(format!("{} ({code})", brief(&why, 400)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(events: &[(&str, Value)]) -> (String, String, Option<Ending>) {
        let (mut answer, mut aside) = (Vec::new(), Vec::new());
        let mut ending = None;
        {
            let mut show = Show::new(&mut answer, &mut aside, Style::plain());
            for (kind, data) in events {
                ending = show.event(&Event {
                    kind: (*kind).to_owned(),
                    data: data.clone(),
                    raw: String::new(),
                });
            }
        }
        (
            String::from_utf8(answer).unwrap(),
            String::from_utf8(aside).unwrap(),
            ending,
        )
    }

    #[test]
    fn answer_and_what_happens_beside_it_are_apart() {
        let (answer, aside, ending) = shown(&[
            ("run_created", json!({})),
            (
                "lane_changed",
                json!({"from": null, "lane": {"name": "l"}, "model": "m"}),
            ),
            (
                "tool_call_requested",
                json!({"tool_name": "look", "arguments": {"a": 1}}),
            ),
            (
                "tool_call_completed",
                json!({"content": "[1]", "is_error": false}),
            ),
            ("message_delta", json!({"delta": "Hel"})),
            ("message_delta", json!({"delta": "lo\u{1b}"})),
            ("message_completed", json!({})),
            (
                "done",
                json!({"status": "completed", "usage": {"input_tokens": 3, "output_tokens": 2}}),
            ),
        ]);
        assert_eq!(answer, "Hello\\u{1b}\n");
        assert_eq!(
            aside,
            "answered by m in lane l\n→ look {\"a\":1}\n← [1]\ncompleted; 3 tokens in, 2 out\n"
        );
        assert_eq!(ending, Some(Ending::Completed));
    }

    #[test]
    fn failure_says_why() {
        let done = json!({"status": "failed", "error": {"code": "model_unavailable", "message": "no lane"}});
        let (_, _, ending) = shown(&[("done", done)]);
        assert_eq!(
            ending,
            Some(Ending::Failed("no lane (model_unavailable)".to_owned()))
        );
    }
}
