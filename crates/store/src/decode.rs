//! From stored values to the domain's. A value that this program does not write is `Corrupt`, never a default.

use domain::approval::{Approval, ApprovalStatus};
use domain::audit::{Head, Link};
use domain::event::Record;
use domain::grant::Grant;
use domain::kept::KeptId;
use domain::key::{Key, KeyDigest, Role};
use domain::pin::{OtherOffer, ToolPin};
use domain::ports::store::{StoreError, StoreResult};
use domain::run::{Run, RunStatus};
use domain::thread::{Thread, ThreadStatus};
use domain::webhook::{Delivery, DeliveryState, Posted, Topic};
use domain::{KeyId, OrgId, RunId, ThreadId, Timestamp};
use serde::de::DeserializeOwned;
use std::error::Error;
use uuid::Uuid;

/// A column of a table, for the error that names it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column(pub &'static str, pub &'static str);

impl Column {
    pub fn corrupt(self, id: impl ToString) -> StoreError {
        self.corrupt_by(id, None)
    }

    fn corrupt_by(
        self,
        id: impl ToString,
        source: Option<Box<dyn Error + Send + Sync>>,
    ) -> StoreError {
        StoreError::Corrupt {
            table: self.0,
            column: self.1,
            id: id.to_string(),
            source,
        }
    }
}

pub(crate) fn json<T: DeserializeOwned>(
    column: Column,
    id: impl ToString,
    text: &str,
) -> StoreResult<T> {
    serde_json::from_str(text).map_err(|error| column.corrupt_by(id, Some(Box::new(error))))
}

pub(crate) fn unsigned(column: Column, id: impl ToString, value: i64) -> StoreResult<u64> {
    u64::try_from(value).map_err(|error| column.corrupt_by(id, Some(Box::new(error))))
}

pub(crate) fn org(column: Column, text: &str) -> StoreResult<OrgId> {
    OrgId::new(text).map_err(|error| column.corrupt_by(text, Some(Box::new(error))))
}

pub(crate) fn run_status(id: impl ToString, text: &str) -> StoreResult<RunStatus> {
    RunStatus::ALL
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| Column("runs", "status").corrupt(id))
}

pub(crate) fn approval_status(id: impl ToString, text: &str) -> StoreResult<ApprovalStatus> {
    const ALL: [ApprovalStatus; 5] = [
        ApprovalStatus::Pending,
        ApprovalStatus::Approved,
        ApprovalStatus::Denied,
        ApprovalStatus::Expired,
        ApprovalStatus::Cancelled,
    ];
    ALL.into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| Column("approvals", "status").corrupt(id))
}

/// A message's columns.
pub(crate) struct PostedRow {
    pub seq: i64,
    pub org: String,
    pub id: Uuid,
    pub endpoint: String,
    pub topic: String,
    pub body: String,
    pub created_at: i64,
    pub state: String,
    pub attempts: i32,
    pub due_at: i64,
    pub last_error: Option<String>,
    pub delivered_at: Option<i64>,
}

impl TryFrom<PostedRow> for Posted {
    type Error = StoreError;

    fn try_from(row: PostedRow) -> StoreResult<Self> {
        let column = |name| Column("webhook_deliveries", name);
        let topic = Topic::ALL
            .into_iter()
            .find(|topic| topic.as_str() == row.topic);
        let state = DeliveryState::ALL
            .into_iter()
            .find(|state| state.as_str() == row.state);
        Ok(Self {
            seq: unsigned(column("seq"), row.id, row.seq)?,
            org: org(column("org"), &row.org)?,
            delivery: Delivery {
                id: row.id,
                endpoint: row.endpoint,
                topic: topic.ok_or_else(|| column("topic").corrupt(row.id))?,
                body: row.body,
                at: Timestamp::from_micros(row.created_at),
            },
            state: state.ok_or_else(|| column("state").corrupt(row.id))?,
            attempts: row.attempts.unsigned_abs(),
            due_at: Timestamp::from_micros(row.due_at),
            last_error: row.last_error,
            delivered_at: row.delivered_at.map(Timestamp::from_micros),
        })
    }
}

/// A link's columns.
pub(crate) fn link(seq: i64, body: String, hash: Vec<u8>) -> StoreResult<Link> {
    Ok(Link {
        seq: unsigned(Column("audit_log", "seq"), seq, seq)?,
        body,
        hash: digest(Column("audit_log", "hash"), seq, hash)?,
    })
}

pub(crate) fn head(seq: i64, hash: Vec<u8>) -> StoreResult<Option<Head>> {
    let column = Column("audit_heads", "seq");
    let head = Head {
        seq: unsigned(column, seq, seq)?,
        hash: digest(Column("audit_heads", "hash"), seq, hash)?,
    };
    Ok((head.seq > 0).then_some(head))
}

fn digest(column: Column, id: i64, bytes: Vec<u8>) -> StoreResult<[u8; 32]> {
    bytes.try_into().map_err(|_| column.corrupt(id))
}

/// A key's columns.
pub(crate) struct KeyRow {
    pub org: String,
    pub id: Uuid,
    pub name: String,
    pub role: String,
    pub digest: Vec<u8>,
    pub session: Option<Uuid>,
    pub created_at: i64,
    pub expires_at: Option<i64>,
    pub revoked_at: Option<i64>,
    pub last_used_at: Option<i64>,
}

impl TryFrom<KeyRow> for Key {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> StoreResult<Self> {
        let role = Role::ALL
            .into_iter()
            .find(|role| role.as_str() == row.role)
            .ok_or_else(|| Column("api_keys", "role").corrupt(row.id))?;
        let digest = <[u8; 32]>::try_from(row.digest.as_slice())
            .map_err(|_| Column("api_keys", "digest").corrupt(row.id))?;
        Ok(Self {
            org: org(Column("api_keys", "org"), &row.org)?,
            id: KeyId::new(row.id),
            name: row.name,
            role,
            digest: KeyDigest(digest),
            session: row.session.map(RunId::new),
            created_at: Timestamp::from_micros(row.created_at),
            expires_at: row.expires_at.map(Timestamp::from_micros),
            revoked_at: row.revoked_at.map(Timestamp::from_micros),
            last_used_at: row.last_used_at.map(Timestamp::from_micros),
        })
    }
}

/// A secret that is there already: fine if it opens the same, as when two replicas make the first key at once.
pub(crate) fn same_key(new: &Key, found: Option<Key>) -> StoreResult<()> {
    match found {
        Some(found) if found.org == new.org && found.role == new.role => Ok(()),
        _ => Err(StoreError::Rejected(
            "the secret is that of another key".into(),
        )),
    }
}

/// A thread's columns with its active run's status.
pub(crate) struct ThreadRow {
    pub id: Uuid,
    pub agent_type: String,
    pub title: Option<String>,
    pub metadata: String,
    pub active_run: Option<Uuid>,
    pub active_status: Option<String>,
    pub message_count: i64,
    pub last_message_preview: Option<String>,
    pub created_at: i64,
    pub updated_at: i64,
}

impl TryFrom<ThreadRow> for Thread {
    type Error = StoreError;

    fn try_from(row: ThreadRow) -> StoreResult<Self> {
        let status = match &row.active_status {
            None => ThreadStatus::Idle,
            Some(text) => match run_status(row.id, text)? {
                RunStatus::Queued | RunStatus::Running => ThreadStatus::Busy,
                RunStatus::AwaitingApproval => ThreadStatus::AwaitingApproval,
                RunStatus::Completed | RunStatus::Failed | RunStatus::Cancelled => {
                    return Err(Column("chat_threads", "active_run").corrupt(row.id));
                }
            },
        };
        let count = Column("chat_threads", "message_count");
        Ok(Self {
            id: ThreadId::new(row.id),
            agent_type: row.agent_type,
            title: row.title,
            metadata: json(Column("chat_threads", "metadata"), row.id, &row.metadata)?,
            status,
            active_run: row.active_run.map(RunId::new),
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            message_count: u32::try_from(row.message_count).map_err(|_| count.corrupt(row.id))?,
            last_message_preview: row.last_message_preview,
        })
    }
}

/// A run's body, and the columns that overrule it.
pub(crate) struct RunBody {
    pub id: Uuid,
    pub body: String,
    pub epoch: i64,
    pub version: i64,
    pub hold: Option<String>,
}

impl TryFrom<RunBody> for Run {
    type Error = StoreError;

    fn try_from(row: RunBody) -> StoreResult<Self> {
        let mut run: Self = json(Column("runs", "body"), row.id, &row.body)?;
        run.epoch = unsigned(Column("runs", "epoch"), row.id, row.epoch)?;
        run.version = unsigned(Column("runs", "version"), row.id, row.version)?;
        let hold = row.hold.as_deref();
        let hold = hold.map(|text| json(Column("runs", "hold"), row.id, text));
        run.hold = hold.transpose()?;
        Ok(run)
    }
}

/// An approval's body, and the columns that overrule it.
pub(crate) struct ApprovalBody {
    pub id: Uuid,
    pub status: String,
    pub resolved_at: Option<i64>,
    pub reason: Option<String>,
    pub body: String,
}

impl TryFrom<ApprovalBody> for Approval {
    type Error = StoreError;

    fn try_from(row: ApprovalBody) -> StoreResult<Self> {
        let mut approval: Self = json(Column("approvals", "body"), row.id, &row.body)?;
        approval.status = approval_status(row.id, &row.status)?;
        approval.resolved_at = row.resolved_at.map(Timestamp::from_micros);
        approval.reason = row.reason;
        Ok(approval)
    }
}

/// A grant's body, and the columns that overrule it.
pub(crate) struct GrantBody {
    pub id: Uuid,
    pub used: i64,
    pub revoked_at: Option<i64>,
    pub revoked_by: Option<String>,
    pub body: String,
}

impl TryFrom<GrantBody> for Grant {
    type Error = StoreError;

    fn try_from(row: GrantBody) -> StoreResult<Self> {
        let mut grant: Self = json(Column("grants", "body"), row.id, &row.body)?;
        let used = Column("grants", "used");
        grant.used = u32::try_from(row.used).map_err(|_| used.corrupt(row.id))?;
        grant.revoked_at = row.revoked_at.map(Timestamp::from_micros);
        let by = row.revoked_by.as_deref();
        let by = by.map(|text| json(Column("grants", "revoked_by"), row.id, text));
        grant.revoked_by = by.transpose()?;
        Ok(grant)
    }
}

/// Adds a log row's records above `after` to `found`, at most up to `limit` records in all.
pub(crate) fn records(
    found: &mut Vec<Record>,
    run: RunId,
    body: &str,
    after: u64,
    limit: usize,
) -> StoreResult<()> {
    let records: Vec<Record> = json(Column("run_log", "body"), run, body)?;
    let room = limit.saturating_sub(found.len());
    let above = records
        .into_iter()
        .filter(|record| record.last_seq() > after);
    found.extend(above.take(room));
    Ok(())
}

/// A row of `tool_pins` as both databases give it.
pub(crate) struct PinRow {
    pub server: String,
    pub tool: String,
    pub digest: String,
    pub definition: String,
    pub pinned_at: i64,
    pub offered_digest: Option<String>,
    pub offered: Option<String>,
    pub offered_at: Option<i64>,
}

impl TryFrom<PinRow> for ToolPin {
    type Error = StoreError;

    fn try_from(row: PinRow) -> StoreResult<Self> {
        let offered = match (row.offered_digest, row.offered, row.offered_at) {
            (Some(digest), Some(offer), Some(seen_at)) => Some(OtherOffer {
                offer: json(Column("tool_pins", "offered"), &row.tool, &offer)?,
                digest,
                seen_at: Timestamp::from_micros(seen_at),
            }),
            (None, None, None) => None,
            _ => return Err(Column("tool_pins", "offered_at").corrupt(&row.tool)),
        };
        Ok(Self {
            trusted: json(
                Column("tool_pins", "definition"),
                &row.tool,
                &row.definition,
            )?,
            server: row.server,
            digest: row.digest,
            pinned_at: Timestamp::from_micros(row.pinned_at),
            offered,
        })
    }
}

/// The id of a kept result.
pub(crate) fn kept_id(text: &str) -> StoreResult<KeptId> {
    text.parse()
        .map_err(|error| Column("tool_results", "id").corrupt_by(text, Some(Box::new(error))))
}
