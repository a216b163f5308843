//! Results of tools that were too long for a model: kept whole for a while, for those who may see the run.

use crate::tool::CallKey;
use crate::{RunId, ThreadId, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `res_` and 32 hex characters. It follows from the call's key, so that a repeated call keeps one result.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeptId(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not `res_` and 32 hexadecimal digits")]
pub struct NotAKeptId;

impl KeptId {
    pub fn of(key: &CallKey) -> Self {
        let hash = blake3::hash(key.as_str().as_bytes()).to_hex();
        Self(format!("res_{}", &hash.as_str()[..32]))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeptId {
    type Err = NotAKeptId;

    fn from_str(text: &str) -> Result<Self, NotAKeptId> {
        let digits = text.strip_prefix("res_").ok_or(NotAKeptId)?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digits.len() != 32 || !digits.bytes().all(is_hex) {
            return Err(NotAKeptId);
        }
        Ok(Self(text.to_owned()))
    }
}

/// A whole result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptResult {
    pub id: KeptId,
    pub run_id: RunId,
    pub thread_id: Option<ThreadId>,
    pub tool_name: String,
    /// JSON as text, as the tool gave it.
    pub content: String,
    pub kept_at: Timestamp,
}
