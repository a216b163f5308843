//! What each wire carries: text, reasoning, calls, usage, reasons to stop.

use crate::support::{Said, lane, request, router, said, serve, tool, turn};
use domain::message::{Reasoning, Role};
use domain::usage::Usage;
use models::Price;
use scripted::{CallIds, Finish, Script, Server, Wire, reply};
use serde_json::json;

async fn answer(wire: Wire, reply: scripted::Reply) -> Said {
    let (_server, router) = serve(wire, Script::always(reply)).await;
    turn(&router, request()).await
}

#[tokio::test]
async fn text_comes_token_by_token() {
    for wire in Wire::ALL {
        let said = answer(
            wire,
            reply()
                .text_tokens(["It ", "is ", "\"so\"\n", "żółw 🐢"])
                .build(),
        )
        .await;
        assert_eq!(said.text, "It is \"so\"\nżółw 🐢", "{wire:?}");
        assert_eq!(said.deltas, 4, "{wire:?}");
        assert_eq!(said.lanes[0].name, "cloud");
        assert_eq!(said.lanes[0].model, "scripted");
        assert!(!said.finish.unwrap().truncated);
    }
}

#[tokio::test]
async fn reasoning_is_kept_apart_from_text() {
    for wire in Wire::ALL {
        let reply = reply()
            .reasoning("let me see")
            .text_words("It is so")
            .build();
        let said = answer(wire, reply).await;
        assert_eq!(said.reasoning, "let me see", "{wire:?}");
        assert_eq!(said.text, "It is so", "{wire:?}");
    }
}

#[tokio::test]
async fn calls_come_whole_and_in_order() {
    for wire in Wire::ALL {
        let reply = reply()
            .text_words("I look.")
            .tool_call(
                "call_a",
                "weather",
                r#"{"city":"Łódź","deep":{"list":[1,2,3]}}"#,
            )
            .tool_call("call_b", "weather", "{}")
            .tool_call("call_c", "other", r#"{"text":"a \"quoted\" \\ word 🐢"}"#)
            .build();
        let said = answer(wire, reply).await;
        assert_eq!(said.text, "I look.", "{wire:?}");
        let calls: Vec<(&str, serde_json::Value)> = said
            .calls()
            .into_iter()
            .map(|(name, arguments)| (name, serde_json::from_str(arguments).unwrap()))
            .collect();
        assert_eq!(
            calls,
            [
                (
                    "weather",
                    json!({"city": "Łódź", "deep": {"list": [1, 2, 3]}})
                ),
                ("weather", json!({})),
                ("other", json!({"text": "a \"quoted\" \\ word 🐢"})),
            ],
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn a_call_alone_is_an_answer() {
    for wire in Wire::ALL {
        let said = answer(
            wire,
            scripted::Reply::tool_call("weather", r#"{"city":"Oslo"}"#),
        )
        .await;
        assert_eq!(said.text, "", "{wire:?}");
        assert_eq!(
            said.calls(),
            [("weather", r#"{"city":"Oslo"}"#)],
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn ids_that_repeat_or_are_missing_do_not_mix_calls() {
    for wire in Wire::ALL {
        for ids in [CallIds::Duplicate, CallIds::Missing, CallIds::Empty] {
            let reply = reply()
                .tool_call("same", "one", r#"{"a":1,"pad":"0123456789abcdef"}"#)
                .tool_call("same", "two", r#"{"b":2,"pad":"0123456789abcdef"}"#)
                .call_ids(ids)
                .build();
            let said = answer(wire, reply).await;
            let calls = [
                ("one", r#"{"a":1,"pad":"0123456789abcdef"}"#),
                ("two", r#"{"b":2,"pad":"0123456789abcdef"}"#),
            ];
            assert_eq!(said.calls(), calls, "{wire:?} {ids:?}");
        }
    }
}

#[tokio::test]
async fn broken_arguments_are_handed_on_as_they_came() {
    for wire in [Wire::OpenaiChat, Wire::OpenaiResponses, Wire::Anthropic] {
        let said = answer(
            wire,
            scripted::Reply::tool_call("weather", r#"{"city": Osl"#),
        )
        .await;
        assert_eq!(said.calls(), [("weather", r#"{"city": Osl"#)], "{wire:?}");
    }
}

#[tokio::test]
async fn usage_is_read_and_priced() {
    for wire in Wire::ALL {
        let usage = scripted::Usage {
            input: 1_000,
            output: 50,
            cached: 400,
            reasoning: 20,
        };
        let server = Server::with(Script::always(reply().text("so").usage(usage).build())).await;
        let mut lane = lane("cloud", &server, wire);
        lane.price = Price {
            input_micro_usd: 1_000_000,
            cached_micro_usd: Some(100_000),
            cache_write_micro_usd: None,
            output_micro_usd: 4_000_000,
        };
        let said = turn(&router(vec![lane]), request()).await;
        assert_eq!(
            said.finish.unwrap().usage,
            Usage {
                input_tokens: 1_000,
                output_tokens: 50,
                cached_tokens: 400,
                cost_micro_usd: 600 + 40 + 200,
                estimated: false,
            },
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn usage_that_is_missing_is_estimated_and_marked() {
    for wire in Wire::ALL {
        let said = answer(wire, reply().text("sixteen bytes ..").no_usage().build()).await;
        let usage = said.finish.unwrap().usage;
        assert!(usage.estimated, "{wire:?}");
        assert_eq!(usage.output_tokens, 4, "{wire:?}");
        assert!(usage.input_tokens > 0, "{wire:?}");
    }
}

#[tokio::test]
async fn an_answer_at_its_limit_is_marked() {
    for wire in Wire::ALL {
        let said = answer(wire, reply().text("half an").finish(Finish::Length).build()).await;
        assert!(said.finish.unwrap().truncated, "{wire:?}");
    }
}

#[tokio::test]
async fn reasoning_goes_back_with_its_signature_where_the_wire_signs() {
    for wire in Wire::ALL {
        let first = reply()
            .reasoning("think hard")
            .tool_call("call_a", "weather", "{}")
            .build();
        let script = Script::replies([first]).otherwise(reply().text("done").build());
        let (server, router) = serve(wire, script).await;
        let answered = turn(&router, request()).await;
        let finish = answered.finish.unwrap();

        let mut assistant = said(Role::Assistant, "");
        let id = domain::CallId::minted(uuid::Uuid::from_u128(9));
        assistant.tool_calls = vec![domain::message::ToolCall {
            id: id.clone(),
            name: "weather".to_owned(),
            arguments: json!({}),
        }];
        assistant.reasoning = Some(Reasoning {
            text: answered.reasoning,
            signatures: finish.signatures.clone(),
        });
        let mut result = said(Role::Tool, "{\"sky\":\"grey\"}");
        result.tool_call_id = Some(id);
        let mut next = request();
        next.messages.push(assistant.into());
        next.messages.push(result.into());
        next.tools = vec![tool("weather", json!({"type": "object"}))].into();
        let done = turn(&router, next).await;
        assert_eq!(done.text, "done", "{wire:?}");

        let calls = server.calls();
        scripted::assert_valid_history(&calls[1]);
        let body = &calls[1].body;
        match wire {
            Wire::OpenaiChat => {
                assert_eq!(body["messages"][2]["reasoning_content"], "think hard");
            }
            Wire::Anthropic => {
                let block = &body["messages"][1]["content"][0];
                assert_eq!(block["type"], "thinking");
                assert_eq!(block["thinking"], "think hard");
                assert!(!block["signature"].as_str().unwrap().is_empty());
            }
            Wire::OpenaiResponses | Wire::Gemini | Wire::Ollama => {
                // Only what the provider signed goes back.
                let sent = body.to_string().contains("think hard");
                assert!(!sent, "{wire:?}: {body}");
            }
        }
    }
}
