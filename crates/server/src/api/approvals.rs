//! Approvals: list, show, follow, decide.

use super::runs::REASON_CHARS_MAX;
use super::{Id, Params, check_text};
use crate::app::App;
use crate::body;
use crate::caller::{Caller, Decides, Reads};
use crate::idempotency::{self, RepeatKey, Reply};
use crate::problem::{Code, Problem};
use crate::sse::{self, InboxStream, Stream};
use crate::wire::approvals::{
    Approval, ApprovalList, ApprovalNews, ApprovalStatus, Decision, Remember, ResolveApproval,
    ShownApproval,
};
use crate::wire::cursor::{self, PageQuery};
use crate::wire::steps::LateAnswer;
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::approval::Choice;
use domain::limits::{GRANT_TTL, GRANT_TTL_MAX, GRANT_USES, GRANT_USES_MAX};
use domain::ports::store::ApprovalFilter;
use domain::{ApprovalId, OrgScope, RunId, approval, grant};
use serde::Deserialize;
use std::time::Duration;
use utoipa::IntoParams;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListApprovals {
    #[param(inline)]
    status: Option<ApprovalStatus>,
    /// Only approvals of this run.
    #[param(format = "uuid")]
    run_id: Option<String>,
    /// Entries on the page; more than 50 counts as 50.
    #[param(minimum = 1, default = 50, example = 20)]
    limit: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct StreamApprovals {
    /// False: what is pending now, and no more.
    #[param(default = true)]
    follow: Option<bool>,
}

/// List approvals
///
/// Newest first; `status=pending` is the inbox.
#[utoipa::path(
    get,
    path = "/api/v1/agents/approvals",
    operation_id = "list_approvals",
    tag = "approvals",
    params(ListApprovals),
    responses((status = 200, description = "One page.", body = ApprovalList)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn list_approvals(
    caller: Caller<Reads>,
    State(app): State<App>,
    Params(query): Params<ListApprovals>,
) -> Result<Json<ApprovalList>, Problem> {
    let pages = PageQuery {
        limit: query.limit,
        cursor: query.cursor,
    };
    let page = pages.page(&caller.scope, "list_approvals")?;
    let run = match query.run_id.as_deref().map(str::parse::<RunId>) {
        None => None,
        Some(Ok(run)) => Some(run),
        // No run has this id, so no approval has this run.
        Some(Err(_)) => {
            return Ok(Json(ApprovalList {
                approvals: Vec::new(),
                next_cursor: None,
            }));
        }
    };
    let filter = ApprovalFilter {
        status: query.status.map(Into::into),
        run,
    };
    let found = app
        .store
        .list_approvals(&caller.scope, &filter, page)
        .await?;
    let last = found.last().map(|last| (last.requested_at, last.id.uuid()));
    Ok(Json(ApprovalList {
        next_cursor: cursor::next(&caller.scope, "list_approvals", page, found.len(), last),
        approvals: found.into_iter().map(Approval::from).collect(),
    }))
}

/// Get an approval
#[utoipa::path(
    get,
    path = "/api/v1/agents/approvals/{approval_id}",
    operation_id = "get_approval",
    tag = "approvals",
    params(("approval_id" = String, Path, description = "The approval's id.")),
    responses((status = 200, description = "The approval.", body = ShownApproval)),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn get_approval(
    caller: Caller<Reads>,
    State(app): State<App>,
    Id(id): Id<ApprovalId>,
) -> Result<Json<ShownApproval>, Problem> {
    let approval = find(&app, &caller.scope, id).await?;
    let proposed_grant = super::grants::propose(&app, &caller.scope, &approval).await?;
    let late_answers = late_answers(&app, &caller.scope, &approval).await?;
    Ok(Json(ShownApproval {
        approval: approval.into(),
        proposed_grant,
        late_answers,
    }))
}

async fn late_answers(
    app: &App,
    scope: &OrgScope,
    approval: &approval::Approval,
) -> Result<Vec<LateAnswer>, Problem> {
    if approval.kind != approval::ApprovalKind::OutcomeUnknown {
        return Ok(Vec::new());
    }
    let late = app.store.late_answers(scope, approval.run_id).await?;
    let its = late
        .into_iter()
        .filter(|late| late.call == approval.call_id);
    Ok(its.map(LateAnswer::from).collect())
}

async fn find(app: &App, scope: &OrgScope, id: ApprovalId) -> Result<approval::Approval, Problem> {
    let found = app.store.get_approval(scope, id).await?;
    found.ok_or_else(|| Problem::new(Code::not_found))
}

/// Follow the approvals' inbox
///
/// All that is pending as `approval_requested`, then `approval_requested` and `approval_resolved` as they happen. There is
/// no cursor: a new stream begins with all that is pending again.
#[utoipa::path(
    get,
    path = "/api/v1/agents/approvals/stream",
    operation_id = "stream_approvals",
    tag = "approvals",
    params(StreamApprovals),
    responses((
        status = 200,
        description = "Frames whose `data` is `{\"type\", \"approval\"}`.",
        content_type = "text/event-stream",
        body = ApprovalNews
    )),
    extensions(("x-role" = json!("viewer")))
)]
pub async fn stream_approvals(
    caller: Caller<Reads>,
    State(app): State<App>,
    Params(query): Params<StreamApprovals>,
) -> Result<Response, Problem> {
    let source = InboxStream::new(&app, &caller.scope, query.follow.unwrap_or(true));
    let stream = Stream::new(source, app.settings.heartbeat, caller.revoked());
    Ok(sse::response(stream))
}

/// Decide an approval
///
/// The first valid decision stands; where several people must approve, the last of them. The same decision by the same
/// caller again changes nothing; any other is told which one stands.
#[utoipa::path(
    post,
    path = "/api/v1/agents/approvals/{approval_id}/resolve",
    operation_id = "resolve_approval",
    tag = "approvals",
    params(("approval_id" = String, Path, description = "The approval's id.")),
    request_body = ResolveApproval,
    responses(
        (status = 200, description = "The approval as decided.", body = Approval),
        (status = 403, description = "`approver_not_eligible`: another person has to approve it.", body = crate::problem::Body),
        (status = 409, description = "`approval_already_resolved`, with the decision that stands; `arguments_changed`; `run_already_terminal`.", body = crate::problem::Body)
    ),
    extensions(("x-role" = json!("approver")))
)]
pub async fn resolve_approval(
    caller: Caller<Decides>,
    State(app): State<App>,
    Id(id): Id<ApprovalId>,
    repeat: RepeatKey,
    body: body::Json<ResolveApproval>,
) -> Result<Response, Problem> {
    let key = repeat.of("resolve_approval", &body.bytes);
    check(&body.value)?;
    let resolve = async {
        let asked = find(&app, &caller.scope, id).await?;
        let decision = decision(&caller, &asked, body.value);
        let resolved = app.engine.resolve(&caller.scope, id, decision).await?;
        Ok(Reply::Whole(Approval::from(resolved)))
    };
    idempotency::once(&app, &caller.scope, key, resolve).await
}

fn check(resolve: &ResolveApproval) -> Result<(), Problem> {
    check_text("reason", resolve.reason.as_deref(), REASON_CHARS_MAX)?;
    if let Some(remember) = &resolve.remember {
        check_remember(remember, resolve.decision)?;
    }
    if resolve.result.is_some() && resolve.decision != Decision::Happened {
        let message = "belongs to a call that happened";
        return Err(Problem::field("result", message));
    }
    match &resolve.arguments {
        Some(arguments) if !arguments.is_object() => {
            Err(Problem::field("arguments", "must be an object"))
        }
        Some(_) if resolve.decision != Decision::Approve => Err(Problem::field(
            "arguments",
            "can be edited only to approve them",
        )),
        Some(_) | None => Ok(()),
    }
}

fn check_remember(remember: &Remember, decision: Decision) -> Result<(), Problem> {
    if decision == Decision::Deny {
        let message = "only an approval can be remembered";
        return Err(Problem::field("remember", message));
    }
    let longest = GRANT_TTL_MAX.as_secs();
    if !(1..=longest).contains(&remember.ttl_s.unwrap_or(1)) {
        let message = format!("must be between 1 and {longest}");
        return Err(Problem::field("remember.ttl_s", message));
    }
    if !(1..=u64::from(GRANT_USES_MAX)).contains(&remember.uses.unwrap_or(1)) {
        let message = format!("must be between 1 and {GRANT_USES_MAX}");
        return Err(Problem::field("remember.uses", message));
    }
    Ok(())
}

impl From<Remember> for grant::Remember {
    fn from(remember: Remember) -> Self {
        let uses = remember.uses.and_then(|uses| u32::try_from(uses).ok());
        Self {
            predicate: remember.predicate,
            ttl: remember.ttl_s.map_or(GRANT_TTL, Duration::from_secs),
            uses: uses.unwrap_or(GRANT_USES),
        }
    }
}

/// A decision is about the arguments that the caller saw; one that does not name them is about those that stand now.
fn decision(
    caller: &Caller<Decides>,
    asked: &approval::Approval,
    resolve: ResolveApproval,
) -> approval::Decision {
    let seen = resolve.arguments_digest;
    approval::Decision {
        choice: match resolve.decision {
            Decision::Approve => Choice::Approve,
            Decision::Deny => Choice::Deny,
            Decision::Happened => Choice::Happened {
                result: resolve.result,
            },
            Decision::Stop => Choice::Stop,
        },
        reason: resolve.reason,
        arguments: resolve.arguments,
        remember: resolve.remember.map(grant::Remember::from),
        seen: Some(seen.unwrap_or_else(|| asked.arguments_digest.clone())),
        by: caller.principal(),
    }
}
