//! A stream that is cut is never taken for a whole one: at every byte, on every wire, in both manners.

use crate::support::{lane, request, router, router_with, turn};
use models::RouterSettings;
use scripted::{CutAt, CutHow, Ending, Reply, Script, Server, Wire, reply};

fn rich() -> scripted::ReplyBuilder {
    reply()
        .reasoning("hm so")
        .text_tokens(["ja ", "żó"])
        .tool_call("call_a", "weather", r#"{"city":"Oslo, Norway"}"#)
}

/// The bytes of the whole body, found by asking for it.
async fn body_of(wire: Wire) -> Vec<u8> {
    let server = Server::with(Script::always(rich().build())).await;
    let client = reqwest::Client::builder().build().unwrap();
    let body = match wire {
        Wire::OpenaiChat => {
            r#"{"model":"scripted","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#
        }
        _ => r#"{"model":"scripted","stream":true}"#,
    };
    let url = format!("{}{}", server.url(), wire.path("scripted", true));
    let sent = client.post(url).body(body).send().await.unwrap();
    sent.bytes().await.unwrap().to_vec()
}

/// The first byte count with which the terminal marker is whole.
fn whole_at(wire: Wire, body: &[u8]) -> usize {
    let text = String::from_utf8_lossy(body).into_owned();
    let marker = match wire {
        Wire::OpenaiChat => "data: [DONE]",
        Wire::OpenaiResponses => "event: response.completed",
        Wire::Anthropic => "event: message_stop",
        Wire::Gemini => "\"finishReason\"",
        Wire::Ollama => "\"done\":true",
    };
    let marker = text.find(marker).expect("the body has its marker");
    let end = if wire == Wire::Ollama { "\n" } else { "\n\n" };
    let after = &text[marker..];
    let end = match after.find("\r\n\r\n") {
        Some(at) if wire == Wire::Gemini => at + 4,
        _ => after.find(end).unwrap() + end.len(),
    };
    marker + end
}

async fn cut_everywhere(wire: Wire) {
    router(Vec::new());
    let body = body_of(wire).await;
    let whole = whole_at(wire, &body);
    let server = Server::start().await;
    let mut lane = lane("cloud", &server, wire);
    lane.retries.attempts = 1;
    let mut settings = RouterSettings::default();
    settings.breaker.failures = u32::MAX;
    let router = router_with(vec![lane], settings);
    for how in [CutHow::Rst, CutHow::Fin] {
        for at in 0..=body.len() {
            server.play(Script::always(rich().cut(CutAt::Byte(at), how).build()));
            let said = turn(&router, request()).await;
            let told = format!(
                "{wire:?} {how:?} cut at {at} of {} (whole at {whole})",
                body.len()
            );
            if at < whole {
                let error = said.error.unwrap_or_else(|| panic!("finished: {told}"));
                let begun = said.deltas > 0;
                assert_eq!(error.retry, begun, "{told}: {error:?}");
                assert_eq!(
                    error.failure.code,
                    domain::failure::FailureCode::ModelUnavailable
                );
            } else if let Some(finish) = said.finish {
                assert_eq!(finish.calls.len(), 1, "{told}");
                assert_eq!(said.text, "ja żó", "{told}");
            } else {
                // A reset may overtake bytes that were sent before it.
                assert_eq!(how, CutHow::Rst, "{told}: {:?}", said.error);
            }
        }
    }
}

#[tokio::test]
async fn openai_chat_cut_at_every_byte() {
    cut_everywhere(Wire::OpenaiChat).await;
}

#[tokio::test]
async fn openai_responses_cut_at_every_byte() {
    cut_everywhere(Wire::OpenaiResponses).await;
}

#[tokio::test]
async fn anthropic_cut_at_every_byte() {
    cut_everywhere(Wire::Anthropic).await;
}

#[tokio::test]
async fn gemini_cut_at_every_byte() {
    cut_everywhere(Wire::Gemini).await;
}

#[tokio::test]
async fn ollama_cut_at_every_byte() {
    cut_everywhere(Wire::Ollama).await;
}

#[tokio::test]
async fn a_stream_in_order_but_without_its_end_has_failed() {
    for wire in Wire::ALL {
        for ending in [Ending::NoMarker, Ending::NoFinish] {
            let reply = reply().text_words("so it is").ending(ending).build();
            let server = Server::with(Script::always(reply)).await;
            let said = turn(&router(vec![lane("cloud", &server, wire)]), request()).await;
            assert_eq!(said.text, "so it is", "{wire:?}");
            let error = said.failure();
            assert!(error.retry, "{wire:?} {ending:?}");
            assert_eq!(error.lane.as_deref(), Some("cloud"));
            assert!(
                error.usage.output_tokens > 0,
                "what was said will be charged"
            );
            assert!(error.failure.message.contains("end marker"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_cut_before_the_first_token_is_mended_silently() {
    for wire in Wire::ALL {
        for at in [CutAt::Head, CutAt::Byte(1), CutAt::Chunk(0)] {
            let cut = reply().text("never seen").cut(at, CutHow::Rst).build();
            let server = Server::with(Script::replies([cut]).otherwise(Reply::text("whole"))).await;
            let said = turn(&router(vec![lane("cloud", &server, wire)]), request()).await;
            assert_eq!(said.text, "whole", "{wire:?} {at:?}: {:?}", said.error);
            assert_eq!(server.count(), 2, "{wire:?} {at:?}");
        }
    }
}
