//! API keys on the wire; a secret only in the answer that makes it.

use domain::key;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct KeyList {
    /// Newest first, revoked ones included.
    pub keys: Vec<Key>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Key {
    #[schema(format = "uuid", example = "0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11")]
    pub id: String,
    #[schema(example = "ci")]
    pub name: String,
    pub role: Role,
    #[schema(format = "date-time", example = "2026-01-31T12:00:00.000000Z")]
    pub created_at: String,
    #[schema(format = "date-time")]
    pub expires_at: Option<String>,
    #[schema(format = "date-time")]
    pub revoked_at: Option<String>,
    /// Exact to some seconds.
    #[schema(format = "date-time")]
    pub last_used_at: Option<String>,
}

/// What a key may do: `viewer` reads; `approver` reads and decides approvals; `developer` does everything but keys;
/// `owner` does everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Owner,
    Developer,
    Approver,
    Viewer,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct CreateKey {
    /// 1 to 100 characters.
    #[schema(example = "ci", min_length = 1, max_length = 100)]
    pub name: String,
    pub role: Role,
    /// Seconds from now until the key expires; never, if absent.
    #[schema(example = 86400, minimum = 1)]
    pub ttl_s: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct CreatedKey {
    #[serde(flatten)]
    pub key: Key,
    /// Shown this once and stored nowhere: an answer repeated for its `Idempotency-Key` has `null` here.
    #[schema(example = "ry_kJ3…")]
    pub secret: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct RevokedKey {
    #[schema(format = "uuid")]
    pub id: String,
    #[schema(example = true)]
    pub revoked: bool,
}

impl Key {
    /// `None` for a session's token: that is no key of the org's people.
    pub fn of(key: &key::Key) -> Option<Self> {
        let role = match key.role {
            key::Role::Owner => Role::Owner,
            key::Role::Developer => Role::Developer,
            key::Role::Approver => Role::Approver,
            key::Role::Viewer => Role::Viewer,
            key::Role::Session => return None,
        };
        Some(Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            role,
            created_at: key.created_at.to_string(),
            expires_at: key.expires_at.map(|at| at.to_string()),
            revoked_at: key.revoked_at.map(|at| at.to_string()),
            last_used_at: key.last_used_at.map(|at| at.to_string()),
        })
    }
}

impl From<Role> for key::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner => Self::Owner,
            Role::Developer => Self::Developer,
            Role::Approver => Self::Approver,
            Role::Viewer => Self::Viewer,
        }
    }
}
