//! Which lane a turn takes.

use crate::support::{lane, request, router, turn};
use domain::RunId;
use domain::agent::DataPolicy;
use domain::failure::FailureCode;
use domain::lane::LaneKind;
use domain::ports::model::{Models, TurnRequest};
use models::{ConfigError, LaneConfig, Router, RouterSettings};
use scripted::{Echo, Script, Server, Wire, reply};
use uuid::Uuid;

async fn server() -> Server {
    Server::with(Script::always(reply().echo(Echo::Model).build())).await
}

fn wishing(models: &[&str]) -> TurnRequest {
    let mut request = request();
    request.wishes.models = models.iter().map(|&model| model.to_owned()).collect();
    request
}

#[tokio::test]
async fn the_wished_model_decides_the_lane() {
    let server = server().await;
    let mut gpt = lane("gpt", &server, Wire::OpenaiChat);
    gpt.models = vec!["gpt-5.4-mini".to_owned(), "gpt-*".to_owned()];
    let mut claude = lane("claude", &server, Wire::Anthropic);
    claude.models = vec!["claude-sonnet-5".to_owned(), "claude-*".to_owned()];
    let router = router(vec![gpt, claude]);
    let cases: [(&[&str], &str, &str); 4] = [
        (&[], "gpt", "gpt-5.4-mini"),
        (&["claude-opus-5"], "claude", "claude-opus-5"),
        (&["gpt-6"], "gpt", "gpt-6"),
        (&["llama", "claude-x"], "claude", "claude-x"),
    ];
    for (wished, lane, model) in cases {
        let said = turn(&router, wishing(wished)).await;
        assert_eq!(said.lanes[0].name, lane, "{wished:?}");
        assert_eq!(said.lanes[0].model, model);
        assert_eq!(said.text, model, "the provider is asked for it");
    }
    let said = turn(&router, wishing(&["llama"])).await;
    let failure = &said.failure().failure;
    assert_eq!(failure.code, FailureCode::ModelUnavailable);
    assert!(
        failure.message.contains("models: llama"),
        "{}",
        failure.message
    );
    assert!(
        failure.message.contains("gpt: serves none"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn patterns_are_not_listed_as_models() {
    let server = server().await;
    let mut gpt = lane("gpt", &server, Wire::OpenaiChat);
    gpt.models = vec!["gpt-5".to_owned(), "gpt-*".to_owned()];
    assert_eq!(router(vec![gpt]).lanes()[0].models, ["gpt-5"]);
}

#[tokio::test]
async fn a_pinned_lane_and_the_data_policy_are_kept() {
    let server = server().await;
    let mut near = lane("near", &server, Wire::Ollama);
    near.kind = LaneKind::Local;
    let router = router(vec![lane("far", &server, Wire::Gemini), near]);

    let mut pinned = request();
    pinned.wishes.pinned = Some("near".to_owned());
    let said = turn(&router, pinned).await;
    assert_eq!(said.lanes[0].name, "near");
    let said = &said.lanes[0].considered[0];
    assert_eq!((said.name.as_str(), said.eligible), ("far", false));
    assert_eq!(said.reason, "the request asks for lane near");

    let mut private = request();
    private.wishes.data_policy = DataPolicy::Local;
    assert_eq!(turn(&router, private.clone()).await.lanes[0].name, "near");
    private.wishes.pinned = Some("far".to_owned());
    let said = turn(&router, private).await;
    assert!(said.failure().failure.message.contains("data policy"));
    assert_eq!(server.count(), 2, "nothing went to the far lane");
}

#[tokio::test]
async fn traffic_is_shared_by_weight_and_a_run_stays_in_its_lane() {
    let server = server().await;
    let weighted = |name: &str, weight| {
        let mut lane = lane(name, &server, Wire::OpenaiChat);
        lane.weight = Some(weight);
        lane
    };
    let router = router(vec![
        weighted("stable", 9),
        weighted("canary", 1),
        weighted("off", 0),
    ]);
    let mut canary = 0;
    for run in 0..200u128 {
        let mut names = Vec::new();
        for _ in 0..2 {
            let mut request = request();
            request.run_id = RunId::new(Uuid::from_u128(run << 64 | run));
            names.push(turn(&router, request).await.lanes[0].name.clone());
        }
        assert_eq!(names[0], names[1], "run {run}");
        assert_ne!(names[0], "off");
        canary += usize::from(names[0] == "canary");
    }
    assert!((8..=36).contains(&canary), "about a tenth: {canary} of 200");
}

#[tokio::test]
async fn an_agents_order_goes_before_weights() {
    let server = server().await;
    let mut heavy = lane("heavy", &server, Wire::OpenaiChat);
    heavy.weight = Some(100);
    let mut light = lane("light", &server, Wire::OpenaiChat);
    light.weight = Some(1);
    let router = router(vec![heavy, light]);
    let mut ordered = request();
    ordered.wishes.lanes = vec!["light".to_owned(), "heavy".to_owned()];
    assert_eq!(turn(&router, ordered).await.lanes[0].name, "light");
}

#[tokio::test]
async fn a_lane_of_the_client_is_never_called_from_here() {
    let server = server().await;
    let mut phone = LaneConfig::new("phone", LaneKind::Device, models::Wire::Offline);
    phone.wire = None;
    phone.models = vec!["scripted".to_owned()];
    let router = router(vec![phone, lane("cloud", &server, Wire::OpenaiChat)]);
    assert_eq!(turn(&router, request()).await.lanes[0].name, "cloud");
    let mut any = request();
    any.wishes.kinds.push(LaneKind::Device);
    any.wishes.pinned = Some("phone".to_owned());
    assert_eq!(
        turn(&router, any).await.failure().failure.code,
        FailureCode::ModelUnavailable
    );
}

#[tokio::test]
async fn two_lanes_of_one_name_are_refused() {
    let lanes = vec![LaneConfig::offline(), LaneConfig::offline()];
    let refused = Router::new(lanes, RouterSettings::default()).unwrap_err();
    let lane = "offline".to_owned();
    assert_eq!(refused, ConfigError::Duplicate { lane });
}

#[tokio::test]
async fn no_lanes_at_all_is_told_plainly() {
    let said = turn(&router(Vec::new()), request()).await;
    let failure = &said.failure().failure;
    assert_eq!(failure.code, FailureCode::ModelUnavailable);
    assert!(
        failure.message.contains("no lane is configured"),
        "{}",
        failure.message
    );
}
