//! Late answers: kept beside the run, once for each attempt, for its org alone, as long as the run is there.

use crate::fixtures::{acme, answer, at, begun, queued, scope, uuid};
use crate::harness::{Harness, on_both};
use domain::step::LateAnswer;
use domain::tool::ToolResult;
use domain::{CallId, RunId};

fn late(call: &CallId, attempt: u32, said: &str, millis: i64) -> LateAnswer {
    LateAnswer {
        call: call.clone(),
        attempt,
        at: at(millis),
        result: ToolResult::ok(said),
    }
}

async fn late_answers_are_kept_once_for_each_attempt(h: &Harness) {
    let run = h.running(acme()).await;
    let before = h.store.get_run(acme(), run.id).await.unwrap();
    let (one, two) = (CallId::minted(uuid()), CallId::minted(uuid()));
    let first = late(&one, 1, "\"paid\"", 3);
    let again = late(&one, 2, "\"paid again\"", 2);
    let mut failed = late(&two, 1, "\"no\"", 4);
    failed.result.is_error = true;
    for answer in [
        &first,
        &again,
        &failed,
        &late(&one, 1, "\"something else\"", 9),
    ] {
        let attached = h.store.attach_late_answer(acme(), run.id, answer).await;
        attached.unwrap();
    }
    let found = h.store.late_answers(acme(), run.id).await.unwrap();
    assert_eq!(found, [again, first, failed]);
    assert_eq!(h.store.get_run(acme(), run.id).await.unwrap(), before);
}

async fn late_answers_are_of_one_org_and_of_runs_that_are_there(h: &Harness) {
    let run = h.running(acme()).await;
    let (other, call) = (scope("other"), CallId::minted(uuid()));
    let said = late(&call, 1, "1", 1);
    h.store
        .attach_late_answer(&other, run.id, &said)
        .await
        .unwrap();
    h.store
        .attach_late_answer(acme(), RunId::new(uuid()), &said)
        .await
        .unwrap();
    assert_eq!(h.store.late_answers(acme(), run.id).await.unwrap(), []);
    h.store
        .attach_late_answer(acme(), run.id, &said)
        .await
        .unwrap();
    assert_eq!(h.store.late_answers(&other, run.id).await.unwrap(), []);
    assert_eq!(h.store.late_answers(acme(), run.id).await.unwrap(), [said]);
}

async fn late_answers_come_to_ended_runs_too_and_go_with_them(h: &Harness) {
    h.org(acme()).await;
    let thread = h.thread(acme()).await;
    let started = begun(&queued(acme(), thread, "hello", at(1)), at(1));
    h.create(acme(), &started).await;
    let done = answer(&started.run, "done", Vec::new(), at(2));
    h.commit(acme(), &done, &started.run).await.unwrap();
    let said = late(&CallId::minted(uuid()), 1, "1", 3);
    h.store
        .attach_late_answer(acme(), done.run.id, &said)
        .await
        .unwrap();
    assert_eq!(
        h.store.late_answers(acme(), done.run.id).await.unwrap(),
        [said]
    );
    assert_eq!(h.store.system_delete_old_runs(at(9), 10).await.unwrap(), 1);
    assert_eq!(h.store.late_answers(acme(), done.run.id).await.unwrap(), []);
}

on_both!(
    late_answers_are_kept_once_for_each_attempt,
    late_answers_are_of_one_org_and_of_runs_that_are_there,
    late_answers_come_to_ended_runs_too_and_go_with_them,
);
