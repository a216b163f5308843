//! An org's record of decisions, read. It is written with what it tells of.

use super::Params;
use crate::app::App;
use crate::caller::{Caller, Owns};
use crate::problem::{Code, Problem};
use crate::wire::audit::{AuditEntry, AuditHead, AuditPage};
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

/// Entries on one page.
const PAGE_MAX: u32 = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListAudit {
    /// Only entries numbered above this.
    #[param(default = 0, example = 0)]
    after: Option<u64>,
    /// Entries on the page; more than 500 counts as 500.
    #[param(minimum = 1, default = 500, example = 100)]
    limit: Option<u64>,
}

/// Read the audit
///
/// Who decided what, on which bytes: approvals, cancels, keys, grants, and changes of agents and policies, as a chain of
/// hashes. `runyard audit verify` checks it.
#[utoipa::path(
    get,
    path = "/api/v1/agents/audit",
    operation_id = "list_audit",
    tag = "audit",
    params(ListAudit),
    responses((status = 200, description = "One page.", body = AuditPage)),
    extensions(("x-role" = json!("owner")))
)]
pub async fn list_audit(
    caller: Caller<Owns>,
    State(app): State<App>,
    Params(query): Params<ListAudit>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = query.limit.unwrap_or(u64::from(PAGE_MAX));
    if limit == 0 {
        let message = "limit must be at least 1.";
        return Err(Problem::saying(Code::invalid_parameter, message).at("limit"));
    }
    let limit = u32::try_from(limit).unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let after = query.after.unwrap_or(0);
    let head = app.store.audit_head(&caller.scope).await?;
    let links = app.store.list_audit(&caller.scope, after, limit).await?;
    let full = links.len() >= limit as usize;
    let next_after = links.last().map(|link| link.seq).filter(|_| full);
    Ok(Json(AuditPage {
        entries: links
            .into_iter()
            .map(AuditEntry::try_from)
            .collect::<Result<_, _>>()?,
        next_after,
        head: head.map(AuditHead::from),
    }))
}
