//! Client-side sessions: their responses and their end by time.

use crate::fixtures::{EVERYTHING, acme, at, scope, session, user, uuid};
use crate::harness::{Harness, on_both};
use domain::RunId;
use domain::lane::{LaneChoice, LaneKind};
use domain::ports::store::{Page, SessionFilter};
use domain::response::{Response, ResponseId};
use domain::run::{ClientTurn, Input, Run, RunStatus, Transition};
use domain::usage::Usage;

const MINUTE: i64 = 60_000;

async fn open_session(h: &Harness, created: i64) -> Run {
    let started = session(acme(), at(created));
    h.create(acme(), &started).await;
    started.run
}

fn response(run: &Run, parent: Option<&Response>) -> Response {
    Response {
        gate: None,
        id: ResponseId::new(uuid()),
        session: run.id,
        parent: parent.map(|parent| parent.id),
        depth: parent.map_or(1, |parent| parent.depth + 1),
        chain_bytes: 17,
        input: vec![user("where?", at(2))],
        output: user("there \u{0}", at(3)),
        model: "m".to_owned(),
        usage: Usage::default(),
        truncated: false,
        runs_tools: false,
        created_at: at(3),
    }
}

fn turn(run: &Run, response: &Response) -> Transition {
    let turn = ClientTurn {
        gate: None,
        started_at: at(2),
        deltas: None,
        usage: Usage::default(),
        lane: Some(LaneChoice {
            considered: Vec::new(),
            name: "offline".to_owned(),
            kind: LaneKind::Local,
            model: "m".to_owned(),
            reason: "only one".to_owned(),
        }),
        outcome: Ok(response.clone()),
    };
    run.apply(Input::ClientTurn(Box::new(turn)), at(3)).unwrap()
}

async fn a_response_is_read_as_it_was_written(h: &Harness) {
    let run = open_session(h, 1).await;
    let first = response(&run, None);
    let one = turn(&run, &first);
    h.commit(acme(), &one, &run).await.unwrap();
    let second = response(&run, Some(&first));
    let two = turn(&one.run, &second);
    h.commit(acme(), &two, &one.run).await.unwrap();
    for wanted in [first, second] {
        let found = h.store.get_response(acme(), run.id, wanted.id).await;
        assert_eq!(found.unwrap(), Some(wanted));
    }
}

async fn a_response_belongs_to_one_session_of_one_org(h: &Harness) {
    let run = open_session(h, 1).await;
    let response = response(&run, None);
    h.commit(acme(), &turn(&run, &response), &run)
        .await
        .unwrap();
    let other = open_session(h, 1).await;
    let get = async |scope, session| {
        let found = h.store.get_response(scope, session, response.id).await;
        found.unwrap()
    };
    assert_eq!(get(acme(), other.id).await, None);
    assert_eq!(get(acme(), RunId::new(uuid())).await, None);
    assert_eq!(get(&scope("other"), run.id).await, None);
}

async fn a_stale_turn_leaves_no_response(h: &Harness) {
    let run = open_session(h, 1).await;
    let (first, second) = (response(&run, None), response(&run, None));
    h.commit(acme(), &turn(&run, &first), &run).await.unwrap();
    h.commit(acme(), &turn(&run, &second), &run)
        .await
        .unwrap_err();
    let found = h.store.get_response(acme(), run.id, second.id).await;
    assert_eq!(found.unwrap(), None);
}

async fn sessions_fall_due_until_they_end(h: &Harness) {
    let early = open_session(h, 1).await;
    let late = open_session(h, 5).await;
    h.running(acme()).await;
    let due = async |millis, limit| {
        let due = h
            .store
            .system_due_sessions(at(millis), limit)
            .await
            .unwrap();
        due.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    assert_eq!(due(MINUTE, 10).await, []);
    assert_eq!(due(MINUTE + 1, 10).await, [early.id]);
    assert_eq!(due(MINUTE + 5, 10).await, [early.id, late.id]);
    assert_eq!(due(MINUTE + 5, 1).await, [early.id]);
    let over = early.apply(Input::SessionExpired, at(MINUTE + 5)).unwrap();
    h.commit(acme(), &over, &early).await.unwrap();
    assert_eq!(due(MINUTE + 5, 10).await, [late.id]);
}

async fn sessions_are_listed_by_time_without_the_runs_of_threads(h: &Harness) {
    let early = open_session(h, 1).await;
    h.running(acme()).await;
    let late = open_session(h, 5).await;
    let over = early.apply(Input::SessionExpired, at(9)).unwrap();
    h.commit(acme(), &over, &early).await.unwrap();
    let other_org = scope("other");
    let listed = async |scope, filter: SessionFilter, page| {
        let found = h.store.list_sessions(scope, &filter, page).await.unwrap();
        found.iter().map(|run| run.id).collect::<Vec<_>>()
    };
    let all = SessionFilter::default;
    let with = |status| SessionFilter {
        status: Some(status),
        ..all()
    };
    let of = |agent: &str| SessionFilter {
        agent_type: Some(agent.to_owned()),
        status: Some(RunStatus::Running),
    };
    assert_eq!(listed(acme(), all(), EVERYTHING).await, [late.id, early.id]);
    let failed = with(RunStatus::Failed);
    assert_eq!(listed(acme(), failed, EVERYTHING).await, [early.id]);
    assert_eq!(
        listed(acme(), of(&late.agent_type), EVERYTHING).await,
        [late.id]
    );
    assert_eq!(listed(acme(), of("nobody"), EVERYTHING).await, []);
    let first = Page {
        limit: 1,
        below: None,
    };
    assert_eq!(listed(acme(), all(), first).await, [late.id]);
    let next = Page {
        limit: 1,
        below: Some((late.created_at, late.id.uuid())),
    };
    assert_eq!(listed(acme(), all(), next).await, [early.id]);
    for filter in [all(), with(RunStatus::Running)] {
        assert_eq!(listed(&other_org, filter, EVERYTHING).await, []);
    }
}

on_both!(
    sessions_are_listed_by_time_without_the_runs_of_threads,
    a_response_is_read_as_it_was_written,
    a_response_belongs_to_one_session_of_one_org,
    a_stale_turn_leaves_no_response,
    sessions_fall_due_until_they_end,
);
