//! Three waits, each with its own end.

use crate::support::{Said, lane, lane_at, request, router, turn};
use domain::failure::FailureCode;
use futures::future::join_all;
use scripted::{AcceptFault, Reply, Script, Server, Stall, Wire, reply};
use std::time::{Duration, Instant};

/// Passes in vain.
const SHORT: u64 = 150;
/// Long enough for what answers at once, on a busy machine too.
const AMPLE: u64 = 2_000;
const LONG: u64 = 120_000;

async fn stalled(wire: Wire, script: Script, first_byte_ms: u64, between_chunks_ms: u64) -> Said {
    let server = Server::with(script).await;
    let mut lane = lane("cloud", &server, wire);
    lane.timeouts.connect_ms = LONG;
    lane.timeouts.first_byte_ms = first_byte_ms;
    lane.timeouts.between_chunks_ms = between_chunks_ms;
    let began = Instant::now();
    let said = turn(&router(vec![lane]), request()).await;
    assert!(began.elapsed() < Duration::from_secs(60), "{wire:?}");
    assert_eq!(
        server.count().min(1),
        server.count(),
        "a wait is not waited twice"
    );
    said
}

#[tokio::test]
async fn silence_before_the_first_byte() {
    for wire in Wire::ALL {
        for stall in [Stall::Head, Stall::Body] {
            let script = Script::always(reply().text("x").stall(stall).build());
            let said = stalled(wire, script, SHORT, LONG).await;
            let error = said.failure();
            assert_eq!(error.failure.code, FailureCode::ModelUnavailable);
            assert!(
                error.failure.message.contains("no answer within 150 ms"),
                "{wire:?}: {error}"
            );
            assert!(!error.retry);
        }
        let script = Script::default().accept(AcceptFault::Stall);
        let said = stalled(wire, script, SHORT, LONG).await;
        assert!(
            said.failure().failure.message.contains("no answer within"),
            "{wire:?}"
        );
    }
}

#[tokio::test]
async fn silence_between_chunks() {
    let checks = Wire::ALL.map(async |wire| {
        let script = Script::always(
            reply()
                .text_words("one two three")
                .stall(Stall::Chunk(2))
                .build(),
        );
        let said = stalled(wire, script, LONG, AMPLE).await;
        assert_eq!(said.text, "one two ", "{wire:?}");
        let error = said.failure();
        assert!(
            error.failure.message.contains("stopped for 2 s"),
            "{wire:?}: {error}"
        );
        assert!(error.retry, "the first token was there");
    });
    join_all(checks).await;
}

#[tokio::test]
async fn a_slow_first_byte_is_no_stall_between_chunks_and_the_other_way_round() {
    let checks = Wire::ALL.map(async |wire| {
        let slow_start = reply()
            .text_words("one two")
            .first_byte_ms(AMPLE + 200)
            .build();
        let said = stalled(wire, Script::always(slow_start), LONG, AMPLE).await;
        assert_eq!(said.text, "one two", "{wire:?}: {:?}", said.error);

        let slow_rest = reply()
            .text_words("one two three")
            .between_ms(AMPLE + 200)
            .build();
        let said = stalled(wire, Script::always(slow_rest), AMPLE, LONG).await;
        assert_eq!(said.text, "one two three", "{wire:?}: {:?}", said.error);
    });
    join_all(checks).await;
}

#[tokio::test]
async fn a_refused_connection_is_told_as_such_and_repeated() {
    for wire in Wire::ALL {
        // A port that was just given up has no listener.
        let server = Server::start().await;
        let url = server.url();
        server.stop().await;
        let said = turn(&router(vec![lane_at("gone", &url, wire)]), request()).await;
        let message = &said.failure().failure.message;
        assert!(
            message.contains("cannot connect") && message.contains("base_url"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_connection_that_is_never_accepted_runs_into_the_connect_time_out() {
    // A listener whose queue is full answers no further connection: Linux drops the SYN.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    for _ in 0..8 {
        let connect = tokio::net::TcpStream::connect(address);
        match tokio::time::timeout(Duration::from_millis(200), connect).await {
            Ok(stream) => held.push(stream.unwrap()),
            Err(_) => break,
        }
    }
    let mut lane = lane_at("full", &format!("http://{address}"), Wire::OpenaiChat);
    lane.timeouts.connect_ms = SHORT;
    lane.timeouts.first_byte_ms = LONG;
    lane.retries.attempts = 1;
    let began = Instant::now();
    let said = turn(&router(vec![lane]), request()).await;
    assert!(began.elapsed() < Duration::from_secs(60));
    let message = &said.failure().failure.message;
    assert!(message.contains("no connection in time"), "{message}");
}

#[tokio::test]
async fn a_closed_or_reset_connection_is_repeated() {
    for fault in [AcceptFault::Close, AcceptFault::Reset] {
        let server = Server::with(Script::default().accept(fault)).await;
        let router = router(vec![lane("cloud", &server, Wire::OpenaiChat)]);
        let said = turn(&router, request()).await;
        assert_eq!(said.failure().failure.code, FailureCode::ModelUnavailable);
        server.play(Script::always(Reply::text("there")));
        assert_eq!(turn(&router, request()).await.text, "there");
    }
}

#[tokio::test]
async fn a_full_lane_is_waited_for_and_then_passed_over() {
    use domain::ports::model::Models;
    use futures::StreamExt;
    let server = Server::with(Script::always(
        reply().text("a ").hold("gate").text("b").build(),
    ))
    .await;
    let mut one = lane("one", &server, Wire::OpenaiChat);
    one.max_concurrency = Some(1);
    one.retries.queue_ms = 100;
    let other = Server::with(Script::always(Reply::text("other"))).await;
    let router = router(vec![one, lane("two", &other, Wire::OpenaiChat)]);

    let mut first = router.turn(request());
    first.next().await.unwrap().unwrap();
    let said = turn(&router, request()).await;
    assert_eq!(said.text, "other");
    assert!(
        said.lanes[0].reason.contains("every place stayed taken"),
        "{:?}",
        said.lanes
    );

    server.open_gate("gate");
    while let Some(event) = first.next().await {
        event.unwrap();
    }
    assert_eq!(
        turn(&router, request()).await.lanes[0].name,
        "one",
        "the place is free again"
    );
}
