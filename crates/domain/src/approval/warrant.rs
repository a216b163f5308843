//! A person's word for one exact call, carried by the call to its dispatch and checked there once more.

use super::Approval;
use crate::key::Principal;
use crate::run::Call;
use crate::seeded::Seeded;
use crate::{ApprovalId, OrgId, RunId, Timestamp};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warrant {
    pub approval_id: ApprovalId,
    pub expires_at: Timestamp,
    /// BLAKE3 (hex) of everything that the decision is bound to.
    pub binding: String,
}

/// Why an approved call may not be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Void {
    #[error("the approval was for another call; nothing was sent")]
    OtherCall,
    #[error("the approval's time was over before the call was sent; ask for it again")]
    Expired,
}

impl Warrant {
    /// For a call as it will be sent.
    pub(crate) fn of(org: &OrgId, approval: &Approval, call: &Call) -> Self {
        let requester = &approval.requested_by;
        let id = approval.id;
        Self {
            approval_id: id,
            expires_at: approval.expires_at,
            binding: binding(
                org,
                approval.run_id,
                requester,
                id,
                approval.expires_at,
                call,
            ),
        }
    }

    /// Is this the call that was decided on, sent for the same org, run and requester, in time?
    pub fn check(
        &self,
        org: &OrgId,
        run: RunId,
        requester: &Principal,
        call: &Call,
        now: Timestamp,
    ) -> Result<(), Void> {
        let bound = binding(org, run, requester, self.approval_id, self.expires_at, call);
        if bound != self.binding {
            return Err(Void::OtherCall);
        }
        if self.expires_at <= now && !Seeded::WarrantOutlived.is_on() {
            return Err(Void::Expired);
        }
        Ok(())
    }
}

/// Each part with its length, so that no two different calls can agree by their concatenation.
fn binding(
    org: &OrgId,
    run: RunId,
    requester: &Principal,
    approval: ApprovalId,
    expires_at: Timestamp,
    call: &Call,
) -> String {
    // What led to the question, and what would be done after a crash, is part of what was decided on.
    let judged = serde_json::to_string(&(&call.judgement, call.effect, call.has_probe))
        .expect("these are plain data");
    let mut hasher = blake3::Hasher::new();
    for part in [
        org.as_str(),
        &run.to_string(),
        &requester.key_id.to_string(),
        &approval.to_string(),
        &expires_at.as_micros().to_string(),
        call.id.as_str(),
        call.key.as_str(),
        &call.step_index.to_string(),
        &call.name,
        &call.tool_version,
        &call.arguments_digest,
        call.asked_digest.as_deref().unwrap_or_default(),
        &judged,
    ] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex().to_string()
}
