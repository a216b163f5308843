//! What a lane has done and how it is, for people who look at it. It decides nothing.

use super::LaneInfo;
use crate::usage::Usage;

/// A lane with its traffic. Latencies and the error rate are the lane's; the counts are of one org alone, so that nobody
/// learns how busy another is.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneReport {
    pub info: LaneInfo,
    /// The provider's language; absent where this server calls nothing.
    pub wire: Option<&'static str>,
    pub max_concurrency: Option<usize>,
    /// Attempts under way, of every org.
    pub in_flight: u64,
    /// What is left of a pause that the provider asked for, in milliseconds.
    pub rests_ms: u64,
    pub traffic: LaneTraffic,
    pub recent: LaneRecent,
}

/// Attempts of one org since this process began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LaneTraffic {
    pub answered: u64,
    /// Failures that say something of the lane; refused requests and rate limits do not.
    pub failed: u64,
    pub usage: Usage,
}

/// The last attempts, of every org.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct LaneRecent {
    pub attempts: u64,
    pub failed: u64,
    /// From sending to the first event.
    pub first_token: Option<Spread>,
    /// From sending to the end of the answer.
    pub turn: Option<Spread>,
}

/// Half of the values, and 99 of 100, are at most this, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    pub p50_us: u64,
    pub p99_us: u64,
}

impl Spread {
    /// Of values in any order; `None` of none.
    pub fn of(mut values: Vec<u64>) -> Option<Self> {
        values.sort_unstable();
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied()
        };
        Some(Self {
            p50_us: at(50)?,
            p99_us: at(99)?,
        })
    }
}

impl LaneRecent {
    /// Failed attempts in a thousand; `None` before the first.
    pub fn failed_per_mille(&self) -> Option<u64> {
        (self.failed * 1_000).checked_div(self.attempts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_takes_the_value_at_its_rank() {
        assert_eq!(Spread::of(Vec::new()), None);
        let one = Spread {
            p50_us: 7,
            p99_us: 7,
        };
        assert_eq!(Spread::of(vec![7]), Some(one));
        let hundred = Spread {
            p50_us: 50,
            p99_us: 99,
        };
        assert_eq!(Spread::of((1..=100).rev().collect()), Some(hundred));
    }

    #[test]
    fn nothing_tried_has_no_error_rate() {
        assert_eq!(LaneRecent::default().failed_per_mille(), None);
        let recent = LaneRecent {
            attempts: 3,
            failed: 1,
            ..LaneRecent::default()
        };
        assert_eq!(recent.failed_per_mille(), Some(333));
    }
}
