//! Values to store. Every id is new; times count milliseconds from one fixed moment.

use crate::harness::Harness;
use domain::agent::Budget;
use domain::event::{DeltaBlock, Piece, PieceKind};
use domain::key::{self, Key, KeyDigest, Principal};
use domain::lane::{LaneChoice, LaneKind};
use domain::message::{Content, Message, Role};
use domain::ports::store::{
    Committed, CreateRun, CreateThread, CreatedRun, Expected, Holder, Idempotency, Page,
    StoreResult,
};
use domain::run::{
    Input, NewRun, Partial, Planned, Run, RunKind, RunRequest, Transition, TurnAnswer, Verdict,
};
use domain::thread::{Thread, ThreadStatus};
use domain::tool::{Effect, arguments_digest};
use domain::usage::Usage;
use domain::{KeyId, MessageId, OrgId, OrgScope, RunId, ThreadId, Timestamp, WorkerId};
use serde_json::{Map, json};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

pub const AGENT: &str = "support";
pub const LEASE: Duration = Duration::from_secs(600);
pub const EVERYTHING: Page = Page {
    limit: 50,
    below: None,
};

pub fn uuid() -> Uuid {
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&count.to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(1_700_000_000_000, &random).into_uuid()
}

pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + millis * 1000)
}

pub fn scope(org: &str) -> OrgScope {
    OrgScope::new(OrgId::new(org).unwrap())
}

/// The org of most tests.
pub fn acme() -> &'static OrgScope {
    static ACME: LazyLock<OrgScope> = LazyLock::new(|| scope("acme"));
    &ACME
}

pub fn worker() -> WorkerId {
    WorkerId::new(uuid())
}

pub fn principal() -> Principal {
    Principal {
        key_id: KeyId::new(Uuid::max()),
        name: "Ada".to_owned(),
        role: None,
    }
}

pub fn key(name: &str) -> Idempotency {
    Idempotency {
        route: "POST /threads".to_owned(),
        key: name.to_owned(),
        body_digest: [7; 32],
    }
}

pub fn thread_of(agent_type: &str, created_at: Timestamp) -> Thread {
    let mut metadata = Map::new();
    metadata.insert("ticket".to_owned(), json!(4711));
    Thread {
        id: ThreadId::new(uuid()),
        agent_type: agent_type.to_owned(),
        title: Some("Löschen 🗑".to_owned()),
        metadata,
        status: ThreadStatus::Idle,
        active_run: None,
        created_at,
        updated_at: created_at,
        message_count: 0,
        last_message_preview: None,
    }
}

pub fn user(text: &str, created_at: Timestamp) -> Message {
    Message {
        id: MessageId::new(uuid()),
        role: Role::User,
        content: Content::Text(text.to_owned()),
        tool_calls: Vec::new(),
        tool_call_id: None,
        is_error: false,
        reasoning: None,
        run_id: None,
        created_at,
    }
}

pub fn new_run(scope: &OrgScope, kind: RunKind) -> NewRun {
    NewRun {
        org: scope.org().clone(),
        id: RunId::new(uuid()),
        kind,
        agent_type: AGENT.to_owned(),
        agent_version: "v1".to_owned(),
        request: RunRequest::default(),
        created_by: principal(),
        input: Vec::new(),
        lane: None,
    }
}

pub fn queued(scope: &OrgScope, thread: ThreadId, text: &str, now: Timestamp) -> Transition {
    let mut new = new_run(scope, RunKind::Thread { thread_id: thread });
    new.input = vec![user(text, now)];
    Run::create(new, now)
}

/// The transitions of a run that is created and begun in one commit.
pub fn begun(created: &Transition, now: Timestamp) -> Transition {
    let started = created.run.apply(Input::Start, now).unwrap();
    joined(created.clone(), started)
}

fn joined(first: Transition, second: Transition) -> Transition {
    Transition {
        records: [first.records, second.records].concat(),
        steps: [first.steps, second.steps].concat(),
        messages: [first.messages, second.messages].concat(),
        approvals: [first.approvals, second.approvals].concat(),
        closed: [first.closed, second.closed].concat(),
        responses: [first.responses, second.responses].concat(),
        grants: [first.grants, second.grants].concat(),
        grant_uses: [first.grant_uses, second.grant_uses].concat(),
        audit: [first.audit, second.audit].concat(),
        deliveries: [first.deliveries, second.deliveries].concat(),
        run: second.run,
    }
}

pub fn session(scope: &OrgScope, now: Timestamp) -> Transition {
    let kind = RunKind::session(
        "where is it?".to_owned(),
        "be brief".to_owned(),
        now.plus(Duration::from_secs(60)),
    );
    begun(&Run::create(new_run(scope, kind), now), now)
}

pub fn out_of_budget(scope: &OrgScope, thread: ThreadId, now: Timestamp) -> Transition {
    let mut new = new_run(scope, RunKind::Thread { thread_id: thread });
    new.input = vec![user("hello", now)];
    new.request.budget = Budget {
        max_steps: Some(0),
        ..Budget::default()
    };
    begun(&Run::create(new, now), now)
}

/// The record of a key's revocation.
pub fn revoked(key_id: domain::KeyId) -> domain::audit::Entry {
    domain::audit::Entry {
        at: at(5),
        actor: domain::audit::Actor::Operator,
        deed: domain::audit::Deed::KeyRevoked { key_id },
    }
}

pub fn call(name: &str, verdict: Verdict) -> Planned {
    let arguments = json!({ "path": "/tmp/\u{0}x", "n": 1 });
    Planned {
        client_id: None,
        name: name.to_owned(),
        arguments_digest: arguments_digest(&arguments),
        arguments,
        effect: Effect::Unsafe,
        tool_version: "t1".to_owned(),
        has_probe: false,
        verdict,
        judgement: Default::default(),
    }
}

pub fn ask(expires_at: Timestamp) -> Verdict {
    Verdict::Ask {
        risk: "deletes".to_owned(),
        why: "policy".to_owned(),
        terms: domain::approval::Terms::default(),
        expires_at,
    }
}

/// The model answers with text and calls; `deltas` pieces were streamed before.
pub fn answer(run: &Run, text: &str, calls: Vec<Planned>, now: Timestamp) -> Transition {
    let pieces = [
        Piece(PieceKind::Text, 0, "Hel".into()),
        Piece(PieceKind::Text, 9, "lo".into()),
    ];
    let deltas = DeltaBlock {
        first_seq: run.next_seq,
        message_id: MessageId::new(uuid()),
        started_at: now,
        pieces: pieces.to_vec(),
    };
    let answer = TurnAnswer {
        text: text.to_owned(),
        reasoning: None,
        calls,
        deltas: Some(deltas),
        usage: Usage {
            input_tokens: 3,
            output_tokens: 2,
            ..Usage::default()
        },
        lane: LaneChoice {
            considered: Vec::new(),
            name: "offline".to_owned(),
            kind: LaneKind::Local,
            model: "m".to_owned(),
            reason: "only one".to_owned(),
        },
        truncated: false,
    };
    run.apply(Input::TurnCompleted(Box::new(answer)), now)
        .unwrap()
}

pub fn cancel(run: &Run, now: Timestamp) -> Transition {
    let input = Input::Cancel {
        reason: Some("enough".to_owned()),
        by: None,
        deltas: Partial::Unknown,
    };
    run.apply(input, now).unwrap()
}

pub fn expected(run: &Run) -> Expected {
    Expected {
        epoch: run.epoch,
        version: run.version,
    }
}

impl Harness {
    /// An org that is listed: orgs come with their first key.
    pub async fn org(&self, scope: &OrgScope) {
        let key = Key {
            org: scope.org().clone(),
            id: KeyId::new(uuid()),
            name: "owner".to_owned(),
            role: key::Role::Owner,
            digest: KeyDigest::of(scope.org().as_str()),
            session: None,
            created_at: at(0),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        self.store.insert_key(scope, &key).await.unwrap();
    }

    pub async fn thread(&self, scope: &OrgScope) -> ThreadId {
        let thread = thread_of(AGENT, at(0));
        let created = self.store.create_thread(scope, &thread, None).await;
        assert_eq!(created.unwrap(), CreateThread::Created);
        thread.id
    }

    pub async fn create(&self, scope: &OrgScope, started: &Transition) -> CreatedRun {
        self.create_by(scope, started, worker()).await
    }

    pub async fn create_by(
        &self,
        scope: &OrgScope,
        started: &Transition,
        worker: WorkerId,
    ) -> CreatedRun {
        let create = CreateRun {
            started: started.clone(),
            queued: None,
            worker,
            idempotency: None,
        };
        self.store.create_run(scope, &create).await.unwrap()
    }

    /// Creates behind whatever holds the thread.
    pub async fn enqueue(&self, scope: &OrgScope, created: &Transition) -> CreatedRun {
        let create = CreateRun {
            started: begun(created, created.run.created_at),
            queued: Some(created.clone()),
            worker: worker(),
            idempotency: None,
        };
        self.store.create_run(scope, &create).await.unwrap()
    }

    /// A run that has begun on a new thread.
    pub async fn running(&self, scope: &OrgScope) -> Run {
        let thread = self.thread(scope).await;
        let started = begun(&queued(scope, thread, "hello", at(1)), at(1));
        let created = self.create(scope, &started).await;
        assert_eq!(created, CreatedRun::Started { history: 1 });
        started.run
    }

    /// A run that waits for a person.
    pub async fn awaiting(&self, scope: &OrgScope, expires_at: Timestamp) -> Transition {
        let run = self.running(scope).await;
        let calls = vec![call("delete_file", ask(expires_at))];
        let asked = answer(&run, "may I?", calls, at(2));
        self.commit(scope, &asked, &run).await.unwrap();
        asked
    }

    pub async fn commit(
        &self,
        scope: &OrgScope,
        transition: &Transition,
        from: &Run,
    ) -> StoreResult<Committed> {
        self.store
            .commit_run(scope, transition, expected(from), Holder::Unchanged)
            .await
    }

    pub async fn get_run(&self, scope: &OrgScope, id: RunId) -> Run {
        self.store.get_run(scope, id).await.unwrap().unwrap()
    }

    pub async fn get_thread(&self, scope: &OrgScope, id: ThreadId) -> Thread {
        self.store.get_thread(scope, id).await.unwrap().unwrap()
    }

    pub async fn live_worker(&self) -> WorkerId {
        let worker = worker();
        self.store
            .system_register_worker(worker, LEASE)
            .await
            .unwrap();
        worker
    }

    /// A worker whose lease is over at once.
    pub async fn dead_worker(&self) -> WorkerId {
        let worker = worker();
        self.lapse(worker).await;
        worker
    }

    /// The worker's lease is over.
    pub async fn lapse(&self, worker: WorkerId) {
        self.store
            .system_register_worker(worker, Duration::ZERO)
            .await
            .unwrap();
    }
}
