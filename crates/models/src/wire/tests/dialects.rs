//! What servers say that copy a provider's wire, and what providers say rarely.

use crate::answer::{Answer, Stop};
use crate::config::Wire;
use crate::fault::{Detail, Fault};
use crate::wire::Decoder;
use domain::ports::model::{AskedCall, TurnEvent};
use serde_json::{Value, json};

fn decode(wire: Wire, frames: &[Value]) -> Result<Answer, Fault> {
    let mut decoder = Decoder::new(wire).unwrap();
    let mut answer = Answer::default();
    for frame in frames {
        decoder.frame(frame.to_string().as_bytes(), &mut answer)?;
    }
    Ok(answer)
}

fn events(answer: &Answer) -> Vec<TurnEvent> {
    answer.events.iter().cloned().collect()
}

fn text(text: &str) -> TurnEvent {
    TurnEvent::Text(text.to_owned())
}

fn reasoning(text: &str) -> TurnEvent {
    TurnEvent::Reasoning(text.to_owned())
}

fn call(name: &str, arguments: &str) -> AskedCall {
    AskedCall {
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    }
}

fn delta(delta: Value) -> Value {
    json!({"choices": [{"index": 0, "delta": delta}]})
}

#[test]
fn chat_reasoning_is_read_under_each_name() {
    let frames = [
        delta(json!({"reasoning_content": "a", "content": null})),
        delta(json!({"reasoning": "b"})),
        delta(json!({"reasoning": {"not": "text"}, "content": ""})),
        delta(
            json!({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "c"}]}]}),
        ),
        delta(json!({"content": [{"type": "text", "text": "d"}]})),
        delta(json!({"refusal": "e"})),
    ];
    let answer = decode(Wire::OpenaiChat, &frames).unwrap();
    assert_eq!(
        events(&answer),
        [
            reasoning("a"),
            reasoning("b"),
            reasoning("c"),
            text("d"),
            text("e")
        ]
    );
}

#[test]
fn chat_calls_without_an_index_or_with_arguments_as_an_object_are_read() {
    let frames = [
        delta(json!({"tool_calls": [{"function": {"name": "one", "arguments": "{\"a\":"}}]})),
        delta(json!({"tool_calls": [{"function": {"arguments": "1}"}}]})),
        delta(
            json!({"tool_calls": [{"id": "x", "function": {"name": "two", "arguments": {"b": 2}}}]}),
        ),
        delta(
            json!({"tool_calls": [{"index": 9_000_000_000u64, "id": "y", "function": {"name": "three"}}]}),
        ),
        json!({"choices": [{"finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "prompt_cache_hit_tokens": 3}}),
    ];
    let mut answer = decode(Wire::OpenaiChat, &frames).unwrap();
    assert_eq!(
        (answer.reported.input, answer.reported.cached),
        (Some(7), 3)
    );
    assert_eq!(answer.stop, Some(Stop::End));
    assert_eq!(
        answer.take_calls(str::to_owned),
        [
            call("one", "{\"a\":1}"),
            call("two", "{\"b\":2}"),
            call("three", "{}")
        ]
    );
}

#[test]
fn chat_errors_inside_the_stream_are_seen_in_each_form() {
    let failed = |status| {
        Err(Fault::Provider {
            status,
            wait: None,
            detail: Detail::default(),
        })
    };
    let decode = |frame: Value| decode(Wire::OpenaiChat, &[frame]).map(|_| ());
    assert_eq!(
        decode(json!({"error": {"code": 502, "message": "m"}, "choices": []})),
        failed(Some(502))
    );
    assert_eq!(
        decode(json!({"choices": [{"finish_reason": "error"}]})),
        failed(None)
    );
    assert_eq!(
        decode(json!({"choices": [{"finish_reason": "content_filter"}]})),
        Err(Fault::Filtered)
    );
    assert_eq!(decode(json!({"error": null, "choices": []})), Ok(()));
}

#[test]
fn what_is_no_json_is_unreadable() {
    for wire in [
        Wire::OpenaiChat,
        Wire::OpenaiResponses,
        Wire::Anthropic,
        Wire::Gemini,
        Wire::Ollama,
    ] {
        let mut decoder = Decoder::new(wire).unwrap();
        for frame in [
            &b"{\"choices\":"[..],
            b"nonsense",
            b"[1,2]",
            b"\"x\"",
            b"\xFF",
        ] {
            let read = decoder.frame(frame, &mut Answer::default());
            assert_eq!(read, Err(Fault::Unreadable), "{wire:?} {frame:?}");
        }
    }
}

#[test]
fn nul_and_half_characters_never_leave_the_wire() {
    let mut decoder = Decoder::new(Wire::OpenaiChat).unwrap();
    let mut answer = Answer::default();
    let frames = [
        r#"{"choices":[{"delta":{"content":"a\u0000b"}}]}"#,
        r#"{"choices":[{"delta":{"content":"\ud83d"}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"x\":\"\\u0000\\ud83d\"}"}}]}}]}"#,
    ];
    for frame in frames {
        decoder.frame(frame.as_bytes(), &mut answer).unwrap();
    }
    assert_eq!(events(&answer), [text("a\u{FFFD}b"), text("\u{FFFD}")]);
    let calls = answer.take_calls(str::to_owned);
    let arguments: Value = serde_json::from_str(&calls[0].arguments).unwrap();
    assert_eq!(arguments, json!({"x": "\u{FFFD}\u{FFFD}"}));
}

#[test]
fn responses_tell_calls_at_once_or_in_parts() {
    let item = |arguments: &str| json!({"type": "function_call", "id": "fc", "call_id": "c", "name": "f", "arguments": arguments});
    let frames = [
        json!({"type": "response.output_item.added", "output_index": 0, "item": item("")}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{\"a\""}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item("{\"a\":1}")}),
        json!({"type": "response.output_item.done", "output_index": 1, "item": item("{\"b\":2}")}),
        json!({"type": "response.function_call_arguments.delta", "output_index": 7, "delta": "of something else"}),
        json!({"type": "response.audio.delta", "delta": {"odd": true}}),
    ];
    let mut answer = decode(Wire::OpenaiResponses, &frames).unwrap();
    assert!(!answer.done);
    assert_eq!(
        answer.take_calls(str::to_owned),
        [call("f", "{\"a\":1}"), call("f", "{\"b\":2}")]
    );
}

#[test]
fn responses_that_are_incomplete_say_why() {
    let incomplete = |reason: &str| {
        let response = json!({"incomplete_details": {"reason": reason}, "usage": {"input_tokens": 3, "output_tokens": 4}});
        decode(
            Wire::OpenaiResponses,
            &[json!({"type": "response.incomplete", "response": response})],
        )
    };
    let answer = incomplete("max_output_tokens").unwrap();
    assert_eq!((answer.stop, answer.done), (Some(Stop::Length), true));
    assert_eq!(answer.reported.output, Some(4));
    assert_eq!(incomplete("content_filter").unwrap_err(), Fault::Filtered);
}

#[test]
fn responses_sign_their_reasoning() {
    let frames = [
        json!({"type": "response.reasoning_summary_text.delta", "delta": "one"}),
        json!({"type": "response.reasoning_summary_part.added"}),
        json!({"type": "response.reasoning_summary_text.delta", "delta": "two"}),
        json!({"type": "response.output_item.done", "output_index": 0,
               "item": {"type": "reasoning", "id": "rs_1", "encrypted_content": "secret"}}),
    ];
    let mut answer = decode(Wire::OpenaiResponses, &frames).unwrap();
    assert_eq!(
        events(&answer),
        [reasoning("one"), reasoning("\n\n"), reasoning("two")]
    );
    assert_eq!(answer.take_signatures(), ["openai-responses|rs_1|secret"]);
}

#[test]
fn anthropic_counts_cached_input_and_signs_its_thinking() {
    let frames = [
        json!({"type": "message_start", "message": {"usage": {"input_tokens": 10, "cache_read_input_tokens": 200,
               "cache_creation_input_tokens": 30, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "żó"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "AB"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "CD"}}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "XYZ"}}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "thinking", "thinking": "more", "signature": "EF"}}),
        json!({"type": "content_block_start", "index": 3, "content_block": {"type": "server_tool_use", "name": "web", "input": {}}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
        json!({"type": "ping"}),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 50}}),
        json!({"type": "message_stop"}),
    ];
    let mut answer = decode(Wire::Anthropic, &frames).unwrap();
    assert!(answer.done);
    assert_eq!(answer.stop, Some(Stop::Length));
    let reported = answer.reported;
    assert_eq!(
        (
            reported.input,
            reported.cached,
            reported.cache_written,
            reported.output
        ),
        (Some(240), 200, 30, Some(50))
    );
    assert_eq!(events(&answer), [reasoning("żó"), reasoning("more")]);
    assert_eq!(answer.take_calls(str::to_owned), []);
    assert_eq!(
        answer.take_signatures(),
        [
            "anthropic|0|ABCD",
            "anthropic|redacted|XYZ",
            "anthropic|4|EF"
        ]
    );
}

#[test]
fn anthropic_refusals_are_no_answers() {
    let refusal = json!({"type": "message_delta", "delta": {"stop_reason": "refusal"}});
    assert_eq!(
        decode(Wire::Anthropic, &[refusal]).unwrap_err(),
        Fault::Filtered
    );
}

#[test]
fn gemini_signs_calls_and_text() {
    let part = |part: Value| json!({"candidates": [{"content": {"parts": [part]}}]});
    let frames = [
        part(json!({"text": "hm", "thought": true})),
        part(json!({"text": "I look", "thoughtSignature": "T"})),
        part(json!({"functionCall": {"name": "one", "args": {"a": 1}}, "thoughtSignature": "S"})),
        part(json!({"functionCall": {"name": "two"}})),
        json!({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 6,
               "thoughtsTokenCount": 7, "cachedContentTokenCount": 2}}),
    ];
    let mut answer = decode(Wire::Gemini, &frames).unwrap();
    assert!(answer.done);
    assert_eq!(answer.reported.output, Some(13));
    assert_eq!(events(&answer), [reasoning("hm"), text("I look")]);
    assert_eq!(answer.take_signatures(), ["gemini|text|T", "gemini|0|S"]);
    assert_eq!(
        answer.take_calls(str::to_owned),
        [call("one", "{\"a\":1}"), call("two", "{}")]
    );
}

#[test]
fn gemini_refuses_in_several_words() {
    let finished = |reason: &str| {
        decode(
            Wire::Gemini,
            &[json!({"candidates": [{"finishReason": reason}]})],
        )
        .unwrap_err()
    };
    assert_eq!(finished("SAFETY"), Fault::Filtered);
    assert_eq!(finished("MALFORMED_FUNCTION_CALL"), Fault::MalformedCall);
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}});
    assert_eq!(
        decode(Wire::Gemini, &[blocked]).unwrap_err(),
        Fault::Filtered
    );
}

/// Frames of every kind, to be spoiled.
fn samples(wire: Wire) -> Vec<String> {
    let frames = match wire {
        Wire::OpenaiChat => vec![
            delta(json!({"content": "żółw \u{1F422}", "reasoning_content": "hm"})),
            delta(
                json!({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{\"a\":1}"}}]}),
            ),
            json!({"choices": [{"finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}),
        ],
        Wire::OpenaiResponses => vec![
            json!({"type": "response.output_text.delta", "delta": "żółw \\ \""}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": {"type": "function_call", "name": "f"}}),
            json!({"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 4}}}),
        ],
        Wire::Anthropic => vec![
            json!({"type": "message_start", "message": {"usage": {"input_tokens": 10}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "x"}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"thinking": "żó", "signature": "AB"}}),
            json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}),
        ],
        Wire::Gemini => vec![
            json!({"candidates": [{"content": {"parts": [{"text": "żó", "thoughtSignature": "T"},
                   {"functionCall": {"name": "f", "args": {"a": [1, null]}}}]}, "finishReason": "STOP"}]}),
        ],
        Wire::Ollama | Wire::Offline => vec![
            json!({"message": {"content": "żó", "thinking": "hm", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}}),
            json!({"done": true, "done_reason": "length", "eval_count": 3}),
        ],
    };
    frames.iter().map(Value::to_string).collect()
}

#[test]
fn spoiled_frames_are_read_or_refused_but_never_break_the_reader() {
    use crate::random::mix;
    let spoil = [
        0u8, b'"', b'\\', b'{', b'}', b'u', b'd', 0x80, 0xC3, 0xFF, b'9', b'-',
    ];
    for wire in [
        Wire::OpenaiChat,
        Wire::OpenaiResponses,
        Wire::Anthropic,
        Wire::Gemini,
        Wire::Ollama,
    ] {
        let frames = samples(wire);
        let mut refused = 0;
        for seed in 0..4_000u64 {
            let mut decoder = Decoder::new(wire).unwrap();
            let mut answer = Answer::default();
            for (index, frame) in frames.iter().enumerate() {
                let mut bytes = frame.clone().into_bytes();
                let random = mix(seed << 8 | index as u64);
                for part in 0..=random % 3 {
                    let at = mix(random ^ part) as usize % bytes.len();
                    bytes[at] = spoil[(random >> (part * 8 + 3)) as usize % spoil.len()];
                }
                if decoder.frame(&bytes, &mut answer).is_err() {
                    refused += 1;
                }
            }
            for event in &answer.events {
                let (TurnEvent::Text(text) | TurnEvent::Reasoning(text)) = event else {
                    panic!("a wire says only text and reasoning: {event:?}");
                };
                assert!(!text.contains('\0') && !text.is_empty(), "{wire:?} {seed}");
            }
            for call in answer.take_calls(str::to_owned) {
                assert!(!call.arguments.contains('\0'), "{wire:?} {seed}");
            }
        }
        assert!(refused > 100, "{wire:?}: nothing was spoiled");
    }
}
