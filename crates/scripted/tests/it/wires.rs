//! Each wire's answers without faults.

use scripted::{Finish, Reply, Script, Server, Usage, Wire, reply};

use crate::client::{Ended, ask, ask_body, body, request};
use crate::reader::{self, Heard};

/// A reply with something of everything.
fn full() -> Reply {
    reply()
        .reasoning("let me look")
        .text_tokens(["I ", "look \"é\"\n", "up"])
        .tool_call("c1", "look", r#"{"city":"Paris","days":[1,2]}"#)
        .tool_call("c2", "stop", "{}")
        .usage(Usage {
            input: 50,
            output: 20,
            cached: 8,
            reasoning: 5,
        })
        .build()
}

/// What each wire makes of it: its own finish word, and its own way to count.
fn heard(wire: Wire) -> Heard {
    let (finish, usage) = match wire {
        Wire::OpenaiChat => ("tool_calls", [50, 20, 8, 5]),
        Wire::OpenaiResponses => ("completed", [50, 20, 8, 5]),
        Wire::Anthropic => ("tool_use", [42, 20, 8, 0]),
        Wire::Gemini => ("STOP", [50, 15, 8, 5]),
        Wire::Ollama => ("stop", [50, 20, 8, 0]),
    };
    let arguments = r#"{"city":"Paris","days":[1,2]}"#.to_owned();
    Heard {
        reasoning: "let me look".to_owned(),
        text: "I look \"é\"\nup".to_owned(),
        calls: vec![
            (Some("c1".to_owned()), "look".to_owned(), arguments),
            (Some("c2".to_owned()), "stop".to_owned(), "{}".to_owned()),
        ],
        finish: Some(finish.to_owned()),
        usage: Some(usage),
        marked: true,
        error: None,
    }
}

#[tokio::test]
async fn streamed_reply_is_heard_in_full_on_each_wire() {
    let server = Server::with(Script::always(full())).await;
    for wire in Wire::ALL {
        let answer = ask(&server, wire, true).await;
        assert_eq!(
            (answer.status, answer.ended),
            (200, Ended::Whole),
            "{wire:?}"
        );
        let content_type = answer.header("content-type").unwrap();
        let ndjson = content_type == "application/x-ndjson";
        assert!(
            ndjson || content_type.starts_with("text/event-stream"),
            "{wire:?}"
        );
        assert_eq!(ndjson, wire == Wire::Ollama);
        assert_eq!(
            reader::stream(wire, &answer.text()),
            heard(wire),
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn whole_reply_is_heard_in_full_on_each_wire() {
    let server = Server::with(Script::always(full())).await;
    for wire in Wire::ALL {
        let answer = ask(&server, wire, false).await;
        assert_eq!(
            (answer.status, answer.ended),
            (200, Ended::Whole),
            "{wire:?}"
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(reader::whole(wire, &answer.json()), heard(wire), "{wire:?}");
    }
}

#[tokio::test]
async fn finish_reasons_are_in_each_providers_words() {
    let words = |wire| match wire {
        Wire::OpenaiChat => ["stop", "length", "content_filter"],
        Wire::OpenaiResponses => ["completed", "max_output_tokens", "content_filter"],
        Wire::Anthropic => ["end_turn", "max_tokens", "refusal"],
        Wire::Gemini => ["STOP", "MAX_TOKENS", "SAFETY"],
        Wire::Ollama => ["stop", "length", "stop"],
    };
    for wire in Wire::ALL {
        for (index, finish) in [Finish::Stop, Finish::Length, Finish::ContentFilter]
            .iter()
            .enumerate()
        {
            let server =
                Server::with(Script::always(reply().text("a").finish(*finish).build())).await;
            let streamed = reader::stream(wire, &ask(&server, wire, true).await.text());
            let whole = reader::whole(wire, &ask(&server, wire, false).await.json());
            assert_eq!(
                streamed.finish.as_deref(),
                Some(words(wire)[index]),
                "{wire:?}"
            );
            assert_eq!(
                whole.finish.as_deref(),
                Some(words(wire)[index]),
                "{wire:?}"
            );
        }
    }
}

#[tokio::test]
async fn chat_stream_is_this_byte_for_byte() {
    let server = Server::with(Script::always(reply().text_tokens(["a", "b"]).build())).await;
    let answer = ask(&server, Wire::OpenaiChat, true).await;
    let head = r#"data: {"id":"chatcmpl-0000000000000000","object":"chat.completion.chunk","created":1750000000,"model":"m-1","service_tier":"default","system_fingerprint":"fp_scripted","choices":["#;
    let choice = |delta: &str, finish: &str| {
        format!(
            "{head}{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}],\"usage\":null}}\n\n"
        )
    };
    let usage = r#"],"usage":{"prompt_tokens":10,"completion_tokens":2,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}"#;
    let expected = [
        choice(
            r#"{"role":"assistant","content":"","refusal":null}"#,
            "null",
        ),
        choice(r#"{"content":"a"}"#, "null"),
        choice(r#"{"content":"b"}"#, "null"),
        choice("{}", "\"stop\""),
        format!("{head}{usage}\n\n"),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(answer.text(), expected.concat());
    assert_eq!(answer.chunks, expected.map(|frame| frame.len()));
}

#[tokio::test]
async fn chat_usage_comes_only_when_asked_for() {
    let server = Server::start().await;
    let mut plain = body(Wire::OpenaiChat, true);
    plain.as_object_mut().unwrap().remove("stream_options");
    let answer = ask_body(&server, Wire::OpenaiChat, true, &plain).await;
    assert!(!answer.text().contains("usage"));
    assert!(reader::stream(Wire::OpenaiChat, &answer.text()).marked);
}

#[tokio::test]
async fn responses_events_come_in_the_canonical_order() {
    let answer = reply()
        .reasoning("r")
        .text("t")
        .tool_call("c", "n", "{}")
        .build();
    let server = Server::with(Script::always(answer)).await;
    let text = ask(&server, Wire::OpenaiResponses, true).await.text();
    let events = reader::events(Wire::OpenaiResponses, &text);
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names, expected);
    for (number, (_, data)) in events.iter().enumerate() {
        let data: serde_json::Value = serde_json::from_str(data).unwrap();
        assert_eq!(data["sequence_number"], number);
    }
}

#[tokio::test]
async fn anthropic_events_come_in_the_canonical_order() {
    let answer = reply()
        .reasoning("r")
        .text("t")
        .tool_call("c", "n", "{}")
        .build();
    let server = Server::with(Script::always(answer)).await;
    let text = ask(&server, Wire::Anthropic, true).await.text();
    let events = reader::events(Wire::Anthropic, &text);
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    let block = [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ];
    let mut expected = vec!["message_start", "content_block_start", "ping"];
    // Thinking ends with its signature, and a call's input begins with an empty piece.
    expected.extend([
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
    ]);
    expected.extend(block);
    expected.extend([
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
    ]);
    expected.extend(["content_block_stop", "message_delta", "message_stop"]);
    assert_eq!(names, expected);
}

#[tokio::test]
async fn gemini_ends_its_lines_with_cr_lf() {
    let server = Server::with(Script::always(Reply::text("a"))).await;
    let text = ask(&server, Wire::Gemini, true).await.text();
    assert_eq!(text.matches("\r\n\r\n").count(), 2);
    assert_eq!(text.matches('\n').count(), 4);
}

#[tokio::test]
async fn made_up_ids_differ_between_answers() {
    let call = Reply::tool_call("look", "{}");
    let server = Server::with(Script::always(call)).await;
    for wire in [
        Wire::OpenaiChat,
        Wire::OpenaiResponses,
        Wire::Anthropic,
        Wire::Ollama,
    ] {
        let id = |answer: String| reader::stream(wire, &answer).calls[0].0.clone().unwrap();
        let first = id(ask(&server, wire, true).await.text());
        let second = id(ask(&server, wire, true).await.text());
        assert_ne!(first, second, "{wire:?}");
        assert!(
            !first.contains("MARKER") && first.contains('_'),
            "{wire:?}: {first}"
        );
    }
}

#[tokio::test]
async fn lists_tell_what_the_server_speaks() {
    let script = Script::default().models(&["m-1", "m-2"]);
    let server = Server::with(script.clone()).await;
    let models = request(&server, "GET", "/v1/models", "").await.json();
    assert_eq!(
        (&models["object"], &models["data"][1]["id"]),
        (&"list".into(), &"m-2".into())
    );
    let tags = request(&server, "GET", "/api/tags", "").await.json();
    assert_eq!(tags["models"][0]["name"], "m-1");
    assert!(request(&server, "GET", "/api/version", "").await.json()["version"].is_string());
    let gemini = request(&server, "GET", "/v1beta/models", "").await.json();
    assert_eq!(gemini["models"][1]["name"], "models/m-2");

    server.play(script.serves(&[Wire::OpenaiChat]));
    assert_eq!(request(&server, "GET", "/api/tags", "").await.status, 404);
    assert_eq!(
        request(&server, "GET", "/api/version", "").await.status,
        404
    );
    assert_eq!(request(&server, "GET", "/v1/models", "").await.status, 200);
    assert_eq!(ask(&server, Wire::Anthropic, true).await.status, 404);
    assert_eq!(ask(&server, Wire::OpenaiChat, true).await.status, 200);
}
