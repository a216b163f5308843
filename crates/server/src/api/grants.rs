//! Grants: list, show with what they let through, revoke. They are made by remembering an approval.

use super::{Id, Params};
use crate::app::App;
use crate::caller::{Caller, Decides};
use crate::problem::{Code, Problem};
use crate::wire::cursor::{self, PageQuery};
use crate::wire::grants::{Grant, GrantDetail, GrantList, GrantedCall, ProposedGrant};
use axum::Json;
use axum::extract::State;
use domain::approval::{Approval, ApprovalKind, ApprovalStatus};
use domain::grant::propose as propose_for;
use domain::limits::{GRANT_TTL, GRANT_USES, PAGE_MAX};
use domain::ports::store::{ApprovalFilter, Page};
use domain::{GrantId, OrgScope};
use serde::Deserialize;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListGrants {
    /// Entries on the page; more than 50 counts as 50.
    #[param(minimum = 1, default = 50, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List grants
///
/// Newest first, those that are used up, over or revoked included.
#[utoipa::path(
    get,
    path = "/api/v1/agents/grants",
    operation_id = "list_grants",
    tag = "approvals",
    params(ListGrants),
    responses((status = 200, description = "One page.", body = GrantList)),
    extensions(("x-role" = json!("approver")))
)]
pub async fn list_grants(
    caller: Caller<Decides>,
    State(app): State<App>,
    Params(query): Params<ListGrants>,
) -> Result<Json<GrantList>, Problem> {
    let pages = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let page = pages.page(&caller.scope, "list_grants")?;
    let found = app.store.list_grants(&caller.scope, page).await?;
    let last = found.last().map(|last| (last.created_at, last.id.uuid()));
    let now = app.clock.now();
    Ok(Json(GrantList {
        next_cursor: cursor::next(&caller.scope, "list_grants", page, found.len(), last),
        grants: found
            .into_iter()
            .map(|grant| Grant::at(grant, now))
            .collect(),
    }))
}

/// Get a grant
///
/// With the calls that it let through.
#[utoipa::path(
    get,
    path = "/api/v1/agents/grants/{grant_id}",
    operation_id = "get_grant",
    tag = "approvals",
    params(("grant_id" = String, Path, description = "The grant's id.")),
    responses((status = 200, description = "The grant.", body = GrantDetail)),
    extensions(("x-role" = json!("approver")))
)]
pub async fn get_grant(
    caller: Caller<Decides>,
    State(app): State<App>,
    Id(id): Id<GrantId>,
) -> Result<Json<GrantDetail>, Problem> {
    let found = app.store.get_grant(&caller.scope, id).await?;
    let grant = found.ok_or_else(|| Problem::new(Code::not_found))?;
    let uses = app.store.grant_uses(&caller.scope, id).await?;
    Ok(Json(GrantDetail {
        grant: Grant::at(grant, app.clock.now()),
        calls: uses.into_iter().map(GrantedCall::from).collect(),
    }))
}

/// Revoke a grant
///
/// From the answer on, no call is dispatched by it, also none that it covered before. Revoking again changes nothing.
#[utoipa::path(
    delete,
    path = "/api/v1/agents/grants/{grant_id}",
    operation_id = "revoke_grant",
    tag = "approvals",
    params(("grant_id" = String, Path, description = "The grant's id.")),
    responses((status = 200, description = "The grant, revoked.", body = Grant)),
    extensions(("x-role" = json!("approver")))
)]
pub async fn revoke_grant(
    caller: Caller<Decides>,
    State(app): State<App>,
    Id(id): Id<GrantId>,
) -> Result<Json<Grant>, Problem> {
    let now = app.clock.now();
    let by = caller.principal();
    let revoked = app.store.revoke_grant(&caller.scope, id, &by, now).await?;
    let grant = revoked.ok_or_else(|| Problem::new(Code::not_found))?;
    Ok(Json(Grant::at(grant, now)))
}

/// The narrowest grant for a pending call and for those of the org's last approved ones that were like it. The first
/// call of its kind is no pattern yet.
pub(super) async fn propose(
    app: &App,
    scope: &OrgScope,
    approval: &Approval,
) -> Result<Option<ProposedGrant>, Problem> {
    let is_open = approval.status == ApprovalStatus::Pending;
    let Some(asked) = approval.arguments.as_object() else {
        return Ok(None);
    };
    if !is_open
        || approval.kind != ApprovalKind::ToolCall
        || !is_grantable(app, scope, approval).await?
    {
        return Ok(None);
    }
    let filter = ApprovalFilter {
        status: Some(ApprovalStatus::Approved),
        ..ApprovalFilter::default()
    };
    let page = Page {
        limit: PAGE_MAX,
        below: None,
    };
    let approved = app.store.list_approvals(scope, &filter, page).await?;
    let is_alike = |other: &&Approval| {
        other.kind == ApprovalKind::ToolCall
            && other.agent_type == approval.agent_type
            && other.tool_name == approval.tool_name
            && other.tool_version == approval.tool_version
    };
    let alike = approved.iter().filter(is_alike);
    let mut samples = vec![asked.clone()];
    samples.extend(alike.filter_map(|other| other.arguments.as_object().cloned()));
    if samples.len() < 2 {
        return Ok(None);
    }
    Ok(propose_for(&samples).map(|proposal| ProposedGrant {
        predicate: proposal.predicate,
        ttl_s: GRANT_TTL.as_secs(),
        uses: GRANT_USES,
        covers: proposal.covers,
    }))
}

/// What policy said of the call is with its run.
async fn is_grantable(app: &App, scope: &OrgScope, approval: &Approval) -> Result<bool, Problem> {
    let run = app.store.get_run(scope, approval.run_id).await?;
    let call = run.as_ref().and_then(|run| {
        let mut calls = run.calls().iter();
        calls.find(|call| call.id == approval.call_id)
    });
    Ok(call.is_some_and(|call| call.judgement.is_grantable()))
}
