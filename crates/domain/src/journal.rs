//! The journal of a device that worked without the network: its steps, chained by hashes, reported afterwards. What it
//! says is the client's word. Hashes are compared here and computed elsewhere, from the text that was sent.

use crate::Timestamp;
use crate::step::StepKind;
use crate::usage::Usage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What the first entry has in place of its predecessor's hash.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The last entry that a session has, and how much all of them hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// 0 before the first entry.
    pub seq: u64,
    pub hash: String,
    pub bytes: u64,
}

/// Which entry a step was reported by; a step that has none is the server's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub seq: u64,
    pub hash: String,
}

/// An entry whose hash was found to be that of its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub seq: u64,
    pub prev: String,
    pub hash: String,
    pub bytes: u64,
    pub step: Reported,
}

/// What the device says it did.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// `ModelTurn` or `ToolCall`.
    pub kind: StepKind,
    pub name: String,
    pub input: Value,
    pub output: Value,
    pub is_error: bool,
    /// By the device's clock.
    pub started_at: Timestamp,
    pub completed_at: Timestamp,
    /// Shown with the step; the run's own usage counts what was spent here.
    pub usage: Option<Usage>,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            seq: 0,
            hash: GENESIS.to_owned(),
            bytes: 0,
        }
    }
}

impl Head {
    /// True if the entry comes right after this one.
    pub fn is_followed_by(&self, entry: &Entry) -> bool {
        entry.seq == self.seq + 1 && entry.prev == self.hash
    }

    pub fn after(&self, entry: &Entry) -> Self {
        Self {
            seq: entry.seq,
            hash: entry.hash.clone(),
            bytes: self.bytes + entry.bytes,
        }
    }
}
