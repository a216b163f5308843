//! Old runs go, and nothing else does.

use crate::fixtures::{acme, answer, at, begun, cancel, queued, scope};
use crate::harness::{Harness, on_both};
use domain::ports::store::{ApprovalFilter, Page};
use domain::run::Run;
use domain::{OrgScope, ThreadId};

const ALL: Page = Page {
    limit: 50,
    below: None,
};

/// A run begun at 1 that ends at `end`.
async fn ended(h: &Harness, scope: &OrgScope, thread: ThreadId, end: i64) -> Run {
    let started = begun(&queued(scope, thread, "hello", at(1)), at(1));
    h.create(scope, &started).await;
    let done = answer(&started.run, "done", Vec::new(), at(end));
    h.commit(scope, &done, &started.run).await.unwrap();
    done.run
}

async fn runs(h: &Harness, scope: &OrgScope) -> Vec<Run> {
    let listed = h.store.list_runs(scope, &Default::default(), ALL).await;
    listed.unwrap()
}

async fn runs_that_ended_before_go_with_everything_but_their_messages(h: &Harness) {
    h.org(acme()).await;
    let thread = h.thread(acme()).await;
    let old = ended(h, acme(), thread, 10).await;
    let young = ended(h, acme(), thread, 20).await;
    let messages = h.store.thread_messages(acme(), thread).await.unwrap();
    assert_eq!(messages.len(), 4);
    let deleted = h.store.system_delete_old_runs(at(20), 100).await.unwrap();
    assert_eq!(deleted, 1);
    assert_eq!(runs(h, acme()).await, std::slice::from_ref(&young));
    assert_eq!(h.store.get_run(acme(), old.id).await.unwrap(), None);
    assert_eq!(h.store.run_steps(acme(), old.id).await.unwrap(), []);
    assert_eq!(h.store.read_log(acme(), old.id, 0, 9).await.unwrap(), []);
    let kept = h.store.thread_messages(acme(), thread).await.unwrap();
    assert_eq!(kept, messages);
    let log = h.store.read_log(acme(), young.id, 0, 9).await.unwrap();
    assert!(!log.is_empty());
    let again = h.store.system_delete_old_runs(at(20), 100).await.unwrap();
    assert_eq!(again, 0);
}

async fn runs_that_are_not_over_stay_however_old(h: &Harness) {
    h.org(acme()).await;
    let running = h.running(acme()).await;
    let asked = h.awaiting(acme(), at(1_000)).await.run;
    let closed = h.awaiting(acme(), at(1_000)).await.run;
    let cancelled = cancel(&closed, at(5));
    h.commit(acme(), &cancelled, &closed).await.unwrap();
    let deleted = h.store.system_delete_old_runs(at(900), 100).await.unwrap();
    assert_eq!(deleted, 1, "the cancelled one alone");
    let mut left: Vec<_> = runs(h, acme()).await.iter().map(|run| run.id).collect();
    left.sort();
    let mut expected = vec![running.id, asked.id];
    expected.sort();
    assert_eq!(left, expected);
    let every = ApprovalFilter::default();
    let approvals = h.store.list_approvals(acme(), &every, ALL).await.unwrap();
    assert!(approvals.iter().all(|approval| approval.run_id == asked.id));
    assert_eq!(approvals.len(), 1);
}

async fn every_orgs_old_runs_go_so_many_at_once(h: &Harness) {
    let other = scope("other");
    for scope in [acme(), &other] {
        h.org(scope).await;
        let thread = h.thread(scope).await;
        for _ in 0..3 {
            ended(h, scope, thread, 10).await;
        }
    }
    let mut deleted = Vec::new();
    for _ in 0..3 {
        deleted.push(h.store.system_delete_old_runs(at(11), 4).await.unwrap());
    }
    assert_eq!(deleted, [4, 2, 0]);
    assert!(runs(h, acme()).await.is_empty());
    assert!(runs(h, &other).await.is_empty());
}

on_both!(
    runs_that_ended_before_go_with_everything_but_their_messages,
    runs_that_are_not_over_stay_however_old,
    every_orgs_old_runs_go_so_many_at_once,
);
