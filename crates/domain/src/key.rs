//! API keys and who holds them. The secret itself is never a value here, only its digest.

use crate::seeded::Seeded;
use crate::{KeyId, OrgId, RunId, Timestamp};
use serde::{Deserialize, Serialize};

/// What a key may do, from most to least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything in the org, keys included.
    Owner,
    /// Runs, threads and sessions, and decisions on approvals.
    Developer,
    /// Reads, and decides approvals.
    Approver,
    /// Reads only.
    Viewer,
    /// One client-side session and nothing else.
    Session,
}

impl Role {
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Developer,
        Self::Approver,
        Self::Viewer,
        Self::Session,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Developer => "developer",
            Self::Approver => "approver",
            Self::Viewer => "viewer",
            Self::Session => "session",
        }
    }
}

/// BLAKE3 of the whole secret. Keys are 256 random bits, so a fast hash is enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    pub fn of(secret: &str) -> Self {
        Self(*blake3::hash(secret.as_bytes()).as_bytes())
    }
}

/// A key as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    pub org: OrgId,
    pub id: KeyId,
    pub name: String,
    pub role: Role,
    pub digest: KeyDigest,
    /// The only session that a key of role `session` opens.
    pub session: Option<RunId>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub last_used_at: Option<Timestamp>,
}

impl Key {
    pub fn is_live(&self, at: Timestamp) -> bool {
        let in_time = self.expires_at.is_none_or(|expiry| at < expiry);
        self.revoked_at.is_none() && (in_time || Seeded::ExpiredKeyLives.is_on())
    }
}

/// Who asked for something, as recorded with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub key_id: KeyId,
    pub name: String,
    /// The key's role when it asked; absent in what was recorded before roles were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

impl Principal {
    /// One key, or two keys of one name, are one person: where several people are asked for, keys are named by person.
    pub fn is_same_person(&self, other: &Self) -> bool {
        self.key_id == other.key_id || self.name == other.name
    }
}
