//! What is kept of decisions: who did what, to which bytes. One chain of entries for each org; how it is chained is the
//! store's affair. It knows no hashes.

use crate::approval::{Approval, ApprovalKind, ApprovalStatus, Finding};
use crate::key::{Principal, Role};
use crate::{ApprovalId, CallId, KeyId, RunId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Something that was decided or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    pub actor: Actor,
    #[serde(flatten)]
    pub deed: Deed,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    Key(Principal),
    /// A person with access to the server's machine.
    Operator,
    /// The server by itself, as its settings or a clock tell it.
    Server,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", content = "about")]
pub enum Deed {
    #[serde(rename = "approval.decided")]
    ApprovalDecided(Decided),
    #[serde(rename = "run.cancelled")]
    RunCancelled {
        run_id: RunId,
        reason: Option<String>,
    },
    #[serde(rename = "run.paused")]
    RunPaused { run_id: RunId },
    #[serde(rename = "run.resumed")]
    RunResumed { run_id: RunId },
    /// The store is a copy brought back from a backup; so many of the org's runs were put on hold.
    #[serde(rename = "store.restored")]
    StoreRestored { held: u64 },
    /// The store was moved here from another database.
    #[serde(rename = "store.moved")]
    StoreMoved,
    /// The run goes on elsewhere, if anywhere: it was written into a file.
    #[serde(rename = "run.exported")]
    RunExported { run_id: RunId },
    /// The run came from another server's store, in a file with this digest, signed by this key.
    #[serde(rename = "run.imported")]
    RunImported {
        run_id: RunId,
        digest: String,
        signer: String,
    },
    #[serde(rename = "key.created")]
    KeyCreated {
        key_id: KeyId,
        name: String,
        role: Role,
        expires_at: Option<Timestamp>,
    },
    #[serde(rename = "key.revoked")]
    KeyRevoked { key_id: KeyId },
    #[serde(rename = "grant.created")]
    GrantCreated { grant_id: String, grant: Value },
    #[serde(rename = "grant.revoked")]
    GrantRevoked { grant_id: String },
    /// A call ran without being asked about, because of a grant.
    #[serde(rename = "grant.used")]
    GrantUsed {
        grant_id: String,
        run_id: RunId,
        call_id: CallId,
        tool_name: String,
        arguments_digest: String,
    },
    #[serde(rename = "agent.changed")]
    AgentChanged { agent_type: String, version: String },
    /// Calls of a server's tools are made with this login from now on.
    #[serde(rename = "mcp.logged_in")]
    McpLoggedIn { server: String },
    #[serde(rename = "mcp.logged_out")]
    McpLoggedOut { server: String },
    /// The server began with other policies, tools or approvals in its configuration than before.
    #[serde(rename = "policy.changed")]
    PolicyChanged { digest: String },
}

/// A decision and the exact call that it is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    pub approval_id: ApprovalId,
    pub run_id: RunId,
    pub call_id: CallId,
    pub kind: ApprovalKind,
    pub tool_name: String,
    pub tool_version: String,
    /// Of the arguments as decided: after an edit, the editor's.
    pub arguments_digest: String,
    /// What became of the approval; `pending` while more people are needed.
    pub status: ApprovalStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    pub reason: Option<String>,
}

impl Decided {
    pub fn of(approval: &Approval, reason: Option<String>) -> Self {
        Self {
            approval_id: approval.id,
            run_id: approval.run_id,
            call_id: approval.call_id.clone(),
            kind: approval.kind,
            tool_name: approval.tool_name.clone(),
            tool_version: approval.tool_version.clone(),
            arguments_digest: approval.arguments_digest.clone(),
            status: approval.status,
            finding: approval.finding,
            reason,
        }
    }
}

impl Deed {
    /// The action's name as it stands on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ApprovalDecided(_) => "approval.decided",
            Self::RunCancelled { .. } => "run.cancelled",
            Self::RunPaused { .. } => "run.paused",
            Self::RunResumed { .. } => "run.resumed",
            Self::StoreRestored { .. } => "store.restored",
            Self::StoreMoved => "store.moved",
            Self::RunExported { .. } => "run.exported",
            Self::RunImported { .. } => "run.imported",
            Self::KeyCreated { .. } => "key.created",
            Self::KeyRevoked { .. } => "key.revoked",
            Self::GrantCreated { .. } => "grant.created",
            Self::GrantRevoked { .. } => "grant.revoked",
            Self::GrantUsed { .. } => "grant.used",
            Self::AgentChanged { .. } => "agent.changed",
            Self::McpLoggedIn { .. } => "mcp.logged_in",
            Self::McpLoggedOut { .. } => "mcp.logged_out",
            Self::PolicyChanged { .. } => "policy.changed",
        }
    }
}

/// An entry as it lies in its org's chain. `body` is the very text that was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// From 1, without gaps.
    pub seq: u64,
    pub body: String,
    pub hash: [u8; 32],
}

/// Where an org's chain ends. Kept elsewhere, it shows a tail that was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    pub hash: [u8; 32],
}
