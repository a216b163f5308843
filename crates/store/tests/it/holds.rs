//! Runs on hold: nobody takes them, and they can be read, decided and let go.

use crate::fixtures::{EVERYTHING, acme, at, expected, scope};
use crate::harness::{Harness, on_both};
use domain::OrgScope;
use domain::audit::{Actor, Deed, Entry};
use domain::ports::store::{HeldRun, StoreError, StoreResult};
use domain::run::{Hold, Run};

fn entry(run: &Run) -> Entry {
    Entry {
        at: at(5),
        actor: Actor::Operator,
        deed: Deed::RunPaused { run_id: run.id },
    }
}

async fn set(h: &Harness, scope: &OrgScope, from: &Run, next: &Run) -> StoreResult<()> {
    h.store
        .set_hold(scope, next, expected(from), &entry(from))
        .await
}

async fn a_run_on_hold_is_taken_by_nobody_until_it_is_let_go(h: &Harness) {
    let run = h.running(acme()).await;
    let held = run.held(Hold::Paused { at: at(5) });
    set(h, acme(), &run, &held).await.unwrap();
    assert_eq!(h.get_run(acme(), run.id).await, held);
    let worker = h.live_worker().await;
    let taken = h.store.claim_run(acme(), run.id, worker).await.unwrap();
    assert!(taken.is_none());
    assert!(
        h.store
            .system_claim_runs(worker, 100)
            .await
            .unwrap()
            .is_empty()
    );
    // Whoever had it before finds it changed.
    let late = crate::fixtures::answer(&run, "late", Vec::new(), at(6));
    let refused = h.commit(acme(), &late, &run).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    let listed = h.store.list_held(acme(), EVERYTHING).await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&held));
    assert!(
        h.store
            .list_held(&scope("other"), EVERYTHING)
            .await
            .unwrap()
            .is_empty()
    );

    let released = held.released(at(9));
    set(h, acme(), &held, &released).await.unwrap();
    assert_eq!(released.waited_us, 4_000);
    let taken = h.store.claim_run(acme(), run.id, worker).await.unwrap();
    let taken = taken.expect("it may go on");
    assert!(!taken.crashed, "nobody died");
    assert_eq!(taken.run.hold, None);
    assert!(
        h.store
            .list_held(acme(), EVERYTHING)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn a_hold_is_set_on_what_was_read_and_recorded(h: &Harness) {
    let run = h.running(acme()).await;
    let held = run.held(Hold::Paused { at: at(5) });
    set(h, acme(), &run, &held).await.unwrap();
    let twice = set(h, acme(), &run, &held).await;
    assert!(matches!(twice, Err(StoreError::Stale)), "{twice:?}");
    let foreign = set(h, &scope("other"), &held, &held.released(at(6))).await;
    assert!(matches!(foreign, Err(StoreError::Stale)), "{foreign:?}");
    let record = h.store.list_audit(acme(), 0, 100).await.unwrap();
    assert_eq!(record.len(), 1, "{record:?}");
}

async fn questions_of_a_run_on_hold_do_not_run_out(h: &Harness) {
    let asked = h.awaiting(acme(), at(10)).await.run;
    let held = asked.held(Hold::Restored { at: at(5) });
    set(h, acme(), &asked, &held).await.unwrap();
    assert!(
        h.store
            .system_due_approvals(at(20), 10)
            .await
            .unwrap()
            .is_empty()
    );
    set(h, acme(), &held, &held.released(at(21))).await.unwrap();
    assert_eq!(
        h.store
            .system_due_approvals(at(22), 10)
            .await
            .unwrap()
            .len(),
        1
    );
}

async fn what_a_worker_holds_is_told_and_can_be_let_go(h: &Harness) {
    let worker = h.live_worker().await;
    let run = h.running(acme()).await;
    let held = run.held(Hold::Paused { at: at(5) });
    set(h, acme(), &run, &held).await.unwrap();
    set(h, acme(), &held, &held.released(at(6))).await.unwrap();
    let taken = h
        .store
        .claim_run(acme(), run.id, worker)
        .await
        .unwrap()
        .unwrap();
    let epoch = taken.run.epoch;
    let told = h.store.system_runs_of_worker(worker).await.unwrap();
    let mine = HeldRun {
        org: acme().org().clone(),
        id: run.id,
        epoch,
    };
    assert_eq!(told, [mine]);
    let other = h.live_worker().await;
    for (worker, epoch) in [(other, epoch), (worker, epoch + 1)] {
        assert!(!h.store.let_go(acme(), run.id, worker, epoch).await.unwrap());
    }
    assert!(
        !h.store
            .let_go(&scope("other"), run.id, worker, epoch)
            .await
            .unwrap()
    );
    assert!(h.store.let_go(acme(), run.id, worker, epoch).await.unwrap());
    assert!(
        h.store
            .system_runs_of_worker(worker)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        h.store
            .claim_run(acme(), run.id, other)
            .await
            .unwrap()
            .is_some()
    );
}

on_both!(
    a_run_on_hold_is_taken_by_nobody_until_it_is_let_go,
    a_hold_is_set_on_what_was_read_and_recorded,
    questions_of_a_run_on_hold_do_not_run_out,
    what_a_worker_holds_is_told_and_can_be_let_go,
);
