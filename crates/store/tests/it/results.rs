//! Results that were too long for a model.

use crate::fixtures::{acme, at, scope, uuid};
use crate::harness::{Harness, on_both};
use domain::kept::{KeptId, KeptResult};
use domain::tool::CallKey;
use domain::{CallId, RunId, ThreadId};

const ROOMY: u64 = 1 << 20;

fn result(content: &str, millis: i64) -> KeptResult {
    let run_id = RunId::new(uuid());
    let key = CallKey::new(acme().org(), run_id, 0, &CallId::minted(uuid()));
    KeptResult {
        id: KeptId::of(&key),
        run_id,
        thread_id: Some(ThreadId::new(uuid())),
        tool_name: "read".to_owned(),
        content: content.to_owned(),
        kept_at: at(millis),
    }
}

async fn a_result_is_kept_for_its_org_alone(h: &Harness) {
    let s = &h.store;
    let mut kept = result("long", 1);
    s.keep_result(acme(), &kept, ROOMY).await.unwrap();
    assert_eq!(
        s.get_result(acme(), &kept.id).await.unwrap(),
        Some(kept.clone())
    );
    let foreign = s.get_result(&scope("other"), &kept.id).await.unwrap();
    assert_eq!(foreign, None);
    // The call was made again.
    kept.content = "longer".to_owned();
    kept.kept_at = at(2);
    s.keep_result(acme(), &kept, ROOMY).await.unwrap();
    assert_eq!(
        s.get_result(acme(), &kept.id).await.unwrap(),
        Some(kept.clone())
    );
    assert_eq!(s.system_sweep_results(at(2)).await.unwrap(), 0);
    assert_eq!(s.system_sweep_results(at(3)).await.unwrap(), 1);
    assert_eq!(s.get_result(acme(), &kept.id).await.unwrap(), None);
}

async fn new_results_crowd_out_the_oldest_of_the_same_org(h: &Harness) {
    let s = &h.store;
    let foreign = result("0123456789", 0);
    let other = scope("other");
    s.keep_result(&other, &foreign, 25).await.unwrap();
    let all: Vec<KeptResult> = (1..5).map(|at| result("0123456789", at)).collect();
    for kept in &all {
        s.keep_result(acme(), kept, 25).await.unwrap();
    }
    let mut there = Vec::new();
    for kept in &all {
        there.push(s.get_result(acme(), &kept.id).await.unwrap().is_some());
    }
    assert_eq!(there, [false, false, true, true]);
    let foreign = s.get_result(&other, &foreign.id).await.unwrap();
    assert!(foreign.is_some());
}

on_both!(
    a_result_is_kept_for_its_org_alone,
    new_results_crowd_out_the_oldest_of_the_same_org
);
