//! Which reply answers which request.

use scripted::{Echo, Reply, Script, Server, Times, When, Wire, reply};
use serde_json::json;

use crate::client::{Client, ask, ask_body, body, with_result, with_user};
use crate::reader;

async fn said(server: &Server, wire: Wire) -> String {
    reader::stream(wire, &ask(server, wire, true).await.text()).text
}

async fn said_to(server: &Server, wire: Wire, body: &serde_json::Value) -> String {
    reader::stream(wire, &ask_body(server, wire, true, body).await.text()).text
}

#[tokio::test]
async fn queue_is_played_in_order_and_then_the_default() {
    let script = Script::replies([Reply::text("one"), Reply::text("two")]);
    let server = Server::with(script.otherwise(Reply::text("else"))).await;
    let mut heard = Vec::new();
    for wire in [
        Wire::OpenaiChat,
        Wire::Ollama,
        Wire::Gemini,
        Wire::Anthropic,
    ] {
        heard.push(said(&server, wire).await);
    }
    assert_eq!(heard, ["one", "two", "else", "else"]);
    server.push(Reply::text("pushed"));
    assert_eq!(said(&server, Wire::OpenaiResponses).await, "pushed");
    assert_eq!(said(&server, Wire::OpenaiResponses).await, "else");
}

#[tokio::test]
async fn rules_fit_by_user_text_model_and_place() {
    let script = Script::always(Reply::text("else"))
        .rule(When::last_user("weather"), Reply::text("rain"))
        .rule(When::model("m-2"), Reply::text("other"))
        .once(When::call(3), Reply::text("fourth"))
        .rule_times(
            When {
                stream: Some(true),
                ..When::default()
            },
            Times::Count(1),
            Reply::text("limited"),
        );
    let server = Server::with(script).await;
    let chat = Wire::OpenaiChat;
    assert_eq!(
        said_to(&server, chat, &with_user(chat, true, "the weather?")).await,
        "rain"
    );
    let mut other = body(chat, true);
    other["model"] = json!("m-2");
    assert_eq!(said_to(&server, chat, &other).await, "other");
    assert_eq!(said(&server, chat).await, "limited");
    assert_eq!(said(&server, chat).await, "fourth");
    assert_eq!(said(&server, chat).await, "else");
}

#[tokio::test]
async fn tool_loop_calls_first_and_answers_after_the_result_on_each_wire() {
    let server = Server::with(Script::tool_loop("look", r#"{"a":1}"#, "it is so")).await;
    for wire in Wire::ALL {
        for _ in 0..2 {
            let first = reader::stream(wire, &ask(&server, wire, true).await.text());
            assert_eq!(first.calls[0].1, "look", "{wire:?}");
            assert_eq!(first.calls[0].2, r#"{"a":1}"#);
            let after = with_result(wire, true, "42");
            assert_eq!(said_to(&server, wire, &after).await, "it is so", "{wire:?}");
        }
    }
}

#[tokio::test]
async fn answer_can_be_told_by_a_function() {
    let script = Script::answering(|request| {
        let user = request.last_user()?;
        user.starts_with("sum").then(|| Reply::text("3"))
    });
    let server = Server::with(script.otherwise(Reply::text("no"))).await;
    for wire in Wire::ALL {
        assert_eq!(
            said_to(&server, wire, &with_user(wire, true, "sum 1 2")).await,
            "3"
        );
        assert_eq!(said(&server, wire).await, "no");
    }
}

#[tokio::test]
async fn answer_can_repeat_the_request() {
    let script = Script::always(reply().text("you: ").echo(Echo::LastUser).build()).rule(
        When::tool_result(),
        reply().text("tool: ").echo(Echo::ToolResult).build(),
    );
    let server = Server::with(script).await;
    for wire in Wire::ALL {
        assert_eq!(said(&server, wire).await, "you: hello", "{wire:?}");
        let heard = said_to(&server, wire, &with_result(wire, true, "42")).await;
        assert!(
            heard.starts_with("tool: ") && heard.contains("42"),
            "{wire:?}: {heard}"
        );
    }
}

#[tokio::test]
async fn hold_waits_for_its_gate() {
    let held = reply().text("before").hold("gate").text("after").build();
    let server = Server::with(Script::always(held)).await;
    let mut clients = Vec::new();
    for wire in Wire::ALL {
        let mut client = Client::connect(&server).await;
        let bytes = body(wire, true).to_string();
        client
            .send("POST", &wire.path("m-1", true), "", bytes.as_bytes())
            .await;
        let read = client.until("before").await;
        assert_eq!(
            reader::stream(wire, &read.text()).text,
            "before",
            "{wire:?}"
        );
        clients.push((wire, client));
    }
    server.open_gate("gate");
    for (wire, mut client) in clients {
        let heard = reader::stream(wire, &client.answer().await.text());
        assert_eq!(
            (heard.text.as_str(), heard.marked),
            ("beforeafter", true),
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn hold_before_everything_holds_a_whole_answer_too() {
    let held = reply().hold("gate").text("after").build();
    let server = Server::with(Script::always(held)).await;
    let mut client = Client::connect(&server).await;
    let bytes = body(Wire::OpenaiChat, false).to_string();
    client
        .send("POST", "/v1/chat/completions", "", bytes.as_bytes())
        .await;
    let open = server.wait_calls(1).await;
    assert_eq!(open[0].outcome, scripted::Outcome::Open);
    server.open_gate("gate");
    assert!(client.answer().await.text().contains("after"));
}

#[tokio::test]
async fn script_file_says_all_that_the_functions_say() {
    let script: Script = serde_json::from_value(json!({
        "rules": [
            {"when": {"tool_result": true}, "reply": {"parts": [{"text": "done"}]}},
            {"when": {"last_user": "fail", "wire": "openai-chat"}, "times": 2,
             "reply": {"error": {"kind": "rate_limit", "retry_after": "1"}}},
        ],
        "replies": [{
            "parts": [
                {"reasoning": ["hm", "m"]}, {"text": "a"}, {"text_bytes": [255]},
                {"tool_call": {"name": "look", "arguments": {"a": 1}}},
                {"tool_call": {"id": "c2", "name": "look", "arguments": "{broken"}},
                {"hold": "gate"}, {"echo": "last_user"}, {"flood": {"token": "x", "count": 3}},
            ],
            "finish": "length",
            "usage": {"input": 1, "output": 2},
            "pace": {"first_byte_ms": 1, "between_ms": 2},
            "headers": [["x-a", "b"]],
            "faults": {
                "stream_error": {"after_chunks": 1, "kind": "overloaded"},
                "cut": {"at": {"byte": 3}, "how": "fin"}, "ending": "no_marker",
                "stall": {"chunk": 2}, "write_sizes": [1, 2], "call_ids": "duplicate",
                "no_usage": true,
            },
        }],
        "otherwise": {"raw": {"status": 503, "body": "down", "content_type": "text/plain"}},
        "accept": "serve", "serves": ["anthropic"], "models": ["m"],
    }))
    .unwrap();
    let expected = reply()
        .part_of_file()
        .finish(scripted::Finish::Length)
        .usage(scripted::Usage {
            input: 1,
            output: 2,
            cached: 0,
            reasoning: 0,
        })
        .first_byte_ms(1)
        .between_ms(2)
        .header("x-a", "b")
        .stream_error(1, scripted::ErrorKind::Overloaded)
        .cut(scripted::CutAt::Byte(3), scripted::CutHow::Fin)
        .ending(scripted::Ending::NoMarker)
        .stall(scripted::Stall::Chunk(2))
        .write_sizes(&[1, 2])
        .call_ids(scripted::CallIds::Duplicate)
        .no_usage()
        .build();
    assert_eq!(script.replies[0], expected);
    assert_eq!(script.rules[1].times, Times::Count(2));
    assert_eq!(script.rules[0].times, Times::Always);
    assert_eq!(script.rules[1].reply, Reply::rate_limited(Some("1")));
    // What is written out reads back the same.
    let written = serde_json::to_value(&script).unwrap();
    let again: Script = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), written);
    assert_eq!(again.replies, script.replies);
}

trait PartOfFile {
    fn part_of_file(self) -> Self;
}

impl PartOfFile for scripted::ReplyBuilder {
    /// The parts of the file above.
    fn part_of_file(self) -> Self {
        let mut built = self
            .text("a")
            .text_bytes(&[255])
            .tool_call_made_up("look", r#"{"a":1}"#)
            .tool_call("c2", "look", "{broken")
            .hold("gate")
            .echo(Echo::LastUser)
            .flood("x", Some(3))
            .build();
        let tokens = scripted::Tokens(vec!["hm".to_owned(), "m".to_owned()]);
        built.parts.insert(0, scripted::Part::Reasoning(tokens));
        reply().parts(built.parts)
    }
}

#[test]
fn script_file_with_a_wrong_field_is_refused() {
    let error = serde_json::from_str::<Script>(r#"{"rule": []}"#).unwrap_err();
    assert!(error.to_string().contains("unknown field `rule`"));
    let wrong = r#"{"otherwise": {"faults": {"stall": {"chunks": 1}}}}"#;
    assert!(serde_json::from_str::<Script>(wrong).is_err());
}

#[test]
fn script_file_in_the_documentation_is_one() {
    let documentation = include_str!("../../src/lib.rs");
    let (_, after) = documentation.split_once("```json\n").unwrap();
    let (script, _) = after.split_once("//! ```").unwrap();
    let script: Script = serde_json::from_str(&script.replace("//!", "")).unwrap();
    assert_eq!((script.rules.len(), script.replies.len()), (2, 1));
    assert_eq!(script.rules[1].times, Times::Count(2));
}
