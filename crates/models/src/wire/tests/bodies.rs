//! Details of requests that a provider insists on.

use crate::config::{LaneConfig, Wire};
use crate::prompt::{Prompt, ToolNames};
use domain::context::{Block, Context};
use domain::lane::{LaneKind, Wishes};
use domain::message::{Content, Message, Reasoning, Role, ToolCall};
use domain::ports::model::TurnRequest;
use domain::{CallId, MessageId, OrgId, OrgScope, RunId, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

fn said(role: Role, text: &str) -> Message {
    Message {
        id: MessageId::new(Uuid::nil()),
        role,
        content: Content::Text(text.to_owned()),
        tool_calls: Vec::new(),
        tool_call_id: None,
        is_error: false,
        reasoning: None,
        run_id: None,
        created_at: Timestamp::from_micros(0),
    }
}

/// A user's word, a call with reasoning that every wire signed, and its result.
fn history() -> Vec<Message> {
    let id = CallId::minted(Uuid::nil());
    let mut asks = said(Role::Assistant, "I look");
    asks.tool_calls = vec![ToolCall {
        id: id.clone(),
        name: "look".to_owned(),
        arguments: json!({}),
    }];
    let signatures = [
        "anthropic|0|ABCD",
        "anthropic|redacted|XYZ",
        "anthropic|4|EF",
        "gemini|text|T",
        "gemini|0|S",
        "openai-responses|rs_1|secret",
    ];
    asks.reasoning = Some(Reasoning {
        text: "żómore".to_owned(),
        signatures: signatures.map(str::to_owned).to_vec(),
    });
    let mut result = said(Role::Tool, "{\"a\":1}");
    result.tool_call_id = Some(id);
    vec![said(Role::User, "go"), asks, result]
}

fn body(wire: Wire, model: &str, base_url: Option<&str>, messages: Vec<Message>) -> Value {
    let messages = messages.into_iter().map(Arc::new).collect();
    serde_json::from_slice(&bytes(wire, model, base_url, messages)).unwrap()
}

fn bytes(wire: Wire, model: &str, base_url: Option<&str>, messages: Context) -> Vec<u8> {
    let mut lane = LaneConfig::new("cloud", LaneKind::Cloud, wire);
    lane.base_url = base_url.map(str::to_owned);
    let request = TurnRequest {
        scope: OrgScope::new(OrgId::new("default").unwrap()),
        run_id: RunId::new(Uuid::nil()),
        system_prompt: "Be brief.".into(),
        messages,
        tools: Vec::new().into(),
        wishes: Wishes::default(),
        failed_lanes: Vec::new(),
        max_output_tokens: Some(7),
        temperature: None,
        account: Default::default(),
    };
    let prompt = Prompt {
        lane: &lane,
        model,
        request: &request,
        names: &ToolNames::default(),
    };
    wire.body(&prompt).unwrap()
}

#[test]
fn what_is_in_blocks_is_written_as_the_rest_is() {
    let talk = |n: usize| {
        let ask = said(Role::User, &format!("question \"{n}\"\n"));
        [ask, said(Role::Assistant, "żółw")]
    };
    let mut messages: Vec<Message> = (0..4).flat_map(talk).collect();
    messages.extend(history());
    messages.extend((4..6).flat_map(talk));
    let messages: Vec<Arc<Message>> = messages.into_iter().map(Arc::new).collect();
    let block = |range: std::ops::Range<usize>| Arc::new(Block::new(messages[range].to_vec()));
    let (first, second) = (block(0..4), block(4..8));
    // The third holds a tool call, the last nothing but the end of the conversation.
    let (calls, last) = (block(8..11), block(11..15));
    for wire in [
        Wire::OpenaiChat,
        Wire::OpenaiResponses,
        Wire::Anthropic,
        Wire::Gemini,
        Wire::Ollama,
    ] {
        let plain = bytes(wire, "m", None, messages.iter().cloned().collect());
        let plain = String::from_utf8(plain).unwrap();
        for (blocks, rest) in [
            (vec![first.clone()], 4),
            (vec![first.clone(), second.clone()], 8),
            (vec![first.clone(), second.clone(), calls.clone()], 11),
            (
                vec![first.clone(), second.clone(), calls.clone(), last.clone()],
                15,
            ),
        ] {
            let context = Context::new(blocks, messages[rest..].to_vec());
            for again in [context.clone(), context] {
                let written = String::from_utf8(bytes(wire, "m", None, again)).unwrap();
                assert_eq!(written, plain, "{wire:?}, {rest}");
            }
        }
    }
}

#[test]
fn openai_itself_is_told_its_newer_word_for_the_limit() {
    let chat = |base_url| body(Wire::OpenaiChat, "m", base_url, history());
    let own = chat(None);
    assert_eq!(
        (&own["max_completion_tokens"], &own["max_tokens"]),
        (&json!(7), &Value::Null)
    );
    let other = chat(Some("http://127.0.0.1:8000/v1"));
    assert_eq!(
        (&other["max_completion_tokens"], &other["max_tokens"]),
        (&Value::Null, &json!(7))
    );
    assert_eq!(own["stream_options"], json!({"include_usage": true}));
    assert!(
        own["messages"][2]["reasoning_content"].is_null(),
        "this reasoning came from elsewhere"
    );
}

#[test]
fn responses_get_their_encrypted_reasoning_back_before_what_it_led_to() {
    let sent = body(Wire::OpenaiResponses, "gpt-5.4-mini", None, history());
    assert_eq!(sent["store"], false);
    assert_eq!(sent["include"], json!(["reasoning.encrypted_content"]));
    let input = sent["input"].as_array().unwrap();
    assert_eq!(
        input[1],
        json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "secret"})
    );
    assert_eq!(input[2], json!({"role": "assistant", "content": "I look"}));
    assert_eq!(input[3]["type"], "function_call");
    for model in ["gpt-4o", "gpt-5-chat-latest", "llama", "omni"] {
        let sent = body(Wire::OpenaiResponses, model, None, history());
        assert!(sent["include"].is_null(), "{model} refuses it");
    }
}

#[test]
fn anthropic_gets_each_thinking_block_back_with_its_own_text() {
    let sent = body(Wire::Anthropic, "m", None, history());
    assert_eq!(
        sent["messages"][1]["content"].as_array().unwrap()[..4],
        [
            json!({"type": "thinking", "thinking": "żó", "signature": "ABCD"}),
            json!({"type": "redacted_thinking", "data": "XYZ"}),
            json!({"type": "thinking", "thinking": "more", "signature": "EF"}),
            json!({"type": "text", "text": "I look"}),
        ]
    );
    let mark = json!({"type": "ephemeral"});
    assert_eq!(sent["system"][0]["cache_control"], mark);
    assert_eq!(sent["messages"][2]["content"][0]["cache_control"], mark);
    assert!(sent["messages"][0]["content"][0]["cache_control"].is_null());
}

#[test]
fn gemini_gets_its_signatures_where_they_were() {
    let sent = body(Wire::Gemini, "gemini-3.5-flash", None, history());
    let parts = &sent["contents"][1]["parts"];
    assert_eq!(parts[0], json!({"text": "I look", "thoughtSignature": "T"}));
    assert_eq!(parts[1]["thoughtSignature"], "S");
    let response = &sent["contents"][2]["parts"][0]["functionResponse"];
    assert_eq!(
        (&response["name"], &response["response"]),
        (&json!("look"), &json!({"a": 1}))
    );
}

#[test]
fn a_call_of_another_model_gets_geminis_stand_in_where_it_is_required() {
    let mut messages = history();
    messages[1].reasoning = None;
    let signature = |model| {
        let sent = body(Wire::Gemini, model, None, messages.clone());
        sent["contents"][1]["parts"][1]["thoughtSignature"].clone()
    };
    assert_eq!(
        signature("gemini-3.5-flash"),
        "skip_thought_signature_validator"
    );
    assert!(signature("gemini-2.5-flash").is_null());
}

#[test]
fn every_message_of_a_long_history_is_sent() {
    let mut messages = Vec::new();
    for index in 0..500 {
        messages.push(said(Role::User, &format!("question {index}")));
        messages.push(said(Role::Assistant, &format!("answer {index}")));
    }
    messages.push(said(Role::User, "and?"));
    for wire in [
        Wire::OpenaiChat,
        Wire::OpenaiResponses,
        Wire::Anthropic,
        Wire::Gemini,
        Wire::Ollama,
    ] {
        let sent = body(wire, "m", None, messages.clone());
        let list = ["messages", "input", "contents"]
            .iter()
            .find_map(|field| sent[*field].as_array());
        let own_system = matches!(wire, Wire::OpenaiChat | Wire::Ollama);
        assert_eq!(
            list.unwrap().len(),
            1_001 + usize::from(own_system),
            "{wire:?}"
        );
    }
}
