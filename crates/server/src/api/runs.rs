//! Runs: start, list, show, cancel. Their streams are in `events`.

mod start;

use super::{Id, Params, check_text};
use crate::app::App;
use crate::body;
use crate::caller::{Caller, Reads, Works};
use crate::idempotency::{self, RepeatKey, Reply};
use crate::problem::{Code, Problem};
use crate::sse::Disconnect;
use crate::wire::cursor::{self, PageQuery};
use crate::wire::events::Event;
use crate::wire::runs::{CancelRun, CreateRun, OnDisconnect, Run, RunDetail, RunList, RunStatus};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use domain::approval::ApprovalStatus;
use domain::limits::PAGE_MAX;
use domain::ports::store::{ApprovalFilter, Page, RunFilter, Seen, StoredReply};
use domain::step::Step;
use domain::{OrgScope, RunId, ThreadId};
use engine::Started;
use serde::Deserialize;
use utoipa::IntoParams;

pub const REASON_CHARS_MAX: usize = 2_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListRuns {
    #[param(inline)]
    status: Option<RunStatus>,
    #[param(example = "support")]
    agent_type: Option<String>,
    /// Only runs of this thread.
    #[param(format = "uuid")]
    thread_id: Option<String>,
    /// Entries on the page; more than 50 counts as 50.
    #[param(minimum = 1, default = 50, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct GetRun {
    /// Words of `steps` and `approvals`, with commas between; both if it is absent, neither if it is empty.
    #[param(example = "steps,approvals")]
    include: Option<String>,
}

/// Start a run
///
/// Streams the run's events; the first is `run_created`, the last `done`. A client that goes away does not stop the run
/// unless `on_disconnect` says so; it rejoins at the run's events with `Last-Event-ID`.
#[utoipa::path(
    post,
    path = "/api/v1/agents/threads/{thread_id}/runs",
    operation_id = "create_run",
    tag = "runs",
    params(("thread_id" = String, Path, description = "The thread's id.")),
    request_body = CreateRun,
    responses(
        (
            status = 200,
            description = "The run's events, or with `stream: false` the run.",
            headers(("Content-Location" = String, description = "The run's own path.")),
            content((Event = "text/event-stream"), (Run = "application/json"))
        ),
        (status = 409, description = "`thread_busy`, naming the run; `idempotency_in_progress`; `contended`.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("developer")))
)]
pub async fn create_run(
    caller: Caller<Works>,
    State(app): State<App>,
    Id(thread): Id<ThreadId>,
    repeat: RepeatKey,
    body: body::Json<CreateRun>,
) -> Result<Response, Problem> {
    let key = repeat.of("create_run", &body.bytes);
    let streamed = body.value.stream.unwrap_or(true);
    let disconnect = match body.value.on_disconnect.unwrap_or_default() {
        OnDisconnect::Continue => Disconnect::Nothing,
        OnDisconnect::Cancel => Disconnect::CancelsRun,
    };
    let start = start::prepare(&app, &caller, thread, body.value, key).await?;
    match app.engine.start_run(&caller.scope, start).await? {
        Started::Run(run) if streamed => Ok(stream(&app, &caller, run.id, disconnect)),
        Started::Run(run) => Ok(shown(*run)),
        Started::Seen(Seen::Answered(StoredReply {
            resource: Some(id), ..
        })) => {
            let run = find(&app, &caller.scope, RunId::new(id)).await?;
            if streamed {
                Ok(stream(&app, &caller, run.id, Disconnect::Nothing))
            } else {
                Ok(shown(run))
            }
        }
        Started::Seen(seen) => Err(idempotency::refusal(&seen)),
        Started::Busy { run_id, status } => Err(busy(run_id, status)),
        Started::QueueFull => {
            Err(Problem::new(Code::thread_queue_full)
                .retry_after(std::time::Duration::from_secs(1)))
        }
        Started::NoThread => Err(Problem::new(Code::not_found)),
    }
}

fn stream(app: &App, caller: &Caller<Works>, run: RunId, disconnect: Disconnect) -> Response {
    super::events::respond(
        app,
        &caller.scope,
        caller.revoked(),
        run,
        0,
        true,
        disconnect,
    )
}

fn shown(run: domain::run::Run) -> Response {
    let location = location(run.id);
    let mut response = Json(Run::from(run)).into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_LOCATION, location);
    response
}

pub fn location(run: RunId) -> HeaderValue {
    HeaderValue::from_str(&format!("/api/v1/agents/runs/{run}"))
        .expect("a path of letters, digits and dashes")
}

fn busy(run: RunId, status: domain::run::RunStatus) -> Problem {
    let status = status.as_str();
    let message = format!("The thread has a run that is not over: {run} is {status}.");
    Problem::saying(Code::thread_busy, message)
        .detail("run_id", run.to_string())
        .detail("status", status)
}

async fn find(app: &App, scope: &OrgScope, id: RunId) -> Result<domain::run::Run, Problem> {
    let found = app.store.get_run(scope, id).await?;
    found.ok_or_else(|| Problem::new(Code::not_found))
}

/// List runs
///
/// The org's runs, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/agents/runs",
    operation_id = "list_runs",
    tag = "runs",
    params(ListRuns),
    responses((status = 200, description = "One page.", body = RunList)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn list_runs(
    caller: Caller<Reads>,
    State(app): State<App>,
    Params(query): Params<ListRuns>,
) -> Result<Json<RunList>, Problem> {
    let pages = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let page = pages.page(&caller.scope, "list_runs")?;
    let thread = match query.thread_id.as_deref().map(str::parse::<ThreadId>) {
        None => None,
        Some(Ok(thread)) => Some(thread),
        // No thread has this id, so no run has this thread: as with any other unknown id.
        Some(Err(_)) => {
            return Ok(Json(RunList {
                runs: Vec::new(),
                next_cursor: None,
            }));
        }
    };
    let filter = RunFilter {
        status: query.status.map(Into::into),
        agent_type: query.agent_type,
        thread,
    };
    let runs = app.store.list_runs(&caller.scope, &filter, page).await?;
    let last = runs.last().map(|last| (last.created_at, last.id.uuid()));
    Ok(Json(RunList {
        next_cursor: cursor::next(&caller.scope, "list_runs", page, runs.len(), last),
        runs: runs.into_iter().map(Run::from).collect(),
    }))
}

/// Get a run
///
/// With its steps by `step_index` and the approvals that it waits for.
#[utoipa::path(
    get,
    path = "/api/v1/agents/runs/{run_id}",
    operation_id = "get_run",
    tag = "runs",
    params(("run_id" = String, Path, description = "The run's id."), GetRun),
    responses((status = 200, description = "The run.", body = RunDetail)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn get_run(
    caller: Caller<Reads>,
    State(app): State<App>,
    Id(id): Id<RunId>,
    Params(query): Params<GetRun>,
) -> Result<Json<RunDetail>, Problem> {
    let (with_steps, with_approvals) = included(query.include.as_deref())?;
    let run = find(&app, &caller.scope, id).await?;
    let steps = if with_steps {
        let steps = app.store.run_steps(&caller.scope, id).await?;
        let late = if steps.iter().any(Step::may_be_answered_late) {
            app.store.late_answers(&caller.scope, id).await?
        } else {
            Vec::new()
        };
        Some((steps, late))
    } else {
        None
    };
    let pending = if with_approvals {
        let filter = ApprovalFilter {
            status: Some(ApprovalStatus::Pending),
            run: Some(id),
        };
        let page = Page {
            limit: PAGE_MAX,
            below: None,
        };
        Some(
            app.store
                .list_approvals(&caller.scope, &filter, page)
                .await?,
        )
    } else {
        None
    };
    Ok(Json(RunDetail::new(run, steps, pending)))
}

fn included(include: Option<&str>) -> Result<(bool, bool), Problem> {
    let Some(include) = include else {
        return Ok((true, true));
    };
    let mut included = (false, false);
    for word in include.split(',').map(str::trim) {
        match word {
            "" => {}
            "steps" => included.0 = true,
            "approvals" => included.1 = true,
            _ => {
                let message = "include knows the words steps and approvals.";
                return Err(Problem::saying(Code::invalid_parameter, message).at("include"));
            }
        }
    }
    Ok(included)
}

/// Cancel a run
///
/// Once answered, no tool of the run is called any more. Cancelling a cancelled run again changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/agents/runs/{run_id}/cancel",
    operation_id = "cancel_run",
    tag = "runs",
    params(("run_id" = String, Path, description = "The run's id.")),
    request_body = Option<CancelRun>,
    responses(
        (status = 200, description = "The cancelled run.", body = Run),
        (status = 409, description = "`run_already_terminal`, with its status.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("developer")))
)]
pub async fn cancel_run(
    caller: Caller<Works>,
    State(app): State<App>,
    Id(id): Id<RunId>,
    repeat: RepeatKey,
    body: body::OptionalJson<CancelRun>,
) -> Result<Response, Problem> {
    let key = repeat.of("cancel_run", &body.bytes);
    check_text("reason", body.value.reason.as_deref(), REASON_CHARS_MAX)?;
    let cancel = async {
        let run = app
            .engine
            .cancel(
                &caller.scope,
                id,
                body.value.reason,
                Some(&caller.principal()),
            )
            .await?;
        Ok(Reply::Whole(Run::from(run)))
    };
    idempotency::once(&app, &caller.scope, key, cancel).await
}
