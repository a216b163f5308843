//! Lanes as they are now, and how one would be chosen. No provider is asked.

use crate::app::App;
use crate::body;
use crate::caller::{Caller, Reads};
use crate::problem::Problem;
use crate::wire::lanes::{ExplainLanes, Explanation, LaneList, Subject};
use axum::Json;
use axum::extract::State;
use domain::OrgScope;
use domain::agent::Agent;
use domain::lane::{LaneKind, SERVER_KINDS, Wishes, session_selection};
use domain::ports::model::Models;

/// Every kind can serve a session: its device may run the model.
pub const SESSION_KINDS: [LaneKind; 3] = [LaneKind::Device, LaneKind::Local, LaneKind::Cloud];

/// List lanes
///
/// Every place where a model can run, its health by the circuit breaker, your org's traffic and the latency of late.
/// Answered from this process's memory: with several servers each tells of itself.
#[utoipa::path(
    get,
    path = "/api/v1/agents/lanes",
    operation_id = "list_lanes",
    tag = "lanes",
    responses((status = 200, description = "The lanes.", body = LaneList)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn list_lanes(
    caller: Caller<Reads>,
    State(app): State<App>,
) -> Result<Json<LaneList>, Problem> {
    let reports = app.models.reports(&caller.scope);
    Ok(Json(LaneList {
        lanes: reports.into_iter().map(Into::into).collect(),
    }))
}

/// Explain a choice of lane
///
/// Which lane an agent's session or run would take now, and what speaks for and against each. Nothing is begun, and
/// nothing is recorded.
#[utoipa::path(
    post,
    path = "/api/v1/agents/lanes/explain",
    operation_id = "explain_lanes",
    tag = "lanes",
    request_body = ExplainLanes,
    responses((status = 200, description = "The decision with its reasons.", body = Explanation)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn explain_lanes(
    caller: Caller<Reads>,
    State(app): State<App>,
    body: body::Json<ExplainLanes>,
) -> Result<Json<Explanation>, Problem> {
    let agent = super::threads::known_agent(&app, &body.value.agent_type)?;
    let explanation = explain(&*app.models, &caller.scope, &agent, body.value);
    Ok(Json(explanation))
}

/// The same selection that sessions and runs go through.
pub fn explain(
    models: &dyn Models,
    scope: &OrgScope,
    agent: &Agent,
    asked: ExplainLanes,
) -> Explanation {
    let kinds: &[LaneKind] = match asked.subject {
        Subject::Session => &SESSION_KINDS,
        Subject::Run => &SERVER_KINDS,
    };
    let mut wishes = Wishes {
        pinned: asked.lane,
        client: asked.client.map(Into::into),
        sticky: asked.user_id.map(|user| format!("user {user}")),
        ..Wishes::of(agent, kinds)
    };
    let select = |wishes: &Wishes| models.select(scope, wishes);
    let selection = match asked.subject {
        Subject::Session => session_selection(select, &wishes, asked.model.as_deref()),
        Subject::Run => {
            wishes.models = asked.model.map_or(wishes.models, |model| vec![model]);
            select(&wishes)
        }
    };
    selection.into()
}
