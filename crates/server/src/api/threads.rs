//! Conversations: make, list, show, change, delete.

use super::{Id, Params, check_text};
use crate::app::App;
use crate::body;
use crate::caller::{Caller, Reads, Works};
use crate::idempotency::{self, RepeatKey, Reply};
use crate::problem::{Code, Problem};
use crate::wire::cursor::{self, PageQuery};
use crate::wire::runs::{RunBrief, metadata_error};
use crate::wire::threads::{
    CreateThread, DeletedThread, ForkThread, Message, Thread, ThreadDetail, ThreadList,
    UpdateThread,
};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::ThreadId;
use domain::crash::crash_point;
use domain::limits::PAGE_MAX;
use domain::ports::store::{
    CreateThread as Creation, DeleteThread, Page, RunFilter, Seen, StoredReply,
};
use domain::thread::{self, ForkPoint, ThreadPatch, ThreadStatus};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

const TITLE_CHARS_MAX: usize = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListThreads {
    /// Only threads of this agent.
    #[param(example = "support")]
    agent_type: Option<String>,
    /// Entries on the page; more than 50 counts as 50.
    #[param(minimum = 1, default = 50, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Create a thread
///
/// A conversation with one agent of the registry.
#[utoipa::path(
    post,
    path = "/api/v1/agents/threads",
    operation_id = "create_thread",
    tag = "threads",
    request_body = CreateThread,
    responses((status = 200, description = "The thread.", body = Thread)),
    extensions(("x-role" = json!("developer")))
)]
pub async fn create_thread(
    caller: Caller<Works>,
    State(app): State<App>,
    repeat: RepeatKey,
    body: body::Json<CreateThread>,
) -> Result<Json<Thread>, Problem> {
    let key = repeat.of("create_thread", &body.bytes);
    let thread = new_thread(&app, body.value)?;
    crash_point("thread.before_create");
    let created = app
        .store
        .create_thread(&caller.scope, &thread, key.as_ref())
        .await?;
    crash_point("thread.after_create");
    let thread = match created {
        Creation::Created => thread,
        Creation::Seen(Seen::Answered(StoredReply {
            resource: Some(id), ..
        })) => find(&app, &caller, ThreadId::new(id)).await?,
        Creation::Seen(seen) => return Err(idempotency::refusal(&seen)),
    };
    app.thread_types
        .put(&caller.scope, thread.id, &thread.agent_type);
    Ok(Json(thread.into()))
}

/// Fork a thread
///
/// A new thread of the same agent that begins with this one's history, up to a message or a run. Both go on by
/// themselves; runs, their steps and their logs stay with the first. Its `metadata.forked_from` names the first.
#[utoipa::path(
    post,
    path = "/api/v1/agents/threads/{thread_id}/fork",
    operation_id = "fork_thread",
    tag = "threads",
    params(("thread_id" = String, Path, description = "The thread's id.")),
    request_body = ForkThread,
    responses((status = 200, description = "The new thread.", body = Thread)),
    extensions(("x-role" = json!("developer")))
)]
pub async fn fork_thread(
    caller: Caller<Works>,
    State(app): State<App>,
    Id(id): Id<ThreadId>,
    repeat: RepeatKey,
    body: body::Json<ForkThread>,
) -> Result<Response, Problem> {
    check_text("title", body.value.title.as_deref(), TITLE_CHARS_MAX)?;
    let point = fork_point(&body.value)?;
    let key = repeat.of("fork_thread", &body.bytes);
    let fork = async {
        let forked = app
            .engine
            .fork_thread(&caller.scope, id, point, body.value.title);
        let thread = forked.await?;
        app.thread_types
            .put(&caller.scope, thread.id, &thread.agent_type);
        Ok(Reply::Whole(Thread::from(thread)))
    };
    idempotency::once(&app, &caller.scope, key, fork).await
}

fn fork_point(body: &ForkThread) -> Result<ForkPoint, Problem> {
    let wrong = |path| Problem::field(path, "must be the id of this thread's");
    match (&body.message_id, &body.run_id) {
        (None, None) => Ok(ForkPoint::End),
        (Some(id), None) => {
            let id = id.parse().map_err(|_| wrong("message_id"))?;
            Ok(ForkPoint::Message(id))
        }
        (None, Some(id)) => Ok(ForkPoint::Run(id.parse().map_err(|_| wrong("run_id"))?)),
        (Some(_), Some(_)) => Err(Problem::field(
            "run_id",
            "excludes message_id: name one of them",
        )),
    }
}

fn new_thread(app: &App, create: CreateThread) -> Result<thread::Thread, Problem> {
    check_text("title", create.title.as_deref(), TITLE_CHARS_MAX)?;
    check_metadata(create.metadata.as_ref())?;
    known_agent(app, &create.agent_type)?;
    let now = app.clock.now();
    Ok(thread::Thread {
        id: ThreadId::new(app.clock.uuid()),
        agent_type: create.agent_type,
        title: create.title,
        metadata: create.metadata.unwrap_or_default(),
        status: ThreadStatus::Idle,
        active_run: None,
        created_at: now,
        updated_at: now,
        message_count: 0,
        last_message_preview: None,
    })
}

/// The agent, or a refusal that names those that there are.
pub fn known_agent(
    app: &App,
    agent_type: &str,
) -> Result<std::sync::Arc<domain::agent::Agent>, Problem> {
    app.agents.get(agent_type).ok_or_else(|| {
        let mut known: Vec<String> = app
            .agents
            .list()
            .into_iter()
            .filter(|entry| matches!(entry.state, crate::app::AgentState::Ready(_)))
            .map(|entry| entry.agent_type)
            .collect();
        known.sort_unstable();
        let message = if known.is_empty() {
            "There is no agent of this type: the registry is empty.".to_owned()
        } else {
            format!(
                "There is no agent of this type; there are: {}.",
                known.join(", ")
            )
        };
        Problem::saying(Code::unknown_agent_type, message)
            .at("agent_type")
            .detail("supported", known)
    })
}

fn check_metadata(metadata: Option<&Map<String, Value>>) -> Result<(), Problem> {
    metadata_error(metadata).map_or(Ok(()), |message| Err(Problem::field("metadata", message)))
}

async fn find<N>(app: &App, caller: &Caller<N>, id: ThreadId) -> Result<thread::Thread, Problem> {
    let found = app.store.get_thread(&caller.scope, id).await?;
    found.ok_or_else(|| Problem::new(Code::not_found))
}

/// List threads
///
/// The org's threads by `updated_at`, newest first. A cursor stays good while threads change.
#[utoipa::path(
    get,
    path = "/api/v1/agents/threads",
    operation_id = "list_threads",
    tag = "threads",
    params(ListThreads),
    responses((status = 200, description = "One page.", body = ThreadList)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn list_threads(
    caller: Caller<Reads>,
    State(app): State<App>,
    Params(query): Params<ListThreads>,
) -> Result<Json<ThreadList>, Problem> {
    let pages = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let page = pages.page(&caller.scope, "list_threads")?;
    let agent_type = query.agent_type.as_deref();
    let threads = app
        .store
        .list_threads(&caller.scope, agent_type, page)
        .await?;
    let last = threads.last().map(|last| (last.updated_at, last.id.uuid()));
    Ok(Json(ThreadList {
        next_cursor: cursor::next(&caller.scope, "list_threads", page, threads.len(), last),
        threads: threads.into_iter().map(Thread::from).collect(),
    }))
}

/// Get a thread
///
/// With its whole history and its latest runs in brief.
#[utoipa::path(
    get,
    path = "/api/v1/agents/threads/{thread_id}",
    operation_id = "get_thread",
    tag = "threads",
    params(("thread_id" = String, Path, description = "The thread's id.")),
    responses((status = 200, description = "The thread and its messages.", body = ThreadDetail)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn get_thread(
    caller: Caller<Reads>,
    State(app): State<App>,
    Id(id): Id<ThreadId>,
) -> Result<Json<ThreadDetail>, Problem> {
    let thread = find(&app, &caller, id).await?;
    let filter = RunFilter {
        thread: Some(id),
        ..RunFilter::default()
    };
    let page = Page {
        limit: PAGE_MAX,
        below: None,
    };
    let (messages, runs) = futures::try_join!(
        app.store.thread_messages(&caller.scope, id),
        app.store.list_runs(&caller.scope, &filter, page),
    )?;
    Ok(Json(ThreadDetail {
        thread: thread.into(),
        messages: messages.into_iter().map(Message::from).collect(),
        runs: runs.into_iter().map(RunBrief::from).collect(),
    }))
}

/// Change a thread
///
/// Its title or metadata; fields that are absent stay as they are.
#[utoipa::path(
    patch,
    path = "/api/v1/agents/threads/{thread_id}",
    operation_id = "update_thread",
    tag = "threads",
    params(("thread_id" = String, Path, description = "The thread's id.")),
    request_body = UpdateThread,
    responses((status = 200, description = "The thread.", body = Thread)),
    extensions(("x-role" = json!("developer")))
)]
pub async fn update_thread(
    caller: Caller<Works>,
    State(app): State<App>,
    Id(id): Id<ThreadId>,
    body: body::Json<UpdateThread>,
) -> Result<Json<Thread>, Problem> {
    let patch = body.value;
    let title = patch.title.as_ref().and_then(Option::as_deref);
    check_text("title", title, TITLE_CHARS_MAX)?;
    check_metadata(patch.metadata.as_ref())?;
    let patch = ThreadPatch {
        title: patch.title,
        metadata: patch.metadata,
    };
    let now = app.clock.now();
    let thread = app
        .store
        .update_thread(&caller.scope, id, &patch, now)
        .await?;
    let thread = thread.ok_or_else(|| Problem::new(Code::not_found))?;
    Ok(Json(thread.into()))
}

/// Delete a thread
///
/// With its messages and runs. A thread with a run that is not over is busy: cancel that first.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/threads/{thread_id}",
    operation_id = "delete_thread",
    tag = "threads",
    params(("thread_id" = String, Path, description = "The thread's id.")),
    responses(
        (status = 200, description = "It is gone.", body = DeletedThread),
        (status = 409, description = "`thread_busy`.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("developer")))
)]
pub async fn delete_thread(
    caller: Caller<Works>,
    State(app): State<App>,
    Id(id): Id<ThreadId>,
) -> Result<Json<DeletedThread>, Problem> {
    match app.store.delete_thread(&caller.scope, id).await? {
        DeleteThread::Deleted => Ok(Json(DeletedThread {
            id: id.to_string(),
            deleted: true,
        })),
        DeleteThread::Missing => Err(Problem::new(Code::not_found)),
        DeleteThread::Busy(run) => {
            Err(Problem::new(Code::thread_busy).detail("run_id", run.to_string()))
        }
    }
}
