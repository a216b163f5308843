//! A remembered approval: it stands in for the person who would say the same again, and for nothing broader. It does
//! not know how its predicate is evaluated.

mod propose;

#[cfg(test)]
mod tests;

pub use propose::{Proposal, propose};

use crate::audit::{Actor, Deed, Entry};
use crate::key::Principal;
use crate::policy::Judgement;
use crate::{ApprovalId, CallId, GrantId, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Never broader than one agent, one tool and one definition of it; a changed definition needs a new grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    pub id: GrantId,
    pub agent_type: String,
    pub tool_name: String,
    /// Hash of the tool's definition.
    pub tool_version: String,
    /// CEL over `args`.
    pub predicate: String,
    pub created_by: Principal,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub uses_max: u32,
    /// Calls that it has let through.
    pub used: u32,
    /// The approval that it remembers.
    pub approval_id: ApprovalId,
    pub revoked_at: Option<Timestamp>,
    pub revoked_by: Option<Principal>,
}

/// What an approver asks to be remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remember {
    pub predicate: String,
    pub ttl: Duration,
    pub uses: u32,
}

/// A call that a grant let through, counted in the commit that dispatches the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantUse {
    pub grant_id: GrantId,
    pub run_id: RunId,
    pub step_index: u32,
    pub call_id: CallId,
    pub arguments_digest: String,
    pub at: Timestamp,
}

/// What a grant must be for, to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantScope {
    pub agent_type: String,
    pub tool_name: String,
    pub tool_version: String,
}

impl Grant {
    pub fn uses_left(&self) -> u32 {
        self.uses_max.saturating_sub(self.used)
    }

    pub fn is_live(&self, at: Timestamp) -> bool {
        self.revoked_at.is_none() && self.uses_left() > 0 && self.expires_at > at
    }

    /// What the org's record says of its end by a person.
    pub fn revocation(id: GrantId, by: &Principal, at: Timestamp) -> Entry {
        Entry {
            at,
            actor: Actor::Key(by.clone()),
            deed: Deed::GrantRevoked {
                grant_id: id.to_string(),
            },
        }
    }

    /// Whether the grant may speak on a call at all; its predicate decides the rest. A floor (`deny`, `always_ask`)
    /// cannot be granted away.
    pub fn may_answer(&self, scope: &GrantScope, judgement: &Judgement, at: Timestamp) -> bool {
        self.is_live(at)
            && judgement.is_grantable()
            && self.agent_type == scope.agent_type
            && self.tool_name == scope.tool_name
            && self.tool_version == scope.tool_version
    }
}
