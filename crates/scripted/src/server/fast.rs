//! The fast mode: each form of an answer is rendered once, and a request is searched for the few
//! words that choose the form instead of being parsed.

use std::sync::{Arc, Mutex, PoisonError};

use memchr::memmem;

use super::shared::Shared;
use crate::plan::Plan;
use crate::script::Active;
use crate::wire::{self, Ask};
use crate::{Reply, Wire};

/// More forms than one client asks for; the oldest gives way.
const FORMS_MAX: usize = 16;

/// A script that the fast mode can play.
#[derive(Debug)]
pub(super) struct FastScript {
    after_tool: Reply,
    otherwise: Reply,
    /// Whether the two differ, so that requests must be searched for tool results.
    looks_for_tools: bool,
    serves: Vec<Wire>,
    /// What was rendered on any connection.
    forms: Mutex<Vec<(Form, Arc<Plan>)>>,
}

impl FastScript {
    /// None if the script asks for more than this mode looks at.
    pub fn of(active: &Active) -> Option<Arc<Self>> {
        let (after_tool, otherwise) = active.fast_pair()?;
        let looks_for_tools = after_tool != otherwise;
        let serves = active.script.wires().to_vec();
        let forms = Mutex::default();
        Some(Arc::new(Self {
            after_tool,
            otherwise,
            looks_for_tools,
            serves,
            forms,
        }))
    }

    /// The plan of a form, rendered unless another connection asked for it before.
    fn plan(&self, form: &Form) -> Arc<Plan> {
        let mut forms = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, plan)) = forms.iter().find(|(known, _)| known == form) {
            return Arc::clone(plan);
        }
        let reply = if form.after_tool {
            &self.after_tool
        } else {
            &self.otherwise
        };
        let ask = Ask {
            wire: form.wire,
            model: &form.model,
            stream: form.stream,
            include_usage: form.include_usage,
            request: None,
        };
        let plan = Arc::new(Plan::new(wire::render(reply, &ask), reply, None));
        remember(&mut forms, form.clone(), &plan);
        plan
    }
}

/// Keeps a form in place of the oldest one if there are many.
fn remember(forms: &mut Vec<(Form, Arc<Plan>)>, form: Form, plan: &Arc<Plan>) {
    if forms.len() >= FORMS_MAX {
        forms.remove(0);
    }
    forms.push((form, Arc::clone(plan)));
}

/// What one connection asked for before: found again without a lock.
#[derive(Debug, Default)]
pub(super) struct FastCache {
    /// The script's generation that the rest is of, and the script.
    script: Option<(u64, Option<Arc<FastScript>>)>,
    forms: Vec<(Form, Arc<Plan>)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Form {
    wire: Wire,
    model: String,
    stream: bool,
    include_usage: bool,
    after_tool: bool,
}

impl FastCache {
    /// The plan for a request, if this server is in fast mode and plays a script for it.
    pub fn plan(
        &mut self,
        shared: &Shared,
        wire: Wire,
        path: &str,
        body: &[u8],
    ) -> Option<Arc<Plan>> {
        let generation = shared.generation();
        if self.script.as_ref().is_none_or(|(of, _)| *of != generation) {
            self.script = Some((generation, shared.fast_script()));
            self.forms.clear();
        }
        let script = self
            .script
            .as_ref()
            .and_then(|(_, script)| script.as_ref())?;
        if !script.serves.contains(&wire) {
            return None;
        }
        let (model, stream) = match wire {
            Wire::Gemini => {
                let stream = path.contains(":streamGenerateContent");
                (wire::model_of_path(path).unwrap_or_default(), stream)
            }
            Wire::Ollama => (model_in(body), flag(body, b"\"stream\"") != Some(false)),
            _ => (model_in(body), flag(body, b"\"stream\"") == Some(true)),
        };
        let include_usage =
            wire == Wire::OpenaiChat && stream && flag(body, b"\"include_usage\"") == Some(true);
        let after_tool = script.looks_for_tools && ends_with_tool_result(wire, body);
        let known = self.forms.iter().find(|(form, _)| {
            form.wire == wire
                && form.model == model
                && form.stream == stream
                && form.include_usage == include_usage
                && form.after_tool == after_tool
        });
        if let Some((_, plan)) = known {
            return Some(Arc::clone(plan));
        }
        let model = model.to_owned();
        let form = Form {
            wire,
            model,
            stream,
            include_usage,
            after_tool,
        };
        let plan = script.plan(&form);
        remember(&mut self.forms, form, &plan);
        Some(plan)
    }
}

/// What stands after `key` and a colon, white space skipped. Text inside a JSON string cannot be
/// taken for a key, since its quotes are escaped.
fn value_of<'a>(body: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let at = memmem::find(body, key)?;
    let rest = body[at + key.len()..]
        .trim_ascii_start()
        .strip_prefix(b":")?;
    Some(rest.trim_ascii_start())
}

fn flag(body: &[u8], key: &[u8]) -> Option<bool> {
    let value = value_of(body, key)?;
    if value.starts_with(b"true") {
        Some(true)
    } else if value.starts_with(b"false") {
        Some(false)
    } else {
        None
    }
}

fn model_in(body: &[u8]) -> &str {
    let value = value_of(body, b"\"model\"").and_then(|value| value.strip_prefix(b"\""));
    let Some(value) = value else { return "" };
    let end = memchr::memchr(b'"', value).unwrap_or(0);
    std::str::from_utf8(&value[..end]).unwrap_or_default()
}

/// Whether the last mark of a tool result comes after the last mark of a user's or model's own
/// text.
fn ends_with_tool_result(wire: Wire, body: &[u8]) -> bool {
    let last = |mark: &[u8]| memmem::rfind(body, mark);
    // Clients write JSON with or without a space after the colon.
    let latest = |compact: &[u8], spaced: &[u8]| last(compact).max(last(spaced));
    let assistant = latest(b"\"role\":\"assistant\"", b"\"role\": \"assistant\"");
    let user = latest(b"\"role\":\"user\"", b"\"role\": \"user\"");
    let (result, other) = match wire {
        Wire::OpenaiChat | Wire::Ollama => (
            latest(b"\"role\":\"tool\"", b"\"role\": \"tool\""),
            assistant.max(user),
        ),
        Wire::OpenaiResponses => (last(b"\"function_call_output\""), assistant.max(user)),
        // A result stands inside a user message, whose role may be written before or after it.
        Wire::Anthropic => (
            last(b"\"tool_result\""),
            assistant.max(last(b"\"tool_use\"")),
        ),
        Wire::Gemini => {
            let model = latest(b"\"role\":\"model\"", b"\"role\": \"model\"");
            (
                last(b"\"functionResponse\""),
                model.max(last(b"\"functionCall\"")),
            )
        }
    };
    result.is_some() && result > other
}
