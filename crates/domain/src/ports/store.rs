//! The store, in words of the product. Each method is one transaction: when it returns `Ok`, what it says is on disk.
//! No connection, row or query crosses this seam. Methods that cross orgs begin with `system_`.

pub use super::fault::{StoreError, StoreResult};
pub use super::grants::GrantStore;
pub use super::holds::HoldStore;
pub use super::logins::LoginStore;
pub use super::record::{AuditStore, OutboxStore};
pub use super::workers::{Claimed, HeldRun, WorkerStore};
use crate::agent::Agent;
use crate::approval::{Approval, ApprovalStatus};
use crate::audit::Entry;
use crate::budget::{Exhausted, Reservation, Spend};
use crate::event::Record;
use crate::gate::GateCase;
use crate::kept::{KeptId, KeptResult};
use crate::key::{Key, KeyDigest};
use crate::message::Message;
use crate::pin::{ToolOffer, ToolPin};
use crate::response::{Response, ResponseId};
use crate::run::{Run, RunStatus, Transition};
use crate::step::{LateAnswer, Step};
use crate::thread::{Thread, ThreadPatch};
use crate::usage::{UsagePoint, UsageQuery};
use crate::{ApprovalId, CallId, KeyId, OrgId, OrgScope, RunId, ThreadId, Timestamp, WorkerId};

use async_trait::async_trait;
use uuid::Uuid;

/// A page of a list that is ordered by time, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// 1..=`limits::PAGE_MAX`.
    pub limit: u32,
    /// Continue below this (time, id).
    pub below: Option<(Timestamp, Uuid)>,
}

/// A write that may be asked for twice. Unique per org, route and key for 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    pub route: String,
    pub key: String,
    /// BLAKE3 of the request body.
    pub body_digest: [u8; 32],
}

/// What is known of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The same request was answered so.
    Answered(StoredReply),
    /// The same key came with another body.
    OtherBody,
    InProgress,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReply {
    pub status: u16,
    pub body: Vec<u8>,
    /// The thread or run that the request made, where the answer is made anew from it.
    pub resource: Option<Uuid>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateThread {
    Created,
    Seen(Seen),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeleteThread {
    Deleted,
    Missing,
    /// The thread has a run that is not over.
    Busy(RunId),
}

/// A run to be created on a thread, or as a session.
#[derive(Debug, Clone)]
pub struct CreateRun {
    /// What is committed when nothing stands in the way: the run, begun.
    pub started: Transition,
    /// What is committed when the thread is busy and the caller is content to wait.
    pub queued: Option<Transition>,
    pub worker: WorkerId,
    pub idempotency: Option<Idempotency>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedRun {
    /// `history` is the thread's message count with this run's input.
    Started {
        history: u32,
    },
    Queued,
    /// The thread's active run; nothing was written.
    Busy {
        run_id: RunId,
        status: RunStatus,
    },
    /// `limits::QUEUED_PER_THREAD_MAX` runs wait already.
    QueueFull,
    /// No such thread in this org, or of another agent type.
    NoThread,
    Seen(Seen),
}

/// The state of the run that a commit was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    pub epoch: u64,
    pub version: u64,
}

/// Who holds the run after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Unchanged,
    Worker(WorkerId),
    Nobody,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The run that waited on this one's thread and may start now.
    pub promoted: Option<RunId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    pub status: Option<RunStatus>,
    pub agent_type: Option<String>,
    pub thread: Option<ThreadId>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionFilter {
    pub status: Option<RunStatus>,
    pub agent_type: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovalFilter {
    pub status: Option<ApprovalStatus>,
    pub run: Option<RunId>,
}

#[async_trait]
pub trait KeyStore: Send + Sync {
    /// Inserts the key, and its org if that is new. For tokens of sessions, of which nothing is recorded: they come by the
    /// thousand and open one session each.
    async fn insert_key(&self, scope: &OrgScope, key: &Key) -> StoreResult<()>;
    /// As `insert_key`, recorded in the org's audit.
    async fn create_key(&self, scope: &OrgScope, key: &Key, entry: &Entry) -> StoreResult<()>;
    /// As `create_key`, where no key of role `owner` exists; false where one does. Of servers that ask at the same moment
    /// one is told true.
    async fn system_create_first_owner(&self, key: &Key, entry: &Entry) -> StoreResult<bool>;
    /// Newest first, revoked ones included; without the tokens of sessions.
    async fn list_keys(&self, scope: &OrgScope) -> StoreResult<Vec<Key>>;
    /// False if there is no such key. Revoking twice keeps the first time, and is recorded once.
    async fn revoke_key(
        &self,
        scope: &OrgScope,
        id: KeyId,
        at: Timestamp,
        entry: &Entry,
    ) -> StoreResult<bool>;
    /// Revokes the live tokens of a session; those that it ended by this.
    async fn revoke_session_keys(
        &self,
        scope: &OrgScope,
        session: RunId,
        at: Timestamp,
    ) -> StoreResult<Vec<KeyId>>;
    /// Forgets tokens of sessions that expired before then; how many there were.
    async fn system_sweep_session_keys(&self, before: Timestamp) -> StoreResult<u64>;
    async fn system_find_key(&self, digest: &KeyDigest) -> StoreResult<Option<Key>>;
    async fn system_touch_keys(&self, used: &[(OrgId, KeyId, Timestamp)]) -> StoreResult<()>;
    /// True once any key of role `owner` exists.
    async fn system_has_owner(&self) -> StoreResult<bool>;
}

#[async_trait]
pub trait ThreadStore: Send + Sync {
    async fn create_thread(
        &self,
        scope: &OrgScope,
        thread: &Thread,
        idempotency: Option<&Idempotency>,
    ) -> StoreResult<CreateThread>;
    async fn get_thread(&self, scope: &OrgScope, id: ThreadId) -> StoreResult<Option<Thread>>;
    /// By `updated_at`, then id, descending.
    async fn list_threads(
        &self,
        scope: &OrgScope,
        agent_type: Option<&str>,
        page: Page,
    ) -> StoreResult<Vec<Thread>>;
    /// `None` if there is no such thread.
    async fn update_thread(
        &self,
        scope: &OrgScope,
        id: ThreadId,
        patch: &ThreadPatch,
        at: Timestamp,
    ) -> StoreResult<Option<Thread>>;
    /// With its messages, runs, steps and logs.
    async fn delete_thread(&self, scope: &OrgScope, id: ThreadId) -> StoreResult<DeleteThread>;
    /// The whole history, oldest first; empty if there is no such thread.
    async fn thread_messages(&self, scope: &OrgScope, id: ThreadId) -> StoreResult<Vec<Message>>;
    /// Creates `thread` with copies of the first `thread.message_count` messages of `source`. False if there is no
    /// `source`; then nothing was written.
    async fn fork_thread(
        &self,
        scope: &OrgScope,
        source: ThreadId,
        thread: &Thread,
    ) -> StoreResult<bool>;
}

#[async_trait]
pub trait RunStore: Send + Sync {
    async fn create_run(&self, scope: &OrgScope, create: &CreateRun) -> StoreResult<CreatedRun>;
    /// Commits a transition if the run is still as `expected`, else `Stale`. When the run ends, its thread goes to the
    /// run that waited longest. Everything of the transition and the thread's own row change in the one transaction.
    async fn commit_run(
        &self,
        scope: &OrgScope,
        transition: &Transition,
        expected: Expected,
        holder: Holder,
    ) -> StoreResult<Committed>;
    async fn get_run(&self, scope: &OrgScope, id: RunId) -> StoreResult<Option<Run>>;
    /// By `step_index`.
    async fn run_steps(&self, scope: &OrgScope, id: RunId) -> StoreResult<Vec<Step>>;
    /// The newest tool-call step with this call id.
    async fn find_call(
        &self,
        scope: &OrgScope,
        id: RunId,
        call: &CallId,
    ) -> StoreResult<Option<Step>>;
    /// Keeps a late answer beside the run, whose state and log stay as they are. The first of an attempt stays; of a run that
    /// is not there nothing is kept.
    async fn attach_late_answer(
        &self,
        scope: &OrgScope,
        id: RunId,
        late: &LateAnswer,
    ) -> StoreResult<()>;
    /// By when they came.
    async fn late_answers(&self, scope: &OrgScope, id: RunId) -> StoreResult<Vec<LateAnswer>>;
    /// By `created_at`, then id, descending.
    async fn list_runs(
        &self,
        scope: &OrgScope,
        filter: &RunFilter,
        page: Page,
    ) -> StoreResult<Vec<Run>>;
    /// Log records that hold an event numbered above `after`, in order; at most about `limit` records, fewer only at
    /// the log's end. A record may begin at or before `after`.
    async fn read_log(
        &self,
        scope: &OrgScope,
        id: RunId,
        after: u64,
        limit: u32,
    ) -> StoreResult<Vec<Record>>;
    /// Deletes at most `limit` runs that ended before `before`, with their steps, logs, approvals and responses; how many
    /// there were. Their messages stay with the thread.
    async fn system_delete_old_runs(&self, before: Timestamp, limit: u32) -> StoreResult<u64>;
}

#[async_trait]
pub trait ApprovalStore: Send + Sync {
    async fn get_approval(&self, scope: &OrgScope, id: ApprovalId)
    -> StoreResult<Option<Approval>>;
    /// By `requested_at`, then id, descending.
    async fn list_approvals(
        &self,
        scope: &OrgScope,
        filter: &ApprovalFilter,
        page: Page,
    ) -> StoreResult<Vec<Approval>>;
    /// Pending approvals whose time is over; of a run on hold only after it is let go.
    async fn system_due_approvals(
        &self,
        at: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<(OrgId, ApprovalId)>>;
}

#[async_trait]
pub trait BudgetStore: Send + Sync {
    /// Takes the amount from every subject's day, or from none of them if one would pass a ceiling.
    async fn reserve_budget(
        &self,
        scope: &OrgScope,
        reservation: &Reservation,
    ) -> StoreResult<Option<Exhausted>>;
    /// Puts what was used in the place of what a reservation took.
    async fn settle_budget(
        &self,
        scope: &OrgScope,
        reservation: &Reservation,
        used: Spend,
    ) -> StoreResult<()>;
}

#[async_trait]
pub trait SessionStore: Send + Sync {
    /// A response of this session; `None` also for one of another session.
    async fn get_response(
        &self,
        scope: &OrgScope,
        session: RunId,
        id: ResponseId,
    ) -> StoreResult<Option<Response>>;
    /// Client-side sessions by `created_at`, then id, descending.
    async fn list_sessions(
        &self,
        scope: &OrgScope,
        filter: &SessionFilter,
        page: Page,
    ) -> StoreResult<Vec<Run>>;
    /// Sessions at work whose time is over; one on hold only after it is let go.
    async fn system_due_sessions(
        &self,
        at: Timestamp,
        limit: u32,
    ) -> StoreResult<Vec<(OrgId, RunId)>>;
}

#[async_trait]
pub trait AgentStore: Send + Sync {
    /// Keeps a definition for the runs that begin with it. Does nothing if it is there.
    async fn system_put_agent(&self, agent: &Agent) -> StoreResult<()>;
    async fn system_get_agent(&self, agent_type: &str, version: &str)
    -> StoreResult<Option<Agent>>;
}

/// Decisions of intent gates that people overruled.
#[async_trait]
pub trait GateStore: Send + Sync {
    /// Replaces what was said of the same step before.
    async fn put_gate_case(&self, scope: &OrgScope, case: &GateCase) -> StoreResult<()>;
    /// The newest first.
    async fn list_gate_cases(
        &self,
        scope: &OrgScope,
        agent_type: &str,
        limit: u32,
    ) -> StoreResult<Vec<GateCase>>;
}

#[async_trait]
pub trait IdempotencyStore: Send + Sync {
    /// `None`: the caller is the first, or the first was begun by a worker whose lease is over. It must end with
    /// `finish_idempotent` or `drop_idempotent` for the same worker, whose lease it stands under until then.
    async fn begin_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
        worker: WorkerId,
        at: Timestamp,
    ) -> StoreResult<Option<Seen>>;
    /// False if the request is no longer this worker's to answer.
    async fn finish_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
        worker: WorkerId,
        reply: &StoredReply,
    ) -> StoreResult<bool>;
    /// Does nothing if the request is no longer this worker's.
    async fn drop_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
        worker: WorkerId,
    ) -> StoreResult<()>;
    /// Looks without beginning.
    async fn find_idempotent(
        &self,
        scope: &OrgScope,
        key: &Idempotency,
    ) -> StoreResult<Option<Seen>>;
    async fn system_sweep_idempotent(&self, before: Timestamp) -> StoreResult<u64>;
}

/// What is trusted of the tools that other servers offer. They are the operator's, not an org's.
#[async_trait]
pub trait PinStore: Send + Sync {
    /// Tells what a server offers now, and returns what is trusted of it. A definition that was never seen is trusted
    /// from now on; one that differs from the trusted one is noted beside it; tools that are not offered stay as they are.
    async fn system_see_tools(
        &self,
        server: &str,
        offers: &[ToolOffer],
        at: Timestamp,
    ) -> StoreResult<Vec<ToolPin>>;
    /// By server and tool.
    async fn system_tool_pins(&self) -> StoreResult<Vec<ToolPin>>;
    /// Trusts the definition with this digest from now on; false if it is not the one that is offered.
    async fn system_accept_tool(
        &self,
        server: &str,
        tool: &str,
        digest: &str,
        at: Timestamp,
    ) -> StoreResult<bool>;
}

/// Results that were too long for a model.
#[async_trait]
pub trait ResultStore: Send + Sync {
    /// Keeps a result, in place of an earlier one of the same call, and drops the org's oldest while it has more than
    /// `bytes_max` bytes.
    async fn keep_result(
        &self,
        scope: &OrgScope,
        result: &KeptResult,
        bytes_max: u64,
    ) -> StoreResult<()>;
    async fn get_result(&self, scope: &OrgScope, id: &KeptId) -> StoreResult<Option<KeptResult>>;
    async fn system_sweep_results(&self, before: Timestamp) -> StoreResult<u64>;
}

#[async_trait]
pub trait UsageStore: Send + Sync {
    /// What runs used that have ended, by time and then group; steps without runs are left out. A run that is deleted
    /// with its thread stays counted.
    async fn usage(&self, scope: &OrgScope, query: &UsageQuery) -> StoreResult<Vec<UsagePoint>>;
}

#[async_trait]
pub trait Store:
    KeyStore
    + ThreadStore
    + RunStore
    + HoldStore
    + ApprovalStore
    + GrantStore
    + BudgetStore
    + AuditStore
    + OutboxStore
    + SessionStore
    + WorkerStore
    + AgentStore
    + GateStore
    + IdempotencyStore
    + LoginStore
    + PinStore
    + ResultStore
    + UsageStore
{
    /// Can it be read and written right now?
    async fn check(&self) -> StoreResult<()>;
    /// `sqlite` or `postgres`.
    fn kind(&self) -> &'static str;
    /// The store's own time, which leases and expiries go by.
    async fn system_now(&self) -> StoreResult<Timestamp>;
    /// Waits for writes under way and closes.
    async fn close(&self);
}
