//! Ollama's own API: the form of its answers, streamed as lines of JSON and whole (Ollama API
//! reference, "Generate a chat completion").

use super::{Answer, Ask, Block, Finish, Frames, Piece, Usage, quoted, value_or_text};

/// The lines of a streamed answer.
pub(super) fn stream(answer: &Answer, ask: &Ask<'_>, out: &mut Frames) {
    for block in &answer.blocks {
        let (pieces, thinks) = match block {
            Block::Reasoning(pieces) => (pieces, true),
            Block::Text(pieces) => (pieces, false),
            Block::Call { pieces, .. } => {
                let calls = call_object(block).unwrap_or_default();
                let message =
                    format!(r#"{{"role":"assistant","content":"","tool_calls":[{calls}]}}"#);
                out.delta(line(&message, ask));
                let holds = pieces.iter().filter_map(|piece| match piece {
                    Piece::Hold(gate) => Some(gate),
                    Piece::Token(_) | Piece::Flood(_) => None,
                });
                holds.for_each(|gate| out.hold(gate));
                continue;
            }
        };
        let one = |token: &str| {
            let token = quoted(token);
            let message = if thinks {
                format!(r#"{{"role":"assistant","content":"","thinking":{token}}}"#)
            } else {
                format!(r#"{{"role":"assistant","content":{token}}}"#)
            };
            line(&message, ask)
        };
        for piece in pieces {
            match piece {
                Piece::Token(token) => out.delta(one(token)),
                Piece::Hold(gate) => out.hold(gate),
                Piece::Flood(flood) => out.flood(one(&flood.token), flood.count),
            }
        }
    }
    let message = r#"{"role":"assistant","content":""}"#;
    out.marker(format!(
        "{}{}\n",
        opening(message, ask),
        done_fields(answer)
    ));
}

fn line(message: &str, ask: &Ask<'_>) -> String {
    format!("{},\"done\":false}}\n", opening(message, ask))
}

/// The fields that every line begins with, the object left open.
fn opening(message: &str, ask: &Ask<'_>) -> String {
    let model = quoted(ask.model);
    format!(r#"{{"model":{model},"created_at":"2025-06-15T15:06:40.000000Z","message":{message}"#)
}

/// The fields of the last line, and the end of the object.
fn done_fields(answer: &Answer) -> String {
    let reason = match answer.finish {
        Finish::Length => "length",
        Finish::Stop | Finish::ToolCalls | Finish::ContentFilter => "stop",
    };
    let usage = answer.usage.map(usage_fields).unwrap_or_default();
    format!(
        r#","done":true,"done_reason":"{reason}","total_duration":4883583458,"load_duration":1334875{usage}}}"#
    )
}

fn usage_fields(usage: Usage) -> String {
    let Usage {
        input,
        output,
        cached,
        ..
    } = usage;
    let mut fields = format!(
        r#","prompt_eval_count":{input},"prompt_eval_duration":342546000,"eval_count":{output},"eval_duration":4535599000"#
    );
    if cached > 0 {
        fields.push_str(&format!(r#","prompt_eval_cached_count":{cached}"#));
    }
    fields
}

fn call_object(block: &Block) -> Option<String> {
    let Block::Call {
        index,
        id,
        name,
        arguments,
        ..
    } = block
    else {
        return None;
    };
    let id = id
        .as_deref()
        .map(|id| format!(r#""id":{},"#, quoted(id)))
        .unwrap_or_default();
    let (name, arguments) = (quoted(name), value_or_text(arguments));
    Some(format!(
        r#"{{{id}"function":{{"index":{index},"name":{name},"arguments":{arguments}}}}}"#
    ))
}

/// The body of an answer that is not streamed.
pub(super) fn whole(answer: &Answer, ask: &Ask<'_>) -> String {
    let mut message = format!(
        r#"{{"role":"assistant","content":{}"#,
        quoted(&answer.text_joined())
    );
    let reasoning = answer.reasoning_joined();
    if !reasoning.is_empty() {
        message.push_str(&format!(r#","thinking":{}"#, quoted(&reasoning)));
    }
    let calls: Vec<String> = answer.calls().filter_map(call_object).collect();
    if !calls.is_empty() {
        message.push_str(&format!(r#","tool_calls":[{}]"#, calls.join(",")));
    }
    message.push('}');
    format!("{}{}", opening(&message, ask), done_fields(answer))
}
