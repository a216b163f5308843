//! Histories as they are sent: valid by each provider's rules, whatever stands in them.

use crate::support::{message, request_of, said, serve, tool, turn};
use domain::CallId;
use domain::message::{Content, Message, Part, Role, ToolCall};
use scripted::{Item, Reply, Script, Wire, assert_valid_history};
use serde_json::{Value, json};
use uuid::Uuid;

const PIXEL: &str = "data:image/png;base64,iVBORw0KGgo=";

fn id(number: u128) -> CallId {
    CallId::minted(Uuid::from_u128(number))
}

fn call(id: CallId, name: &str, arguments: Value) -> ToolCall {
    ToolCall {
        id,
        name: name.to_owned(),
        arguments,
    }
}

fn asks(text: &str, calls: Vec<ToolCall>) -> Message {
    let mut message = said(Role::Assistant, text);
    message.tool_calls = calls;
    message
}

fn result(id: CallId, content: &str, is_error: bool) -> Message {
    let mut message = said(Role::Tool, content);
    message.tool_call_id = Some(id);
    message.is_error = is_error;
    message
}

/// Everything that a history may hold.
fn long_story() -> Vec<Message> {
    let foreign = CallId::from_client("client id / 1".to_owned());
    vec![
        said(Role::Assistant, "Welcome."),
        message(
            Role::User,
            Content::Parts(vec![
                Part::Text {
                    text: "What is this?".to_owned(),
                },
                Part::Image {
                    url: PIXEL.to_owned(),
                },
                Part::Image {
                    url: "https://example.com/a.png".to_owned(),
                },
            ]),
        ),
        asks(
            "I look.",
            vec![
                call(id(1), "list_models", json!({"deep": {"a": [1, 2]}})),
                call(id(2), "files.read", json!({})),
            ],
        ),
        result(id(1), r#"{"models":["a"]}"#, false),
        result(id(2), "no such file", true),
        asks(
            "",
            vec![call(
                id(3),
                "list_models",
                Value::String("{broken".to_owned()),
            )],
        ),
        result(id(3), r#"{"error":"arguments cannot be read"}"#, true),
        said(Role::System, "Stay brief."),
        asks(
            "",
            vec![call(foreign.clone(), "list_models", json!({"x": null}))],
        ),
        result(foreign, "[1,2]", false),
        said(Role::Assistant, ""),
        said(Role::User, "And then?"),
        said(Role::User, "Go on \"quoted\" \\ 🐢"),
    ]
}

#[tokio::test]
async fn a_long_story_is_valid_on_every_wire() {
    for wire in Wire::ALL {
        let (server, router) = serve(wire, Script::always(Reply::text("so"))).await;
        let schema = json!({"type": "object", "properties": {"x": {"type": "string"}}});
        let tools = vec![
            tool("list_models", schema.clone()),
            tool("files.read", schema),
        ];
        let answer = turn(&router, request_of(long_story(), tools)).await;
        assert_eq!(answer.text, "so", "{wire:?}: {:?}", answer.error);

        let sent = &server.calls()[0];
        assert_valid_history(sent);
        assert_eq!(sent.tools(), ["list_models", "files_read"], "{wire:?}");
        assert!(sent.system().contains("Be brief."), "{wire:?}");
        assert!(sent.system().contains("Stay brief."), "{wire:?}");
        assert_eq!(
            sent.last_user().as_deref(),
            Some("Go on \"quoted\" \\ 🐢"),
            "{wire:?}"
        );
        let history = sent.history();
        let calls: Vec<(&str, &Value)> = history
            .iter()
            .filter_map(|item| match item {
                Item::Call {
                    name, arguments, ..
                } => Some((name.as_str(), arguments)),
                _ => None,
            })
            .collect();
        assert_eq!(
            calls,
            [
                ("list_models", &json!({"deep": {"a": [1, 2]}})),
                ("files_read", &json!({})),
                ("list_models", &json!({"unreadable_arguments": "{broken"})),
                ("list_models", &json!({"x": null})),
            ],
            "{wire:?}"
        );
        let body = sent.body.to_string();
        assert!(body.contains("iVBORw0KGgo="), "{wire:?}: the image is sent");
        assert!(body.contains("https://example.com/a.png"), "{wire:?}");
    }
}

#[tokio::test]
async fn our_own_ids_are_sent_where_the_wire_has_ids() {
    for wire in [
        Wire::OpenaiChat,
        Wire::OpenaiResponses,
        Wire::Anthropic,
        Wire::Gemini,
    ] {
        let (server, router) = serve(wire, Script::always(Reply::text("so"))).await;
        let history = vec![
            said(Role::User, "go"),
            asks("", vec![call(id(1), "look", json!({}))]),
            result(id(1), "{}", false),
        ];
        turn(
            &router,
            request_of(history, vec![tool("look", json!({"type": "object"}))]),
        )
        .await;
        let sent = server.calls()[0].history();
        let ids: Vec<&str> = sent
            .iter()
            .filter_map(|item| match item {
                Item::Call { id, .. } | Item::Result { id, .. } => id.as_deref(),
                _ => None,
            })
            .collect();
        assert_eq!(ids, [id(1).as_str(), id(1).as_str()], "{wire:?}");
    }
}

#[tokio::test]
async fn a_told_tool_name_leads_back_to_its_tool() {
    for wire in Wire::ALL {
        let script = Script::always(Reply::tool_call("files_read", r#"{"path":"a"}"#));
        let (_server, router) = serve(wire, script).await;
        let tools = vec![tool("files.read", json!({"type": "object"}))];
        let answer = turn(&router, request_of(vec![said(Role::User, "read")], tools)).await;
        assert_eq!(
            answer.calls(),
            [("files.read", r#"{"path":"a"}"#)],
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn limits_and_extra_fields_reach_the_provider() {
    use crate::support::{lane, router};
    use scripted::Server;
    for wire in Wire::ALL {
        let server = Server::with(Script::always(Reply::text("so"))).await;
        let mut lane = lane("cloud", &server, wire);
        lane.extra_body.insert("keep_alive".to_owned(), json!("5m"));
        lane.extra_body
            .insert("options".to_owned(), json!({"num_ctx": 8192}));
        lane.extra_body
            .insert("generationConfig".to_owned(), json!({"topK": 7}));
        let mut request = request_of(vec![said(Role::User, "hi")], Vec::new());
        request.max_output_tokens = Some(77);
        request.temperature = Some(0.5);
        turn(&router(vec![lane]), request).await;
        let body = &server.calls()[0].body;
        assert_eq!(body["keep_alive"], "5m");
        let (tokens, temperature) = match wire {
            Wire::OpenaiChat | Wire::Anthropic => (&body["max_tokens"], &body["temperature"]),
            Wire::OpenaiResponses => (&body["max_output_tokens"], &body["temperature"]),
            Wire::Gemini => {
                let config = &body["generationConfig"];
                assert_eq!(config["topK"], 7);
                (&config["maxOutputTokens"], &config["temperature"])
            }
            Wire::Ollama => {
                assert_eq!(body["options"]["num_ctx"], 8192);
                (
                    &body["options"]["num_predict"],
                    &body["options"]["temperature"],
                )
            }
        };
        assert_eq!((tokens, temperature), (&json!(77), &json!(0.5)), "{wire:?}");
        assert!(body["tools"].is_null(), "{wire:?}: no empty list of tools");
    }
}
