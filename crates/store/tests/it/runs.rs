//! Runs are created, committed, queued, promoted and listed.

use crate::fixtures::{
    AGENT, EVERYTHING, acme, answer, ask, at, begun, call, cancel, expected, key, new_run,
    out_of_budget, queued, session, uuid, worker,
};
use crate::harness::{Harness, on_both};
use domain::limits::QUEUED_PER_THREAD_MAX;
use domain::ports::store::{
    Committed, CreateRun, CreatedRun, Expected, Holder, Page, RunFilter, Seen, StoreError,
    StoredReply,
};
use domain::run::{Input, Run, RunKind, RunStatus, Verdict};
use domain::thread::ThreadStatus;
use domain::tool::{ToolOutcome, ToolResult};
use domain::{RunId, ThreadId};

async fn a_run_is_read_as_it_was_written(h: &Harness) {
    let thread = h.thread(acme()).await;
    let started = begun(&queued(acme(), thread, "hello", at(1)), at(2));
    let created = h.create(acme(), &started).await;
    assert_eq!(created, CreatedRun::Started { history: 1 });
    assert_eq!(h.get_run(acme(), started.run.id).await, started.run);

    let run = started.run;
    let calls = vec![
        call("delete_file", ask(at(100))),
        call("read_file", Verdict::Run),
    ];
    let asked = answer(&run, "may I?", calls, at(3));
    h.commit(acme(), &asked, &run).await.unwrap();
    assert_eq!(h.get_run(acme(), run.id).await, asked.run);
    let mut steps = asked.steps.clone();
    steps.sort_by_key(|step| step.step_index);
    assert_eq!(h.store.run_steps(acme(), run.id).await.unwrap(), steps);
    let messages = h.store.thread_messages(acme(), thread).await.unwrap();
    assert_eq!(messages.last(), asked.messages.last());
}

async fn a_session_needs_no_thread(h: &Harness) {
    let started = session(acme(), at(1));
    let created = h.create(acme(), &started).await;
    assert_eq!(created, CreatedRun::Started { history: 0 });
    let run = started.run;
    assert_eq!(h.get_run(acme(), run.id).await, run);
    let completed = Input::SessionCompleted {
        summary: "found".to_owned(),
        confidence: Some(0.5),
    };
    let done = run.apply(completed, at(2)).unwrap();
    let committed = h.commit(acme(), &done, &run).await.unwrap();
    assert_eq!(committed, Committed { promoted: None });
    assert_eq!(h.get_run(acme(), run.id).await, done.run);
}

async fn a_busy_thread_refuses_and_nothing_is_written(h: &Harness) {
    let first = h.running(acme()).await;
    let thread = first.thread_id().unwrap();
    let before = h.get_thread(acme(), thread).await;
    let second = begun(&queued(acme(), thread, "me too", at(2)), at(2));
    let created = h.create(acme(), &second).await;
    let busy = CreatedRun::Busy {
        run_id: first.id,
        status: RunStatus::Running,
    };
    assert_eq!(created, busy);
    assert_eq!(h.store.get_run(acme(), second.run.id).await.unwrap(), None);
    assert_eq!(h.get_thread(acme(), thread).await, before);
    let log = h.store.read_log(acme(), second.run.id, 0, 9).await.unwrap();
    assert_eq!(log, []);
}

async fn a_run_needs_a_thread_of_its_agent(h: &Harness) {
    let unknown = ThreadId::new(uuid());
    let started = begun(&queued(acme(), unknown, "hello", at(1)), at(1));
    assert_eq!(h.create(acme(), &started).await, CreatedRun::NoThread);

    let thread = h.thread(acme()).await;
    let mut new = new_run(acme(), RunKind::Thread { thread_id: thread });
    new.agent_type = "another".to_owned();
    let started = begun(&Run::create(new, at(1)), at(1));
    assert_eq!(h.create(acme(), &started).await, CreatedRun::NoThread);
    assert_eq!(
        h.get_thread(acme(), thread).await.status,
        ThreadStatus::Idle
    );
}

async fn waiting_runs_are_promoted_in_their_order(h: &Harness) {
    let first = h.running(acme()).await;
    let thread = first.thread_id().unwrap();
    let second = queued(acme(), thread, "second", at(2));
    let third = queued(acme(), thread, "third", at(3));
    for waiting in [&second, &third] {
        assert_eq!(h.enqueue(acme(), waiting).await, CreatedRun::Queued);
        assert_eq!(h.get_run(acme(), waiting.run.id).await, waiting.run);
    }
    let state = h.get_thread(acme(), thread).await;
    assert_eq!(state.message_count, 1, "a waiting run says nothing yet");
    assert_eq!(state.active_run, Some(first.id));

    let done = answer(&first, "one", Vec::new(), at(4));
    let committed = h.commit(acme(), &done, &first).await.unwrap();
    assert_eq!(committed.promoted, Some(second.run.id));
    let state = h.get_thread(acme(), thread).await;
    assert_eq!(state.active_run, Some(second.run.id));
    assert_eq!(state.status, ThreadStatus::Busy);

    let worker = h.live_worker().await;
    let claimed = h.store.claim_run(acme(), second.run.id, worker).await;
    let claimed = claimed.unwrap().expect("a promoted run can start");
    assert!(!claimed.crashed);
    let started = claimed.run.apply(Input::Start, at(5)).unwrap();
    h.commit(acme(), &started, &claimed.run).await.unwrap();
    let over = cancel(&started.run, at(6));
    let committed = h.commit(acme(), &over, &started.run).await.unwrap();
    assert_eq!(committed.promoted, Some(third.run.id));
    let texts: Vec<String> = h
        .store
        .thread_messages(acme(), thread)
        .await
        .unwrap()
        .iter()
        .map(|message| message.content.text())
        .collect();
    assert_eq!(texts, ["hello", "one", "second"]);
}

async fn an_idle_thread_starts_a_run_that_would_have_waited(h: &Harness) {
    let thread = h.thread(acme()).await;
    let created = queued(acme(), thread, "now", at(1));
    assert_eq!(
        h.enqueue(acme(), &created).await,
        CreatedRun::Started { history: 1 }
    );
    let stored = h.get_run(acme(), created.run.id).await;
    assert_eq!(stored.status(), RunStatus::Running);
}

async fn a_waiting_run_can_be_cancelled_without_touching_the_active_one(h: &Harness) {
    let first = h.running(acme()).await;
    let thread = first.thread_id().unwrap();
    let second = queued(acme(), thread, "never mind", at(2));
    let third = queued(acme(), thread, "third", at(3));
    h.enqueue(acme(), &second).await;
    h.enqueue(acme(), &third).await;
    let over = cancel(&second.run, at(4));
    let committed = h.commit(acme(), &over, &second.run).await.unwrap();
    assert_eq!(committed.promoted, None);
    let state = h.get_thread(acme(), thread).await;
    assert_eq!(state.active_run, Some(first.id));
    assert_eq!(
        state.message_count, 2,
        "what was asked stays in the history"
    );
    let done = answer(&first, "one", Vec::new(), at(5));
    let committed = h.commit(acme(), &done, &first).await.unwrap();
    assert_eq!(committed.promoted, Some(third.run.id));
}

async fn a_thread_holds_only_so_many_waiting_runs(h: &Harness) {
    let first = h.running(acme()).await;
    let thread = first.thread_id().unwrap();
    for number in 0..QUEUED_PER_THREAD_MAX {
        let waiting = queued(acme(), thread, "wait", at(2 + i64::from(number)));
        assert_eq!(h.enqueue(acme(), &waiting).await, CreatedRun::Queued);
    }
    let one_more = queued(acme(), thread, "wait", at(999));
    assert_eq!(h.enqueue(acme(), &one_more).await, CreatedRun::QueueFull);
    let stored = h.store.get_run(acme(), one_more.run.id).await.unwrap();
    assert_eq!(stored, None);
    // The promoted run is not one of those that wait.
    let done = answer(&first, "one", Vec::new(), at(1000));
    h.commit(acme(), &done, &first).await.unwrap();
    assert_eq!(h.enqueue(acme(), &one_more).await, CreatedRun::Queued);
}

async fn a_run_that_ends_as_it_begins_leaves_its_thread_free(h: &Harness) {
    let thread = h.thread(acme()).await;
    let failed = out_of_budget(acme(), thread, at(1));
    assert_eq!(failed.run.status(), RunStatus::Failed);
    assert_eq!(
        h.create(acme(), &failed).await,
        CreatedRun::Started { history: 1 }
    );
    let state = h.get_thread(acme(), thread).await;
    assert_eq!((state.status, state.active_run), (ThreadStatus::Idle, None));
    assert_eq!(state.message_count, 1);
}

async fn a_stale_commit_writes_nothing(h: &Harness) {
    let run = h.running(acme()).await;
    let done = answer(&run, "late", Vec::new(), at(3));
    let log = h.store.read_log(acme(), run.id, 0, 99).await.unwrap();
    for stale in [
        Expected {
            epoch: run.epoch + 1,
            ..expected(&run)
        },
        Expected {
            version: run.version - 1,
            ..expected(&run)
        },
    ] {
        let refused = h
            .store
            .commit_run(acme(), &done, stale, Holder::Unchanged)
            .await;
        assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    }
    assert_eq!(h.get_run(acme(), run.id).await, run);
    let thread = run.thread_id().unwrap();
    let messages = h.store.thread_messages(acme(), thread).await.unwrap();
    assert_eq!(messages.len(), 1);
    let steps = h.store.run_steps(acme(), run.id).await.unwrap();
    assert_eq!(steps, []);
    let after = h.store.read_log(acme(), run.id, 0, 99).await.unwrap();
    assert_eq!(after, log);
}

async fn a_terminal_run_never_changes(h: &Harness) {
    let run = h.running(acme()).await;
    let done = answer(&run, "done", Vec::new(), at(3));
    h.commit(acme(), &done, &run).await.unwrap();
    let mut again = cancel(&run, at(4));
    again.run.version = done.run.version + 1;
    let refused = h.commit(acme(), &again, &done.run).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
    assert_eq!(h.get_run(acme(), run.id).await, done.run);
}

async fn a_cancel_raises_the_epoch_under_the_holder(h: &Harness) {
    let run = h.running(acme()).await;
    let over = cancel(&run, at(3));
    assert_eq!(over.run.epoch, run.epoch + 1);
    h.commit(acme(), &over, &run).await.unwrap();
    let late = answer(&run, "late", Vec::new(), at(4));
    let refused = h.commit(acme(), &late, &run).await;
    assert!(matches!(refused, Err(StoreError::Stale)), "{refused:?}");
}

async fn a_repeated_creation_finds_the_first(h: &Harness) {
    let thread = h.thread(acme()).await;
    let create = |number: i64| {
        let started = begun(&queued(acme(), thread, "hello", at(number)), at(number));
        CreateRun {
            started,
            queued: None,
            worker: worker(),
            idempotency: Some(key("k")),
        }
    };
    let first = create(1);
    let id = first.started.run.id;
    let created = h.store.create_run(acme(), &first).await.unwrap();
    assert_eq!(created, CreatedRun::Started { history: 1 });
    let answered = CreatedRun::Seen(Seen::Answered(StoredReply {
        status: 200,
        body: Vec::new(),
        resource: Some(id.uuid()),
    }));
    // Although the thread is busy: the first answer comes before any other check.
    let created = h.store.create_run(acme(), &create(2)).await.unwrap();
    assert_eq!(created, answered);
    let mut other = create(3);
    other.idempotency.as_mut().unwrap().body_digest = [8; 32];
    let created = h.store.create_run(acme(), &other).await.unwrap();
    assert_eq!(created, CreatedRun::Seen(Seen::OtherBody));
    assert_eq!(h.get_thread(acme(), thread).await.message_count, 1);
}

async fn a_refused_creation_leaves_its_key_free(h: &Harness) {
    let first = h.running(acme()).await;
    let thread = first.thread_id().unwrap();
    let create = || CreateRun {
        started: begun(&queued(acme(), thread, "again", at(2)), at(2)),
        queued: None,
        worker: worker(),
        idempotency: Some(key("k")),
    };
    let created = h.store.create_run(acme(), &create()).await.unwrap();
    assert!(matches!(created, CreatedRun::Busy { .. }), "{created:?}");
    let done = answer(&first, "done", Vec::new(), at(3));
    h.commit(acme(), &done, &first).await.unwrap();
    let created = h.store.create_run(acme(), &create()).await.unwrap();
    assert_eq!(created, CreatedRun::Started { history: 3 });
}

async fn the_newest_step_of_a_call_is_found(h: &Harness) {
    let run = h.running(acme()).await;
    let calls = vec![call("read_file", Verdict::Run)];
    let planned = answer(&run, "reading", calls, at(2));
    h.commit(acme(), &planned, &run).await.unwrap();
    let prepared = planned.steps.last().unwrap().clone();
    let id = prepared.call.as_ref().unwrap().id.clone();
    let found = h.store.find_call(acme(), run.id, &id).await.unwrap();
    assert_eq!(found, Some(prepared));

    let dispatching = Input::Dispatching {
        calls: vec![id.clone()],
    };
    let sent = planned.run.apply(dispatching, at(3)).unwrap();
    h.commit(acme(), &sent, &planned.run).await.unwrap();
    let outcome = ToolOutcome::Committed(ToolResult::ok("{}"));
    let settled = Input::CallsSettled {
        outcomes: vec![(id.clone(), outcome)],
    };
    let settled = sent.run.apply(settled, at(4)).unwrap();
    h.commit(acme(), &settled, &sent.run).await.unwrap();
    let found = h.store.find_call(acme(), run.id, &id).await.unwrap();
    assert_eq!(found.as_ref(), settled.steps.first());
    let steps = h.store.run_steps(acme(), run.id).await.unwrap();
    let indexes: Vec<u32> = steps.iter().map(|step| step.step_index).collect();
    assert_eq!(indexes, [0, 1], "a changed step is replaced");
    let unknown = domain::CallId::from_client("unheard of".to_owned());
    let found = h.store.find_call(acme(), run.id, &unknown).await.unwrap();
    assert_eq!(found, None);
}

async fn runs_are_listed_by_what_is_asked(h: &Harness) {
    let running = h.running(acme()).await;
    let done = h.running(acme()).await;
    let over = answer(&done, "done", Vec::new(), at(3));
    h.commit(acme(), &over, &done).await.unwrap();
    let client = session(acme(), at(9)).run;
    let started = session(acme(), at(9));
    h.create(acme(), &started).await;
    assert_ne!(client.id, started.run.id);

    let list = async |filter: RunFilter| -> Vec<RunId> {
        let runs = h.store.list_runs(acme(), &filter, EVERYTHING).await;
        runs.unwrap().iter().map(|run| run.id).collect()
    };
    let all = RunFilter::default();
    assert_eq!(
        list(all.clone()).await,
        [started.run.id, done.id, running.id]
    );
    let by_status = |status| RunFilter {
        status: Some(status),
        ..RunFilter::default()
    };
    assert_eq!(list(by_status(RunStatus::Completed)).await, [done.id]);
    assert_eq!(
        list(by_status(RunStatus::Running)).await,
        [started.run.id, running.id]
    );
    assert_eq!(list(by_status(RunStatus::Queued)).await, []);
    let of_thread = RunFilter {
        thread: running.thread_id(),
        ..RunFilter::default()
    };
    assert_eq!(list(of_thread.clone()).await, [running.id]);
    let of_agent = RunFilter {
        agent_type: Some(AGENT.to_owned()),
        ..of_thread
    };
    assert_eq!(list(of_agent.clone()).await, [running.id]);
    let none = RunFilter {
        status: Some(RunStatus::Failed),
        ..of_agent
    };
    assert_eq!(list(none).await, []);
    let of_nobody = RunFilter {
        agent_type: Some("nobody".to_owned()),
        ..RunFilter::default()
    };
    assert_eq!(list(of_nobody).await, []);

    let mut walked = Vec::new();
    let mut below = None;
    while let [run] = h
        .store
        .list_runs(acme(), &all, Page { limit: 1, below })
        .await
        .unwrap()
        .as_slice()
    {
        walked.push(run.id);
        below = Some((run.created_at, run.id.uuid()));
    }
    assert_eq!(walked, [started.run.id, done.id, running.id]);
}

on_both!(
    a_run_is_read_as_it_was_written,
    a_session_needs_no_thread,
    a_busy_thread_refuses_and_nothing_is_written,
    a_run_needs_a_thread_of_its_agent,
    waiting_runs_are_promoted_in_their_order,
    an_idle_thread_starts_a_run_that_would_have_waited,
    a_waiting_run_can_be_cancelled_without_touching_the_active_one,
    a_thread_holds_only_so_many_waiting_runs,
    a_run_that_ends_as_it_begins_leaves_its_thread_free,
    a_stale_commit_writes_nothing,
    a_terminal_run_never_changes,
    a_cancel_raises_the_epoch_under_the_holder,
    a_repeated_creation_finds_the_first,
    a_refused_creation_leaves_its_key_free,
    the_newest_step_of_a_call_is_found,
    runs_are_listed_by_what_is_asked,
);
