//! Is the server alive, and is it ready? Anybody may ask.

use crate::app::App;
use crate::problem::{Code, Problem};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Is it alive?
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "get_health",
    tag = "server",
    responses((status = 200, description = "It is.", body = Health)),
    security(())
)]
pub async fn get_health() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Is it ready?
///
/// The store answers and the server is not shutting down.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "get_readiness",
    tag = "server",
    responses((status = 200, description = "It is.", body = Health)),
    security(())
)]
pub async fn get_readiness(State(app): State<App>) -> Result<Json<Health>, Problem> {
    if app.is_ready().await {
        return Ok(Json(Health { status: "ready" }));
    }
    let code = if app.stop.is_cancelled() || app.engine.is_draining() {
        Code::shutting_down
    } else {
        Code::store_unavailable
    };
    Err(Problem::new(code).retry_after(Duration::from_secs(1)))
}
