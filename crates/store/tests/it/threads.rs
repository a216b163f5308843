//! Threads, their pages and their messages.

use crate::fixtures::{AGENT, EVERYTHING, acme, answer, at, begun, queued, scope, thread_of};
use crate::harness::{Harness, on_both};
use domain::ThreadId;
use domain::ports::store::{CreateThread, CreatedRun, DeleteThread, Page, RunFilter};
use domain::thread::{Thread, ThreadPatch, ThreadStatus};
use serde_json::{Map, json};
use std::collections::BTreeSet;

async fn create(h: &Harness, agent_type: &str, millis: i64) -> Thread {
    let thread = thread_of(agent_type, at(millis));
    let created = h.store.create_thread(acme(), &thread, None).await;
    assert_eq!(created.unwrap(), CreateThread::Created);
    thread
}

async fn a_thread_is_read_as_it_was_written(h: &Harness) {
    let thread = create(h, AGENT, 3).await;
    assert_eq!(h.get_thread(acme(), thread.id).await, thread);
}

async fn a_patch_changes_what_it_names(h: &Harness) {
    let thread = create(h, AGENT, 3).await;
    let mut metadata = Map::new();
    metadata.insert("done".to_owned(), json!([true, null, 1.5]));
    let patch = ThreadPatch {
        title: None,
        metadata: Some(metadata.clone()),
    };
    let patched = h
        .store
        .update_thread(acme(), thread.id, &patch, at(4))
        .await;
    let wanted = Thread {
        metadata,
        updated_at: at(4),
        ..thread.clone()
    };
    assert_eq!(patched.unwrap().unwrap(), wanted);
    let patch = ThreadPatch {
        title: Some(None),
        metadata: None,
    };
    let patched = h
        .store
        .update_thread(acme(), thread.id, &patch, at(2))
        .await;
    // An older clock does not move it back in the list.
    let wanted = Thread {
        title: None,
        ..wanted
    };
    assert_eq!(patched.unwrap().unwrap(), wanted);
    assert_eq!(h.get_thread(acme(), thread.id).await, wanted);
}

async fn a_thread_shows_its_runs_work(h: &Harness) {
    let run = h.running(acme()).await;
    let id = run.thread_id().unwrap();
    let thread = h.get_thread(acme(), id).await;
    assert_eq!(thread.status, ThreadStatus::Busy);
    assert_eq!(thread.active_run, Some(run.id));
    assert_eq!(thread.message_count, 1);
    assert_eq!(thread.last_message_preview.as_deref(), Some("hello"));
    assert_eq!(thread.updated_at, at(1));

    let done = answer(&run, "Done.\nReally.", Vec::new(), at(5));
    h.commit(acme(), &done, &run).await.unwrap();
    let thread = h.get_thread(acme(), id).await;
    assert_eq!(thread.status, ThreadStatus::Idle);
    assert_eq!(thread.active_run, None);
    assert_eq!(thread.message_count, 2);
    assert_eq!(
        thread.last_message_preview.as_deref(),
        Some("Done. Really.")
    );
    assert_eq!(thread.updated_at, at(5));
}

async fn a_thread_whose_run_waits_for_a_person_says_so(h: &Harness) {
    let asked = h.awaiting(acme(), at(100)).await;
    let thread = asked.run.thread_id().unwrap();
    assert_eq!(
        h.get_thread(acme(), thread).await.status,
        ThreadStatus::AwaitingApproval
    );
}

async fn messages_are_read_oldest_first(h: &Harness) {
    let mut run = h.running(acme()).await;
    let thread = run.thread_id().unwrap();
    for round in 0..12 {
        let done = answer(&run, &format!("answer {round}"), Vec::new(), at(10 + round));
        h.commit(acme(), &done, &run).await.unwrap();
        let next = begun(
            &queued(acme(), thread, &format!("question {round}"), at(11 + round)),
            at(11 + round),
        );
        let history = u32::try_from(3 + 2 * round).unwrap();
        assert_eq!(
            h.create(acme(), &next).await,
            CreatedRun::Started { history }
        );
        run = next.run;
    }
    let messages = h.store.thread_messages(acme(), thread).await.unwrap();
    let texts: Vec<String> = messages.iter().map(|m| m.content.text()).collect();
    assert_eq!(texts[..4], ["hello", "answer 0", "question 0", "answer 1"]);
    assert_eq!(texts.len(), 25);
    assert_eq!(texts[24], "question 11");
}

async fn pages_are_by_time_and_then_id(h: &Harness) {
    let mut all = Vec::new();
    for millis in [5, 1, 5, 3, 5, 1, 9] {
        all.push(create(h, AGENT, millis).await);
    }
    all.sort_by_key(|thread| std::cmp::Reverse((thread.updated_at, thread.id)));
    let wanted: Vec<ThreadId> = all.iter().map(|thread| thread.id).collect();
    for limit in [1, 2, 3, 50] {
        assert_eq!(walk(h, None, limit).await, wanted, "pages of {limit}");
    }
}

async fn walk(h: &Harness, agent_type: Option<&str>, limit: u32) -> Vec<ThreadId> {
    let mut found = Vec::new();
    let mut below = None;
    loop {
        let page = Page { limit, below };
        let threads = h
            .store
            .list_threads(acme(), agent_type, page)
            .await
            .unwrap();
        let Some(last) = threads.last() else {
            return found;
        };
        below = Some((last.updated_at, last.id.uuid()));
        found.extend(threads.iter().map(|thread| thread.id));
    }
}

async fn pages_of_one_agent_hold_only_its_threads(h: &Harness) {
    let mut wanted = Vec::new();
    for millis in 0..6 {
        let agent = if millis % 2 == 0 { AGENT } else { "other" };
        let thread = create(h, agent, millis).await;
        if agent == AGENT {
            wanted.insert(0, thread.id);
        }
    }
    assert_eq!(walk(h, Some(AGENT), 2).await, wanted);
    assert_eq!(walk(h, Some("unheard_of"), 2).await, []);
}

/// Whoever leafs through the list sees each thread that stays put exactly once, whatever happens around.
async fn paging_is_stable_under_writes(h: &Harness) {
    let mut still = BTreeSet::new();
    for millis in 0..60 {
        still.insert(create(h, AGENT, millis).await.id);
    }
    let moving = create(h, AGENT, 30).await;
    let writer = async {
        for round in 0..60 {
            create(h, AGENT, 100 + round).await;
            let patch = ThreadPatch::default();
            let touched = h
                .store
                .update_thread(acme(), moving.id, &patch, at(200 + round))
                .await;
            assert!(touched.unwrap().is_some());
        }
    };
    let reader = async {
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(walk(h, None, 7).await);
        }
        seen
    };
    let ((), walks) = tokio::join!(writer, reader);
    for found in walks {
        let unique: BTreeSet<ThreadId> = found.iter().copied().collect();
        let repeated = found.len() - unique.len();
        assert_eq!(repeated, 0, "a thread was listed twice");
        assert!(still.is_subset(&unique), "a thread was skipped");
    }
}

async fn a_thread_is_deleted_with_everything(h: &Harness) {
    let asked = h.awaiting(acme(), at(100)).await;
    let (run, thread) = (asked.run.clone(), asked.run.thread_id().unwrap());
    let other = h.running(acme()).await;
    let deleted = h.store.delete_thread(acme(), thread).await.unwrap();
    assert_eq!(deleted, DeleteThread::Busy(run.id));
    let over = crate::fixtures::cancel(&run, at(5));
    h.commit(acme(), &over, &run).await.unwrap();

    let deleted = h.store.delete_thread(acme(), thread).await.unwrap();
    assert_eq!(deleted, DeleteThread::Deleted);
    let deleted = h.store.delete_thread(acme(), thread).await.unwrap();
    assert_eq!(deleted, DeleteThread::Missing);
    assert_eq!(h.store.get_thread(acme(), thread).await.unwrap(), None);
    assert_eq!(h.store.get_run(acme(), run.id).await.unwrap(), None);
    assert_eq!(h.store.run_steps(acme(), run.id).await.unwrap(), []);
    let log = h.store.read_log(acme(), run.id, 0, 99).await.unwrap();
    assert_eq!(log, []);
    let messages = h.store.thread_messages(acme(), thread).await.unwrap();
    assert_eq!(messages, []);
    let approval = asked.approvals[0].id;
    assert_eq!(h.store.get_approval(acme(), approval).await.unwrap(), None);
    let filter = RunFilter::default();
    let runs = h.store.list_runs(acme(), &filter, EVERYTHING).await;
    let ids: Vec<_> = runs.unwrap().iter().map(|run| run.id).collect();
    assert_eq!(ids, [other.id]);
}

async fn a_fork_has_the_beginning_of_its_source(h: &Harness) {
    let run = h.running(acme()).await;
    let source = run.thread_id().unwrap();
    let done = answer(&run, "Done.", Vec::new(), at(5));
    h.commit(acme(), &done, &run).await.unwrap();
    let fork = Thread {
        message_count: 1,
        last_message_preview: Some("hello".to_owned()),
        ..thread_of(AGENT, at(9))
    };
    for (scope, source) in [
        (&scope("other"), source),
        (acme(), ThreadId::new(crate::fixtures::uuid())),
    ] {
        assert!(!h.store.fork_thread(scope, source, &fork).await.unwrap());
        assert_eq!(h.store.get_thread(scope, fork.id).await.unwrap(), None);
    }
    assert!(h.store.fork_thread(acme(), source, &fork).await.unwrap());
    assert_eq!(h.get_thread(acme(), fork.id).await, fork);
    let messages = h.store.thread_messages(acme(), source).await.unwrap();
    let copied = h.store.thread_messages(acme(), fork.id).await.unwrap();
    assert_eq!(copied, messages[..1]);

    let next = begun(&queued(acme(), fork.id, "again", at(10)), at(10));
    assert_eq!(
        h.create(acme(), &next).await,
        CreatedRun::Started { history: 2 }
    );
    h.store.delete_thread(acme(), source).await.unwrap();
    let kept = h.store.thread_messages(acme(), fork.id).await.unwrap();
    assert_eq!(kept.len(), 2);
}

on_both!(
    a_thread_is_read_as_it_was_written,
    a_patch_changes_what_it_names,
    a_thread_shows_its_runs_work,
    a_thread_whose_run_waits_for_a_person_says_so,
    messages_are_read_oldest_first,
    pages_are_by_time_and_then_id,
    pages_of_one_agent_hold_only_its_threads,
    paging_is_stable_under_writes,
    a_thread_is_deleted_with_everything,
    a_fork_has_the_beginning_of_its_source,
);
