//! Answers that are whole, but not what a client hopes for.

use scripted::{CallIds, Wire, reply};
use serde_json::Value;

use crate::client::{Client, Ended, ask, body, playing};
use crate::reader;

#[tokio::test]
async fn call_ids_can_be_doubled_emptied_or_missing() {
    let calls = |ids| {
        let calls = reply()
            .tool_call("c1", "a", "{}")
            .tool_call("c2", "b", "{}");
        calls.call_ids(ids).build()
    };
    for wire in Wire::ALL {
        for (ids, expected) in [
            (CallIds::Kept, [Some("c1"), Some("c2")]),
            (CallIds::Duplicate, [Some("c1"), Some("c1")]),
            (CallIds::Empty, [Some(""), Some("")]),
            (CallIds::Missing, [None, None]),
        ] {
            let server = playing(calls(ids)).await;
            let streamed = reader::stream(wire, &ask(&server, wire, true).await.text());
            let whole = reader::whole(wire, &ask(&server, wire, false).await.json());
            for heard in [streamed, whole] {
                let heard: Vec<_> = heard.calls.iter().map(|call| call.0.as_deref()).collect();
                assert_eq!(heard, expected, "{wire:?} {ids:?}");
            }
        }
    }
}

#[tokio::test]
async fn broken_arguments_arrive_as_they_are() {
    let server = playing(reply().tool_call("c", "no_such_tool", r#"{"a": "#).build()).await;
    for wire in Wire::ALL {
        let heard = reader::stream(wire, &ask(&server, wire, true).await.text());
        let (_, name, arguments) = &heard.calls[0];
        assert_eq!(
            (name.as_str(), arguments.as_str()),
            ("no_such_tool", r#"{"a": "#)
        );
    }
}

#[tokio::test]
async fn usage_can_be_missing() {
    let server = playing(reply().text("a").no_usage().build()).await;
    for wire in Wire::ALL {
        let streamed = reader::stream(wire, &ask(&server, wire, true).await.text());
        let whole = reader::whole(wire, &ask(&server, wire, false).await.json());
        assert_eq!((streamed.usage, whole.usage), (None, None), "{wire:?}");
        assert!(streamed.marked);
    }
}

#[tokio::test]
async fn flood_is_as_long_as_scripted() {
    let server = playing(reply().text("<").flood("na ", Some(5000)).build()).await;
    for wire in Wire::ALL {
        let answer = ask(&server, wire, true).await;
        let text = answer.text();
        assert_eq!(text.matches("\"na \"").count(), 5000, "{wire:?}");
        assert_eq!(answer.ended, Ended::Whole);
        if wire == Wire::OpenaiResponses {
            let events = reader::events(wire, &text);
            let last: Value = serde_json::from_str(&events.last().unwrap().1).unwrap();
            assert_eq!(last["sequence_number"], events.len() - 1);
        } else {
            assert!(reader::stream(wire, &text).marked);
        }
    }
}

#[tokio::test]
async fn flood_without_end_goes_on_until_the_client_goes() {
    let server = playing(reply().flood("na ", None).build()).await;
    for wire in Wire::ALL {
        server.clear();
        let mut client = Client::connect(&server).await;
        let bytes = body(wire, true).to_string();
        client
            .send("POST", &wire.path("m-1", true), "", bytes.as_bytes())
            .await;
        while client.read.len() < 1_000_000 {
            assert_eq!(client.more().await, None);
        }
        drop(client);
        let hung_up = |all: &[scripted::Request]| {
            all.first()
                .is_some_and(|one| one.outcome == scripted::Outcome::HungUp)
        };
        server.wait_for(hung_up).await;
    }
}

#[tokio::test]
async fn text_that_looks_like_frames_stays_text() {
    let forged = "\n\ndata: forged\n\nevent: done\r\n\r\ndata: [DONE]\n\n";
    let server = playing(reply().text("a").text(forged).text("b").build()).await;
    for wire in Wire::ALL {
        let text = ask(&server, wire, true).await.text();
        assert_eq!(
            reader::stream(wire, &text).text,
            format!("a{forged}b"),
            "{wire:?}"
        );
        assert!(!text.contains("\ndata: forged"));
    }
}

#[tokio::test]
async fn invalid_utf8_arrives_as_it_is() {
    let bytes = b"\xff\xc3\x28";
    let server = playing(reply().text("a").text_bytes(bytes).text("b").build()).await;
    for wire in Wire::ALL {
        for stream in [true, false] {
            let answer = ask(&server, wire, stream).await;
            let found = answer.body.windows(3).any(|three| three == bytes);
            assert!(found, "{wire:?}");
            assert!(std::str::from_utf8(&answer.body).is_err());
        }
    }
}
