//! OpenAI Responses: the form of its answers, streamed and whole (OpenAI API reference, "Responses"
//! and "Streaming events"). Reasoning is a summary of one part.

use super::{
    Answer, Ask, Block, CREATED, Finish, FloodFrame, Frames, ID_MARKER, Piece, Usage, quoted,
};

/// Writes events with their dense numbers.
struct Events<'a> {
    out: &'a mut Frames,
    next: u64,
}

impl Events<'_> {
    fn text(&mut self, kind: &str, fields: &str) -> String {
        let number = self.next;
        self.next += 1;
        format!(
            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":{number},{fields}}}\n\n"
        )
    }

    fn structure(&mut self, kind: &str, fields: &str) {
        let text = self.text(kind, fields);
        self.out.structure(text);
    }

    /// The deltas of one block.
    fn deltas(&mut self, kind: &str, place: &str, more: &str, pieces: &[Piece]) {
        let fields = |token: &str| format!(r#"{place},"delta":{}{more}"#, quoted(token));
        for piece in pieces {
            match piece {
                Piece::Token(token) => {
                    let text = self.text(kind, &fields(token));
                    self.out.delta(text);
                }
                Piece::Hold(gate) => self.out.hold(gate),
                Piece::Flood(flood) => {
                    self.out.numbered_flood(FloodFrame {
                        before: format!(
                            "event: {kind}\ndata: {{\"type\":\"{kind}\",\"sequence_number\":"
                        ),
                        first: Some(self.next),
                        after: format!(",{}}}\n\n", fields(&flood.token)),
                        count: flood.count,
                    });
                    self.next += flood.count.unwrap_or_default();
                }
            }
        }
    }
}

/// The frames of a streamed answer.
pub(super) fn stream(answer: &Answer, ask: &Ask<'_>, out: &mut Frames) {
    let mut events = Events { out, next: 0 };
    let begun = response(ask, "in_progress", "null", "", "null");
    events.structure("response.created", &format!(r#""response":{begun}"#));
    events.structure("response.in_progress", &format!(r#""response":{begun}"#));
    for (index, block) in answer.blocks.iter().enumerate() {
        let opening = item(block, index, false);
        let place = format!(r#""output_index":{index},"item":{opening}"#);
        events.structure("response.output_item.added", &place);
        match block {
            Block::Reasoning(pieces) => reasoning(block, pieces, index, &mut events),
            Block::Text(pieces) => text(block, pieces, index, &mut events),
            Block::Call {
                arguments, pieces, ..
            } => {
                let place = format!(
                    r#""item_id":"{}","output_index":{index}"#,
                    item_id(block, index)
                );
                events.deltas("response.function_call_arguments.delta", &place, "", pieces);
                let arguments = quoted(arguments);
                let done = format!(r#"{place},"arguments":{arguments}"#);
                events.structure("response.function_call_arguments.done", &done);
            }
        }
        let done = format!(
            r#""output_index":{index},"item":{}"#,
            item(block, index, true)
        );
        events.structure("response.output_item.done", &done);
    }
    let (kind, ended) = ended(answer, ask);
    let last = events.text(kind, &format!(r#""response":{ended}"#));
    events.out.marker(last);
}

fn text(block: &Block, pieces: &[Piece], index: usize, events: &mut Events<'_>) {
    let place = format!(
        r#""item_id":"{}","output_index":{index},"content_index":0"#,
        item_id(block, index)
    );
    let empty = text_part("");
    events.structure(
        "response.content_part.added",
        &format!(r#"{place},"part":{empty}"#),
    );
    events.deltas(
        "response.output_text.delta",
        &place,
        r#","logprobs":[]"#,
        pieces,
    );
    let joined = block.joined();
    let done = format!(r#"{place},"text":{},"logprobs":[]"#, quoted(&joined));
    events.structure("response.output_text.done", &done);
    let part = text_part(&joined);
    events.structure(
        "response.content_part.done",
        &format!(r#"{place},"part":{part}"#),
    );
}

fn reasoning(block: &Block, pieces: &[Piece], index: usize, events: &mut Events<'_>) {
    let place = format!(
        r#""item_id":"{}","output_index":{index},"summary_index":0"#,
        item_id(block, index)
    );
    let empty = summary_part("");
    events.structure(
        "response.reasoning_summary_part.added",
        &format!(r#"{place},"part":{empty}"#),
    );
    events.deltas("response.reasoning_summary_text.delta", &place, "", pieces);
    let joined = block.joined();
    let done = format!(r#"{place},"text":{}"#, quoted(&joined));
    events.structure("response.reasoning_summary_text.done", &done);
    let part = summary_part(&joined);
    events.structure(
        "response.reasoning_summary_part.done",
        &format!(r#"{place},"part":{part}"#),
    );
}

fn text_part(text: &str) -> String {
    format!(
        r#"{{"type":"output_text","annotations":[],"logprobs":[],"text":{}}}"#,
        quoted(text)
    )
}

fn summary_part(text: &str) -> String {
    format!(r#"{{"type":"summary_text","text":{}}}"#, quoted(text))
}

fn item_id(block: &Block, index: usize) -> String {
    let prefix = match block {
        Block::Reasoning(_) => "rs",
        Block::Text(_) => "msg",
        Block::Call { .. } => "fc",
    };
    format!("{prefix}_{ID_MARKER}{index:02}")
}

/// An output item, as it is added or as it is done.
fn item(block: &Block, index: usize, done: bool) -> String {
    let id = item_id(block, index);
    let status = if done { "completed" } else { "in_progress" };
    match block {
        Block::Reasoning(_) => {
            let summary = if done {
                summary_part(&block.joined())
            } else {
                String::new()
            };
            format!(r#"{{"id":"{id}","type":"reasoning","summary":[{summary}]}}"#)
        }
        Block::Text(_) => {
            let content = if done {
                text_part(&block.joined())
            } else {
                String::new()
            };
            format!(
                r#"{{"id":"{id}","type":"message","status":"{status}","content":[{content}],"role":"assistant"}}"#
            )
        }
        Block::Call {
            id: call_id,
            name,
            arguments,
            ..
        } => {
            let call_id = call_id
                .as_deref()
                .map(|id| format!(r#""call_id":{},"#, quoted(id)));
            let call_id = call_id.unwrap_or_default();
            let arguments = quoted(if done { arguments } else { "" });
            let name = quoted(name);
            format!(
                r#"{{"id":"{id}","type":"function_call","status":"{status}","arguments":{arguments},{call_id}"name":{name}}}"#
            )
        }
    }
}

/// The last event's type, and the response in it.
fn ended(answer: &Answer, ask: &Ask<'_>) -> (&'static str, String) {
    let items = answer
        .blocks
        .iter()
        .enumerate()
        .map(|(index, block)| item(block, index, true));
    let output = items.collect::<Vec<_>>().join(",");
    let usage = answer.usage.map_or_else(|| "null".to_owned(), usage_object);
    let reason = match answer.finish {
        Finish::Stop | Finish::ToolCalls => {
            return (
                "response.completed",
                response(ask, "completed", "null", &output, &usage),
            );
        }
        Finish::Length => "max_output_tokens",
        Finish::ContentFilter => "content_filter",
    };
    let details = format!(r#"{{"reason":"{reason}"}}"#);
    (
        "response.incomplete",
        response(ask, "incomplete", &details, &output, &usage),
    )
}

fn response(ask: &Ask<'_>, status: &str, incomplete: &str, output: &str, usage: &str) -> String {
    let model = quoted(ask.model);
    format!(
        r#"{{"id":"resp_{ID_MARKER}","object":"response","created_at":{CREATED},"status":"{status}","background":false,"error":null,"incomplete_details":{incomplete},"instructions":null,"max_output_tokens":null,"max_tool_calls":null,"model":{model},"output":[{output}],"parallel_tool_calls":true,"previous_response_id":null,"reasoning":{{"effort":null,"summary":null}},"service_tier":"default","store":true,"temperature":1.0,"text":{{"format":{{"type":"text"}}}},"tool_choice":"auto","tools":[],"top_p":1.0,"truncation":"disabled","usage":{usage},"user":null,"metadata":{{}}}}"#
    )
}

fn usage_object(usage: Usage) -> String {
    let Usage {
        input,
        output,
        cached,
        reasoning,
    } = usage;
    let total = input + output;
    format!(
        r#"{{"input_tokens":{input},"input_tokens_details":{{"cached_tokens":{cached}}},"output_tokens":{output},"output_tokens_details":{{"reasoning_tokens":{reasoning}}},"total_tokens":{total}}}"#
    )
}

/// The body of an answer that is not streamed.
pub(super) fn whole(answer: &Answer, ask: &Ask<'_>) -> String {
    ended(answer, ask).1
}
