//! Whose key this is.

use crate::caller::{Caller, Reads};
use crate::wire::whoami::Whoami;
use axum::Json;

/// Who am I?
///
/// The org, name and role behind the key of this request.
#[utoipa::path(
    get,
    path = "/api/v1/agents/whoami",
    operation_id = "get_whoami",
    tag = "keys",
    responses((status = 200, description = "The key's holder.", body = Whoami)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn get_whoami(caller: Caller<Reads>) -> Json<Whoami> {
    Json(Whoami::from(&*caller.key))
}
