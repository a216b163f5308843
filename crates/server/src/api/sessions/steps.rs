//! Steps that a client made without the network, reported afterwards.

use crate::api::Id;
use crate::app::App;
use crate::body;
use crate::caller::{Caller, UsesSession};
use crate::problem::Problem;
use crate::wire::journal::{ReportSteps, ReportedSteps};
use axum::Json;
use axum::extract::State;
use domain::RunId;

/// Report steps
///
/// For a device that lost the network: what it did meanwhile, as entries chained by hashes. They become steps of the
/// session's run that are marked as its word. The same entries again change nothing and are answered alike; entries that
/// do not follow those here are refused whole.
#[utoipa::path(
    post,
    path = "/api/v1/agents/sessions/{session_id}/steps",
    operation_id = "create_steps",
    tag = "sessions",
    params(("session_id" = String, Path, description = "The session's id.")),
    request_body = ReportSteps,
    responses(
        (status = 200, description = "The steps that record the entries.", body = ReportedSteps),
        (
            status = 409,
            description = "`journal_gap`; `journal_fork`; `journal_full`; `run_already_terminal`: the session is over.",
            body = crate::problem::Body
        )
    ),
    extensions(("x-role" = json!("session")))
)]
pub async fn create_steps(
    caller: Caller<UsesSession>,
    State(app): State<App>,
    Id(id): Id<RunId>,
    body: body::Json<ReportSteps>,
) -> Result<Json<ReportedSteps>, Problem> {
    caller.check_session(id)?;
    // An Idempotency-Key adds nothing here: the hashes know an entry that was sent before.
    let entries = body.value.read()?;
    let steps = app.engine.report_steps(&caller.scope, id, &entries).await?;
    Ok(Json(ReportedSteps {
        session_id: id.to_string(),
        steps: steps.into_iter().map(Into::into).collect(),
    }))
}
