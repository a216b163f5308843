//! Who did something, as told to others of the same org.

use serde::Serialize;
use utoipa::ToSchema;

/// The API key behind a request.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Principal {
    #[schema(format = "uuid", example = "0198c5a2-7d7e-7cc3-8a52-2f1f3b0c9d11")]
    pub key_id: String,
    /// The key's name.
    #[schema(example = "ci")]
    pub name: String,
}

impl From<domain::key::Principal> for Principal {
    fn from(principal: domain::key::Principal) -> Self {
        Self {
            key_id: principal.key_id.to_string(),
            name: principal.name,
        }
    }
}
