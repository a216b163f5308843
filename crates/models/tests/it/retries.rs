//! Waiting as told, storms, the breaker, and the way to the next lane.

use crate::support::{lane, lane_at, request, router, router_with, turn};
use domain::failure::FailureCode;
use domain::lane::LaneHealth;
use domain::ports::model::Models;
use models::{BreakerSettings, RouterSettings};
use scripted::{ErrorKind, Reply, Script, Server, Wire, reply};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_told_wait_is_kept() {
    for wire in Wire::ALL {
        let script =
            Script::replies([Reply::rate_limited(Some("0.4"))]).otherwise(Reply::text("there"));
        let server = Server::with(script).await;
        let said = turn(&router(vec![lane("cloud", &server, wire)]), request()).await;
        assert_eq!(said.text, "there", "{wire:?}");
        let calls = server.calls();
        assert_eq!(calls.len(), 2);
        let waited = calls[1].at_ms - calls[0].at_ms;
        assert!((390..2_000).contains(&waited), "{wire:?}: {waited} ms");
    }
}

#[tokio::test]
async fn other_turns_keep_the_told_wait_too() {
    let script =
        Script::replies([Reply::rate_limited(Some("0.4"))]).otherwise(Reply::text("there"));
    let server = Server::with(script).await;
    let router = router(vec![lane("cloud", &server, Wire::OpenaiChat)]);
    let first = turn(&router, request());
    let later = async {
        server
            .wait_for(|requests| {
                requests
                    .first()
                    .is_some_and(|one| one.outcome == scripted::Outcome::Sent)
            })
            .await;
        tokio::task::yield_now().await;
        turn(&router, request()).await
    };
    let (first, later) = tokio::join!(first, later);
    assert_eq!(
        (first.text.as_str(), later.text.as_str()),
        ("there", "there")
    );
    let calls = server.calls();
    let waited = |index: usize| calls[index].at_ms - calls[0].at_ms;
    assert!(
        waited(1) >= 390 && waited(2) >= 390,
        "{} {}",
        waited(1),
        waited(2)
    );
}

#[tokio::test]
async fn a_wait_beyond_the_limit_sends_the_turn_to_the_next_lane() {
    let busy = Server::with(Script::always(Reply::rate_limited(Some("3600")))).await;
    let idle = Server::with(Script::always(Reply::text("there"))).await;
    let lanes = vec![
        lane("busy", &busy, Wire::OpenaiChat),
        lane("idle", &idle, Wire::Anthropic),
    ];
    let router = router(lanes);
    let began = Instant::now();
    for _ in 0..3 {
        let said = turn(&router, request()).await;
        assert_eq!(said.text, "there");
        assert_eq!(said.lanes[0].name, "idle");
        let reason = &said.lanes[0].reason;
        assert!(reason.contains("passed over busy"), "{reason}");
    }
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_eq!(busy.count(), 1, "the pause is remembered");
}

#[tokio::test]
async fn a_wait_beyond_the_limit_ends_the_turn_where_there_is_no_other_lane() {
    let server = Server::with(Script::always(Reply::rate_limited(Some("3600")))).await;
    let said = turn(
        &router(vec![lane("cloud", &server, Wire::OpenaiChat)]),
        request(),
    )
    .await;
    let failure = &said.failure().failure;
    assert_eq!(failure.code, FailureCode::ModelUnavailable);
    assert!(
        failure.message.contains("wait 3600 s"),
        "{}",
        failure.message
    );
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_storm_costs_a_bounded_number_of_calls() {
    let server = Server::with(Script::always(Reply::error(ErrorKind::Overloaded))).await;
    let router = router(vec![lane("cloud", &server, Wire::Anthropic)]);
    let turns = (0..50).map(|_| turn(&router, request()));
    let all = futures::future::join_all(turns).await;
    assert!(all.iter().all(|said| !said.failure().retry));
    let at_once = server.count();
    assert!(at_once <= 150, "three tries a turn: {at_once}");

    // The breaker is open now: a turn is one last try.
    for _ in 0..10 {
        turn(&router, request()).await;
    }
    assert_eq!(server.count() - at_once, 10);
    assert_eq!(router.lanes()[0].health, LaneHealth::Open);
}

#[tokio::test]
async fn the_breaker_opens_turns_go_elsewhere_and_it_closes_again() {
    let ill = Server::with(Script::always(Reply::error(ErrorKind::Server))).await;
    let well = Server::with(Script::always(Reply::text("well"))).await;
    let settings = RouterSettings {
        breaker: BreakerSettings {
            failures: 4,
            cool_down_ms: 200,
            ..BreakerSettings::default()
        },
        ..RouterSettings::default()
    };
    let lanes = vec![
        lane("ill", &ill, Wire::OpenaiChat),
        lane("well", &well, Wire::OpenaiChat),
    ];
    let router = router_with(lanes, settings);
    for _ in 0..2 {
        assert_eq!(turn(&router, request()).await.text, "well");
    }
    assert_eq!(ill.count(), 4, "three tries, then the one that opened it");
    assert_eq!(router.lanes()[0].health, LaneHealth::Open);
    assert_eq!(turn(&router, request()).await.lanes[0].name, "well");
    assert_eq!(ill.count(), 4, "it is left in peace");

    ill.play(Script::always(Reply::text("recovered")));
    let until = Instant::now() + Duration::from_secs(10);
    while router.lanes()[0].health == LaneHealth::Open {
        assert!(Instant::now() < until, "the breaker lets a probe through");
        tokio::task::yield_now().await;
    }
    assert_eq!(turn(&router, request()).await.text, "recovered");
    assert_eq!(router.lanes()[0].health, LaneHealth::Healthy);
}

#[tokio::test]
async fn a_lane_that_fails_before_the_first_token_is_passed_over_silently() {
    let replies = [
        Reply::error(ErrorKind::Auth),
        Reply::error(ErrorKind::SpendLimit),
        Reply::error(ErrorKind::NotFound),
        Reply::error(ErrorKind::ContextOverflow),
        Reply::error(ErrorKind::Invalid),
        Reply::error(ErrorKind::Server),
        reply().text("x").stream_error(0, ErrorKind::Server).build(),
    ];
    for reply in replies {
        let ill = Server::with(Script::always(reply.clone())).await;
        let well = Server::with(Script::always(Reply::text("well"))).await;
        let lanes = vec![
            lane("ill", &ill, Wire::OpenaiChat),
            lane("well", &well, Wire::Gemini),
        ];
        let said = turn(&router(lanes), request()).await;
        assert_eq!(said.text, "well", "{reply:?}");
        let reason = &said.lanes[0].reason;
        assert!(
            reason.starts_with("healthy") && reason.contains("passed over ill: "),
            "{reason}"
        );
    }
}

#[tokio::test]
async fn a_lane_that_fails_after_the_first_token_is_left_to_the_engine() {
    for wire in Wire::ALL {
        let ill = reply()
            .text_words("one two")
            .stream_error(1, ErrorKind::Server)
            .build();
        let ill = Server::with(Script::always(ill)).await;
        let well = Server::with(Script::always(Reply::text("well"))).await;
        let router = router(vec![lane("ill", &ill, wire), lane("well", &well, wire)]);
        let said = turn(&router, request()).await;
        assert_eq!(said.text, "one ", "{wire:?}");
        let error = said.failure();
        assert!(error.retry);
        assert_eq!(error.lane.as_deref(), Some("ill"));
        assert_eq!((ill.count(), well.count()), (1, 0));

        let mut again = request();
        again.failed_lanes = vec!["ill".to_owned()];
        let said = turn(&router, again).await;
        assert_eq!(said.lanes[0].name, "well", "{wire:?}");
    }
}

#[tokio::test]
async fn the_only_lane_is_tried_again_although_it_failed() {
    let server = Server::with(Script::always(Reply::text("there"))).await;
    let mut again = request();
    again.failed_lanes = vec!["cloud".to_owned()];
    let said = turn(&router(vec![lane("cloud", &server, Wire::Ollama)]), again).await;
    assert_eq!(said.text, "there");
    assert!(said.lanes[0].reason.contains("failed this turn before"));
}

#[tokio::test]
async fn what_failed_attempts_used_is_counted() {
    let broken = reply()
        .tool_call(
            "call_a",
            "weather",
            r#"{"city":"a long name of a city, cut off"}"#,
        )
        .cut(scripted::CutAt::Chunk(2), scripted::CutHow::Fin)
        .build();
    let script = Script::replies([broken]).otherwise(
        reply()
            .text("x")
            .usage(scripted::Usage {
                input: 100,
                output: 10,
                cached: 0,
                reasoning: 0,
            })
            .build(),
    );
    let server = Server::with(script).await;
    let said = turn(
        &router(vec![lane("cloud", &server, Wire::OpenaiChat)]),
        request(),
    )
    .await;
    let usage = said.finish.unwrap().usage;
    assert!(usage.estimated);
    assert!(
        usage.input_tokens > 100 && usage.output_tokens > 10,
        "{usage:?}"
    );
}

#[tokio::test]
async fn every_lanes_reason_is_told_when_none_answers() {
    let one = Server::with(Script::always(Reply::error(ErrorKind::Auth))).await;
    let two = Server::with(Script::always(Reply::error(ErrorKind::SpendLimit))).await;
    let lanes = vec![
        lane("one", &one, Wire::OpenaiChat),
        lane("two", &two, Wire::Anthropic),
        lane_at("three", "http://127.0.0.1:9", Wire::Ollama),
    ];
    let said = turn(&router(lanes), request()).await;
    let failure = &said.failure().failure;
    assert_eq!(failure.code, FailureCode::ModelUnavailable);
    for part in [
        "one: the provider does not accept",
        "two: the account's spend",
        "three: cannot connect",
    ] {
        assert!(failure.message.contains(part), "{}", failure.message);
    }
    assert!(
        !failure.message.contains("127.0.0.1"),
        "{}",
        failure.message
    );
}
