//! The org's sessions as a list.

use crate::api::Params;
use crate::app::App;
use crate::caller::{Caller, Reads};
use crate::problem::Problem;
use crate::wire::cursor::{self, PageQuery};
use crate::wire::runs::RunStatus;
use crate::wire::sessions::{SessionBrief, SessionList};
use axum::Json;
use axum::extract::State;
use domain::ports::store::SessionFilter;
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListSessions {
    #[param(inline)]
    status: Option<RunStatus>,
    /// Only sessions of this agent.
    #[param(example = "deployment_advisor")]
    agent_type: Option<String>,
    /// Entries on the page; more than 50 counts as 50.
    #[param(minimum = 1, default = 50, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List sessions
///
/// The org's client-side sessions, newest first: the device that each is on, when it was last seen, and how it ended.
#[utoipa::path(
    get,
    path = "/api/v1/agents/sessions",
    operation_id = "list_sessions",
    tag = "sessions",
    params(ListSessions),
    responses((status = 200, description = "One page.", body = SessionList)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn list_sessions(
    caller: Caller<Reads>,
    State(app): State<App>,
    Params(query): Params<ListSessions>,
) -> Result<Json<SessionList>, Problem> {
    let pages = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let page = pages.page(&caller.scope, "list_sessions")?;
    let filter = SessionFilter {
        status: query.status.map(Into::into),
        agent_type: query.agent_type,
    };
    let runs = app
        .store
        .list_sessions(&caller.scope, &filter, page)
        .await?;
    let last = runs.last().map(|last| (last.created_at, last.id.uuid()));
    Ok(Json(SessionList {
        next_cursor: cursor::next(&caller.scope, "list_sessions", page, runs.len(), last),
        sessions: runs.into_iter().map(SessionBrief::from).collect(),
    }))
}
