//! Where a session's model runs, and which model that is.

use crate::api::lanes::SESSION_KINDS;
use crate::api::{Id, check_text};
use crate::app::App;
use crate::body;
use crate::caller::{Caller, UsesSession};
use crate::problem::{Code, Problem};
use crate::wire::sessions::{MoveSession, Session};
use axum::Json;
use axum::extract::State;
use domain::agent::Agent;
use domain::lane::{Considered, LaneChoice, LaneKind, Wishes, session_selection};
use domain::run::RunKind;
use domain::session::Client;
use domain::{OrgScope, RunId};

/// Characters of a move's reason.
const REASON_CHARS_MAX: usize = 2_000;

/// What a session asks of selection.
pub struct SessionWishes<'a> {
    pub model: Option<&'a str>,
    /// A lane by name.
    pub lane: Option<&'a str>,
    /// Only lanes of this kind.
    pub kind: Option<LaneKind>,
    pub client: Option<Client>,
    /// What canaries go by.
    pub sticky: String,
}

/// The lane of a session of this agent, by the agent's order, the device's first where the agent has none.
pub fn choose(
    app: &App,
    scope: &OrgScope,
    agent: &Agent,
    asked: SessionWishes<'_>,
) -> Result<LaneChoice, Problem> {
    let kind = asked.kind.map(|kind| [kind]);
    let kinds = kind.as_ref().map_or(&SESSION_KINDS[..], |kind| &kind[..]);
    let wishes = Wishes {
        pinned: asked.lane.map(str::to_owned),
        client: asked.client,
        sticky: Some(asked.sticky),
        ..Wishes::of(agent, kinds)
    };
    let select = |wishes: &Wishes| app.models.select(scope, wishes);
    session_selection(select, &wishes, asked.model)
        .choose()
        .map_err(|considered| none(asked.model, &considered))
}

/// Where a model was asked for, it is the field to mend.
fn none(model: Option<&str>, considered: &[Considered]) -> Problem {
    let reasons: Vec<String> = considered
        .iter()
        .map(|lane| format!("{}: {}", lane.name, lane.reason))
        .collect();
    let message = format!("No lane can serve this session ({}).", reasons.join("; "));
    match model {
        Some(_) => Problem::saying(Code::unknown_model, message).at("model"),
        None => Problem::saying(Code::no_lane, message),
    }
}

/// Move a session to another lane
///
/// At a turn boundary: from the device to a model of the server's and back, within one run and one transcript. The move is
/// a recorded step and an event. Policy decides as it does at the beginning; what it forbids is 409 `no_lane` with what
/// was said of every lane. Inference turns move a session to the server by themselves.
#[utoipa::path(
    post,
    path = "/api/v1/agents/sessions/{session_id}/lane",
    operation_id = "update_session_lane",
    tag = "sessions",
    params(("session_id" = String, Path, description = "The session's id.")),
    request_body = MoveSession,
    responses(
        (status = 200, description = "The session in its lane.", body = Session),
        (status = 409, description = "`no_lane`: no lane may serve it; `run_already_terminal`: the session is over.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("session")))
)]
pub async fn update_session_lane(
    caller: Caller<UsesSession>,
    State(app): State<App>,
    Id(id): Id<RunId>,
    body: body::Json<MoveSession>,
) -> Result<Json<Session>, Problem> {
    caller.check_session(id)?;
    let asked = body.value;
    check_text("reason", asked.reason.as_deref(), REASON_CHARS_MAX)?;
    let run = app.engine.open_session(&caller.scope, id).await?;
    let agent = super::agent_of(&app, &run).await?;
    let client = asked.client.map(Client::from);
    let known = match &run.kind {
        RunKind::Session { client, .. } => client.clone(),
        RunKind::Thread { .. } => None,
    };
    let wishes = SessionWishes {
        model: asked.model.as_deref(),
        lane: asked.lane.as_deref(),
        kind: asked.kind.map(Into::into),
        client: client.clone().or(known),
        sticky: run.sticky_key(),
    };
    let lane = choose(&app, &caller.scope, &agent, wishes)?;
    let moved = app
        .engine
        .move_session(&caller.scope, id, lane, client, asked.reason)
        .await?;
    Ok(Json(super::shown(
        &app,
        &caller.scope,
        &moved,
        &agent,
        None,
    )))
}
