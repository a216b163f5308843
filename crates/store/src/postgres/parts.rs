//! The parts of transitions as the arrays that the schema's functions take.

use crate::encode::Rows;
use domain::ports::store::{StoreError, StoreResult};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// One array for each column of each part, in the functions' order.
pub(super) struct Parts<'a> {
    step_index: Vec<i32>,
    step_call: Vec<Option<&'a str>>,
    step_body: Vec<&'a str>,
    log_first: Option<i64>,
    log_last: Option<i64>,
    log_body: Option<&'a str>,
    message_id: Vec<Uuid>,
    message_body: Vec<&'a str>,
    approval_id: Vec<Uuid>,
    approval_status: Vec<&'a str>,
    approval_requested: Vec<i64>,
    approval_expires: Vec<i64>,
    approval_resolved: Vec<Option<i64>>,
    approval_reason: Vec<Option<&'a str>>,
    approval_body: Vec<&'a str>,
    closed_id: Vec<Uuid>,
    closed_at: Vec<i64>,
    closed_reason: Vec<&'a str>,
    response_id: Vec<Uuid>,
    response_body: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    pub fn of(rows: &'a Rows) -> StoreResult<Self> {
        if rows.approvals.iter().any(|row| row.run != rows.run.id) {
            return Err(StoreError::Rejected("an approval of another run".into()));
        }
        let (steps, approvals, closed) = (&rows.steps, &rows.approvals, &rows.closed);
        Ok(Self {
            step_index: steps.iter().map(|row| row.step_index).collect(),
            step_call: steps.iter().map(|row| row.call_id.as_deref()).collect(),
            step_body: steps.iter().map(|row| row.body.as_str()).collect(),
            log_first: rows.log.as_ref().map(|log| log.first_seq),
            log_last: rows.log.as_ref().map(|log| log.last_seq),
            log_body: rows.log.as_ref().map(|log| log.body.as_str()),
            message_id: rows.messages.iter().map(|row| row.id).collect(),
            message_body: rows.messages.iter().map(|row| row.body.as_str()).collect(),
            approval_id: approvals.iter().map(|row| row.id).collect(),
            approval_status: approvals.iter().map(|row| row.status).collect(),
            approval_requested: approvals.iter().map(|row| row.requested_at).collect(),
            approval_expires: approvals.iter().map(|row| row.expires_at).collect(),
            approval_resolved: approvals.iter().map(|row| row.resolved_at).collect(),
            approval_reason: approvals.iter().map(|row| row.reason.as_deref()).collect(),
            approval_body: approvals.iter().map(|row| row.body.as_str()).collect(),
            closed_id: closed.iter().map(|row| row.id).collect(),
            closed_at: closed.iter().map(|row| row.at).collect(),
            closed_reason: closed.iter().map(|row| row.reason.as_str()).collect(),
            response_id: rows.responses.iter().map(|row| row.id).collect(),
            response_body: rows.responses.iter().map(|row| row.body.as_str()).collect(),
        })
    }

    pub fn params(&self) -> [&(dyn ToSql + Sync); 20] {
        [
            &self.step_index,
            &self.step_call,
            &self.step_body,
            &self.log_first,
            &self.log_last,
            &self.log_body,
            &self.message_id,
            &self.message_body,
            &self.approval_id,
            &self.approval_status,
            &self.approval_requested,
            &self.approval_expires,
            &self.approval_resolved,
            &self.approval_reason,
            &self.approval_body,
            &self.closed_id,
            &self.closed_at,
            &self.closed_reason,
            &self.response_id,
            &self.response_body,
        ]
    }
}

/// The same of many transitions: each part names its transition by its number, from 1.
#[derive(Default)]
pub(super) struct ManyParts<'a> {
    step_item: Vec<i32>,
    step_index: Vec<i32>,
    step_call: Vec<Option<&'a str>>,
    step_body: Vec<&'a str>,
    log_item: Vec<i32>,
    log_first: Vec<i64>,
    log_last: Vec<i64>,
    log_body: Vec<&'a str>,
    message_item: Vec<i32>,
    message_offset: Vec<i32>,
    message_id: Vec<Uuid>,
    message_body: Vec<&'a str>,
    approval_item: Vec<i32>,
    approval_id: Vec<Uuid>,
    approval_status: Vec<&'a str>,
    approval_requested: Vec<i64>,
    approval_expires: Vec<i64>,
    approval_resolved: Vec<Option<i64>>,
    approval_reason: Vec<Option<&'a str>>,
    approval_body: Vec<&'a str>,
    closed_item: Vec<i32>,
    closed_id: Vec<Uuid>,
    closed_at: Vec<i64>,
    closed_reason: Vec<&'a str>,
    response_item: Vec<i32>,
    response_id: Vec<Uuid>,
    response_body: Vec<&'a str>,
}

impl<'a> ManyParts<'a> {
    pub fn of(all: impl Iterator<Item = &'a Rows>) -> StoreResult<Self> {
        let mut parts = Self::default();
        for (rows, item) in all.zip(1..) {
            parts.add(item, rows)?;
        }
        Ok(parts)
    }

    fn add(&mut self, item: i32, rows: &'a Rows) -> StoreResult<()> {
        for row in &rows.steps {
            self.step_item.push(item);
            self.step_index.push(row.step_index);
            self.step_call.push(row.call_id.as_deref());
            self.step_body.push(&row.body);
        }
        if let Some(row) = &rows.log {
            self.log_item.push(item);
            self.log_first.push(row.first_seq);
            self.log_last.push(row.last_seq);
            self.log_body.push(&row.body);
        }
        if rows.run.thread.is_some() {
            for (row, offset) in rows.messages.iter().zip(0..) {
                self.message_item.push(item);
                self.message_offset.push(offset);
                self.message_id.push(row.id);
                self.message_body.push(&row.body);
            }
        }
        for row in &rows.approvals {
            if row.run != rows.run.id {
                return Err(StoreError::Rejected("an approval of another run".into()));
            }
            self.approval_item.push(item);
            self.approval_id.push(row.id);
            self.approval_status.push(row.status);
            self.approval_requested.push(row.requested_at);
            self.approval_expires.push(row.expires_at);
            self.approval_resolved.push(row.resolved_at);
            self.approval_reason.push(row.reason.as_deref());
            self.approval_body.push(&row.body);
        }
        for row in &rows.closed {
            self.closed_item.push(item);
            self.closed_id.push(row.id);
            self.closed_at.push(row.at);
            self.closed_reason.push(&row.reason);
        }
        for row in &rows.responses {
            self.response_item.push(item);
            self.response_id.push(row.id);
            self.response_body.push(&row.body);
        }
        Ok(())
    }

    pub fn params(&self) -> [&(dyn ToSql + Sync); 27] {
        [
            &self.step_item,
            &self.step_index,
            &self.step_call,
            &self.step_body,
            &self.log_item,
            &self.log_first,
            &self.log_last,
            &self.log_body,
            &self.message_item,
            &self.message_offset,
            &self.message_id,
            &self.message_body,
            &self.approval_item,
            &self.approval_id,
            &self.approval_status,
            &self.approval_requested,
            &self.approval_expires,
            &self.approval_resolved,
            &self.approval_reason,
            &self.approval_body,
            &self.closed_item,
            &self.closed_id,
            &self.closed_at,
            &self.closed_reason,
            &self.response_item,
            &self.response_id,
            &self.response_body,
        ]
    }
}
