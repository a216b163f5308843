//! Idempotency keys.

use crate::fixtures::{LEASE, acme, at, key, thread_of, uuid, worker};
use crate::harness::{Harness, on_both};
use domain::ports::store::{CreateThread, Idempotency, Seen, StoreError, StoredReply};
use domain::{Timestamp, WorkerId};
use futures::future::join_all;

const DAY: i64 = 24 * 3600 * 1000;

fn reply() -> StoredReply {
    StoredReply {
        status: 409,
        body: vec![0, 1, 0xff],
        resource: Some(uuid()),
    }
}

fn other_body() -> Idempotency {
    Idempotency {
        body_digest: [9; 32],
        ..key("k")
    }
}

/// Begins as a worker of its own that lives.
async fn begin(h: &Harness, key: &Idempotency, at: Timestamp) -> Option<Seen> {
    begin_as(h, h.live_worker().await, key, at).await
}

async fn begin_as(h: &Harness, worker: WorkerId, key: &Idempotency, at: Timestamp) -> Option<Seen> {
    let begun = h.store.begin_idempotent(acme(), key, worker, at).await;
    begun.unwrap()
}

async fn finish(h: &Harness, worker: WorkerId, key: &Idempotency, reply: &StoredReply) -> bool {
    let finished = h.store.finish_idempotent(acme(), key, worker, reply).await;
    finished.unwrap()
}

async fn the_first_goes_on_and_the_rest_get_its_answer(h: &Harness) {
    let first = h.live_worker().await;
    assert_eq!(begin_as(h, first, &key("k"), at(0)).await, None);
    assert_eq!(begin(h, &key("k"), at(1)).await, Some(Seen::InProgress));
    let again = begin_as(h, first, &key("k"), at(1)).await;
    assert_eq!(again, Some(Seen::InProgress), "also for the same worker");
    assert_eq!(begin(h, &other_body(), at(1)).await, Some(Seen::OtherBody));
    let found = h.store.find_idempotent(acme(), &key("k")).await.unwrap();
    assert_eq!(found, Some(Seen::InProgress));
    let reply = reply();
    assert!(finish(h, first, &key("k"), &reply).await);
    assert!(!finish(h, first, &key("k"), &reply).await, "it is finished");
    let answered = Some(Seen::Answered(reply));
    assert_eq!(begin(h, &key("k"), at(2)).await, answered);
    let found = h.store.find_idempotent(acme(), &key("k")).await.unwrap();
    assert_eq!(found, answered);
    assert_eq!(begin(h, &other_body(), at(2)).await, Some(Seen::OtherBody));
}

async fn another_route_or_key_is_another_request(h: &Harness) {
    assert_eq!(begin(h, &key("k"), at(0)).await, None);
    assert_eq!(begin(h, &key("l"), at(0)).await, None);
    let elsewhere = Idempotency {
        route: "POST /sessions".to_owned(),
        ..key("k")
    };
    assert_eq!(begin(h, &elsewhere, at(0)).await, None);
    let found = h.store.find_idempotent(acme(), &key("m")).await.unwrap();
    assert_eq!(found, None);
}

async fn a_dropped_key_is_free(h: &Harness) {
    let worker = h.live_worker().await;
    let drop_key = async |worker| {
        let dropped = h.store.drop_idempotent(acme(), &key("k"), worker).await;
        dropped.unwrap();
    };
    assert_eq!(begin_as(h, worker, &key("k"), at(0)).await, None);
    drop_key(worker).await;
    assert_eq!(begin_as(h, worker, &key("k"), at(1)).await, None);
    // Another worker's is not there to be dropped.
    drop_key(h.live_worker().await).await;
    let seen = begin(h, &key("k"), at(1)).await;
    assert_eq!(seen, Some(Seen::InProgress));
    // An answered one stays.
    let reply = reply();
    assert!(finish(h, worker, &key("k"), &reply).await);
    drop_key(worker).await;
    let seen = begin(h, &key("k"), at(2)).await;
    assert_eq!(seen, Some(Seen::Answered(reply)));
}

/// However long it takes: only the lease counts.
async fn a_request_of_a_live_worker_is_its_own(h: &Harness) {
    assert_eq!(begin(h, &key("k"), at(0)).await, None);
    let seen = begin(h, &key("k"), at(DAY - 1)).await;
    assert_eq!(seen, Some(Seen::InProgress));
}

async fn a_request_whose_worker_died_is_taken_over_once(h: &Harness) {
    let dead = h.live_worker().await;
    assert_eq!(begin_as(h, dead, &key("k"), at(0)).await, None);
    assert_eq!(begin_as(h, dead, &key("other"), at(0)).await, None);
    h.lapse(dead).await;
    let second = h.live_worker().await;
    assert_eq!(begin_as(h, second, &key("k"), at(1)).await, None);
    let seen = begin(h, &key("k"), at(2)).await;
    assert_eq!(seen, Some(Seen::InProgress), "it was begun anew");
    // The dead one wakes up: it is told, and what it did is nobody's answer.
    assert!(!h.store.system_heartbeat(dead, LEASE).await.unwrap());
    assert!(!finish(h, dead, &key("k"), &reply()).await);
    let dropped = h.store.drop_idempotent(acme(), &key("k"), dead).await;
    dropped.unwrap();
    let reply = reply();
    assert!(finish(h, second, &key("k"), &reply).await);
    let seen = begin(h, &key("k"), at(3)).await;
    assert_eq!(seen, Some(Seen::Answered(reply)));
    // With another body the dead one's key is a new request too.
    let other = Idempotency {
        body_digest: [9; 32],
        ..key("other")
    };
    assert_eq!(begin(h, &other, at(4)).await, None);
}

async fn a_released_workers_requests_are_free(h: &Harness) {
    let leaving = h.live_worker().await;
    assert_eq!(begin_as(h, leaving, &key("k"), at(0)).await, None);
    h.store.system_release_worker(leaving).await.unwrap();
    assert_eq!(begin(h, &key("k"), at(1)).await, None);
}

async fn a_worker_without_a_lease_begins_nothing(h: &Harness) {
    for worker in [h.dead_worker().await, worker()] {
        let key = key("k");
        let refused = h.store.begin_idempotent(acme(), &key, worker, at(0)).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{refused:?}"
        );
    }
    let found = h.store.find_idempotent(acme(), &key("k")).await.unwrap();
    assert_eq!(found, None);
}

async fn a_key_is_forgotten_after_a_day(h: &Harness) {
    let worker = h.live_worker().await;
    assert_eq!(begin_as(h, worker, &key("k"), at(0)).await, None);
    let reply = reply();
    assert!(finish(h, worker, &key("k"), &reply).await);
    let seen = begin(h, &key("k"), at(DAY - 1)).await;
    assert_eq!(seen, Some(Seen::Answered(reply)));
    assert_eq!(begin(h, &key("k"), at(DAY)).await, None);
}

async fn old_keys_are_swept(h: &Harness) {
    for (name, begun) in [("a", 0), ("b", 10), ("c", 20)] {
        assert_eq!(begin(h, &key(name), at(begun)).await, None);
    }
    assert_eq!(h.store.system_sweep_idempotent(at(20)).await.unwrap(), 2);
    let find = async |name: &str| h.store.find_idempotent(acme(), &key(name)).await.unwrap();
    assert_eq!(find("a").await, None);
    assert_eq!(find("c").await, Some(Seen::InProgress));
}

async fn one_of_many_is_the_first(h: &Harness) {
    let same = key("same");
    // The first time there is nothing, the second time what a dead one left.
    for _ in 0..2 {
        let worker = h.live_worker().await;
        let all = (0..16).map(|_| begin_as(h, worker, &same, at(0)));
        let firsts = join_all(all).await;
        let count = firsts.iter().filter(|seen| seen.is_none()).count();
        assert_eq!(count, 1, "{firsts:?}");
        h.lapse(worker).await;
    }
}

async fn a_thread_is_made_once(h: &Harness) {
    let first = thread_of("support", at(0));
    let create = async |thread, key: &Idempotency| {
        let created = h.store.create_thread(acme(), thread, Some(key)).await;
        created.unwrap()
    };
    assert_eq!(create(&first, &key("k")).await, CreateThread::Created);
    let second = thread_of("support", at(1));
    let seen = CreateThread::Seen(Seen::Answered(StoredReply {
        status: 200,
        body: Vec::new(),
        resource: Some(first.id.uuid()),
    }));
    assert_eq!(create(&second, &key("k")).await, seen);
    assert_eq!(
        create(&second, &other_body()).await,
        CreateThread::Seen(Seen::OtherBody)
    );
    let stored = h.store.get_thread(acme(), second.id).await.unwrap();
    assert_eq!(stored, None);
}

on_both!(
    the_first_goes_on_and_the_rest_get_its_answer,
    another_route_or_key_is_another_request,
    a_dropped_key_is_free,
    a_request_of_a_live_worker_is_its_own,
    a_request_whose_worker_died_is_taken_over_once,
    a_released_workers_requests_are_free,
    a_worker_without_a_lease_begins_nothing,
    a_key_is_forgotten_after_a_day,
    old_keys_are_swept,
    one_of_many_is_the_first,
    a_thread_is_made_once,
);
