//! Messages to other systems: in the commit of what they tell of, taken by one, and never lost.

use crate::fixtures::{acme, at, cancel, key, out_of_budget, scope, worker};
use crate::harness::{Harness, on_both};
use domain::ports::store::{CreateRun, StoreError};
use domain::webhook::{DeliveryState, Posted, Settled, Subscription, Topic, deliveries};
use std::time::Duration;

const LEASE: Duration = Duration::from_millis(60);

fn wanted() -> Vec<Subscription> {
    ["a", "b"]
        .map(|endpoint| Subscription {
            endpoint: endpoint.to_owned(),
            org: None,
            topics: Topic::ALL.into(),
        })
        .to_vec()
}

/// A cancelled run, told of to both endpoints.
async fn told(h: &Harness) {
    let run = h.running(acme()).await;
    let mut over = cancel(&run, at(6));
    over.deliveries = deliveries(&over, &wanted());
    assert_eq!(over.deliveries.len(), 2);
    h.commit(acme(), &over, &run).await.unwrap();
    let lost = h.commit(acme(), &over, &run).await;
    assert!(matches!(lost, Err(StoreError::Stale)));
}

async fn take(h: &Harness, endpoint: &str, now: i64) -> Vec<Posted> {
    let taken = h
        .store
        .system_take_deliveries(endpoint, at(now), LEASE, 10)
        .await;
    taken.unwrap()
}

async fn message_is_one_endpoints_and_taken_once(h: &Harness) {
    told(h).await;
    let taken = take(h, "a", 10).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].delivery.topic, Topic::RunCancelled);
    assert_eq!(
        (taken[0].attempts, taken[0].state),
        (1, DeliveryState::Pending)
    );
    assert_eq!(take(h, "a", 10).await, [], "it is somebody's for a while");
    assert_eq!(take(h, "b", 10).await.len(), 1);
    let again = take(h, "a", 100).await;
    assert_eq!(again[0].attempts, 2, "whoever took it has died");
    let settled = Settled::Delivered { at: at(101) };
    let settle = |attempts| {
        h.store
            .system_settle_delivery(again[0].seq, attempts, &settled)
    };
    assert!(!settle(1).await.unwrap(), "the dead one came back");
    assert!(settle(2).await.unwrap());
    assert_eq!(take(h, "a", 1_000).await, []);
}

async fn message_is_tried_again_given_up_and_replayed(h: &Harness) {
    told(h).await;
    let seq = take(h, "a", 10).await[0].seq;
    let settle = async |attempts, settled: Settled| {
        let kept = h.store.system_settle_delivery(seq, attempts, &settled);
        assert!(kept.await.unwrap());
    };
    let error = || "status 500".to_owned();
    settle(
        1,
        Settled::Retry {
            at: at(40),
            error: error(),
        },
    )
    .await;
    assert_eq!(take(h, "a", 39).await, []);
    assert_eq!(take(h, "a", 40).await.len(), 1);
    settle(2, Settled::Dead { error: error() }).await;
    assert_eq!(take(h, "a", 9_999).await, []);
    let dead = h
        .store
        .list_deliveries(acme(), Some(DeliveryState::Dead), None, 10)
        .await
        .unwrap();
    assert_eq!((dead.len(), dead[0].last_error.clone()), (1, Some(error())));
    let id = dead[0].delivery.id;
    let other = scope("other");
    assert!(!h.store.replay_delivery(&other, id, at(50)).await.unwrap());
    assert!(h.store.replay_delivery(acme(), id, at(50)).await.unwrap());
    assert_eq!(take(h, "a", 50).await[0].attempts, 1);
    settle(1, Settled::Delivered { at: at(51) }).await;
    let listed = async |scope| {
        let page = h.store.list_deliveries(scope, None, None, 10).await;
        page.unwrap().len()
    };
    assert_eq!((listed(acme()).await, listed(&other).await), (2, 0));
    assert_eq!(h.store.system_sweep_deliveries(at(51)).await.unwrap(), 0);
    assert_eq!(h.store.system_sweep_deliveries(at(52)).await.unwrap(), 1);
    assert_eq!(listed(acme()).await, 1);
}

async fn run_that_ends_as_it_begins_is_told_of(h: &Harness) {
    for idempotency in [None, Some(key("once"))] {
        let thread = h.thread(acme()).await;
        let mut started = out_of_budget(acme(), thread, at(3));
        started.deliveries = deliveries(&started, &wanted());
        assert_eq!(started.deliveries.len(), 2);
        let create = CreateRun {
            started,
            queued: None,
            worker: worker(),
            idempotency,
        };
        h.store.create_run(acme(), &create).await.unwrap();
        let taken = take(h, "a", 10).await;
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].delivery.topic, Topic::RunFailed);
    }
}

on_both!(
    message_is_one_endpoints_and_taken_once,
    message_is_tried_again_given_up_and_replayed,
    run_that_ends_as_it_begins_is_told_of,
);
