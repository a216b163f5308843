//! Leases and claims: no run is held twice, and none is left behind.

use crate::fixtures::{
    LEASE, acme, answer, ask, at, begun, call, cancel, expected, queued, scope, session, worker,
};
use crate::harness::{Harness, on_both};
use domain::ports::store::{Claimed, CreatedRun, Holder, StoreError};
use domain::run::{Input, Run, Verdict};
use domain::{OrgScope, RunId, WorkerId};
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};

/// A run that begins under `worker`.
async fn held_by(h: &Harness, scope: &OrgScope, worker: WorkerId) -> Run {
    let thread = h.thread(scope).await;
    let started = begun(&queued(scope, thread, "hello", at(1)), at(1));
    let created = h.create_by(scope, &started, worker).await;
    assert_eq!(created, CreatedRun::Started { history: 1 });
    started.run
}

async fn claim(h: &Harness, worker: WorkerId) -> Vec<Claimed> {
    h.store.system_claim_runs(worker, 100).await.unwrap()
}

fn ids(claimed: &[Claimed]) -> BTreeSet<RunId> {
    claimed.iter().map(|claimed| claimed.run.id).collect()
}

async fn a_live_workers_runs_are_its_own(h: &Harness) {
    let holder = h.live_worker().await;
    let run = held_by(h, acme(), holder).await;
    let other = h.live_worker().await;
    assert_eq!(claim(h, other).await.len(), 0);
    let claimed = h.store.claim_run(acme(), run.id, other).await.unwrap();
    assert!(claimed.is_none());
    let again = h.store.claim_run(acme(), run.id, holder).await.unwrap();
    assert!(again.is_none(), "its own lease is live too");
}

async fn a_dead_workers_runs_are_taken_once(h: &Harness) {
    let dead = h.dead_worker().await;
    let run = held_by(h, acme(), dead).await;
    let other = h.live_worker().await;
    let claimed = claim(h, other).await;
    let wanted = Run {
        epoch: run.epoch + 1,
        version: run.version + 1,
        ..run.clone()
    };
    assert_eq!(claimed.len(), 1);
    assert_eq!((&claimed[0].run, claimed[0].crashed), (&wanted, true));
    assert_eq!(h.get_run(acme(), run.id).await, wanted);
    assert_eq!(claim(h, h.live_worker().await).await.len(), 0);

    // The dead one wakes up: its heartbeat and its commit are refused.
    assert!(!h.store.system_heartbeat(dead, LEASE).await.unwrap());
    let late = answer(&run, "late", Vec::new(), at(9));
    let refused = h.commit(acme(), &late, &run).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    let recovered = Input::Recovered { crashed: true };
    let recovered = wanted.apply(recovered, at(9)).unwrap();
    h.commit(acme(), &recovered, &wanted).await.unwrap();
}

async fn a_late_heartbeat_is_in_time_while_nothing_was_taken(h: &Harness) {
    let late = h.dead_worker().await;
    let run = held_by(h, acme(), late).await;
    assert!(h.store.system_heartbeat(late, LEASE).await.unwrap());
    assert_eq!(claim(h, h.live_worker().await).await.len(), 0);
    assert_eq!(h.get_run(acme(), run.id).await, run);
    assert!(!h.store.system_heartbeat(worker(), LEASE).await.unwrap());
}

async fn a_worker_whose_lease_is_over_takes_nothing(h: &Harness) {
    let dead = h.dead_worker().await;
    let run = held_by(h, acme(), h.dead_worker().await).await;
    assert_eq!(claim(h, dead).await.len(), 0);
    assert_eq!(claim(h, worker()).await.len(), 0);
    let claimed = h.store.claim_run(acme(), run.id, dead).await.unwrap();
    assert!(claimed.is_none());
}

async fn released_runs_are_handed_over_without_a_crash(h: &Harness) {
    let leaving = h.live_worker().await;
    let run = held_by(h, acme(), leaving).await;
    h.store.system_release_worker(leaving).await.unwrap();
    assert!(!h.store.system_heartbeat(leaving, LEASE).await.unwrap());
    let next = h.live_worker().await;
    let claimed = h.store.claim_run(acme(), run.id, next).await.unwrap();
    assert!(!claimed.expect("it is free").crashed);
}

async fn a_commit_says_who_holds_the_run(h: &Harness) {
    let (one, two) = (h.live_worker().await, h.live_worker().await);
    let run = held_by(h, acme(), one).await;
    let calls = vec![call("a", Verdict::Run)];
    let planned = answer(&run, "on it", calls, at(2));
    let handed = h
        .store
        .commit_run(acme(), &planned, expected(&run), Holder::Worker(two));
    handed.await.unwrap();
    h.store.system_release_worker(one).await.unwrap();
    assert_eq!(claim(h, h.live_worker().await).await.len(), 0);

    let id = planned.run.calls()[0].id.clone();
    let sent = planned
        .run
        .apply(Input::Dispatching { calls: vec![id] }, at(3));
    let sent = sent.unwrap();
    let freed = h
        .store
        .commit_run(acme(), &sent, expected(&planned.run), Holder::Nobody);
    freed.await.unwrap();
    let claimed = claim(h, h.live_worker().await).await;
    assert_eq!((claimed.len(), claimed[0].crashed), (1, false));
}

async fn only_what_can_go_on_is_claimed(h: &Harness) {
    let other = scope("other");
    // Waits for a person.
    let waiting = h.awaiting(acme(), at(99)).await;
    // Between the client's requests.
    h.create(acme(), &session(acme(), at(1))).await;
    // Over.
    let done = h.running(acme()).await;
    let over = answer(&done, "done", Vec::new(), at(3));
    h.commit(acme(), &over, &done).await.unwrap();
    // Behind another on its thread.
    let first = held_by(h, &other, h.live_worker().await).await;
    let second = queued(&other, first.thread_id().unwrap(), "next", at(2));
    assert_eq!(h.enqueue(&other, &second).await, CreatedRun::Queued);

    let worker = h.live_worker().await;
    assert_eq!(ids(&claim(h, worker).await), BTreeSet::new());
    for (scope, id) in [
        (acme().clone(), waiting.run.id),
        (other.clone(), second.run.id),
    ] {
        let claimed = h.store.claim_run(&scope, id, worker).await.unwrap();
        assert!(claimed.is_none());
    }
    // First on its thread now.
    let over = cancel(&first, at(4));
    h.commit(&other, &over, &first).await.unwrap();
    let claimed = claim(h, worker).await;
    assert_eq!(ids(&claimed), BTreeSet::from([second.run.id]));
    assert!(!claimed[0].crashed);
}

async fn a_decided_run_can_be_claimed(h: &Harness) {
    let asked = h.awaiting(acme(), at(50)).await;
    let expired = Input::Expired {
        approval: Box::new(asked.approvals[0].clone()),
    };
    let expired = asked.run.apply(expired, at(60)).unwrap();
    let decided = h
        .store
        .commit_run(acme(), &expired, expected(&asked.run), Holder::Nobody);
    decided.await.unwrap();
    let claimed = claim(h, h.live_worker().await).await;
    assert_eq!(ids(&claimed), BTreeSet::from([asked.run.id]));
}

async fn claims_are_fair_between_orgs(h: &Harness) {
    let dead = h.dead_worker().await;
    let (crowd, small) = (scope("crowd"), scope("small"));
    for _ in 0..30 {
        held_by(h, &crowd, dead).await;
    }
    for _ in 0..3 {
        held_by(h, &small, dead).await;
    }
    let worker = h.live_worker().await;
    let claimed = h.store.system_claim_runs(worker, 8).await.unwrap();
    let mut by_org: BTreeMap<String, u32> = BTreeMap::new();
    for claimed in &claimed {
        *by_org.entry(claimed.run.org.to_string()).or_default() += 1;
    }
    assert_eq!(by_org["small"], 3, "{by_org:?}");
    assert_eq!(by_org["crowd"], 5, "{by_org:?}");
}

async fn many_workers_take_each_run_once(h: &Harness) {
    let dead = h.dead_worker().await;
    let mut all = BTreeSet::new();
    for number in 0..60 {
        let scope = scope(&format!("org-{}", number % 3));
        all.insert(held_by(h, &scope, dead).await.id);
    }
    let mut workers = Vec::new();
    for _ in 0..8 {
        workers.push(h.live_worker().await);
    }
    let take = async |worker: WorkerId| {
        let mut taken = Vec::new();
        // One that finds nothing may have met rows that others were just taking: it looks until all are gone.
        for _ in 0..20 {
            let claimed = h.store.system_claim_runs(worker, 4).await.unwrap();
            taken.extend(claimed.iter().map(|claimed| claimed.run.id));
        }
        taken
    };
    let taken = join_all(workers.into_iter().map(take)).await.concat();
    let unique: BTreeSet<RunId> = taken.iter().copied().collect();
    assert_eq!(taken.len(), unique.len(), "a run was taken twice");
    assert_eq!(unique, all);
}

async fn a_claim_and_a_commit_do_not_both_win(h: &Harness) {
    for _ in 0..20 {
        let dead = h.dead_worker().await;
        let run = held_by(h, acme(), dead).await;
        let taker = h.live_worker().await;
        let late = answer(&run, "late", vec![call("a", ask(at(99)))], at(9));
        let (claimed, committed) = tokio::join!(
            h.store.claim_run(acme(), run.id, taker),
            h.commit(acme(), &late, &run)
        );
        let stored = h.get_run(acme(), run.id).await;
        match (claimed.unwrap(), committed) {
            (Some(claimed), Err(StoreError::Stale)) => assert_eq!(claimed.run, stored),
            (None, Ok(_)) => assert_eq!(late.run, stored),
            other => panic!("{other:?}"),
        }
    }
}

on_both!(
    a_live_workers_runs_are_its_own,
    a_dead_workers_runs_are_taken_once,
    a_late_heartbeat_is_in_time_while_nothing_was_taken,
    a_worker_whose_lease_is_over_takes_nothing,
    released_runs_are_handed_over_without_a_crash,
    a_commit_says_who_holds_the_run,
    only_what_can_go_on_is_claimed,
    a_decided_run_can_be_claimed,
    claims_are_fair_between_orgs,
    many_workers_take_each_run_once,
    a_claim_and_a_commit_do_not_both_win,
);
