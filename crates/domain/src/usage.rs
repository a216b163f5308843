//! What model calls used. It does not know prices: lanes do.

use crate::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Tokens and money, summed over every attempt that a provider answered or began to answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// Part of `input_tokens` that the provider served from its cache.
    pub cached_tokens: u64,
    /// Millionths of a US dollar; integer, so that sums are exact.
    pub cost_micro_usd: u64,
    /// True if any part was not reported by the provider and is counted from the text (four bytes a token).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

impl Usage {
    pub fn add(&mut self, other: &Self) {
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cached_tokens = self.cached_tokens.saturating_add(other.cached_tokens);
        self.cost_micro_usd = self.cost_micro_usd.saturating_add(other.cost_micro_usd);
        self.estimated |= other.estimated;
    }

    pub fn total_tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

/// What the use of a span of time is told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    Agent,
    /// The lane that answered last.
    Lane,
    /// The key that began the run.
    Key,
}

/// A question about runs that ended in `from..to`, in steps of `bucket` that begin at `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsageQuery {
    pub from: Timestamp,
    pub to: Timestamp,
    /// At least a second.
    pub bucket: Duration,
    pub by: UsageBy,
}

/// The runs of one group that ended in one step of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsagePoint {
    /// The step's beginning.
    pub at: Timestamp,
    /// The agent's type, the lane's name, or the key's id; empty for runs that never had a lane.
    pub group: String,
    /// What people call the group.
    pub name: String,
    pub runs: u64,
    pub failed: u64,
    pub cancelled: u64,
    pub usage: Usage,
}
