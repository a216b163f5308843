//! A run and its state machine: one pure function takes a run and an input and returns the run that follows with
//! everything that must be committed beside it. No clock, no randomness, no I/O: times arrive with the inputs, and new
//! ids are derived from the run's own, so that applying the same input twice gives the same result.
//!
//! ```text
//! queued -> running <-> awaiting_approval ; each of the three -> completed | failed | cancelled, which never change
//! ```

mod approval;
mod budget;
mod call;
mod calls;
mod dispatch;
mod draft;
mod end;
mod gate;
mod hold;
mod input;
mod probe;
mod recover;
mod session;
mod start;
mod status;
mod turn;

#[cfg(test)]
mod tests;

use crate::agent::Budget;
use crate::approval::Approval;
use crate::audit::Entry;
use crate::event::Record;
use crate::failure::Failure;
use crate::grant::{Grant, GrantUse};
use crate::journal;
use crate::key::Principal;
use crate::lane::LaneChoice;
use crate::message::Message;
use crate::policy::Labels;
use crate::response::Response;
use crate::seeded::Seeded;
use crate::session::Client;
use crate::step::Step;
use crate::usage::Usage;
use crate::webhook::Delivery;
use crate::{ApprovalId, MessageId, OrgId, RunId, ThreadId, Timestamp};
pub use approval::misfit;
pub use call::{Call, CallState};
pub use calls::Question;
pub use hold::Hold;
pub use input::{ClientTurn, FailedAttempt, Input, Partial, Planned, TurnAnswer, Verdict};
pub use status::RunStatus;

use draft::Draft;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::time::Duration;

/// One piece of work. Everything needed to carry it on is in here, in the store's steps and in the thread's messages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub org: OrgId,
    pub id: RunId,
    pub kind: RunKind,
    pub agent_type: String,
    pub agent_version: String,
    pub request: RunRequest,
    pub created_at: Timestamp,
    pub created_by: Principal,
    pub state: RunState,
    pub lane: Option<LaneChoice>,
    pub usage: Usage,
    /// Number that the next event takes.
    pub next_seq: u64,
    /// Index that the next step takes.
    pub next_step: u32,
    /// Model turns begun.
    pub turns: u32,
    /// Turns in a row without one readable call.
    pub malformed_turns: u32,
    /// Workers that died holding this run.
    pub crashes: u32,
    /// Microseconds that it waited for people; its time budget does not count them.
    #[serde(default)]
    pub waited_us: u64,
    /// What its dispatched calls have touched.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub met: Labels,
    /// Text of the last assistant message, for the summary of a run that is ended from outside.
    pub last_text: Option<String>,
    /// Raised whenever another worker takes the run; a write that carries an older one is refused.
    pub epoch: u64,
    /// Number of commits; the store refuses a write that was made from an older one.
    pub version: u64,
    /// What keeps it from going on. It lies beside the body in the store, as the lease does.
    #[serde(skip)]
    pub hold: Option<Hold>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum RunKind {
    Thread {
        thread_id: ThreadId,
    },
    /// The model runs with the client.
    Session {
        query: String,
        system_prompt: String,
        expires_at: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client: Option<Client>,
        /// When the client last did something that is recorded; absent before it did anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seen_at: Option<Timestamp>,
        /// Where the journal of a device that worked without the network has come to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        journal: Option<journal::Head>,
    },
}

/// What the caller asked for, fixed for the run's life.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// The agent's budget, tightened by the request's.
    #[serde(default)]
    pub budget: Budget,
    #[serde(default)]
    pub on_disconnect: OnDisconnect,
    /// The agent has an intent gate: a run's input is judged before its first turn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gated: bool,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub context: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnDisconnect {
    #[default]
    Continue,
    Cancel,
}

/// Where a run is. Each variant carries what is true only there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum RunState {
    /// Waits for its thread or for a worker; `input` joins the history when it starts.
    Queued {
        input: Vec<Message>,
    },
    Running {
        started_at: Timestamp,
        phase: Phase,
    },
    /// Nothing can go on before a person decides.
    AwaitingApproval {
        started_at: Timestamp,
        since: Timestamp,
        calls: Vec<Call>,
    },
    Completed {
        started_at: Timestamp,
        completed_at: Timestamp,
        summary: Option<String>,
        confidence: Option<f64>,
    },
    Failed {
        started_at: Option<Timestamp>,
        completed_at: Timestamp,
        error: Failure,
        summary: Option<String>,
    },
    Cancelled {
        started_at: Option<Timestamp>,
        completed_at: Timestamp,
        reason: Option<String>,
    },
}

/// What a running run is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
pub enum Phase {
    Model(TurnInFlight),
    /// The intent gate looks at the input; nothing else has begun.
    Gate {
        since: Timestamp,
    },
    /// At least one call is not settled and can go on without a person.
    Tools {
        calls: Vec<Call>,
    },
    /// A session between the client's requests; `calls` are those it asked for that are not settled.
    Client {
        calls: Vec<Call>,
    },
}

/// An attempt of a model turn. Its deltas take the numbers from the run's `next_seq` up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TurnInFlight {
    /// 1 for the run's first turn.
    pub turn: u32,
    /// 1 for the turn's first attempt.
    pub attempt: u32,
    pub step_index: u32,
    pub message_id: MessageId,
    pub started_at: Timestamp,
    /// Lanes that failed this turn after their first token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_lanes: Vec<String>,
}

/// What the driver does next. Derived from the state alone, so that any process can go on from the store.
#[derive(Debug, PartialEq)]
pub enum Next<'a> {
    Start,
    Judge,
    CallModel(&'a TurnInFlight),
    /// Commit these as dispatched, then perform them.
    Dispatch(Vec<&'a Call>),
    /// Perform or await these.
    AwaitTools(Vec<&'a Call>),
    AwaitApproval,
    AwaitClient,
    Ended,
}

/// A new run, not yet in any state.
#[derive(Debug, Clone, PartialEq)]
pub struct NewRun {
    pub org: OrgId,
    pub id: RunId,
    pub kind: RunKind,
    pub agent_type: String,
    pub agent_version: String,
    pub request: RunRequest,
    pub created_by: Principal,
    /// A session's lane is chosen before it begins; a thread's run finds its own with its first turn.
    pub lane: Option<LaneChoice>,
    pub input: Vec<Message>,
}

/// The run that follows and what must be committed with it, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub run: Run,
    pub records: Vec<Record>,
    /// New and changed steps, whole.
    pub steps: Vec<Step>,
    /// Messages that join the thread's history, in order.
    pub messages: Vec<Message>,
    /// New and changed approvals, whole.
    pub approvals: Vec<Approval>,
    /// New responses of a session's inference turns.
    pub responses: Vec<Response>,
    /// Pending approvals that end, `cancelled`, with their run.
    pub closed: Vec<ClosedApproval>,
    /// New grants.
    pub grants: Vec<Grant>,
    /// The commit stands only if each of these grants still can.
    pub grant_uses: Vec<GrantUse>,
    /// What joins the org's record of decisions.
    pub audit: Vec<Entry>,
    /// What joins the outbox; filled by whoever knows the subscriptions.
    pub deliveries: Vec<Delivery>,
}

/// A pending approval that nobody needs to decide any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosedApproval {
    pub id: ApprovalId,
    pub at: Timestamp,
    pub reason: String,
}

/// The input does not fit the state; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a run that is {status:?} refuses {input}: {why}")]
pub struct Refused {
    pub status: RunStatus,
    pub input: &'static str,
    pub why: &'static str,
}

impl RunKind {
    /// A session of a client that has said nothing of itself.
    pub fn session(query: String, system_prompt: String, expires_at: Timestamp) -> Self {
        Self::Session {
            query,
            system_prompt,
            expires_at,
            client: None,
            seen_at: None,
            journal: None,
        }
    }
}

impl Run {
    /// A queued run with its first event. Feed it `Input::Start` to begin at once.
    pub fn create(new: NewRun, at: Timestamp) -> Transition {
        start::create(new, at)
    }

    /// The one transition function.
    pub fn apply(&self, input: Input, at: Timestamp) -> Result<Transition, Refused> {
        let draft = Draft::new(self, at);
        match input {
            Input::Start => start::start(draft),
            Input::GateDecided(record) => gate::decided(draft, *record),
            Input::TurnCompleted(answer) => turn::completed(draft, *answer),
            Input::TurnFailed(attempt) => turn::failed(draft, attempt),
            Input::Dispatching { calls } => dispatch::dispatching(draft, &calls),
            Input::GrantGone { call } => dispatch::grant_gone(draft, &call),
            Input::Unsent { calls } => dispatch::unsent(draft, &calls),
            Input::CallsSettled { outcomes } => calls::settled(draft, outcomes),
            Input::Probed { call, probe } => probe::probed(draft, &call, probe),
            Input::Resolved { approval, decision } => {
                approval::resolved(draft, *approval, decision)
            }
            Input::Expired { approval } => approval::expired(draft, *approval),
            Input::Cancel { reason, by, deltas } => end::cancel(draft, reason, by, deltas),
            Input::Recovered { crashed } => recover::recovered(draft, crashed),
            Input::DeadlineReached { deltas } => budget::deadline(draft, deltas),
            Input::ClientCall { planned } => session::client_call(draft, *planned),
            Input::ClientTurn(turn) => session::client_turn(draft, *turn),
            Input::ClientSteps(entries) => session::client_steps(draft, entries),
            Input::LaneMoved {
                lane,
                client,
                reason,
            } => session::lane_moved(draft, *lane, client, reason),
            Input::SessionCompleted {
                summary,
                confidence,
            } => session::completed(draft, summary, confidence),
            Input::SessionExpired => session::expired(draft),
            Input::SetAside { failure } => end::set_aside(draft, failure),
        }
    }

    /// What a driver does next.
    pub fn next(&self) -> Next<'_> {
        match &self.state {
            RunState::Queued { .. } => Next::Start,
            RunState::Running {
                phase: Phase::Gate { .. },
                ..
            } => Next::Judge,
            RunState::Running {
                phase: Phase::Model(turn),
                ..
            } => Next::CallModel(turn),
            RunState::Running {
                phase: Phase::Tools { calls },
                ..
            } => next_call(calls),
            RunState::Running {
                phase: Phase::Client { calls },
                ..
            } => next_client_call(calls),
            RunState::AwaitingApproval { .. } => Next::AwaitApproval,
            RunState::Completed { .. } | RunState::Failed { .. } | RunState::Cancelled { .. } => {
                Next::Ended
            }
        }
    }

    pub fn status(&self) -> RunStatus {
        match &self.state {
            RunState::Queued { .. } => RunStatus::Queued,
            RunState::Running { .. } => RunStatus::Running,
            RunState::AwaitingApproval { .. } => RunStatus::AwaitingApproval,
            RunState::Completed { .. } => RunStatus::Completed,
            RunState::Failed { .. } => RunStatus::Failed,
            RunState::Cancelled { .. } => RunStatus::Cancelled,
        }
    }

    pub fn thread_id(&self) -> Option<ThreadId> {
        match &self.kind {
            RunKind::Thread { thread_id } => Some(*thread_id),
            RunKind::Session { .. } => None,
        }
    }

    pub fn started_at(&self) -> Option<Timestamp> {
        match &self.state {
            RunState::Queued { .. } => None,
            RunState::Running { started_at, .. }
            | RunState::AwaitingApproval { started_at, .. }
            | RunState::Completed { started_at, .. } => Some(*started_at),
            RunState::Failed { started_at, .. } | RunState::Cancelled { started_at, .. } => {
                *started_at
            }
        }
    }

    /// What canaries go by: the user where the caller names one, else the thread, else the run.
    pub fn sticky_key(&self) -> String {
        match (self.request.metadata.get("user_id"), self.thread_id()) {
            (Some(Value::String(user)), _) => format!("user {user}"),
            (_, Some(thread)) => format!("thread {thread}"),
            (_, None) => format!("run {}", self.id),
        }
    }

    /// How long it waited for people before now.
    pub fn waited(&self) -> Duration {
        if Seeded::WaitCounted.is_on() {
            return Duration::ZERO;
        }
        Duration::from_micros(self.waited_us)
    }

    /// Calls that are not over, with those already settled of the same turn.
    pub fn calls(&self) -> &[Call] {
        match &self.state {
            RunState::Running {
                phase: Phase::Tools { calls } | Phase::Client { calls },
                ..
            }
            | RunState::AwaitingApproval { calls, .. } => calls,
            RunState::Running {
                phase: Phase::Model(_) | Phase::Gate { .. },
                ..
            }
            | RunState::Queued { .. }
            | RunState::Completed { .. }
            | RunState::Failed { .. }
            | RunState::Cancelled { .. } => &[],
        }
    }
}

/// A session waits for its client unless one of its calls can go on without a person.
fn next_client_call(calls: &[Call]) -> Next<'_> {
    match next_call(calls) {
        Next::AwaitTools(calls) if calls.is_empty() => Next::AwaitClient,
        next => next,
    }
}

fn next_call(calls: &[Call]) -> Next<'_> {
    let prepared: Vec<&Call> = calls
        .iter()
        .filter(|call| matches!(call.state, CallState::Prepared | CallState::Granted { .. }))
        .collect();
    if !prepared.is_empty() {
        return Next::Dispatch(prepared);
    }
    Next::AwaitTools(
        calls
            .iter()
            .filter(|call| {
                matches!(
                    call.state,
                    CallState::Dispatched { .. } | CallState::Probing { .. }
                )
            })
            .collect(),
    )
}
