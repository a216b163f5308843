//! Grants on the wire.

use super::principal::Principal;
use domain::Timestamp;
use domain::grant;
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct GrantList {
    /// Newest first.
    pub grants: Vec<Grant>,
    pub next_cursor: Option<String>,
}

/// A remembered approval.
#[derive(Debug, Serialize, ToSchema)]
pub struct Grant {
    #[schema(format = "uuid", example = "0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11")]
    pub id: String,
    pub status: GrantStatus,
    #[schema(example = "support")]
    pub agent_type: String,
    #[schema(example = "refund_order")]
    pub tool_name: String,
    /// A changed definition of the tool is another version, which the grant does not cover.
    pub tool_version: String,
    /// CEL over `args`.
    #[schema(example = "args.environment == \"staging\"")]
    pub predicate: String,
    pub uses: u32,
    /// Calls that it has let through.
    pub used: u32,
    pub created_by: Principal,
    #[schema(format = "date-time")]
    pub created_at: String,
    #[schema(format = "date-time")]
    pub expires_at: String,
    /// The approval that it remembers.
    #[schema(format = "uuid")]
    pub approval_id: String,
    pub revoked_by: Option<Principal>,
    #[schema(format = "date-time")]
    pub revoked_at: Option<String>,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum GrantStatus {
    Live,
    UsedUp,
    Expired,
    Revoked,
}

/// A grant with everything that it let through.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrantDetail {
    #[serde(flatten)]
    pub grant: Grant,
    /// Newest first.
    pub calls: Vec<GrantedCall>,
}

/// A call that ran by a grant; its step has the arguments.
#[derive(Debug, Serialize, ToSchema)]
pub struct GrantedCall {
    #[schema(format = "uuid")]
    pub run_id: String,
    pub step_index: u32,
    pub tool_call_id: String,
    pub arguments_digest: String,
    #[schema(format = "date-time")]
    pub at: String,
}

/// Fit to be sent as `remember` with the decision.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProposedGrant {
    pub predicate: String,
    pub ttl_s: u64,
    pub uses: u32,
    /// How many calls, this one included, it would have covered.
    pub covers: usize,
}

impl Grant {
    pub fn at(grant: grant::Grant, now: Timestamp) -> Self {
        let status = if grant.revoked_at.is_some() {
            GrantStatus::Revoked
        } else if grant.uses_left() == 0 {
            GrantStatus::UsedUp
        } else if grant.expires_at <= now {
            GrantStatus::Expired
        } else {
            GrantStatus::Live
        };
        Self {
            id: grant.id.to_string(),
            status,
            agent_type: grant.agent_type,
            tool_name: grant.tool_name,
            tool_version: grant.tool_version,
            predicate: grant.predicate,
            uses: grant.uses_max,
            used: grant.used,
            created_by: grant.created_by.into(),
            created_at: grant.created_at.to_string(),
            expires_at: grant.expires_at.to_string(),
            approval_id: grant.approval_id.to_string(),
            revoked_by: grant.revoked_by.map(Principal::from),
            revoked_at: grant.revoked_at.map(|at| at.to_string()),
        }
    }
}

impl From<grant::GrantUse> for GrantedCall {
    fn from(used: grant::GrantUse) -> Self {
        Self {
            run_id: used.run_id.to_string(),
            step_index: used.step_index,
            tool_call_id: used.call_id.to_string(),
            arguments_digest: used.arguments_digest,
            at: used.at.to_string(),
        }
    }
}
