//! Gemini: the form of its answers, streamed and whole (Gemini API reference, v1beta,
//! "generateContent" and "streamGenerateContent" with `alt=sse`). The provider ends its event lines
//! with CR LF, and has no terminal marker but the chunk with `finishReason`.

use super::{Answer, Ask, Block, Finish, Frames, ID_MARKER, Piece, Usage, quoted, value_or_text};

/// The frames of a streamed answer.
pub(super) fn stream(answer: &Answer, ask: &Ask<'_>, out: &mut Frames) {
    // Until the end only the input is counted.
    let so_far = answer.usage.map(|usage| {
        let input = usage.input;
        format!(r#"{{"promptTokenCount":{input},"totalTokenCount":{input}}}"#)
    });
    for block in &answer.blocks {
        let pieces = match block {
            Block::Reasoning(pieces) | Block::Text(pieces) => pieces,
            Block::Call { pieces, .. } => {
                out.delta(event(&body(&whole_part(block), "", so_far.as_deref(), ask)));
                let holds = pieces.iter().filter_map(|piece| match piece {
                    Piece::Hold(gate) => Some(gate),
                    Piece::Token(_) | Piece::Flood(_) => None,
                });
                holds.for_each(|gate| out.hold(gate));
                continue;
            }
        };
        let thought = matches!(block, Block::Reasoning(_));
        let one = |token: &str| {
            event(&body(
                &text_part(token, thought),
                "",
                so_far.as_deref(),
                ask,
            ))
        };
        for piece in pieces {
            match piece {
                Piece::Token(token) => out.delta(one(token)),
                Piece::Hold(gate) => out.hold(gate),
                Piece::Flood(flood) => out.flood(one(&flood.token), flood.count),
            }
        }
    }
    let usage = answer.usage.map(usage_object);
    let finish = finish_field(answer.finish);
    out.marker(event(&body(
        &text_part("", false),
        &finish,
        usage.as_deref(),
        ask,
    )));
}

fn event(body: &str) -> String {
    format!("data: {body}\r\n\r\n")
}

fn body(parts: &str, finish: &str, usage: Option<&str>, ask: &Ask<'_>) -> String {
    let model = quoted(ask.model);
    let usage = usage
        .map(|usage| format!(r#""usageMetadata":{usage},"#))
        .unwrap_or_default();
    format!(
        r#"{{"candidates":[{{"content":{{"parts":[{parts}],"role":"model"}},{finish}"index":0}}],{usage}"modelVersion":{model},"responseId":"{ID_MARKER}"}}"#
    )
}

fn text_part(text: &str, thought: bool) -> String {
    let thought = if thought { r#","thought":true"# } else { "" };
    format!(r#"{{"text":{}{thought}}}"#, quoted(text))
}

/// A call comes whole, never in fragments. It has an id only where the script gives one, as most
/// models of this provider send none.
fn whole_part(block: &Block) -> String {
    match block {
        Block::Reasoning(_) => text_part(&block.joined(), true),
        Block::Text(_) => text_part(&block.joined(), false),
        Block::Call {
            id,
            name,
            arguments,
            ..
        } => {
            let given = id.as_deref().filter(|id| !id.contains(ID_MARKER));
            let id = given
                .map(|id| format!(r#""id":{},"#, quoted(id)))
                .unwrap_or_default();
            let (name, args) = (quoted(name), value_or_text(arguments));
            format!(r#"{{"functionCall":{{{id}"name":{name},"args":{args}}}}}"#)
        }
    }
}

fn finish_field(finish: Finish) -> String {
    let word = match finish {
        Finish::Stop | Finish::ToolCalls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::ContentFilter => "SAFETY",
    };
    format!(r#""finishReason":"{word}","#)
}

/// Output tokens are reported without those of reasoning.
fn usage_object(usage: Usage) -> String {
    let Usage {
        input,
        output,
        cached,
        reasoning,
    } = usage;
    let spoken = output.saturating_sub(reasoning);
    let total = input + output;
    let mut fields = format!(
        r#""promptTokenCount":{input},"candidatesTokenCount":{spoken},"totalTokenCount":{total}"#
    );
    if cached > 0 {
        fields.push_str(&format!(r#","cachedContentTokenCount":{cached}"#));
    }
    if reasoning > 0 {
        fields.push_str(&format!(r#","thoughtsTokenCount":{reasoning}"#));
    }
    format!("{{{fields}}}")
}

/// The body of an answer that is not streamed.
pub(super) fn whole(answer: &Answer, ask: &Ask<'_>) -> String {
    let parts: Vec<String> = answer.blocks.iter().map(whole_part).collect();
    let usage = answer.usage.map(usage_object);
    body(
        &parts.join(","),
        &finish_field(answer.finish),
        usage.as_deref(),
        ask,
    )
}
