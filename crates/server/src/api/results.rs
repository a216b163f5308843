//! Results of tools that were too long for a model.

use super::Id;
use crate::app::App;
use crate::caller::{Caller, Reads};
use crate::problem::{Code, Problem};
use crate::wire::results::KeptResult;
use axum::Json;
use axum::extract::State;
use domain::kept::KeptId;

/// Get a kept result
///
/// The whole of a tool's result of which the model was told the beginning. Kept for a week, while its org has room.
#[utoipa::path(
    get,
    path = "/api/v1/agents/results/{result_id}",
    operation_id = "get_result",
    tag = "runs",
    params(("result_id" = String, Path, description = "The `result_id` that the cut result tells.")),
    responses((status = 200, description = "The result.", body = KeptResult)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn get_result(
    caller: Caller<Reads>,
    State(app): State<App>,
    Id(id): Id<KeptId>,
) -> Result<Json<KeptResult>, Problem> {
    let found = app.store.get_result(&caller.scope, &id).await?;
    let kept = found.ok_or_else(|| Problem::new(Code::not_found))?;
    Ok(Json(kept.into()))
}
