//! What people say of an intent gate's decisions.

use super::{Id, Params, check_text};
use crate::app::App;
use crate::body;
use crate::caller::{Caller, Works};
use crate::problem::Problem;
use crate::wire::gates::{GateCase, GateCaseList, GateCasesQuery, OverruleGate};
use axum::Json;
use axum::extract::State;
use domain::RunId;
use engine::Overrule;

const NOTE_CHARS_MAX: usize = 2_000;
const CASES_MAX: u32 = 1_000;

/// Overrule a gate's decision
///
/// Says what the decision on this run's input should have been. The run itself stays as it is; the input and the right
/// decision become a case, which `runyard gate cases` prints and `runyard gate test` puts to every later version.
#[utoipa::path(
    post,
    path = "/api/v1/agents/runs/{run_id}/gate/overrule",
    operation_id = "overrule_gate",
    tag = "runs",
    params(("run_id" = String, Path, description = "The run's id.")),
    request_body = OverruleGate,
    responses(
        (status = 200, description = "The case.", body = GateCase),
        (status = 409, description = "`no_gate_decision`: no gate has judged this run.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("developer")))
)]
pub async fn overrule_gate(
    caller: Caller<Works>,
    State(app): State<App>,
    Id(id): Id<RunId>,
    body: body::Json<OverruleGate>,
) -> Result<Json<GateCase>, Problem> {
    let asked = body.value;
    check_text("note", asked.note.as_deref(), NOTE_CHARS_MAX)?;
    let asked = Overrule {
        run: id,
        step_index: asked.step_index,
        label: asked.label.into(),
        note: asked.note,
        by: caller.principal(),
    };
    let case = app.engine.overrule_gate(&caller.scope, asked).await?;
    Ok(Json(case.into()))
}

/// List overruled decisions
///
/// Of one agent's gate, the newest first, at most 1,000.
#[utoipa::path(
    get,
    path = "/api/v1/agents/gate/cases",
    operation_id = "list_gate_cases",
    tag = "runs",
    params(GateCasesQuery),
    responses((status = 200, description = "The cases.", body = GateCaseList)),
    extensions(("x-role" = json!("developer")))
)]
pub async fn list_gate_cases(
    caller: Caller<Works>,
    State(app): State<App>,
    Params(query): Params<GateCasesQuery>,
) -> Result<Json<GateCaseList>, Problem> {
    let agent_type = query.agent_type.unwrap_or_default();
    let cases = app
        .store
        .list_gate_cases(&caller.scope, &agent_type, CASES_MAX)
        .await?;
    Ok(Json(GateCaseList {
        cases: cases.into_iter().map(GateCase::from).collect(),
    }))
}
