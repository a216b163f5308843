//! What happens to the bytes and the connection, as a raw client sees it.

use scripted::{AcceptFault, CutAt, CutHow, Ending, Reply, Script, Server, Stall, Wire, reply};

use crate::client::{Client, Ended, ask, body, playing};
use crate::reader;

/// The whole stream of the reply without its faults.
async fn without_faults(wire: Wire, mut reply: Reply) -> Vec<u8> {
    reply.faults = scripted::Faults::default();
    ask(&playing(reply).await, wire, true).await.body
}

#[tokio::test]
async fn cut_at_every_byte_leaves_exactly_the_bytes_before_it() {
    let whole = reply().text_tokens(["é", "b"]).build();
    for wire in Wire::ALL {
        let expected = without_faults(wire, whole.clone()).await;
        for how in [CutHow::Rst, CutHow::Fin] {
            for at in [
                0,
                1,
                7,
                expected.len() / 2,
                expected.len() - 1,
                expected.len(),
            ] {
                let mut cut = whole.clone();
                cut.faults.cut = Some(scripted::Cut {
                    at: CutAt::Byte(at),
                    how,
                });
                let answer = ask(&playing(cut).await, wire, true).await;
                let ended = if how == CutHow::Rst {
                    Ended::Reset
                } else {
                    Ended::Fin
                };
                assert_eq!(answer.ended, ended, "{wire:?} at {at}");
                assert_eq!(answer.body, expected[..at], "{wire:?} at {at}");
            }
        }
    }
}

#[tokio::test]
async fn cut_after_a_chunk_leaves_the_chunks_before_it() {
    for wire in Wire::ALL {
        for chunks in 0..=3 {
            let cut = reply()
                .text_tokens(["a", "b", "c"])
                .cut(CutAt::Chunk(chunks), CutHow::Fin);
            let answer = ask(&playing(cut.build()).await, wire, true).await;
            let heard = reader::stream(wire, &answer.text());
            assert_eq!(answer.ended, Ended::Fin);
            assert_eq!(
                (heard.text.as_str(), heard.finish),
                (&"abc"[..chunks], None),
                "{wire:?}"
            );
        }
    }
}

#[tokio::test]
async fn cut_before_the_head_leaves_nothing() {
    for (how, ended) in [(CutHow::Rst, Ended::Reset), (CutHow::Fin, Ended::Fin)] {
        let server = playing(reply().text("a").cut(CutAt::Head, how).build()).await;
        let answer = ask(&server, Wire::OpenaiChat, true).await;
        assert_eq!((answer.status, answer.ended), (0, ended));
    }
}

#[tokio::test]
async fn whole_answer_cut_keeps_its_declared_length() {
    let server = playing(
        reply()
            .text("abc")
            .cut(CutAt::Byte(10), CutHow::Fin)
            .build(),
    )
    .await;
    let answer = ask(&server, Wire::OpenaiChat, false).await;
    let declared: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert!(declared > 10);
    assert_eq!((answer.body.len(), answer.ended), (10, Ended::Fin));
}

#[tokio::test]
async fn ending_without_marker_is_whole_for_http_but_not_for_the_wire() {
    for wire in Wire::ALL {
        let text = reply().text("a");
        let server = playing(text.clone().ending(Ending::NoMarker).build()).await;
        let answer = ask(&server, wire, true).await;
        let heard = reader::stream(wire, &answer.text());
        assert_eq!((answer.ended, heard.text.as_str()), (Ended::Whole, "a"));
        assert!(!heard.marked, "{wire:?}");
        // Only these two tell the finish reason before the marker.
        let before = matches!(wire, Wire::OpenaiChat | Wire::Anthropic);
        assert_eq!(heard.finish.is_some(), before, "{wire:?}");

        let answer = ask(
            &playing(text.ending(Ending::NoFinish).build()).await,
            wire,
            true,
        )
        .await;
        let heard = reader::stream(wire, &answer.text());
        assert_eq!(
            (heard.text.as_str(), heard.finish, heard.marked),
            ("a", None, false)
        );
    }
}

#[tokio::test]
async fn stall_sends_what_comes_before_and_then_nothing() {
    for wire in Wire::ALL {
        let server = playing(
            reply()
                .text_tokens(["a", "b"])
                .stall(Stall::Chunk(1))
                .build(),
        )
        .await;
        let mut client = Client::connect(&server).await;
        let bytes = body(wire, true).to_string();
        client
            .send("POST", &wire.path("m-1", true), "", bytes.as_bytes())
            .await;
        let read = client.until("\"a\"").await;
        assert_eq!(reader::stream(wire, &read.text()).text, "a", "{wire:?}");
        // Only the client's going ends it, and the server notices.
        drop(client);
        let hung_up = |all: &[scripted::Request]| all[0].outcome == scripted::Outcome::HungUp;
        server.wait_for(hung_up).await;
    }
}

#[tokio::test]
async fn stall_before_the_body_sends_the_head_only() {
    let server = playing(reply().text("a").stall(Stall::Body).build()).await;
    let mut client = Client::connect(&server).await;
    let bytes = body(Wire::OpenaiChat, true).to_string();
    client
        .send("POST", "/v1/chat/completions", "", bytes.as_bytes())
        .await;
    while !client.read.ends_with(b"\r\n\r\n") {
        assert_eq!(client.more().await, None);
    }
    let open = server.wait_calls(1).await;
    assert_eq!(open[0].outcome, scripted::Outcome::Open);
}

#[tokio::test]
async fn stall_before_the_head_sends_nothing() {
    let server = playing(reply().text("a").stall(Stall::Head).build()).await;
    let mut client = Client::connect(&server).await;
    let bytes = body(Wire::OpenaiChat, true).to_string();
    client
        .send("POST", "/v1/chat/completions", "", bytes.as_bytes())
        .await;
    server.wait_calls(1).await;
    // The server is stopped, so everything that it wrote has arrived when the end has.
    server.stop().await;
    assert!(client.more().await.is_some());
    assert_eq!(client.read, b"");
}

#[tokio::test]
async fn accept_faults_meet_a_connection_before_its_request() {
    for (fault, ended) in [
        (AcceptFault::Close, Ended::Fin),
        (AcceptFault::Reset, Ended::Reset),
    ] {
        let server = Server::with(Script::default().accept(fault)).await;
        let mut client = Client::connect(&server).await;
        assert_eq!((client.more().await, client.read.len()), (Some(ended), 0));
    }
    let server = Server::with(Script::default().accept(AcceptFault::Stall)).await;
    let mut client = Client::connect(&server).await;
    client.send("GET", "/v1/models", "", b"").await;
    server.stop().await;
    assert!(client.more().await.is_some());
    assert_eq!(client.read, b"");
}

#[tokio::test]
async fn writes_are_split_anywhere_even_inside_a_character() {
    for wire in Wire::ALL {
        let text = reply().text("é€😀").build();
        let expected = without_faults(wire, text.clone()).await;
        let mut single = text.clone();
        single.faults.write_sizes = vec![1];
        let answer = ask(&playing(single).await, wire, true).await;
        assert_eq!(answer.body, expected);
        assert_eq!(answer.chunks, vec![1; expected.len()]);
        let mut listed = text;
        listed.faults.write_sizes = vec![3, 1, 50];
        let answer = ask(&playing(listed).await, wire, true).await;
        assert_eq!(answer.body, expected);
        assert_eq!(answer.chunks[..3], [3, 1, 50]);
    }
}

#[tokio::test]
async fn pace_keeps_chunks_apart() {
    let slow = reply()
        .text_tokens(["a", "b", "c"])
        .first_byte_ms(30)
        .between_ms(20)
        .build();
    let server = playing(slow).await;
    for wire in Wire::ALL {
        let begun = std::time::Instant::now();
        let answer = ask(&server, wire, true).await;
        assert!(begun.elapsed().as_millis() >= 70, "{wire:?}");
        assert_eq!(reader::stream(wire, &answer.text()).text, "abc");
    }
}
