//! Anthropic messages: the form of its answers, streamed and whole (Anthropic API reference,
//! version 2023-06-01, "Messages" and "Streaming messages").

use super::{Answer, Ask, Block, Finish, Frames, ID_MARKER, Piece, Usage, quoted, value_or_text};

/// Stands for the signature of a thinking block, which a client must send back unread.
const SIGNATURE: &str = "RXNjcmlwdGVkLXNpZ25hdHVyZQ==";

/// The frames of a streamed answer.
pub(super) fn stream(answer: &Answer, ask: &Ask<'_>, out: &mut Frames) {
    let model = quoted(ask.model);
    let usage = answer.usage.map(|usage| {
        // What is known at the start: the input, and the first output token.
        format!(r#","usage":{}"#, usage_object(Usage { output: 1, ..usage }))
    });
    let usage = usage.unwrap_or_default();
    out.structure(event(
        "message_start",
        &format!(
            r#""message":{{"id":"msg_{ID_MARKER}","type":"message","role":"assistant","model":{model},"content":[],"stop_reason":null,"stop_sequence":null{usage}}}"#
        ),
    ));
    for (index, block) in answer.blocks.iter().enumerate() {
        out.structure(event(
            "content_block_start",
            &format!(r#""index":{index},"content_block":{}"#, opening(block)),
        ));
        if index == 0 {
            out.structure("event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned());
        }
        deltas(block, index, out);
        if matches!(block, Block::Reasoning(_)) {
            let signature = format!(r#"{{"type":"signature_delta","signature":"{SIGNATURE}"}}"#);
            out.structure(delta(index, &signature));
        }
        out.structure(event("content_block_stop", &format!(r#""index":{index}"#)));
    }
    let reason = finish_word(answer.finish);
    let usage = answer
        .usage
        .map(|usage| format!(r#","usage":{}"#, usage_object(usage)));
    let usage = usage.unwrap_or_default();
    out.finish(event(
        "message_delta",
        &format!(r#""delta":{{"stop_reason":"{reason}","stop_sequence":null}}{usage}"#),
    ));
    out.marker("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned());
}

fn event(name: &str, fields: &str) -> String {
    format!("event: {name}\ndata: {{\"type\":\"{name}\",{fields}}}\n\n")
}

fn delta(index: usize, delta: &str) -> String {
    event(
        "content_block_delta",
        &format!(r#""index":{index},"delta":{delta}"#),
    )
}

/// A block as it starts, without content.
fn opening(block: &Block) -> String {
    match block {
        Block::Reasoning(_) => r#"{"type":"thinking","thinking":"","signature":""}"#.to_owned(),
        Block::Text(_) => r#"{"type":"text","text":""}"#.to_owned(),
        Block::Call { id, name, .. } => {
            let (id, name) = (id_field(id.as_deref()), quoted(name));
            format!(r#"{{"type":"tool_use",{id}"name":{name},"input":{{}}}}"#)
        }
    }
}

fn deltas(block: &Block, index: usize, out: &mut Frames) {
    let (pieces, kind, field) = match block {
        Block::Reasoning(pieces) => (pieces, "thinking_delta", "thinking"),
        Block::Text(pieces) => (pieces, "text_delta", "text"),
        Block::Call { pieces, .. } => {
            out.structure(delta(
                index,
                r#"{"type":"input_json_delta","partial_json":""}"#,
            ));
            (pieces, "input_json_delta", "partial_json")
        }
    };
    let one = |token: &str| {
        delta(
            index,
            &format!(r#"{{"type":"{kind}","{field}":{}}}"#, quoted(token)),
        )
    };
    for piece in pieces {
        match piece {
            Piece::Token(token) => out.delta(one(token)),
            Piece::Hold(gate) => out.hold(gate),
            Piece::Flood(flood) => out.flood(one(&flood.token), flood.count),
        }
    }
}

fn id_field(id: Option<&str>) -> String {
    id.map(|id| format!(r#""id":{},"#, quoted(id)))
        .unwrap_or_default()
}

fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter => "refusal",
    }
}

/// Input tokens are reported without those read from the cache.
fn usage_object(usage: Usage) -> String {
    let Usage {
        input,
        output,
        cached,
        ..
    } = usage;
    let fresh = input.saturating_sub(cached);
    format!(
        r#"{{"input_tokens":{fresh},"cache_creation_input_tokens":0,"cache_read_input_tokens":{cached},"output_tokens":{output}}}"#
    )
}

/// The body of an answer that is not streamed.
pub(super) fn whole(answer: &Answer, ask: &Ask<'_>) -> String {
    let blocks: Vec<String> = answer.blocks.iter().map(whole_block).collect();
    let blocks = blocks.join(",");
    let model = quoted(ask.model);
    let reason = finish_word(answer.finish);
    let usage = answer
        .usage
        .map(|usage| format!(r#","usage":{}"#, usage_object(usage)));
    let usage = usage.unwrap_or_default();
    format!(
        r#"{{"id":"msg_{ID_MARKER}","type":"message","role":"assistant","model":{model},"content":[{blocks}],"stop_reason":"{reason}","stop_sequence":null{usage}}}"#
    )
}

fn whole_block(block: &Block) -> String {
    match block {
        Block::Reasoning(_) => {
            let thinking = quoted(&block.joined());
            format!(r#"{{"type":"thinking","thinking":{thinking},"signature":"{SIGNATURE}"}}"#)
        }
        Block::Text(_) => format!(r#"{{"type":"text","text":{}}}"#, quoted(&block.joined())),
        Block::Call {
            id,
            name,
            arguments,
            ..
        } => {
            let (id, name) = (id_field(id.as_deref()), quoted(name));
            let input = value_or_text(arguments);
            format!(r#"{{"type":"tool_use",{id}"name":{name},"input":{input}}}"#)
        }
    }
}
