//! How many durable runs a second each store takes: every run is a thread, a run begun on it and its final commit, each
//! acknowledged after the disk has it. `cargo run --release -p store --example throughput [seconds] [callers]`; a
//! PostgreSQL server is taken from `RUNYARD_TEST_POSTGRES`, and a database made there and dropped.

use anyhow::Context;
use domain::lane::{LaneChoice, LaneKind};
use domain::message::{Content, Message, Role};
use domain::ports::store::{CreateRun, CreatedRun, Expected, Holder, Store};
use domain::run::{Input, NewRun, Run, RunKind, RunRequest, Transition, TurnAnswer};
use domain::thread::{Thread, ThreadStatus};
use domain::usage::Usage;
use domain::{KeyId, MessageId, OrgId, OrgScope, RunId, ThreadId, Timestamp, WorkerId};
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

struct Measured {
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let callers: usize = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let span = Duration::from_secs(seconds);
        let mut out = std::io::stdout();
        let sqlite = on_sqlite(span, callers).await?;
        tell(&mut out, "sqlite", &sqlite)?;
        let postgres = on_postgres(span, callers).await?;
        tell(&mut out, "postgres", &postgres)?;
        let ratio = postgres.per_second / sqlite.per_second;
        writeln!(out, "postgres to sqlite: {ratio:.2}")?;
        Ok(())
    })
}

fn tell(out: &mut impl Write, name: &str, measured: &Measured) -> std::io::Result<()> {
    let Measured {
        per_second,
        p50,
        p99,
    } = measured;
    writeln!(
        out,
        "{name}: {per_second:.0} runs/s, commit p50 {p50:?} p99 {p99:?}"
    )
}

async fn on_sqlite(span: Duration, callers: usize) -> anyhow::Result<Measured> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bench.db");
    let store = store::sqlite::open(&path, store::sqlite::SqliteSettings::default()).await?;
    measure(store, span, callers).await
}

async fn on_postgres(span: Duration, callers: usize) -> anyhow::Result<Measured> {
    let server = std::env::var("RUNYARD_TEST_POSTGRES")
        .unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432/postgres".to_owned());
    let (client, connection) = tokio_postgres::connect(&server, tokio_postgres::NoTls)
        .await
        .with_context(|| format!("no PostgreSQL at {server}: `cargo xtask services` starts one"))?;
    let task = tokio::spawn(connection);
    let name = format!("runyard_bench_{}", std::process::id());
    client
        .batch_execute(&format!("CREATE DATABASE {name}"))
        .await?;
    let (base, _) = server
        .rsplit_once('/')
        .context("the address names a database")?;
    let settings = store::postgres::PostgresSettings::default();
    let store = store::postgres::open(&format!("{base}/{name}"), settings).await?;
    let measured = measure(store, span, callers).await;
    client
        .batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)"))
        .await?;
    drop(client);
    task.await??;
    measured
}

async fn measure(
    store: Arc<dyn Store>,
    span: Duration,
    callers: usize,
) -> anyhow::Result<Measured> {
    let scope = OrgScope::new(OrgId::new("bench")?);
    let worker = WorkerId::new(Uuid::now_v7());
    store
        .system_register_worker(worker, Duration::from_secs(600))
        .await?;
    let began = Instant::now();
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let (store, scope) = (Arc::clone(&store), scope.clone());
            tokio::spawn(async move {
                let mut commits = Vec::new();
                let mut runs = 0_u32;
                while began.elapsed() < span {
                    commits.push(one_run(store.as_ref(), &scope, worker).await?);
                    runs += 1;
                }
                anyhow::Ok((runs, commits))
            })
        })
        .collect();
    let (mut runs, mut commits) = (0, Vec::new());
    for task in tasks {
        let (more, times) = task.await??;
        runs += more;
        commits.extend(times);
    }
    let per_second = f64::from(runs) / began.elapsed().as_secs_f64();
    store.close().await;
    commits.sort_unstable();
    anyhow::ensure!(!commits.is_empty(), "no run was finished");
    Ok(Measured {
        per_second,
        p50: commits[commits.len() / 2],
        p99: commits[commits.len() * 99 / 100],
    })
}

/// Returns how long the final commit took.
async fn one_run(
    store: &dyn Store,
    scope: &OrgScope,
    worker: WorkerId,
) -> anyhow::Result<Duration> {
    let now = store_time();
    let thread = thread(now);
    store.create_thread(scope, &thread, None).await?;
    let started = started(scope, thread.id, now)?;
    let run = started.run.clone();
    let create = CreateRun {
        started,
        queued: None,
        worker,
        idempotency: None,
    };
    let created = store.create_run(scope, &create).await?;
    anyhow::ensure!(matches!(created, CreatedRun::Started { .. }), "{created:?}");
    let done = run.apply(Input::TurnCompleted(Box::new(answer())), now)?;
    let expected = Expected {
        epoch: run.epoch,
        version: run.version,
    };
    let began = Instant::now();
    store
        .commit_run(scope, &done, expected, Holder::Unchanged)
        .await?;
    Ok(began.elapsed())
}

fn store_time() -> Timestamp {
    let (seconds, nanos) = Uuid::now_v7()
        .get_timestamp()
        .map_or((0, 0), |time| time.to_unix());
    Timestamp::from_micros(0).plus(Duration::new(seconds, nanos))
}

fn thread(now: Timestamp) -> Thread {
    Thread {
        id: ThreadId::new(Uuid::now_v7()),
        agent_type: "support".to_owned(),
        title: None,
        metadata: serde_json::Map::new(),
        status: ThreadStatus::Idle,
        active_run: None,
        created_at: now,
        updated_at: now,
        message_count: 0,
        last_message_preview: None,
    }
}

fn started(scope: &OrgScope, thread: ThreadId, now: Timestamp) -> anyhow::Result<Transition> {
    let input = Message {
        id: MessageId::new(Uuid::now_v7()),
        role: Role::User,
        content: Content::Text("Where is my order? ".repeat(10)),
        tool_calls: Vec::new(),
        tool_call_id: None,
        is_error: false,
        reasoning: None,
        run_id: None,
        created_at: now,
    };
    let new = NewRun {
        org: scope.org().clone(),
        id: RunId::new(Uuid::now_v7()),
        kind: RunKind::Thread { thread_id: thread },
        agent_type: "support".to_owned(),
        agent_version: "0123456789abcdef".to_owned(),
        request: RunRequest::default(),
        created_by: domain::key::Principal {
            key_id: KeyId::new(Uuid::nil()),
            name: "bench".to_owned(),
            role: None,
        },
        input: vec![input],
        lane: None,
    };
    let created = Run::create(new, now);
    let mut begun = created.run.apply(Input::Start, now)?;
    begun.records = [created.records, begun.records].concat();
    Ok(begun)
}

fn answer() -> TurnAnswer {
    TurnAnswer {
        text: "It left the warehouse this morning. ".repeat(12),
        reasoning: None,
        calls: Vec::new(),
        deltas: None,
        usage: Usage {
            input_tokens: 60,
            output_tokens: 100,
            ..Usage::default()
        },
        lane: LaneChoice {
            considered: Vec::new(),
            name: "offline".to_owned(),
            kind: LaneKind::Local,
            model: "scripted".to_owned(),
            reason: "healthy and serves the model".to_owned(),
        },
        truncated: false,
    }
}
