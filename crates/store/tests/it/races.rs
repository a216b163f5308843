//! Several callers want the same thing at the same moment: exactly one gets it, and nothing is left lying.

use crate::fixtures::{acme, answer, at, begun, cancel, key, queued, thread_of, worker};
use crate::harness::{Harness, on_both};
use domain::ports::store::{CreateRun, CreateThread, CreatedRun, Seen, StoreError};
use domain::run::RunStatus;
use futures::future::join_all;
use std::collections::BTreeSet;

async fn one_of_many_creations_gets_the_thread(h: &Harness) {
    let thread = h.thread(acme()).await;
    let all: Vec<_> = (0..16)
        .map(|_| begun(&queued(acme(), thread, "mine", at(1)), at(1)))
        .collect();
    let created = join_all(all.iter().map(|run| h.create(acme(), run))).await;
    let started = created
        .iter()
        .filter(|created| matches!(created, CreatedRun::Started { .. }))
        .count();
    assert_eq!(started, 1, "{created:?}");
    assert_eq!(h.get_thread(acme(), thread).await.message_count, 1);
}

async fn one_of_many_commits_wins(h: &Harness) {
    let run = h.running(acme()).await;
    let all: Vec<_> = (0..16)
        .map(|number| answer(&run, &format!("answer {number}"), Vec::new(), at(2)))
        .collect();
    let committed = join_all(all.iter().map(|done| h.commit(acme(), done, &run))).await;
    let won = committed.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1);
    for result in &committed {
        let stale = matches!(result, Ok(_) | Err(StoreError::Stale));
        assert!(stale, "{result:?}");
    }
    let thread = run.thread_id().unwrap();
    let messages = h.store.thread_messages(acme(), thread).await.unwrap();
    assert_eq!(messages.len(), 2);
}

async fn one_key_makes_one_run(h: &Harness) {
    let (one, two) = (h.thread(acme()).await, h.thread(acme()).await);
    let all: Vec<CreateRun> = (0..12)
        .map(|number| {
            let thread = if number % 2 == 0 { one } else { two };
            CreateRun {
                started: begun(&queued(acme(), thread, "once", at(1)), at(1)),
                queued: None,
                worker: worker(),
                idempotency: Some(key("same")),
            }
        })
        .collect();
    let creations = all.iter().map(|create| h.store.create_run(acme(), create));
    let mut made = BTreeSet::new();
    let mut started = 0;
    for created in join_all(creations).await {
        match created.unwrap() {
            CreatedRun::Started { .. } => started += 1,
            CreatedRun::Seen(Seen::Answered(reply)) => {
                made.insert(reply.resource);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((started, made.len()), (1, 1));
}

async fn one_key_makes_one_thread(h: &Harness) {
    let all: Vec<_> = (0..12).map(|_| thread_of("support", at(1))).collect();
    let same = key("same");
    let creations = all
        .iter()
        .map(|thread| h.store.create_thread(acme(), thread, Some(&same)));
    let created = join_all(creations).await;
    let made = created
        .iter()
        .filter(|created| matches!(created, Ok(CreateThread::Created)))
        .count();
    assert_eq!(made, 1, "{created:?}");
    let listed = h
        .store
        .list_threads(acme(), None, crate::fixtures::EVERYTHING)
        .await;
    assert_eq!(listed.unwrap().len(), 1);
}

/// A run joins the queue at the moment the thread becomes free: it starts, or it is promoted, but is never forgotten.
async fn no_waiting_run_is_stranded(h: &Harness) {
    for round in 0..40 {
        let first = h.running(acme()).await;
        let thread = first.thread_id().unwrap();
        let waiting = queued(acme(), thread, "next", at(2));
        let done = answer(&first, "done", Vec::new(), at(3));
        let (created, committed) =
            tokio::join!(h.enqueue(acme(), &waiting), h.commit(acme(), &done, &first));
        let state = h.get_thread(acme(), thread).await;
        assert_eq!(state.active_run, Some(waiting.run.id), "round {round}");
        match created {
            CreatedRun::Queued => {
                assert_eq!(committed.unwrap().promoted, Some(waiting.run.id));
                let worker = h.live_worker().await;
                let claimed = h.store.claim_run(acme(), waiting.run.id, worker).await;
                assert!(claimed.unwrap().is_some(), "round {round}");
            }
            CreatedRun::Started { .. } => assert_eq!(committed.unwrap().promoted, None),
            other => panic!("{other:?}"),
        }
    }
}

/// The active run ends while the one behind it is cancelled: both touch the thread and each other.
async fn ends_on_one_thread_do_not_wait_for_each_other(h: &Harness) {
    for round in 0..40 {
        let first = h.running(acme()).await;
        let thread = first.thread_id().unwrap();
        let waiting = queued(acme(), thread, "next", at(2));
        assert_eq!(h.enqueue(acme(), &waiting).await, CreatedRun::Queued);
        let done = answer(&first, "done", Vec::new(), at(3));
        let over = cancel(&waiting.run, at(3));
        let (finished, cancelled) = tokio::join!(
            h.commit(acme(), &done, &first),
            h.commit(acme(), &over, &waiting.run)
        );
        finished.unwrap();
        cancelled.unwrap();
        let state = h.get_thread(acme(), thread).await;
        assert_eq!(state.active_run, None, "round {round}");
        assert_eq!(state.message_count, 3);
        let stored = h.get_run(acme(), waiting.run.id).await;
        assert_eq!(stored.status(), RunStatus::Cancelled);
    }
}

/// Writes that share a commit do not share their failures.
async fn a_refused_write_takes_no_other_with_it(h: &Harness) {
    let taken = thread_of("support", at(1));
    let created = h.store.create_thread(acme(), &taken, None).await;
    assert_eq!(created.unwrap(), CreateThread::Created);
    let mut threads: Vec<_> = (0..20).map(|_| thread_of("support", at(1))).collect();
    threads.insert(7, taken);
    let creations = threads
        .iter()
        .map(|thread| h.store.create_thread(acme(), thread, None));
    for (index, created) in join_all(creations).await.into_iter().enumerate() {
        if index == 7 {
            assert!(
                matches!(created, Err(StoreError::Rejected(_))),
                "{created:?}"
            );
        } else {
            assert_eq!(created.unwrap(), CreateThread::Created);
        }
    }

    let mut ends = Vec::new();
    for number in 0..20 {
        let run = h.running(acme()).await;
        let mut done = answer(&run, "done", Vec::new(), at(3));
        if number % 5 == 1 {
            // A number that the log holds already: the database refuses it.
            done.records = vec![domain::event::Record::Event(domain::event::Event {
                seq: 2,
                at: at(3),
                body: domain::event::EventBody::RunStatus {
                    status: RunStatus::Completed,
                },
            })];
        }
        let mut from = run.clone();
        if number % 5 == 2 {
            from.version += 1;
        }
        ends.push((run, from, done));
    }
    let commits = ends
        .iter()
        .map(|(_, from, done)| h.commit(acme(), done, from));
    for (index, committed) in join_all(commits).await.into_iter().enumerate() {
        let (run, _, done) = &ends[index];
        let stored = h.get_run(acme(), run.id).await;
        let thread = h.get_thread(acme(), run.thread_id().unwrap()).await;
        let (wanted, messages) = match (index % 5, committed) {
            (1, Err(StoreError::Rejected(_))) | (2, Err(StoreError::Stale)) => (run, 1),
            (0 | 3 | 4, Ok(_)) => (&done.run, 2),
            other => panic!("{other:?}"),
        };
        assert_eq!((&stored, thread.message_count), (wanted, messages));
    }
}

async fn many_threads_hand_on_together(h: &Harness) {
    let mut all = Vec::new();
    for number in 0..24 {
        let first = h.running(acme()).await;
        let thread = first.thread_id().unwrap();
        let second = queued(acme(), thread, "next", at(2));
        if number % 3 != 0 {
            assert_eq!(h.enqueue(acme(), &second).await, CreatedRun::Queued);
        }
        let done = answer(&first, &format!("done {number}"), Vec::new(), at(3));
        all.push((first, done, (number % 3 != 0).then_some(second.run.id)));
    }
    let commits = all
        .iter()
        .map(|(first, done, _)| h.commit(acme(), done, first));
    for (index, committed) in join_all(commits).await.into_iter().enumerate() {
        let (first, _, next) = &all[index];
        assert_eq!(committed.unwrap().promoted, *next, "{index}");
        let thread = first.thread_id().unwrap();
        assert_eq!(h.get_thread(acme(), thread).await.active_run, *next);
        let messages = h.store.thread_messages(acme(), thread).await.unwrap();
        assert_eq!(messages.len(), 2);
        assert_eq!(messages[1].content.text(), format!("done {index}"));
    }
    let worker = h.live_worker().await;
    let claimed = h.store.system_claim_runs(worker, 100).await.unwrap();
    let claimed: BTreeSet<_> = claimed.iter().map(|claimed| claimed.run.id).collect();
    let promoted: BTreeSet<_> = all.iter().filter_map(|(_, _, next)| *next).collect();
    assert_eq!(claimed, promoted);
}

on_both!(
    a_refused_write_takes_no_other_with_it,
    many_threads_hand_on_together,
    one_of_many_creations_gets_the_thread,
    one_of_many_commits_wins,
    one_key_makes_one_run,
    one_key_makes_one_thread,
    no_waiting_run_is_stranded,
    ends_on_one_thread_do_not_wait_for_each_other,
);
