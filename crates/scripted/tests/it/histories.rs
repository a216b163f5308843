//! The check of histories: what a provider accepts passes, what it refuses does not.

use scripted::{HistoryError, Request, Server, Wire, assert_valid_history, check_history};
use serde_json::{Value, json};

use crate::client::{ask_body, body, history_field, with_result};

async fn received(wire: Wire, sent: &Value) -> Request {
    let server = Server::start().await;
    ask_body(&server, wire, false, sent).await;
    server.calls().remove(0)
}

async fn refused(wire: Wire, sent: &Value) -> HistoryError {
    check_history(&received(wire, sent).await).unwrap_err()
}

fn items(wire: Wire, sent: &mut Value) -> &mut Vec<Value> {
    sent[history_field(wire)].as_array_mut().unwrap()
}

fn user(wire: Wire) -> Value {
    body(wire, false)[history_field(wire)][0].clone()
}

#[tokio::test]
async fn answered_calls_pass() {
    for wire in Wire::ALL {
        assert_valid_history(&received(wire, &body(wire, false)).await);
        let mut sent = with_result(wire, false, "42");
        assert_valid_history(&received(wire, &sent).await);
        items(wire, &mut sent).push(user(wire));
        assert_valid_history(&received(wire, &sent).await);
    }
}

#[tokio::test]
async fn call_without_result_is_refused() {
    for wire in Wire::ALL {
        let mut sent = with_result(wire, false, "42");
        items(wire, &mut sent).pop();
        refused(wire, &sent).await;
        items(wire, &mut sent).push(user(wire));
        refused(wire, &sent).await;
    }
}

#[tokio::test]
async fn result_without_call_is_refused() {
    for wire in Wire::ALL {
        let mut sent = with_result(wire, false, "42");
        items(wire, &mut sent).remove(1);
        refused(wire, &sent).await;
    }
}

#[tokio::test]
async fn result_given_twice_is_refused() {
    for wire in Wire::ALL {
        let mut sent = with_result(wire, false, "42");
        let list = items(wire, &mut sent);
        let result = list.last().unwrap().clone();
        list.push(result);
        refused(wire, &sent).await;
    }
}

#[tokio::test]
async fn result_after_the_next_message_is_refused() {
    for wire in Wire::ALL {
        let mut sent = with_result(wire, false, "42");
        let list = items(wire, &mut sent);
        let place = list.len() - 1;
        list.insert(place, user(wire));
        refused(wire, &sent).await;
    }
}

#[tokio::test]
async fn parallel_calls_need_a_result_each() {
    let call = |id: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let result = |id: &str| json!({"role": "tool", "tool_call_id": id, "content": "r"});
    let user = json!({"role": "user", "content": "hi"});
    let calls = json!({"role": "assistant", "content": null, "tool_calls": [call("a"), call("b")]});
    let chat = |messages: Value| json!({"model": "m", "messages": messages});
    let wire = Wire::OpenaiChat;
    let both = chat(json!([user, calls, result("b"), result("a")]));
    assert_valid_history(&received(wire, &both).await);
    let one = refused(wire, &chat(json!([user, calls, result("b")]))).await;
    assert!(one.to_string().contains("Unanswered(\"a\")"), "{one}");
    let twins = json!({"role": "assistant", "tool_calls": [call("a"), call("a")]});
    let twins = refused(wire, &chat(json!([user, twins, result("a"), result("a")]))).await;
    assert!(twins.to_string().contains("DuplicateId"), "{twins}");
    let again = json!([
        user,
        calls,
        result("a"),
        result("b"),
        calls,
        result("a"),
        result("b")
    ]);
    assert_valid_history(&received(wire, &chat(again)).await);
}

#[tokio::test]
async fn missing_ids_and_wrong_argument_types_are_refused() {
    for wire in [Wire::OpenaiChat, Wire::Anthropic, Wire::OpenaiResponses] {
        let text = with_result(wire, false, "42").to_string();
        let unnamed = serde_json::from_str(&text.replace("\"c1\"", "\"\"")).unwrap();
        let error = refused(wire, &unnamed).await;
        assert!(error.to_string().contains("MissingId"), "{wire:?}: {error}");
    }
    let wrong = |wire, from: &str, to: &str| {
        let text = with_result(wire, false, "42").to_string();
        assert!(text.contains(from), "{text}");
        serde_json::from_str::<Value>(&text.replace(from, to)).unwrap()
    };
    let as_text = r#""{\"a\":1}""#;
    let as_value = r#"{"a":1}"#;
    for wire in Wire::ALL {
        let openai = matches!(wire, Wire::OpenaiChat | Wire::OpenaiResponses);
        let (from, to) = if openai {
            (as_text, as_value)
        } else {
            (as_value, as_text)
        };
        let error = refused(wire, &wrong(wire, from, to)).await;
        assert!(
            error.to_string().contains("ArgumentsType(\"look\")"),
            "{wire:?}: {error}"
        );
    }
}

#[tokio::test]
async fn anthropic_refuses_text_before_results_and_ids_used_again() {
    let wire = Wire::Anthropic;
    let mut sent = with_result(wire, false, "42");
    let last = items(wire, &mut sent).last_mut().unwrap();
    let blocks = last["content"].as_array_mut().unwrap();
    blocks.push(json!({"type": "text", "text": "and?"}));
    assert_valid_history(&received(wire, &sent).await);
    let blocks = items(wire, &mut sent).last_mut().unwrap()["content"]
        .as_array_mut()
        .unwrap();
    blocks.reverse();
    refused(wire, &sent).await;

    let mut twice = with_result(wire, false, "42");
    let list = items(wire, &mut twice);
    list.extend(list[1..].to_vec());
    assert!(
        refused(wire, &twice)
            .await
            .to_string()
            .contains("DuplicateId(\"c1\")")
    );
}

#[tokio::test]
async fn chained_response_may_answer_a_call_that_is_not_in_the_request() {
    let wire = Wire::OpenaiResponses;
    let mut sent = with_result(wire, false, "42");
    items(wire, &mut sent).remove(1);
    sent["previous_response_id"] = json!("resp_1");
    assert_valid_history(&received(wire, &sent).await);
}

#[tokio::test]
async fn request_without_a_message_is_refused() {
    for wire in Wire::ALL {
        let mut sent = body(wire, false);
        items(wire, &mut sent).clear();
        assert!(
            refused(wire, &sent).await.to_string().contains("Empty"),
            "{wire:?}"
        );
    }
}

#[tokio::test]
#[should_panic(expected = "Unanswered(\"c1\")")]
async fn assertion_tells_the_call() {
    let mut sent = with_result(Wire::OpenaiChat, false, "42");
    items(Wire::OpenaiChat, &mut sent).pop();
    assert_valid_history(&received(Wire::OpenaiChat, &sent).await);
}
