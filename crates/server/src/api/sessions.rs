//! Client-side sessions: made, read, asked for a tool, completed. Their inference turns are in `responses`.

pub mod lane;
pub mod list;
mod refusals;
pub mod steps;
pub mod token;

use super::{Id, check_text};
use crate::app::App;
use crate::body;
use crate::caller::{Caller, UsesSession, Works};
use crate::idempotency::{self, RepeatKey, Reply};
use crate::problem::{Code, Problem};
use crate::wire::agents::IntentGate;
use crate::wire::journal::JournalHead;
use crate::wire::sessions::{
    CompleteSession, CompletedSession, CreateSession, ExecuteTool, Session, SessionLane,
    SessionTool, ToolOutput,
};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::agent::Agent;
use domain::ports::store::{Seen, StoredReply};
use domain::run::{NewRun, Run, RunKind, RunRequest};
use domain::session::Client;
use domain::{CallId, OrgScope, RunId};
use engine::{ClientCall, Executed, OnBusy, StartRun, Started};
use lane::SessionWishes;
use std::sync::Arc;
use std::time::Duration;
use token::Issued;

/// The published client gives up after 30 s and never asks again by itself.
const PATIENCE: Duration = Duration::from_secs(24);

const TTL_DEFAULT_S: u64 = 3_600;
const TTL_MAX_S: u64 = 86_400;
const QUERY_CHARS_MAX: usize = 100_000;
const SUMMARY_CHARS_MAX: usize = 100_000;
const NAME_CHARS_MAX: usize = 256;

/// Begin a session
///
/// The model runs with the client; the server chooses model and lane, hands out prompt and tools, and records what
/// happens as a run.
#[utoipa::path(
    post,
    path = "/api/v1/agents/sessions",
    operation_id = "create_session",
    tag = "sessions",
    request_body = CreateSession,
    responses((status = 200, description = "The session, at work.", body = Session)),
    extensions(("x-role" = json!("developer")))
)]
pub async fn create_session(
    caller: Caller<Works>,
    State(app): State<App>,
    repeat: RepeatKey,
    body: body::Json<CreateSession>,
) -> Result<Response, Problem> {
    let key = repeat.of("create_session", &body.bytes);
    let create = body.value;
    check_text("query", Some(&create.query), QUERY_CHARS_MAX)?;
    if create.ttl_s.is_some_and(|ttl| ttl == 0 || ttl > TTL_MAX_S) {
        return Err(Problem::field("ttl_s", format!("must be 1 to {TTL_MAX_S}")));
    }
    let token_ttl = token::ttl("token_ttl_s", create.token_ttl_s)?;
    let agent = super::threads::known_agent(&app, &create.agent_type)?;
    let new = new_session(&app, &caller, &agent, create)?;
    let start = StartRun {
        new,
        agent: agent.clone(),
        on_busy: OnBusy::Reject,
        on_waiting: None,
        idempotency: key,
    };
    let run = match app.engine.start_run(&caller.scope, start).await? {
        Started::Run(run) => *run,
        Started::Seen(Seen::Answered(StoredReply {
            resource: Some(id), ..
        })) => app.engine.session(&caller.scope, RunId::new(id)).await?,
        Started::Seen(seen) => return Err(idempotency::refusal(&seen)),
        Started::Busy { .. } | Started::QueueFull | Started::NoThread => {
            return Err(Problem::new(Code::internal_error));
        }
    };
    let token = token::issue(&app, &caller.scope, &run, token_ttl).await?;
    Ok(Json(shown(&app, &caller.scope, &run, &agent, Some(token))).into_response())
}

fn new_session(
    app: &App,
    caller: &Caller<Works>,
    agent: &Arc<Agent>,
    create: CreateSession,
) -> Result<NewRun, Problem> {
    let id = RunId::new(app.clock.uuid());
    let client = create.client.map(Client::from);
    let asked = SessionWishes {
        model: create.model.as_deref(),
        lane: create.lane.as_deref(),
        kind: None,
        client: client.clone(),
        sticky: format!("run {id}"),
    };
    let lane = lane::choose(app, &caller.scope, agent, asked)?;
    let ttl = Duration::from_secs(create.ttl_s.unwrap_or(TTL_DEFAULT_S));
    let new = NewRun {
        org: caller.scope.org().clone(),
        id,
        kind: RunKind::Session {
            query: create.query,
            system_prompt: agent.system_prompt.clone(),
            expires_at: app.clock.now().plus(ttl),
            client,
            seen_at: None,
            journal: None,
        },
        agent_type: agent.agent_type.clone(),
        agent_version: agent.version.clone(),
        request: RunRequest {
            model: Some(lane.model.clone()),
            budget: agent.budget.clone(),
            context: create.context.unwrap_or_default(),
            ..RunRequest::default()
        },
        created_by: caller.principal(),
        lane: Some(lane),
        input: Vec::new(),
    };
    Ok(new)
}

fn shown(app: &App, scope: &OrgScope, run: &Run, agent: &Agent, token: Option<Issued>) -> Session {
    let (system_prompt, expires_at, client, seen_at) = match &run.kind {
        RunKind::Session {
            system_prompt,
            expires_at,
            client,
            seen_at,
            ..
        } => (system_prompt.clone(), *expires_at, client.clone(), *seen_at),
        RunKind::Thread { .. } => (String::new(), run.created_at, None, None),
    };
    let journal = run.journal();
    Session {
        session_id: run.id.to_string(),
        run_id: run.id.to_string(),
        agent_type: run.agent_type.clone(),
        status: run.status().into(),
        model: run.request.model.clone(),
        lane: run.lane.as_ref().map(SessionLane::from),
        system_prompt,
        tools: app
            .tools
            .specs(scope, agent)
            .iter()
            .map(SessionTool::new)
            .collect(),
        journal: JournalHead {
            seq: journal.seq,
            hash: journal.hash,
        },
        client: client.map(Into::into),
        last_seen_at: seen_at.map(|at| at.to_string()),
        token_expires_at: token.as_ref().map(|token| token.expires_at.to_string()),
        session_token: token.map(|token| token.secret.expose().to_owned()),
        expires_at: expires_at.to_string(),
        intent_gate: agent.intent_gate.as_ref().map(|gate| IntentGate {
            mode: gate.mode.into(),
        }),
    }
}

/// The agent in the version that the session began with.
async fn agent_of(app: &App, run: &Run) -> Result<Agent, Problem> {
    let agent = app
        .store
        .system_get_agent(&run.agent_type, &run.agent_version)
        .await?;
    agent.ok_or_else(|| Problem::new(Code::not_found))
}

/// Read a session
#[utoipa::path(
    get,
    path = "/api/v1/agents/sessions/{session_id}",
    operation_id = "get_session",
    tag = "sessions",
    params(("session_id" = String, Path, description = "The session's id.")),
    responses((status = 200, description = "The session.", body = Session)),
    extensions(("x-role" = json!("session")))
)]
pub async fn get_session(
    caller: Caller<UsesSession>,
    State(app): State<App>,
    Id(id): Id<RunId>,
) -> Result<Json<Session>, Problem> {
    caller.check_session(id)?;
    let run = app.engine.session(&caller.scope, id).await?;
    let agent = agent_of(&app, &run).await?;
    Ok(Json(shown(&app, &caller.scope, &run, &agent, None)))
}

/// Execute a tool call
///
/// Answers within 25 seconds, always in this form: what went wrong is in `content`. The same `tool_call_id` with the same
/// arguments is one call, however often it is asked for.
#[utoipa::path(
    post,
    path = "/api/v1/agents/sessions/{session_id}/execute",
    operation_id = "execute_tool",
    tag = "sessions",
    params(("session_id" = String, Path, description = "The session's id.")),
    request_body = ExecuteTool,
    responses(
        (status = 200, description = "The call's outcome.", body = ToolOutput),
        (status = 409, description = "`run_already_terminal`: the session is over.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("session")))
)]
pub async fn execute_tool(
    caller: Caller<UsesSession>,
    State(app): State<App>,
    Id(id): Id<RunId>,
    body: body::Json<ExecuteTool>,
) -> Result<Json<ToolOutput>, Problem> {
    caller.check_session(id)?;
    let ExecuteTool {
        tool_name,
        arguments,
        tool_call_id,
    } = body.value;
    check_text("tool_name", Some(&tool_name), NAME_CHARS_MAX)?;
    check_text("tool_call_id", Some(&tool_call_id), NAME_CHARS_MAX)?;
    if tool_call_id.is_empty() {
        return Err(Problem::field("tool_call_id", "must not be empty"));
    }
    // An Idempotency-Key adds nothing here: the ledger knows the call by its own id, and one that is not over has no
    // last answer that could be kept.
    let call = ClientCall {
        id: CallId::from_client(tool_call_id.clone()),
        name: tool_name.clone(),
        arguments,
    };
    let executed = app
        .engine
        .execute(&caller.scope, id, call, PATIENCE)
        .await?;
    Ok(Json(output(&tool_name, tool_call_id, executed)))
}

fn output(tool: &str, tool_call_id: String, executed: Executed) -> ToolOutput {
    let (step_index, content, is_error) = match executed {
        Executed::Settled {
            step_index,
            content,
            is_error,
        } => (step_index, content, is_error),
        Executed::Waiting {
            step_index,
            approval_id,
        } => (
            step_index,
            refusals::waiting(tool, &tool_call_id, approval_id),
            true,
        ),
        Executed::Unfinished { step_index } => {
            (step_index, refusals::unfinished(tool, &tool_call_id), true)
        }
        Executed::IdTaken { step_index } => {
            (step_index, refusals::id_taken(tool, &tool_call_id), true)
        }
    };
    ToolOutput {
        tool_call_id,
        content,
        is_error,
        step_index,
    }
}

/// Complete a session
///
/// The run ends `completed` with this summary. Completing it again changes nothing.
#[utoipa::path(
    post,
    path = "/api/v1/agents/sessions/{session_id}/complete",
    operation_id = "complete_session",
    tag = "sessions",
    params(("session_id" = String, Path, description = "The session's id.")),
    request_body = CompleteSession,
    responses(
        (status = 200, description = "The session, over.", body = CompletedSession),
        (status = 409, description = "`run_already_terminal`: it was cancelled or has failed.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("session")))
)]
pub async fn complete_session(
    caller: Caller<UsesSession>,
    State(app): State<App>,
    Id(id): Id<RunId>,
    repeat: RepeatKey,
    body: body::Json<CompleteSession>,
) -> Result<Response, Problem> {
    caller.check_session(id)?;
    let key = repeat.of(&format!("complete_session {id}"), &body.bytes);
    let CompleteSession {
        summary,
        confidence,
        ..
    } = body.value;
    check_text("summary", Some(&summary), SUMMARY_CHARS_MAX)?;
    let complete = async {
        let run = app
            .engine
            .complete_session(&caller.scope, id, summary, confidence)
            .await?;
        Ok(Reply::Whole(CompletedSession::from(run)))
    };
    idempotency::once(&app, &caller.scope, key, complete).await
}
