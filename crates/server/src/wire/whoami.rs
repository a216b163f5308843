//! The holder of a key, as told to the holder.

use super::keys::Role;
use domain::key::{self, Key};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct Whoami {
    #[schema(example = "default")]
    pub org: String,
    #[schema(format = "uuid", example = "0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11")]
    pub key_id: String,
    /// The key's name.
    #[schema(example = "ci")]
    pub name: String,
    /// Absent for the token of a session, which has no role among the org's people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    #[schema(format = "date-time")]
    pub expires_at: Option<String>,
}

impl From<&Key> for Whoami {
    fn from(key: &Key) -> Self {
        Self {
            org: key.org.as_str().to_owned(),
            key_id: key.id.to_string(),
            name: key.name.clone(),
            role: Role::of(key.role),
            expires_at: key.expires_at.map(|at| at.to_string()),
        }
    }
}

impl Role {
    /// `None` for a session's token.
    fn of(role: key::Role) -> Option<Self> {
        match role {
            key::Role::Owner => Some(Self::Owner),
            key::Role::Developer => Some(Self::Developer),
            key::Role::Approver => Some(Self::Approver),
            key::Role::Viewer => Some(Self::Viewer),
            key::Role::Session => None,
        }
    }
}
