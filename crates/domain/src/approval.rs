//! A decision that a run waits for, bound to the exact call it is about.

mod terms;
mod warrant;

use crate::grant::Remember;
use crate::key::Principal;
use crate::seeded::Seeded;
use crate::{ApprovalId, CallId, RunId, ThreadId, Timestamp};
pub use terms::{AskOptions, Terms};
pub use warrant::Warrant;

use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalKind {
    /// May this call run?
    ToolCall,
    /// A call was sent and nobody knows what became of it: did it happen?
    OutcomeUnknown,
    /// A ceiling of the run is reached; may it go on?
    Budget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    Pending,
    Approved,
    Denied,
    Expired,
    Cancelled,
}

impl ApprovalStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a person is asked, complete: what is shown is what runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Approval {
    pub id: ApprovalId,
    pub run_id: RunId,
    pub thread_id: Option<ThreadId>,
    pub agent_type: String,
    pub kind: ApprovalKind,
    pub call_id: CallId,
    pub tool_name: String,
    pub tool_version: String,
    pub arguments: Value,
    pub arguments_digest: String,
    pub risk: String,
    pub why: String,
    pub status: ApprovalStatus,
    pub requested_by: Principal,
    pub requested_at: Timestamp,
    pub expires_at: Timestamp,
    pub resolved_by: Option<Principal>,
    pub resolved_at: Option<Timestamp>,
    pub reason: Option<String>,
    /// What a decision takes.
    #[serde(default)]
    pub terms: Terms,
    /// Every decision that was made, in order; the last of them may still leave the approval pending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Recorded>,
    /// What a person found of a call of unknown outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
}

/// One person's decision, as it stays on record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recorded {
    pub by: Principal,
    pub at: Timestamp,
    pub approve: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The arguments that it was about. An edit is its editor's own decision, and voids those about other arguments.
    pub arguments_digest: String,
}

/// What became of a call whose answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It took effect.
    Happened,
    /// It did not; it is made again.
    RunAgain,
    /// Nobody can tell; the run goes on without its result.
    Left,
    /// The run ends here.
    Stopped,
}

impl Approval {
    /// People whose approval is of the arguments as they stand; one person counts once.
    pub fn approvers(&self) -> Vec<&Principal> {
        let mut people: Vec<&Principal> = Vec::new();
        for decision in &self.decisions {
            let same = decision.arguments_digest == self.arguments_digest;
            let counts = decision.approve && (same || Seeded::OldApprovalCounts.is_on());
            let known = people
                .iter()
                .any(|known| known.is_same_person(&decision.by));
            if counts && (!known || Seeded::OnePersonTwice.is_on()) {
                people.push(&decision.by);
            }
        }
        people
    }

    /// May this person approve it? Anybody may deny.
    pub fn may_approve(&self, person: &Principal) -> bool {
        !(self.terms.other_person && self.requested_by.is_same_person(person))
            || Seeded::OwnRunApproved.is_on()
    }
}

/// What a person decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    pub choice: Choice,
    pub reason: Option<String>,
    /// Arguments to run instead of those asked for; already validated against the tool's schema.
    pub arguments: Option<Value>,
    /// Remember it for calls like this one; its predicate was found to hold for this one.
    pub remember: Option<Remember>,
    /// Digest of the arguments that the person saw.
    pub seen: Option<String>,
    pub by: Principal,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Choice {
    /// Let the call run; of a call of unknown outcome: it did not happen, run it again.
    Approve,
    /// Refuse it; of a call of unknown outcome: leave it and go on without its result.
    Deny,
    /// Of a call of unknown outcome: it took effect, with this result if it is known.
    Happened { result: Option<Value> },
    /// Of a call of unknown outcome: end the run.
    Stop,
}

impl Choice {
    pub fn approves(&self) -> bool {
        match self {
            Self::Approve | Self::Happened { .. } => true,
            Self::Deny | Self::Stop => false,
        }
    }

    pub fn finding(&self) -> Finding {
        match self {
            Self::Approve => Finding::RunAgain,
            Self::Deny => Finding::Left,
            Self::Happened { .. } => Finding::Happened,
            Self::Stop => Finding::Stopped,
        }
    }
}
