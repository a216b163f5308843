//! One org's data does not exist for another: every method that takes a scope is called with the wrong one, and does
//! exactly what it does for an id that was never given out.

use crate::fixtures::{
    EVERYTHING, acme, answer, ask, at, begun, call, expected, key, queued, revoked, scope, uuid,
    worker,
};
use crate::harness::{Harness, on_both};
use crate::keys::key_of;
use domain::key::Role;
use domain::ports::store::{
    ApprovalFilter, CreateRun, CreatedRun, DeleteThread, Holder, RunFilter, StoreError, StoredReply,
};
use domain::run::Run;
use domain::thread::ThreadPatch;
use domain::{ApprovalId, CallId, KeyId, OrgScope, RunId, ThreadId};

/// What a scope sees of these ids, in one string: equal strings mean equal answers.
async fn seen(h: &Harness, scope: &OrgScope, ids: &Ids) -> String {
    let s = &h.store;
    let all = [
        format!("{:?}", s.get_thread(scope, ids.thread).await.unwrap()),
        format!("{:?}", s.thread_messages(scope, ids.thread).await.unwrap()),
        format!("{:?}", s.get_run(scope, ids.run).await.unwrap()),
        format!("{:?}", s.run_steps(scope, ids.run).await.unwrap()),
        format!(
            "{:?}",
            s.find_call(scope, ids.run, &ids.call).await.unwrap()
        ),
        format!("{:?}", s.read_log(scope, ids.run, 0, 99).await.unwrap()),
        format!("{:?}", s.get_approval(scope, ids.approval).await.unwrap()),
    ];
    all.join("\n")
}

struct Ids {
    thread: ThreadId,
    run: RunId,
    call: CallId,
    approval: ApprovalId,
}

impl Ids {
    fn unknown() -> Self {
        Self {
            thread: ThreadId::new(uuid()),
            run: RunId::new(uuid()),
            call: CallId::minted(uuid()),
            approval: ApprovalId::new(uuid()),
        }
    }
}

/// A run of `acme` with everything a run can have.
async fn full(h: &Harness) -> (Run, Ids) {
    let asked = h.awaiting(acme(), at(100)).await;
    let ids = Ids {
        thread: asked.run.thread_id().unwrap(),
        run: asked.run.id,
        call: asked.run.calls()[0].id.clone(),
        approval: asked.approvals[0].id,
    };
    (asked.run, ids)
}

async fn nothing_foreign_is_read(h: &Harness) {
    let (_, ids) = full(h).await;
    let other = scope("other");
    let foreign = seen(h, &other, &ids).await;
    let unknown = seen(h, &other, &Ids::unknown()).await;
    assert_eq!(foreign, unknown);
    assert_ne!(seen(h, acme(), &ids).await, unknown);
}

async fn nothing_foreign_is_listed(h: &Harness) {
    let (run, ids) = full(h).await;
    let other = scope("other");
    let s = &h.store;
    s.insert_key(acme(), &key_of(acme(), "k", Role::Owner))
        .await
        .unwrap();
    assert_eq!(s.list_keys(&other).await.unwrap(), []);
    for agent in [None, Some(run.agent_type.as_str())] {
        let threads = s.list_threads(&other, agent, EVERYTHING).await.unwrap();
        assert_eq!(threads, []);
    }
    let by_status = RunFilter {
        status: Some(run.status()),
        ..RunFilter::default()
    };
    let by_agent = RunFilter {
        agent_type: Some(run.agent_type.clone()),
        ..RunFilter::default()
    };
    let by_thread = RunFilter {
        thread: Some(ids.thread),
        ..RunFilter::default()
    };
    for filter in [RunFilter::default(), by_status, by_agent, by_thread] {
        let runs = s.list_runs(&other, &filter, EVERYTHING).await.unwrap();
        assert_eq!(runs, [], "{filter:?}");
        let own = s.list_runs(acme(), &filter, EVERYTHING).await.unwrap();
        assert_eq!(own.len(), 1, "{filter:?}");
    }
    let pending = ApprovalFilter {
        status: Some(domain::approval::ApprovalStatus::Pending),
        run: None,
    };
    let of_run = ApprovalFilter {
        status: None,
        run: Some(ids.run),
    };
    for filter in [ApprovalFilter::default(), pending, of_run] {
        let found = s.list_approvals(&other, &filter, EVERYTHING).await.unwrap();
        assert_eq!(found, [], "{filter:?}");
        let own = s.list_approvals(acme(), &filter, EVERYTHING).await;
        assert_eq!(own.unwrap().len(), 1, "{filter:?}");
    }
}

async fn nothing_foreign_is_changed(h: &Harness) {
    let (run, ids) = full(h).await;
    let before = seen(h, acme(), &ids).await;
    let other = scope("other");
    let s = &h.store;
    let patch = ThreadPatch {
        title: Some(None),
        metadata: None,
    };
    let patched = s.update_thread(&other, ids.thread, &patch, at(9)).await;
    assert_eq!(patched.unwrap(), None);
    let deleted = s.delete_thread(&other, ids.thread).await.unwrap();
    assert_eq!(deleted, DeleteThread::Missing);

    let over = crate::fixtures::cancel(&run, at(9));
    let committed = s
        .commit_run(&other, &over, expected(&run), Holder::Nobody)
        .await;
    assert!(matches!(committed, Err(StoreError::Stale)), "{committed:?}");

    let start = begun(&queued(&other, ids.thread, "let me in", at(9)), at(9));
    let create = CreateRun {
        queued: Some(queued(&other, ids.thread, "let me in", at(9))),
        started: start,
        worker: worker(),
        idempotency: None,
    };
    let created = s.create_run(&other, &create).await.unwrap();
    assert_eq!(created, CreatedRun::NoThread);
    assert_eq!(seen(h, acme(), &ids).await, before);
}

async fn foreign_runs_are_not_claimed_by_name(h: &Harness) {
    let run = h.running(acme()).await;
    let worker = h.live_worker().await;
    let other = scope("other");
    let claimed = h.store.claim_run(&other, run.id, worker).await.unwrap();
    assert!(claimed.is_none());
    assert_eq!(h.get_run(acme(), run.id).await, run);
    let own = h.store.claim_run(acme(), run.id, worker).await.unwrap();
    assert!(own.is_some());
}

async fn keys_are_not_revoked_or_touched_from_outside(h: &Harness) {
    let owner = key_of(acme(), "owner", Role::Owner);
    h.store.insert_key(acme(), &owner).await.unwrap();
    let other = scope("other");
    for id in [owner.id, KeyId::new(uuid())] {
        assert!(
            !h.store
                .revoke_key(&other, id, at(5), &revoked(id))
                .await
                .unwrap()
        );
    }
    let used = [(other.org().clone(), owner.id, at(6))];
    h.store.system_touch_keys(&used).await.unwrap();
    assert_eq!(h.store.list_keys(acme()).await.unwrap(), [owner]);
}

async fn idempotency_keys_do_not_meet(h: &Harness) {
    let other = scope("other");
    let key = key("same");
    let s = &h.store;
    let worker = h.live_worker().await;
    for scope in [acme(), &other] {
        let begun = s.begin_idempotent(scope, &key, worker, at(0)).await;
        assert_eq!(begun.unwrap(), None);
    }
    let reply = StoredReply {
        status: 200,
        body: b"acme's".to_vec(),
        resource: None,
    };
    let finished = s.finish_idempotent(acme(), &key, worker, &reply).await;
    assert!(finished.unwrap());
    s.drop_idempotent(&other, &key, worker).await.unwrap();
    assert_eq!(s.find_idempotent(&other, &key).await.unwrap(), None);
    assert!(s.find_idempotent(acme(), &key).await.unwrap().is_some());
}

/// The same ids in two orgs are two different things.
async fn equal_ids_do_not_collide(h: &Harness) {
    let other = scope("other");
    let thread = crate::fixtures::thread_of(crate::fixtures::AGENT, at(0));
    let mut runs = Vec::new();
    let created = queued(acme(), thread.id, "hello", at(1));
    for scope in [acme().clone(), other.clone()] {
        h.store.create_thread(&scope, &thread, None).await.unwrap();
        let mut created = created.clone();
        created.run.org = scope.org().clone();
        let started = begun(&created, at(1));
        assert_eq!(
            h.create(&scope, &started).await,
            CreatedRun::Started { history: 1 }
        );
        let calls = vec![call("a", ask(at(99)))];
        let asked = answer(&started.run, scope.org().as_str(), calls, at(2));
        h.commit(&scope, &asked, &started.run).await.unwrap();
        runs.push((scope, asked));
    }
    for (scope, asked) in &runs {
        assert_eq!(h.get_run(scope, asked.run.id).await, asked.run);
        let approval = asked.approvals[0].clone();
        let stored = h.store.get_approval(scope, approval.id).await.unwrap();
        assert_eq!(stored, Some(approval));
    }
    let (scope, asked) = &runs[0];
    let over = crate::fixtures::cancel(&asked.run, at(3));
    h.commit(scope, &over, &asked.run).await.unwrap();
    assert_eq!(
        h.store.delete_thread(scope, thread.id).await.unwrap(),
        DeleteThread::Deleted
    );
    let (scope, asked) = &runs[1];
    assert_eq!(h.get_run(scope, asked.run.id).await, asked.run);
    let messages = h.store.thread_messages(scope, thread.id).await.unwrap();
    assert_eq!(messages.len(), 2);
    let steps = h.store.run_steps(scope, asked.run.id).await.unwrap();
    assert_eq!(steps.len(), 2);
}

on_both!(
    nothing_foreign_is_read,
    nothing_foreign_is_listed,
    nothing_foreign_is_changed,
    foreign_runs_are_not_claimed_by_name,
    keys_are_not_revoked_or_touched_from_outside,
    idempotency_keys_do_not_meet,
    equal_ids_do_not_collide,
);
