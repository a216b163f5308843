//! What a transition leaves in the tables, as plain values. Made on the caller's thread, so that a writer only copies
//! bytes. It knows columns, but neither database.

use domain::approval::{Approval, ApprovalStatus};
use domain::event::Record;
use domain::grant::Grant;
use domain::limits::PREVIEW_CHARS_MAX;
use domain::message::{Message, Role};
use domain::ports::store::{StoreError, StoreResult};
use domain::run::{ClosedApproval, Next, Run, RunKind, Transition};
use domain::seeded::Seeded;
use domain::step::{Step, StepKind};
use domain::webhook::Delivery;
use domain::{OrgScope, Timestamp};
use serde::Serialize;
use uuid::Uuid;

/// A transition as rows.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub run: RunRow,
    pub steps: Vec<StepRow>,
    pub log: Option<LogRow>,
    pub messages: Vec<MessageRow>,
    /// For the thread's list entry; `None` where no message has text to show.
    pub preview: Option<String>,
    pub approvals: Vec<ApprovalRow>,
    pub closed: Vec<ClosedRow>,
    pub responses: Vec<ResponseRow>,
    pub grants: Vec<GrantRow>,
    pub grant_uses: Vec<GrantUseRow>,
    /// Entries of the org's audit, as they are hashed.
    pub audit: Vec<String>,
    pub posts: Vec<PostRow>,
}

/// A message for the outbox.
#[derive(Debug, Clone)]
pub(crate) struct PostRow {
    pub id: Uuid,
    pub endpoint: String,
    pub topic: &'static str,
    pub body: String,
    pub at: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct RunRow {
    pub org: String,
    pub id: Uuid,
    pub thread: Option<Uuid>,
    pub agent_type: String,
    pub agent_version: String,
    pub status: &'static str,
    /// A worker could go on with it, as far as the run itself can tell: a queued run may still wait for its thread.
    pub runnable: bool,
    pub queued: bool,
    pub terminal: bool,
    pub epoch: i64,
    pub version: i64,
    pub body: String,
    /// Of a session at work.
    pub expires_at: Option<i64>,
    pub created_at: i64,
    /// When the transition happened; `created_at` if nothing in it tells.
    pub at: i64,
}

#[derive(Debug, Clone)]
pub(crate) struct StepRow {
    pub step_index: i32,
    pub call_id: Option<String>,
    pub body: String,
}

#[derive(Debug, Clone)]
pub(crate) struct LogRow {
    pub first_seq: i64,
    pub last_seq: i64,
    pub body: String,
}

#[derive(Debug, Clone)]
pub(crate) struct MessageRow {
    pub id: Uuid,
    pub body: String,
}

#[derive(Debug, Clone)]
pub(crate) struct ApprovalRow {
    pub id: Uuid,
    pub run: Uuid,
    pub status: &'static str,
    pub requested_at: i64,
    pub expires_at: i64,
    pub resolved_at: Option<i64>,
    pub reason: Option<String>,
    pub body: String,
}

#[derive(Debug, Clone)]
pub(crate) struct ClosedRow {
    pub id: Uuid,
    pub at: i64,
    pub reason: String,
}

#[derive(Debug, Clone)]
pub(crate) struct ResponseRow {
    pub id: Uuid,
    pub body: String,
}

#[derive(Debug, Clone)]
pub(crate) struct GrantRow {
    pub id: Uuid,
    pub agent_type: String,
    pub tool_name: String,
    pub tool_version: String,
    pub created_at: i64,
    pub expires_at: i64,
    pub uses_max: i64,
    pub body: String,
}

#[derive(Debug, Clone)]
pub(crate) struct GrantUseRow {
    pub grant: Uuid,
    pub step_index: i32,
    pub at: i64,
    pub body: String,
}

impl Rows {
    /// The org is the scope's: a run of another org can be given, but never written there.
    pub fn of(scope: &OrgScope, transition: &Transition) -> StoreResult<Self> {
        let run = &transition.run;
        let (approvals, closed) = approvals(transition)?;
        Ok(Self {
            run: run_row(scope, run, happened_at(transition))?,
            steps: steps(&transition.steps)?,
            log: log(&transition.records)?,
            messages: messages(&transition.messages)?,
            preview: preview(&transition.messages),
            approvals,
            closed,
            responses: responses(transition)?,
            grants: transition
                .grants
                .iter()
                .map(grant)
                .collect::<StoreResult<_>>()?,
            grant_uses: grant_uses(transition)?,
            audit: transition
                .audit
                .iter()
                .map(json)
                .collect::<StoreResult<_>>()?,
            posts: transition
                .deliveries
                .iter()
                .filter(|_| !Seeded::OutboxLost.is_on())
                .map(post)
                .collect(),
        })
    }
}

fn post(delivery: &Delivery) -> PostRow {
    PostRow {
        id: delivery.id,
        endpoint: delivery.endpoint.clone(),
        topic: delivery.topic.as_str(),
        body: delivery.body.clone(),
        at: delivery.at.as_micros(),
    }
}

pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreError::Rejected(Box::new(error)))
}

/// What stands beside a run's body while it is kept from going on.
pub(crate) fn hold(run: &Run) -> StoreResult<Option<String>> {
    run.hold.as_ref().map(json).transpose()
}

fn run_row(scope: &OrgScope, run: &Run, at: Option<Timestamp>) -> StoreResult<RunRow> {
    let status = run.status();
    let (runnable, queued) = match run.next() {
        Next::Start => (true, true),
        Next::Judge | Next::CallModel(_) | Next::Dispatch(_) | Next::AwaitTools(_) => (true, false),
        Next::AwaitApproval | Next::AwaitClient | Next::Ended => (false, false),
    };
    Ok(RunRow {
        org: scope.org().as_str().to_owned(),
        id: run.id.uuid(),
        thread: run.thread_id().map(|id| id.uuid()),
        agent_type: run.agent_type.clone(),
        agent_version: run.agent_version.clone(),
        status: status.as_str(),
        runnable,
        queued,
        terminal: status.is_terminal(),
        epoch: run.epoch.cast_signed(),
        version: run.version.cast_signed(),
        body: json(run)?,
        expires_at: match &run.kind {
            RunKind::Session { expires_at, .. } if !status.is_terminal() => {
                Some(expires_at.as_micros())
            }
            RunKind::Session { .. } | RunKind::Thread { .. } => None,
        },
        created_at: run.created_at.as_micros(),
        at: at.unwrap_or(run.created_at).as_micros(),
    })
}

/// A transition does not carry its time, but what it writes does.
fn happened_at(transition: &Transition) -> Option<Timestamp> {
    let event = transition
        .records
        .iter()
        .rev()
        .find_map(|record| match record {
            Record::Event(event) => Some(event.at),
            Record::Deltas(_) => None,
        });
    let message = || transition.messages.last().map(|message| message.created_at);
    let step = || {
        let last = transition.steps.last()?;
        Some(last.completed_at.unwrap_or(last.started_at))
    };
    event.or_else(message).or_else(step)
}

/// One row for each step: a later entry of the same commit replaces an earlier one.
fn steps(steps: &[Step]) -> StoreResult<Vec<StepRow>> {
    let mut rows: Vec<StepRow> = Vec::with_capacity(steps.len());
    for step in steps {
        let step_index = step.step_index.cast_signed();
        let call = step
            .call
            .as_ref()
            .filter(|_| step.kind == StepKind::ToolCall);
        let row = StepRow {
            step_index,
            call_id: call.map(|call| call.id.as_str().to_owned()),
            body: json(step)?,
        };
        match rows.iter_mut().find(|row| row.step_index == step_index) {
            Some(earlier) => *earlier = row,
            None => rows.push(row),
        }
    }
    Ok(rows)
}

fn log(records: &[Record]) -> StoreResult<Option<LogRow>> {
    let (Some(first), Some(last)) = (records.first(), records.last()) else {
        return Ok(None);
    };
    Ok(Some(LogRow {
        first_seq: first.first_seq().cast_signed(),
        last_seq: last.last_seq().cast_signed(),
        body: json(records)?,
    }))
}

fn messages(messages: &[Message]) -> StoreResult<Vec<MessageRow>> {
    let row = |message: &Message| -> StoreResult<MessageRow> {
        Ok(MessageRow {
            id: message.id.uuid(),
            body: json(message)?,
        })
    };
    messages.iter().map(row).collect()
}

fn preview(messages: &[Message]) -> Option<String> {
    messages
        .iter()
        .rev()
        .filter(|message| match message.role {
            Role::User | Role::Assistant => true,
            Role::Tool | Role::System => false,
        })
        .map(|message| message.content.preview(PREVIEW_CHARS_MAX))
        .find(|text| !text.trim().is_empty())
}

/// Whole approvals, and those of earlier commits that only end. One that the same commit makes and ends is written once.
fn approvals(transition: &Transition) -> StoreResult<(Vec<ApprovalRow>, Vec<ClosedRow>)> {
    let mut whole: Vec<Approval> = Vec::with_capacity(transition.approvals.len());
    for approval in &transition.approvals {
        match whole.iter_mut().find(|earlier| earlier.id == approval.id) {
            Some(earlier) => *earlier = approval.clone(),
            None => whole.push(approval.clone()),
        }
    }
    let mut closed = Vec::new();
    for ClosedApproval { id, at, reason } in &transition.closed {
        match whole.iter_mut().find(|approval| approval.id == *id) {
            Some(approval) if approval.status == ApprovalStatus::Pending => {
                approval.status = ApprovalStatus::Cancelled;
                approval.resolved_at = Some(*at);
                approval.reason = Some(reason.clone());
            }
            Some(_) => {}
            None => closed.push(ClosedRow {
                id: id.uuid(),
                at: at.as_micros(),
                reason: reason.clone(),
            }),
        }
    }
    let rows: StoreResult<Vec<ApprovalRow>> = whole.iter().map(approval_row).collect();
    Ok((rows?, closed))
}

fn approval_row(approval: &Approval) -> StoreResult<ApprovalRow> {
    Ok(ApprovalRow {
        id: approval.id.uuid(),
        run: approval.run_id.uuid(),
        status: approval.status.as_str(),
        requested_at: approval.requested_at.as_micros(),
        expires_at: approval.expires_at.as_micros(),
        resolved_at: approval.resolved_at.map(Timestamp::as_micros),
        reason: approval.reason.clone(),
        body: json(approval)?,
    })
}

fn responses(transition: &Transition) -> StoreResult<Vec<ResponseRow>> {
    let mut rows = Vec::with_capacity(transition.responses.len());
    for response in &transition.responses {
        if response.session != transition.run.id {
            return Err(StoreError::Rejected("a response of another session".into()));
        }
        rows.push(ResponseRow {
            id: response.id.uuid(),
            body: json(response)?,
        });
    }
    Ok(rows)
}

fn grant(grant: &Grant) -> StoreResult<GrantRow> {
    Ok(GrantRow {
        id: grant.id.uuid(),
        agent_type: grant.agent_type.clone(),
        tool_name: grant.tool_name.clone(),
        tool_version: grant.tool_version.clone(),
        created_at: grant.created_at.as_micros(),
        expires_at: grant.expires_at.as_micros(),
        uses_max: grant.uses_max.into(),
        body: json(grant)?,
    })
}

fn grant_uses(transition: &Transition) -> StoreResult<Vec<GrantUseRow>> {
    let mut rows = Vec::with_capacity(transition.grant_uses.len());
    for used in &transition.grant_uses {
        if used.run_id != transition.run.id {
            return Err(StoreError::Rejected("a use by another run".into()));
        }
        rows.push(GrantUseRow {
            grant: used.grant_id.uuid(),
            step_index: used.step_index.cast_signed(),
            at: used.at.as_micros(),
            body: json(used)?,
        });
    }
    Ok(rows)
}
