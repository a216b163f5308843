//! OpenAI chat completions: the form of its answers, streamed and whole (OpenAI API reference,
//! "Chat completions" and "Streaming events"). Reasoning is `reasoning_content`, as DeepSeek and
//! the local servers send it.

use super::{Answer, Ask, Block, CREATED, Finish, Frames, ID_MARKER, Piece, Usage, quoted};

/// The frames of a streamed answer.
pub(super) fn stream(answer: &Answer, ask: &Ask<'_>, out: &mut Frames) {
    out.structure(chunk(
        ask,
        r#"{"role":"assistant","content":"","refusal":null}"#,
        "null",
    ));
    for block in &answer.blocks {
        match block {
            Block::Reasoning(list) => pieces(list, "reasoning_content", ask, out),
            Block::Text(list) => pieces(list, "content", ask, out),
            Block::Call {
                index,
                id,
                name,
                pieces,
                ..
            } => {
                let id = id_field(id.as_deref());
                let name = quoted(name);
                let function = format!(r#""function":{{"name":{name},"arguments":""}}"#);
                let call = format!(
                    r#"{{"tool_calls":[{{"index":{index},{id}"type":"function",{function}}}]}}"#
                );
                out.structure(chunk(ask, &call, "null"));
                for piece in pieces {
                    arguments(piece, *index, ask, out);
                }
            }
        }
    }
    out.finish(chunk(ask, "{}", &quoted(finish_word(answer.finish))));
    if let Some(usage) = answer.usage.filter(|_| ask.include_usage) {
        let usage = usage_object(usage);
        out.finish(format!(
            "data: {},\"choices\":[],\"usage\":{usage}}}\n\n",
            opening(ask)
        ));
    }
    out.marker("data: [DONE]\n\n".to_owned());
}

fn pieces(pieces: &[Piece], field: &str, ask: &Ask<'_>, out: &mut Frames) {
    let delta = |token: &str| chunk(ask, &format!(r#"{{"{field}":{}}}"#, quoted(token)), "null");
    for piece in pieces {
        match piece {
            Piece::Token(token) => out.delta(delta(token)),
            Piece::Hold(gate) => out.hold(gate),
            Piece::Flood(flood) => out.flood(delta(&flood.token), flood.count),
        }
    }
}

fn arguments(piece: &Piece, index: usize, ask: &Ask<'_>, out: &mut Frames) {
    match piece {
        Piece::Token(fragment) => {
            let function = format!(r#"{{"arguments":{}}}"#, quoted(fragment));
            let call = format!(r#"{{"tool_calls":[{{"index":{index},"function":{function}}}]}}"#);
            out.delta(chunk(ask, &call, "null"));
        }
        Piece::Hold(gate) => out.hold(gate),
        Piece::Flood(_) => {}
    }
}

/// One event with one choice. `finish` is JSON.
fn chunk(ask: &Ask<'_>, delta: &str, finish: &str) -> String {
    let head = opening(ask);
    let usage = if ask.include_usage {
        r#","usage":null"#
    } else {
        ""
    };
    let choice =
        format!(r#"{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":{finish}}}"#);
    format!("data: {head},\"choices\":[{choice}]{usage}}}\n\n")
}

/// The fields that every event begins with, the object left open.
fn opening(ask: &Ask<'_>) -> String {
    let model = quoted(ask.model);
    let created = CREATED;
    format!(
        r#"{{"id":"chatcmpl-{ID_MARKER}","object":"chat.completion.chunk","created":{created},"model":{model},"service_tier":"default","system_fingerprint":"fp_scripted""#
    )
}

fn id_field(id: Option<&str>) -> String {
    id.map(|id| format!(r#""id":{},"#, quoted(id)))
        .unwrap_or_default()
}

fn finish_word(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::ContentFilter => "content_filter",
    }
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
        r#"{{"prompt_tokens":{input},"completion_tokens":{output},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{reasoning},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
    )
}

/// The body of an answer that is not streamed.
pub(super) fn whole(answer: &Answer, ask: &Ask<'_>) -> String {
    let mut message = r#"{"role":"assistant""#.to_owned();
    let text = answer.text_joined();
    let has_text = !text.is_empty() || answer.calls().next().is_none();
    let content = if has_text {
        quoted(&text)
    } else {
        "null".to_owned()
    };
    message.push_str(&format!(r#","content":{content}"#));
    let reasoning = answer.reasoning_joined();
    if !reasoning.is_empty() {
        message.push_str(&format!(r#","reasoning_content":{}"#, quoted(&reasoning)));
    }
    let calls: Vec<String> = answer.calls().filter_map(call_object).collect();
    if !calls.is_empty() {
        message.push_str(&format!(r#","tool_calls":[{}]"#, calls.join(",")));
    }
    message.push_str(r#","refusal":null,"annotations":[]}"#);
    let finish = finish_word(answer.finish);
    let usage = answer
        .usage
        .map(|usage| format!(r#""usage":{},"#, usage_object(usage)));
    let usage = usage.unwrap_or_default();
    let model = quoted(ask.model);
    format!(
        r#"{{"id":"chatcmpl-{ID_MARKER}","object":"chat.completion","created":{CREATED},"model":{model},"choices":[{{"index":0,"message":{message},"logprobs":null,"finish_reason":"{finish}"}}],{usage}"service_tier":"default","system_fingerprint":"fp_scripted"}}"#
    )
}

fn call_object(block: &Block) -> Option<String> {
    let Block::Call {
        id,
        name,
        arguments,
        ..
    } = block
    else {
        return None;
    };
    let id = id_field(id.as_deref());
    let (name, arguments) = (quoted(name), quoted(arguments));
    Some(format!(
        r#"{{{id}"type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#
    ))
}
