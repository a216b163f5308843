//! A row of summed usage, the same on both databases.

use domain::usage::{Usage, UsagePoint, UsageQuery};
use std::time::Duration;

pub(crate) struct Columns {
    /// Steps since the query's beginning.
    pub bucket: i64,
    pub group: String,
    pub name: String,
    pub runs: i64,
    pub failed: i64,
    pub cancelled: i64,
    pub input_tokens: i64,
    pub output_tokens: i64,
    pub cached_tokens: i64,
    pub cost_micro_usd: i64,
    pub estimated: bool,
}

impl Columns {
    pub fn point(self, query: &UsageQuery) -> UsagePoint {
        let into_span = micros(query.bucket).saturating_mul(self.bucket);
        let into_span = Duration::from_micros(into_span.unsigned_abs());
        UsagePoint {
            at: query.from.plus(into_span),
            group: self.group,
            name: self.name,
            runs: self.runs.unsigned_abs(),
            failed: self.failed.unsigned_abs(),
            cancelled: self.cancelled.unsigned_abs(),
            usage: Usage {
                input_tokens: self.input_tokens.unsigned_abs(),
                output_tokens: self.output_tokens.unsigned_abs(),
                cached_tokens: self.cached_tokens.unsigned_abs(),
                cost_micro_usd: self.cost_micro_usd.unsigned_abs(),
                estimated: self.estimated,
            },
        }
    }
}

/// A step's length as the databases divide by it; never zero.
pub(crate) fn micros(bucket: Duration) -> i64 {
    i64::try_from(bucket.as_micros()).unwrap_or(i64::MAX).max(1)
}
