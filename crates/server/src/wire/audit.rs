//! An org's record of decisions on the wire.

use crate::problem::{Code, Problem};
use data_encoding::HEXLOWER;
use domain::audit::{Head, Link};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// Oldest first.
    pub entries: Vec<AuditEntry>,
    /// Pass as `after` for the next page; `null` at the end.
    pub next_after: Option<u64>,
    /// Where the record ends now. Keep it elsewhere: it shows an end that was cut off later.
    pub head: Option<AuditHead>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    #[schema(example = 1)]
    pub seq: u64,
    /// SHA-256 (hex) over the hash before, `seq` (8 bytes, highest first) and `body`.
    pub hash: String,
    /// The very text that was hashed.
    pub body: String,
    /// `body`, read.
    #[schema(value_type = Object)]
    pub entry: Value,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditHead {
    pub seq: u64,
    pub hash: String,
}

impl TryFrom<Link> for AuditEntry {
    type Error = Problem;

    fn try_from(link: Link) -> Result<Self, Problem> {
        let entry = serde_json::from_str(&link.body)
            .map_err(|error| Problem::new(Code::internal_error).because(error))?;
        Ok(Self {
            seq: link.seq,
            hash: HEXLOWER.encode(&link.hash),
            body: link.body,
            entry,
        })
    }
}

impl From<Head> for AuditHead {
    fn from(head: Head) -> Self {
        Self {
            seq: head.seq,
            hash: HEXLOWER.encode(&head.hash),
        }
    }
}
