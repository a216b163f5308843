//! What is said of a turn as it goes: its items, gathered for the whole answer, and the stream in the order that the SDKs' helpers insist on: created, in progress, then each item added, filled and
//! done, then the one terminal event. `sequence_number` begins at 0 and is dense; there are no `id:` lines, because one
//! published client fails on them beside a comment (openai-python, `_streaming.py`).

use super::{
    OutputItem, Response, ResponseStatus, approval_item, arguments, call_item, message_item,
    output_text, reasoning_item, run_item,
};
use domain::message::ToolCall;
use domain::usage::Usage;
use domain::{ApprovalId, MessageId};
use engine::InferEvent;
use serde_json::{Value, json};
use std::io::Write;

/// Writes one response's events.
pub struct Writer {
    response: Response,
    message: MessageId,
    sequence: u64,
    open: Open,
    next_index: u32,
    /// Where the items of the round at work begin.
    round_index: u32,
    /// Items that are done, in order.
    output: Vec<OutputItem>,
    usage: Usage,
    approvals: Vec<ApprovalId>,
    /// Nobody reads the stream: only the items are wanted.
    quiet: bool,
}

/// The item that is being filled.
enum Open {
    Nothing,
    Reasoning { index: u32, text: String },
    Message { index: u32, text: String },
}

impl Writer {
    pub fn new(response: Response, message: MessageId) -> Self {
        Self {
            response,
            message,
            sequence: 0,
            open: Open::Nothing,
            next_index: 0,
            round_index: 0,
            output: Vec::new(),
            usage: Usage::default(),
            approvals: Vec::new(),
            quiet: false,
        }
    }

    /// For an answer that is told whole.
    pub fn quiet(response: Response, message: MessageId) -> Self {
        Self {
            quiet: true,
            ..Self::new(response, message)
        }
    }

    /// The response as it is now.
    pub fn into_response(self) -> Response {
        self.response
    }

    pub fn begin(&mut self, out: &mut Vec<u8>) {
        for name in ["response.created", "response.in_progress"] {
            let data = json!({ "response": self.response });
            self.frame(name, data, out);
        }
    }

    /// True after the terminal event.
    pub fn write(&mut self, event: InferEvent, out: &mut Vec<u8>) -> bool {
        match event {
            InferEvent::Reasoning(delta) => {
                self.reasoning(&delta, out);
                false
            }
            InferEvent::Text(delta) => {
                self.text(&delta, out);
                false
            }
            InferEvent::Restarted(message) => {
                self.restart(message);
                false
            }
            InferEvent::Asked(turn) => {
                self.close(out);
                self.usage.add(&turn.usage);
                false
            }
            InferEvent::Called {
                call,
                content,
                is_error,
            } => {
                self.called(&call, (&content, is_error), out);
                false
            }
            InferEvent::Waiting { call, approval_id } => {
                let index = self.take_index();
                let item = approval_item(&call, approval_id);
                self.added(index, &item, out);
                self.done(index, item, out);
                self.approvals.push(approval_id);
                false
            }
            InferEvent::Round(message) => {
                self.message = message;
                self.round_index = self.next_index;
                false
            }
            InferEvent::Done(turn) => {
                let calls = &turn.output.tool_calls;
                if calls.is_empty() && self.next_index == self.round_index {
                    self.text("", out);
                }
                self.close(out);
                for call in calls {
                    self.call(call, out);
                }
                self.usage.add(&turn.usage);
                let (output, usage) = (std::mem::take(&mut self.output), self.usage);
                self.end(|response| response.completed(&turn, output, usage), out);
                true
            }
            InferEvent::Stopped(stop) => {
                self.close(out);
                let (output, usage) = (std::mem::take(&mut self.output), self.usage);
                let approvals = std::mem::take(&mut self.approvals);
                self.end(
                    |response| response.stopped(&stop, output, &approvals, usage),
                    out,
                );
                true
            }
            InferEvent::Failed(failure) => {
                self.close(out);
                self.end(|response| response.failed(&failure), out);
                true
            }
        }
    }

    /// What was said of this round is void.
    fn restart(&mut self, message: MessageId) {
        self.message = message;
        self.open = Open::Nothing;
        self.next_index = self.round_index;
        self.output.truncate(self.round_index as usize);
    }

    fn end(&mut self, end: impl FnOnce(Response) -> Response, out: &mut Vec<u8>) {
        self.response = end(self.response.clone());
        let name = match self.response.status {
            ResponseStatus::Incomplete => "response.incomplete",
            ResponseStatus::Failed => "response.failed",
            ResponseStatus::Completed | ResponseStatus::InProgress => "response.completed",
        };
        if !self.quiet {
            self.frame(name, json!({ "response": self.response }), out);
        }
    }

    fn reasoning(&mut self, delta: &str, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Reasoning { .. }) {
            self.close(out);
            let index = self.take_index();
            self.added(index, &reasoning_item(self.message, "", "in_progress"), out);
            let part = json!({ "type": "summary_text", "text": "" });
            let data = json!({ "item_id": self.item("rs"), "output_index": index, "summary_index": 0, "part": part });
            self.frame("response.reasoning_summary_part.added", data, out);
            self.open = Open::Reasoning {
                index,
                text: String::new(),
            };
        }
        if let Open::Reasoning { index, text } = &mut self.open {
            text.push_str(delta);
            let index = *index;
            let name = "response.reasoning_summary_text.delta";
            self.delta(name, "rs", index, r#""summary_index":0"#, delta, out);
        }
    }

    fn text(&mut self, delta: &str, out: &mut Vec<u8>) {
        if !matches!(self.open, Open::Message { .. }) {
            self.close(out);
            let index = self.take_index();
            self.added(index, &message_item(self.message, "", "in_progress"), out);
            let data = json!({ "item_id": self.item("msg"), "output_index": index, "content_index": 0, "part": output_text("") });
            self.frame("response.content_part.added", data, out);
            self.open = Open::Message {
                index,
                text: String::new(),
            };
        }
        if let Open::Message { index, text } = &mut self.open {
            text.push_str(delta);
            let index = *index;
            if !delta.is_empty() {
                let name = "response.output_text.delta";
                let fixed = r#""content_index":0,"logprobs":[]"#;
                self.delta(name, "msg", index, fixed, delta, out);
            }
        }
    }

    /// A piece of an item's text. Nearly all frames are these, so they are written without a value in between. `fixed` are
    /// the fields that are the same in each.
    fn delta(
        &mut self,
        name: &str,
        prefix: &str,
        index: u32,
        fixed: &str,
        delta: &str,
        out: &mut Vec<u8>,
    ) {
        if self.quiet {
            return;
        }
        let item = self.message.uuid().simple();
        let sequence = self.sequence;
        self.sequence += 1;
        write!(
            out,
            "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{sequence},\"item_id\":\"{prefix}_{item}\",\"output_index\":{index},{fixed},\"delta\":"
        )
        .and_then(|()| serde_json::to_writer(&mut *out, delta).map_err(Into::into))
        .expect("a buffer takes everything");
        out.extend_from_slice(b"}\n\n");
    }

    /// Ends the item that is being filled.
    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => {}
            Open::Reasoning { index, text } => {
                let id = self.item("rs");
                let data = json!({ "item_id": id, "output_index": index, "summary_index": 0, "text": text });
                self.frame("response.reasoning_summary_text.done", data, out);
                let part = json!({ "type": "summary_text", "text": text });
                let data = json!({ "item_id": id, "output_index": index, "summary_index": 0, "part": part });
                self.frame("response.reasoning_summary_part.done", data, out);
                self.done(index, reasoning_item(self.message, &text, "completed"), out);
            }
            Open::Message { index, text } => {
                let id = self.item("msg");
                let data = json!({ "item_id": id, "output_index": index, "content_index": 0, "text": text, "logprobs": [] });
                self.frame("response.output_text.done", data, out);
                let data = json!({ "item_id": id, "output_index": index, "content_index": 0, "part": output_text(&text) });
                self.frame("response.content_part.done", data, out);
                self.done(index, message_item(self.message, &text, "completed"), out);
            }
        }
    }

    fn call(&mut self, call: &ToolCall, out: &mut Vec<u8>) {
        let index = self.take_index();
        self.added(index, &call_item(call, "in_progress"), out);
        let item = call_item(call, "completed");
        if let OutputItem::FunctionCall {
            id,
            arguments,
            name,
            ..
        } = &item
        {
            let data = json!({ "item_id": id, "output_index": index, "delta": arguments });
            self.frame("response.function_call_arguments.delta", data, out);
            let data = json!({ "item_id": id, "output_index": index, "name": name, "arguments": arguments });
            self.frame("response.function_call_arguments.done", data, out);
        }
        self.done(index, item, out);
    }

    /// A call that was run here. Told when it is over: until then it may turn out to wait for a person.
    fn called(&mut self, call: &ToolCall, outcome: (&str, bool), out: &mut Vec<u8>) {
        let index = self.take_index();
        self.added(index, &run_item(call, None), out);
        let item = run_item(call, Some(outcome));
        if let OutputItem::McpCall { id, status, .. } = &item {
            let place = json!({ "item_id": id, "output_index": index });
            let mut with = place.clone();
            self.frame("response.mcp_call.in_progress", place.clone(), out);
            with["delta"] = json!(arguments(call));
            self.frame("response.mcp_call_arguments.delta", with, out);
            let mut with = place.clone();
            with["arguments"] = json!(arguments(call));
            self.frame("response.mcp_call_arguments.done", with, out);
            self.frame(&format!("response.mcp_call.{status}"), place, out);
        }
        self.done(index, item, out);
    }

    fn added(&mut self, index: u32, item: &OutputItem, out: &mut Vec<u8>) {
        let data = json!({ "output_index": index, "item": item });
        self.frame("response.output_item.added", data, out);
    }

    fn done(&mut self, index: u32, item: OutputItem, out: &mut Vec<u8>) {
        if !self.quiet {
            let data = json!({ "output_index": index, "item": item });
            self.frame("response.output_item.done", data, out);
        }
        self.output.push(item);
    }

    fn take_index(&mut self) -> u32 {
        let index = self.next_index;
        self.next_index += 1;
        index
    }

    fn item(&self, prefix: &str) -> String {
        format!("{prefix}_{}", self.message.uuid().simple())
    }

    fn frame(&mut self, name: &str, mut data: Value, out: &mut Vec<u8>) {
        if self.quiet {
            return;
        }
        data["type"] = json!(name);
        data["sequence_number"] = json!(self.sequence);
        self.sequence += 1;
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        out.extend_from_slice(data.to_string().as_bytes());
        out.extend_from_slice(b"\n\n");
    }
}
