//! Tokens and money on the wire.

use domain::usage::{UsageBy, UsagePoint};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What model calls used, summed over every attempt.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub struct Usage {
    #[schema(example = 812)]
    pub input_tokens: u64,
    #[schema(example = 64)]
    pub output_tokens: u64,
    /// Part of `input_tokens` that the provider served from its cache.
    #[schema(example = 0)]
    pub cached_tokens: u64,
    /// By the lanes' prices; exact to a millionth.
    #[schema(example = 0.00042)]
    pub cost_usd: f64,
}

impl From<domain::usage::Usage> for Usage {
    fn from(usage: domain::usage::Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cached_tokens: usage.cached_tokens,
            cost_usd: dollars(usage.cost_micro_usd),
        }
    }
}

/// The length of a step of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bucket {
    Hour,
    #[default]
    Day,
}

/// What use is told apart by: the agent, the lane that answered last, or the key that began the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    #[default]
    Agent,
    Lane,
    Key,
}

impl From<Group> for UsageBy {
    fn from(group: Group) -> Self {
        match group {
            Group::Agent => Self::Agent,
            Group::Lane => Self::Lane,
            Group::Key => Self::Key,
        }
    }
}

/// What runs used that ended in a span of time.
#[derive(Debug, Serialize, ToSchema)]
pub struct UsageReport {
    /// The beginning of the first step.
    #[schema(format = "date-time", example = "2026-01-01T00:00:00.000000Z")]
    pub from: String,
    /// Not part of the span itself.
    #[schema(format = "date-time", example = "2026-01-31T00:00:00.000000Z")]
    pub to: String,
    pub bucket: Bucket,
    pub by: Group,
    /// By time, then group; steps without runs are left out.
    pub points: Vec<Point>,
}

/// The runs of one group that ended in one step.
#[derive(Debug, Serialize, ToSchema)]
pub struct Point {
    /// The step's beginning.
    #[schema(format = "date-time", example = "2026-01-30T00:00:00.000000Z")]
    pub at: String,
    /// The agent's type, the lane's name or the key's id; null for runs that never had a lane.
    #[schema(example = "support")]
    pub group: Option<String>,
    /// What people call the group.
    #[schema(example = "support")]
    pub name: Option<String>,
    #[schema(example = 12)]
    pub runs: u64,
    #[schema(example = 1)]
    pub failed: u64,
    #[schema(example = 0)]
    pub cancelled: u64,
    #[serde(flatten)]
    pub usage: Usage,
}

impl From<UsagePoint> for Point {
    fn from(point: UsagePoint) -> Self {
        let said = |text: String| (!text.is_empty()).then_some(text);
        Self {
            at: point.at.to_string(),
            group: said(point.group),
            name: said(point.name),
            runs: point.runs,
            failed: point.failed,
            cancelled: point.cancelled,
            usage: point.usage.into(),
        }
    }
}

/// Division by a power of ten gives the shortest decimal text again, as multiplication by its inverse would not.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact below nine thousand million dollars"
)]
pub(super) fn dollars(micro: u64) -> f64 {
    micro as f64 / 1_000_000.0
}
